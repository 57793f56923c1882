"""How is a connection made ready before there is a message? A job without one, for the pool."""

from __future__ import annotations

import asyncio

from portmail.errors import DeliveryError
from portmail.job import Job
from portmail.pool import Pool
from portmail.pools import Pools
from portmail.receipt import Attempt, Connected
from portmail.retry import retrying
from portmail.settings import Settings
from portmail.timeouts import Deadline


class Connecting:
    """One wish for a connection; tried again as a message would be."""

    def __init__(self, settings: Settings, *, pools: Pools) -> None:
        self._settings = settings
        self._pools = pools
        self._deadline = Deadline(settings.timeouts)
        self._attempts: list[Attempt] = []

    async def connect(self) -> Connected:
        """Wait until there is one.

        Raises:
            DeliveryError: none can be opened.
            DiscoveryError: no server was found that may be used.
        """
        policy, seconds = self._settings.retry, self._deadline.remaining
        return await retrying(self._walk, policy=policy, seconds=seconds, sleep=asyncio.sleep)

    async def _walk(self) -> Connected:
        pool = await self._pools.here()
        try:
            return await self._ride(pool)
        except DeliveryError as error:
            other = await self._pools.elsewhere(pool) if self._pools.gone(pool, error) else None
            if other is None:
                raise
        return await self._ride(other)

    async def _ride(self, pool: Pool) -> Connected:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(_job: Job) -> None:
            if not over.done():
                over.set_result(None)

        job = Job(None, deadline=self._deadline, danger=asyncio.Event(), done=done)
        try:
            pool.submit(job)
            await over
        except BaseException:
            pool.withdraw(job)
            raise
        return self._outcome(job)

    def _outcome(self, job: Job) -> Connected:
        if job.error is not None:
            raise job.error
        earlier, attempts = tuple(self._attempts), tuple(job.attempts)
        self._attempts += attempts
        if job.carrier is None:
            from portmail.conclusion import Walk, conclude  # what succeeds pays nothing for it

            raise conclude(Walk("", earlier, attempts)) from job.because
        session, logged_in = job.carrier.session, self._settings.credentials is not None
        return Connected(session.route, session.evidence, logged_in, tuple(self._attempts))
