"""How do coroutines serve a blocking program? A loop in a thread, per submitter and per process.

What it must stand: many threads at once, a caller inside a running loop, `fork` before and after
first use, exit without `close`, `atexit` handlers (when no thread can be started any more), and
Ctrl-C, which wins and leaves no message half told.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from portmail.errors import ConfigurationError, DeliveryError, InDoubt, PortmailError, Unreachable
from portmail.transports.submitting import IN_DOUBT, NOT_SENT

T = TypeVar("T")

_WIND_UP = 5.0
"""Seconds that a cancelled submission, or the loop at its end, may take to put things in order."""


_SERVING: ContextVar[tuple[LoopThread, ...]] = ContextVar("portmail_serving", default=())
"""Whose work is going on here: one that waited for itself would wait for ever."""


class LoopThread:
    """Runs coroutines for callers that wait. The thread starts with the first one."""

    def __init__(self) -> None:
        # A thread does not survive fork, its loop's descriptors do, and are shared with the
        # parent: the child leaves them alone and starts anew.
        self._rooms: dict[int, _Room] = {}

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine in the loop; return or raise what it does.

        An exception in the waiting thread, such as KeyboardInterrupt, cancels the coroutine and is
        raised when that has ended, with its notes on what became of the message.
        """
        if self in _SERVING.get():
            raise ConfigurationError(
                "a Submitter was called by the callable for its own password or token: use another one there"
            )
        room = self._rooms.get(os.getpid()) or self._rooms.setdefault(os.getpid(), _Room(self))
        loop = room.loop()
        if loop is None:
            return _run_here(work)
        job = _Job(work, owner=self)
        future = asyncio.run_coroutine_threadsafe(job.run(), loop)
        try:
            return future.result()
        except CancelledError:
            raise job.closed() from None
        except PortmailError:
            raise
        except BaseException as exc:
            job.cancel(future, because=exc)
            raise

    def close(self) -> None:
        """End this process's thread, if there is one."""
        if room := self._rooms.get(os.getpid()):
            room.close()


class _Job(Generic[T]):
    """One coroutine on its way, and what it left to tell."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], *, owner: LoopThread) -> None:
        self.ended = threading.Event()
        self._work = work
        self._owner = owner
        self._notes = [f"portmail: {NOT_SENT}"]

    async def run(self) -> T:
        _SERVING.set((*_SERVING.get(), self._owner))  # in this task's own context
        self._notes = [f"portmail: {IN_DOUBT}"]  # for whoever cannot wait until it has ended
        try:
            result = await self._work()
            self._notes = ["portmail: the message was accepted"]
            return result
        except BaseException as exc:
            told = str(exc).partition("\n")[0] if isinstance(exc, PortmailError) else NOT_SENT
            self._notes = list(getattr(exc, "__notes__", [f"portmail: {told}"]))
            raise
        finally:
            self.ended.set()

    def cancel(self, future: Future[Any], *, because: BaseException) -> None:
        """Stop the coroutine, wait until it has ended, and tell what became of it.

        One that does not end in time may have handed its message over: then that is what is told.
        """
        future.cancel()
        self.ended.wait(_WIND_UP)
        for note in self._notes:
            because.add_note(note)

    def closed(self) -> DeliveryError:
        """What to raise when the submitter was closed while the message was on its way."""
        sent_not = any(NOT_SENT in note for note in self._notes)
        text = "\n".join(["The submitter was closed while it was sending.", *self._notes])
        return Unreachable(text, temporary=True) if sent_not else InDoubt(text)


class _Room:
    """One process's loop and thread."""

    def __init__(self, owner: LoopThread) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        # When the owner is forgotten or the program ends without close.
        weakref.finalize(owner, self.close)

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The running loop; None where no thread can be started, as in an atexit handler."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return self._loop
            try:
                self._start()
            except RuntimeError:
                self._loop = self._thread = None
            return self._loop

    def _start(self) -> None:
        ready: Future[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = Future()
        self._thread = threading.Thread(target=_live, args=(ready,), name="portmail", daemon=True)
        self._thread.start()
        self._loop, self._stop = ready.result()

    def close(self) -> None:
        """Stop the loop and wait for its thread, a few seconds at most."""
        if self._pid != os.getpid():
            return
        with self._lock:
            thread, stop = self._thread, self._stop
            self._thread = self._stop = self._loop = None
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

    with asyncio.Runner() as runner:
        runner.run(until_stopped())


async def _settled() -> None:
    """Let connections say goodbye."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_WIND_UP)


def _run_here(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        result = await work()
        await _settled()
        return result

    with asyncio.Runner() as runner:
        return runner.run(run())
