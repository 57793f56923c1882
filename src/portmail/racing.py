"""Who is ready first? A staggered race, without knowing what runs in it (after RFC 8305 section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Runner(NamedTuple, Generic[T]):
    """One contender.

    `run` returns what it was sent for, or raises. `patience` returns when the next one should
    start although this one still runs. `discard` gives back what a late finisher brings.
    """

    run: Callable[[], Coroutine[Any, Any, T]]
    patience: Callable[[], Awaitable[None]]
    discard: Callable[[T], None]


async def race(runners: Sequence[Runner[T]]) -> T | None:
    """Start the runners in order, each when the one before has failed or used up its patience.

    Returns what the first successful one brings, or None when all have failed. The others are
    cancelled, and have ended when this returns. Runners report their failures themselves.
    """
    waiting = list(reversed(runners))
    running: dict[asyncio.Task[T], Runner[T]] = {}
    winner: asyncio.Task[T] | None = None
    patience: asyncio.Future[None] | None = None
    try:
        while waiting or running:
            if waiting and (patience is None or patience.done()):
                runner = waiting.pop()
                running[asyncio.create_task(runner.run())] = runner
                patience = asyncio.ensure_future(runner.patience())
            watched: set[asyncio.Future[Any]] = set(running)
            if patience is not None and waiting:
                watched.add(patience)
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in running if task in done]
            winner = next(filter(_succeeded, ended), None)
            if winner is not None:
                return winner.result()
            for task in ended:
                del running[task]
            if ended:  # a failure lets the next one start at once
                _over(patience)
                patience = None
        return None
    finally:
        _over(patience)
        losers = {task: runner for task, runner in running.items() if task is not winner}
        try:
            await _end(losers)
        except BaseException:  # cancelled meanwhile: then nobody takes what was won
            if winner is not None:
                running[winner].discard(winner.result())
            raise


def _succeeded(task: asyncio.Task[T]) -> bool:
    return not task.cancelled() and task.exception() is None


def _over(patience: asyncio.Future[None] | None) -> None:
    if patience is not None:
        patience.cancel()


async def _end(losers: dict[asyncio.Task[T], Runner[T]]) -> None:
    for task, runner in losers.items():
        task.add_done_callback(partial(_give_back, runner=runner))
        task.cancel()
    if losers:
        await asyncio.wait(losers)
        await asyncio.sleep(0)  # the callbacks' turn


def _give_back(task: asyncio.Task[T], *, runner: Runner[T]) -> None:
    if _succeeded(task):
        runner.discard(task.result())
