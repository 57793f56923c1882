"""Whose turn is it? The queue of jobs that wait for a session."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Container, Sequence

from portmail.failure import Failure
from portmail.job import Job
from portmail.reaching import Reached
from portmail.receipt import Attempt
from portmail.route import Route


class Waiting:
    """Jobs in the order of their coming; those that come back go first."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def head(self) -> Job:
        """The one that waits longest."""
        return self._jobs[0]

    def put(self, job: Job) -> None:
        """One that comes."""
        self._jobs.append(job)

    def put_back(self, job: Job) -> None:
        """One that comes back, before anything of it was committed: as if it had not been begun."""
        job.transaction = None
        self._jobs.appendleft(job)

    def take(self, route: Route) -> Job | None:
        """The first that may take this route."""
        if self._jobs and self._jobs[0].may_take(route):
            return self._jobs.popleft()
        job = next((job for job in self._jobs if job.may_take(route)), None)
        if job is not None:
            self._jobs.remove(job)
        return job

    def remove(self, job: Job) -> None:
        """Take this one out, if it is here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def tell(self, attempts: Sequence[Attempt]) -> None:
        """All that wait have seen these attempts."""
        for job in self._jobs:
            job.attempts += attempts

    def fail(self, failure: Failure, *, route: Route) -> None:
        """None of them goes out any more."""
        self._fail(list(self._jobs), failure=failure, route=route)

    def expire(self, failure: Failure, *, route: Route, but: Container[Job]) -> None:
        """Those do not go out whose time is over, except these."""
        over = [job for job in self._jobs if job.deadline.remaining == 0 and job not in but]
        self._fail(over, failure=failure, route=route)

    def tell_unreached(self, reached: Reached, head: Job, *, most: int | None) -> None:
        """Those do not go out that would go the same way as this one, and have no more time than it."""
        in_time = head.deadline.remaining > 0
        alike = [
            job
            for job in self._jobs
            if job.excluded == head.excluded and (in_time or job.deadline.remaining == 0)
        ]
        self._unreached(alike[:most], reached)

    def tell_older(self, refusal: Reached) -> None:
        """Those do not go out that were on their way already when this was told."""
        self._unreached([job for job in self._jobs if job.deadline.started < refusal.when], refusal)

    def _unreached(self, jobs: Sequence[Job], reached: Reached) -> None:
        for job in jobs:
            self._jobs.remove(job)
            job.attempts += reached.attempts
            job.because, job.error = reached.because, copy.copy(reached.error)
            job.done(job)

    def _fail(self, jobs: Sequence[Job], *, failure: Failure, route: Route) -> None:
        for job in jobs:
            self._jobs.remove(job)
            job.tried(route, failure=failure)
            job.done(job)
