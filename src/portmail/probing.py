"""What becomes of one way? TCP, greeting, EHLO, TLS, EHLO again, and goodbye; nothing is sent.

Never a credential, and never a word of a message: it ends before both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from portmail import log
from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.dialing import Address, connect, own_name
from portmail.failure import Failure, Phase, RouteFailed
from portmail.identity import name_in
from portmail.opening import fitting_mechanism
from portmail.report import Probe
from portmail.route import RELAY, SUBMISSION, Route
from portmail.security import Security, TlsEvidence
from portmail.settings import Settings
from portmail.timeouts import Deadline
from portmail.transports.farewells import Farewells
from portmail.transports.session import Session, open_session
from portmail.transports.shown import certificate_of
from portmail.transports.smtp import greeted
from portmail.transports.tls import unproven_context
from portmail.transports.wire import Wire

TCP = 3.5
"""Seconds for a TCP connection: its first packet is sent again after 1 s and after 3 s, then after 7 s."""

_QUIET = 2.0
"""Seconds of silence behind the connection that are enough to look at the port in the other mode, or to
give that up."""

_ALTERNATE = 2525
"""What many providers have beside 587, for those whose network closes that."""

_PATIENT: Mapping[int, float | None] = MappingProxyType({RELAY: None, SUBMISSION: 8.0, _ALTERNATE: 8.0})
"""The same where a silent port is a slow one, rather than one for TLS; None for never.

Who speaks before a relay has greeted is taken for a spammer's program there: Postfix lets strangers wait
for six seconds on port 25 (postscreen), and remembers who did not.
"""

_OTHER = {Security.STARTTLS: Security.IMPLICIT_TLS, Security.IMPLICIT_TLS: Security.STARTTLS}
"""The mode to try where the given one seems to be the wrong one for the port."""

_SPEAKS = (Cause.PORTAL, Cause.NOT_SMTP)
"""What of a second look in clear says more than that TLS was not understood."""


class Way(NamedTuple):
    """A route by one family of addresses. Without any there is a failure, why, and how long that took."""

    route: Route
    family: int | None
    addresses: Sequence[Address]
    used: bool
    failure: Failure | None = None
    seconds: float = 0.0


class Probing:
    """One way on its way to its end."""

    def __init__(
        self,
        way: Way,
        *,
        settings: Settings,
        verified: ssl.SSLContext,
        deadline: Deadline,
        farewells: Farewells,
    ) -> None:
        self._way = way
        self._settings = settings
        self._verified = verified
        self._deadline = deadline
        self._farewells = farewells
        self._phase = Phase.CONNECT
        self._wire: Wire | None = None
        self._session: Session | None = None
        self._address = str(way.addresses[0]) if way.addresses else ""

    async def probe(self) -> Probe:
        """Try it, and tell what became of it. Does not raise for the way's sake."""
        started = time.monotonic()
        failure = self._way.failure or await self._failure()
        if failure is not None and failure.cause is Cause.TLS_ON_PLAIN_PORT:
            failure = await self._no_mail_server() or failure
        return self._told(failure, seconds=self._way.seconds + time.monotonic() - started)

    async def _failure(self) -> Failure | None:
        try:
            self._session = await self._open(self._way.route)
            self._check_logins(self._session)
        except RouteFailed as exc:
            return exc.failure
        except Exception as exc:  # noqa: BLE001  # a fault of ours costs this way, and is told
            return Failure(self._phase, Cause.FAULT, repr(exc))
        finally:
            if self._session is not None:
                self._farewells.begin(self._session.wire.leave())
        return None

    def _check_logins(self, session: Session) -> None:
        """Where a login is due, it has to be possible. A way that mail does not take is one for a login."""
        if not self._way.used and not self._way.route.security.encrypted:
            return
        fitting_mechanism(session, self._settings.credentials)
        if not self._way.used and not session.extensions.mechanisms:
            raise RouteFailed(Failure(Phase.EHLO, Cause.NO_MECHANISM, "it offers no AUTH at all"))

    async def _open(self, route: Route) -> Session:
        log.connecting(route)
        seconds = min(TCP, self._deadline.seconds(Phase.CONNECT))
        sock = await connect(self._way.addresses, seconds=seconds)
        with contextlib.suppress(OSError):
            self._address = sock.getpeername()[0]
        self._phase = Phase.TLS if route.security is Security.IMPLICIT_TLS else Phase.GREETING
        name = self._settings.local_hostname or own_name(sock)
        context, deadline = self._context(route), self._deadline
        greeting = greeted(sock, route=route, context=context, local_hostname=name, deadline=deadline)
        wire = self._wire = await self._unless_mute(greeting, route=route)
        self._phase = Phase.EHLO
        return await open_session(wire, route=route, context=context, local_hostname=name, deadline=deadline)

    async def _unless_mute(self, greeted: Coroutine[Any, Any, Wire], *, route: Route) -> Wire:
        """The greeting; where none comes, a second look at the port beside it may say why."""
        greeting = asyncio.ensure_future(greeted)
        try:
            if route.security is Security.STARTTLS:
                await self._look_beside(greeting, after=_PATIENT.get(route.port, _QUIET))
            # Not awaited itself: what is cancelled before its first step would leave its socket open.
            await asyncio.wait({greeting})
            return greeting.result()
        except BaseException:
            await _over(greeting)
            if not greeting.cancelled() and greeting.exception() is None:  # it came while we were stopped
                greeting.result().abort()
            raise

    async def _look_beside(self, greeting: asyncio.Future[Wire], *, after: float | None) -> None:
        """Look why no greeting comes, until one does. Raises `RouteFailed` where that is known then."""
        if (await asyncio.wait({greeting}, timeout=after))[0]:
            return
        look = asyncio.ensure_future(self._other_look())
        try:
            both: set[asyncio.Future[Any]] = {greeting, look}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not greeting.done() and (why := _why_mute(look.result())):
                raise RouteFailed(why)
        finally:
            await _over(look)

    async def _no_mail_server(self) -> Failure | None:
        """How what answers in clear is none. It would say so at once, and nobody waits for a greeting."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_QUIET):
                other = await self._other_look()
                return other if other is not None and other.cause in _SPEAKS else None
        return None

    async def _other_look(self) -> Failure | None:
        """How it ends in the other mode."""
        security = _OTHER.get(self._way.route.security)
        if security is None:
            return Failure(Phase.CONNECT, Cause.OVERTAKEN)
        other = self._way._replace(route=replace(self._way.route, security=security), used=False)
        look = Probing(
            other,
            settings=self._settings,
            verified=self._verified,
            deadline=self._deadline,
            farewells=self._farewells,
        )
        return await look._failure()  # it is our own

    def _context(self, route: Route) -> ssl.SSLContext:
        return self._verified if route.security.encrypted else unproven_context()

    def _told(self, failure: Failure | None, *, seconds: float) -> Probe:
        route, family, _, used, *_ = self._way
        wire, session = self._wire, self._session
        extensions = session.extensions if session else None
        return Probe(
            route=route,
            family=family,
            address=self._address,
            used=used,
            phase=failure.phase if failure else Phase.DONE,
            failure=failure,
            seconds=seconds,
            greeting=str(wire.greeting) if wire and wire.greeting else "",
            name=name_in(wire.hello) if wire and wire.hello else "",
            tls=_evidence(session),
            certificate=(failure.certificate if failure else None) or _certificate(wire),
            extensions=tuple(extensions.keywords) if extensions else (),
            mechanisms=extensions.mechanisms if extensions else (),
        )


async def _over(work: asyncio.Future[Any]) -> None:
    """Stop it, and wait until it has stopped."""
    work.cancel()
    await asyncio.wait({work})


def _why_mute(look: Failure | None) -> Failure | None:
    """Why a port gives no greeting, by how a second look with TLS ended; None where that does not tell it."""
    if look is None:
        return Failure(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT)
    if look.cause is Cause.PORTAL:
        return Failure(Phase.GREETING, Cause.PORTAL, look.detail)
    # What ended in these phases ended in TLS.
    spoke = look.certificate is not None or look.phase in (Phase.GREETING, Phase.EHLO)
    known = spoke and look.cause is not Cause.FAULT
    return Failure(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT) if known else None


def _evidence(session: Session | None) -> TlsEvidence | None:
    return session.evidence if session else None


def _certificate(wire: Wire | None) -> Certificate | None:
    tls = wire.transport.get_extra_info("ssl_object") if wire else None
    return certificate_of(tls) if tls else None
