"""How far is a run of many? In numbers, and in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from portmail.cli import exits
from portmail.cli.outcomes import ORDER, Known, Outcome, State


@dataclass(slots=True)
class Tally:
    """How many messages went which way so far. `total` and `done` are weights, see `Source`.

    Attributes:
        earlier: those that earlier runs settled, by state.
        done: the weight of all that is settled, `skipped` that of what was settled earlier.
        partly: accepted messages of which some recipients were refused.
        codes: the exit codes that occurred.
    """

    total: int
    counted: bool
    clock: Callable[[], float] = time.monotonic
    now: Counter[State] = field(default_factory=Counter)
    earlier: Counter[State] = field(default_factory=Counter)
    done: int = 0
    skipped: int = 0
    partly: int = 0
    codes: set[int] = field(default_factory=set)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def settled_earlier(self, known: Known, *, weight: int) -> None:
        """An earlier run settled it."""
        self.earlier[known.state] += 1
        self.codes.add(known.code)
        self.partly += known == (State.ACCEPTED, exits.RECIPIENTS)
        self.skipped += weight
        self.done += weight

    def settled(self, outcome: Outcome, *, weight: int) -> None:
        """This run settled it."""
        self.now[outcome.state] += 1
        self.codes.add(outcome.code)
        self.partly += outcome.error is None and bool(outcome.refused)
        self.done += weight

    def count(self, state: State) -> int:
        """How many there are in this state, of all runs."""
        return self.now[state] + self.earlier[state]

    @property
    def code(self) -> int:
        """The exit code of the run, see `ORDER`."""
        return next((code for code in ORDER if code in self.codes), exits.OK)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return max(self.clock() - self.started, 1e-6)

    @property
    def rate(self) -> float:
        """Messages that this run settled, a second."""
        return self.now.total() / self.elapsed

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take if it goes on like this; None as long as nobody can say."""
        moved = self.done - self.skipped
        return (self.total - self.done) * self.elapsed / moved if moved else None


def in_words(tally: Tally) -> str:
    """How far it is: `1,200 of 5,000 sent, 3 refused, 0 in doubt, 310/s, 12 s left`."""
    parts = [counts(tally), f"{tally.rate:,.0f}/s" if tally.rate >= 10 else f"{tally.rate:.1f}/s"]
    left = tally.seconds_left
    return ", ".join(parts + ([] if left is None else [f"{duration(left)} left"]))


def counts(tally: Tally) -> str:
    """How many went which way; `not sent` is told where there are any."""
    whole = f" of {tally.total:,}" if tally.counted else ""
    told = [f"{tally.count(State.ACCEPTED):,}{whole} sent", f"{tally.count(State.REFUSED):,} refused"]
    if tally.count(State.NOT_SENT):
        told.append(f"{tally.count(State.NOT_SENT):,} not sent")
    return ", ".join([*told, f"{tally.count(State.IN_DOUBT):,} in doubt"])


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
