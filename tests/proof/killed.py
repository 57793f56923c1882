"""Is every message accounted for when the server is killed? At any moment of a `send_many` of 1,000.

    python -m tests.proof.killed [--rounds N] [--seed N] [--count N]

In each round the server gets SIGKILL at a moment drawn by lot, and comes back 0.3 s later on the same
port, or never; a few recipients are refused. Then, by the server's own list of what it accepted:

- accepted + refused + not sent + in doubt is what was sent, each message once;
- what was accepted is in the list, and what is in the list was accepted or is in doubt, none twice;
- at most one message is in doubt for each connection, and only such as were being committed.

The exit code is 0 only if all of that holds in every round. A round is repeated with its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import product
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import portmail
from tests.benchmarks.contestants import submitter_wishes
from tests.benchmarks.places import CHUNKING, PIPELINING, Sink, certified, sink

_AWAY = 0.3
"""Seconds until the server is back."""
_SOON = 500
"""Milliseconds in which the clock strikes; a round that nobody disturbs takes a little longer."""
_ENDED = 30.0
"""Seconds in which a round has to end."""

_EXTENSIONS: Mapping[str, Sequence[str]] = MappingProxyType(
    {"PIPELINING": PIPELINING, "CHUNKING": CHUNKING, "neither": ("SIZE 100000000", "8BITMIME")}
)
_VARIANTS = tuple(product(_EXTENSIONS, (1, 5), (True, False)))
_RESULT, _COMMIT, _RECORD, _CLOCK = "result", "commit", "record", "clock"
_MOMENTS = (_RESULT, _COMMIT, _RECORD, _CLOCK)
"""With the n-th result; right before the n-th commitment; when it has recorded its n-th message and
not said so; at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a round."""

    extensions: str
    connections: int
    comes_back: bool
    moment: str
    number: int
    """Of the result, commitment or record; milliseconds of the clock."""

    def __str__(self) -> str:
        back = "comes back" if self.comes_back else "stays away"
        when = f"at {self.number} ms" if self.moment == _CLOCK else f"{self.moment} {self.number}"
        return f"{self.extensions:<10}  pool {self.connections}  {back}  killed {when:<12}"


@dataclass(slots=True)
class Story:
    """What the client was told, by Message-ID, and what the server wrote down."""

    told: dict[str, list[str]] = field(
        default_factory=lambda: {word: [] for word in ("accepted", "refused", "not sent", "in doubt")}
    )
    committed: set[str] = field(default_factory=set)
    recorded: list[str] = field(default_factory=list)

    def complaints(self, *, count: int, connections: int) -> list[str]:
        """What must not be."""
        accepted, doubtful, recorded = (
            set(self.told["accepted"]),
            set(self.told["in doubt"]),
            set(self.recorded),
        )
        everything = [name for names in self.told.values() for name in names]
        claims = {
            "every message has one result": len(everything) == len(set(everything)) == count,
            "the server has nothing twice": len(self.recorded) == len(recorded),
            "what was accepted is at the server": accepted <= recorded,
            "what is at the server was accepted or is in doubt": recorded <= accepted | doubtful,
            "one in doubt for each connection": len(doubtful) <= connections,
            "in doubt only what was committed": doubtful <= self.committed,
        }
        return [claim for claim, holds in claims.items() if not holds]

    def __str__(self) -> str:
        told = "  ".join(f"{word} {len(names):4}" for word, names in self.told.items())
        return f"{told}  at the server {len(self.recorded):4}"


class Round:
    """One round: a server, its end, and what was told of every message."""

    def __init__(self, plan: Plan, *, directory: Path, messages: Sequence[EmailMessage]) -> None:
        self.story = Story()
        self._plan, self._directory, self._messages = plan, directory, messages
        self._ledger = directory / "ledger"
        self._ledger.unlink(missing_ok=True)
        self._stack = ExitStack()

    async def play(self) -> Story:
        """Send everything to a server that dies."""
        last = ("--last", str(self._plan.number)) if self._plan.moment == _RECORD else ()
        with self._stack:
            self._server = self._started(*last)
            murderer = asyncio.create_task(self._return())
            if self._plan.moment == _CLOCK:
                asyncio.get_running_loop().call_later(self._plan.number / 1000, self._kill)
            with suppress(TimeoutError):  # then results are missing
                async with asyncio.timeout(_ENDED):
                    await self._send()
            self._kill()
            murderer.cancel()
        self.story.recorded = self._ledger.read_text().split()
        return self.story

    async def _send(self) -> None:
        wishes = submitter_wishes(self._server.implicit, self._plan.connections)
        # Who never sees the server again shall not wait for it.
        wishes["retry"] = portmail.Retry() if self._plan.comes_back else None
        results = 0
        async with portmail.AsyncSubmitter(**wishes) as mail:
            async for result in mail.send_many(self._messages, before_commit=self._commit):
                results += 1
                self.story.told[_word(result)].append(result.message["Message-ID"])
                self._strike(_RESULT, results)

    def _commit(self, message: EmailMessage) -> None:
        self.story.committed.add(message["Message-ID"])
        self._strike(_COMMIT, len(self.story.committed))

    def _strike(self, moment: str, number: int) -> None:
        if (moment, number) == (self._plan.moment, self._plan.number):
            self._kill()

    def _kill(self) -> None:
        self._server.process.kill()

    async def _return(self) -> None:
        """Bring the server back, if it is to come back."""
        await asyncio.to_thread(self._server.process.wait)
        if self._plan.comes_back:
            await asyncio.sleep(_AWAY)
            await asyncio.to_thread(self._started, "--implicit", str(self._server.implicit.port))

    def _started(self, *more: str) -> Sink:
        extensions = _EXTENSIONS[self._plan.extensions]
        ledger = ("--ledger", str(self._ledger))
        context = sink(self._directory, extensions=extensions, more=(*ledger, *more))
        return self._stack.enter_context(context)


def mixed(count: int) -> list[EmailMessage]:
    """Messages small and large, some with a recipient that will be refused, some with no other."""
    return [_message(number) for number in range(count)]


def _message(number: int) -> EmailMessage:
    good, bad = f"user{number}@example.org", f"refused{number}@example.org"
    recipients = {0: (bad,), 1: (good, bad), 2: (bad, good)}.get(number % 40, (good,))
    message = EmailMessage()
    message["From"] = "me@example.com"
    message["To"] = ", ".join(recipients)
    message["Message-ID"] = f"<{number}@killed.example>"
    message.set_content("A line of the report.\n" * (4000 if number % 25 == 7 else 20))
    return message


def _word(result: portmail.Result[EmailMessage]) -> str:
    if result.receipt is not None:
        return "accepted"
    if isinstance(result.error, portmail.InDoubt):
        return "in doubt"
    return "refused" if isinstance(result.error, portmail.Rejected) else "not sent"


def plans(rounds: int, *, count: int, seed: int) -> Iterator[Plan]:
    """All variants in an order drawn by lot, then all again, each with a moment drawn by lot."""
    lot = random.Random(seed)  # noqa: S311  # to be drawn again, not to be secret
    variants: list[tuple[str, int, bool]] = []
    moments: list[str] = []
    for _ in range(rounds):
        variants = variants or lot.sample(_VARIANTS, len(_VARIANTS))
        moments = moments or lot.sample(_MOMENTS, len(_MOMENTS))
        extensions, connections, comes_back = variants.pop()
        moment = moments.pop()
        most = _SOON if moment == _CLOCK else count * 9 // 10
        yield Plan(extensions, connections, comes_back, moment, lot.randint(1, most))


def main() -> int:
    """Play the rounds, a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.killed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=24, help="how many")
    parser.add_argument("--count", type=int, default=1000, help="messages in each round")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="for the same again")  # noqa: S311
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    messages = mixed(options.count)
    broken = Counter[str]()
    for plan in plans(options.rounds, count=options.count, seed=options.seed):
        start = perf_counter()
        with certified() as directory:
            story = asyncio.run(_played(plan, directory, messages))
        complaints = story.complaints(count=options.count, connections=plan.connections)
        broken.update(complaints)
        print(
            f"{plan}  {story}  {perf_counter() - start:4.1f} s  {'; '.join(complaints) or 'holds'}",
            flush=True,
        )
    return 1 if broken else 0


async def _played(plan: Plan, directory: Path, messages: Sequence[EmailMessage]) -> Story:
    return await Round(plan, directory=directory, messages=messages).play()


if __name__ == "__main__":
    sys.exit(main())
