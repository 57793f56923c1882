"""What does a pool know of a message? A `Job`: what is to be sent, what was tried, and who is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from portmail import log
from portmail.breaking import broken_off
from portmail.cause import Cause
from portmail.envelope import Mailbox
from portmail.failure import Failure, Phase, RouteFailed
from portmail.receipt import Attempt
from portmail.route import Route
from portmail.submission import Submission
from portmail.timeouts import Deadline
from portmail.transaction import Transaction
from portmail.transports.carrier import Carrier
from portmail.verdict import Verdict, judge


class Job:
    """One message, or its left recipients, on the way to a server; `done` is called once, at the end.

    Without a submission it waits for a connection, and is done when there is one.

    Attributes:
        attempts: every route tried since the job was made; the last one decides.
        excluded: routes that answered that they are not made for this message.
        transaction: the last one, None if there was none; it may have succeeded.
        carrier: the connection on which that was.
        because: what the program's own code raised, where that is why it failed.
        error: what to raise in place of a conclusion.
    """

    __slots__ = (
        "_since",
        "attempts",
        "because",
        "carrier",
        "danger",
        "deadline",
        "done",
        "error",
        "excluded",
        "hook",
        "recipients",
        "submission",
        "transaction",
    )

    def __init__(
        self,
        submission: Submission | None,
        *,
        deadline: Deadline,
        danger: asyncio.Event,
        done: Callable[[Job], None],
        recipients: Sequence[Mailbox] | None = None,
        hook: Callable[[], None] | None = None,
    ) -> None:
        self.submission = submission
        self.recipients = recipients
        self.deadline = deadline
        self.danger = danger
        self.done = done
        self.hook = hook
        self.attempts: list[Attempt] = []
        self.excluded: set[Route] = set()
        self.transaction: Transaction | None = None
        self.carrier: Carrier | None = None
        self.because: BaseException | None = None
        self.error: Exception | None = None
        self._since = time.monotonic()

    @property
    def message_id(self) -> str:
        """The Message-ID of what is sent."""
        return self.submission.content.message_id if self.submission else ""

    @property
    def verdict(self) -> Verdict:
        """What the last attempt came to."""
        return self.attempts[-1].verdict

    def may_take(self, route: Route) -> bool:
        """Whether the route is for this message: never a weaker one behind one that failed to be secure."""
        if self.error is not None:  # it is over
            return False
        return route not in self.excluded and (route.security.encrypted or not self.danger.is_set())

    @property
    def wanted_login(self) -> bool:
        """Whether the last attempt failed for want of a login."""
        error = self.attempts[-1].error
        return error is not None and error.cause is Cause.LOGIN_WANTED

    @property
    def waited(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._since

    def begin(self, carrier: Carrier, *, anonymous: bool) -> Transaction | None:
        """The transaction for this connection; None where nothing is to be sent."""
        self.carrier = carrier
        if self.submission is None:
            return None
        self.transaction = Transaction(
            self.submission,
            deadline=self.deadline,
            anonymous=anonymous,
            recipients=self.recipients,
            before_commit=self._before_commit,
        )
        return self.transaction

    def _before_commit(self) -> None:
        if self.deadline.remaining == 0:  # there would be no time left to hear what became of it
            raise RouteFailed(Failure(Phase.CONTENT, Cause.OUT_OF_TIME))
        if self.hook is not None:
            self.hook()

    def fault(self, exc: Exception) -> None:
        """portmail itself failed with it: the job is over, and that is told."""
        self.error = broken_off(
            exc, message_id=self.message_id, transaction=self.transaction, attempts=tuple(self.attempts)
        )
        if hasattr(self, "done"):  # it is taken away when it is called
            self.done(self)

    def tried(self, route: Route, *, failure: Failure | None) -> None:
        """Keep how it ended on this route."""
        phase, verdict = (failure.phase, judge(failure)) if failure else (Phase.DONE, Verdict.ACCEPTED)
        tried = Attempt(route, phase, failure, verdict, self.waited)
        self.attempts.append(tried)
        if failure is not None or log.EVENTS.isEnabledFor(logging.INFO):
            log.attempt(tried, message_id=self.message_id)
