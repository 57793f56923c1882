"""Does it take too long? A timer that is set anew at every step, and cheap for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """Calls `ring` when nobody has set it for as many seconds as it was last set to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._set_at = self._due = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since it was set."""
        return self._loop.time() - self._set_at

    def set(self, seconds: float) -> None:
        """Begin to wait."""
        self._set_at = self._loop.time()
        self._due = self._set_at + seconds
        # A timer that comes too early is set again then: most waits end long before they are due.
        if self._timer is None or self._timer.when() > self._due:
            self._start()

    def stop(self) -> None:
        """Never ring again."""
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        self.stop()
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._due:
            self._start()
        else:
            self._ring()
