"""How does the sandbox misbehave? The orders a user gives, and the questions a dialogue asks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from enum import Enum


class Moment(Enum):
    """When a connection is lost: before the final dot was read, or after it, without a reply."""

    BEFORE_DOT = "before the final dot"
    AFTER_DOT = "after the final dot"


class Greylist:
    """Who may come in? Whoever was turned away once, so many `seconds` of this clock ago (RFC 6647)."""

    def __init__(self, seconds: float, *, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}

    def refusal(self, address: str, *, sender: str) -> str | None:
        """Return the reply for one who comes for the first time, or again too early."""
        now, pair = self._clock(), (sender.casefold(), address.casefold())
        if pair not in self._seen:
            self._seen[pair] = now
        elif now - self._seen[pair] >= self._seconds:
            return None
        left = math.ceil(self._seen[pair] + self._seconds - now)
        return f"450 4.2.0 greylisted, try again {f'in {left} seconds' if left else 'later'}"


class Faults:
    """What was ordered so far. Any thread may order, any connection asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals: dict[str, str] = {}
        self._drops: dict[Moment, float] = {}
        self._greylist: Greylist | None = None
        self.stripped = False

    def refuse(self, address: str, *, reply: str) -> None:
        """Answer a forward-path with this reply; upper and lower case make no difference."""
        self._refusals[address.casefold()] = reply

    def greylist(self, greylist: Greylist) -> None:
        """Turn away who comes for the first time."""
        self._greylist = greylist

    def refusal(self, address: str, *, sender: str) -> str | None:
        """Return the reply that refuses this forward-path to this sender, if there is one."""
        if reply := self._refusals.get(address.casefold()):
            return reply
        with self._lock:
            return self._greylist.refusal(address, sender=sender) if self._greylist else None

    def drop(self, moment: Moment, *, times: int | None) -> None:
        """Lose connections at this moment: so many, or all from now on."""
        self._drops[moment] = float("inf") if times is None else times

    def strikes(self, moment: Moment) -> bool:
        """Whether this connection is lost now; counts."""
        with self._lock:
            left = self._drops.get(moment, 0)
            self._drops[moment] = max(0, left - 1)
        return left > 0

    def clear(self) -> None:
        """Forget all orders."""
        self.stripped = False
        self._greylist = None
        self._refusals.clear()
        self._drops.clear()


class Orders:
    """The misbehaviour that can be ordered of a sandbox, from now on and until `behave()`."""

    def __init__(self) -> None:
        self._faults = Faults()

    def strip_starttls(self) -> None:
        """Play the man in the middle who takes STARTTLS away (RFC 3207 section 6).

        STARTTLS is neither offered nor understood, AUTH is offered and taken in clear to tempt
        the client, and implicit TLS is answered by a greeting in plain text. Connections that
        are encrypted already stay so.
        """
        self._faults.stripped = True

    def reject(self, address: str, *, code: int = 550, text: str = "5.1.1 no such user") -> None:
        """Refuse RCPT for this address. `text` begins with the enhanced status code (RFC 3463)."""
        self._faults.refuse(address, reply=f"{code} {text}")

    def greylist(self, *, seconds: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """Answer RCPT with 450 the first time, for every pair of sender and recipient (RFC 6647).

        A later try is accepted: the next one, or the first that comes `seconds` after the first of all
        by this clock. What was seen before this order does not count.
        """
        self._faults.greylist(Greylist(seconds, clock=clock))

    def drop_before_dot(self, *, times: int | None = None) -> None:
        """Lose the connection (RST) in place of the reply to DATA, or to RCPT where CHUNKING is offered.

        Nothing is accepted, and the client can know.
        `times` is how many connections are lost; all of them if left out.
        """
        self._faults.drop(Moment.BEFORE_DOT, times=times)

    def drop_after_dot(self, *, times: int | None = None) -> None:
        """Lose the connection (RST) in place of the reply to the final dot, or to BDAT LAST.

        The message was accepted and is among `messages`; only the client does not know.
        `times` is how many connections are lost; all of them if left out.
        """
        self._faults.drop(Moment.AFTER_DOT, times=times)

    def behave(self) -> None:
        """Take back every order given here. Ports are opened with `open_port`."""
        self._faults.clear()
