"""A loop whose clock jumps to the next thing that is due: tests of waiting that do not wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_MOMENT = 0.001


class _Selector(selectors.SelectSelector):
    """Never waits: where nothing is ready, it moves the clock by what it was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # What was written on loopback a moment ago may take another to arrive.
        ready = super().select(0) or super().select(_MOMENT if timeout else 0)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping costs no time."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_fast(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a clock that jumps."""
    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        return runner.run(work)
