"""Whose sessions are these? A pool for each event loop in which a submitter is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from portmail.pool import Pool
from portmail.settings import Settings


class Pools:
    """The pools of one submitter. A pool ends with its loop, whoever forgets to close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools: dict[asyncio.AbstractEventLoop, tuple[Pool, AsyncGenerator[None]]] = {}

    async def here(self) -> Pool:
        """The pool of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            for ended in [loop for loop in tuple(self._pools) if loop.is_closed()]:
                self._pools.pop(ended, None)  # another thread may have been here, too
            pool = Pool(self._settings)
            lifeline = self._until_the_loop_ends(loop, pool)
            await anext(lifeline)
            self._pools[loop] = pool, lifeline
        return self._pools[loop][0]

    def now(self) -> Pool | None:
        """The pool of the running loop, if there is one already."""
        entry = self._pools.get(asyncio.get_running_loop())
        return entry[0] if entry else None

    async def close(self) -> None:
        """Close the pool of the running loop, if there is one."""
        if entry := self._pools.get(asyncio.get_running_loop()):
            await entry[1].aclose()

    async def _until_the_loop_ends(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> AsyncGenerator[None]:
        # asyncio closes the generators of a loop that ends, while it still runs.
        try:
            yield
        finally:
            self._pools.pop(loop, None)
            await pool.close()
