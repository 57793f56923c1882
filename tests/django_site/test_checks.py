"""What does Django's check framework tell of the settings, without asking anybody?"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from tests.django_site.site import LOCMEM, MAILERS, before_mailers, mailers

H = "mail.example.com"
LOGIN = {"username": "me", "password": "secret"}


def told(*, deploy: bool = True) -> list[str]:
    """The ids of what is told of mail, but Django's own."""
    found = run_checks(tags=["mail"], include_deployment_checks=deploy)
    return [message.id for message in found if message.id and message.id.startswith("portmail.")]


def of(options: dict[str, Any], *, deploy: bool = True, **others: Any) -> list[str]:
    """What is told of a mailer with these options."""
    with override_settings(**mailers(options), **others):
        return told(deploy=deploy)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks anybody fails."""

    def refuse(*_args: object, **_given: object) -> None:
        raise AssertionError("a check asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_settings_that_can_be_met_are_not_spoken_of() -> None:
    assert of({"host": H, "use_tls": True, **LOGIN}) == []
    assert of({"url": "submission://me@mail.example.com", "password": "secret"}) == []
    assert of({"address": "me@example.com", "password": "secret"}) == []


@pytest.mark.parametrize(
    "options",
    [
        {"url": "submission//nonsense"},
        {"host": H, "url": "submission://mail.example.com"},
        {"host": H, "use_tls": True, "use_ssl": True},
        {"host": "no host"},
        {"host": H, "pol_size": 3},
        {"host": H, "token_source": "no.such.module", "username": "me"},
        {"url": "submission://mail.example.com", "tls_ca": "/no/such/file.pem"},
        {"address": "nonsense"},
        {"url": ""},
        {"host": H, "port": []},
        {"url": "submission://me@mail.example.com", "token_source": 5},
        {"host": H, "username": "me", "token_source": "broken_tokens.get"},
    ],
)
@pytest.mark.usefixtures("broken_tokens")
@pytest.mark.parametrize("deploy", [False, True])
def test_settings_that_cannot_be_met_are_an_error(options: dict[str, Any], deploy: bool) -> None:
    assert of(options, deploy=deploy) == ["portmail.E001"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (5, "not int"),
        (["url"], "not list"),
        ("", "'url' is empty"),
        ({"url": ""}, "'url' is empty"),
        ({"host": ""}, "'host' is empty"),
        ({"pol_size": 3}, "did you mean pool_size?"),
        ({"uri": "relay://mail.example.com"}, "did you mean url?"),
        ({"zzz": 1}, "did you mean host, port,"),
        ({5: 1}, "no option 5"),
    ],
)
def test_a_portmail_that_is_no_account_is_never_taken_for_none(said: Any, why: str) -> None:
    with before_mailers(PORTMAIL=said, EMAIL_HOST=H):
        [message] = [it for it in run_checks(tags=["mail"]) if str(it.id).startswith("portmail.")]
    assert message.id == "portmail.E001"
    assert why in message.msg


@pytest.mark.parametrize(
    "said",
    [
        {"EMAIL_HOST": ""},
        {"EMAIL_HOST": None},
        {"EMAIL_PORT": ""},
        {"EMAIL_PORT": "abc"},
        {"EMAIL_TIMEOUT": "10"},
        {"EMAIL_SSL_KEYFILE": "key.pem"},
    ],
)
def test_nor_are_settings_of_djangos_that_mean_nothing(said: dict[str, Any]) -> None:
    with before_mailers(**{"EMAIL_HOST": H, **said}):
        assert told() == ["portmail.E001"]


def test_what_cannot_be_looked_at_now_is_told_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("portmail.door.room_for_descriptors", none_left)
    assert of({"host": "short.example.com", "use_tls": True, **LOGIN}) == ["portmail.E001"]


def test_what_is_told_of_a_password_in_a_url_does_not_show_it() -> None:
    with override_settings(**mailers({"url": "submission://me:secret@mail.example.com"})):
        [message] = run_checks(tags=["mail"], include_deployment_checks=True)
    assert "PORTMAIL_PASSWORD_FILE" in str(message.hint)
    assert "secret" not in str(message)


def test_the_error_says_where_and_why() -> None:
    with override_settings(**mailers({"host": H, "url": "submission://mail.example.com"})):
        [message] = [it for it in run_checks(tags=["mail"]) if it.id == "portmail.E001"]
    assert message.obj == ("MAILERS['default']" if MAILERS else "EMAIL_BACKEND")
    assert "'url' and 'host' say the same or contradict each other: give one" in message.msg


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"host": H, **LOGIN}, ["portmail.W001"]),
        ({"host": H, "use_ssl": True, **LOGIN}, []),
        ({"host": H, "security": "starttls", **LOGIN}, []),
        ({"host": "smtp.office365.com", "use_tls": True, **LOGIN}, ["portmail.W002"]),
        ({"host": "smtp-mail.outlook.com", **LOGIN}, ["portmail.W001", "portmail.W002"]),
        ({"url": "submission://me:secret@smtp.office365.com"}, ["portmail.W002", "portmail.W004"]),
        ({"url": "submission://me:secret@mail.example.com"}, ["portmail.W004"]),
        ({"url": "relay://mail.example.com"}, []),
        ({"host": H, "username": "me"}, ["portmail.W005"]),
        ({"host": H, "username": "me", "password": ""}, ["portmail.W005"]),
        ({"host": H, "username": "me", "token_source": "os.getcwd"}, []),
        ({"host": H}, []),
        ({"url": "submission://me@smtp.office365.com", "token_source": "os.getcwd"}, []),
        ({"host": "smtp.gmail.com", "use_tls": True, **LOGIN}, []),
    ],
)
def test_before_a_site_goes_out_it_hears_of_its_login(options: dict[str, Any], ids: list[str]) -> None:
    assert of(options) == ids
    assert of(options, deploy=False) == []


@pytest.mark.parametrize(
    "default", [{"DEFAULT_FROM_EMAIL": "webmaster@localhost"}, {"SERVER_EMAIL": "root@localhost"}]
)
def test_and_of_addresses_that_are_djangos_default(default: dict[str, Any]) -> None:
    assert of({"host": H, "use_tls": True, **LOGIN}, **default) == ["portmail.W003"]
    assert of({"host": H, "use_tls": True, **LOGIN}, deploy=False, **default) == []


def test_a_site_that_sends_otherwise_hears_nothing() -> None:
    defaults = {"DEFAULT_FROM_EMAIL": "webmaster@localhost", "SERVER_EMAIL": "root@localhost"}
    for path in (
        LOCMEM,
        "django.core.mail.backends.smtp.EmailBackend",
        "no.such.Backend",
        "portmail.Submitter",
    ):
        with override_settings(**mailers({}, backend=path), **defaults):
            assert told() == []


def test_the_settings_before_mailers_are_looked_at_without_a_warning() -> None:
    with before_mailers(EMAIL_HOST=H, EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="secret"):
        assert told() == ["portmail.W001"]
    with before_mailers(EMAIL_HOST="no host"):
        assert told() == ["portmail.E001"]


@pytest.mark.skipif(not MAILERS, reason="there are MAILERS from Django 6.1 on")
def test_each_mailer_is_looked_at() -> None:
    with override_settings(**mailers({"host": H, **LOGIN}, other={"host": "no host"})):
        assert sorted(told()) == ["portmail.E001", "portmail.W001"]
