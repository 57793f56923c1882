"""Are the two proofs with many Djangos to be believed? What makes them fail."""

from __future__ import annotations

import pytest

from tests.proof import django_matrix, django_own
from tests.proof.django_matrix import Row
from tests.proof.django_own import LEAST, Report
from tests.proof.interpreters import VERSIONS, BrokenOff, last_line, present

RAN = [f"test_{number}" for number in range(LEAST - 1)]
EXCEPTION = "test_reopen_replaces_partial_connection"


def test_an_exception_that_is_named_may_fail_and_no_other() -> None:
    good = Report("5.2.19", "3.11", [*RAN, EXCEPTION], {EXCEPTION: "AssertionError"})
    assert good.good
    assert str(good).splitlines()[0] == f"Django 5.2.19, Python 3.11: {LEAST - 1} of {LEAST} pass"
    assert f"not {EXCEPTION}: wants" in str(good)
    bad = Report("6.1.3", "3.13", [*RAN, EXCEPTION], {"test_3": "AssertionError"})
    assert not bad.good
    assert "BROKEN test_3" in str(bad)
    assert f"{EXCEPTION} passes, though" in str(bad)


def test_an_exception_of_one_django_is_none_of_another() -> None:
    bad = {"test_auth_attempted": "AssertionError"}
    assert Report("6.1.3", "3.13", [*RAN, *bad], bad).good
    assert not Report("5.2.19", "3.13", [*RAN, *bad], bad).good


@pytest.mark.parametrize("ran", [[], RAN])
def test_tests_that_did_not_run_are_no_proof(ran: list[str]) -> None:
    report = Report("5.2.19", "3.11", ran, {})
    assert not report.good
    assert f"{LEAST} tests at least" in str(report)


def test_what_cannot_be_installed_fails_the_proof(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object) -> Report:
        raise BrokenOff("no index")

    monkeypatch.setattr(django_own, "report_of", broken)
    monkeypatch.setattr(django_own, "present", lambda: {"3.11": "python3.11"})
    assert django_own.main() == 1
    assert "no index" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pythons", "good", "code"),
    [
        (["3.11", "3.12", "3.13"], True, 0),
        (["3.11", "3.12", "3.13"], False, 1),
        (["3.11"], True, 0),
        ([], True, 1),
    ],
)
def test_the_matrix_needs_two_djangos_and_no_failure(
    pythons: list[str], good: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(name: str, _wanted: str, python: str, _interpreter: str) -> Row:
        newest = "5.2" if python == "3.11" else "6.1"
        return Row(newest if name == "newest" else name, python, "3.1", good or name != "5.2", "", 1.0)

    monkeypatch.setattr(django_matrix, "row_of", row)
    monkeypatch.setattr(django_matrix, "present", lambda: dict.fromkeys(pythons, "python"))
    assert django_matrix.main() == code


@pytest.mark.long
def test_this_python_is_found_and_the_last_line_is_read() -> None:
    assert set(present()) <= set(VERSIONS)
    assert present()
    assert last_line("a\n=== 3 passed in 1.0s ===\n\n") == "3 passed in 1.0s"
