"""Whose turn is it? The queue of jobs that wait for a session."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence

from portmail.job import Job
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
        """The first for which this route is not excluded."""
        if self._jobs and route not in self._jobs[0].excluded:
            return self._jobs.popleft()
        job = next((job for job in self._jobs if route not in job.excluded), None)
        if job is not None:
            self._jobs.remove(job)
        return job

    def remove(self, job: Job) -> None:
        """Take this one out, if it is here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def take_all(self) -> list[Job]:
        """Take them all out."""
        return self._take(list(self._jobs))

    def take_expired(self, *, but: Container[Job]) -> list[Job]:
        """Take out those whose time is over, except these."""
        return self._take([job for job in self._jobs if job.deadline.remaining == 0 and job not in but])

    def take_like(self, head: Job, *, most: int | None = None) -> list[Job]:
        """Take out those that would go the same way as this one, and have no more time than it."""
        in_time = head.deadline.remaining > 0
        alike = [
            job
            for job in self._jobs
            if job.excluded == head.excluded and (in_time or job.deadline.remaining == 0)
        ]
        return self._take(alike[:most])

    def tell(self, attempts: Sequence[Attempt]) -> None:
        """All that wait have seen these attempts."""
        for job in self._jobs:
            job.attempts += attempts

    def _take(self, jobs: list[Job]) -> list[Job]:
        for job in jobs:
            self._jobs.remove(job)
        return jobs
