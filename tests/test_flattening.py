"""How is a message object written out? Octet for octet as the generator would, only sooner."""

from __future__ import annotations

import contextlib
import copy
import email
import importlib.resources
import io
import itertools
import random
from collections.abc import Callable
from email.generator import BytesGenerator
from email.headerregistry import Address, Group
from email.message import EmailMessage, Message, MIMEPart
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import HTTP, SMTP, SMTPUTF8, EmailPolicy, compat32, default, strict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.errors import HeaderError, PortmailError
from portmail.flattening import Flat, written
from portmail.folding import folding
from portmail.submission import Submission
from tests.cases import cases

ME, YOU = "Me Myself <me@example.org>", "you@example.org"
TEXTS = {
    "short": "Hello, you.\n",
    "empty": "",
    "without final newline": "Hello",
    "bare carriage returns": "a\rb\r\rc\r\n\rd\n",
    "dots": ".\n..\n.a\n\n.",
    "trailing spaces": "a  \nb\t\n \n",
    "From lines": "From here\n\nFrom there\n",
    "umlauts": "Grüße\n" * 5,
    "few umlauts": "a line of text\n" * 30 + "ä\n",
    "Japanese": "こんにちは、皆さん。\n" * 10,
    "emoji": "\U0001f600 " * 80 + "\n",
    "a long line": "x" * 3000,
    "a long line of umlauts": "ä" * 3000,
    "other line ends": "a\x0bb\x0cc\x1cd\x85e\u2028f\n",
    "control characters": "a\x01\x02\x7f\n",
    "blank lines": "\n\n\n",
    "a boundary": "--===============0000000000000000000==\n",
}
BIG = {
    "big": "This is a line of text.\n" * 2900,
    "big, without final newline": "This is a line of text.\n" * 2900 + "end",
    "big, with umlauts": "This is a line with ä.\n" * 3000,
    "big, with bare carriage returns": "This\ris\na line of text.\r\n" * 2900,
}


def new(text: str = "Hello, you.\n", policy: Any = default, **fields: Any) -> EmailMessage:
    """An EmailMessage with these header fields, `_` for `-`."""
    message = EmailMessage(policy=policy)
    for name, value in {"From": ME, "To": YOU, **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def old(message: Message, **fields: Any) -> Message:
    for name, value in {"From": ME, "To": YOU, **fields}.items():
        message[name.replace("_", "-")] = value
    return message


def by_generator(message: Message) -> bytes:
    """What the standard library makes of a copy."""
    utf8: dict[str, Any] = {"utf8": False} if isinstance(message.policy, EmailPolicy) else {}
    policy = message.policy.clone(linesep="\r\n", **utf8)
    target = io.BytesIO()
    BytesGenerator(target, mangle_from_=False, policy=policy).flatten(copy.deepcopy(message))
    octets = target.getvalue().replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def by_us(message: Message) -> bytes | None:
    flat = written(message)
    return None if flat is None else joined(flat)


def joined(flat: Flat) -> bytes:
    head = "".join(text for _, text in flat.fields).encode("ascii")
    return head + b"".join(it if isinstance(it, bytes) else b"".join(it.blocks()) for it in flat.rest)


def assert_equal(message: Message, *, common: bool = True) -> None:
    """Both write the same, with the same boundaries; and where it is `common`, we do write it."""
    state = random.getstate()
    ours = by_us(message)
    assert ours is not None or not common
    if ours is not None:
        random.setstate(state)
        assert ours == by_generator(message)


POLICIES = [default, SMTP.clone(refold_source="all"), SMTPUTF8.clone(max_line_length=60)]


# In every text with the usual policy, and in these with the others.
TELLING = ("few umlauts", "a long line", "a boundary")


@pytest.mark.parametrize(
    ("kind", "policy"),
    cases(
        itertools.product(TEXTS, POLICIES),
        daily=[*itertools.product(TEXTS, POLICIES[:1]), *itertools.product(TELLING, POLICIES)],
    ),
    ids=repr,
)
def test_a_text_alone_with_html_and_with_a_file(kind: str, policy: Any) -> None:
    text = TEXTS[kind]
    message = new(text, policy=policy)
    assert_equal(message)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    assert_equal(message)
    message.add_attachment(text.encode(), maintype="application", subtype="x", filename="x")
    assert_equal(message)


CHARSETS = ("us-ascii", "utf-8", "iso-8859-1", "utf-16")
ENCODINGS = ("7bit", "8bit", "quoted-printable", "base64")


@pytest.mark.parametrize(
    ("charset", "cte"),
    cases(
        itertools.product(CHARSETS, ENCODINGS),
        daily={*itertools.product(["utf-8"], ENCODINGS), *zip(CHARSETS, ENCODINGS, strict=True)},
    ),
)
def test_a_text_in_every_charset_and_encoding(charset: str, cte: str) -> None:
    for text in TEXTS.values():
        message = new()
        with contextlib.suppress(UnicodeError):
            message.set_content(text, charset=charset, cte=cte)
        # NUL, and lines that are too long, are told by who comes after.
        short = charset != "utf-16" and (len(text) < 2000 or cte == "quoted-printable")
        assert_equal(message, common=short or cte == "base64")


@pytest.mark.parametrize(
    ("kind", "cte"),
    cases(
        itertools.product(BIG, ["8bit", "base64"]),
        daily={("big", "8bit"), ("big, with umlauts", "base64"), ("big, with bare carriage returns", "8bit")},
    ),
)
def test_a_big_text(kind: str, cte: str) -> None:
    text = BIG[kind]
    message = new()
    message.set_content(text, cte=cte)
    assert_equal(message)
    message.add_alternative(text, subtype="html", cte=cte)
    message.add_attachment("short", filename="x.txt")
    assert_equal(message)
    parsed = email.message_from_bytes(by_generator(message), policy=SMTP)
    assert_equal(parsed)
    parsed = email.message_from_bytes(by_generator(new()), policy=SMTP)
    parsed.set_payload(text.encode("utf-8", "surrogateescape").decode("ascii", "surrogateescape"))
    assert_equal(parsed, common="\r" not in text)


def image() -> MIMEImage:
    return MIMEImage(b"\x89PNG\r\n\x1a\n" + bytes(200))


def related() -> Message:
    message = new("Look.\n")
    message.add_alternative('<img src="cid:1">', subtype="html")
    html: Any = message.get_payload(1)
    html.add_related(b"123" * 100, maintype="image", subtype="png", cid="<1>")
    message.add_attachment(
        b"PDF" * 1000, maintype="application", subtype="pdf", filename="Rechnung für Müller.pdf"
    )
    message.add_attachment("Text", filename=f"{'long name ' * 12}.txt")
    message.add_attachment(
        b"ascii", maintype="text", subtype="csv", cte="7bit", filename='"quoted", name;.csv'
    )
    message.add_attachment(b"\xff\x00qp" * 50, maintype="audio", subtype="x", cte="quoted-printable")
    message.add_attachment(b"8-bit \xe4\n", maintype="x-a", subtype="x-b", cte="8bit", params={"name": "ü"})
    return message


def bare_multipart() -> Message:
    message = new()
    message.clear_content()
    message["Content-Type"] = "multipart/mixed"
    message.set_payload([])
    return message


def with_part(part: Message, message: Message | None = None) -> Message:
    whole = message or old(MIMEMultipart())
    whole.attach(part)
    return whole


def with_boundary(boundary: str) -> Message:
    message = new()
    message.make_mixed(boundary=boundary)
    return message


def mime_part() -> Message:
    part = MIMEPart()
    part.set_content(b"x" * 500, maintype="a", subtype="b")
    return part


def mixed() -> EmailMessage:
    message = new()
    message.make_mixed()
    return message


COMMON: dict[str, Callable[[], Message]] = {
    "related, and many files": related,
    "parsed": lambda: email.message_from_bytes(by_generator(related()), policy=SMTP),
    "parsed with LF": lambda: email.message_from_bytes(related().as_bytes(), policy=default),
    "parsed by the old policy": lambda: email.message_from_bytes(new().as_bytes()),
    "a multipart without parts": bare_multipart,
    "a multipart with a boundary": lambda: with_boundary("my boundary"),
    "no content": lambda: old(EmailMessage()),
    "old, no content": lambda: old(Message()),
    "MIMEText": lambda: old(MIMEText("Hello\n"), Subject="Hello"),
    "MIMEText in UTF-8": lambda: old(MIMEText("Grüße\n"), Subject="Grüße"),
    "MIMEText, HTML": lambda: old(MIMEText("<p>Hello</p>", "html", "iso-8859-1")),
    "MIMEMultipart": lambda: with_part(MIMEText("Hello\n")),
    "MIMEMultipart with parameters": lambda: with_part(
        image(), old(MIMEMultipart("related", type="text/html", start="<1>"))
    ),
    "MIMEMultipart in MIMEMultipart": lambda: with_part(
        with_part(image(), MIMEMultipart("alternative")), with_part(MIMEApplication(b"x" * 100))
    ),
    "MIMEText in EmailMessage": lambda: with_part(MIMEText("Hello ü\n"), mixed()),
    "EmailMessage in MIMEMultipart": lambda: with_part(new("Hello ü\n")),
    "MIMEPart in EmailMessage": lambda: with_part(mime_part(), mixed()),
}


@pytest.mark.parametrize("make", COMMON.values(), ids=list(COMMON))
def test_common_shapes_are_written_by_us(make: Callable[[], Message]) -> None:
    assert_equal(make())


def with_preamble() -> Message:
    message = related()
    message.preamble = "You have no MIME.\n"
    return message


def forwarding() -> Message:
    message = new()
    message.add_attachment(new("forwarded\n"))
    return message


class Own(EmailMessage):
    """A class of somebody else's."""


DIGEST = "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\nb\n--x--\n"
OTHERS: dict[str, Callable[[], Message]] = {
    "forwarded": forwarding,
    "preamble": with_preamble,
    "signed": lambda: with_part(MIMEText("x"), old(MIMEMultipart("signed"))),
    "digest": lambda: email.message_from_string(DIGEST, policy=SMTP),
    "MIMEBase without content": lambda: with_part(MIMEBase("message", "x")),
    "own class": lambda: with_part(Own()),
    "no type": lambda: old(Message(), Content_Type="text"),
    "two types": lambda: old(MIMEText("x"), Content_Type="text/html"),
    "another policy": lambda: old(EmailMessage(policy=type("P", (EmailPolicy,), {})())),
    "7-bit policy": lambda: email.message_from_bytes(b"\n\xe4", policy=SMTP.clone(cte_type="7bit")),
    "SMTPUTF8": lambda: new(Cc="jörg@example.org"),
    "old with an IDN": lambda: old(Message(), Cc="j@münchen.example"),
    "8-bit header": lambda: email.message_from_bytes("Subject: ä\n\nx".encode(), policy=SMTP),
    "mixed multiparts": lambda: with_part(with_part(MIMEText("x"), MIMEMultipart()), mixed()),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
def test_all_else_is_left_to_the_generator(make: Callable[[], Message]) -> None:
    assert written(make()) is None


SUBJECTS = [
    "Hello",
    "",
    " ",
    " a",
    "a ",
    "a  b\tc",
    "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    "=?utf-8?q?a?= =?utf-8?q?b?= c",
    "100 % =?x",
    "x" * 66,
    "x" * 100,
    "a b " * 30,
    "Grüße " * 20,
    '"quoted" (comment) <a@b>, \\',
    "a\x7fb",
    "a\x01b",
    "a\xa0b",
]


OLD = [compat32, compat32.clone(max_line_length=None)]


@pytest.mark.parametrize(
    "policy", cases([*POLICIES, HTTP, strict, *OLD], daily=[POLICIES[0], POLICIES[2], OLD[0]]), ids=repr
)
def test_subjects(policy: Any) -> None:
    for subject in SUBJECTS:
        assert_equal(old(Message(policy=policy), Subject=subject, X_Other=subject), common=False)
        octets = f"Subject: {subject}\nX: {subject}\n\nHello".encode("ascii", "ignore")
        assert_equal(email.message_from_bytes(octets, policy=policy), common=False)


@pytest.mark.parametrize("policy", [*POLICIES, compat32], ids=repr)
@pytest.mark.parametrize("name", ["X", "Subject", "To", "Content-Disposition", "Message-ID", "References"])
def test_headers_about_as_long_as_a_line(name: str, policy: Any) -> None:
    for length in (*range(58, 64), *range(75, 82)):
        message = Message(policy=policy)
        message[name] = f"<{'a' * (length - 12 - len(name))}@x.org> (c)"
        assert_equal(message)


ADDRESSES = [
    "a@x.org",
    "<a@x.org>",
    "A B <a@x.org>, c@x.org",
    '"A, B" <a@x.org>',
    '"A B" <a@x.org>,c@x.org  ,  d@x.org',
    "a@x.org (comment), (another) b@x.org",
    "team: a@x.org, B <b@x.org>;, c@x.org",
    "undisclosed-recipients:;",
    '"a b"@x.org',
    "a . b @ x.org",
    "Jürg Müller <a@x.org>",
    "=?utf-8?q?J=C3=BCrg?= <a@x.org>",
    ", ".join(f"Somebody {number} <person{number}@example.org>" for number in range(9)),
    "not an address",
    "",
]


FIELDS = ("To", "Sender", "resent-from")


@pytest.mark.parametrize(
    ("name", "policy"),
    cases(itertools.product(FIELDS, POLICIES), daily=list(zip(FIELDS, POLICIES, strict=True))),
    ids=repr,
)
def test_addresses(name: str, policy: Any) -> None:
    for addresses in ADDRESSES:
        message = EmailMessage(policy=policy)
        with contextlib.suppress(Exception):  # the standard library fails in many ways
            message[name] = addresses
        assert_equal(message, common=False)
        assert_equal(email.message_from_bytes(message.as_bytes(), policy=policy), common=False)


def test_a_subject_that_comes_again_is_folded_as_it_was_parsed() -> None:
    encoded = "=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?q?_an_alle?= " * 5
    text = str(new(Subject=encoded)["Subject"])
    for _ in range(2):
        for subject in (text, encoded, text):
            for policy in (default, default.clone(max_line_length=40)):
                assert_equal(old(Message(policy=policy), Subject=subject))
        for number in range(260):  # more than are known at a time
            assert folding(default).folded("Subject", header(f"Grüße {number}"), reader=default)


def header(text: str) -> Any:
    return default.header_factory("Subject", text)


def test_addresses_given_as_objects() -> None:
    people = [Address("Jürg M.", "me", "x.org"), Address("", "you", "x.org")]
    assert_equal(new(Cc=people, Reply_To=Group("all of us", people), Sender=people[1]))


def corpus() -> list[bytes]:
    """The messages with which the standard library tests itself, where they are installed."""
    try:
        folder = importlib.resources.files("test.test_email.data")
    except ModuleNotFoundError:
        return []
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [file.read_bytes() for file in files if file.name.startswith("msg_")]


@pytest.mark.parametrize("policy", [SMTP, compat32], ids=repr)
def test_the_messages_with_which_the_standard_library_tests_itself(policy: Any) -> None:
    messages = [email.message_from_bytes(octets, policy=policy) for octets in corpus()]
    for message in messages:
        with contextlib.suppress(PortmailError):
            assert_equal(message, common=False)
    assert not messages or len([it for it in messages if tried(it) is not None]) > len(messages) / 3


def tried(message: Message) -> Flat | None:
    with contextlib.suppress(PortmailError):
        return written(message)
    return None


def test_a_date_that_is_none_is_written_as_the_generator_writes_it() -> None:
    message = new(Date="yesterday")
    assert_equal(message)


def test_an_old_message_cannot_hide_a_line_break_in_what_only_a_reader_decodes() -> None:
    raw = b"Content-Type: text/plain; name*=utf-8''a%0Ab\nSubject: =?utf-8?q?a=0Ab?=\n\nHello"
    with pytest.raises(PortmailError):
        written(email.message_from_bytes(raw, policy=SMTP))


def test_the_message_is_not_changed() -> None:
    message = related()
    before = [(part.items(), part.get_content_type()) for part in message.walk()]
    written(message)
    assert [(part.items(), part.get_content_type()) for part in message.walk()] == before
    assert message.get_boundary() is None


def test_bcc_is_hidden_in_every_part() -> None:
    message = new(Bcc="hidden@example.org")
    message.make_mixed()
    message.attach(new(Resent_Bcc="hidden@example.org"))
    assert b"hidden" not in (by_us(message) or b"hidden")


names = st.sampled_from(
    ["Subject", "X-A", "Comments", "References", "Keywords", "Content-Description", "Date"]
)
words = st.text(st.sampled_from('ab ,;:=?"()<>@%é€\t_-.'), max_size=90)
bodies = st.text(st.sampled_from("ab .\n\r=ä€F\x0c"), max_size=120)
policies = st.sampled_from(POLICIES)


@given(names, words, policies)
def test_any_header(name: str, value: str, policy: Any) -> None:
    message = EmailMessage(policy=policy)
    try:
        message[name] = value
    except Exception:  # noqa: BLE001  # the standard library fails in many ways
        return
    try:
        assert_equal(message, common=False)
    except PortmailError:
        return


@given(names, words)
def test_any_header_of_an_old_message(name: str, value: str) -> None:
    message = Message()
    message[name] = value
    assert_equal(message, common=False)


@st.composite
def messages(draw: st.DrawFn, depth: int = 2) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = draw(st.text(st.sampled_from("ab é€"), max_size=60))
    message.set_content(draw(bodies), cte=draw(st.sampled_from([None, "base64", "quoted-printable"])))
    for _ in range(draw(st.integers(0, 2))):
        if depth and draw(st.booleans()):
            if not message.is_multipart():
                message.make_mixed()
            message.attach(draw(messages(depth=depth - 1)))
        else:
            octets = draw(st.binary(max_size=200))
            message.add_attachment(octets, maintype="a", subtype="b", filename=draw(st.none() | st.just("ü")))
    return message


@settings(max_examples=40)
@given(messages())
def test_any_message(message: EmailMessage) -> None:
    assert_equal(message)


def test_a_boundary_is_the_one_that_divides_however_short_the_lines_are() -> None:
    message = EmailMessage(policy=SMTP.clone(max_line_length=40))
    message["From"], message["To"] = "me@x.org", "you@x.org"
    message.set_content("Hello\n")
    message.add_attachment(b"\x01", maintype="application", subtype="octet-stream", filename="a.bin")
    parsed = email.message_from_bytes(Submission.of(message).content.data, policy=SMTP)
    assert [part.get_content_type() for part in parsed.iter_parts()] == [
        "text/plain",
        "application/octet-stream",
    ]


@pytest.mark.parametrize("value", ["\nBcc: e@x.org", "x\nBcc: e@x.org", "x\r\n\r\nbody"], ids=ascii)
def test_a_line_end_that_reading_drops_never_ends_a_header_of_a_part(value: str) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "me@x.org", "you@x.org"
    message.set_content("Hello\n")
    message.add_attachment(b"\x01", maintype="application", subtype="octet-stream")
    part = message.get_payload(1)
    assert isinstance(part, EmailMessage)
    part.set_raw("Content-Description", value)
    with pytest.raises(HeaderError, match="Content-Description"):
        Submission.of(message)


@pytest.mark.parametrize("length", [60, 100, 997])
def test_a_parameter_whose_name_the_standard_library_folds_for_ever_is_refused(length: int) -> None:
    octets = (
        f'From: me@x.org\r\nTo: you@x.org\r\nContent-Type: text/plain; {"x" * length}="ü{"y" * 80}"\r\n\r\n'
    )
    message = email.message_from_string(octets, policy=SMTP)
    with pytest.raises(HeaderError, match="too long"):
        Submission.of(message)


@pytest.mark.parametrize("boundary", ["x\r\n Bcc: e@x.org", 'x"', "x\\", "x\x0by"], ids=ascii)
def test_a_boundary_that_cannot_be_written_is_refused(boundary: str) -> None:
    message = MIMEMultipart(boundary=boundary)
    message["From"], message["To"] = "me@x.org", "you@x.org"
    message.attach(MIMEText("Hello"))
    with pytest.raises(HeaderError):
        Submission.of(message)


LONG_NAMES = {
    "no blank behind the comma": ",".join(f'"Doe, John {n}" <user{n}@example.com>' for n in range(3)),
    "a long quoted name": '"A long quoted department name, of natural sciences, in house 7" <a@example.com>',
    "in a group": "Friends:" + ",".join(f'"Doe, John {n}" <user{n}@example.com>' for n in range(4)) + ";",
    "beyond ASCII too": '"Müller, Jörg" <j@example.com>,"Doe, J." <d@example.com>,"Doe, K." <k@example.com>',
}


@pytest.mark.parametrize("value", LONG_NAMES.values(), ids=LONG_NAMES)
def test_names_whose_quotes_the_standard_library_loses_are_folded_between_the_addresses(value: str) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "me@example.org", value
    message.set_content("Hello\n")
    submission = Submission.of(message)
    sent = email.message_from_bytes(b"".join(submission.content.blocks()), policy=SMTP)
    assert [str(it) for it in sent["To"].addresses] == [str(it) for it in message["To"].addresses]
    assert [box.text for box in submission.envelope.recipients] == [
        it.addr_spec for it in message["To"].addresses
    ]
