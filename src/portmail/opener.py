"""How does a pool come by another session? Walks over the routes in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from portmail import log
from portmail.failure import Phase
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
        self._verified = verified_context(**settings.pem_files)
        self._arrived = arrived
        self._stopped = stopped
        self._walks: dict[asyncio.Task[None], Job] = {}
        self._reaches: dict[asyncio.Task[None], Reach] = {}
        self._demoted: set[Route] = set()
        self._farewells = Farewells()

    def __len__(self) -> int:
        """How many walks are under way."""
        return len(self._walks)

    @property
    def jobs(self) -> Collection[Job]:
        """Those for which the walks were begun."""
        return self._walks.values()

    @property
    def under_way(self) -> list[tuple[Route, Phase]]:
        """The routes that are being tried just now, and how far each is."""
        return [where for reach in self._reaches.values() for where in reach.under_way]

    def demote(self, route: Route) -> None:
        """Try this route last from now on."""
        self._demoted.add(route)

    def open(self, job: Job) -> None:
        """Begin a walk over the routes that this job may take."""
        routes = [route for route in self._settings.routes if route not in job.excluded]
        routes.sort(key=self._demoted.__contains__)
        reach = Reach(
            self._settings,
            verified=self._verified,
            deadline=job.deadline,
            danger=job.danger,
            farewells=self._farewells,
        )
        walk = asyncio.ensure_future(self._walk(reach, routes, job))
        self._walks[walk], self._reaches[walk] = job, reach
        walk.add_done_callback(self._ended)

    def _ended(self, walk: asyncio.Task[None]) -> None:
        self._forget(walk)
        if walk.cancelled():
            self._stopped()

    def _forget(self, walk: asyncio.Task[None]) -> None:
        self._walks.pop(walk, None)
        self._reaches.pop(walk, None)

    async def _walk(self, reach: Reach, routes: list[Route], job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            reached = await reach.reach(routes)
        except asyncio.CancelledError as exc:
            if task.cancelling():
                raise
            reached = Reached(error=RuntimeError(f"{exc!r}, which nobody asked for"))
        except Exception as exc:  # noqa: BLE001  # told to those who wait
            reached = Reached(error=exc)
        for attempt in reached.attempts:
            log.attempt(attempt, message_id=job.message_id)
        self._forget(task)
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
