"""How do many messages go out? A bounded window of them under way, and a result for every one.

feeding = asyncio.ensure_future(feed(bulk, messages))
while not (feeding.done() and bulk.over):
    await bulk.arrived.wait()
    yield from bulk.take()
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from portmail import log
from portmail.content import AnyMessage, Enveloped
from portmail.delivery import Delivery
from portmail.errors import (
    AuthenticationFailed,
    ConfigurationError,
    CredentialsUnavailable,
    DeliveryError,
    PortmailError,
)
from portmail.pools import Pools
from portmail.receipt import Receipt
from portmail.settings import Settings
from portmail.submission import Submission, prepared

M = TypeVar("M", bound=AnyMessage | Enveloped)

BeforeCommit: TypeAlias = Callable[[M], None]
"""Called right before the octets leave that commit this message; it must be quick."""

_EACH = 16
"""Messages under way for each connection: enough to keep it busy, and few in memory."""

_OCTETS = 8 * 1024 * 1024
"""Octets of content under way, beyond which no more is taken."""

_IN_A_ROW = 4
"""Messages put in before others have their turn in the loop."""

_OF_THE_ACCOUNT = (AuthenticationFailed, CredentialsUnavailable, ConfigurationError)
"""Errors that every other message would meet as well. Trying again and again would lock the account."""


@dataclass(frozen=True, slots=True)
class Result(Generic[M]):
    """What became of one message of many: a receipt, or the error that says why there is none."""

    message: M
    receipt: Receipt | None
    error: PortmailError | None


class Bulk(Generic[M]):
    """Messages under way, and the results of those that are over, in the order of their ending.

    Attributes:
        arrived: set while there are results.
        room: set while more may be put in; where it is not, each comes when some are over.
        loop: where they are under way.
        closed: whether that has ended.
    """

    def __init__(self, pools: Pools, *, settings: Settings, before_commit: BeforeCommit[M] | None) -> None:
        if before_commit is not None and (
            not callable(before_commit) or inspect.iscoroutinefunction(before_commit)
        ):
            raise ConfigurationError("before_commit must be a plain function of one message, not async")
        self.arrived = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._pools = pools
        self._settings = settings
        self._before_commit = before_commit
        self._most = _EACH * settings.pool_size
        self._taken = 0
        self._under_way: dict[int, tuple[Delivery, int]] = {}  # by number: a delivery must not know itself
        self._octets = 0
        self._results: list[Result[M]] = []
        self._refused: PortmailError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is under way and every result was taken."""
        return not self._count

    @property
    def octets_each(self) -> float:
        """Octets of a message under way, on average."""
        return self._octets / (len(self._under_way) or 1)

    @property
    def _count(self) -> int:
        return len(self._under_way) + len(self._results)

    async def put(self, message: M) -> None:
        """Start a message on its way. What is wrong with it will be in its result."""
        submission: Submission | PortmailError
        try:
            submission = await prepared(message, default_sender=self._settings.sender)
        except PortmailError as exc:
            submission = exc
        await self.start(message, submission)

    async def start(self, message: M, submission: Submission | PortmailError) -> None:
        """Start a message that was prepared, or tell what is wrong with it."""
        if not isinstance(submission, PortmailError) and self._refused is not None:
            submission = _again(self._refused, message_id=submission.content.message_id)
        if isinstance(submission, PortmailError):
            self._tell(Result(message, None, submission))
            return
        hook = partial(self._before_commit, message) if self._before_commit else None
        try:
            pool = await self._pools.here()
        except PortmailError as exc:  # no server, for this and all the others
            log.not_sent(exc, message_id=submission.content.message_id)
            self._refused = exc
            self._tell(Result(message, None, exc))
            return
        delivery = Delivery(
            submission, settings=self._settings, pool=pool, pools=self._pools, before_commit=hook
        )
        size = submission.content.size
        self._taken += 1
        self._under_way[self._taken] = delivery, size
        self._octets += size
        if self._count >= self._most or self._octets >= _OCTETS:
            self.room.clear()
        delivery.start(partial(self._done, message, self._taken))

    def take(self) -> list[Result[M]]:
        """Take the results that there are."""
        results, self._results = self._results, []
        self.arrived.clear()
        self._make_room()
        return results

    def close(self) -> None:
        """Nobody waits any more: what was not begun is not sent, what was begun is finished."""
        for delivery, _ in self._under_way.values():
            if not delivery.begun:
                delivery.give_up()

    def _done(self, message: M, number: int, receipt: Receipt | None, error: Exception | None) -> None:
        self._octets -= self._under_way.pop(number)[1]
        if isinstance(error, _OF_THE_ACCOUNT) and not getattr(error, "temporary", False):
            self._refused = error
        if error is not None and not isinstance(error, PortmailError):
            fault = DeliveryError(f"portmail itself failed: was the message sent? {error!r}")
            fault.__cause__, error = error, fault
        self._tell(Result(message, receipt, error))

    def _tell(self, result: Result[M]) -> None:
        self._results.append(result)
        self.arrived.set()
        if self._count >= self._most:
            self.room.clear()
        self._make_room()

    def _make_room(self) -> None:
        # Not for each one that ends: who fills the window is woken for many at a time.
        if self._count <= self._most // 2 and self._octets <= _OCTETS // 2:
            self.room.set()


def _again(error: PortmailError, *, message_id: str) -> PortmailError:
    """The same error for another message."""
    same = copy.copy(error)
    if isinstance(same, DeliveryError):
        same.message_id = message_id
    return same


def check_many(messages: object, *, kinds: tuple[type, ...] = (Iterable, AsyncIterable)) -> None:
    """Whether that can be many messages, of one of these kinds.

    Raises:
        ConfigurationError: it is one, or none.
    """
    if isinstance(messages, Message | bytes | str | os.PathLike):
        raise ConfigurationError("send_many takes an iterable of messages; for one message there is send")
    if not isinstance(messages, kinds):
        told = ": AsyncSubmitter takes it" if isinstance(messages, AsyncIterable) else ""
        raise ConfigurationError(f"send_many takes an iterable, not {type(messages).__name__}{told}")


async def feed(bulk: Bulk[M], messages: Iterable[M] | AsyncIterable[M]) -> None:
    """Put messages in as there is room for them. Raises what `messages` raises."""
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            await bulk.put(message)
            await bulk.room.wait()
        return
    for number, message in enumerate(messages):
        await bulk.put(message)
        if not bulk.room.is_set():
            await bulk.room.wait()
        elif number % _IN_A_ROW == 0:
            await asyncio.sleep(0)
