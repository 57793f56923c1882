"""How do connections end while nobody waits for them? Politely, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Farewells:
    """Connections of one loop that say goodbye; each has its own deadline."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, farewell: Coroutine[Any, Any, None]) -> None:
        """Let a connection end by itself."""
        task = asyncio.ensure_future(farewell)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for all of them: a few seconds at most. When nobody waits any more, they end at once."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            await self.cut_short()
            raise

    async def cut_short(self) -> None:
        """Let all of them end at once."""
        await asyncio.sleep(0)  # one that is cancelled before its first step would not drop its connection
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
