"""How does a message find its way? The walk: routes raced, the winner used, every attempt kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from portmail.cause import Cause
from portmail.conclusion import Walk, conclude
from portmail.failure import Failure, Phase
from portmail.opening import Opening, Ready, first_ready
from portmail.receipt import Attempt, Receipt
from portmail.reply import Reply
from portmail.retry import retrying
from portmail.route import Route
from portmail.security import SecretUnavailable, SecureChannel
from portmail.settings import Settings
from portmail.submission import Submission
from portmail.timeouts import Deadline
from portmail.transports.authentication import authenticate
from portmail.transports.submitting import NOT_SENT, submit
from portmail.transports.tls import verified_context
from portmail.verdict import Verdict


class Farewells:
    """Connections that say goodbye while nobody waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, farewell: Coroutine[Any, Any, None]) -> None:
        """Let a connection end by itself."""
        task = asyncio.ensure_future(farewell)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for those of this loop; each has its own deadline."""
        loop = asyncio.get_running_loop()
        if ours := [task for task in self._tasks if task.get_loop() is loop]:
            await asyncio.wait(ours)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the message on one route."""

    failure: Failure | None
    accepted: tuple[str, ...] = ()
    refused: dict[str, Reply] = field(default_factory=dict)
    reply: Reply | None = None


class Delivery:
    """One message's way: a walk over the routes, and more walks where the retry policy allows them."""

    def __init__(self, submission: Submission, *, settings: Settings, farewells: Farewells) -> None:
        self._submission = submission
        self._settings = settings
        self._verified = verified_context(tls_ca=settings.tls_ca, client_cert=settings.client_cert)
        self._farewells = farewells
        self._deadline = Deadline(settings.timeouts)
        self._started = time.monotonic()
        self._attempts: list[Attempt] = []
        self._because: BaseException | None = None

    async def deliver(self) -> Receipt:
        """Walk until a server has the message, or nothing more may be tried.

        Raises:
            DeliveryError: with every attempt of every walk.
        """
        policy, seconds = self._settings.retry, self._deadline.remaining
        try:
            return await retrying(self._walk, policy=policy, seconds=seconds, sleep=asyncio.sleep)
        except asyncio.CancelledError as exc:
            if not getattr(exc, "__notes__", ()):  # it had not come to a transaction yet
                exc.add_note(f"portmail: {NOT_SENT} ({self._submission.content.message_id})")
            raise

    async def _walk(self) -> Receipt:
        earlier, attempts, self._because = tuple(self._attempts), self._attempts, None
        waiting, danger = list(self._settings.routes), asyncio.Event()
        refused: dict[str, Reply] = {}
        while waiting:
            openings = [self._opening(route, danger=danger) for route in waiting]
            ready = await first_ready(openings, discard=self._discard)
            winner = next((opening for opening in openings if opening.ready is ready is not None), None)
            attempts += [o.attempt() for o in openings if o.started is not None and o is not winner]
            if ready is None or winner is None:
                break
            outcome = await self._use(ready)
            attempts.append(winner.ended(outcome.failure))
            if outcome.failure is None:
                return self._receipt(outcome, ready=ready)
            refused = outcome.refused
            if attempts[-1].verdict is not Verdict.NEXT_ROUTE:
                break
            waiting = [o.route for o in openings if o.failure is None and o is not winner]
        walk = Walk(self._submission.content.message_id, earlier, tuple(attempts[len(earlier) :]), refused)
        raise conclude(walk) from self._because

    def _opening(self, route: Route, *, danger: asyncio.Event) -> Opening:
        return Opening(
            route,
            settings=self._settings,
            verified=self._verified,
            deadline=self._deadline,
            danger=danger,
        )

    def _discard(self, late: Ready) -> None:
        self._farewells.begin(late.session.wire.leave())

    async def _use(self, ready: Ready) -> Outcome:
        """Log in where there are credentials, and carry the transaction out; then the server may go."""
        session = ready.session
        try:
            failure = await self._log_in(ready)
            if failure is not None:
                return Outcome(failure)
            transaction = await submit(
                self._submission,
                session=session,
                anonymous=self._settings.credentials is None,
                deadline=self._deadline,
            )
            return Outcome(
                transaction.failure, tuple(transaction.accepted), transaction.refused, transaction.reply
            )
        except BaseException:
            session.wire.abort()
            raise
        finally:
            self._farewells.begin(session.wire.leave())

    async def _log_in(self, ready: Ready) -> Failure | None:
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

    def _receipt(self, outcome: Outcome, *, ready: Ready) -> Receipt:
        envelope, session = self._submission.envelope, ready.session
        return Receipt(
            message_id=self._submission.content.message_id,
            sender=envelope.sender.text if envelope.sender else "",
            accepted=outcome.accepted,
            refused=outcome.refused,
            reply=outcome.reply or Reply(250),
            route=session.route,
            tls=session.evidence,
            attempts=tuple(self._attempts),
            duration=time.monotonic() - self._started,
        )
