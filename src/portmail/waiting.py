"""Whose turn is it? The queue of jobs that wait for a session."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Container, Sequence
from functools import partial

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

    def first(self, route: Route) -> Job | None:
        """The first that may take this route; it waits on until it is taken out."""
        return next((job for job in self._jobs if job.may_take(route)), None)

    def remove(self, job: Job) -> None:
        """Take this one out, if it is here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def fault(self, exc: Exception) -> None:
        """portmail itself failed with it: none of them goes out any more."""
        while self._jobs:
            self._jobs.popleft().fault(exc)

    def tell(self, attempts: Sequence[Attempt]) -> None:
        """All that wait have seen these attempts."""
        for job in self._jobs:
            job.attempts += attempts

    def fail(self, failure: Failure, *, route: Route) -> None:
        """None of them goes out any more."""
        self._end(list(self._jobs), lambda job: job.tried(route, failure=failure))

    def expire(self, failure: Failure, *, route: Route, but: Container[Job]) -> None:
        """Those do not go out whose time is over, except these."""
        over = [job for job in self._jobs if job.deadline.remaining == 0 and job not in but]
        self._end(over, lambda job: job.tried(route, failure=failure))

    def tell_unreached(self, reached: Reached, head: Job, *, most: int | None) -> None:
        """Those do not go out that would go the same way as this one, and have no more time than it."""
        in_time = head.deadline.remaining > 0
        alike = [
            job
            for job in self._jobs
            if job.excluded == head.excluded and (in_time or job.deadline.remaining == 0)
        ]
        self._end(alike[:most], partial(_unreached, reached))

    def tell_older(self, refusal: Reached) -> None:
        """Those do not go out that were on their way already when this was told."""
        older = [job for job in self._jobs if job.deadline.started < refusal.when]
        self._end(older, partial(_unreached, refusal))

    def _end(self, jobs: Sequence[Job], tell: Callable[[Job], None]) -> None:
        for job in jobs:
            tell(job)
            self._jobs.remove(job)
            job.done(job)


def _unreached(reached: Reached, job: Job) -> None:
    job.attempts += reached.attempts
    job.because, job.error = reached.because, copy.copy(reached.error)
