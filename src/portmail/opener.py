"""How does a pool come by another session? Walks over the routes in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from portmail.job import Job
from portmail.reaching import Reach, Reached
from portmail.route import Route
from portmail.settings import Settings
from portmail.transports.farewells import Farewells
from portmail.transports.tls import verified_context


class Opener:
    """Opens sessions; `arrived` is told how each walk ended, and for which job it was begun.

    `stopped` is called where a walk ended because it was stopped.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        arrived: Callable[[Reached, Job], None],
        stopped: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._verified = verified_context(tls_ca=settings.tls_ca, client_cert=settings.client_cert)
        self._arrived = arrived
        self._stopped = stopped
        self._walks: dict[asyncio.Task[None], Job] = {}
        self._demoted: set[Route] = set()
        self._farewells = Farewells()

    def __len__(self) -> int:
        """How many walks are under way."""
        return len(self._walks)

    @property
    def jobs(self) -> Collection[Job]:
        """Those for which the walks were begun."""
        return self._walks.values()

    def demote(self, route: Route) -> None:
        """Try this route last from now on."""
        self._demoted.add(route)

    def open(self, job: Job) -> None:
        """Begin a walk over the routes that this job may take."""
        routes = [route for route in self._settings.routes if route not in job.excluded]
        routes.sort(key=self._demoted.__contains__)
        walk = asyncio.ensure_future(self._walk(routes, job))
        self._walks[walk] = job
        walk.add_done_callback(self._ended)

    def _ended(self, walk: asyncio.Task[None]) -> None:
        self._walks.pop(walk, None)
        if walk.cancelled():
            self._stopped()

    async def _walk(self, routes: list[Route], job: Job) -> None:
        reach = Reach(
            self._settings,
            verified=self._verified,
            deadline=job.deadline,
            danger=job.danger,
            farewells=self._farewells,
        )
        try:
            reached = await reach.reach(routes)
        except Exception as exc:  # noqa: BLE001  # told to those who wait
            reached = Reached(error=exc)
        task = asyncio.current_task()
        assert task is not None
        self._walks.pop(task, None)
        self._arrived(reached, job)

    def stop(self) -> None:
        """Nobody waits any more."""
        for walk in self._walks:
            walk.cancel()

    async def close(self) -> None:
        """Stop, and wait until the losers of all races have said goodbye."""
        self.stop()
        if self._walks:
            await asyncio.wait(self._walks)
        await self._farewells.finish()
