"""How does a program hand a message over? `AsyncSubmitter` and `Submitter`: two doors, one house."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from portmail.door import Door
from portmail.errors import Unreachable

# What is used below is imported where it is used: a submitter reads the system's trust store while
# it imports what one message needs, and one message does not need what many need.
if TYPE_CHECKING:
    from portmail.bulk import BeforeCommit, M, Result
    from portmail.candidate import Findings
    from portmail.content import AnyMessage, Enveloped
    from portmail.envelope import Mailbox
    from portmail.errand import Begin, GiveUp, Tell
    from portmail.receipt import Connected, Receipt
    from portmail.report import Report
    from portmail.submission import Submission


class AsyncSubmitter(Door):
    """Submits messages from asyncio programs.

    One submitter serves an application for as long as it lives, and any number of tasks, which
    share its connections.

    Args:
        address: your address; the user name and default sender where those are not given.
        host, port, security, routes: where to; `host` alone tries 587, then 465, and 25 last if
            there are no credentials. Without any of them the server of `address` is found (`discover`).
        username, password, token: who you are; password or token is a str, or a callable (sync or
            async) that returns one when it is needed.
        sender: the default sender.
        tls_ca, client_cert, client_key: PEM files: a CA trusted besides the system's, your certificate,
            and its key, if that is in a file of its own.
        local_hostname: what is said in EHLO.
        timeouts: seconds for the whole submission, or `Timeouts`.
        retry: `Retry`, or None for none.
        pool_size: how many connections there may be at a time.
        discovery: a `Discovery`: who is asked for the server of `address`.
        approve: hosts that may be used though only unsigned DNS names them for `address`, or a function
            of a `Candidate` that says so.

    Raises:
        ConfigurationError: wishes that cannot be met; found here, before any socket opens.
        AddressError: `address` or `sender` is no address.
        DiscoveryError: no server is named, and there is no address for which one could be found.
    """

    async def send(
        self,
        message: AnyMessage | Enveloped,
        *,
        sender: str | Mailbox | None = None,
        recipients: Iterable[str | Mailbox] | None = None,
    ) -> Receipt:
        """Submit one message: an `EmailMessage`, a `Message`, octets, or the path of an .eml file.

        Bcc never travels.

        The envelope comes from the header; `sender` (`""` for the null reverse-path) and
        `recipients` replace it.

        Raises:
            AddressError: an address or header that cannot travel; nothing was connected.
            DeliveryError: it was not accepted, or nobody knows (`InDoubt`); the subclass says which.
        """
        from portmail.submission import prepared

        submission = await prepared(
            message, sender=sender, recipients=recipients, default_sender=self.settings.sender
        )
        return await self._deliver(submission)

    async def send_many(
        self,
        messages: Iterable[M] | AsyncIterable[M],
        *,
        before_commit: BeforeCommit[M] | None = None,
    ) -> AsyncGenerator[Result[M]]:
        """Submit many messages; yields a `Result` for every one, in the order in which they finish.

        One with an envelope of its own is an `Enveloped(message, sender=…, recipients=…)`.
        `messages` is never read far ahead: some tens of messages are under way at a time. A failure of
        one never fails the others, except that what the server refuses of the account (a wrong
        password) is not tried for each message again. To stop early and still hear what became of
        each, end `messages`; leaving the loop sends nothing more, and finishes what was begun.

        `before_commit(message)`, a plain function, is called right before the octets leave after which
        the message may be accepted; if it raises, the message is not sent (`HeldBack`).

        Nothing is sent before the first result is asked for.

        Raises:
            ConfigurationError: `messages` are not many, or `before_commit` is no function.
            Exception: what `messages` raises, after the results of all that it gave before.
        """
        import asyncio

        from portmail.bulk import check_many, feed

        check_many(messages)
        bulk = await self._bulk(before_commit)
        feeding = asyncio.ensure_future(feed(bulk, messages))
        feeding.add_done_callback(lambda _feeding: bulk.arrived.set())
        try:
            while not (feeding.done() and bulk.over):
                await bulk.arrived.wait()
                for result in bulk.take():
                    yield result
            feeding.result()
        finally:
            feeding.cancel()
            bulk.close()

    async def connect(self) -> Connected:
        """Have a connection ready, logged in where there are credentials: the next message goes at once.

        Says nothing of a message. Where one is open, it is that one.

        Raises:
            DeliveryError: none can be opened; the subclass says why.
        """
        return await self._connect()

    async def check(self, *, login: bool = False) -> Report:
        """Probe every way to the server, by IPv4 and IPv6 at once, and say what stands in the way.

        Says nothing of a message, and shows no credential; with `login` once, on the route that a
        message would take. What cannot be reached is in the report, and raises nothing. Port 443 is
        dialled as well, to see whether the host is alive.

        Raises:
            CredentialsUnusable: a login without credentials, or they do not fit the server found.
            DiscoveryError: no server was found that may be used.
        """
        return await self._check(login=login)

    async def discover(self) -> Findings:
        """Look for the server of the address now, and tell what was found and how it is known. Sends nothing.

        Raises:
            ConfigurationError: the server was given by `host` or `routes`.
            DiscoveryError: there is none that may be used.
        """
        return await self._pools.discover()

    async def aclose(self) -> None:
        """Let the connections say goodbye, a few seconds at most. It opens again when it is used."""
        await self._pools.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Submitter(Door):
    """Submits messages from blocking programs: `AsyncSubmitter` without await, with the same arguments.

    Threads may share one; it works inside a running loop (which it blocks), after fork, and at exit.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: as `AsyncSubmitter`.
    """

    def _prepare(self) -> None:
        super()._prepare()
        from portmail.blocking import LoopThread

        self._loop = LoopThread()

    def send(
        self,
        message: AnyMessage | Enveloped,
        *,
        sender: str | Mailbox | None = None,
        recipients: Iterable[str | Mailbox] | None = None,
    ) -> Receipt:
        """Submit one message. Arguments, result and errors are those of `AsyncSubmitter.send`."""
        _refuse_at_the_end("Not sent")
        return self._loop.call(self._begin(self._checked(message, sender=sender, recipients=recipients)))

    async def asend(
        self,
        message: AnyMessage | Enveloped,
        *,
        sender: str | Mailbox | None = None,
        recipients: Iterable[str | Mailbox] | None = None,
    ) -> Receipt:
        """`send` for a coroutine, whose loop goes on meanwhile, by the connections of `send`.

        For programs that are blocking in the main, and whose event loops come and go, such as async
        views under WSGI. Where one loop lasts, `AsyncSubmitter` is for it.
        """
        _refuse_at_the_end("Not sent")
        from portmail.submission import prepared

        submission = await prepared(
            message, sender=sender, recipients=recipients, default_sender=self.settings.sender
        )
        return await self._loop.await_call(self._begin(submission))

    def _begin(self, submission: Submission) -> Begin[Receipt]:
        from portmail.errand import as_task

        def begin(tell: Tell[Receipt]) -> GiveUp:
            pool = self._pools.now()
            if pool is None:  # the first message here
                return as_task(lambda: self._deliver(submission), tell)
            delivery = self._delivery(submission, pool=pool)
            delivery.start(tell)
            return delivery.give_up

        return begin

    def send_many(
        self, messages: Iterable[M], *, before_commit: BeforeCommit[M] | None = None
    ) -> Generator[Result[M]]:
        """Submit many messages. Arguments, results and errors are those of `AsyncSubmitter.send_many`.

        `messages` is read in the calling thread, `before_commit` is called in another.
        """
        from portmail.batches import Batches, closed, exchange
        from portmail.bulk import check_many

        check_many(messages, kinds=(Iterable,))
        bulk = self._loop.run(lambda: self._bulk(before_commit))
        batches = Batches(messages, default_sender=self.settings.sender)
        over = False
        try:
            while not (batches.ended and over):
                batch = batches.take(octets_each=bulk.octets_each) if bulk.room.is_set() else []
                results, over = self._loop.run(partial(exchange, bulk, batch, last=batches.ended))
                yield from results
                if bulk.closed:
                    raise closed()
            if batches.error is not None:
                raise batches.error
        finally:
            self._loop.soon(bulk.close)

    def connect(self) -> Connected:
        """Have a connection ready. Result and errors are those of `AsyncSubmitter.connect`."""
        _refuse_at_the_end("Not connected")
        return self._loop.run(self._connect)

    def check(self, *, login: bool = False) -> Report:
        """Probe every way to the server. Arguments, result and errors are those of `AsyncSubmitter.check`."""
        _refuse_at_the_end("Not checked")
        return self._loop.run(partial(self._check, login=login))

    def discover(self) -> Findings:
        """Look for the address's server now. Result and errors are those of `AsyncSubmitter.discover`."""
        return self._loop.run(self._pools.discover)

    def close(self) -> None:
        """End the loop's thread; connections say goodbye first. A closed submitter opens again when used."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_at_the_end(what: str) -> None:
    if sys.is_finalizing():  # nothing can be imported any more
        raise Unreachable(f"{what}: the interpreter goes down: do it in an atexit handler at the latest")
