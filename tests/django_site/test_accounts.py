"""Whose password goes to which server? Settings, arguments and the environment may be of several accounts."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.smtp import EmailBackend as Djangos
from django.test import override_settings

import portmail
from portmail import Route, Security
from portmail.integrations.django.options import _APART
from portmail.sandbox import Sandbox
from portmail.security import SecretKind
from portmail.settings import Settings
from tests.django_site.site import backend, before_mailers, letter, mailers, with_login
from tests.django_site.test_meaning import IF_OFFERED, LOGIN, S465, S587, H, account, only_mailers
from tests.leaks import PASSWORD, USER

OTHER = "mail.example.net"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An account is in the environment."""
    monkeypatch.setenv("PORTMAIL_URL", f"submission://me@{H}")
    monkeypatch.setenv("PORTMAIL_PASSWORD", "secret")
    return monkeypatch


def who(settings: Settings) -> str | None:
    """The user that logs in."""
    return settings.credentials.username if settings.credentials else None


# The environment's account.


@pytest.mark.usefixtures("environ")
def test_the_password_of_the_environment_is_for_its_own_url_alone() -> None:
    assert who(account()) == "me"
    assert who(account(url=f"submission://me@{H}")) == "me"
    relay = account(url=f"relay://{OTHER}")
    assert (relay.routes, relay.credentials) == ((Route(OTHER, 25, IF_OFFERED),), None)
    assert account(host=OTHER).credentials is None
    assert who(account(url=f"submission://bulk:own@{OTHER}")) == "bulk"
    for url in (f"submission://bulk@{OTHER}", f"submission://bulk@{H}"):
        with pytest.raises(ImproperlyConfigured, match="a user name without password"):
            account(url=url)
    with pytest.raises(ImproperlyConfigured, match="a user name without password"):
        account(host=OTHER, security="starttls", username="bulk")


@pytest.mark.usefixtures("environ")
def test_nor_is_it_for_the_url_of_portmail_or_of_an_argument() -> None:
    with before_mailers(PORTMAIL={"url": f"relay://{OTHER}"}):
        assert backend().submitter.settings.credentials is None
    with before_mailers():
        assert who(backend().submitter.settings) == "me"
        assert backend(url=f"relay://{OTHER}").submitter.settings.credentials is None
        assert backend(host=OTHER).submitter.settings.credentials is None
    with before_mailers(PORTMAIL=f"submission://bulk@{OTHER}"), pytest.raises(ImproperlyConfigured):
        _ = backend().submitter


@only_mailers
@pytest.mark.usefixtures("environ")
def test_a_second_mailer_may_be_a_relay() -> None:
    with override_settings(**mailers({}, relay={"url": f"relay://{OTHER}"})):
        both: Any = mail.mailers
        assert who(both["default"].submitter.settings) == "me"
        assert both["relay"].submitter.settings.credentials is None


def test_a_url_without_a_password_has_the_environments_where_that_has_no_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTMAIL_PASSWORD", "secret")
    assert who(account(url=f"submission://me@{H}")) == "me"


def test_who_is_trusted_is_said_by_the_environment_whatever_the_settings_are(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    login = with_login(sandbox, USER, PASSWORD)
    with before_mailers(**login):
        assert letter().send() == 1
    words = {"host": sandbox.host, "port": sandbox.port(587), "username": USER, "password": PASSWORD}
    for options in (words, {"url": sandbox.url}):
        with override_settings(**mailers(options)):
            assert letter().send() == 1
    monkeypatch.setenv("PORTMAIL_URL", f"relay://{OTHER}")
    with override_settings(**mailers(words)):
        assert letter().send() == 1
    assert {(it.tls, it.username) for it in sandbox.messages} == {("TLSv1.3", USER)}


# An argument's place.


ELSEWHERE = [
    ({"host": OTHER, "port": 25}, (Route(OTHER, 25, IF_OFFERED),)),
    ({"url": f"relay://{OTHER}"}, (Route(OTHER, 25, IF_OFFERED),)),
    ({"routes": (S465,)}, (S465,)),
    ({"address": "you@example.net"}, ()),
]


@pytest.mark.parametrize(
    "secret", [{"password": "secret"}, {"token": "secret"}, {"token_source": "os.getcwd"}]
)
@pytest.mark.parametrize(("arguments", "routes"), ELSEWHERE)
def test_an_account_of_portmail_does_not_go_where_an_argument_says(
    arguments: dict[str, Any], routes: tuple[Route, ...], secret: dict[str, Any]
) -> None:
    mine = {"url": f"submission://{H}", "username": "me", "pool_size": 2, **secret}
    with before_mailers(PORTMAIL=mine):
        assert who(backend().submitter.settings) == "me"
        made = backend(**arguments).submitter.settings
    assert (made.routes, made.credentials) == (routes, None)
    assert made.pool_size == 2  # which is no matter of the account


# A file.


def test_a_password_file_that_was_written_again_is_read_again(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("a wrong one\n")
    monkeypatch.setenv("PORTMAIL_PASSWORD_FILE", str(file))
    name = USER.replace("@", "%40")
    url = f"submission://{name}@{sandbox.host}:{sandbox.port(587)}"
    with override_settings(**mailers({"url": url, "tls_ca": sandbox.ca})):
        with pytest.raises(portmail.AuthenticationFailed):
            letter().send()
        file.write_text(f"{PASSWORD}\n")
        assert letter().send() == 1
        assert letter().send() == 1
    assert len(sandbox.sessions) == 2


@pytest.mark.parametrize("variable", [False, True], ids=["option", "PORTMAIL_CA"])
def test_a_file_of_an_authority_that_was_written_again_is_read_again(
    variable: bool, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    if variable:
        monkeypatch.setenv("PORTMAIL_CA", str(file))
    options = {"url": sandbox.url} | ({} if variable else {"tls_ca": file})
    with override_settings(**mailers(options)):
        with pytest.raises(portmail.InsecureChannel):
            letter().send()
        file.write_bytes(file.read_bytes() + Path(sandbox.ca).read_bytes())
        assert letter().send() == 1


# Tokens, and passwords from callables.


def token() -> str:
    """What a token_source names."""
    return "ya29.fresh"


@pytest.mark.parametrize(
    "said", [{"token": token}, {"token": "ya29.fresh"}, {"token_source": f"{__name__}.token"}]
)
@pytest.mark.parametrize("legacy", [False, True], ids=["MAILERS", "EMAIL_HOST"])
def test_djangos_own_names_go_with_a_token(legacy: bool, said: dict[str, Any]) -> None:
    with Sandbox(users={}, tokens={"me": "ya29.fresh"}) as server:
        words = {"host": server.host, "port": server.port(587), "username": "me", "use_tls": True}
        before = with_login(server, "me", "") | {"EMAIL_USE_TLS": True}
        ours = {**said, "tls_ca": server.ca}
        site = (
            before_mailers(**before, PORTMAIL=ours) if legacy else override_settings(**mailers(words | ours))
        )
        with site:
            assert letter().send() == 1
    assert [(it.username, it.tls) for it in server.messages] == [("me", "TLSv1.3")]


def test_a_token_asks_for_tls_as_a_password_does() -> None:
    made = account(host="smtp.office365.com", username="me@example.com", token_source=f"{__name__}.token")
    assert {route.security for route in made.routes} == {Security.STARTTLS, Security.IMPLICIT_TLS}
    assert made.credentials is not None
    assert made.credentials.kind is SecretKind.TOKEN


def test_a_password_may_come_from_a_callable(sandbox: Sandbox) -> None:
    words = {"host": sandbox.host, "port": sandbox.port(587), "username": USER, "password": lambda: PASSWORD}
    with override_settings(**mailers({**words, "tls_ca": sandbox.ca})):
        assert letter().send() == 1
    assert [it.username for it in sandbox.messages] == [USER]


# Options that contradict each other.


VALUES: dict[str, Any] = {
    "use_tls": True,
    "use_ssl": True,
    "port": 587,
    "url": f"submission://me:secret@{H}",
    "address": "me@example.com",
    "routes": (S587,),
    "host": H,
    "security": "starttls",
    "token": "secret",
    "token_source": f"{__name__}.token",
    "timeout": 5,
    "timeouts": 7.0,
}


@pytest.mark.parametrize("pair", _APART, ids=" and ".join)
@pytest.mark.parametrize("legacy", [False, True], ids=["MAILERS", "PORTMAIL"])
def test_two_that_say_the_same_are_refused(pair: tuple[str, str], legacy: bool) -> None:
    said = {name: VALUES[name] for name in pair}
    if not said.keys() & {"url", "address", "routes", "host"}:
        said |= {"host": H, "username": "me"}
    site = before_mailers(PORTMAIL=said) if legacy else override_settings(**mailers(said))
    with site, pytest.raises(ImproperlyConfigured, match="give one") as caught:
        _ = backend().submitter
    assert all(repr(name) in str(caught.value) for name in pair)


def test_which_they_are() -> None:
    places = itertools.combinations(["url", "address", "routes", "host"], 2)
    tls = itertools.product(["use_tls", "use_ssl"], ["url", "address", "routes", "security"])
    assert set(places) | set(tls) < set(_APART)


@pytest.mark.parametrize("flag", ["use_tls", "use_ssl"])
def test_a_flag_is_not_ignored_where_the_server_is_the_environments(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", f"relay://{H}?tls=none")
    with pytest.raises(ImproperlyConfigured, match=f"'{flag}' is for 'host'"):
        account(**{flag: True})
    with before_mailers(), pytest.raises(ImproperlyConfigured, match=f"'{flag}' is for 'host'"):
        _ = backend(**{flag: True}).submitter
    assert account(**{flag: False}).routes == (Route(H, 25, Security.PLAINTEXT),)


@pytest.mark.parametrize("asks", [{"use_tls": True}, {"use_ssl": True}, {"port": 25}])
def test_an_argument_that_is_for_a_host_is_not_ignored_beside_a_url(asks: dict[str, Any]) -> None:
    with before_mailers(PORTMAIL=f"submission://me:secret@{H}"):
        with pytest.raises(ImproperlyConfigured, match="give one"):
            _ = backend(**asks).submitter
        assert backend(timeout=5).submitter.settings.timeouts.connect == 5


# Arguments as Django's own backend has them.


def test_arguments_stand_where_djangos_do() -> None:
    from portmail.django import EmailBackend

    def order(of: type) -> list[str]:
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
        return [name for name, it in inspect.signature(of).parameters.items() if it.kind in kinds]

    assert order(EmailBackend) == order(Djangos)
    with before_mailers():
        mine = EmailBackend(H, 2525, "me", "secret", True, True)
        assert mine.fail_silently
        assert mine.submitter.settings.routes == (Route(H, 2525, Security.STARTTLS),)
        assert who(mine.submitter.settings) == "me"


@pytest.mark.parametrize("empty", [{"host": ""}, {"port": 0}, {"port": ""}, {"host": "", "port": None}])
def test_an_empty_host_or_port_is_none(empty: dict[str, Any]) -> None:
    with before_mailers(EMAIL_HOST=H, EMAIL_PORT=587):
        assert backend(**empty).submitter.settings.routes == (Route(H, 587, IF_OFFERED),)
    with before_mailers(PORTMAIL=f"submission://me:secret@{H}"):
        assert backend(**empty).submitter.settings.routes == (S587,)


def test_an_empty_place_is_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTMAIL_URL", "")
    for said in ({"url": ""}, {"address": ""}, {"routes": ()}):
        with before_mailers(PORTMAIL=said), pytest.raises(ImproperlyConfigured, match="is empty"):
            backend()
        with override_settings(**mailers(said)), pytest.raises(ImproperlyConfigured, match="is empty"):
            backend()
    with before_mailers(PORTMAIL=""), pytest.raises(ImproperlyConfigured, match="is empty"):
        backend()
    with before_mailers(PORTMAIL=5), pytest.raises(ImproperlyConfigured, match="not int"):
        backend(fail_silently=True)


@pytest.mark.parametrize(
    "told", [{"port": []}, {"port": "smtp"}, {"port": 70000}, {"port": 2.5}, {"port": object()}]
)
def test_what_is_no_port_is_told_as_such(told: dict[str, Any]) -> None:
    for login in ({}, LOGIN):
        with pytest.raises(ImproperlyConfigured, match="is no port"):
            account(host=H, **told, **login)
