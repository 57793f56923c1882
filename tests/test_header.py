"""Which fields does a header section have? Read from the octets that would leave."""

from __future__ import annotations

import pytest

from portmail.errors import HeaderError
from portmail.header import Field, check_header, check_same_names, split_header


@pytest.mark.parametrize(
    ("data", "fields", "rest"),
    [
        pytest.param(b"A: 1\r\n\r\nbody\r\n", [("a", b"A: 1\r\n")], b"\r\nbody\r\n", id="header and body"),
        pytest.param(b"A: 1\r\n\r\n", [("a", b"A: 1\r\n")], b"\r\n", id="an empty body"),
        pytest.param(b"A: 1\r\n", [("a", b"A: 1\r\n")], b"\r\n", id="no body"),
        pytest.param(b"\r\nA: 1\r\n\r\nB: 2\r\n", [], b"\r\nA: 1\r\n\r\nB: 2\r\n", id="no header"),
        pytest.param(b"\r\n", [], b"\r\n", id="nothing"),
        pytest.param(b"A: 1\r\n 2\r\n\t3\r\n\r\n", [("a", b"A: 1\r\n 2\r\n\t3\r\n")], b"\r\n", id="folded"),
        pytest.param(b"A:\r\nB:2\r\n\r\n", [("a", b"A:\r\n"), ("b", b"B:2\r\n")], b"\r\n", id="no space"),
        pytest.param(b"A: \xc3\xa9\r\n\r\n", [("a", b"A: \xc3\xa9\r\n")], b"\r\n", id="UTF-8"),
    ],
)
def test_a_message_splits_into_fields_and_the_rest(
    data: bytes, fields: list[tuple[str, bytes]], rest: bytes
) -> None:
    found, behind = split_header(data)
    assert (found, behind) == (tuple(Field(*field) for field in fields), rest)
    assert b"".join(field.octets for field in found) + behind in (data, data + b"\r\n")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no colon\r\n\r\n", id="no colon"),
        pytest.param(b": 1\r\n\r\n", id="no name"),
        pytest.param(b"A B: 1\r\n\r\n", id="space in the name"),
        pytest.param(b"Bcc : 1\r\n\r\n", id="space before the colon"),
        pytest.param(b" folded\r\nA: 1\r\n\r\n", id="a continuation of nothing"),
        pytest.param(b"From me Mon Jan 1\r\nA: 1\r\n\r\n", id="an mbox separator"),
        pytest.param(b"A: 1\r\n\x0bB: 2\r\n\r\n", id="a control character in the name"),
        pytest.param(b"\xc3\x9c: 1\r\n\r\n", id="a name that is not ASCII"),
        pytest.param(b"A: \xff\r\n\r\n", id="neither ASCII nor UTF-8"),
        pytest.param(b"A: " + b"x" * 996 + b"\r\n\r\n", id="too long"),
    ],
)
def test_what_is_no_header_section_is_refused(data: bytes) -> None:
    with pytest.raises(HeaderError):
        split_header(data)


A, B = Field("a", b"A: 1\r\n"), Field("b", b"B: 1\r\n")


@pytest.mark.parametrize(
    ("leaving", "words"),
    [
        pytest.param([A, B, Field("bcc", b"Bcc: e@x\r\n")], "'bcc'", id="one too many"),
        pytest.param([A, Field("bcc", b"Bcc: e@x\r\n")], "'bcc'", id="one in place of another"),
        pytest.param([A, A, B], "a repeated field", id="one twice"),
        pytest.param([A], "a repeated field", id="one too few"),
        pytest.param([B, A], "a repeated field", id="in another order"),
    ],
)
def test_fields_that_nobody_meant_do_not_leave(leaving: list[Field], words: str) -> None:
    check_same_names([A, B], intended=["A", "b"])
    with pytest.raises(HeaderError, match=words):
        check_same_names(leaving, intended=["A", "B"])


@pytest.mark.parametrize("name", ["", "A:", "A B", "A\n", "A\0", "Ä", " A"], ids=ascii)
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    check_header("X-Any_thing!", value="")
    with pytest.raises(HeaderError, match="no header name"):
        check_header(name, value="x")


@pytest.mark.parametrize("value", ["\n", "a\rb", "a\r\n b", "a\0b"], ids=ascii)
def test_a_value_with_a_line_break_or_nul_is_refused_by_name(value: str) -> None:
    check_header("Subject", value="Grüße \t\x1b")
    with pytest.raises(HeaderError, match="the Subject header holds a line break or NUL"):
        check_header("Subject", value=value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"From me@example.org Mon Jan 1 00:00:00 2024\r\nA: 1\r\n\r\n", "an mbox begins like this"),
        (b"\xef\xbb\xbfFrom: me@example.org\r\n\r\n", "a byte order mark"),
        (b"Hello\r\n\r\n", "a name and a colon"),
    ],
)
def test_what_begins_otherwise_is_called_by_its_name(data: bytes, told: str) -> None:
    with pytest.raises(HeaderError, match=told):
        split_header(data)
