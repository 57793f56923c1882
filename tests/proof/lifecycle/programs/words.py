"""What does a program say, of each message and of what it has open? Lines of JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import portmail
from portmail import InDoubt

_SOON = 6.0
"""Seconds in which what was closed is gone."""


def say(**facts: object) -> None:
    """Print a line, whole, whoever prints beside."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def complain(text: str) -> None:
    """Say that something is wrong."""
    say(complaint=text)


def told(number: int, exc: BaseException | None = None) -> None:
    """Say what became of a message."""
    say(number=number, **words(exc), pid=os.getpid())


def words(exc: BaseException | None) -> dict[str, object]:
    """What is known of what a message came to."""
    if exc is None:
        return {"said": "sent"}
    said = "in doubt" if isinstance(exc, InDoubt) else "not sent"
    return {"said": said, "error": type(exc).__name__, "kinds": _kinds(exc), "text": repr(exc)[:300]}


def _kinds(exc: BaseException) -> list[str]:
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(exc).__mro__]


def attempt(send: Callable[[int], object], number: int) -> None:
    """Send a message, and say what became of it."""
    try:
        send(number)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is judged
        told(number, exc)
    else:
        told(number)


async def attempt_async(send: Callable[[int], Awaitable[object]], number: int) -> None:
    """The same with a coroutine."""
    try:
        await send(number)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is judged
        told(number, exc)
    else:
        told(number)


async def blocking_attempt(send: Callable[[int], object], number: int) -> None:
    """Block the running loop with it."""
    attempt(send, number)


def refused(work: Callable[[], object], *, text: str) -> None:
    """It must end with an error of ours that says this."""
    try:
        work()
    except portmail.PortmailError as exc:
        if text not in str(exc):
            complain(f"the error does not say {text!r}: {exc}")
    except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
        complain(f"{exc!r:.300} is no error of portmail's")
    else:
        complain(f"nothing was raised that says {text!r}")


def descriptors() -> int:
    """How many are open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # nothing else may be opened for it


def threads() -> int:
    """How many the kernel knows of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208  # as above


@contextmanager
def nothing_left() -> Iterator[None]:
    """What was opened must be closed, soon."""
    before = (descriptors(), threads())
    yield
    until = time.monotonic() + _SOON
    while (descriptors(), threads()) > before and time.monotonic() < until:
        time.sleep(0.02)
    after = (descriptors(), threads())
    if after[0] > before[0] or after[1] > before[1]:
        complain(f"descriptors and threads were {before}, and are {after}")
