"""What travels? Canonical octets, without Bcc, with the size that was told, from every kind of message."""

from __future__ import annotations

import email
from collections.abc import Callable
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP, SMTPUTF8
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.canonical import BLOCK
from portmail.content import AnyMessage, Content, content_of
from portmail.errors import AddressError, ContentError, HeaderError
from portmail.submission import Submission

ME, YOU = "me@example.org", "you@example.org"
RAW = (
    b"From: me@example.org\r\nTo: you@example.org\r\n"
    b"Bcc: hidden@example.org,\r\n hidden2@example.org\r\nSubject: Hello\r\n"
    b"Resent-Bcc: hidden@example.org\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nHello, you.\r\n"
)


def new(**fields: str) -> EmailMessage:
    """An EmailMessage with these header fields, `_` for `-`."""
    message = EmailMessage()
    for name, value in {"From": ME, "To": YOU, **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content("Hello, you.\n")
    return message


def old(**fields: Any) -> Message:
    """The same as a Message of the old kind."""
    message = Message()
    for name, value in {"From": ME, "To": YOU, **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_payload("Hello, you.\n")
    return message


def multipart() -> EmailMessage:
    message = new(Bcc="hidden@example.org")
    message.add_alternative("<p>Hello</p>", subtype="html")
    message.add_attachment(b"\0\1\2", maintype="application", subtype="octet-stream", filename="x")
    return message


def travels(message: AnyMessage) -> bytes:
    return Submission.of(message).content.data


def head(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[0]


def field(data: bytes, name: str) -> list[str]:
    """The values of a field as a server's parser reads them."""
    return [str(value) for value in email.message_from_bytes(data).get_all(name, [])]


MAKERS: dict[str, Callable[[], AnyMessage]] = {
    "EmailMessage": lambda: new(Bcc="hidden@example.org"),
    "EmailMessage, in other cases": lambda: new(bCC="hidden@example.org", Resent_Bcc="hidden@example.org"),
    "multipart EmailMessage": multipart,
    "Message": lambda: old(Bcc="hidden@example.org", BCC="hidden2@example.org"),
    "parsed Message": lambda: email.message_from_bytes(RAW),
    "parsed EmailMessage": lambda: email.message_from_bytes(RAW, policy=SMTP),
    "octets": lambda: RAW,
    "octets with bare LF": lambda: RAW.replace(b"\r\n", b"\n"),
}


@pytest.fixture(params=list(MAKERS))
def message(request: pytest.FixtureRequest) -> AnyMessage:
    """A message of each kind, with hidden recipients."""
    return MAKERS[request.param]()


def test_bcc_never_travels_and_gets_its_copy(message: AnyMessage) -> None:
    submission = Submission.of(message)
    assert b"hidden" not in submission.content.data
    assert "bcc" not in submission.content.data.decode().lower()
    assert "hidden@example.org" in [box.path for box in submission.envelope.recipients]


def test_what_travels_has_crlf_line_ends_and_the_headers_of_the_message(message: AnyMessage) -> None:
    data = travels(message)
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert data.endswith(b"\r\n")
    assert (field(data, "From"), field(data, "To")) == ([ME], [YOU])
    assert b"Hello, you.\r\n" in data


def test_the_callers_message_stays_as_it_is(message: AnyMessage) -> None:
    def inside() -> object:
        if not isinstance(message, Message):
            return message
        return [
            (part.items(), None if part.is_multipart() else part.get_payload()) for part in message.walk()
        ]

    before = inside()
    travels(message)
    assert inside() == before


@pytest.mark.parametrize("name", ["Bcc ", "To\t", "X-Any "], ids=repr)
def test_no_recipient_is_lost_behind_a_field_with_a_space_before_its_colon(name: str) -> None:
    # Servers read "Bcc :" as Bcc (RFC 5322 section 4.5); the standard library ends the header there.
    raw = f"From: me@x.org\r\nTo: you@x.org\r\n{name}: lost@x.org\r\nCc: lost2@x.org\r\n\r\n"
    with pytest.raises(HeaderError, match="header field"):
        Submission.of(raw.encode())


def test_date_message_id_and_from_are_added_where_they_are_missing() -> None:
    content = content_of(b"To: you@example.org\r\n\r\nHello\r\n", sender=ME)
    assert field(content.data, "From") == [ME]
    assert field(content.data, "Message-ID") == [content.message_id]
    assert content.message_id.startswith("<")
    assert content.message_id.endswith("@example.org>")
    assert len(field(content.data, "Date")) == 1
    assert parsedate_to_datetime(field(content.data, "Date")[0]).tzinfo


def test_what_is_there_already_is_not_added_again() -> None:
    content = content_of(RAW, sender="other@example.org")
    assert content.message_id == "<1@example.org>"
    assert [field(content.data, name) for name in ("From", "Date", "Message-ID")] == [
        [ME],
        ["Mon, 1 Jan 2024 00:00:00 +0000"],
        ["<1@example.org>"],
    ]


def test_a_parsed_message_whose_header_was_cut_short_is_refused() -> None:
    octets = (
        b"From: me@example.org\nTo: a@example.org\nBcc : hidden@example.org\nCc: c@example.org\n\nHello.\n"
    )
    with pytest.raises(HeaderError, match="fields were lost"):
        Submission.of(email.message_from_bytes(octets))


def test_two_messages_have_two_message_ids() -> None:
    assert content_of(new(), sender=ME).message_id != content_of(new(), sender=ME).message_id


@pytest.mark.parametrize(
    ("sender", "domain"),
    [("me@[127.0.0.1]", "127.0.0.1"), ("", "localhost"), ("j@münchen.example", "xn--mnchen-3ya.example")],
    ids=["domain literal", "null reverse-path", "IDN"],
)
def test_a_message_id_is_ascii_whoever_sends(sender: str, domain: str) -> None:
    assert content_of(b"\r\n", sender=sender).message_id.endswith(f"@{domain}>")


def test_the_null_reverse_path_adds_no_from() -> None:
    assert not field(content_of(b"Subject: x\r\n\r\n", sender="").data, "From")


FIELDS = b"Date: 1\r\nMessage-ID: <1@x.org>\r\nFrom: me@x.org\r\n"


@pytest.mark.parametrize(
    ("octets", "canonical"),
    [
        (b"", b"\r\n"),
        (b"\n", b"\r\n"),
        (b"X: 1", b"X: 1\r\n\r\n"),
        (b"X: 1\n", b"X: 1\r\n\r\n"),
        (b"X: 1\n\nbody", b"X: 1\r\n\r\nbody\r\n"),
        (b"\r\n\nbody\n\r\n", b"\r\n\r\nbody\r\n\r\n"),
        (b"\r\na\rb\r\r\nc", b"\r\na\r\nb\r\n\r\nc\r\n"),
        (b"\r\nX: body", b"\r\nX: body\r\n"),
        (b"X: 1\n\ty\n\nbody", b"X: 1\r\n\ty\r\n\r\nbody\r\n"),
    ],
    ids=repr,
)
def test_octets_travel_with_canonical_line_ends_and_else_as_they_are(octets: bytes, canonical: bytes) -> None:
    assert content_of(FIELDS + octets, sender=ME).data == FIELDS + canonical
    assert content_of(FIELDS.replace(b"\r\n", b"\n") + octets, sender=ME).data == FIELDS + canonical


def unstuffed(content: Content) -> bytes:
    """What a server makes of the blocks (RFC 5321 section 4.5.2)."""
    lines = b"".join(content.stuffed_blocks()).splitlines(keepends=True)
    assert b".\r\n" not in lines
    return b"".join(line.removeprefix(b".") for line in lines)


@given(
    st.lists(st.sampled_from([b".", b"..", b"\r\n", b"\n", b"\r", b"a", b" ", b"\xff"]), max_size=40).map(
        b"".join
    )
)
def test_a_server_undoes_dot_stuffing_exactly(body: bytes) -> None:
    content = content_of(b"X: 1\r\n\r\n" + body, sender=ME)
    assert unstuffed(content) == content.data


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 997])
def test_dots_are_stuffed_across_the_borders_of_blocks(shift: int) -> None:
    body = b"a" * shift + b"\r\n" + b".\r\n" * BLOCK
    content = content_of(b"X: 1\r\n\r\n" + body, sender=ME)
    assert len(list(content.blocks())) > 3
    assert all(block.endswith(b"\r\n") for block in content.blocks())
    assert unstuffed(content) == content.data


@given(st.integers(0, 3 * BLOCK), st.integers(1, 998))
def test_the_size_is_that_of_what_is_sent_without_the_stuffing(length: int, width: int) -> None:
    body = b"\r\n".join([b"." * width] * (length // (width + 2)))
    content = content_of(b"X: 1\r\n\r\n" + body, sender=ME)
    assert content.size == len(unstuffed(content))


def test_the_size_is_that_of_what_is_sent(message: AnyMessage) -> None:
    content = Submission.of(message).content
    assert content.size == len(content.data) == len(unstuffed(content))


@pytest.mark.parametrize("place", [b"X: 1\r\n\r\n%s\r\n", b"X: 1\r\n\r\na\r\n%s", b"X:%s\r\n\r\n"])
def test_a_line_may_have_998_octets_and_no_more(place: bytes) -> None:
    taken = 2 if place.startswith(b"X:%s") else 0
    assert content_of(place % (b"a" * (998 - taken)), sender=ME)
    with pytest.raises(ContentError, match=r"line \d of the message has more than 998 octets"):
        content_of(place % (b"a" * (999 - taken)), sender=ME)


def test_a_long_line_of_a_message_object_is_encoded_by_the_standard_library() -> None:
    message = new()
    message.set_content("x" * 5000)
    assert max(map(len, travels(message).splitlines())) <= 998


@pytest.mark.parametrize("octets", [b"X: \0\r\n\r\n", b"X: 1\r\n\r\n\0"], ids=["header", "body"])
def test_nul_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(ContentError, match="NUL"):
        content_of(octets, sender=ME)


@pytest.mark.parametrize(
    "octets",
    [
        b"X: 1\rBcc: hidden@example.org\r\n\r\n",
        b"X: 1\r\r\nBcc: hidden@example.org\r\n\r\n",
        b"X: 1\n\rBcc: hidden@example.org\n\nbody",
        b"X: 1\r\n\r\r\nTo: you@example.org\r\n\r\n",
        b"\rX: 1\r\n\r\n",
    ],
    ids=repr,
)
def test_a_bare_carriage_return_in_a_header_of_octets_is_refused(octets: bytes) -> None:
    with pytest.raises(HeaderError, match="carriage return"):
        content_of(octets, sender=ME)


@pytest.mark.parametrize(
    "value",
    [
        "=?UTF-8?Q?=0A?=Bcc: e@x",
        "=?UTF-8?Q?=0ABcc:_e=40x?=",
        "=?UTF-8?Q?=0D=0ABcc:_e=40x?=",
        "=?UTF-8?B?CkJjYzogZUB4?=",
        "=?UTF-8?Q?=0A=0Abody?=",
        "=?UTF-8?Q?=0A?=Subject: another",
        "x =?UTF-8?Q?=0A?= folded",
    ],
)
@pytest.mark.parametrize("name", ["Subject", "X_Mailer", "Comments"])
def test_an_encoded_word_never_becomes_a_header(name: str, value: str) -> None:
    # CVE-2024-6923; what the Python at hand does with it, differs.
    message = new(**{name: value})
    with pytest.raises(HeaderError, match="line break"):
        travels(message)


@pytest.mark.parametrize(
    "value", ["x\nBcc: e@x", "x\rBcc: e@x", "x\r\nBcc: e@x", "x\n\nbody", "x\0y"], ids=repr
)
def test_a_line_break_in_a_value_never_becomes_a_header(value: str) -> None:
    with pytest.raises(HeaderError, match="Subject"):
        travels(old(Subject=value))


@pytest.mark.parametrize("name", ["X\nBcc", "X\r\nBcc: e@x\r\nY", "X:Y", "X Y", "", "Ü", "X\0"], ids=ascii)
@pytest.mark.parametrize("kind", [EmailMessage, Message])
def test_a_header_name_never_becomes_a_header(kind: type[Message], name: str) -> None:
    message = kind()
    message["From"], message["To"] = ME, YOU
    message._headers.append((name, "x"))  # type: ignore[attr-defined]  # newer Pythons refuse it by []
    message.set_payload("Hello")
    with pytest.raises(HeaderError, match="no header name"):
        travels(message)


def test_a_header_of_an_inner_part_is_checked_as_well() -> None:
    message = MIMEMultipart()
    message["From"], message["To"] = ME, YOU
    inner = MIMEText("Hello")
    inner["X"] = "1\n\nbody"
    message.attach(inner)
    with pytest.raises(HeaderError, match="the X header"):
        travels(message)


@pytest.mark.parametrize("separator", list("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), ids=ascii)
@pytest.mark.parametrize("kind", ["octets", "parsed Message", "parsed EmailMessage", "Message"])
def test_what_only_python_takes_for_a_line_end_never_becomes_a_header(kind: str, separator: str) -> None:
    # str.splitlines() has eight line ends more than mail; some Pythons use it when they fold.
    value = f"x{separator}Bcc: e@x.org"
    raw = f"From: me@example.org\r\nTo: you@example.org\r\nSubject: {value}\r\n\r\n".encode()
    message: dict[str, AnyMessage] = {
        "octets": raw,
        "parsed Message": email.message_from_bytes(raw),
        "parsed EmailMessage": email.message_from_bytes(raw, policy=SMTP),
        "Message": old(Subject=value),
    }
    try:
        data = travels(message[kind])
    except AddressError:
        return
    assert not field(data, "Bcc")
    assert b"\r\nBcc" not in data


def test_a_folded_value_of_an_old_message_travels_folded() -> None:
    assert b"Subject: one\r\n two\r\n" in travels(old(Subject="one\r\n two"))


def test_a_utf8_subject_travels_in_ascii() -> None:
    for message in (new(Subject="Grüße"), old(Subject="Grüße"), old(Subject=Header("Grüße", "utf-8"))):
        content = Submission.of(message).content
        assert head(content.data).isascii()
        assert not content.needs_smtputf8
        assert email.message_from_bytes(content.data, policy=SMTP)["Subject"] == "Grüße"


@pytest.mark.parametrize("name", ["To", "Cc", "Reply-To", "From"])
@pytest.mark.parametrize("make", [new, old], ids=["EmailMessage", "Message"])
def test_an_idn_in_a_header_becomes_a_labels(name: str, make: Callable[[], Message]) -> None:
    message = make()
    del message[name]
    message[name] = "Jürg <me@münchen.example>, team: you@münchen.example;"
    content = Submission.of(message, sender=ME, recipients=[YOU]).content
    assert not content.needs_smtputf8
    # As every reader of mail since RFC 822 would see it: addresses are never in encoded words.
    assert b"<me@xn--mnchen-3ya.example>" in head(content.data)
    assert b"you@xn--mnchen-3ya.example;" in head(content.data)
    shown = str(email.message_from_bytes(content.data, policy=SMTP)[name])
    assert shown == "Jürg <me@xn--mnchen-3ya.example>, team: you@xn--mnchen-3ya.example;"


@pytest.mark.parametrize("kind", [EmailMessage, Message])
def test_an_idn_becomes_a_labels_in_each_of_several_fields_of_one_name(kind: type[Message]) -> None:
    message = kind()
    message["Resent-To"], message["From"], message["To"] = "a@münchen.example", ME, YOU
    message["Resent-To"] = "b@münchen.example"
    message.set_payload("Hello\n")
    data = travels(message)
    assert field(data, "Resent-To") == ["a@xn--mnchen-3ya.example", "b@xn--mnchen-3ya.example"]
    assert head(data).index(b"Resent-To") < head(data).index(b"From")


def test_a_utf8_local_part_needs_smtputf8_and_travels_as_it_is() -> None:
    content = Submission.of(new(Cc="jörg@münchen.example", Subject="Grüße")).content
    assert content.needs_smtputf8
    assert content.needs_8bitmime
    assert "Cc: jörg@münchen.example\r\n".encode() in content.data
    hidden = Submission.of(new(Bcc="jörg@münchen.example"))
    assert (hidden.content.needs_smtputf8, hidden.needs_smtputf8) == (False, True)


def test_headers_that_were_written_in_utf8_need_smtputf8_and_travel_as_they_are() -> None:
    raw = "From: me@example.org\r\nTo: you@example.org\r\nSubject: Grüße\r\n\r\n".encode()
    messages: list[AnyMessage] = [
        raw,
        email.message_from_bytes(raw),
        email.message_from_bytes(raw, policy=SMTP),
        email.message_from_bytes(raw, policy=SMTPUTF8),
        email.message_from_string(raw.decode(), policy=SMTP),
    ]
    for message in messages:
        content = Submission.of(message).content
        assert content.needs_smtputf8
        assert "Subject: Grüße\r\n".encode() in content.data


def test_a_header_in_neither_ascii_nor_utf8_is_refused() -> None:
    with pytest.raises(HeaderError, match="'Subject' is neither ASCII nor UTF-8"):
        content_of("Subject: Grüße\r\n\r\n".encode("latin-1"), sender=ME)


@pytest.mark.parametrize(
    ("octets", "needed"),
    [(b"X: 1\r\n\r\nHello", False), (b"X: 1\r\n\r\nHell\xf6", True)],
    ids=["ASCII", "8-bit"],
)
def test_8bitmime_is_needed_for_octets_above_127(octets: bytes, needed: bool) -> None:
    content = content_of(octets, sender=ME)
    assert (content.needs_8bitmime, content.needs_smtputf8) == (needed, False)


def test_a_body_of_octets_is_not_touched() -> None:
    body = b"From here\r\n\xff\xfe \t\r\n..\r\n.\r\n"
    assert content_of(b"X: 1\r\n\r\n" + body, sender=ME).data.endswith(b"\r\n\r\n" + body)


def test_a_line_that_begins_with_from_is_not_mangled() -> None:
    for message in (new(), old()):
        message.set_payload("From here\n")
        assert travels(message).endswith(b"\r\nFrom here\r\n")


BROKEN = email.message_from_string("From: me@x.org\nTo: you@x.org\n\nhä")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param("To: you@example.org\n\nHello", "str is no message", id="str"),
        pytest.param(None, "NoneType is no message", id="None"),
        pytest.param(bytearray(RAW), "bytearray is no message", id="bytearray"),
        pytest.param(
            email.message_from_string("From: a@x.org\nTo: b@x.org\n\nhä"), "serialized", id="broken"
        ),
    ],
)
def test_what_is_no_message_is_refused(message: AnyMessage, words: str) -> None:
    with pytest.raises(ContentError, match=words):
        Submission.of(message)


def test_a_message_of_nobody_is_refused_and_a_default_sender_serves() -> None:
    anonymous = b"To: you@example.org\r\n\r\n"
    with pytest.raises(AddressError, match="sender="):
        Submission.of(anonymous)
    submission = Submission.of(anonymous, default_sender=ME)
    assert submission.envelope.sender
    assert (submission.envelope.sender.path, field(submission.content.data, "From")) == (ME, [ME])


def test_an_explicit_envelope_leaves_the_header_alone() -> None:
    submission = Submission.of(RAW, sender="bounce@example.org", recipients=["a@example.org"])
    assert submission.envelope.sender
    assert submission.envelope.sender.path == "bounce@example.org"
    assert [box.path for box in submission.envelope.recipients] == ["a@example.org"]
    assert (field(submission.content.data, "From"), field(submission.content.data, "To")) == ([ME], [YOU])
    assert Submission.of(RAW, sender="").envelope.sender is None


def test_a_message_id_is_of_the_domain_that_the_message_is_from() -> None:
    assert Submission.of(new()).content.message_id.endswith("@example.org>")
    literal = Submission.of(new(), sender="me@[127.0.0.1]").content.message_id
    assert literal.endswith("@127.0.0.1>")


def test_a_message_id_is_told_as_one_word_without_control_characters() -> None:
    octets = b"From: me@x.org\r\nTo: you@x.org\r\nMessage-ID: <a\x1b[31m@x>\r\n WARNING forged\r\n\r\nHi\r\n"
    assert Submission.of(octets).content.message_id == "<a?[31m@x>"
