"""How is a table told? With rich on a terminal; elsewhere as plain text in columns, with the same words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, TextIO, TypeAlias

from portmail.cli.lines import is_terminal, width, wrapped
from portmail.cli.report import carries, tell
from portmail.reply import printable

Style: TypeAlias = Literal["good", "warning", "bad", "dim", ""]
"""What a cell says at a glance. A colour only repeats what its text says."""

_MARKS: dict[Style, tuple[str, str]] = {"good": ("✓", "ok"), "warning": ("!", "!"), "bad": ("✗", "no")}
"""Marks that read without colour, and in ASCII."""

_GAP = "  "

_LEAST = 20
"""Columns of a terminal that are enough for the last cell of a row; with fewer, the terminal breaks it."""


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
        lines = _fitted(headings, lines, columns=shutil.get_terminal_size().columns)
        with suppress(ImportError):
            from portmail.cli.terminal import print_table

            print_table(headings, lines, stream=stream)
            return
    tell("\n".join(_aligned([headings, *([it.text for it in row] for row in lines)])), to=stream)


def mark(style: Style, *, stream: TextIO) -> Cell:
    """`✓`, `!` or `✗` as a cell; `ok`, `!` or `no` where the encoding of `stream` cannot carry them."""
    sign, plain = _MARKS.get(style, ("", ""))
    return Cell(sign if carries(stream, "".join(sign for sign, _ in _MARKS.values())) else plain, style)


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _fitted(headings: Sequence[str], rows: Sequence[Row], *, columns: int) -> list[list[Cell]]:
    """The rows, with the last cell of each in lines that fit behind the others."""
    *before, _ = _widths([headings, *([it.text for it in row] for row in rows)])
    left = columns - sum(before) - len(_GAP) * len(before)
    if left < _LEAST:
        return [[*row] for row in rows]
    return [[*row, last._replace(text=wrapped(last.text, columns=left))] for *row, last in rows]


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """A line a row, or more where its last cell has more. No line ends in blanks."""
    *widths, _ = _widths(table)
    empty = [""] * len(widths)
    for *cells, last in table:
        for number, line in enumerate(last.split("\n")):
            before = empty if number else cells
            padded = (text + " " * (wide - width(text)) for text, wide in zip(before, widths, strict=True))
            yield _GAP.join([*padded, line]).rstrip()


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    """The columns that each column of the table takes up."""
    return [max(map(width, column)) for column in zip(*table, strict=True)]
