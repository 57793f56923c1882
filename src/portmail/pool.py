"""Which connection takes the next message? Warm sessions, bounded, shared by all who send.

Jobs wait in one queue. A session takes the next one when it has said all of one, or rests; another
is opened only where that is worth the round trips that it costs. Nobody hammers: the first
session is opened alone, since it shows the credentials, and `pace.py` says what follows when a
server asks for less.
"""

from __future__ import annotations

import asyncio
import contextlib

from portmail.cause import Cause, Nature
from portmail.crew import CLOSED, Crew
from portmail.failure import Failure, Phase
from portmail.guarding import guarded
from portmail.job import Job
from portmail.opener import Opener
from portmail.pace import Pace
from portmail.reaching import Reached
from portmail.route import Route
from portmail.settings import Settings
from portmail.transaction import CLOSING, Transaction
from portmail.transports.carrier import Carrier
from portmail.verdict import Verdict
from portmail.waiting import Waiting

REST = 60.0
"""Seconds that a session stays open unused."""

_GLANCE, _TICK = 1.0, 0.05
"""Seconds between looks at a queue that does not move: at most, and at least."""

_WIND_UP = 3.0
"""Seconds that what is under way gets when a pool is closed."""

_ENVELOPE = (Phase.MAIL, Phase.RCPT, Phase.DATA)


class Pool:
    """The sessions of one account in one event loop. `routes` are those that they take."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.routes = settings.routes
        self._waiting = Waiting()
        self.failed = self._waiting.fault  # what fails in giving out the jobs is told to all that wait
        self._jobs: dict[Transaction, Job] = {}
        self._crew = Crew()
        self._opener = Opener(settings, arrived=self._arrived, stopped=self._serve)
        self._pace = Pace(settings.pool_size)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.closed = self._ended = False
        self._over = asyncio.Event()
        self._refusal: Reached | None = None

    def submit(self, *jobs: Job) -> None:
        """Take jobs; `done` of each is called when it is over."""
        for job in jobs:
            self._waiting.put(job)
        self._serve()

    def withdraw(self, job: Job) -> list[tuple[Route, Phase]]:
        """Give a job up, wherever it is; its `done` is not called any more.

        Returns the routes by which it was going, and how far each was.
        """
        where = self._opener.under_way if job.transaction is None else []
        if job.transaction is not None and job.carrier and self._jobs.pop(job.transaction, None):
            where = [(job.carrier.session.route, job.transaction.phase)]
            job.carrier.withdraw(job.transaction)
        self._waiting.remove(job)
        if not self._waiting:
            self._opener.stop()
        return where

    async def close(self) -> None:
        """Finish what is under way, for a few seconds at most, and let all sessions go."""
        self.closed = True
        self._serve()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WIND_UP):
                await self._over.wait()
        self._ended = True
        self._serve()
        await self._opener.close()
        await self._crew.disband()
        self._serve()  # for what came back from connections that were dropped

    def next(self, carrier: Carrier) -> Transaction | None:
        """What this connection begins now."""
        if not self._waiting or self._pace.wait(self._loop.time()):
            return None
        if not self._crew.may_begin(carrier, bound=self._pace.bound):
            return None
        while (job := self._waiting.first(carrier.session.route)) is not None:
            transaction = job.begin(carrier, anonymous=self._settings.credentials is None)
            if transaction is not None:
                self._crew.work(carrier)
                self._jobs[transaction] = job  # from here on, a fault of ours is told
                self._waiting.remove(job)
                return transaction
            self._waiting.remove(job)
            job.done(job)
        return None

    def ended(self, carrier: Carrier, transaction: Transaction) -> None:
        """A transaction is over: its job is done, or goes on elsewhere."""
        job = self._jobs.pop(transaction, None)
        if job is None:  # it was given up
            return
        try:
            if self._goes_on(job, carrier, transaction):
                self._waiting.put_back(job)
            else:
                job.done(job)
        except Exception as exc:  # noqa: BLE001  # told to whoever waits for it
            job.fault(exc)

    def _goes_on(self, job: Job, carrier: Carrier, transaction: Transaction) -> bool:
        """Learn from what a transaction came to. Returns whether its job is to be begun again."""
        self._pace.hear(
            transaction, carried=carrier.carried, connections=len(self._crew), now=self._loop.time()
        )
        if transaction is not carrier.first and _untouched(transaction):
            return True
        job.because = transaction.because
        job.tried(carrier.session.route, failure=transaction.failure)
        if job.verdict is Verdict.NEXT_ROUTE:  # this one is not made for the message
            self._crew.retire(carrier)
            if job.wanted_login:  # as it will of every message
                self._opener.demote(carrier.session.route)
            job.excluded.add(carrier.session.route)
            return not job.excluded.issuperset(self.routes)
        return False

    def resting(self, carrier: Carrier) -> None:
        """A connection has nothing to do."""
        self._crew.rest(carrier)
        if self._waiting or self.closed:
            self._loop.call_soon(self._serve)

    def rested(self, carrier: Carrier) -> None:
        """A connection was not used for long."""
        self._crew.dismiss(carrier)

    def gone(self, carrier: Carrier, fault: Exception | None = None) -> None:
        """A connection was lost, by a fault of ours or not; what was not begun goes on elsewhere."""
        self._crew.lose(carrier)
        if fault is not None and not any(job.carrier is carrier for job in self._jobs.values()):
            self._waiting.fault(fault)  # before anything was begun: it would fail there again
        elif fault is not None:
            for transaction, job in list(self._jobs.items()):
                if job.carrier is carrier:
                    del self._jobs[transaction]
                    job.fault(fault)
                    self._waiting.remove(job)
        if self._waiting or self.closed:
            self._loop.call_soon(self._serve)

    @guarded
    def _serve(self) -> None:
        """Give what waits to those who rest."""
        if self._ended:
            self._waiting.fail(Failure(Phase.WAITING, Cause.LOST, CLOSED), route=self.routes[0])
            return
        if self._timer is not None and self._timer.when() <= self._loop.time() + _TICK:
            self._timer = None  # the queue has not moved for a while
            # A walk knows itself how much time its job has, and will tell more.
            out_of_time = Failure(Phase.WAITING, Cause.OUT_OF_TIME)
            self._waiting.expire(out_of_time, route=self.routes[0], but=self._opener.jobs)
        for carrier in self._crew.resting if self._waiting else ():
            carrier.go()
        if not self._waiting:
            if self.closed and not self._jobs:
                self._over.set()
            return
        if self._timer is None:
            seconds = max(_TICK, min(_GLANCE, self._waiting.head.deadline.remaining))
            self._timer = self._loop.call_later(seconds, self._serve)
        self._grow()

    def _grow(self) -> None:
        """Open other sessions if that is worth it."""
        if self._pace.wait(self._loop.time()) or (self._opener and not self._crew):
            return
        for carrier in self._crew.resting[:1]:  # it is not made for what waits, and takes up room
            self._crew.dismiss(carrier)
        if self._refusal is not None and not self._crew:
            self._waiting.tell_older(self._refusal)  # a password is not shown twice for one message
        while self._waiting and self._pace.worth_another(
            waiting=len(self._waiting),
            waited=0.0 if self._opener else self._waiting.head.waited,  # one at a time for that
            connections=len(self._crew) + len(self._opener),
        ):
            self._opener.open(self._waiting.head)
            if not self._crew:
                break  # the first is alone: it shows the credentials

    @guarded
    def _arrived(self, reached: Reached, head: Job) -> None:
        """A walk over the routes has ended."""
        if reached.session is not None:
            self._refusal, self._pace.most = None, self._settings.pool_size
            if not self._crew:
                self._waiting.tell(reached.attempts)
            # Nothing can have come in since the walk looked at it.
            try:
                carrier = Carrier(reached.session, owner=self, rest=REST)
                self._crew.join(carrier)
            except BaseException:
                reached.session.wire.abort()
                raise
            carrier.go()
        else:
            if reached.refused:
                self._refusal, self._pace.most = reached, max(1, len(self._crew))
            if self._opener or self._crew.serves(head):  # what is open, or being opened, will do
                self._pace.limit(len(self._crew) + len(self._opener))
            else:
                busy = self._pace.served and reached.busy
                if busy:
                    self._pace.slow_down(connections=0, now=self._loop.time())
                # A server that is busy now will have time for the others later.
                self._waiting.tell_unreached(reached, head, most=1 if busy else None)
        self._serve()


def _untouched(transaction: Transaction) -> bool:
    """Whether the connection ended before the server had anything of the message but its envelope."""
    failure = transaction.failure
    if failure is None or transaction.phase not in _ENVELOPE or failure.cause is Cause.OUT_OF_TIME:
        return False
    closing = failure.reply is not None and failure.reply.code == CLOSING
    return closing or failure.nature is Nature.NO_ANSWER
