"""How is a session reached? The walk: routes raced, the winner logged in, every attempt kept."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple

from portmail.cause import Cause, Nature
from portmail.failure import Failure, Phase
from portmail.opening import Opening, Ready, first_ready
from portmail.receipt import Attempt
from portmail.route import Route
from portmail.security import SecretUnavailable, SecureChannel
from portmail.settings import Settings
from portmail.timeouts import Deadline
from portmail.transports.authentication import authenticate
from portmail.transports.farewells import Farewells
from portmail.transports.intake import WireFailed
from portmail.transports.session import Session
from portmail.verdict import Verdict


class Reached(NamedTuple):
    """A session, ready for mail, or None; and the attempts that failed on the way.

    `because` is what the callable for the secret raised, where that is why there is none. `error`
    is no attempt's: what is to be raised as it is. `when` is when it was told, on the monotonic clock.
    `showed_secret` is whether a secret was written on the way, whatever came of that.
    """

    session: Session | None = None
    attempts: tuple[Attempt, ...] = ()
    because: BaseException | None = None
    error: Exception | None = None
    when: float = 0.0
    showed_secret: bool = False

    @property
    def refused(self) -> bool:
        """Whether the server refused the credentials for good."""
        return any(it.phase is Phase.AUTH and it.verdict is Verdict.GIVE_UP for it in self.attempts)

    @property
    def busy(self) -> bool:
        """Whether a server said "later", before it was shown a credential."""
        shown = any(attempt.phase is Phase.AUTH for attempt in self.attempts)
        natures = [attempt.error.nature for attempt in self.attempts if attempt.error]
        return Nature.TRANSIENT in natures and not shown


class Reach:
    """One walk over routes."""

    def __init__(
        self,
        settings: Settings,
        *,
        verified: ssl.SSLContext,
        deadline: Deadline,
        danger: asyncio.Event,
        farewells: Farewells,
    ) -> None:
        self._settings = settings
        self._verified = verified
        self._deadline = deadline
        self._danger = danger
        self._farewells = farewells
        self._attempts: list[Attempt] = []
        self._openings: list[Opening] = []
        self._because: BaseException | None = None
        self._showed_secret = False

    @property
    def under_way(self) -> list[tuple[Route, Phase]]:
        """The routes that are being tried just now, and how far each is."""
        tried = (it for it in self._openings if it.started is not None and it.failure is None)
        return [(opening.route, opening.phase) for opening in tried]

    async def reach(self, routes: Sequence[Route]) -> Reached:
        """Walk until a route has a session, or nothing more may be tried. Does not raise for a route."""
        waiting = list(routes)
        while waiting:
            openings = self._openings = [self._opening(route) for route in waiting]
            ready = await first_ready(openings, discard=self._discard)
            winner = next((opening for opening in openings if opening.ready is ready is not None), None)
            self._attempts += [o.attempt() for o in openings if o.started is not None and o is not winner]
            if ready is None or winner is None:
                break
            self._openings, winner.phase = [winner], Phase.AUTH
            failure = await self._log_in(ready)
            if failure is None:
                return Reached(ready.session, tuple(self._attempts), showed_secret=self._showed_secret)
            self._attempts.append(winner.ended(failure))
            if self._attempts[-1].verdict is not Verdict.NEXT_ROUTE:
                break
            waiting = [o.route for o in openings if o.failure is None and o is not winner]
        attempts, when = tuple(self._attempts), time.monotonic()
        return Reached(None, attempts, self._because, when=when, showed_secret=self._showed_secret)

    def _opening(self, route: Route) -> Opening:
        return Opening(
            route,
            settings=self._settings,
            verified=self._verified,
            deadline=self._deadline,
            danger=self._danger,
        )

    def _discard(self, late: Ready) -> None:
        self._farewells.begin(late.session.wire.leave())

    async def _log_in(self, ready: Ready) -> Failure | None:
        """Log in where there are credentials. A connection on which that failed is left."""
        wire = ready.session.wire
        try:
            failure = await self._authenticate(ready)
        except BaseException:
            wire.abort()
            raise
        self._showed_secret = self._showed_secret or wire.showed_secret
        if failure is None:
            try:
                wire.check_silence()
            except WireFailed as exc:
                failure = Failure(Phase.MAIL, exc.cause, exc.detail)
        if failure is not None:
            self._farewells.begin(wire.leave())
        return failure

    async def _authenticate(self, ready: Ready) -> Failure | None:
        credentials, channel = self._settings.credentials, ready.session.channel
        if credentials is None or ready.mechanism is None:
            return None
        if not isinstance(channel, SecureChannel):
            return Failure(Phase.AUTH, Cause.NO_PROOF)
        seconds = self._deadline.seconds(Phase.AUTH)
        try:
            return await authenticate(channel, credentials, mechanism=ready.mechanism, seconds=seconds)
        except SecretUnavailable as exc:
            self._because = exc.__cause__
            return Failure(Phase.AUTH, Cause.NO_SECRET, str(exc))
