"""Does memory stay flat while a million messages go out? `send_many` from a generator, counted on both sides.

    python -m tests.proof.million [--count N] [--connections N] [--json]

The exit code is 0 only if memory grew by 32 MiB at most after the first 10,000 messages, every message
has its result, and the server counts as many as were accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import perf_counter

import portmail
from tests.benchmarks.contestants import submitter_wishes
from tests.benchmarks.places import Place, Sink, certified, sink
from tests.benchmarks.worker import memory

_BASE = 10_000
"""Messages after which everything has the size that it keeps."""
_ALLOWED = 32 * 2**20
"""Octets."""
_TEXT = b"The report is ready.\r\n" * 10


@dataclass(frozen=True, slots=True)
class Found:
    """What both sides say: results and acceptances here, messages there, octets grown, messages a second."""

    count: int
    results: int
    accepted: int
    at_the_server: int
    grown: int
    rate: float

    @property
    def complaints(self) -> list[str]:
        """What must not be."""
        claims = {
            f"{self.results:,} results for {self.count:,} messages": self.results == self.count,
            f"{self.accepted:,} of {self.count:,} accepted": self.accepted == self.count,
            f"the server has {self.at_the_server:,}": self.at_the_server == self.accepted,
            f"memory grew by {self.grown / 2**20:.1f} MiB": self.grown <= _ALLOWED,
        }
        return [claim for claim, holds in claims.items() if not holds]


class Growth:
    """How much memory came to what there was at the base. It is looked at every so many messages."""

    def __init__(self, count: int) -> None:
        self._every = min(_BASE, max(1, count // 4))
        self._base = 0
        self.grown = 0

    def look(self, done: int) -> None:
        """Say that so many are done."""
        if done == self._every:
            self._base = memory("VmRSS")
        elif done % self._every == 0:
            self.grown = max(self.grown, memory("VmRSS") - self._base)


def small(count: int) -> Iterator[bytes]:
    """Messages that differ in their number."""
    for number in range(count):
        yield (
            b"From: me@example.com\r\nTo: user%d@example.org\r\nSubject: Report %d\r\n"
            b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d@proof.example>\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
            % (number, number, number)
        ) + _TEXT


async def send_all(place: Place, *, count: int, connections: int) -> tuple[int, int, Growth, float]:
    """Send them; return results, acceptances, growth and seconds."""
    growth = Growth(count)
    results = accepted = 0
    start = perf_counter()
    async with portmail.AsyncSubmitter(**submitter_wishes(place, connections)) as mail:
        async for result in mail.send_many(small(count)):
            results += 1
            accepted += result.receipt is not None
            growth.look(results)
    return results, accepted, growth, perf_counter() - start


def measured(count: int, *, connections: int) -> Found:
    """Run it against a sink of its own."""
    with certified() as directory, sink(directory) as server:
        results, accepted, growth, seconds = asyncio.run(
            send_all(server.implicit, count=count, connections=connections)
        )
        return Found(count, results, accepted, _messages(server), growth.grown, results / seconds)


def _messages(server: Sink) -> int:
    return sum(tally.messages for tally in server.tallies())


def main() -> int:
    """Send them, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.million", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="how many messages")
    parser.add_argument("--connections", type=int, default=1, help="over how many connections at most")
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    options = parser.parse_args()
    found = measured(options.count, connections=options.connections)
    print(json.dumps(asdict(found)) if options.json else _told(found))
    for complaint in found.complaints:
        print(complaint, file=sys.stderr)
    return 1 if found.complaints else 0


def _told(found: Found) -> str:
    grown, peak = found.grown / 2**20, memory("VmHWM") / 2**20
    return (
        f"{found.results:,} results for {found.count:,} messages, {found.accepted:,} accepted, "
        f"{found.at_the_server:,} at the server; {found.rate:,.0f} messages/s; "
        f"memory +{grown:.1f} MiB after the first {_BASE:,}, peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
