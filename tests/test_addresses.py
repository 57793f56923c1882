"""Which addresses does a header hold? What is doubtful is refused, in every kind of message."""

from __future__ import annotations

import email
from collections.abc import Callable
from email.message import EmailMessage, Message
from email.policy import SMTP

import pytest

from portmail.addresses import read_addresses, recipients_in, sender_in
from portmail.content import headers_of
from portmail.errors import AddressError, HeaderError
from portmail.submission import Submission

Reading = Callable[[str], list[str]]
WRITTEN = ["octets", "parsed Message", "parsed EmailMessage", "Message"]


def made(kind: type[Message]) -> Reading:
    """Read from a message object whose header a program has set."""

    def read(value: str) -> list[str]:
        message = kind()
        try:
            message["To"] = value
        except (ValueError, IndexError) as error:  # EmailMessage itself refuses some, before we see them
            raise AddressError from error
        return paths(Submission.of(message, sender=""))

    return read


def octets(value: str) -> list[str]:
    return paths(Submission.of(f"To: {value}\r\n\r\n".encode(), sender=""))


def parsed(value: str) -> list[str]:
    return paths(Submission.of(email.message_from_bytes(f"To: {value}\r\n\r\n".encode()), sender=""))


def parsed_new(value: str) -> list[str]:
    message = email.message_from_bytes(f"To: {value}\r\n\r\n".encode(), policy=SMTP)
    return paths(Submission.of(message, sender=""))


def paths(submission: Submission) -> list[str]:
    return [box.path for box in submission.envelope.recipients]


@pytest.fixture(
    params=[octets, parsed, parsed_new, made(Message), made(EmailMessage)],
    ids=[*WRITTEN, "EmailMessage"],
)
def read(request: pytest.FixtureRequest) -> Reading:
    reading: Reading = request.param
    return reading


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@x.org", ["a@x.org"]),
        ("<a@x.org>", ["a@x.org"]),
        ("A B <a@x.org>", ["a@x.org"]),
        ('"B, A" <a@x.org>', ["a@x.org"]),
        ('"evil@x.org" <a@x.org>', ["a@x.org"]),
        ("=?utf-8?q?evil=40x=2Eorg=2C?= <a@x.org>", ["a@x.org"]),
        ("a@x.org, B <b@x.org>", ["a@x.org", "b@x.org"]),
        ("a@x.org,, b@x.org,", ["a@x.org", "b@x.org"]),
        ("a@x.org (Anna), (B) b@x.org", ["a@x.org", "b@x.org"]),
        ("team: a@x.org, B <b@x.org>;, c@x.org", ["a@x.org", "b@x.org", "c@x.org"]),
        ('"a b"@x.org', ['"a b"@x.org']),
        ("a@[127.0.0.1]", ["a@[127.0.0.1]"]),
        ("root@localhost, ops@intranet", ["root@localhost", "ops@intranet"]),
        ("a@münchen.example", ["a@xn--mnchen-3ya.example"]),
        ("Jürg <jörg@x.org>", ["jörg@x.org"]),
        ("jörg@münchen.example", ["jörg@münchen.example"]),
    ],
)
def test_addresses_are_read_from_the_header(read: Reading, value: str, found: list[str]) -> None:
    assert read(value) == found


@pytest.mark.parametrize(
    "value",
    [
        "user@good.org(x)evil.org",
        "user@good.org)evil.org",
        "user@good.org evil@x.org",
        "user@good.org; evil@x.org",
        "user@good.org <evil@x.org>",
        "A <user@good.org> <evil@x.org>",
        "user@good.org>",
        "user@good.org (x",
        "=?utf-8?q?evil=40x.org?=@good.org",
        "=?utf-8?q?evil=40x.org?=",
        "A, B <user@good.org>",
        "Ops: <user@good.org>",
        "team: user@good.org",
        "user",
        "user@",
        "<>",
        "user..x@good.org",
        "user.@good.org",
        "user@good..org",
        "user@good.org.",
        "user@good.org\x01",
        "A\x01 <user@good.org>",
        "user@good.org\x0bevil@x.org",
    ],
    ids=ascii,
)
def test_a_header_that_is_not_beyond_doubt_is_refused(read: Reading, value: str) -> None:
    with pytest.raises(AddressError):
        read(value)


# RFC 2047 section 5: an encoded word is no part of an address. A server would read it as it
# stands; the standard library decodes it, into an address that is not in the header.
@pytest.mark.parametrize("read", [octets, parsed, parsed_new, made(Message)], ids=WRITTEN)
@pytest.mark.parametrize(
    "value",
    [
        "evil@=?utf-8?q?x.org?=",
        "evil@=?utf-8?q?x.org=2C?=@good.org",
        "evil@=?utf-8?q?x.org?= .good.org",
        "=?utf-8?q?evil?= @x.org",
        "=?utf-8?q?evil=40x.org=2C?= user@good.org",
    ],
)
def test_an_encoded_word_is_never_decoded_into_an_address(read: Reading, value: str) -> None:
    with pytest.raises(AddressError):
        read(value)


def test_the_refusal_names_the_header_and_how_to_write_it() -> None:
    with pytest.raises(AddressError, match=r"^To: 'user@good\.org.*Name <me@example\.org>"):
        octets("user@good.org(x)evil.org")


def test_octets_that_are_no_utf8_are_never_taken_for_another_address() -> None:
    latin1 = "To: jörg@x.org\r\n\r\n".encode("latin-1")
    with pytest.raises(AddressError):
        Submission.of(latin1, sender="")
    with pytest.raises(AddressError):
        Submission.of(email.message_from_bytes(latin1), sender="")


def header(text: str) -> Message:
    return email.message_from_string(text + "\n\n")


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        pytest.param("From: a@x.org", "a@x.org", id="From"),
        pytest.param("From: a@x.org, b@x.org", "a@x.org", id="the first of From"),
        pytest.param("From: a@x.org\nSender: s@x.org", "s@x.org", id="Sender over From"),
        pytest.param("From: a@x.org\nResent-From: r@x.org", "a@x.org", id="Resent- without a date is none"),
        pytest.param(
            "From: a@x.org\nResent-Date: 1\nResent-From: r@x.org", "r@x.org", id="Resent-From over From"
        ),
        pytest.param(
            "Resent-Date: 1\nResent-From: r@x.org\nResent-Sender: s@x.org",
            "s@x.org",
            id="Resent-Sender over all",
        ),
        pytest.param("To: b@x.org", "", id="nobody"),
        pytest.param("From: undisclosed:;", "", id="an empty group"),
    ],
)
def test_the_sender_is_who_sent_it_last(text: str, sender: str) -> None:
    assert sender_in(headers_of(header(text))) == sender


@pytest.mark.parametrize(
    ("text", "recipients"),
    [
        pytest.param(
            "To: a@x.org\nCc: b@x.org\nBcc: c@x.org", ("a@x.org", "b@x.org", "c@x.org"), id="all three"
        ),
        pytest.param("To: a@x.org\nTo: b@x.org", ("a@x.org", "b@x.org"), id="a field that is repeated"),
        pytest.param("To: undisclosed-recipients:;\nBcc: c@x.org", ("c@x.org",), id="an empty group"),
        pytest.param(
            "To: a@x.org\nResent-Date: 1\nResent-To: b@x.org\nResent-Bcc: c@x.org",
            ("b@x.org", "c@x.org"),
            id="only those it was resent to",
        ),
        pytest.param("From: a@x.org\nReply-To: b@x.org", (), id="nobody"),
    ],
)
def test_the_recipients_are_those_it_goes_to_now(text: str, recipients: tuple[str, ...]) -> None:
    assert recipients_in(headers_of(header(text))) == recipients


def test_a_message_resent_twice_needs_an_explicit_envelope() -> None:
    twice = header("Resent-Date: 1\nResent-To: a@x.org\nResent-Date: 2\nResent-To: b@x.org")
    with pytest.raises(HeaderError, match="sender= and recipients="):
        recipients_in(headers_of(twice))
    with pytest.raises(HeaderError, match="sender= and recipients="):
        sender_in(headers_of(twice))


@pytest.mark.parametrize("blank", ["\xa0", "\u3000", "\u2003"], ids=ascii)
@pytest.mark.parametrize("value", ["user@{}good.org", "user@go{}od.org", "user@good.org{}"])
def test_no_blank_of_unicode_is_taken_out_of_an_address(read: Reading, value: str, blank: str) -> None:
    with pytest.raises(AddressError):
        read(value.replace("{}", blank))


@pytest.mark.parametrize(
    "value", ["evil@=?utf-8?q?x.org?=", "=?utf-8?q?evil?=@x.org", "=?x?q?=41=42?=evil@x.org"]
)
def test_not_even_an_email_message_decodes_an_encoded_word_into_an_address(value: str) -> None:
    message = EmailMessage()
    message["To"] = value
    with pytest.raises(AddressError):
        Submission.of(message, sender="")


@pytest.mark.parametrize("local", [".a", "a.", "a..b"])
def test_quotes_that_an_address_needs_are_kept(read: Reading, local: str) -> None:
    assert read(f'"{local}"@x.org') == [f'"{local}"@x.org']


@pytest.mark.parametrize(
    "value", ["Me <you", "me@x.org(evil", '"me@x.org', "team: me@x.org", "me@x.org evil"]
)
def test_what_the_standard_library_mends_in_reply_to_is_refused(value: str) -> None:
    message = EmailMessage()
    message["To"], message["Reply-To"] = "a@x.org", value
    with pytest.raises(AddressError, match="Reply-To"):
        Submission.of(message, sender="")


def test_a_reply_to_that_would_lose_its_quotes_is_refused() -> None:
    value = '"' + "a b" * 30 + '"@x.org'
    message = email.message_from_bytes(f"To: a@x.org\r\nReply-To: {value}\r\n\r\n".encode(), policy=SMTP)
    with pytest.raises(HeaderError, match="would not leave as it is"):
        Submission.of(message, sender="")


def test_what_takes_long_to_read_is_refused_at_once() -> None:
    with pytest.raises(AddressError, match="too long"):
        octets("a " * 400 + "\r\n " + "a " * 400 + "\r\n " + "a " * 400 + "<a@x.org>")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("Doe, John <a@b.org>", '"Doe, John" <a@b.org>'),
        ("Müller, Jörg <a@b.org>", '"Müller, Jörg" <a@b.org>'),
        ("[Ops] Team <a@b.org>", '"[Ops] Team" <a@b.org>'),
        ("Team: Ops <a@b.org>", '"Team: Ops" <a@b.org>'),
        ("ann@x.org <ann@x.org>", '"ann@x.org" <ann@x.org>'),
        ("back\\slash, a <a@b.org>", '"back\\\\slash, a" <a@b.org>'),
    ],
)
def test_a_name_that_needs_quotes_is_shown_with_them(text: str, quoted: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_addresses("To", text=text)
    assert str(caught.value).endswith(f"put the name in quotes: {quoted}")
    assert [address.addr_spec for address in read_addresses("To", text=quoted).addresses]


@pytest.mark.parametrize("text", ["Doe, John <a@b.org>, x@y.org", "Doe, John <a@b..org>", "a b@c.org"])
def test_what_quotes_alone_do_not_mend_is_told_how_addresses_are_written(text: str) -> None:
    with pytest.raises(AddressError, match=r'needs quotes: "Doe, John" <me@') as caught:
        read_addresses("To", text=text)
    assert "addr-spec" not in str(caught.value)
