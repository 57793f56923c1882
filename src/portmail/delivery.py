"""How does a message find its way? From the submission to a receipt, or to the error that says why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from portmail import log
from portmail.breaking import broken_off
from portmail.envelope import Mailbox
from portmail.errors import PortmailError
from portmail.failure import Phase
from portmail.job import Job
from portmail.pool import Pool
from portmail.pools import Pools
from portmail.receipt import Attempt, Receipt
from portmail.reply import Reply
from portmail.retry import retrying, worth_retrying
from portmail.route import Route
from portmail.settings import Settings
from portmail.submission import Submission
from portmail.timeouts import Deadline
from portmail.verdict import Verdict

NOT_SENT = "the message was not sent"
IN_DOUBT = "in doubt: the message was handed over and may be accepted"
"""What the note says on an exception that interrupted a submission before the final dot, or after it."""

_OUTCOMES = {NOT_SENT: log.NOT_SENT, IN_DOUBT: log.IN_DOUBT}

T = TypeVar("T")


class Delivery:
    """One message's way: a job for the pool, and more where some recipients are left or the policy allows."""

    _told: log.Ending

    def __init__(
        self,
        submission: Submission,
        *,
        settings: Settings,
        pool: Pool,
        pools: Pools | None = None,
        deadline: Deadline | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        self._submission = submission
        self._settings = settings
        self._pool = pool
        self._pools = pools
        self._deadline = deadline or Deadline(settings.timeouts)
        self._new_job = partial(Job, submission, deadline=self._deadline, hook=before_commit)
        self._started = time.monotonic()
        self._attempts: list[Attempt] = []
        self._accepted: list[str] = []
        self._refused: dict[str, Reply] = {}
        self._job: Job | None = None
        self._going_on: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether anything of it was said to a server."""
        return self._job is not None and self._job.transaction is not None

    def start(self, told: log.Told) -> None:
        """Set the message on its way. `told` is called once, unless it is given up."""
        self._told = log.Ending(told, message_id=self._submission.content.message_id)
        try:
            self._job = self._new_job(danger=asyncio.Event(), done=self._done)
            self._pool.submit(self._job)
        except Exception as exc:  # noqa: BLE001  # told to whoever waits
            if self._job is not None:
                self._pool.withdraw(self._job)
            self._told(None, _own(exc, self._submission, job=self._job))

    async def deliver(self) -> Receipt:
        """Go on until a server has the message, or nothing more may be tried.

        Raises:
            DeliveryError: with every attempt.
        """
        over: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.start(partial(_settle, over))
        try:
            return await over
        except asyncio.CancelledError as exc:
            exc.add_note(self.give_up())
            raise

    def give_up(self) -> str:
        """Stop, and say what can be said of the message; nobody is told any more."""
        note: str = NOT_SENT
        where: Sequence[tuple[Route, Phase]] = ()
        if self._job is not None:
            where = self._pool.withdraw(self._job)
            note = _certainty(self._job)
        if self._going_on is not None:
            self._going_on.cancel()
        outcome = _OUTCOMES.get(note, log.ACCEPTED)
        self._told.given_up(outcome, accepted=len(self._accepted), where=where)
        some = (
            f"accepted for {', '.join(self._accepted)}; for the others "
            if self._accepted and note in _OUTCOMES
            else ""
        )
        return f"portmail: {some}{note} ({self._submission.content.message_id})"

    def _done(self, job: Job) -> None:
        del job.done  # it knows this, which knows the job: they are to go without the collector
        receipt, error = None, None
        try:
            if left := self._take(job):
                self._job = None
                self._going_on = asyncio.ensure_future(self._go_on(self._carry(left, job)))
                return
            receipt = self._receipt(job)
        except Exception as exc:  # noqa: BLE001  # told to whoever waits
            policy = self._settings.retry
            error = _own(exc, self._submission, job=job, accepted=self._accepted)
            worth = policy is not None and not self._pool.closed and worth_retrying(error, policy=policy)
            lost = self._pools is not None and self._pools.gone(self._pool, error)
            if worth or lost:
                self._job = None  # until then it is what can be said of the message
                self._going_on = asyncio.ensure_future(
                    self._go_on(self._again(error, lost=lost), failed=error)
                )
                return
        self._told(receipt, error)

    async def _go_on(self, way: Coroutine[Any, Any, Receipt], *, failed: Exception | None = None) -> None:
        """More than one job is needed."""
        receipt, error = None, None
        try:
            receipt = await way
        except asyncio.CancelledError:  # the loop ends in a pause between two tries
            if failed is not None:
                self._told(None, failed)
            raise
        except Exception as exc:  # noqa: BLE001  # told to whoever waits
            error = _own(exc, self._submission, job=self._job, accepted=self._accepted)
        self._told(receipt, error)

    async def _again(self, error: PortmailError, *, lost: bool) -> Receipt:
        """At another server, if this one is lost and another is found; else as the policy allows."""
        failed = [] if lost and await self._moved() else [error]

        async def walk() -> Receipt:
            if failed:
                raise failed.pop()
            job = await self._ride()
            return await self._carry(self._take(job), job)

        policy, seconds = self._settings.retry, self._deadline.remaining
        return await retrying(walk, policy=policy, seconds=seconds, sleep=asyncio.sleep)

    async def _moved(self) -> bool:
        """Look for another server, for as long as there is time. Returns whether there is one."""
        assert self._pools is not None
        try:
            async with asyncio.timeout(self._deadline.remaining):
                other = await self._pools.elsewhere(self._pool)
        except TimeoutError:
            return False
        self._pool = other or self._pool
        return other is not None

    async def _carry(self, left: Sequence[Mailbox], job: Job) -> Receipt:
        """Send to those who are left as well: a limit is for one transaction (RFC 5321 4.5.3.1.10)."""
        while left:
            more = await self._ride(recipients=left)
            if more.error or more.verdict not in (Verdict.ACCEPTED, Verdict.IN_DOUBT):
                self._attempts += more.attempts
                break  # they stay refused, by the reply that they had
            job, left = more, self._take(more)
        return self._receipt(job)

    async def _ride(self, *, recipients: Sequence[Mailbox] | None = None) -> Job:
        """Have the pool carry it; afterwards the job says how that went."""
        over: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        done = partial(_settle, over)
        self._job = self._new_job(danger=asyncio.Event(), done=done, recipients=recipients)
        self._pool.submit(self._job)
        return await over

    def _take(self, job: Job) -> list[Mailbox]:
        """Keep what a job came to; return the recipients that are left for another one.

        Raises:
            DeliveryError: it was not accepted.
        """
        transaction = job.transaction
        if job.error is not None:
            raise job.error
        if transaction is None or job.verdict is not Verdict.ACCEPTED:
            from portmail.conclusion import Walk, conclude  # what is accepted pays nothing for it

            earlier, attempts = tuple(self._attempts), tuple(job.attempts)
            self._attempts += attempts
            refused = transaction.refused if transaction else {}
            message_id = self._submission.content.message_id
            walk = Walk(message_id, earlier, attempts, refused, tuple(self._accepted))
            raise conclude(walk) from job.because
        self._attempts += job.attempts
        self._accepted += transaction.accepted
        refused = self._refused | transaction.refused
        self._refused = {who: reply for who, reply in refused.items() if who not in transaction.accepted}
        return transaction.left

    def _receipt(self, job: Job) -> Receipt:
        """The receipt for what was taken, of which this job was the last."""
        assert job.carrier is not None
        assert job.transaction is not None
        assert job.transaction.reply is not None
        envelope, session = self._submission.envelope, job.carrier.session
        return Receipt(
            message_id=self._submission.content.message_id,
            sender=envelope.sender.text if envelope.sender else "",
            accepted=tuple(self._accepted),
            refused=self._refused,
            reply=job.transaction.reply,
            route=session.route,
            tls=session.evidence,
            attempts=tuple(self._attempts),
            duration=time.monotonic() - self._started,
        )


def _own(
    error: Exception, submission: Submission, *, job: Job | None, accepted: Sequence[str] = ()
) -> PortmailError:
    """An error of ours; a fault of ours becomes one that says how far the message got."""
    if isinstance(error, PortmailError):
        return error
    return broken_off(
        error,
        message_id=submission.content.message_id,
        transaction=job.transaction if job else None,
        attempts=tuple(job.attempts) if job else (),
        accepted=tuple(accepted),
    )


def _settle(over: asyncio.Future[T], result: T | None, error: Exception | None = None) -> None:
    if over.done():  # whoever waited was cancelled in this very moment
        return
    if error is not None:
        over.set_exception(error)
    else:
        over.set_result(cast("T", result))


def _certainty(job: Job) -> str:
    """What can be said of a job that was given up."""
    transaction = job.transaction
    if transaction is None:
        return NOT_SENT
    if transaction.phase is Phase.DONE:
        return "the message was accepted"
    unanswered = transaction.failure is None or transaction.failure.reply is None
    return IN_DOUBT if transaction.phase is Phase.FINAL_DOT and unanswered else NOT_SENT
