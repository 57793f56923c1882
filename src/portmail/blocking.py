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
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from portmail.errand import WIND_UP, Begin, Errand, GiveUp, Tell, as_task, serves, settled
from portmail.errors import ConfigurationError, PortmailError, Unreachable
from portmail.offloading import Thread, room_for_descriptors, started

T = TypeVar("T")

_STEP = 1.0
"""Seconds that fork waits for a loop to come to the end of what it is just doing."""

_TURNS = 10
"""Turns of a loop in which a socket that was shut down is seen and closed."""

_LIVES: dict[_Life, None] = {}
"""All loops of this process, for fork to hold."""

_HELD: dict[int, list[threading.Event]] = {}
"""By the thread that forks: what lets the loops that it holds go on."""


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

        Raises:
            Unreachable: there is room neither for a thread nor for a loop, or it was closed meanwhile.
        """
        room = self._room()
        while True:
            errand = Errand(begin, owner=self)
            try:
                life = room.life()
                if life is None:
                    return _call_here(errand)
                if life.take(errand):
                    errand.wait()
                    if not errand.refused:
                        return errand.result()
            except PortmailError:
                raise
            except BaseException as exc:
                if not errand.told:
                    errand.interrupt(because=exc)
                raise
            # It was closed in this moment: it opens again.

    async def await_call(self, begin: Begin[T]) -> T:
        """`call` for a coroutine of another loop, which goes on meanwhile.

        Raises:
            Unreachable: there is no room for a thread, or it was closed meanwhile.
        """
        room = self._room()
        while True:
            errand = Errand(begin, owner=self)
            life = room.life()
            if life is None:
                raise Unreachable(
                    "Not sent: no thread can be started here: use AsyncSubmitter", temporary=True
                )
            if not life.take(errand):
                continue
            try:
                await errand.over()
            except BaseException as exc:
                await errand.cancelled(because=exc)
                raise
            if not errand.refused:
                return errand.result()

    def _room(self) -> _Room:
        """This process's."""
        if serves(self):
            raise ConfigurationError(
                "a Submitter was called by the callable for its own password or token: use another one there"
            )
        return self._rooms.get(os.getpid()) or self._rooms.setdefault(os.getpid(), _Room(self))

    def soon(self, callback: Callable[[], None]) -> None:
        """Have it called in the loop, if that runs; whoever asks does not wait, wherever it is."""
        room = self._rooms.get(os.getpid())
        if room is not None and room.current is not None:
            room.current.soon(callback)

    def close(self) -> None:
        """End this process's thread, if there is one."""
        if room := self._rooms.get(os.getpid()):
            room.close()


class _Room:
    """One process's loop. `current` is None while there is none."""

    def __init__(self, owner: LoopThread) -> None:
        self._lock = threading.Lock()
        self.current: _Life | None = None
        self._pid = os.getpid()
        # When the owner is forgotten or the program ends without close.
        weakref.finalize(owner, self.close)

    def life(self) -> _Life | None:
        """A loop that runs; None where no thread can be started, as in an atexit handler."""
        with self._lock:
            if self.current is None or not self.current.alive:
                self.current = None
                try:
                    self.current = _begun()
                except RuntimeError:
                    return None
                except OSError as exc:
                    raise _no_loop(exc) from exc
            return self.current

    def close(self) -> None:
        """Stop the loop and wait for its thread, a few seconds at most."""
        if self._pid != os.getpid():
            return
        with self._lock:
            life, self.current = self.current, None
        if life is not None:
            life.end()


class _Life:
    """A loop, as long as its thread lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.thread: Thread | None = None
        self._loop = loop
        self._stopped = asyncio.Event()
        self._over = False
        self._errands: set[Errand[Any]] = set()

    @property
    def alive(self) -> bool:
        """Whether its thread lives."""
        return self.thread is not None and self.thread.is_alive()

    def take(self, errand: Errand[Any]) -> bool:
        """Have it begun, from another thread. Returns whether it will be begun or refused."""
        errand.home = self
        self._errands.add(errand)
        return self.soon(partial(self._start, errand))

    def _start(self, errand: Errand[Any]) -> None:
        if self._over:
            errand.orphan()
        else:
            errand.start()

    def forget(self, errand: Errand[Any]) -> None:
        """It is over."""
        self._errands.discard(errand)

    def soon(self, callback: Callable[[], object]) -> bool:
        """Have it called in the loop. Returns whether that is still possible."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # it is closed
            return False
        return True

    def stop(self) -> None:
        """Let it end soon."""
        self.soon(self._stopped.set)

    def end(self) -> None:
        """Stop, and wait for that a few seconds at most, unless this is its own thread."""
        self.stop()
        if self.thread is not None and self.thread.ident != threading.get_ident():
            self.thread.join(WIND_UP)

    def hold(self) -> threading.Event:
        """Wait until the loop is between two steps, where it stays until the event is set."""
        held, released = threading.Event(), threading.Event()

        def stay() -> None:
            held.set()
            released.wait(_STEP)

        if self.thread is not None and self.thread.ident != threading.get_ident() and self.soon(stay):
            held.wait(_STEP)
        return released

    async def go_on(self, ready: Future[_Life]) -> None:
        """Run until it is told to stop, and end the loop's tasks in order."""
        _LIVES[self] = None
        ready.set_result(self)
        await self._stopped.wait()
        await settled()
        self._over = True
        await self._wind_up()

    async def _wind_up(self) -> None:
        """What asyncio does when a loop ends, and a few turns in which dropped connections are closed."""
        late = asyncio.all_tasks() - {asyncio.current_task()}
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=WIND_UP)
        await self._loop.shutdown_asyncgens()
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def leave(self) -> None:
        """The loop is closed: nobody is left waiting."""
        _LIVES.pop(self, None)
        while self._errands:
            self._errands.pop().orphan()


def _begun() -> _Life:
    """A loop in a new thread.

    Raises:
        RuntimeError: no thread can be started.
        OSError: no loop can be made.
    """
    ready: Future[_Life] = Future()
    try:
        thread = started(partial(_live, ready), name="portmail")
        while not ready.done():
            # For a while each time: gevent does not wait for ever for what no greenlet will do.
            wait((ready,), timeout=WIND_UP)
        life = ready.result()
    except BaseException:
        ready.add_done_callback(_unwanted)
        raise
    life.thread = thread
    return life


def _unwanted(ready: Future[_Life]) -> None:
    """Whoever asked for it was interrupted."""
    if ready.exception() is None:
        ready.result().stop()


def _live(ready: Future[_Life]) -> None:
    """The thread."""
    life = None
    try:
        with _runner() as runner:
            life = _Life(runner.get_loop())
            runner.run(life.go_on(ready))
    except BaseException as exc:
        if ready.done():
            raise
        ready.set_exception(exc)
    finally:
        if life is not None:
            life.leave()


def _runner() -> asyncio.Runner:
    """A runner for a new loop. Raises OSError where descriptors are short."""
    room_for_descriptors()
    return asyncio.Runner()


def _no_loop(exc: OSError) -> Unreachable:
    return Unreachable(f"Not sent: no event loop can be made here: {exc}", temporary=True)


def _call_here(errand: Errand[T]) -> T:
    """The same without a thread."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise Unreachable(
            "Not sent: no thread can be started here, and an event loop runs in this one: use AsyncSubmitter",
            temporary=True,
        )
    try:
        runner = _runner()
    except OSError as exc:
        raise _no_loop(exc) from exc
    with runner:
        runner.run(errand.go_on_here())
    return errand.result()


def _hold() -> None:
    # A child that is born while another thread is within OpenSSL finds its locks taken, for ever.
    _HELD[threading.get_ident()] = [life.hold() for life in tuple(_LIVES)]


def _release() -> None:
    for released in _HELD.pop(threading.get_ident(), ()):
        released.set()


def _forget() -> None:
    _HELD.clear()
    _LIVES.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forget)
