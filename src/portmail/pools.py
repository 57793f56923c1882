"""Whose sessions are these? A pool for each event loop in which a submitter is used, on the routes of now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple

from portmail.errors import ApprovalRequired, ConfigurationError, DeliveryError, DiscoveryError
from portmail.pool import Pool
from portmail.settings import Settings

if TYPE_CHECKING:
    from portmail.candidate import Findings  # most programs name their host
    from portmail.pinning import Pinning


class _Entry(NamedTuple):
    pool: Pool
    lifeline: AsyncGenerator[None]


class Pools:
    """The pools of one submitter. A pool ends with its loop, whoever forgets to close it.

    Raises:
        CredentialsUnusable: what is known of the server already does not fit the credentials.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings
        self._pinning = _pinning(settings)
        self._pools: dict[asyncio.AbstractEventLoop, list[_Entry]] = {}
        self._searches: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

    @property
    def settings(self) -> Settings:
        """The settings, with the routes of now; without any as long as they are not found."""
        return self._pinning.settings if self._pinning else self._given

    async def here(self) -> Pool:
        """The pool of the running loop, on routes that are looked for first if they are not known.

        Raises:
            DiscoveryError: no server was found that may be used.
            CredentialsUnusable: our credentials do not fit what was found.
        """
        if self._pinning is not None and self._pinning.due:
            await self._look(self._pinning)
        return self.now() or await self._open()

    def now(self) -> Pool | None:
        """The pool of the running loop, if there is one already, and it is on the right routes."""
        entries = self._pools.get(asyncio.get_running_loop())
        if not entries or (self._pinning is not None and not self._serves(entries[-1], self._pinning)):
            return None
        return entries[-1].pool

    def gone(self, pool: Pool, error: DeliveryError) -> bool:
        """Whether the pool's server seems not to be there any more, and another may be found."""
        if self._pinning is None:
            return False
        from portmail.pinning import gone

        return gone(error).issuperset(pool.routes) and self._pinning.lost(pool.routes)

    async def elsewhere(self, pool: Pool) -> Pool | None:
        """A pool on other routes than this one's, which are gone; None where nothing else is found.

        Raises:
            ApprovalRequired: what is found needs the user's word.
        """
        try:
            other = await self.here()
        except ApprovalRequired:
            raise
        except DiscoveryError:
            return None
        return None if other is pool else other

    async def discover(self) -> Findings:
        """Look for the server now.

        Raises:
            ConfigurationError: it is given.
            DiscoveryError: no server was found that may be used.
        """
        if self._pinning is None:
            raise ConfigurationError("the server is given, so none is looked for: give an address alone")
        return await self._pinning.discover()

    async def close(self) -> None:
        """Close the pools of the running loop."""
        for entry in tuple(self._pools.get(asyncio.get_running_loop(), ())):
            await entry.lifeline.aclose()

    def _serves(self, entry: _Entry, pinning: Pinning) -> bool:
        return not pinning.due and entry.pool.routes == pinning.settings.routes

    async def _look(self, pinning: Pinning) -> None:
        """Once for all that wait for it here; it goes on when one of them gives up."""
        loop = asyncio.get_running_loop()
        search = self._searches.get(loop)
        if search is None:
            search = self._searches[loop] = asyncio.ensure_future(pinning.look())
            search.add_done_callback(self._looked)
        await asyncio.shield(search)

    def _looked(self, search: asyncio.Task[None]) -> None:
        self._searches.pop(search.get_loop(), None)
        with contextlib.suppress(asyncio.CancelledError):
            search.exception()  # whoever waited has heard it

    async def _open(self) -> Pool:
        """A pool on the routes of now. Those on earlier ones finish what they have."""
        loop = asyncio.get_running_loop()
        for ended in [loop for loop in tuple(self._pools) if loop.is_closed()]:
            self._pools.pop(ended, None)  # another thread may have been here, too
        pool = Pool(self.settings)
        entry = _Entry(pool, self._until_the_loop_ends(loop, pool))
        await anext(entry.lifeline)
        self._pools.setdefault(loop, []).append(entry)
        return pool

    async def _until_the_loop_ends(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> AsyncGenerator[None]:
        # asyncio closes the generators of a loop that ends, while it still runs.
        try:
            yield
        finally:
            left = [entry for entry in self._pools.pop(loop, ()) if entry.pool is not pool]
            if left:
                self._pools[loop] = left
            await pool.close()


def _pinning(settings: Settings) -> Pinning | None:
    if settings.search is None:
        return None
    from portmail.pinning import Pinning

    return Pinning(settings, search=settings.search)
