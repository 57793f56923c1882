"""What do a site's settings come to? By MAILERS, by the settings before it, and by the environment."""

from __future__ import annotations

import asyncio
import functools
import pickle
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import send_mail
from django.test import override_settings

import portmail
from portmail import Route, Security, Timeouts
from portmail.integrations.django.configured import MailNotConfigured
from portmail.sandbox import Sandbox
from portmail.settings import Settings
from tests.django_site.site import FROM, MAILERS, TO, backend, before_mailers, letter, mailers, with_login
from tests.leaks import PASSWORD, USER

H = "mail.example.com"
TLS, SSL, IF_OFFERED = Security.STARTTLS, Security.IMPLICIT_TLS, Security.OPPORTUNISTIC
S587, S465 = Route(H, 587, TLS), Route(H, 465, SSL)

LOGIN = {"username": "me", "password": "secret"}

MATRIX: list[tuple[dict[str, Any], tuple[Route, ...]]] = [
    ({"use_tls": True, **LOGIN}, (S587, S465)),
    ({"use_ssl": True, **LOGIN}, (S465, S587)),
    ({"port": 587, "use_tls": True, **LOGIN}, (S587, S465)),
    ({"port": "587", "use_tls": True, **LOGIN}, (S587, S465)),
    ({"port": 465, "use_ssl": True, **LOGIN}, (S465, S587)),
    ({"port": 2525, "use_tls": True, **LOGIN}, (Route(H, 2525, TLS),)),
    ({"port": 2465, "use_ssl": True, **LOGIN}, (Route(H, 2465, SSL),)),
    ({"port": 465, **LOGIN}, (S465, S587)),
    ({"port": 587, **LOGIN}, (S587, S465)),
    ({"port": 25, **LOGIN}, (Route(H, 25, TLS),)),
    ({"port": 25}, (Route(H, 25, IF_OFFERED),)),
    ({"port": 25, "use_tls": True}, (Route(H, 25, TLS),)),
    ({"port": 25, "username": "me"}, (Route(H, 25, IF_OFFERED),)),
    ({"port": 587, "use_tls": True}, (S587, S465)),
]
"""Django's own options, and the routes that they mean."""

LEGACY = {
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
}

only_mailers = pytest.mark.skipif(not MAILERS, reason="there are MAILERS from Django 6.1 on")


def account(**options: Any) -> Settings:
    """What these options come to, as this Django takes them."""
    with override_settings(**mailers(options)):
        found: Settings = backend().submitter.settings
        return found


@pytest.mark.parametrize(
    ("said", "routes"), MATRIX, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_the_options_of_django_mean_what_they_mean_there(
    said: dict[str, Any], routes: tuple[Route, ...]
) -> None:
    made = account(host=H, **said)
    assert made.routes == routes
    assert (made.credentials is not None) is ("password" in said)


@pytest.mark.parametrize(
    ("said", "routes"), MATRIX, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_the_settings_before_mailers_mean_the_same(said: dict[str, Any], routes: tuple[Route, ...]) -> None:
    given = {LEGACY[name]: value for name, value in said.items()}
    with before_mailers(EMAIL_HOST=H, **given):
        made = backend().submitter.settings
        if "port" in said:
            assert made.routes == routes
        else:  # there, the port is 25 if nothing is said
            assert made.routes == (Route(H, 25, routes[0].security),)
    assert (made.credentials is not None) is ("password" in said)


def test_a_host_with_a_security_is_that_route() -> None:
    made = account(host=H, security="implicit-tls", **LOGIN)
    assert made.routes == (S465,)
    assert account(host=H, port="4650", security="implicit-tls", **LOGIN).routes == (Route(H, 4650, SSL),)


def test_an_address_is_enough() -> None:
    made = account(address="me@gmail.com", password="secret")
    assert made.search is not None
    assert made.search.address == "me@gmail.com"
    assert made.credentials is not None
    assert made.credentials.username == "me@gmail.com"


def test_routes_are_taken_as_they_are_and_the_second_one_is_used(
    options: dict[str, Any], sandbox: Sandbox
) -> None:
    del options["url"]
    login = {"username": USER, "password": PASSWORD}
    with override_settings(**mailers({**options, "routes": sandbox.routes, **login})):
        sandbox.close_port(587)
        assert letter().send() == 1
    assert [received.service for received in sandbox.messages] == [465]


def test_a_port_that_is_blocked_does_not_keep_mail_from_going(
    options: dict[str, Any], sandbox: Sandbox
) -> None:
    del options["url"]
    wishes = {
        "routes": sandbox.routes,
        "username": USER,
        "password": PASSWORD,
        "timeouts": Timeouts(connect=0.5),
    }
    with override_settings(**mailers({**options, **wishes})):
        sandbox.block(587)
        assert letter().send() == 1
    assert [received.service for received in sandbox.messages] == [465]


def test_an_options_own_meaning() -> None:
    made = account(
        url="submission://me:secret@mail.example.com",
        sender="Web <web@example.com>",
        pool_size=2,
        retry=portmail.Retry(attempts=2),
        timeouts=Timeouts(connect=1),
        local_hostname="web1.example.com",
    )
    assert (made.routes, made.sender, made.pool_size) == ((S587,), "Web <web@example.com>", 2)
    assert (made.retry, made.timeouts) == (portmail.Retry(attempts=2), Timeouts(connect=1))
    assert made.local_hostname == "web1.example.com"


def test_one_timeout_is_for_each_step_as_djangos_is() -> None:
    made = account(host=H, timeout=7)
    assert (made.timeouts.connect, made.timeouts.command, made.timeouts.final) == (7, 7, 7)
    assert made.timeouts.total == Timeouts().total


def test_certificates_of_the_client_are_djangos_options_too(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("web.example.com")
    both, chain, key = (tmp_path / f"{name}.pem" for name in ("both", "chain", "key"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(both))
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    certificate.private_key_pem.write_to_path(str(key))
    made = account(host=H, use_tls=True, ssl_certfile=str(chain), ssl_keyfile=str(key))
    assert (made.client_cert, made.client_key) == (chain, key)
    made = account(host=H, use_tls=True, ssl_certfile=str(both), ssl_keyfile=str(both))
    assert (made.client_cert, made.client_key) == (both, None)
    with before_mailers(EMAIL_HOST=H, EMAIL_SSL_CERTFILE=str(chain), EMAIL_SSL_KEYFILE=str(key)):
        made = backend().submitter.settings
    assert (made.client_cert, made.client_key) == (chain, key)


def token() -> str:
    """What a token_source names."""
    return "ya29.fresh"


@pytest.mark.parametrize("source", [f"{__name__}.token", functools.partial(token)])
def test_a_token_comes_from_a_callable_or_from_its_dotted_path(source: Any, tmp_path: Path) -> None:
    with Sandbox(users={}, tokens={"me": "ya29.fresh"}) as server:
        wishes = {"url": f"submission://me@127.0.0.1:{server.port(587)}", "tls_ca": server.ca}
        with override_settings(**mailers({**wishes, "token_source": source})):
            assert letter().send() == 1
        assert server.messages[0].username == "me"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"host": H, "url": "submission://mail.example.com"}, "give one"),
        ({"host": H, "use_tls": True, "use_ssl": True}, "use_ssl|EMAIL_USE_SSL"),
        ({"url": "smtp//nonsense"}, "no scheme"),
        ({"host": "no host"}, "host"),
        ({"host": H, "port": "smtp"}, "port"),
        ({"host": H, "timeout": -1}, "second"),
        ({"url": "submission://me@mail.example.com", "token_source": "no.such.module"}, "token_source"),
        ({"url": "submission://mail.example.com", "tls_ca": "/no/such/file.pem"}, "/no/such/file.pem"),
        ({"host": H, **LOGIN, "security": "plaintext"}, "."),
        ({"address": "nonsense"}, "@"),
        ({"url": "submission://me@mail.example.com", "token_source": 5}, "token_source is a function, or"),
        ({"url": "submission://me@mail.example.com", "token_source": "os.sep"}, "is no function"),
    ],
)
def test_settings_that_cannot_be_met_are_told_and_never_silent(options: dict[str, Any], match: str) -> None:
    for silently in ({}, {"fail_silently": True}):
        given = {**options, **(silently if MAILERS else {})}
        with override_settings(**mailers(given)):
            with pytest.raises(ImproperlyConfigured, match=match) as caught:
                backend(**({} if MAILERS else silently)).send_messages([letter()])
        assert isinstance(caught.value, MailNotConfigured)
        assert isinstance(caught.value, portmail.ConfigurationError)
        assert str(caught.value).startswith("MAILERS['default']: " if MAILERS else "")
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own
        assert (type(again), str(again)) == (MailNotConfigured, str(caught.value))


def test_an_option_that_there_is_not_is_refused() -> None:
    with override_settings(**mailers({"host": H, "pol_size": 3})):
        with pytest.raises(ImproperlyConfigured, match="pol_size"):
            backend()


def test_nowhere_to_send_is_told() -> None:
    with override_settings(**mailers({"pool_size": 3})):
        if MAILERS:
            with pytest.raises(ImproperlyConfigured, match="'host'"):
                backend()
        else:  # there is always a host: Django's default
            assert backend().submitter.settings.routes == (Route("localhost", 25, IF_OFFERED),)


@only_mailers
def test_mailers_are_used_by_their_aliases(options: dict[str, Any], sandbox: Sandbox) -> None:
    from django.core.mail import InvalidMailer

    import portmail.django as ours

    aliases = mailers({"host": H}, sandbox=options)
    with override_settings(**aliases):
        assert send_mail("hello", "text", FROM, [TO], using="sandbox") == 1
        message = letter()
        assert message.send(using="sandbox") == 1
        assert ours.receipt(message) is not None
        assert asyncio.run(ours.asend_mail("hello", "text", FROM, [TO], using="sandbox")) == 1
        named: Any = mail.mailers["sandbox"]
        assert (named.alias, backend().host) == ("sandbox", H)
        with pytest.raises(KeyError, match="nowhere"):
            letter().send(using="nowhere")
    assert len(sandbox.messages) == 3
    with override_settings(**mailers({"host": H, "alias": "other"})):
        with pytest.raises(InvalidMailer, match="alias"):
            backend()


def test_only_the_backend_need_be_changed(options: dict[str, Any], sandbox: Sandbox) -> None:
    account = with_login(sandbox, USER, PASSWORD)
    with before_mailers(**account, EMAIL_USE_TLS=True, PORTMAIL={"tls_ca": options["tls_ca"]}):
        assert send_mail("hello", "text", None, [TO]) == 1
    assert [(it.username, it.tls) for it in sandbox.messages] == [(USER, "TLSv1.3")]


def test_an_account_url_may_be_all_of_it(options: dict[str, Any], sandbox: Sandbox) -> None:
    with before_mailers(PORTMAIL=f"{options['url']}?ca={options['tls_ca']}", EMAIL_HOST=H):
        assert send_mail("hello", "text", None, [TO]) == 1
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize("empty", [None, {}])
def test_an_empty_portmail_is_none(empty: Any) -> None:
    with before_mailers(PORTMAIL=empty, EMAIL_HOST=H):
        assert backend().submitter.settings.routes == (Route(H, 25, IF_OFFERED),)


def test_an_unknown_option_of_portmail_is_refused() -> None:
    with before_mailers(PORTMAIL={"uri": "submission://mail.example.com"}):
        with pytest.raises(ImproperlyConfigured, match="PORTMAIL: there is no option 'uri'"):
            backend()


@pytest.fixture
def environ(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The account is in the environment."""
    monkeypatch.setenv("PORTMAIL_URL", options["url"])
    monkeypatch.setenv("PORTMAIL_CA", options["tls_ca"])
    return monkeypatch


def test_without_a_host_the_account_is_the_environments(
    environ: pytest.MonkeyPatch, options: dict[str, Any], sandbox: Sandbox
) -> None:
    with override_settings(**mailers({})):
        assert letter().send() == 1
    with before_mailers():
        assert letter().send() == 1
    assert [received.username for received in sandbox.messages] == [USER, USER]


def test_a_host_that_is_set_goes_before_the_environment(environ: pytest.MonkeyPatch) -> None:
    assert account(host=H).routes == (Route(H, 25, IF_OFFERED),)
    with before_mailers(EMAIL_HOST=H):
        assert backend().submitter.settings.routes == (Route(H, 25, IF_OFFERED),)


def test_an_environment_that_changed_is_another_account(environ: pytest.MonkeyPatch) -> None:
    with override_settings(**mailers({})):
        before = backend().submitter
        assert backend().submitter is before
        environ.setenv("PORTMAIL_URL", "submission://me:secret@mail.example.com")
        assert backend().submitter.settings.routes == (S587,)


def test_settings_that_changed_are_another_account(options: dict[str, Any], sandbox: Sandbox) -> None:
    with Sandbox(users={USER: PASSWORD}) as other:
        for server in (sandbox, other, sandbox):
            with override_settings(**mailers({"url": server.url, "tls_ca": str(server.ca)})):
                assert letter().send() == 1
        assert [len(it.messages) for it in (sandbox, other)] == [2, 1]
        assert len(sandbox.sessions) == 1


def test_arguments_go_before_settings(options: dict[str, Any], sandbox: Sandbox) -> None:
    with before_mailers(**with_login(sandbox, "you", "wrong"), PORTMAIL={"tls_ca": options["tls_ca"]}):
        assert send_mail("hello", "text", None, [TO], auth_user=USER, auth_password=PASSWORD) == 1
        mine = backend(host=H, port=2525, use_tls=True)
        assert mine.submitter.settings.routes == (Route(H, 2525, TLS),)
        assert (mine.host, mine.username, mine.fail_silently) == (H, "you", False)
        with pytest.raises(portmail.AuthenticationFailed):
            letter().send()
    assert [received.username for received in sandbox.messages] == [USER]


def test_arguments_go_before_portmail_too(options: dict[str, Any], sandbox: Sandbox) -> None:
    said = {"url": f"submission://{sandbox.host}:{sandbox.port(587)}", "username": "you", "password": "wrong"}
    with before_mailers(PORTMAIL={**said, "tls_ca": options["tls_ca"]}):
        assert send_mail("hello", "text", None, [TO], auth_user=USER, auth_password=PASSWORD) == 1
    assert [received.username for received in sandbox.messages] == [USER]


def test_a_host_that_is_an_argument_is_not_shown_the_account_of_the_url(options: dict[str, Any]) -> None:
    with before_mailers(PORTMAIL=options):
        made = backend(host=H, port=25).submitter.settings
    assert (made.routes, made.credentials) == ((Route(H, 25, IF_OFFERED),), None)


def test_no_setting_is_read_that_django_took_away() -> None:
    with override_settings(**mailers({"host": H})):
        assert backend().submitter.settings.routes[0].host == H
        if MAILERS:
            with pytest.raises(AttributeError):
                _ = settings.EMAIL_HOST
