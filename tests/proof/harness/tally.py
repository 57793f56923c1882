"""What is counted in a proof? The faults that a client may show, and how often it showed each."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

_EXAMPLES = 20
"""Kept of each tally, for a person to begin with."""

PORTMAIL, AIOSMTPLIB, SMTPLIB = CLIENTS = ("portmail", "aiosmtplib", "smtplib")


class Fault(Enum):
    """A promise broken. The values head the columns of the table."""

    LEAK = "leaks"
    """A credential in clear or to a server without proof, in any encoding; a message where TLS was asked."""
    SECOND_LOGIN = "second logins"
    """A credential was shown again after a server had answered it, or had it without answering."""
    HANG = "hangs"
    """It went on beyond its deadline."""
    FALSE_SUCCESS = "false successes"
    """It said "sent", and no server had accepted the message as it was given."""
    DUPLICATE = "duplicates"
    """More than one server accepted it, or one accepted it twice."""
    WRONG_CERTAINTY = "wrong certainty"
    """It said "not sent" of what was accepted, or "in doubt" of what cannot have been."""
    FOREIGN = "foreign exceptions"
    """What it raised is not of its own hierarchy."""
    INJECTION = "injections"
    """Octets left that stand for something else than what was asked: an altered address, a header more."""
    WRONG_VERDICT = "wrong verdicts"
    """What it said is not what the case calls for: the good refused, the wrong cause named."""


def blank_but(*judged: Fault) -> frozenset[Fault]:
    """What `Tally.blank` is where only these are judged."""
    return frozenset(Fault) - frozenset(judged)


@dataclass(slots=True)
class Tally:
    """Cases, runs, and the faults seen in them. `blank` are the faults that cannot be judged here."""

    cases: int = 0
    runs: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    blank: frozenset[Fault] = frozenset()

    def note(self, fault: Fault, example: str) -> None:
        """A fault was seen; the example says in which run, and what happened."""
        self.faults[fault] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{fault.value}: {example}")

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.cases + other.cases,
            self.runs + other.runs,
            self.faults + other.faults,
            (self.examples + other.examples)[:_EXAMPLES],
            self.blank & other.blank if self.runs and other.runs else self.blank | other.blank,
        )


Task: TypeAlias = Callable[[], Tally]
"""A share of a part, which one process does; to be pickled: a `functools.partial` of a module's function."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A client with a defect on purpose: its tally must show the fault, or the proof proves nothing."""

    name: str
    fault: Fault
    task: Task


class Part(Protocol):
    """A module of proofs."""

    @property
    @abstractmethod
    def TITLE(self) -> str:  # noqa: N802  # a module's constant
        """How the part is called in the table."""

    @abstractmethod
    def tasks(self, client: str, *, quick: bool) -> Sequence[Task]:
        """What one client (of `CLIENTS`) goes through, in shares of about 30 s at most; none if it cannot."""

    @abstractmethod
    def mutants(self) -> Sequence[Mutant]:
        """A defective client for every fault that this part can see; each in a few seconds."""


Rows: TypeAlias = Mapping[tuple[str, str], Tally]
"""By part and client."""
