"""How does progress look on a terminal? A bar; the only door to rich."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
from rich.table import Column
from rich.text import Text

from portmail.cli.counting import Tally, in_words


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
