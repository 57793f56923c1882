"""How do coroutines serve a blocking program? A loop in a thread, per submitter and per process.

What it must stand: many threads at once, a caller inside a running loop, `fork` before and after
first use, exit without `close`, `atexit` handlers (when no thread can be started any more), and
Ctrl-C, which wins and leaves no message half told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Generic, TypeAlias, TypeVar, cast

from portmail.delivery import IN_DOUBT, NOT_SENT
from portmail.errors import ConfigurationError, DeliveryError, InDoubt, PortmailError, Unreachable
from portmail.receipt import Receipt

T = TypeVar("T")

Tell: TypeAlias = Callable[[T | None, BaseException | None], None]
"""To be called once, in the loop, with what came of something: a result or an error."""

GiveUp: TypeAlias = Callable[[], str | None]
"""Stops it. Returns a note on what became of it, or None where that will be told."""

Begin: TypeAlias = Callable[[Tell[T]], GiveUp]
"""Begins something in the loop."""

_WIND_UP = 5.0
"""Seconds that a cancelled submission, or the loop at its end, may take to put things in order."""


_SERVING: ContextVar[tuple[weakref.ref[LoopThread], ...]] = ContextVar("portmail_serving", default=())
"""Whose work is going on here: one that waited for itself would wait for ever.

Connections keep the context in which they were made: it does not keep their owner alive.
"""


class LoopThread:
    """Runs coroutines for callers that wait. The thread starts with the first one."""

    def __init__(self) -> None:
        # A thread does not survive fork, its loop's descriptors do, and are shared with the
        # parent: the child leaves them alone and starts anew.
        self._rooms: dict[int, _Room] = {}

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine in the loop; return or raise what it does. Interrupted as `call` is."""

        def begin(tell: Tell[T]) -> GiveUp:
            return as_task(work, tell)

        return self.call(begin)

    def call(self, begin: Begin[T]) -> T:
        """Begin something in the loop, and wait until it tells what came of it.

        An exception in the waiting thread, such as KeyboardInterrupt, gives it up, and is raised
        with a note on what became of the message.
        """
        if any(owner() is self for owner in _SERVING.get()):
            raise ConfigurationError(
                "a Submitter was called by the callable for its own password or token: use another one there"
            )
        room = self._rooms.get(os.getpid()) or self._rooms.setdefault(os.getpid(), _Room(self))
        loop = room.loop()
        if loop is None:
            return _call_here(begin)
        job = _Job(begin, owner=self)
        try:
            loop.call_soon_threadsafe(job.start)
            while not job.ended.wait(_WIND_UP):
                if loop.is_closed():
                    raise job.closed()
        except PortmailError:
            raise
        except BaseException as exc:
            job.cancel(loop, because=exc)
            raise
        return job.result()

    def soon(self, callback: Callable[[], None]) -> None:
        """Have it called in the loop, if that runs; whoever asks does not wait, wherever it is."""
        room = self._rooms.get(os.getpid())
        if room is not None and room.current is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                room.current.call_soon_threadsafe(callback)

    def close(self) -> None:
        """End this process's thread, if there is one."""
        if room := self._rooms.get(os.getpid()):
            room.close()


def as_task(work: Callable[[], Coroutine[Any, Any, T]], tell: Tell[T]) -> GiveUp:
    """Begin a coroutine as a task, that tells what it returns or raises."""

    async def run() -> None:
        try:
            result = await work()
        except BaseException as exc:  # noqa: BLE001  # raised where somebody waits for it
            tell(None, exc)
        else:
            tell(result, None)

    task = asyncio.ensure_future(run())

    def give_up() -> None:
        task.cancel()

    return give_up


class _Job(Generic[T]):
    """Something that was begun for a thread that waits."""

    def __init__(self, begin: Begin[T], *, owner: LoopThread) -> None:
        self.ended = threading.Event()
        self._begin = begin
        self._owner = owner
        self._give_up: GiveUp | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, in the loop's thread."""
        _SERVING.set((*_SERVING.get(), weakref.ref(self._owner)))  # in this callback's own context
        try:
            self._give_up = self._begin(self._tell)
        except BaseException as exc:  # noqa: BLE001  # raised where somebody waits for it
            self._tell(None, exc)

    def _tell(self, result: T | None, error: BaseException | None) -> None:
        if not self.ended.is_set():
            self._result, self._error = result, error
            self.ended.set()

    def result(self) -> T:
        """What came of it: returned or raised."""
        if self._error is None:
            return cast("T", self._result)
        if isinstance(self._error, asyncio.CancelledError):
            raise self.closed() from None
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error  # which holds this frame

    def cancel(self, loop: asyncio.AbstractEventLoop, *, because: BaseException) -> None:
        """Give it up, wait until that has happened, and tell what became of it.

        One that does not end in time may have handed its message over: then that is what is told.
        """
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._cancel)
        self.ended.wait(_WIND_UP)
        for note in self._notes():
            because.add_note(note)

    def _cancel(self) -> None:
        if self._give_up is not None and not self.ended.is_set():
            note = self._give_up()
            if note is not None:
                self._tell(None, _cancelled(note))

    def _notes(self) -> list[str]:
        if not self.ended.is_set():
            return [f"portmail: {NOT_SENT if self._give_up is None else IN_DOUBT}"]
        if self._error is None:
            return ["portmail: the message was accepted"] if isinstance(self._result, Receipt) else []
        told = str(self._error).partition("\n")[0] if isinstance(self._error, PortmailError) else NOT_SENT
        return list(getattr(self._error, "__notes__", [f"portmail: {told}"]))

    def closed(self) -> DeliveryError:
        """What to raise when the submitter was closed while the message was on its way."""
        notes = self._notes()
        text = "\n".join(["The submitter was closed while it was sending.", *notes])
        return Unreachable(text, temporary=True) if any(NOT_SENT in note for note in notes) else InDoubt(text)


def _cancelled(note: str) -> asyncio.CancelledError:
    error = asyncio.CancelledError()
    error.add_note(note)
    return error


class _Room:
    """One process's loop and thread. `current` is the loop, None while there is no thread."""

    def __init__(self, owner: LoopThread) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self.current: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        # When the owner is forgotten or the program ends without close.
        weakref.finalize(owner, self.close)

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The running loop; None where no thread can be started, as in an atexit handler."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return self.current
            try:
                self._start()
            except RuntimeError:
                self.current = self._thread = None
            except OSError as exc:
                self.current = self._thread = None
                raise Unreachable(f"Not sent: no event loop can be made here: {exc}", temporary=True) from exc
            return self.current

    def _start(self) -> None:
        ready: Future[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = Future()
        self._thread = threading.Thread(target=_live, args=(ready,), name="portmail", daemon=True)
        self._thread.start()
        self.current, self._stop = ready.result()

    def close(self) -> None:
        """Stop the loop and wait for its thread, a few seconds at most."""
        if self._pid != os.getpid():
            return
        with self._lock:
            thread, stop = self._thread, self._stop
            self._thread = self._stop = self.current = None
        if thread is None or stop is None or not thread.is_alive():
            return
        stop()
        if thread is not threading.current_thread():
            thread.join(_WIND_UP)


def _live(ready: Future[tuple[asyncio.AbstractEventLoop, Callable[[], None]]]) -> None:
    """The thread: a loop that runs until it is told to stop, and ends its tasks in order."""

    async def until_stopped() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(stopped.set)

        ready.set_result((loop, stop))
        await stopped.wait()
        await _settled()

    try:
        with asyncio.Runner() as runner:
            runner.run(until_stopped())
    except BaseException as exc:  # no descriptors for a loop, say
        if ready.done():
            raise
        ready.set_exception(exc)


async def _settled() -> None:
    """Let connections say goodbye."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_WIND_UP)


def _call_here(begin: Begin[T]) -> T:
    """The same without a thread."""

    async def run() -> T:
        over: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def tell(result: T | None, error: BaseException | None) -> None:
            if error is not None:
                over.set_exception(error)
            else:
                over.set_result(cast("T", result))

        begin(tell)
        result = await over
        await _settled()
        return result

    with asyncio.Runner() as runner:
        return runner.run(run())
