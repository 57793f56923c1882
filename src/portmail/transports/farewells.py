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
        """Wait for all of them: a few seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks)
