"""Which octets does a text become? The same in blocks as in one piece, whatever its line ends and dots."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail import canonical
from portmail.canonical import (
    BLOCK,
    Lines,
    blocks_of,
    octets_of,
    stuffed_blocks_of,
    whole_lines,
    with_line_ends,
)
from portmail.content import Content, content_of
from portmail.errors import ContentError

HEAD = b"Date: 1\r\nFrom: me@x.org\r\nMessage-ID: <1@x.org>\r\n\r\n"
BIG: dict[str, bytes] = {
    "short lines": b"a line\n" * 10_000,
    "CRLF": b"a line\r\n" * 10_000,
    "mixed line ends": b"a line\r\nanother\n" * 6_000,
    "bare carriage returns": b"a\rline\r\n" * 10_000,
    "only bare carriage returns": b"a line\r" * 10_000,
    "no final line end": b"a line\n" * 10_000 + b"end",
    "final carriage return": b"a line\r\n" * 10_000 + b"\r",
    "lines of 998": (b"x" * 998 + b"\n") * 200,
    "lines of 998, CRLF": (b"x" * 998 + b"\r\n") * 200,
    "8-bit": b"line \xe4\n" * 10_000,
    "dots": b".\n..\n.a\n" * 10_000,
    "empty lines": b"\n" * 100_000,
}


def unstuffed(blocks: list[bytes]) -> bytes:
    lines = b"".join(blocks).splitlines(keepends=True)
    assert b".\r\n" not in lines
    return b"".join(line.removeprefix(b".") for line in lines)


def assert_sound(content: Content) -> None:
    """What holds for every content, however it is made."""
    blocks, stuffed = list(content.blocks()), list(content.stuffed_blocks())
    assert b"".join(blocks) == content.data == b"".join(content.blocks())
    assert unstuffed(stuffed) == content.data
    assert content.size == len(content.data)
    for block in (*blocks, *stuffed):
        assert block.endswith(b"\r\n")
        assert len(block) <= 2 * BLOCK
    assert content.needs_8bitmime == (not content.data.isascii())


@pytest.mark.parametrize("body", BIG.values(), ids=list(BIG))
def test_a_big_body_of_octets(body: bytes) -> None:
    content = content_of(HEAD + body, sender="")
    assert_sound(content)
    expected = HEAD + body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert content.data == expected if expected.endswith(b"\r\n") else expected + b"\r\n"


@given(st.text(".\r\na", max_size=60), st.integers(1, 9))
def test_every_text_in_every_size_of_block(text: str, size: int) -> None:
    lines = whole_lines(text)
    octets = with_line_ends(text.encode())
    if lines is None:
        assert "\r" in text
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "BLOCK", max(size, *map(len, text.replace("\n", "\n|").split("|"))))
        blocks = [*lines.blocks()]
        assert lines.size == len(b"".join(blocks))
        assert b"".join(blocks) + text[lines.end :].encode() == octets
        assert all(block.endswith(b"\r\n") for block in blocks)
        if blocks:
            assert unstuffed([*stuffed_blocks_of([lines])]) == b"".join(blocks)
        assert [*blocks_of([lines])] == blocks


@given(st.binary(max_size=50).map(lambda octets: octets.decode("ascii", "surrogateescape")))
def test_a_text_stands_for_octets(text: str) -> None:
    lines = whole_lines(text)
    if lines is None:
        assert "\r" in text or "\0" in text
        return
    octets = b"".join(lines.blocks())
    assert octets == with_line_ends(octets_of(text[: lines.end]))
    assert lines.eight_bit == (not text.isascii())


def test_a_small_content_is_one_object_that_is_not_copied() -> None:
    content = content_of(HEAD + b"Hello\r\n", sender="")
    [block] = content.blocks()
    [again] = content.stuffed_blocks()
    assert block is content.pieces[0]
    assert again is block
    assert content.data == block == HEAD + b"Hello\r\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a line\n" * 20_000 + b"x\0\n", "NUL"),
        (b"a line\n" * 20_000 + b"x" * 999 + b"\n", r"line 20005 of the message has more than 998"),
        (b"a line\r\n" * 20_000 + b"x" * 999 + b"\r\n", r"line 20005 of the message has more than 998"),
        (b"a line\n" * 20_000 + b"x" * 999, r"line 20005 of the message has more than 998"),
        (b"x" * 100_000, r"line 5 of the message has more than 998"),
    ],
    ids=["NUL", "long line", "long line with CRLF", "long last line", "one line"],
)
def test_what_cannot_travel_is_found_in_a_big_body(body: bytes, words: str) -> None:
    with pytest.raises(ContentError, match=words):
        content_of(HEAD + body, sender="")


def test_a_text_that_stands_for_no_octets_is_told_at_once() -> None:
    with pytest.raises(UnicodeEncodeError):
        whole_lines("line\n" * 20_000 + "ä\n")


@pytest.mark.parametrize("wrong", ["x\0\n", "x" * 999 + "\n", "x" * 999, "a\rb\n"], ids=ascii)
def test_a_big_text_that_needs_a_closer_look(wrong: str) -> None:
    assert whole_lines("line\n" * 20_000 + wrong) is None


def peak(task: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_big_body_is_not_copied(line_end: bytes) -> None:
    octets = HEAD + (b"This is a line of text." + line_end) * 200_000

    def read() -> None:
        content = content_of(octets, sender="")
        assert sum(map(len, content.stuffed_blocks())) == content.size

    assert peak(read) < len(octets) / 4


def test_lines_may_be_a_part_of_a_text() -> None:
    assert b"".join(Lines("a\nb\nc\n", 2, 4, "\n", 3, eight_bit=False).blocks()) == b"b\r\n"
