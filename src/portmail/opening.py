"""Which route is ready first? One route's opening, and the race of several."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from portmail import log
from portmail.cause import Cause, Nature
from portmail.dialing import dial, own_name
from portmail.failure import Failure, Phase, RouteFailed
from portmail.racing import Runner, race
from portmail.receipt import Attempt
from portmail.route import Route
from portmail.sasl import Mechanism, choose
from portmail.security import Credentials, Security
from portmail.settings import Settings
from portmail.timeouts import Deadline
from portmail.transports.session import Session, open_session
from portmail.transports.smtp import greeted
from portmail.transports.tls import unproven_context
from portmail.verdict import Verdict, judge

NEXT_ROUTE_UNCONNECTED = 0.3
"""Seconds without a TCP connection, after which the next route starts: a blocked port is silent."""

NEXT_ROUTE_UNREADY = 2.0
"""Seconds from the connection, after which the next route starts: a slow greeting is still welcome."""


_TELLING_AFTER = 2.0
"""Seconds of waiting in vain that say more about a route than that the submission's time was over."""

_TELLING = (
    (Phase.CONNECT, Cause.RESOLVER_FAILED),
    (Phase.CONNECT, Cause.TIMED_OUT),
    (Phase.GREETING, Cause.SILENT),
    (Phase.TLS, Cause.NO_REPLY),
)


class Ready(NamedTuple):
    """A route that is open: its session, and the mechanism for the credentials (None without any)."""

    session: Session
    mechanism: Mechanism | None


class Opening:
    """One route on its way to being ready; afterwards, how that went."""

    def __init__(
        self,
        route: Route,
        *,
        settings: Settings,
        verified: ssl.SSLContext,
        deadline: Deadline,
        danger: asyncio.Event,
    ) -> None:
        self.route = route
        self.failure: Failure | None = None
        self.ready: Ready | None = None
        self.started: float | None = None
        self._ended: float | None = None
        self.phase = Phase.CONNECT
        self._since = 0.0
        self._connected = asyncio.Event()
        self._settings = settings
        self._context = verified if route.security.encrypted else unproven_context()
        self._deadline = deadline
        self._danger = danger

    async def run(self) -> Ready:
        """Open the route. Raises `RouteFailed`; `failure` keeps it."""
        self.started = time.monotonic()
        try:
            self._refuse_weaker()
            self.ready = await self._open()
        except RouteFailed as exc:
            self.failure = exc.failure
            if exc.failure.nature is Nature.NO_ANSWER and self._deadline.remaining == 0:
                self.failure = self._out_of_time(exc.failure)
            if exc.failure.nature is Nature.INSECURE and self.route.security.encrypted:
                self._danger.set()
            raise
        except Exception as exc:  # a fault of ours costs this route, and is told
            self.failure = Failure(self.phase, Cause.FAULT, repr(exc))
            raise RouteFailed(self.failure) from exc
        finally:
            self._ended = time.monotonic()
        return self.ready

    async def patience(self) -> None:
        """Return when the next route should start beside this one."""
        try:
            async with asyncio.timeout(NEXT_ROUTE_UNCONNECTED):
                await self._connected.wait()
        except TimeoutError:
            return
        await asyncio.sleep(NEXT_ROUTE_UNREADY)

    def attempt(self) -> Attempt:
        """How it went, for the record, where another route won or none did."""
        failure = self.failure or Failure(self.phase, Cause.OVERTAKEN)
        return Attempt(self.route, failure.phase, failure, judge(failure), self._seconds(until=self._ended))

    def ended(self, failure: Failure | None) -> Attempt:
        """How it went with the message, for the record of the route that won."""
        seconds = self._seconds(until=None)
        if failure is None:
            return Attempt(self.route, Phase.DONE, None, Verdict.ACCEPTED, seconds)
        return Attempt(self.route, failure.phase, failure, judge(failure), seconds)

    def _seconds(self, *, until: float | None) -> float:
        now = time.monotonic() if until is None else until
        return now - (now if self.started is None else self.started)

    def _refuse_weaker(self) -> None:
        # Whoever can make a secure route fail could otherwise choose the unproven one for us.
        if self._danger.is_set() and not self.route.security.encrypted:
            raise RouteFailed(Failure(Phase.CONNECT, Cause.WEAKER))

    def _enter(self, phase: Phase) -> None:
        self.phase, self._since = phase, time.monotonic()

    def _out_of_time(self, failure: Failure) -> Failure:
        """What a wait came to that the end of the submission's time cut short."""
        waited = time.monotonic() - self._since
        if waited < _TELLING_AFTER or (failure.phase, failure.cause) not in _TELLING:
            return Failure(failure.phase, Cause.OUT_OF_TIME)
        told = failure.detail or f"for {waited:.1f} s"
        return replace(failure, detail=f"{told}; then the time for the whole submission was over")

    async def _open(self) -> Ready:
        settings, route = self._settings, self.route
        self._enter(Phase.CONNECT)
        log.connecting(route)
        sock = await dial(route, seconds=self._deadline.seconds(Phase.CONNECT))
        self._connected.set()
        self._enter(Phase.TLS if route.security is Security.IMPLICIT_TLS else Phase.GREETING)
        name = settings.local_hostname or own_name(sock)
        wire = await greeted(
            sock,
            route=route,
            context=self._context,
            local_hostname=name,
            deadline=self._deadline,
        )
        self._enter(Phase.EHLO)
        session = await open_session(
            wire, route=route, context=self._context, local_hostname=name, deadline=self._deadline
        )
        try:
            self._refuse_weaker()
            return Ready(session, fitting_mechanism(session, settings.credentials))
        except RouteFailed:
            wire.dismiss()
            raise


def fitting_mechanism(session: Session, credentials: Credentials | None) -> Mechanism | None:
    """How these credentials are shown there; None where there are none. Shows nothing yet.

    Raises:
        RouteFailed: the server offers no way.
    """
    if credentials is None:
        return None
    offered = session.extensions.mechanisms
    mechanism = choose(offered, kind=credentials.kind)
    if mechanism is None:
        told = f"it offers {', '.join(offered)}" if offered else "it offers no AUTH at all"
        raise RouteFailed(Failure(Phase.EHLO, Cause.NO_MECHANISM, told))
    return mechanism


async def first_ready(openings: Sequence[Opening], *, discard: Callable[[Ready], None]) -> Ready | None:
    """Race the openings; return the first that is ready, None when all have failed."""
    return await race([Runner(opening.run, opening.patience, discard) for opening in openings])
