"""What scripts write travels, though not as it was written: folded, encoded, and otherwise the same."""

from __future__ import annotations

import re
from base64 import b64encode
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.cli.sendmail.fields import mended_field
from portmail.cli.sendmail.mending import mended
from portmail.cli.sendmail.message import Draft
from portmail.content import content_of
from portmail.errors import ContentError, HeaderError

ADDRESSES = [f"user{number}@example.org" for number in range(80)]
WORDS = "word " * 300
LONG = "<td>ü</td> " * 200


def travelling(text: bytes) -> bytes:
    """The octets that would be sent."""
    return content_of(mended(Draft.of(text)).octets, sender="me@example.org").data


def arrived(text: bytes) -> EmailMessage:
    message = message_from_bytes(travelling(text), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def unfolded(octets: bytes) -> bytes:
    return re.sub(rb"\r\n(?=[ \t])", b"", octets)


# --------------------------------------------------------------------------------------------- fields

FIELDS = {
    "recipients": f"To: {', '.join(ADDRESSES)}",
    "recipients, folded": f"To: {', '.join(ADDRESSES[:60])},\r\n\t{', '.join(ADDRESSES[60:])}",
    "recipients with names": "Cc: " + ", ".join(f'"A, {it}" <{it}>' for it in ADDRESSES),
    "messages before": f"References: {' '.join(f'<{it}>' for it in ADDRESSES)}",
    "a parameter": f'Content-Type: text/plain; x="{WORDS}"',
    "free text": f"Subject: {WORDS}end",
    "one long word": f"X-Token: {'a' * 990}",
    "blanks": f"X-Blanks: a{' ' * 900}b{' ' * 900}c",
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_long_field_is_folded_at_blanks_and_says_the_same(case: str) -> None:
    field = FIELDS[case].encode()
    octets = travelling(field + b"\r\n\r\nhi\r\n")
    head = octets.partition(b"\r\n\r\n")[0]
    assert unfolded(field) in unfolded(head)
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert all(line.strip() for line in head.split(b"\r\n"))


@pytest.mark.parametrize("comma", [",", ",\t", ", "])
def test_addresses_are_folded_behind_commas_and_stay_the_same(comma: str) -> None:
    to = comma.join(['"Doe,John"@example.org', "(a,b) c@example.org", *ADDRESSES])
    message = arrived(f"To: {to}\n\nhi\n".encode())
    assert [it.addr_spec for it in message["To"].addresses][2:] == ADDRESSES
    assert '"Doe,John"@example.org' in message.as_string()
    assert "(a,b) c@example.org" in message.as_string()


def test_free_text_without_blanks_is_encoded() -> None:
    assert arrived(b"Subject: " + b"a" * 2_000 + b"\n\nhi\n")["Subject"] == "a" * 2_000


def test_an_identifier_without_blanks_is_refused() -> None:
    with pytest.raises(ContentError, match="998"):
        travelling(b"References: <" + b"a" * 2_000 + b"@x>\n\nhi\n")


@given(st.text("aä \t", max_size=40), st.sampled_from(["Subject", "References", "To"]))
def test_no_field_becomes_another(text: str, name: str) -> None:
    text *= 90
    field = mended_field(f"{name}:{text}x\r\n".encode())
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert lines[0].startswith(f"{name}:".encode())
    assert all(line[:1] in b" \t" and line.strip() for line in lines[1:])
    if name != "Subject":
        assert unfolded(field) == f"{name}:{text}x\r\n".encode()


LATIN_1 = {
    "Subject": "Grüße",
    "Organization": "für alle",
    "Keywords": "ä, ö",
    "X-Script": "0:ä.php",
    "X-Forwarded-To": "ö",
    "Disposition": "ü",
}


@pytest.mark.parametrize("name", LATIN_1)
@pytest.mark.parametrize("charset", ["latin-1", "utf-8"])
def test_free_text_that_is_not_in_ascii_is_encoded_under_any_name(name: str, charset: str) -> None:
    text = f"{name}: {LATIN_1[name]}\n\nhi\n".encode(charset)
    assert travelling(text).isascii()
    assert arrived(text)[name] == LATIN_1[name]


@pytest.mark.parametrize(
    "field",
    [
        'Content-Type: text/plain; name="ü"',
        "Message-ID: <ü@example.org>",
        "List-Id: Grüße <list.example.org>",
        "Return-Receipt-To: Jörg <j@example.org>",
        "Received: from müller by x; Mon, 2 Nov 2026 10:00:00 +0000",
    ],
)
def test_where_programs_read_it_latin_1_becomes_utf_8_and_no_encoded_word(field: str) -> None:
    assert field.encode() + b"\r\n" in travelling(f"{field}\n\nhi\n".encode("latin-1"))
    assert field.encode() + b"\r\n" in travelling(f"{field}\n\nhi\n".encode())


@pytest.mark.parametrize("long", ["", "x " * 1_000])
@pytest.mark.parametrize("field", ["To: a@x.org\r, b@x.org", "References: <a@x>\rBcc: b@x.org"])
def test_a_carriage_return_where_programs_read_is_refused(field: str, long: str) -> None:
    with pytest.raises(HeaderError, match="carriage return"):
        travelling(f"{field} {long}\n\nhi\n".encode())


@pytest.mark.parametrize("long", ["", "x " * 1_000])
def test_a_carriage_return_in_free_text_is_a_blank(long: str) -> None:
    message = arrived(f"Subject: {long}a\rBcc: b@x.org\n\nhi\n".encode())
    assert (message["Subject"], message["Bcc"]) == (f"{long}a Bcc: b@x.org", None)


@pytest.mark.parametrize("blanks", ["", " ", "\t", " \t "])
def test_blanks_before_the_colon_are_left_out(blanks: str) -> None:
    octets = travelling(f"Subject{blanks}: x\nBcc{blanks}: eve@x.org\n\nhi\n".encode())
    assert octets.startswith(b"Subject: x\r\n")
    assert b"eve" not in octets
    assert Draft.of(f"Bcc{blanks}: eve@x.org\n".encode()).texts("bcc") == ["eve@x.org"]


def test_a_draft_is_the_octets_that_it_was_made_of() -> None:
    text = b"Subject: x\nTo: a@x\n\tb\n\nbody\n"
    assert Draft.of(text).octets == text
    assert mended(Draft.of(text)) == Draft.of(text)


# ---------------------------------------------------------------------------------------------- parts


BOUNDARY = "=_b.(1)+"


def multipart(*parts: bytes, kind: str = "mixed", boundary: str = BOUNDARY) -> bytes:
    begun = [f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts]
    head = f'MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'
    return head.encode() + b"".join(begun) + f"--{boundary}--\r\n".encode()


SHORT = (
    b"Content-Description: \xfc\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n=41 \xc3\xa4\r\n--c\r\n  "
)
TYPES = ("text/html; charset=utf-8", "application/json", "image/svg+xml")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("coding", ["", "7bit", "8BIT", "binary"])
def test_a_part_with_long_lines_is_quoted_and_no_other(kind: str, coding: str) -> None:
    head = f"Content-Type: {kind}\r\n" + (f"Content-Transfer-Encoding: {coding}\r\n" if coding else "")
    text = multipart(SHORT, f"{head}\r\n{LONG}\r\nend".encode(), SHORT)
    assert travelling(text).count(SHORT) == 2
    message = arrived(text)
    _, part, _ = message.iter_parts()
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.replace(b"\r\n", b"\n") == f"{LONG}\nend".encode()
    assert part.get_content_type() == kind.partition(";")[0]
    assert message["Content-Transfer-Encoding"] is None


def test_parts_within_parts_and_messages_are_mended_too() -> None:
    text = b"Content-Type: text/plain; charset=utf-8\n\n" + LONG.encode()
    inner = multipart(SHORT, text, boundary="inner")
    forwarded = b"Content-Type: message/rfc822\r\n\r\nTo: " + ", ".join(ADDRESSES).encode() + b"\r\n" + inner
    message = arrived(multipart(SHORT, inner.replace(b"inner", b"first"), forwarded))
    texts = [part.get_content().strip() for part in message.walk() if part.get_content_maintype() == "text"]
    assert [found == LONG.strip() for found in texts] == [False, False, True, False, True]
    [nested] = [part for part in message.walk() if part["To"]]
    assert [it.addr_spec for it in nested["To"].addresses] == ADDRESSES


@pytest.mark.parametrize("at", range(70, 80))
def test_no_line_of_a_quoted_part_is_a_boundary(at: int) -> None:
    text = "y" * 1_000 + "\n" + "x" * at + "--b--"
    _, part = arrived(multipart(SHORT, f"\r\n{text}".encode(), boundary="b")).iter_parts()
    assert part.get_content().replace("\r\n", "\n").strip() == text


def test_base64_on_one_line_is_cut() -> None:
    octets = bytes(range(256)) * 10
    head = b"Content-Type: image/png\nContent-Transfer-Encoding: BASE64\n\n"
    assert arrived(head + b64encode(octets)).get_content() == octets
    _, part = arrived(multipart(SHORT, head + b64encode(octets))).iter_parts()
    assert part.get_content() == octets


@pytest.mark.parametrize("parts", [(), (SHORT, SHORT)])
def test_what_stands_around_the_parts_is_cut(parts: tuple[bytes, ...]) -> None:
    around = b"x" * 997 + f"--{BOUNDARY}\r\n".encode() + b"\0" + b"y" * 2_000
    head, _, body = multipart(*parts).partition(b"\r\n\r\n")
    octets = travelling(b"%b\r\n\r\n%b\r\n%b%b" % (head, around, body if parts else b"", around))
    assert octets.count(SHORT) == len(parts)
    assert b"quoted-printable" not in octets
    message = message_from_bytes(octets, policy=default)
    assert len(list(message.walk())) == 1 + len(parts)


SEALED = {
    "what is signed": multipart(b"\n" + b"x" * 1_000, kind="signed"),
    "a digest": multipart(b"\n" + b"x" * 1_000, kind="digest"),
    "a part that is signed": multipart(multipart(b"\n" + b"x" * 1_000, kind="signed", boundary="c")),
    "parts without a boundary": b"Content-Type: multipart/mixed\n\n" + b"x" * 1_000,
    "a part of a message": b"Content-Type: message/partial\n\n" + b"x" * 1_000,
    "what is quoted already": b"Content-Transfer-Encoding: quoted-printable\n\n" + b"x" * 1_000,
    "an unknown encoding": b"Content-Transfer-Encoding: x-uuencode\n\n" + b"x" * 1_000,
    "NUL in base64": b"Content-Transfer-Encoding: base64\n\n" + b"\0",
}


@pytest.mark.parametrize("case", SEALED)
def test_what_cannot_be_encoded_without_reading_it_is_refused(case: str) -> None:
    with pytest.raises(ContentError):
        travelling(SEALED[case])


def test_a_text_that_could_not_travel_is_encoded() -> None:
    text = "ü" * 1_000 + "\0 end\n" + "=20\n"
    message = arrived(f"Content-Type: text/plain; charset=utf-8\n\n{text}".encode())
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_content().replace("\r\n", "\n") == text


def test_a_text_without_a_type_gets_one_if_it_is_encoded() -> None:
    message = arrived(b"x" * 5_000)
    assert message.get_content().strip() == "x" * 5_000
    assert message["MIME-Version"] == "1.0"


def test_what_looks_like_a_long_header_takes_no_long_time() -> None:
    lines = b"Note: this is\n" + b"  text\n" * 100_000
    assert Draft.of(lines).octets == lines
