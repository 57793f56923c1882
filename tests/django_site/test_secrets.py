"""Who sees the password? No line in clear, no text, no frame."""

from __future__ import annotations

import smtplib
from traceback import TracebackException
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import override_settings
from django.views.debug import ExceptionReporter

import portmail
from portmail.sandbox import Sandbox
from tests.django_site.site import OWN, backend, before_mailers, letter, mailers, with_login
from tests.leaks import PASSWORD, USER, Scanner, chain, traces


def words(sandbox: Sandbox, *, service: int = 587) -> dict[str, Any]:
    """The sandbox in the options of Django's own backend, without a TLS flag."""
    return {
        "host": sandbox.host,
        "port": sandbox.port(service),
        "username": USER,
        "password": PASSWORD,
        "tls_ca": str(sandbox.ca),
    }


def shown(sandbox: Sandbox) -> list[bytes]:
    """Every form of user and password that was on the wire in clear."""
    return [trace for session in sandbox.sessions for trace in traces(session.plaintext)]


@pytest.mark.parametrize("service", [587, 465, 25])
def test_a_password_without_a_flag_is_never_shown_to_a_server_without_tls(
    service: int, sandbox: Sandbox
) -> None:
    sandbox.strip_starttls()
    with override_settings(**mailers(words(sandbox, service=service))):
        with pytest.raises(smtplib.SMTPException) as caught:
            letter().send()
    assert isinstance(caught.value, portmail.InsecureChannel | portmail.Unreachable)
    assert isinstance(caught.value, portmail.InsecureChannel) or service == 465
    assert len(sandbox.sessions) >= 1
    assert shown(sandbox) == []
    assert sum(session.authentications for session in sandbox.sessions) == 0
    assert sandbox.messages == ()


def test_nor_are_the_settings_that_there_were_before(options: dict[str, Any], sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    account = with_login(sandbox, USER, PASSWORD)
    with before_mailers(**account, PORTMAIL={"tls_ca": options["tls_ca"]}):
        with pytest.raises(portmail.InsecureChannel) as caught:
            letter().send()
    assert isinstance(caught.value, smtplib.SMTPNotSupportedError)
    assert "STARTTLS extension not supported by server." in str(caught.value)
    assert len(sandbox.sessions) == 1
    assert shown(sandbox) == []


def test_without_a_flag_it_is_tls_all_the_same(sandbox: Sandbox) -> None:
    with override_settings(**mailers(words(sandbox))):
        assert letter().send() == 1
    assert [(it.tls, it.username) for it in sandbox.messages] == [("TLSv1.3", USER)]
    assert shown(sandbox) == []


def test_a_certificate_that_nobody_vouches_for_sees_no_password(sandbox: Sandbox) -> None:
    account = {name: value for name, value in words(sandbox).items() if name != "tls_ca"}
    with override_settings(**mailers({**account, "use_tls": True})):
        with pytest.raises(portmail.InsecureChannel):
            letter().send()
    assert sum(session.authentications for session in sandbox.sessions) == 0


def test_silently_it_is_not_shown_either(sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    with override_settings(**mailers(words(sandbox))):
        mine = backend()
        mine.fail_silently = True
        assert mine.send_messages([letter()]) == 0
    assert shown(sandbox) == []


def test_a_backend_does_not_show_it_when_it_is_printed(sandbox: Sandbox) -> None:
    with override_settings(**mailers({"url": sandbox.url, "tls_ca": str(sandbox.ca)})):
        mine = backend()
        letter().send()
        scanner = Scanner(PASSWORD)
        assert [text for text in (repr(mine), str(mine), repr(mine.submitter)) if scanner.text(text)] == []
        assert scanner.shown(mine.submitter) == []
        with mine:
            assert not scanner.text(repr(mine.connection))


@pytest.mark.parametrize("wrong", [False, True], ids=["refused", "no login"])
@pytest.mark.parametrize("in_words", [False, True], ids=["url", "words"])
def test_no_error_shows_it_nor_does_a_frame_outside_of_djangos_own(
    wrong: bool, in_words: bool, sandbox: Sandbox
) -> None:
    sandbox.reject("ann@example.org")
    other = "a wrong password, long enough"
    said = {"url": sandbox.url, "tls_ca": str(sandbox.ca)}
    if in_words:
        said = words(sandbox)
    if wrong:
        said |= {"password": other}
    with override_settings(**mailers(said)), pytest.raises(portmail.DeliveryError) as caught:
        backend().send_messages([letter()])  # not .send(): then a message knows its backend, before 6.1
    # A backend has its options as attributes, as Django's own has: `self` in its frames does not count.
    scanner = Scanner(
        other if wrong else PASSWORD, own=lambda file: file.startswith(OWN) or "/tests/" in file
    )
    assert scanner.error(caught.value) == []


def test_settings_that_cannot_be_met_do_not_show_it() -> None:
    for url in (f"submission://me:{PASSWORD}@mail.example.com/path", f"smtp://me:{PASSWORD}@x:99999"):
        with override_settings(**mailers({"url": url})), pytest.raises(portmail.ConfigurationError) as caught:
            letter().send()
        assert not Scanner(PASSWORD).text(str(caught.value) + repr(caught.value))


def test_what_the_command_says_does_not_show_it(
    options: dict[str, Any], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with override_settings(**mailers(options)):
        call_command("portmail", "check")
        call_command("check", deploy=True)
    said = "".join(capsys.readouterr())
    assert USER in said
    assert not Scanner(PASSWORD).text(said)


SECRET = "correct%20horse%20battery"

LOGIN = {"username": "me", "password": SECRET}


@pytest.mark.parametrize(
    "said",
    [
        {"url": f"submission://me:{SECRET}@mail.example.com/path"},
        {"url": "submission://me@mail.example.com:99999", "password": SECRET},
        {"host": "no host", **LOGIN},
        {"host": "mail.example.com", **LOGIN, "use_tls": True, "use_ssl": True},
        {"host": "mail.example.com", **LOGIN, "timeout": -1},
        {"host": "mail.example.com", **LOGIN, "pol_size": 3},
        {"url": "submission://me@mail.example.com", "password": SECRET, "tls_ca": "/no/such/file.pem"},
    ],
)
def test_no_frame_of_settings_that_cannot_be_met_shows_it(said: dict[str, Any]) -> None:
    with override_settings(**mailers(said)):
        with pytest.raises(ImproperlyConfigured) as caught:
            letter_of(backend)
    found = [
        (summary.filename, summary.name, name)
        for error in chain(caught.value)
        for summary in TracebackException.from_exception(error, capture_locals=True).stack
        for name, value in (summary.locals or {}).items()
        if SECRET in value and "/tests/" not in summary.filename
    ]
    # Django's own handler of MAILERS has the options in its variables.
    assert [it for it in found if not it[0].endswith("django/core/mail/handler.py")] == []


def test_no_frame_shows_it_where_descriptors_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("portmail.door.room_for_descriptors", none_left)
    with before_mailers(EMAIL_HOST="mail.example.com", EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD=SECRET):
        with pytest.raises(smtplib.SMTPException, match="Too many open files") as caught:
            letter_of(backend)
        with pytest.raises(portmail.Unreachable) as raised:
            _ = backend().submitter
    assert isinstance(caught.value, portmail.Unreachable)
    assert shown_by(caught.value) == shown_by(raised.value) == []


@pytest.mark.parametrize("name", ["EMAIL_HOST_PASSWORD", "PORTMAIL_PASSWORD"])
@pytest.mark.usefixtures("broken_tokens")
def test_djangos_error_page_does_not_show_it_whatever_a_module_of_the_sites_raises(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: dict[str, Any] = {"token_source": "broken_tokens.get"}
    said: dict[str, Any] = {"EMAIL_HOST": "mail.example.com", "EMAIL_HOST_USER": "me", name: SECRET}
    if name == "PORTMAIL_PASSWORD":
        monkeypatch.setenv(name, SECRET)
        said, source = {}, {"url": "submission://me@mail.example.com", **source}
    with before_mailers(**said, PORTMAIL=source), pytest.raises(ImproperlyConfigured) as caught:
        letter_of(backend)
    assert "KeyError: 'NO_SUCH_VARIABLE'" in str(caught.value)
    assert shown_by(caught.value) == []
    below = caught.tb.tb_next  # the frame of this test knows it
    error = caught.value.with_traceback(below)
    page = ExceptionReporter(None, caught.type, error, below).get_traceback_html()
    assert "NO_SUCH_VARIABLE" in page
    assert "_set_up" in page or "submitter" in page
    assert SECRET not in page


def shown_by(error: BaseException) -> list[tuple[str, str]]:
    """The variables that an error tracker shows with the secret in them, outside of the tests."""
    return [
        (summary.name, name)
        for cause in chain(error)
        for summary in TracebackException.from_exception(cause, capture_locals=True).stack
        for name, value in (summary.locals or {}).items()
        if SECRET in value and "/tests/" not in summary.filename
    ]


def letter_of(make: Any) -> None:
    """What sends, in a frame that knows no settings."""
    make().send_messages([letter()])
