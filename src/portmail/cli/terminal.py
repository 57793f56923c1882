"""How does it look on a terminal? A bar for progress, a table for results; the only door to rich."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
from rich.table import Column, Table
from rich.text import Text

from portmail.cli.counting import Tally, in_words
from portmail.cli.report import tell
from portmail.reply import printable

_STYLES: Mapping[str, str] = MappingProxyType(
    {"good": "green", "warning": "yellow", "bad": "bold red", "dim": "dim", "heading": "bold", "": ""}
)
"""What rich calls the styles of a cell."""

_NARROWEST = 40
"""Columns below which rich would leave letters out: there, the terminal itself breaks the lines."""


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], *, stream: TextIO
) -> None:
    """Print a table, wrapped to the width of the terminal; nothing in a cell is taken for markup.

    A cell is its text and the name of its style. There are no colours where NO_COLOR is set, or
    `stream` is no terminal.
    """
    columns = (Column(_text(heading, "heading"), overflow="fold") for heading in headings)
    table = Table(
        *columns,
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,  # two blanks between columns, as in plain text
        header_style="",
    )
    for row in rows:
        table.add_row(*(_text(text, style) for text, style in row))
    console = Console(
        file=stream,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        force_terminal=stream.isatty(),  # FORCE_COLOR would put escapes into files
    )
    console.width = max(console.width, _NARROWEST)
    with console.capture() as drawn:
        console.print(table)
    tell(drawn.get().removesuffix("\n"), to=stream)


def _text(text: str, style: str) -> Text:
    return Text(printable(text), style=_STYLES[style])


class Bar:
    """A bar, and behind it what the plain lines say. A terminal that goes away stops nothing."""

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._words = _Words(tally)
        bar = BarColumn(bar_width=None, table_column=Column(min_width=8))
        # Standard output may be a file: rich would lead it to the terminal.
        self._bar = Progress(
            bar,
            TaskProgressColumn(),
            self._words,
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=tally.total)

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._bar.stop()

    def moved(self, tally: Tally) -> None:
        """The bar is drawn a little longer, the next time."""
        with suppress(OSError):
            self._bar.update(self._task, completed=tally.done)

    def say(self, line: str) -> None:
        """A line above the bar."""
        with suppress(OSError):
            self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def stopping(self) -> None:
        """A word before the others, the next time that they are drawn."""
        self._words.before = "stopping (Ctrl-C: at once): "


class _Words(ProgressColumn):
    """The words behind the bar, true at the moment when they are drawn."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.before = ""
        self._tally = tally

    def render(self, task: Task) -> Text:  # noqa: ARG002  # there is one
        return Text(self.before + in_words(self._tally))
