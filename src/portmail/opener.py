"""How does a pool come by another session? Walks over the routes in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from portmail import log
from portmail.failure import Phase
from portmail.job import Job
from portmail.network import is_this_machine
from portmail.reaching import Reach, Reached
from portmail.receipt import Connected
from portmail.route import Route
from portmail.settings import Settings
from portmail.transports.farewells import Farewells
from portmail.transports.tls import verified_context

if TYPE_CHECKING:
    from portmail.route_memory import Account, RouteMemory


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
        self._memory: RouteMemory | None = None
        self._account: Account
        if leaves_this_machine(settings):
            from portmail.route_memory import Account, memory  # what stays in this machine has no use for it

            self._memory, self._account = memory(), Account.of(settings)
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
        if self._memory is None:
            routes.sort(key=self._demoted.__contains__)
        else:
            routes = self._memory.ordered(routes, account=self._account, demoted=self._demoted)
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
            reached = self._learnt(await reach.reach(routes), walked=routes)
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

    def _learnt(self, reached: Reached, *, walked: list[Route]) -> Reached:
        """Learn from how a walk ended, and tell it in the light of what was learnt before."""
        if self._memory is None:
            return reached
        session = reached.session
        try:
            reached = reached._replace(attempts=self._memory.recognised(reached.attempts))
            if session is not None:
                logged_in = self._settings.credentials is not None
                connected = Connected(session.route, session.evidence, logged_in, reached.attempts)
                self._memory.learn(connected, account=self._account, walked=walked)
        except BaseException:
            if session is not None:
                session.wire.abort()
            raise
        return reached

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


def leaves_this_machine(settings: Settings) -> bool:
    """Whether any route does. What stays in it is not remembered."""
    return not all(is_this_machine(route.host) for route in settings.routes)
