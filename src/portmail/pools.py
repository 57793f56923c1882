"""Whose sessions are these? A pool for each event loop in which a submitter is used, on the routes of now."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from portmail.errors import (
    ApprovalRequired,
    ConfigurationError,
    DeliveryError,
    DiscoveryError,
    PortmailError,
)
from portmail.pool import Pool
from portmail.settings import Settings

if TYPE_CHECKING:
    from portmail.candidate import Findings  # most programs name their host
    from portmail.pinning import Pinning


class _Entry(NamedTuple):
    pool: Pool
    lifeline: AsyncGenerator[None]


class _Shared:
    """Something that is done once for all that wait for it."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.ensure_future(work)
        self._waiting = 0

    @property
    def over(self) -> bool:
        """Whether it has ended, or nobody waits any more."""
        return self._task.done() or not self._waiting

    async def wait(self) -> None:
        """Wait for its end. Each hears of its errors by one of his own."""
        self._waiting += 1
        try:
            await asyncio.shield(self._task)
        except PortmailError as error:
            raise copy.copy(error) from error.__cause__
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._task.cancel()


class Pools:
    """The pools of one submitter. A pool ends with its loop, whoever forgets to close it.

    Raises:
        CredentialsUnusable: what is known of the server already does not fit the credentials.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings
        self._pinning = _pinning(settings)
        self._pools: dict[asyncio.AbstractEventLoop, list[_Entry]] = {}
        self._searches: dict[asyncio.AbstractEventLoop, _Shared] = {}

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
        await self.routed()
        return self.now() or await self._open()

    async def routed(self) -> Settings:
        """The settings, with routes that are looked for first if they are not known.

        Raises:
            DiscoveryError, CredentialsUnusable: as `here`.
        """
        if self._pinning is not None and self._pinning.due:
            await self._look(self._pinning)
        return self.settings

    def now(self) -> Pool | None:
        """The pool of the running loop, if there is one already, and it is on the right routes."""
        entries = self._pools.get(asyncio.get_running_loop())
        if not entries or (self._pinning is not None and not self._serves(entries[-1], self._pinning)):
            return None
        return entries[-1].pool

    def gone(self, pool: Pool, error: PortmailError) -> bool:
        """Whether the pool's server seems not to be there any more, and another may be found."""
        if self._pinning is None or not isinstance(error, DeliveryError):
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
        # In whichever order: of several SRV targets, one is drawn first each time.
        return not pinning.due and set(entry.pool.routes) == set(pinning.settings.routes)

    async def _look(self, pinning: Pinning) -> None:
        """Once for all that wait for it here; it ends when the last of them gives up."""
        loop = asyncio.get_running_loop()
        search = self._searches.get(loop)
        if search is None:
            search = self._searches[loop] = _Shared(pinning.look())
        try:
            await search.wait()
        finally:
            if search.over and self._searches.get(loop) is search:
                del self._searches[loop]

    async def _open(self) -> Pool:
        """A pool on the routes of now. Those on earlier ones finish what they have."""
        loop = asyncio.get_running_loop()
        for ended in [loop for loop in tuple(self._pools) if loop.is_closed()]:
            self._pools.pop(ended, None)  # another thread may have been here, too
        for former in tuple(self._pools.get(loop, ())[:-1]):  # unused since the routes before these
            await former.lifeline.aclose()
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
