"""How did an attempt fail? `Failure`: in which phase, from which cause, with which reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from portmail.cause import FACTS, TURNED_AWAY, Cause, Nature
from portmail.reply import Reply

if TYPE_CHECKING:
    from portmail.certificate import Certificate
    from portmail.language import Words


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


UNHEARD = (Phase.CONNECT, Phase.GREETING, Phase.TLS)
"""The phases in which nothing may have been heard of the server."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended, when it did not end well. Plain data: it compares, prints and pickles.

    `certificate` is what the server showed, where that is why.
    """

    phase: Phase
    cause: Cause
    detail: str = ""
    reply: Reply | None = None
    certificate: Certificate | None = field(default=None, compare=False)

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

    def said(self, into: Words) -> str:
        """In which phase it was, and what happened, in the language of `into`."""
        return f"{into(self.phase.value)}: {self.told(into)}"

    def told(self, into: Words) -> str:
        """What happened. What the server said, and details, stay as they are."""
        said = str(self.reply) if self.reply and not self.detail else self.detail
        return into(FACTS[self.cause].words) + (f": {said}" if said else "")

    def __str__(self) -> str:
        return self.said(str)


class RouteFailed(Exception):  # carries a Failure through a stack of calls, no further
    """An attempt ended; `.failure` says how. Never leaves portmail: `delivery` turns it into data."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure
