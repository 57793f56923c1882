"""Flask-Mail's `Message`: what a program fills in is what leaves, and what cannot leave is told."""

from __future__ import annotations

import pickle
import smtplib
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from flask import Flask

from portmail import AddressError, ContentError, HeaderError
from portmail.integrations.flask import (
    Attachment,
    BadHeaderError,
    FlaskMailUnicodeDecodeError,
    Mail,
    Message,
    force_text,
    sanitize_address,
    sanitize_addresses,
    sanitize_subject,
)


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An application at work, whose mail is suppressed."""
    monkeypatch.delenv("PORTMAIL_URL", raising=False)
    app = Flask("shop")
    app.config.update(TESTING=True, MAIL_DEFAULT_SENDER="shop@example.com")
    Mail(app)
    with app.app_context():
        yield app


class Lazy:
    """A text that is made when it is needed, as translations are."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def read(message: Message) -> EmailMessage:
    """What somebody gets who receives it."""
    octets = message.as_bytes()
    assert octets.isascii()
    assert octets.count(b"\n") == octets.count(b"\r\n")
    return message_from_bytes(octets, policy=policy.default)


def kinds(email: EmailMessage) -> object:
    """The tree of types."""
    if not email.is_multipart():
        return email.get_content_type()
    return email.get_content_subtype(), [kinds(part) for part in email.iter_parts()]  # type: ignore[arg-type]  # of the same policy


def test_a_text_is_a_mail_with_all_that_a_mail_needs() -> None:
    message = Message("Hello", ["ann@example.org"], "It works.\n")
    email = read(message)
    assert dict(email.items()) | {"Date": ""} == {
        "Subject": "Hello",
        "From": "shop@example.com",
        "To": "ann@example.org",
        "Date": "",
        "Message-ID": message.msgId,
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }
    assert email.get_content() == "It works.\r\n"
    assert message.as_string() == str(message) == bytes(message).decode() == message.as_bytes().decode()


def test_the_date_is_the_one_that_is_given_or_now() -> None:
    before = int(time.time())
    assert read(Message(date=86400.0))["Date"].datetime.timestamp() == 86400
    assert before <= read(Message())["Date"].datetime.timestamp() <= time.time()


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("me@example.org", "example.org"),
        (("Me", "me@bücher.example"), "xn--bcher-kva.example"),
        ("me@[::1]", "localhost"),
    ],
)
def test_a_message_id_names_the_senders_domain_and_never_this_machine(sender: str, domain: str) -> None:
    message = Message(sender=sender)
    assert message.msgId.endswith(f"@{domain}>")
    assert message.msgId != Message(sender=sender).msgId


def test_the_arguments_have_flask_mails_order() -> None:
    message = Message(
        "subject", ["to@example.org"], "body", "<p>html</p>", {"x": "alt"}, "me@example.org",
        ["cc@example.org"], ["bcc@example.org"], [Attachment("a", None, "data")], "reply@example.org",
        1.0, "utf-8", {"X-A": "b"},
        ["BODY=8BITMIME"], ["NOTIFY=NEVER"],
    )  # fmt: skip
    assert (message.subject, message.recipients, message.body) == ("subject", ["to@example.org"], "body")
    assert (message.html, message.alts) == ("<p>html</p>", {"x": "alt", "html": "<p>html</p>"})
    assert (message.sender, message.cc, message.bcc) == (
        "me@example.org",
        ["cc@example.org"],
        ["bcc@example.org"],
    )
    assert (message.reply_to, message.date, message.charset) == ("reply@example.org", 1.0, "utf-8")
    assert (message.extra_headers, message.mail_options) == ({"X-A": "b"}, ["BODY=8BITMIME"])
    assert (message.rcpt_options, len(message.attachments)) == (["NOTIFY=NEVER"], 1)
    assert message.portmail_receipt is None


def test_nothing_that_is_not_given_is_shared_between_messages() -> None:
    first, second = Message(), Message()
    first.add_recipient("ann@example.org")
    first.attach("a.txt", data="x")
    first.alts["x"] = "y"
    assert (second.recipients, second.attachments, second.alts, second.body, second.html) == (
        [],
        [],
        {},
        None,
        None,
    )


def test_everybody_is_who_it_goes_to_once() -> None:
    message = Message(
        recipients=["a@example.org"], cc=["b@example.org"], bcc=["c@example.org", "a@example.org"]
    )
    assert message.send_to == {"a@example.org", "b@example.org", "c@example.org"}


def test_bcc_is_in_no_header() -> None:
    message = Message(
        recipients=["a@example.org"], cc=["b@example.org", "b@example.org"], bcc=["secret@example.org"]
    )
    assert b"secret" not in message.as_bytes()
    assert read(message)["Cc"] == "b@example.org"


@pytest.mark.parametrize(
    ("given", "kept", "name"),
    [
        (("Me", "me@example.org"), "Me <me@example.org>", "Me"),
        (("Doe, Jane", "me@example.org"), '"Doe, Jane" <me@example.org>', "Doe, Jane"),
        (('The "shop" \\', "me@example.org"), '"The \\"shop\\" \\\\" <me@example.org>', 'The "shop" \\'),
        (("Zoë → ✓", "me@example.org"), '"Zoë → ✓" <me@example.org>', "Zoë → ✓"),
        (("送信者", "me@example.org"), "送信者 <me@example.org>", "送信者"),
        (("=?utf-8?q?Zo=C3=AB?=", "me@example.org"), "=?utf-8?q?Zo=C3=AB?= <me@example.org>", "Zoë"),
        (("", "me@example.org"), "me@example.org", ""),
        ("Me <me@example.org>", "Me <me@example.org>", "Me"),
    ],
)
def test_a_sender_may_have_any_name(given: str | tuple[str, str], kept: str, name: str) -> None:
    message = Message(sender=given)
    assert message.sender == kept
    [address] = read(message)["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "me@example.org")


def test_recipients_keep_their_order_and_their_names() -> None:
    message = Message(recipients=[("Bäcker, Jan", "b@example.org"), "a@example.org", "C <c@bücher.example>"])
    addresses = [(address.display_name, address.addr_spec) for address in read(message)["To"].addresses]
    assert addresses == [
        ("Bäcker, Jan", "b@example.org"),
        ("", "a@example.org"),
        ("C", "c@xn--bcher-kva.example"),
    ]


def test_one_text_is_no_list_of_addresses() -> None:
    with pytest.raises(AddressError, match=r"recipients='a@example\.org' must be a list"):
        Message(recipients="a@example.org")
    with pytest.raises(AddressError, match="give each one as an item"):
        Message(recipients=["a@example.org, b@example.org"]).as_bytes()
    with pytest.raises(AddressError, match=r"give a str, or \(name, address\)"):
        Message(recipients=[("a", "b", "c@example.org")]).as_bytes()  # type: ignore[list-item]  # on purpose


def test_reply_to_is_a_header() -> None:
    assert read(Message(reply_to=("Zoë", "z@example.org")))["Reply-To"].addresses[0].display_name == "Zoë"


@pytest.mark.parametrize(
    "subject", ["Grüße", Lazy("Grüße"), "Grüße".encode(), "Gr\r\n üße".replace("\r\n ", "")]
)
def test_a_subject_is_any_text(subject: str) -> None:
    assert read(Message(subject))["Subject"] == "Grüße"


def test_an_empty_subject_is_no_header() -> None:
    assert "Subject" not in read(Message())


def test_a_folded_subject_is_one_line() -> None:
    message = Message("one\r\n two\r\n\tthree", ["a@example.org"])
    assert not message.has_bad_headers()
    assert read(message)["Subject"] == "one two\tthree"


@pytest.mark.parametrize(
    "subject", ["a\r\nb", "a\r\n", "a\nb", "a\rb", "a\r\n \r\n b", "a\r\n ", "a\n b", "a\0b", "\r\n a"]
)
def test_a_subject_with_another_line_break_is_bad(subject: str) -> None:
    message = Message(subject, ["a@example.org"])
    assert message.has_bad_headers()
    with pytest.raises(BadHeaderError, match="Subject"):
        message.as_bytes()


@pytest.mark.parametrize("break_", ["\r\nBcc: eve@example.org", "\n", "\r", "\0"])
@pytest.mark.parametrize("field", ["recipients", "cc", "bcc", "sender", "reply_to", "extra_headers"])
def test_a_line_break_anywhere_in_the_header_is_bad(field: str, break_: str) -> None:
    message = Message("Hello", ["a@example.org"])
    value = f"a@example.org{break_}"
    listed = {"recipients": [value], "cc": [("x", value)], "bcc": [value], "extra_headers": {"X-A": value}}
    setattr(message, field, listed.get(field, value))
    assert message.has_bad_headers()
    if field != "bcc":
        with pytest.raises(BadHeaderError):
            message.as_bytes()
    with pytest.deprecated_call(match="has_bad_headers"):
        assert message.is_bad_headers()


def test_a_bad_header_is_flask_mails_error_and_ours_and_smtplibs() -> None:
    error = BadHeaderError("why")
    assert isinstance(error, HeaderError | smtplib.SMTPException)
    assert issubclass(BadHeaderError, HeaderError)
    assert str(pickle.loads(pickle.dumps(error))) == "why"  # noqa: S301  # our own
    assert str(BadHeaderError()) == ""


def test_extra_headers_are_added_or_replace_those_that_are_there() -> None:
    extra = {
        "X-Name": "Zoë",
        "message-id": "<own@example.org>",
        "To": "undisclosed-recipients:;",
        "X-Number": 5,
    }
    email = read(Message("Hello", ["a@example.org"], extra_headers=extra))  # type: ignore[arg-type]  # a number
    assert (email["X-Name"], email["X-Number"], email["To"]) == ("Zoë", "5", "undisclosed-recipients:;")
    assert email.get_all("Message-ID") == ["<own@example.org>"]


@pytest.mark.parametrize(
    "name", ["Bcc", "content-type", "MIME-Version", "Content-Transfer-Encoding", "X A", "X:", ""]
)
def test_what_cannot_be_an_extra_header_is_told(name: str) -> None:
    with pytest.raises(BadHeaderError, match=name.rstrip(":") or "no header name"):
        Message("Hello", ["a@example.org"], extra_headers={name: "a@example.org"}).as_bytes()


def test_html_goes_beside_the_text() -> None:
    message = Message(body="text", html="<p>Zoë</p>", alts={"x-amp-html": "<amp>"})
    email = read(message)
    assert kinds(email) == ("alternative", ["text/plain", "text/x-amp-html", "text/html"])
    assert [part.get_content() for part in email.iter_parts()] == [
        "text\r\n",
        "<amp>\r\n",
        "<p>Zoë</p>\r\n",
    ]
    message.html = None
    assert message.alts == {"x-amp-html": "<amp>"}


def test_a_message_with_files_is_mixed() -> None:
    message = Message(body="text", html="<p>")
    message.attach("a.pdf", data=b"%PDF")
    assert kinds(read(message)) == (
        "mixed",
        [("alternative", ["text/plain", "text/html"]), "application/pdf"],
    )
    message.html = None
    assert kinds(read(message)) == ("mixed", ["text/plain", "application/pdf"])
    assert kinds(read(Message())) == "text/plain"


@pytest.mark.parametrize(
    ("charset", "body", "leaves_as"),
    [
        (None, "Grüße", "utf-8"),
        ("iso-8859-15", "5 €", "iso-8859-15"),
        ("us-ascii", "plain", "us-ascii"),
        ("us-ascii", "Grüße", "utf-8"),
        ("shift_jis", "内容", "iso-2022-jp"),
        (None, "Grüße".encode(), "utf-8"),
        (None, Lazy("Grüße"), "utf-8"),
        (None, None, "utf-8"),
    ],
)
def test_a_text_travels_in_its_charset_if_that_has_its_letters(
    charset: str, body: Any, leaves_as: str
) -> None:
    email = read(Message(body=body, charset=charset))
    assert email.get_content_charset() == leaves_as
    wanted = body.decode() if isinstance(body, bytes) else str(body or "")
    assert email.get_content().rstrip("\r\n") == wanted


def test_a_charset_that_there_is_not_is_told() -> None:
    with pytest.raises(ContentError, match="charset='utf-9' is no charset"):
        Message(body="x", charset="utf-9").as_bytes()


@pytest.mark.parametrize("field", ["subject", "body", "html"])
def test_half_a_character_is_told(field: str) -> None:
    message = Message("x")
    setattr(message, field, "\ud83d")
    with pytest.raises(ContentError, match="half a character"):
        message.as_bytes()


@pytest.mark.parametrize(
    ("data", "name", "given", "kind", "octets"),
    [
        (b"\x89PNG", "a.png", None, "image/png", b"\x89PNG"),
        (b"x", None, None, "application/octet-stream", b"x"),
        ("Zoë", None, None, "text/plain", "Zoë".encode()),
        ("a;ü", "a.csv", None, "text/csv", "a;ü".encode()),
        (b"x", "a.eml", "message/rfc822", "application/octet-stream", b"x"),
        (b"x\n", "i.ics", "text/calendar; method=REQUEST; charset=utf-8", "text/calendar", b"x\n"),
        (bytearray(b"x"), "a.bin", None, "application/octet-stream", b"x"),
    ],
)
def test_a_file_arrives_as_it_is(
    data: Any, name: str | None, given: str | None, kind: str, octets: bytes
) -> None:
    message = Message(body="text")
    message.attach(name, given, data)
    [part] = read(message).iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == (kind, name)
    assert part.get_payload(decode=True) == octets
    assert part.get_content_disposition() == "attachment"
    if given and "method" in given:
        assert part["Content-Type"].params == {"method": "REQUEST", "charset": "utf-8"}
    if isinstance(data, str):
        assert part.get_content_charset() == "utf-8"


def test_a_file_has_the_headers_and_the_disposition_that_are_wanted() -> None:
    message = Message(html='<img src="cid:logo">')
    message.attach(
        "logo.png", "image/png", b"x", "inline", {"Content-ID": "<logo>", "X-Ä".replace("Ä", "A"): "ö"}
    )
    part = list(read(message).walk())[-1]
    assert (part["Content-ID"], part["X-A"], part.get_content_disposition()) == ("<logo>", "ö", "inline")


@pytest.mark.parametrize(
    ("ascii_only", "name", "arrives_as"),
    [
        (False, "Übersicht ← ✓ 2026.pdf", "Übersicht ← ✓ 2026.pdf"),
        (False, 'a "b"; c\\.txt', 'a "b"; c\\.txt'),
        (True, "Übersicht  ←.→ ✓.pdf", "Ubersicht . .pdf"),
        (False, "x" * 200 + "ü.txt", "x" * 200 + "ü.txt"),
    ],
)
def test_a_file_may_have_any_name(app: Flask, ascii_only: bool, name: str, arrives_as: str) -> None:
    app.extensions["mail"].ascii_attachments = ascii_only
    message = Message(body="text", attachments=[Attachment(name, None, b"x")])
    [part] = read(message).iter_attachments()
    assert part.get_filename() == arrives_as


@pytest.mark.parametrize(
    "attachment",
    [
        Attachment("a\r\nX: y.txt", None, b"x"),
        Attachment("a.txt", "text/plain\r\nX: y", b"x"),
        Attachment("a.txt", None, b"x", "inline\nX: y"),
        Attachment("a.txt", None, b"x", None, {"X-A": "b\nc"}),
        Attachment("a.txt", None, b"x", None, {"X A": "b"}),
    ],
)
def test_a_file_that_would_add_a_header_is_refused(attachment: Attachment) -> None:
    with pytest.raises(BadHeaderError):
        Message(attachments=[attachment]).as_bytes()


@pytest.mark.parametrize("kind", ["pdf", "text/", "/x", "a b/c"])
def test_a_type_that_is_none_is_told(kind: str) -> None:
    with pytest.raises(ContentError, match="write it like image/png"):
        Message(attachments=[Attachment("a", kind, b"x")]).as_bytes()


def test_a_file_needs_data() -> None:
    with pytest.raises(ValueError, match="'data'"):
        Attachment("a.txt")


def test_a_message_needs_no_application() -> None:
    message = Message("Hello", ["a@example.org"])
    assert message.sender == "shop@example.com"


def test_flask_mails_helpers_are_here() -> None:
    assert force_text(b"Zo\xc3\xab") == force_text(Lazy("Zoë")) == force_text("Zoë") == "Zoë"
    with pytest.raises(FlaskMailUnicodeDecodeError, match=r"You passed in b'\\xff'"):
        force_text(b"\xff")
    assert sanitize_subject("plain") == "plain"
    for subject, charset in (("Zoë", "utf-8"), ("Zoë", "latin-1"), ("Zoë →", "latin-1")):
        encoded = sanitize_subject(subject, charset)
        assert encoded.isascii()
        assert str(make_header(decode_header(encoded))) == subject
    assert sanitize_address("a@bücher.example") == "a@xn--bcher-kva.example"
    assert sanitize_addresses([("Zoë", "z@example.org"), ("A, B", "a@example.org")]) == [
        "=?utf-8?q?Zo=C3=AB?= <z@example.org>",
        '"A, B" <a@example.org>',
    ]
    with pytest.raises(AddressError):
        sanitize_address("a@example.org\nb@example.org")
