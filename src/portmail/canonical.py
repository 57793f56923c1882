"""Which octets does a text become? CRLF line ends, no NUL, no long line; in blocks where it is big."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from portmail.errors import ContentError
from portmail.header import MAX_LINE

BLOCK = 64 * 1024
"""Octets written at a time, about; a text that is longer is not encoded as a whole."""


class Segment(Protocol):
    """Whole lines of a content, made when they are asked for, and not kept."""

    @property
    def size(self) -> int:
        """Octets, known without making them."""
        ...

    @property
    def eight_bit(self) -> bool:
        """Whether there are octets above 127."""
        ...

    @property
    def dotted(self) -> bool:
        """Whether a line may begin with a dot."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """The octets, in blocks of whole lines; every call begins at the start."""
        ...


Piece: TypeAlias = bytes | Segment
"""Octets, or what makes them. Every piece begins a line."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of a big text, all with one kind of line end; encoded block by block."""

    text: Any
    """`str` that stands for octets, or `bytes`."""
    start: int
    end: int
    line_end: Any
    size: int
    eight_bit: bool
    dotted: bool = True

    def blocks(self) -> Iterator[bytes]:
        """The octets; a line is never longer than a block."""
        start, width = self.start, len(self.line_end)
        while start < self.end:
            end = self.text.rfind(self.line_end, start, min(start + BLOCK, self.end)) + width
            block = octets_of(self.text[start:end])
            yield block if width == 2 else block.replace(b"\n", b"\r\n")
            start = end


def octets_of(text: str | bytes) -> bytes:
    """The octets for which a text stands, in the way of the standard library's parser.

    Raises:
        UnicodeEncodeError: the text stands for no octets.
    """
    return text if isinstance(text, bytes) else text.encode("ascii", "surrogateescape")


def whole_lines(text: str | bytes, *, start: int = 0) -> Lines | None:
    """The lines of a big text, up to its last line end; None where it needs a closer look.

    Raises:
        UnicodeEncodeError: the text stands for no octets.
    """
    source: Any = text
    feed: Any
    carriage: Any
    feed, carriage, nul = ("\n", "\r", "\0") if isinstance(text, str) else (b"\n", b"\r", b"\0")
    feeds = source.count(feed, start)
    # Most have none, and finding none is faster than counting none.
    carriages = 0 if source.find(carriage, start) < 0 else source.count(carriage, start)
    line_end = carriage + feed if carriages else feed
    if carriages and not feeds == carriages == source.count(line_end, start):
        return None
    end = source.rfind(line_end, start) + len(line_end) if feeds else start
    if source.find(nul, start) >= 0 or len(source) - end > MAX_LINE:
        return None
    if _long_line(source, line_end=line_end, start=start, end=end) is not None:
        return None
    size = end - start + (0 if carriages else feeds)
    return Lines(text, start, end, line_end, size, _eight_bit(text, start=start))


def _eight_bit(text: str | bytes, *, start: int) -> bool:
    if text.isascii():  # of a str, Python knows it
        return False
    blocks = [octets_of(text[at : at + BLOCK]).isascii() for at in range(start, len(text), BLOCK)]
    return not all(blocks)  # after every block was tried


def with_line_ends(data: bytes) -> bytes:
    """CRLF line ends only (RFC 5321 section 2.3.8); the end stays as it is."""
    carriages = data.count(b"\r")
    if carriages:
        if carriages == data.count(b"\n") == data.count(b"\r\n"):
            return data
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n")


def canonical(data: bytes, *, before: int = 0) -> bytes:
    """CRLF line ends only, at the end as well; `before`: how many lines of the message come earlier.

    Raises:
        ContentError: NUL octets, or a line of more than 998 octets.
    """
    data = with_line_ends(data)
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    if b"\0" in data:
        raise ContentError("the message holds NUL octets: encode that part as base64")
    at = _long_line(data, line_end=b"\r\n", start=0, end=len(data))
    if at is not None:
        number = before + data.count(b"\n", 0, at) + 1
        raise ContentError(
            f"line {number} of the message has more than {MAX_LINE} octets "
            "(RFC 5321 section 4.5.3.1.6): encode that part as quoted-printable or base64, or fold the header"
        )
    return data


def travels(piece: Piece) -> bool:
    """Whether octets with CRLF are without NUL and too long lines; what makes them was looked at before."""
    if not isinstance(piece, bytes):
        return True
    return b"\0" not in piece and _long_line(piece, line_end=b"\r\n", start=0, end=len(piece)) is None


def _long_line(text: Any, *, line_end: Any, start: int, end: int) -> int | None:
    reach = MAX_LINE + len(line_end)
    while start < end:
        # The last line end within reach: as many short lines as fit are passed in one step.
        found = text.rfind(line_end, start, start + reach)
        if found < 0:
            return start
        start = found + len(line_end)
    return None


def size_of(piece: Piece) -> int:
    """Octets."""
    return len(piece) if isinstance(piece, bytes) else piece.size


def is_eight_bit(piece: Piece) -> bool:
    """Whether there are octets above 127."""
    return not piece.isascii() if isinstance(piece, bytes) else piece.eight_bit


def blocks_of(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """Octets of a content in blocks of whole lines."""
    for piece in pieces:
        if not isinstance(piece, bytes):
            yield from piece.blocks()
        elif len(piece) <= BLOCK:
            yield piece
        else:
            yield from Lines(piece, 0, len(piece), b"\r\n", len(piece), eight_bit=True).blocks()


def stuffed_blocks_of(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """The same, with a dot before the dot that begins a line (RFC 5321 section 4.5.2)."""
    for piece in pieces:
        dotted = isinstance(piece, bytes) or piece.dotted
        for block in blocks_of((piece,)):
            yield _stuffed(block) if dotted else block


def _stuffed(block: bytes) -> bytes:
    block = block.replace(b"\r\n.", b"\r\n..")
    return b"." + block if block.startswith(b".") else block
