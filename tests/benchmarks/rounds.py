"""How are contestants compared? In turns, each time in a fresh process, and by their medians.

Where a process runs on the machine's cores is the main disturbance where nobody waits for a path, so nothing
is pinned, and everybody has the same chance each round.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from tests.benchmarks.dialogue import Tally
from tests.benchmarks.places import ROOT, Sink
from tests.benchmarks.rows import Samples
from tests.benchmarks.worker import Job, Taken

_PATIENCE = 120
"""Seconds that one run may take."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done. Counts are messages, for contestants that go one by one and for those that do not."""

    runs: int
    """Of everything without a path, where the noise is."""
    far_runs: int
    """Over a path, where there is none."""
    near: int
    near_many: int
    far: int
    far_many: int
    far_pool: int
    file: int
    """Octets of the attachment."""
    starts: int
    """Of whole processes."""
    flood: int
    """Messages in the row that watches memory."""
    site: int
    """Mails of a site."""


FULL = Effort(7, 2, near=500, near_many=3000, far=5, far_many=40, far_pool=200,
              file=25 * 2**20, starts=15, flood=40_000, site=40)  # fmt: skip
QUICK = Effort(3, 1, near=200, near_many=2000, far=3, far_many=20, far_pool=100,
               file=25 * 2**20, starts=7, flood=12_000, site=20)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measure is given: where the certificates are, and how much to do."""

    directory: Path
    effort: Effort


def run(job: Job) -> Taken:
    """Do the job in a fresh process. Raises RuntimeError with what it said when it fails."""
    taken = Taken(**json.loads(output("-m", f"{__package__}.worker", json.dumps(asdict(job)))))
    if taken.count != job.count:
        raise RuntimeError(f"{job.contestant}: {taken.count} of {job.count} messages were accepted")
    return taken


def alternate(jobs: Mapping[str, Job], *, runs: int) -> Mapping[str, list[Taken]]:
    """Do every job once, then every job a second time, and so on."""
    results: dict[str, list[Taken]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            results[name].append(run(job))
    return results


def each(results: Mapping[str, list[Taken]], value: Callable[[Taken], float]) -> Mapping[str, Samples]:
    """One figure of every result."""
    return {name: Samples.of(map(value, results[name])) for name in results}


def rate(taken: Taken) -> float:
    """Messages a second."""
    return taken.count / taken.seconds


def started(programs: Mapping[str, Sequence[str]], *, runs: int) -> Mapping[str, Samples]:
    """Seconds from the start of such a process to its end; a first round fills the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(runs + 1):
        for name, arguments in programs.items():
            start = perf_counter()
            output(*arguments)
            seconds[name] += [perf_counter() - start] if number else []
    return {name: Samples.of(values) for name, values in seconds.items()}


def turns(sink: Sink, job: Job) -> float:
    """Round trips a message after the first, as the server counts them."""
    before = len(sink.tallies())
    run(job)
    return turns_a_message(sink.tallies()[before:])


def turns_a_message(tallies: Sequence[Tally]) -> float:
    """Round trips of these connections from their first message to their last, per message."""
    turns = sum(tally.turns_at_last - tally.turns_at_first for tally in tallies)
    if not (messages := sum(tally.messages - 1 for tally in tallies if tally.messages)):
        raise RuntimeError("no connection was used twice")
    return turns / messages


def output(*arguments: str) -> str:
    command = (sys.executable, *arguments)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)[:120]}\n{done.stderr.strip()[-500:]}")
    return done.stdout
