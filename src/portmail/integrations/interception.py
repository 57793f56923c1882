"""Where does a test's mail go in place of the network? A gate in front of the pools of all submitters.

A submitter asks its `Pools` for every message. While a gate is installed it is given a `StandIn`
in place of a pool, so that all the rest, from the checks to the receipt, is what it always is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from portmail import opening, submitter
from portmail.cause import Cause
from portmail.dialing import dial
from portmail.errors import Unreachable
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase, RouteFailed
from portmail.job import Job
from portmail.pool import Pool
from portmail.pools import Pools
from portmail.route import SUBMISSION, Route
from portmail.security import Security
from portmail.settings import Settings
from portmail.transports.session import Session
from portmail.transports.tls import verified_context, verifying

if TYPE_CHECKING:
    import socket

    from portmail.integrations.outbox import Outbox
    from portmail.transports.carrier import Carrier

Carry: TypeAlias = Callable[[Job], None]
"""Settles what becomes of a job."""

Patch: TypeAlias = tuple[object, str, object]
"""What is to be replaced: the attribute of an object, and by what."""

_NOWHERE = Route("outbox.invalid", SUBMISSION, Security.STARTTLS)
"""The route of messages for which none is known (RFC 6761 section 6.4)."""


_ADVICE = "What to do: have the test ask for portmail_outbox, or for portmail_sandbox."


class _Bearer(NamedTuple):
    """What a job takes for the connection that had it."""

    session: Session


class StandIn:
    """What a delivery takes for its pool. As if it was closed, nothing is tried again by itself."""

    closed = True

    def __init__(self, settings: Settings, carry: Carry) -> None:
        self.routes = settings.routes or (_NOWHERE,)
        self._anonymous = settings.credentials is None
        self._carry = carry
        self._waiting: dict[Job, asyncio.Handle] = {}

    def submit(self, *jobs: Job) -> None:
        """Take jobs; `done` of each is called when it is over."""
        for job in jobs:
            self._waiting[job] = asyncio.get_running_loop().call_soon(self._go, job)

    def withdraw(self, job: Job) -> list[tuple[Route, Phase]]:
        """Give a job up; its `done` is not called any more."""
        if (handle := self._waiting.pop(job, None)) is not None:
            handle.cancel()
        return []

    def _go(self, job: Job) -> None:
        del self._waiting[job]
        route, nothing = self.routes[0], cast("Any", None)
        bearer = _Bearer(Session(route, nothing, Extensions(), nothing, evidence=None))
        try:
            transaction = job.begin(cast("Carrier", bearer), anonymous=self._anonymous)
            self._carry(job)
            if transaction is not None and job.error is None:
                job.because = transaction.because
                job.tried(route, failure=transaction.failure)
            job.done(job)
        except Exception as exc:  # noqa: BLE001  # told to whoever waits for it
            job.fault(exc)


class Guard:
    """Lets nothing out but to the servers that are `allowed`, and remembers what would have gone."""

    def __init__(self, allowed: Collection[tuple[str, int]]) -> None:
        self._allowed = allowed
        self._caught: list[str] = []

    def allows(self, routes: Sequence[Route]) -> bool:
        """Whether these are routes to servers of the test, and to no others."""
        return bool(routes) and all((route.host, route.port) in self._allowed for route in routes)

    def carrying(self, settings: Settings) -> Carry:
        """What settles the jobs of this account: none is sent."""
        where = ", ".join(map(str, settings.routes)) or "the server that is found for it"

        def carry(job: Job) -> None:
            what = _told(job)
            self._caught.append(f"{what}, by {where}")
            job.error = Unreachable("Not sent: no_mail is in force in this test", message_id=job.message_id)

        return carry

    def caught(self, route: Route) -> None:
        """A connection would have been made."""
        self._caught.append(f"a connection to {route}")

    def take(self) -> str:
        """All that would have gone since this was asked last, for a person; empty if that is nothing."""
        caught, self._caught = self._caught, []
        if not caught:
            return ""
        told = "\n".join(f"  {what}" for what in dict.fromkeys(caught))
        return f"no_mail: this test would have submitted mail:\n{told}\n{_ADVICE}"


class Gate:
    """Who has the messages of this process: the outbox, else the guard, else those for whom they are."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.guard: Guard | None = None

    def instead(self, pools: Pools) -> StandIn | None:
        """What this submitter uses in place of its pool; None where it uses that."""
        settings = pools.settings
        if self.outbox is not None:
            return StandIn(settings, self.outbox.carry)
        if self.guard is not None and not self.guard.allows(settings.routes):
            return StandIn(settings, self.guard.carrying(settings))
        return None


def patches(gate: Gate) -> Iterator[Patch]:
    """What puts the gate in front of the pools. With the last two no trust store is read for the outbox."""
    here, now = Pools.here, Pools.now

    async def gated_here(pools: Pools) -> Pool:
        return cast("Pool", gate.instead(pools)) or await here(pools)

    def gated_now(pools: Pools) -> Pool | None:
        return cast("Pool", gate.instead(pools)) or now(pools)

    async def gated_dial(route: Route, *, seconds: float) -> socket.socket:
        if gate.guard is not None and not gate.guard.allows([route]):
            gate.guard.caught(route)
            raise RouteFailed(Failure(Phase.CONNECT, Cause.PROHIBITED, "by no_mail"))
        return await dial(route, seconds=seconds)

    def needless(files: Any) -> bool:
        return gate.outbox is not None and not any(files.values())

    def gated_context(**files: Any) -> Any:
        return None if needless(files) else verified_context(**files)

    def gated_verifying(**files: Any) -> Any:
        return contextlib.nullcontext() if needless(files) else verifying(**files)

    yield Pools, "here", gated_here
    yield Pools, "now", gated_now
    yield opening, "dial", gated_dial
    yield submitter, "verified_context", gated_context
    yield submitter, "verifying", gated_verifying


def _told(job: Job) -> str:
    """Who a job is for, and from whom."""
    if job.submission is None:
        return "a connection for later messages"
    envelope = job.submission.envelope
    to = ", ".join(box.text for box in envelope.recipients)
    return f"to {to} (from {envelope.sender.text if envelope.sender else '<>'})"
