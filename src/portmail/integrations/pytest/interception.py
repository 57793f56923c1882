"""Where does a test's mail go in place of the network? A gate in front of the pools of all submitters.

A submitter asks its `Pools` for every message. While a gate is installed it is given a `StandIn`
in place of a pool, so that all the rest, from the checks to the receipt, is what it always is.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from portmail import checking, door, opening
from portmail.dialing import dial
from portmail.errors import ConfigurationError
from portmail.extensions import Extensions
from portmail.failure import Phase
from portmail.integrations.logging.posting import Post
from portmail.integrations.pytest.guard import Guard, Server, server_of
from portmail.job import Job
from portmail.pool import Pool
from portmail.pools import Pools
from portmail.route import SUBMISSION, Route
from portmail.security import Security, TlsEvidence
from portmail.settings import Settings
from portmail.transports.session import Session
from portmail.transports.tls import verified_context, verifying

if TYPE_CHECKING:
    import socket

    from portmail.integrations.pytest.outbox import Outbox
    from portmail.probing import Way
    from portmail.report import Report
    from portmail.transports.carrier import Carrier

Carry: TypeAlias = Callable[[Job], None]
"""Settles what becomes of a job."""

Patch: TypeAlias = tuple[object, str, object]
"""What is to be replaced: the attribute of an object, and by what."""

_NOWHERE = Route("outbox.invalid", SUBMISSION, Security.STARTTLS)
"""The route of messages for which none is known (RFC 6761 section 6.4)."""

_PATIENCE = 5.0
"""Seconds that a mail of log records may take: none goes over a network."""

_CIPHER = "TLS_AES_256_GCM_SHA384"


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
        bearer = _Bearer(Session(route, nothing, Extensions(), nothing, evidence=_evidence(route)))
        try:
            transaction = job.begin(cast("Carrier", bearer), anonymous=self._anonymous)
            self._carry(job)
            if transaction is not None and job.error is None:
                job.because = transaction.because
                job.tried(route, failure=transaction.failure)
            job.done(job)
        except Exception as exc:  # noqa: BLE001  # told to whoever waits for it
            job.fault(exc)


def _evidence(route: Route) -> TlsEvidence | None:
    """What a server of that route must have shown."""
    return TlsEvidence("TLSv1.3", _CIPHER, route.host) if route.security.encrypted else None


class Gate:
    """Who has the messages of this process: the outbox, else the guard, else those for whom they are.

    Attributes:
        allowed: the servers of the tests, to which the guard lets everything through.
    """

    def __init__(self, allowed: Iterable[Server] = ()) -> None:
        self.allowed = set(allowed)
        self.outbox: Outbox | None = None
        self.guard: Guard | None = None
        self._posts: set[Post] = set()

    def instead(self, pools: Pools) -> StandIn | None:
        """What this submitter uses in place of its pool; None where it uses that."""
        settings = pools.settings
        if self.outbox is not None:
            return StandIn(settings, self.outbox.carry)
        if self.guard is not None and not self.guard.allows(settings.routes):
            return StandIn(settings, partial(self.guard.carry, settings=settings))
        return None

    def expect(self, post: Post) -> None:
        """Log records were kept there, to be mailed in a moment."""
        self._posts.add(post)

    def settle(self) -> None:
        """Have log records mailed as long as it is known whose they are."""
        while self._posts:
            self._posts.pop().flush(seconds=_PATIENCE, last=True)


def patches(gate: Gate) -> Iterator[Patch]:
    """What puts the gate in front of all that sends."""
    yield from _of_pools(gate)
    yield from _of_contexts(gate)
    yield from _of_checks(gate)
    yield from _of_others(gate)


def _of_pools(gate: Gate) -> Iterator[Patch]:
    here, now = Pools.here, Pools.now

    async def gated_here(pools: Pools) -> Pool:
        return cast("Pool", gate.instead(pools)) or await here(pools)

    def gated_now(pools: Pools) -> Pool | None:
        return cast("Pool", gate.instead(pools)) or now(pools)

    async def gated_dial(route: Route, *, seconds: float) -> socket.socket:
        if gate.guard is not None:
            gate.guard.check(route)
        return await dial(route, seconds=seconds)

    yield Pools, "here", gated_here
    yield Pools, "now", gated_now
    yield opening, "dial", gated_dial


def _of_contexts(gate: Gate) -> Iterator[Patch]:
    """For the outbox no trust store is read."""

    def needless(files: Any) -> bool:
        return gate.outbox is not None and not any(files.values())

    def gated_context(**files: Any) -> Any:
        return None if needless(files) else verified_context(**files)

    def gated_verifying(**files: Any) -> Any:
        return contextlib.nullcontext() if needless(files) else verifying(**files)

    yield door, "verified_context", gated_context
    yield door, "verifying", gated_verifying


def _of_checks(gate: Gate) -> Iterator[Patch]:
    """A check sends nothing, and connects all the same: also to ports that the account does not use."""
    probe, is_alive = door.Door._check, checking._alive  # noqa: SLF001  # they are our own
    all_routes = checking.routes_to_probe

    async def gated_check(submitter: door.Door, *, login: bool) -> Report:
        if gate.outbox is not None:
            raise ConfigurationError("the outbox stands in for the server: there is none to be checked")
        if gate.guard is not None:
            gate.guard.check_all(submitter.settings.routes)
        return await probe(submitter, login=login)

    def gated_routes(used: Sequence[Route]) -> tuple[Route, ...]:
        return tuple(it for it in all_routes(used) if gate.guard is None or gate.guard.allows([it]))

    async def gated_alive(ways: Sequence[Way], *, seconds: float) -> bool:
        host = ways[0].route.host
        if gate.guard is not None and not gate.guard.knows(host, port=checking.LIFE):
            return False
        return await is_alive(ways, seconds=seconds)

    yield door.Door, "_check", gated_check
    yield checking, "routes_to_probe", gated_routes
    yield checking, "_alive", gated_alive


def _of_others(gate: Gate) -> Iterator[Patch]:
    """Who mails later than the program says so, and who does not ask us at all."""
    keep, connect = Post.keep, smtplib.SMTP.connect

    def gated_keep(post: Post, *what: Any, **more: Any) -> None:
        gate.expect(post)
        keep(post, *what, **more)

    def gated_connect(
        smtp: smtplib.SMTP, host: str = "localhost", port: int = 0, *rest: Any, **more: Any
    ) -> Any:
        if gate.guard is not None:
            server, number = server_of(smtp, host, port=port)
            gate.guard.check_smtplib(server, port=number)
        return connect(smtp, host, port, *rest, **more)

    yield Post, "keep", gated_keep
    yield smtplib.SMTP, "connect", gated_connect
