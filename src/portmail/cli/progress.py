"""How far is it? A bar where a terminal and the library rich are there, plain lines otherwise."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from portmail.cli.counting import Tally, in_words
from portmail.cli.lines import is_terminal
from portmail.cli.report import tell_aside

_EVERY = 2.0
"""Seconds between two plain lines, at least."""

STOPPING = "stopping: what is under way is finished first. Once more (Ctrl-C) stops at once."


class Progress(Protocol):
    """Tells a person how far it is, for as long as the `with` block lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def moved(self, tally: Tally) -> None:
        """Something was settled."""
        ...

    def say(self, line: str) -> None:
        """Tell something else; it stays to be read."""
        ...

    def stopping(self) -> None:
        """It was asked to stop. Called out of a signal handler."""
        ...


def progress_for(tally: Tally, *, stdout_is_read: bool) -> Progress:
    """What fits the place where standard error goes.

    `stdout_is_read`: lines of ours on standard output, which a bar on the same terminal would meet.
    """
    if is_terminal(sys.stderr) and not (stdout_is_read and is_terminal(sys.stdout)):
        try:
            from portmail.cli.terminal import Bar
        except ImportError:
            return Lines(tally)
        return Bar(tally, sys.stderr)
    return Lines(tally)


class Lines:
    """Plain lines on standard error, one every two seconds at most."""

    def __init__(self, tally: Tally) -> None:
        self._next = tally.started + _EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def moved(self, tally: Tally) -> None:
        """A line, if the last one is two seconds old."""
        now = tally.clock()
        if now >= self._next:
            self._next = now + _EVERY
            self.say(in_words(tally))

    def say(self, line: str) -> None:
        """A line."""
        tell_aside(line)

    def stopping(self) -> None:
        """A line, past the buffer of standard error, in which the program may just have been busy."""
        with suppress(AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            os.write(sys.stderr.fileno(), f"{STOPPING}\n".encode())
