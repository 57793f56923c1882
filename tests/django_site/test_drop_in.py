"""Does everything that a Django site calls do what it did with Django's own backend?"""

from __future__ import annotations

import logging
import smtplib
import sys
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.core import mail
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    mail_admins,
    mail_managers,
    send_mail,
    send_mass_mail,
)
from django.core.management import call_command
from django.test import override_settings
from django.utils.functional import lazystr

import portmail
import portmail.django as ours
from portmail.sandbox import Sandbox
from tests.django_site.site import FROM, GONE, LOCMEM, MAILERS, OTHER, TO, backend, letter, mailers

pytestmark = pytest.mark.usefixtures("site")


def test_send_mail_sends_and_says_how_many(sandbox: Sandbox) -> None:
    assert send_mail("hello", "text", None, [TO], html_message="<p>html</p>") == 1
    [received] = sandbox.messages
    assert (received.sender, received.recipients) == (FROM, (TO,))
    assert (received.tls, received.username) == ("TLSv1.3", "me@example.org")
    assert received.message["Subject"] == "hello"
    html = received.message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>html</p>"


def test_send_mass_mail_says_how_many(sandbox: Sandbox) -> None:
    data = tuple((f"number {number}", "text", FROM, [TO]) for number in range(7))
    assert send_mass_mail(data) == 7
    assert sorted(received.message["Subject"] for received in sandbox.messages) == [it[0] for it in data]
    assert len(sandbox.sessions) <= 5


@pytest.mark.parametrize("tell", [mail_admins, mail_managers])
def test_admins_and_managers_are_told(tell: Callable[[str, str], None], sandbox: Sandbox) -> None:
    tell("disk full", "text")
    [received] = sandbox.messages
    assert (received.sender, received.recipients) == ("root@example.com", ("admin@example.com",))
    assert received.message["Subject"] == "[Django] disk full"


def test_sendtestemail_sends(sandbox: Sandbox) -> None:
    call_command("sendtestemail", TO, "--admins")
    assert [received.recipients for received in sandbox.messages] == [(TO,), ("admin@example.com",)]


def test_all_that_a_message_can_have_arrives(sandbox: Sandbox) -> None:
    message = EmailMultiAlternatives(
        subject="Grüße",
        body="text",
        from_email="Web <web@example.com>",
        to=["Änn <ann@example.org>"],
        cc=["cc@example.org"],
        bcc=["bcc@example.org"],
        reply_to=["reply@example.com"],
        headers={"X-Tag": "a tag", "Message-ID": "<mine@example.com>", "X-Empty": ""},
        attachments=[("data.bin", b"\x00\xff\r\n", "application/octet-stream")],
    )
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach("notes.txt", "a note", "text/plain")
    assert message.send() == 1
    [received] = sandbox.messages
    assert received.recipients == (TO, "cc@example.org", "bcc@example.org")
    got = received.message
    assert (got["Subject"], got["From"], got["To"]) == (
        "Grüße",
        "Web <web@example.com>",
        "Änn <ann@example.org>",
    )
    assert (got["Cc"], got["Bcc"], got["Reply-To"]) == ("cc@example.org", None, "reply@example.com")
    assert got["Subject"] == "Grüße"
    assert (got["X-Tag"], got["Message-ID"], got["X-Empty"]) == ("a tag", "<mine@example.com>", "")
    assert b"bcc@" not in received.content
    names = {part.get_filename(): part.get_content() for part in got.iter_attachments()}
    assert (names["data.bin"], names["notes.txt"].strip()) == (b"\x00\xff\r\n", "a note")


def test_what_is_sent_has_only_whole_line_ends_and_keeps_its_dots(sandbox: Sandbox) -> None:
    body = "From here\n.one dot\n..two dots\r\nmixed\n.\nend"
    EmailMessage("hello", body, FROM, [TO]).send()
    [received] = sandbox.messages
    assert received.content.replace(b"\r\n", b"").count(b"\n") == 0
    assert b"\r\nFrom here\r\n.one dot\r\n..two dots\r\nmixed\r\n.\r\nend" in received.content


def test_a_big_attachment_arrives_whole(sandbox: Sandbox) -> None:
    octets = bytes(range(256)) * 2048
    message = letter()
    message.attach("big.bin", octets, "application/octet-stream")
    assert message.send() == 1
    [part] = sandbox.messages[0].message.iter_attachments()
    assert part.get_content() == octets


def test_a_message_to_nobody_is_not_sent_and_does_not_count(sandbox: Sandbox) -> None:
    nobody = EmailMessage("hello", "text", FROM, [])
    assert nobody.send() == 0
    assert backend().send_messages([nobody, letter(), EmailMessage(to=["", None])]) == 1  # type: ignore[list-item]  # as sites do
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize("nothing", [[], (), None, iter(())])
def test_no_messages_connect_to_nobody(nothing: Any, sandbox: Sandbox) -> None:
    assert backend().send_messages(nothing) == 0
    assert sandbox.sessions == ()


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda them: (it for it in them)])
def test_messages_come_in_anything_that_can_be_walked(kind: Callable[[Any], Any], sandbox: Sandbox) -> None:
    assert backend().send_messages(kind([letter(), letter(OTHER)])) == 2
    assert {received.recipients for received in sandbox.messages} == {(TO,), (OTHER,)}


def test_open_says_whether_a_connection_was_needed_and_the_next_messages_take_it(sandbox: Sandbox) -> None:
    mine = backend()
    assert (mine.open(), mine.open()) == (True, False)
    assert (len(sandbox.sessions), sandbox.messages) == (1, ())
    assert mine.send_messages([letter()]) == 1
    assert mine.open() is False
    mine.close()
    mine.close()
    assert mine.open() is True
    assert len(sandbox.sessions) == 1


def test_a_backend_is_a_context_manager(sandbox: Sandbox) -> None:
    with backend() as mine:
        assert mine.connection is not None
        for number in range(3):
            assert mine.send_messages([letter(subject=f"number {number}")]) == 1
    assert mine.connection is None
    assert [it.message["Subject"] for it in sandbox.messages] == ["number 0", "number 1", "number 2"]
    assert len(sandbox.sessions) == 1


def silent(options: dict[str, Any]) -> Any:
    """A backend that fails silently."""
    with override_settings(**mailers(options | ({"fail_silently": True} if MAILERS else {}))):
        return backend(**({} if MAILERS else {"fail_silently": True}))


def test_silently_no_connection_is_nothing_sent(site: dict[str, Any], sandbox: Sandbox) -> None:
    for service in (587, 465):
        sandbox.close_port(service)
    message = letter()
    mine = silent(site | {"retry": portmail.Retry(attempts=1)})
    assert (mine.open(), mine.send_messages([message])) == (None, 0)
    assert isinstance(vars(message)["portmail_error"], portmail.Unreachable)
    with mine:
        assert mine.connection is None


def test_no_connection_is_an_error_of_smtplib_and_of_the_system(
    site: dict[str, Any], sandbox: Sandbox
) -> None:
    sandbox.close_port(587)
    with override_settings(**mailers(site | {"retry": portmail.Retry(attempts=1)})):
        with pytest.raises(OSError, match="Not connected: no route is open") as caught:
            letter().send()
    assert isinstance(caught.value, smtplib.SMTPServerDisconnected)
    assert isinstance(caught.value, portmail.Unreachable)


def test_silently_a_refusal_is_nothing_sent_and_its_error_is_kept(
    site: dict[str, Any], sandbox: Sandbox
) -> None:
    sandbox.reject(GONE)
    gone, fine = letter(GONE), letter()
    assert silent(site).send_messages([gone, fine]) == 1
    assert isinstance(vars(gone)["portmail_error"], portmail.Rejected)
    assert ours.receipt(gone) is None
    assert ours.receipt(fine) is not None


def test_a_refusal_is_an_error_of_smtplib(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        send_mail("hello", "text", None, [GONE])
    assert caught.value.recipients == {GONE: (550, b"5.1.1 no such user")}
    assert isinstance(caught.value, portmail.Rejected)


def test_what_the_program_got_wrong_is_never_silent(site: dict[str, Any], sandbox: Sandbox) -> None:
    class Broken(EmailMessage):
        def message(self, *_args: Any, **_given: Any) -> Any:
            raise LookupError("a template")

    broken, fine = Broken(to=[TO]), letter()
    with pytest.raises(LookupError, match="a template"):
        silent(site).send_messages([broken, fine])
    assert len(sandbox.messages) == 1
    with pytest.raises(ValueError, match=r"newlines|linefeed"):
        silent(site).send_messages([letter(subject="a\nBcc: everybody@example.org")])
    assert len(sandbox.messages) == 1


def test_the_log_handler_for_admins_sends(sandbox: Sandbox) -> None:
    from django.utils.log import AdminEmailHandler

    handler = AdminEmailHandler(using="default") if MAILERS else AdminEmailHandler()
    try:
        raise LookupError("no such page")
    except LookupError:
        record = logging.LogRecord(
            "django.request", logging.ERROR, "views.py", 1, "it broke", (), sys.exc_info()
        )
    handler.handle(record)
    [received] = sandbox.messages
    assert received.message["Subject"] == "[Django] ERROR: it broke"
    assert "no such page" in received.message.get_content()


def test_in_a_sites_own_tests_nothing_is_sent_and_there_is_no_receipt(
    site: dict[str, Any], sandbox: Sandbox
) -> None:
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment()
    try:
        message = letter()
        assert message.send() == 1
        assert ours.receipt(message) is None
        assert [sent.subject for sent in mail.outbox] == ["hello"]
    finally:
        teardown_test_environment()
    assert sandbox.sessions == ()


def test_another_backend_gives_no_receipt() -> None:
    with override_settings(**mailers({}, backend=LOCMEM)):
        message = letter()
        message.send()
    assert ours.receipt(message) is None
    mail.outbox.clear()


def test_names_and_addresses_may_be_translated_when_they_are_used(sandbox: Sandbox) -> None:
    lazy: Any = lazystr
    message = EmailMessage(lazy("hello"), "text", lazy("Web <web@example.com>"), [lazy(TO)])
    assert message.send() == 1
    [received] = sandbox.messages
    assert (received.sender, received.recipients) == (FROM, (TO,))


def test_local_names_go_as_they_are(sandbox: Sandbox) -> None:
    assert send_mail("hello", "text", "webmaster", ["root"]) == 1
    assert (sandbox.messages[0].sender, sandbox.messages[0].recipients) == ("webmaster", ("root",))


@pytest.mark.parametrize("named", ["Root <root>", "<root>", "root", '"Root, the" <root>'])
def test_local_names_may_have_a_display_name(named: str, sandbox: Sandbox) -> None:
    assert send_mail("hello", "text", named, [named, TO]) == 1
    assert (sandbox.messages[0].sender, sandbox.messages[0].recipients) == ("root", ("root", TO))


@pytest.mark.parametrize("named", ["Root <root", "two names", "a<b><root>"])
def test_what_is_no_local_name_is_told_and_never_silent(
    named: str, site: dict[str, Any], sandbox: Sandbox
) -> None:
    with pytest.raises(ValueError, match=r"address|mailbox|local"):
        silent(site).send_messages([letter(named)])
    assert sandbox.messages == ()


def test_international_domains_go_as_a_labels(sandbox: Sandbox) -> None:
    assert send_mail("hello", "text", "web@bücher.example", ["Änn <ann@bücher.example>"]) == 1
    [received] = sandbox.messages
    assert received.sender == "web@xn--bcher-kva.example"
    assert received.recipients == ("ann@xn--bcher-kva.example",)
    assert "SMTPUTF8" not in received.parameters


def test_an_international_local_part_arrives_unencoded(sandbox: Sandbox) -> None:
    assert send_mail("hello", "text", FROM, ["nø@example.dk"]) == 1
    [received] = sandbox.messages
    assert received.recipients == ("nø@example.dk",)
    assert "SMTPUTF8" in received.parameters
    if django.VERSION >= (6, 0):  # before, Django itself encodes it in the header
        assert "To: nø@example.dk".encode() in received.content


@pytest.mark.parametrize(
    "address", ["a@@example.org", "a b@example.org", "ann@", "a@example.org\r\nRCPT TO:<b@c.de>"]
)
def test_an_address_that_cannot_travel_is_told_and_nothing_is_sent(
    address: str, site: dict[str, Any], sandbox: Sandbox
) -> None:
    with pytest.raises(ValueError, match=r"address|newline|Invalid|linefeed"):
        letter(address).send()
    with pytest.raises(ValueError, match=r"address|newline|Invalid|linefeed"):
        letter(from_email=address).send()
    with pytest.raises(ValueError, match=r"address|newline|Invalid|linefeed"):
        silent(site).send_messages([letter(address)])
    assert sandbox.messages == ()


def test_without_a_sender_it_is_the_default(sandbox: Sandbox) -> None:
    assert letter(from_email=None).send() == 1
    assert letter(from_email="").send() == 1
    assert {received.sender for received in sandbox.messages} == {FROM}


def test_a_from_in_the_headers_is_shown_and_the_envelope_is_from_email(sandbox: Sandbox) -> None:
    letter(from_email="bounce@example.com", headers={"From": "Web <web@example.com>"}).send()
    [received] = sandbox.messages
    assert (received.sender, received.message["From"]) == ("bounce@example.com", "Web <web@example.com>")
