"""How do many messages get from one thread to another? In batches, as large as they are small."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Generic, TypeAlias

from portmail.bulk import Bulk, M, Result
from portmail.errors import PortmailError, Unreachable
from portmail.submission import Submission

_MOST = 16
"""Messages handed over at a time; a hand-over costs about as much as three of them."""

_SMALL = 128 * 1024
"""Octets of a message, up to which several are taken before the first is under way."""

_PATIENCE = 0.01
"""Seconds spent collecting: what a slow source has given goes on its way meanwhile."""

_GATHER = 0.02
"""Seconds for more results to come behind the first."""

Prepared: TypeAlias = tuple[M, Submission | PortmailError]
"""A message, and what is sent of it or what is wrong with it."""


class Batches(Generic[M]):
    """Messages of an iterable, in batches. What it raises comes as its end, and is in `error`.

    Each message is prepared before the next one is asked for: a program may use one object for all.
    """

    def __init__(self, messages: Iterable[M], *, default_sender: str | None) -> None:
        self._messages = iter(messages)
        self._default_sender = default_sender
        self._size = 1
        self.ended = False
        self.error: Exception | None = None

    def take(self, *, octets_each: float) -> list[Prepared[M]]:
        """The next batch; one at a time where messages have many octets each."""
        self._size = min(_MOST, self._size * 2) if octets_each <= _SMALL else 1
        batch: list[Prepared[M]] = []
        until = time.monotonic() + _PATIENCE
        while not self.ended and len(batch) < self._size and time.monotonic() < until:
            try:
                message = next(self._messages)
            except StopIteration:
                self.ended = True
            except Exception as exc:  # noqa: BLE001  # raised when all that came before has its result
                self.ended, self.error = True, exc
            else:
                batch.append((message, self._prepared(message)))
        return batch

    def _prepared(self, message: M) -> Submission | PortmailError:
        try:
            return Submission.of(message, default_sender=self._default_sender)
        except PortmailError as exc:
            return exc


async def exchange(
    bulk: Bulk[M], batch: Iterable[Prepared[M]], *, last: bool
) -> tuple[list[Result[M]], bool]:
    """Put a batch in; return the results that there are, and whether those were all.

    Waits for results where there is no room, or nothing more will come.
    """
    if asyncio.get_running_loop() is not bulk.loop:  # closed meanwhile: what was under way has its result
        bulk.closed = True
        return bulk.take() + [Result(message, None, closed()) for message, _ in batch], True
    for message, submission in batch:
        await bulk.start(message, submission)
    if bulk.over or (bulk.room.is_set() and not last):
        return bulk.take(), bulk.over
    try:
        await bulk.arrived.wait()
        async with asyncio.timeout(_GATHER):
            await bulk.room.wait()
    except TimeoutError:
        pass
    except asyncio.CancelledError as exc:
        exc.add_note("portmail: of messages under way, those that were begun are finished, nobody is told")
        raise
    return bulk.take(), bulk.over


def closed() -> Unreachable:
    """What is told of messages that a submitter had taken, and not begun, when it was closed."""
    return Unreachable("Not sent: the submitter was closed while it was sending.", temporary=True)
