"""How is what blocks kept from blocking the loop? A daemon thread for one call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

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
