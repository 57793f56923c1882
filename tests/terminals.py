"""What does a program write to a terminal? Both ends of one."""

import contextlib
import os
import pty
import termios


def terminal(*, columns: int) -> tuple[int, int]:
    """Our end, and the program's, which is to be closed here once the program has it."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    return ours, theirs


def shown(ours: int) -> str:
    """All that was written until the last program closed its end; ours is closed, too."""
    octets = b""
    with contextlib.suppress(OSError):  # its end, on Linux
        while more := os.read(ours, 65536):
            octets += more
    os.close(ours)
    return octets.decode()
