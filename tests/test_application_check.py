"""What do `manage.py portmail check` and `flask portmail check` share? Plan, report, exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

import portmail
from portmail.cli import exits
from portmail.integrations.checking import check, plan, told
from portmail.sandbox import Sandbox
from portmail.settings import from_arguments
from tests.leaks import PASSWORD, USER, Scanner
from tests.messages import message
from tests.test_connecting import verbs

HOST = "mail.example.org"
QUICK = portmail.Timeouts(connect=0.1)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """The locale of whoever runs the tests is not theirs."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def japanese(english: None, monkeypatch: pytest.MonkeyPatch) -> None:  # it comes first
    """The locale of a person in Japan."""
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")


def account(sandbox: Sandbox, **wishes: Any) -> portmail.Submitter:
    given: dict[str, Any] = {"username": USER, "password": PASSWORD, "tls_ca": sandbox.ca, "retry": None}
    given |= {"routes": sandbox.routes[:1], "timeouts": QUICK}
    return portmail.Submitter(**given | wishes)


def checked(sandbox: Sandbox, *, login: bool = False, **wishes: Any) -> tuple[int, str]:
    """The exit code, and what is said, which holds no secret."""
    said = io.StringIO()
    with account(sandbox, **wishes) as mail:
        code = check(mail, login=login, stream=said)
    assert not Scanner(PASSWORD).text(said.getvalue())
    return code, said.getvalue()


def logins(sandbox: Sandbox) -> int:
    """How often anybody showed a credential."""
    return sum(session.authentications for session in sandbox.sessions)


def test_the_plan_comes_first_then_the_report_and_nothing_is_sent(sandbox: Sandbox) -> None:
    code, said = checked(sandbox, routes=sandbox.routes)
    first, second = sandbox.routes
    planned, verdict, *_, end = said.splitlines()
    assert planned == f"submits to {first}, then {second}, as {USER}"
    assert verdict == f"✓ Mail can go out: {first} is open."
    assert end.startswith("Nothing was sent, and no password was shown.")
    assert (code, logins(sandbox)) == (exits.OK, 0)
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(verbs(sandbox))


def test_a_login_that_is_wished_is_one_login(sandbox: Sandbox) -> None:
    code, said = checked(sandbox, login=True, routes=sandbox.routes)
    assert (code, logins(sandbox)) == (exits.OK, 1)
    assert f"took the login of {USER}" in said
    assert "One login was made" in said


def test_a_login_that_is_refused_is_told_and_is_one_login(sandbox: Sandbox) -> None:
    wrong = "not the password at all"
    code, said = checked(sandbox, login=True, password=wrong)
    assert (code, logins(sandbox)) == (exits.NOT_PERMITTED, 1)
    assert "Mail cannot go out." in said
    assert "535" in said
    assert not Scanner(wrong).text(said)


def untrusted(_: Sandbox) -> dict[str, Any]:
    return {"tls_ca": None}


def no_starttls(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.strip_starttls()
    return {}


def closed(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.close_port(587)
    return {}


def blocked(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.block(587)
    return {}


@pytest.mark.parametrize("login", [False, True], ids=["", "login"])
@pytest.mark.parametrize(
    ("prepare", "code", "why"),
    [
        (closed, exits.UNAVAILABLE, "connection refused"),
        (blocked, exits.UNAVAILABLE, "no answer: the port is silent"),
        (untrusted, exits.NOT_PERMITTED, "certificate"),
        (no_starttls, exits.NOT_PERMITTED, "STARTTLS"),
    ],
)
def test_where_mail_cannot_go_out_it_says_why_and_shows_no_credential(
    prepare: Callable[[Sandbox], dict[str, Any]], code: int, why: str, login: bool, sandbox: Sandbox
) -> None:
    wishes = prepare(sandbox)
    found, said = checked(sandbox, login=login, **wishes)
    assert (found, logins(sandbox)) == (code, 0)
    assert said.splitlines()[1].startswith("✗ Mail cannot go out. ")
    assert "What to do:" in said
    assert why in said


@pytest.mark.usefixtures("japanese")
@pytest.mark.parametrize("letters", ["ascii", "cp1252"])
def test_a_framework_whose_stream_lacks_letters_tells_it_in_those_that_it_has(
    letters: str, sandbox: Sandbox
) -> None:
    closed(sandbox)
    octets = io.BytesIO()
    with account(sandbox, username="山") as mail, io.TextIOWrapper(octets, letters) as stream:
        assert check(mail, login=False, stream=stream) == exits.UNAVAILABLE
        planned, verdict, *_ = octets.getvalue().decode("ascii").splitlines()
    assert planned.endswith(", as \\u5c71")
    assert verdict.startswith("no Mail cannot go out. ")


def test_who_stops_it_sees_no_traceback(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(portmail.Submitter, "check", stopped)
    code, said = checked(sandbox)
    assert (code, said.splitlines()[1:]) == (exits.INTERRUPTED, ["portmail: stopped"])


def test_a_login_without_credentials_is_told_before_anything_is_connected(sandbox: Sandbox) -> None:
    code, said = checked(sandbox, login=True, username=None, password=None)
    assert (code, sandbox.sessions) == (exits.CONFIGURATION, ())
    assert said.splitlines()[1] == "a login needs credentials: give username and password"


@pytest.mark.usefixtures("japanese")
def test_it_speaks_the_language_of_the_locale(sandbox: Sandbox) -> None:
    closed(sandbox)
    code, said = checked(sandbox)
    assert code == exits.UNAVAILABLE
    assert "接続が拒否されました" in said
    assert "connection refused" not in said


def test_an_error_is_told_in_the_language_of_the_locale(
    sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    closed(sandbox)
    with account(sandbox) as mail, pytest.raises(portmail.Unreachable) as caught:
        mail.send(message())
    assert told(caught.value, stream=sys.stdout) == str(caught.value)
    request.getfixturevalue("japanese")
    assert "接続が拒否されました" in told(caught.value, stream=sys.stdout)
    assert told(portmail.NoRecipients("to nobody"), stream=sys.stdout) == "to nobody"


def test_the_plan_shows_no_secret() -> None:
    settings = from_arguments(host=HOST, username=USER, password=PASSWORD)
    assert PASSWORD not in plan(settings, stream=sys.stdout)
    assert plan(from_arguments(host=HOST), stream=sys.stdout).endswith(", without a login")
    sought = plan(from_arguments("me@example.org", password=PASSWORD), stream=sys.stdout)
    assert sought == "submits to the server of me@example.org, which is looked for, as me@example.org"
