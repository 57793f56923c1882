"""Does anybody read what a command tells? Where the reader has gone, as `head` does, nobody would end it."""

from __future__ import annotations

import contextlib
import select
import sys
import threading
from collections.abc import Callable

from portmail.cli.report import tell


def is_read(text: str) -> bool:
    """Print a line. Returns False if there is no reader any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        tell("")  # what is left in the buffer goes nowhere
        return False
    except OSError:  # a full disk: whoever reads it may make room
        tell(text)
    return True


def when_unread(end: Callable[[], None]) -> None:
    """Have it called when the reader of standard output goes, where the system tells of that."""

    def watch() -> None:
        # No file, or no `poll`: then `is_read` finds it out with the next line.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            poll = select.poll()
            poll.register(sys.stdout.fileno(), 0)  # an error, or a hangup, is told unasked
            poll.poll()
            end()

    threading.Thread(target=watch, name="portmail-reader", daemon=True).start()
