"""How is what blocks kept from blocking the loop? A daemon thread: for one call, or for the loop itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


async def in_a_daemon_thread(work: Callable[[], T]) -> T:
    """Run a blocking call in a thread of its own, and wait for it here.

    Not in the loop's executor, whose threads a program waits for when it ends: a dead resolver
    must not keep it from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()
    result: list[T] = []  # never an argument or a future's result: asyncio's debug mode logs those
    error: Exception | None = None

    def report() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)

    def run() -> None:
        nonlocal error
        try:
            result.append(context.run(work))
        except BaseException as exc:  # noqa: BLE001  # handed over to the one who waits
            # In this thread nobody else could hear a SystemExit or the like.
            error = exc if isinstance(exc, Exception) else RuntimeError(repr(exc))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(report)

    try:
        threading.Thread(target=run, name="portmail-blocking", daemon=True).start()
    except RuntimeError:  # the interpreter is going down and starts no thread: then in this one
        return work()
    await future
    return result[0]


def room_for_descriptors() -> None:
    """Raise OSError unless a few more descriptors can be had.

    asyncio leaves half a loop behind where they end, and OpenSSL a trust store that knows nobody.
    """
    pipe = os.pipe()
    try:
        os.close(os.dup(pipe[0]))
    finally:
        os.close(pipe[0])
        os.close(pipe[1])


class Thread(Protocol):
    """A thread that was started."""

    @property
    @abstractmethod
    def ident(self) -> int | None:
        """What `threading.get_ident` says in it."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it has not ended."""

    @abstractmethod
    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for so many seconds at most."""


def started(work: Callable[[], None], *, name: str) -> Thread:
    """Do it in a daemon thread of the operating system.

    Where gevent made greenlets of `threading`'s threads, all of them share one, which can run one
    event loop, and would show that to programs that ask whether they are in one.

    Raises:
        RuntimeError: no thread can be started.
    """
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return _Native(work, start=monkey.get_original("_thread", "start_new_thread"))
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


class _Native:
    """A thread beside gevent's. Whoever waits for it in a greenlet lets the others go on."""

    def __init__(self, work: Callable[[], None], *, start: Callable[..., object]) -> None:
        self.ident: int | None = None
        self._work = work
        self._over = threading.Event()
        start(self._run, ())

    def _run(self) -> None:
        self.ident = threading.get_ident()
        try:
            self._work()
        finally:
            gevent: Any = sys.modules["gevent"]
            gevent.get_hub().destroy(destroy_loop=True)  # this thread's: it has descriptors
            self._over.set()

    def is_alive(self) -> bool:
        return not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)
