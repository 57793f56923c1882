"""What does a blocked thread wait for? An `Errand`: begun in a loop, given up, and told exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from portmail.delivery import IN_DOUBT, NOT_SENT
from portmail.errors import DeliveryError, InDoubt, PortmailError, Unreachable
from portmail.receipt import Receipt

T = TypeVar("T")

Tell: TypeAlias = Callable[[T | None, BaseException | None], None]
"""To be called once, in the loop, with what came of something: a result or an error."""

GiveUp: TypeAlias = Callable[[], str | None]
"""Stops it. Returns a note on what became of it, or None where that will be told."""

Begin: TypeAlias = Callable[[Tell[T]], GiveUp]
"""Begins something in the loop."""

WIND_UP = 5.0
"""Seconds that a cancelled submission, or the loop at its end, may take to put things in order."""


_SERVING: ContextVar[tuple[weakref.ref[object], ...]] = ContextVar("portmail_serving", default=())
"""Whose work is going on here: one that waited for itself would wait for ever.

Connections keep the context in which they were made: it does not keep their owner alive.
"""


def serves(owner: object) -> bool:
    """Whether this is called by the work that goes on for that owner."""
    return any(other() is owner for other in _SERVING.get())


class Home(Protocol):
    """The loop that has an errand, as other threads see it."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether its thread lives."""

    @abstractmethod
    def soon(self, callback: Callable[[], object]) -> bool:
        """Have it called in the loop. Returns whether that is still possible."""

    @abstractmethod
    def forget(self, errand: Errand[Any]) -> None:
        """It is over."""


def as_task(work: Callable[[], Coroutine[Any, Any, T]], tell: Tell[T]) -> GiveUp:
    """Begin a coroutine as a task, that tells what it returns or raises."""

    async def run() -> None:
        try:
            result = await work()
        except BaseException as exc:  # noqa: BLE001  # raised where somebody waits for it
            tell(None, exc)
        else:
            tell(result, None)

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step: nobody else could tell
            tell(None, asyncio.CancelledError())

    task = asyncio.ensure_future(run())
    task.add_done_callback(ended)

    def give_up() -> None:
        task.cancel()

    return give_up


class Errand(Generic[T]):
    """Something that is to be begun for a thread that waits.

    Attributes:
        home: the loop that has it, None until one has.
        refused: whether it was never begun, because its loop ended.
        told: whether what came of it was told.
    """

    def __init__(self, begin: Begin[T], *, owner: object) -> None:
        self.home: Home | None = None
        self.refused = self.told = False
        self._ended = threading.Event()
        self._heard: Callable[[], None] | None = None
        self._begin = begin
        self._begun = False
        self._owner = owner
        self._give_up: GiveUp | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, in the loop's thread."""
        if self._ended.is_set():  # given up before
            return
        self._begun = True
        _SERVING.set((*_SERVING.get(), weakref.ref(self._owner)))  # in this callback's own context
        try:
            self._give_up = self._begin(self._tell)
        except BaseException as exc:  # noqa: BLE001  # raised where somebody waits for it
            self._tell(None, exc)

    async def go_on_here(self) -> None:
        """Begin it in the running loop, which has nothing else to do, and wait for its end."""
        over = asyncio.Event()
        self._heard = over.set
        self.start()
        try:
            await over.wait()
        except asyncio.CancelledError:  # Ctrl-C
            self._cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WIND_UP):
                    await over.wait()
            raise
        await settled()

    def _tell(self, result: T | None, error: BaseException | None) -> None:
        if self._ended.is_set():
            return
        self._result, self._error = result, error
        if self.home is not None:
            self.home.forget(self)
        self._ended.set()
        if self._heard is not None:
            self._heard()

    def orphan(self) -> None:
        """Its loop has ended, and nobody will tell any more."""
        if self._begun:
            self._tell(None, _cancelled(f"portmail: {IN_DOUBT}"))
        else:
            self.refused = True
            self._tell(None, asyncio.CancelledError())

    def wait(self) -> None:
        """Wait for its end. Raises what interrupts that."""
        while not self._ended.wait(WIND_UP):
            if self.home is not None and not self.home.alive:
                self.orphan()

    async def over(self) -> None:
        """Wait for its end in another loop than its own. Raises what interrupts that."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def heard() -> None:
            with contextlib.suppress(RuntimeError):  # closed: nobody waits any more
                loop.call_soon_threadsafe(over.set)

        self._heard = heard
        while not self._ended.is_set():  # it may have ended before there was anybody to hear
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WIND_UP):
                    await over.wait()
            if self.home is not None and not self.home.alive:
                self.orphan()

    def result(self) -> T:
        """What came of it: returned or raised."""
        result = cast("T", self._result)
        if isinstance(self._error, asyncio.CancelledError):
            raise _closed(self._notes()) from None
        error, self._error = self._error, None
        self.told = True  # from here on nothing can interrupt
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # which holds this frame

    def interrupt(self, *, because: BaseException) -> None:
        """Give it up, wait until that has happened, and tell what became of it.

        One that does not end in time may have handed its message over: then that is what is told.
        """
        try:
            if self.home is not None and self.home.soon(self._cancel):
                self._ended.wait(WIND_UP)
        except BaseException as again:
            self._note(again)
            raise
        finally:
            self._note(because)

    async def cancelled(self, *, because: BaseException) -> None:
        """`interrupt`, where another loop waits, which goes on meanwhile."""
        possible = self.home is not None and self.home.soon(self._cancel)
        if isinstance(because, GeneratorExit):  # that loop is gone: nothing can be awaited any more
            return
        try:
            if possible:
                async with asyncio.timeout(WIND_UP):
                    await self.over()
        except TimeoutError:
            pass
        except BaseException as again:
            self._note(again)
            raise
        finally:
            self._note(because)

    def _cancel(self) -> None:
        if self._ended.is_set():
            return
        if not self._begun:
            self._tell(None, asyncio.CancelledError())
        elif self._give_up is not None and (note := self._give_up()) is not None:
            self._tell(None, _cancelled(note))

    def _note(self, error: BaseException) -> None:
        for note in self._notes():
            error.add_note(note)

    def _notes(self) -> list[str]:
        if not self._ended.is_set():
            return [f"portmail: {IN_DOUBT if self._begun else NOT_SENT}"]
        if self._error is None:
            return ["portmail: the message was accepted"] if isinstance(self._result, Receipt) else []
        told = IN_DOUBT  # a fault of whatever kind
        if isinstance(self._error, PortmailError):
            told = str(self._error).partition("\n")[0]
        elif isinstance(self._error, asyncio.CancelledError):
            told = NOT_SENT
        return list(getattr(self._error, "__notes__", [f"portmail: {told}"]))


def _closed(notes: Sequence[str]) -> DeliveryError:
    """What to raise when the submitter was closed while the message was on its way."""
    text = "\n".join(["The submitter was closed while it was sending.", *notes])
    unsent = all(NOT_SENT in note and "accepted for" not in note for note in notes)
    return Unreachable(text, temporary=True) if unsent else InDoubt(text)


def _cancelled(note: str) -> asyncio.CancelledError:
    error = asyncio.CancelledError()
    error.add_note(note)
    return error


async def settled() -> None:
    """Let what else goes on in this loop end: connections say goodbye."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=WIND_UP)
