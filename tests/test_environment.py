"""Which variables count beside a framework's settings: never a password for the server of another account."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from portmail.integrations.environment import CA, URL, VARIABLES, variables

MINE, THEIRS = "submission://me@mail.example.com", "submission://bulk@mail.example.net"

ACCOUNT = {
    "PORTMAIL_USERNAME": "me",
    "PORTMAIL_PASSWORD": "secret",
    "PORTMAIL_PASSWORD_FILE": "/run/secrets/mail",
    "PORTMAIL_FROM": "me@example.com",
}
ALL = {URL: MINE, CA: "/etc/ca.pem", **ACCOUNT}
WITHOUT_URL = {name: value for name, value in ALL.items() if name != URL}
ONLY_CA = {CA: "/etc/ca.pem"}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of them."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("theirs", "given", "elsewhere", "counts"),
    [
        pytest.param(ALL, {}, False, ALL, id="no server in the settings"),
        pytest.param(ALL, {URL: MINE}, False, ALL, id="the same URL"),
        pytest.param(
            WITHOUT_URL, {URL: THEIRS}, False, {**WITHOUT_URL, URL: THEIRS}, id="a URL, and none there"
        ),
        pytest.param(ALL, {URL: THEIRS}, False, {**ONLY_CA, URL: THEIRS}, id="another URL"),
        pytest.param(ALL, {URL: "relay://r"}, False, {**ONLY_CA, URL: "relay://r"}, id="a relay beside it"),
        pytest.param(ALL, {}, True, ONLY_CA, id="a host in the settings"),
        pytest.param(WITHOUT_URL, {}, True, ONLY_CA, id="a host, and no URL there"),
        pytest.param(ALL, {URL: MINE}, True, {**ONLY_CA, URL: MINE}, id="a host and a URL"),
        pytest.param(WITHOUT_URL, {}, False, ONLY_CA, id="no server anywhere"),
        pytest.param(ACCOUNT, {}, False, {}, id="neither server nor authority"),
        pytest.param({}, {URL: THEIRS}, False, {URL: THEIRS}, id="nothing in the environment"),
        pytest.param({URL: "", CA: ""}, {}, False, {}, id="empty is none"),
        pytest.param(ALL, {URL: THEIRS, CA: "/mine"}, False, {CA: "/mine", URL: THEIRS}, id="an authority"),
        pytest.param(
            ALL,
            {URL: MINE, "PORTMAIL_PASSWORD": "mine"},
            False,
            {**ALL, "PORTMAIL_PASSWORD": "mine"},
            id="what is given goes first",
        ),
    ],
)
def test_the_variables_that_count_are_those_of_one_account(
    theirs: Mapping[str, str],
    given: Mapping[str, str],
    elsewhere: bool,
    counts: Mapping[str, str],
    environ: pytest.MonkeyPatch,
) -> None:
    for name, value in theirs.items():
        environ.setenv(name, value)
    assert variables(given, elsewhere=elsewhere) == counts


def test_other_variables_are_not_taken(environ: pytest.MonkeyPatch) -> None:
    environ.setenv(URL, MINE)
    environ.setenv("PORTMAIL_CACHE", "off")
    environ.setenv("HOME", "/home/me")
    assert variables({}, elsewhere=False) == {URL: MINE}
