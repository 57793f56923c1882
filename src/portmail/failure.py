"""How did an attempt fail? `Failure`: in which phase, from which cause, with which reply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from portmail.cause import FACTS, TURNED_AWAY, Cause, Nature
from portmail.reply import Reply


class Phase(Enum):
    """How far an attempt got, in order. The value is the word for a person."""

    WAITING = "waiting"
    """Nothing has been said of it."""
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "EHLO"
    TLS = "TLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    """The content is on its way, the final dot is not: provably not sent."""
    FINAL_DOT = "final dot"
    """The final dot was written: it may have been accepted."""
    DONE = "done"

    __hash__ = object.__hash__  # members are equal only to themselves; Enum's own is slow


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended, when it did not end well. Plain data: it compares, prints and pickles."""

    phase: Phase
    cause: Cause
    detail: str = ""
    reply: Reply | None = None

    @classmethod
    def of_reply(cls, phase: Phase, reply: Reply) -> Failure:
        """The server said no (4yz, 5yz), or something that fits no question."""
        if reply.transient:
            return cls(phase, Cause.REFUSED_TRANSIENT, reply=reply)
        if reply.permanent:
            return cls(phase, Cause.REFUSED_PERMANENT, reply=reply)
        return cls(phase, Cause.SURPRISE, detail=str(reply), reply=reply)

    @property
    def nature(self) -> Nature:
        """What kind of failure it is."""
        return FACTS[self.cause].nature

    @property
    def advice(self) -> str:
        """What to do about it, in one sentence."""
        if self.cause is Cause.REFUSED_PERMANENT and self.phase in (Phase.GREETING, Phase.EHLO):
            return TURNED_AWAY
        return FACTS[self.cause].advice

    def __str__(self) -> str:
        said = str(self.reply) if self.reply and not self.detail else self.detail
        words = FACTS[self.cause].words
        return f"{self.phase.value}: {words}" + (f": {said}" if said else "")


class RouteFailed(Exception):  # carries a Failure through a stack of calls, no further
    """An attempt ended; `.failure` says how. Never leaves portmail: `delivery` turns it into data."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure
