"""What does one contestant take for one piece of work? A fresh process that does it once, and measures.

Its argument is a `Job`, its output a `Taken`, both as JSON. Connecting, logging in and one message
to warm up come before the clock, except in the works `first` and `script`.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, Self

from tests.benchmarks.contestants import CONTESTANTS, WITHOUT_LOOP, Client, drive
from tests.benchmarks.messages import numbered, to_many
from tests.benchmarks.places import Place

_TICK = 0.002
"""Seconds between two looks at the clock by the task that watches the loop."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `connections` is the bound on portmail's, None its default."""

    contestant: str
    work: str
    place: Place
    count: int = 1
    recipients: int = 1
    connections: int | None = 1
    path: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """The job that was written as JSON."""
        values = json.loads(text)
        return cls(**{**values, "place": Place(**values["place"])})


@dataclass(frozen=True, slots=True)
class Taken:
    """What it took: seconds on the clock and of CPU, octets of memory added, the loop's longest stall."""

    count: int
    seconds: float
    cpu: float
    memory: int
    stall: float


class Clock:
    """Measures what happens in a `with` block."""

    def __enter__(self) -> Self:
        with suppress(OSError):  # Linux: the peak begins anew
            Path("/proc/self/clear_refs").write_text("5")
        self._memory = memory("VmRSS")
        self.stall = 0.0
        self._cpu, self._start = _cpu(), perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self._seconds, self._cpu = perf_counter() - self._start, _cpu() - self._cpu
        self._memory = memory("VmHWM") - self._memory

    def taken(self, count: int) -> Taken:
        """What it measured for that many messages."""
        return Taken(count, self._seconds, self._cpu, self._memory, self.stall)


def memory(name: str) -> int:
    """Octets: VmRSS, what the process has now, or VmHWM, its peak; 0 where no /proc says so."""
    with suppress(OSError):
        found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


async def single(client: Client, job: Job) -> Taken:
    """One `send` after the other."""
    warm_up, *messages = numbered(job.count + 1)
    async with client:
        await client.send(warm_up)
        with Clock() as clock:
            for message in messages:
                await client.send(message)
    return clock.taken(job.count)


async def many(client: Client, job: Job) -> Taken:
    """All at once, as far as the contestant can."""
    warm_up, *messages = numbered(job.count + 1)
    async with client:
        await client.send(warm_up)
        with Clock() as clock:
            count = await client.send_many(messages)
    return clock.taken(count)


async def recipients(client: Client, job: Job) -> Taken:
    """One message to many."""
    message = to_many(job.recipients)
    async with client:
        await client.send(*numbered(1))
        with Clock() as clock:
            await client.send(message)
    return clock.taken(1)


async def first(client: Client, _job: Job) -> Taken:
    """The first message, with its connection."""
    [message] = numbered(1)
    with Clock() as clock:
        await client.__aenter__()
        await client.send(message)
    await client.__aexit__(None, None, None)
    return clock.taken(1)


async def attachment(client: Client, job: Job) -> Taken:
    """A file, from its path until it is accepted."""
    async with client:
        await client.send(*numbered(1))
        with Clock() as clock:
            async with _watched(clock, unless=job.contestant in WITHOUT_LOOP):
                await client.send(client.attach(Path(job.path)))
    return clock.taken(1)


WORKS: Mapping[str, Callable[[Client, Job], Awaitable[Taken]]] = MappingProxyType(
    {work.__name__: work for work in (single, many, recipients, first, attachment)}
)


@asynccontextmanager
async def _watched(clock: Clock, *, unless: bool) -> AsyncIterator[None]:
    """Note for how long the loop runs nothing else."""
    if unless:
        yield
        return
    task = asyncio.create_task(_tick(clock))
    await asyncio.sleep(0)
    yield
    # A stall at the very end counts, too: the task has to see it.
    await asyncio.sleep(_TICK)
    task.cancel()


async def _tick(clock: Clock) -> None:
    before = perf_counter()
    while True:
        await asyncio.sleep(_TICK)
        now = perf_counter()
        clock.stall, before = max(clock.stall, now - before - _TICK), now


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _do(job: Job) -> Taken:
    client = CONTESTANTS[job.contestant](job.place, connections=job.connections)
    return await WORKS[job.work](client, job)


def main() -> None:
    """Do the job."""
    job = Job.read(sys.argv[1])
    taken: Any = drive(_do(job), loop=job.contestant not in WITHOUT_LOOP)
    print(json.dumps(asdict(taken)))


if __name__ == "__main__":
    main()
