"""How is a table told? With rich on a terminal; elsewhere as plain text in columns, with the same words."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, TextIO, TypeAlias

from portmail.cli.report import tell
from portmail.reply import printable

Style: TypeAlias = Literal["good", "warning", "bad", "dim", ""]
"""What a cell says at a glance. A colour only repeats what its text says."""

_MARKS: dict[Style, tuple[str, str]] = {"good": ("✓", "ok"), "warning": ("!", "!"), "bad": ("✗", "no")}
"""Marks that read without colour, and in ASCII."""

_GAP = "  "

_PIECES = re.compile(r"\s+|[(「『]*(?:[^\s\u2e80-\uffef]+|\S)[、。」』ー々っゃゅょッャュョ,.:;)]*")
"""What stays on one line: a word of Latin letters, or one character of Japanese with the marks at it."""


class Cell(NamedTuple):
    """A text in a table, and how it looks where there are colours."""

    text: str
    style: Style = ""


Row: TypeAlias = Sequence[Cell]


def show_table(headings: Sequence[str], rows: Sequence[Row], *, stream: TextIO) -> None:
    """Print a table: rich draws it on a terminal, if it is installed; otherwise it is plain text.

    Every row has as many cells as there are headings. A cell is one line: newlines in it
    become blanks, and other control characters question marks.
    """
    lines = [[Cell(_line(text), style) for text, style in row] for row in rows]
    if is_terminal(stream):
        with suppress(ImportError):
            from portmail.cli.terminal import print_table

            print_table(headings, lines, stream=stream)
            return
    tell("\n".join(_aligned([headings, *([it.text for it in row] for row in lines)])), to=stream)


def wrapped(text: str, *, columns: int, indent: str = "") -> str:
    """The text in lines of so many columns; `indent` stands before each but the first.

    Japanese has no blanks: it is broken between any two characters, but not before a full stop
    or behind an opening bracket. A word that is longer than a line is left whole.
    """
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line.strip() and _width(f"{line}{piece.rstrip()}") > columns:
            lines.append(line.rstrip())
            line = indent
        if piece.strip() or line != indent:
            line += piece
    return "\n".join([*lines, line.rstrip()])


def mark(style: Style, *, stream: TextIO) -> Cell:
    """`✓`, `!` or `✗` as a cell; `ok`, `!` or `no` where the encoding of `stream` cannot carry them."""
    sign, plain = _MARKS.get(style, ("", ""))
    return Cell(sign if _carries(stream, "".join(sign for sign, _ in _MARKS.values())) else plain, style)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is one on which a line can be written anew, and colours are seen."""
    return (
        stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    )


def _carries(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")  # in memory there is none
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """A line a row. The last column is as long as it is, and no line ends in blanks."""
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
        yield _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """How many columns of a terminal it takes up: East Asian characters two each (UAX 11)."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # drawn over the one before, or not at all
        return 0
    # An ambiguous one is narrow everywhere but in the old fonts of East Asia.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
