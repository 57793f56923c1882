"""How does a program hand a message over? `AsyncSubmitter` and `Submitter`: two doors, one house."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, Unpack

from portmail import settings as given
from portmail.errors import ConfigurationError, PortmailError, Unreachable
from portmail.offloading import room_for_descriptors
from portmail.security import without_frames
from portmail.settings import Settings, Wishes
from portmail.transports.tls import verified_context, verifying

# What is used below is imported where it is used: a submitter reads the system's trust store while
# it imports what one message needs, and one message does not need what many need.
if TYPE_CHECKING:
    from portmail.bulk import BeforeCommit, Bulk, M, Result
    from portmail.candidate import Findings
    from portmail.content import AnyMessage, Enveloped
    from portmail.envelope import Mailbox
    from portmail.errand import Begin, GiveUp, Tell
    from portmail.receipt import Connected, Receipt
    from portmail.submission import Submission


class _Door:
    """What both doors have: settings, checked before any socket opens."""

    settings: Settings

    def __init__(self, address: str | None = None, **wishes: Unpack[Wishes]) -> None:
        try:
            self._open(given.from_arguments(address, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        else:
            return
        del wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def from_url(cls, url: str, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of an account URL such as `submission://me:secret@mail.example.com`.

        Raises:
            ConfigurationError: the URL cannot be understood, or asks for what is not allowed.
        """
        try:
            return cls._with(given.from_url(url, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        del url, wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of PORTMAIL_URL, PORTMAIL_USERNAME, PORTMAIL_PASSWORD, PORTMAIL_PASSWORD_FILE,
        PORTMAIL_FROM and PORTMAIL_CA. Keyword arguments win over the URL, the URL over the others.

        Raises:
            ConfigurationError: a variable cannot be understood.
            DiscoveryError: no server is named.
        """
        try:
            return cls._with(given.from_environment(os.environ if environ is None else environ, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        del environ, wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def _with(cls, settings: Settings) -> Self:
        door = cls.__new__(cls)
        door._open(settings)  # noqa: SLF001  # it is our own
        return door

    def _open(self, settings: Settings) -> None:
        self.settings = settings
        try:
            room_for_descriptors()
            with verifying(**settings.pem_files):
                self._prepare()
        except OSError as exc:  # what is needed cannot be loaded
            raise Unreachable(f"Not sent: no submitter can be made here: {exc}", temporary=True) from exc
        verified_context(**settings.pem_files)  # complains now

    def _prepare(self) -> None:
        from portmail.delivery import Delivery
        from portmail.pools import Pools
        from portmail.submission import Submission

        self._pools = Pools(self.settings)
        self._delivery = partial(Delivery, settings=self.settings, pools=self._pools)
        self._checked = partial(Submission.of, default_sender=self.settings.sender)

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)  # none in the traceback of wishes that cannot be met
        pools = getattr(self, "_pools", None)
        known = pools.settings.routes if pools else ()
        sought = f"for {settings.search.address}" if settings and settings.search else "unmade"
        routes = ", ".join(str(route) for route in known) or sought
        return f"<{type(self).__name__} {routes}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ConfigurationError(
            f"the {type(self).__name__} is neither copied nor pickled, for it holds credentials and "
            "connections: make one in each process (a forked one may use its parent's)"
        )

    async def _deliver(self, submission: Submission) -> Receipt:
        import asyncio

        from portmail import log
        from portmail.delivery import NOT_SENT
        from portmail.timeouts import Deadline

        deadline = Deadline(self.settings.timeouts)
        message_id = submission.content.message_id
        try:
            pool = await self._pools.here()
        except PortmailError as error:
            log.not_sent(error, message_id=message_id)
            raise
        except asyncio.CancelledError as stopped:
            stopped.add_note(f"portmail: {NOT_SENT} ({message_id})")
            raise
        return await self._delivery(submission, pool=pool, deadline=deadline).deliver()

    async def _connect(self) -> Connected:
        from portmail.connecting import Connecting

        return await Connecting(self.settings, pools=self._pools).connect()

    async def _bulk(self, before_commit: BeforeCommit[M] | None) -> Bulk[M]:
        from portmail.bulk import Bulk

        return Bulk(self._pools, settings=self.settings, before_commit=before_commit)


class AsyncSubmitter(_Door):
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


class Submitter(_Door):
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
