"""How does Django hand messages over? `EmailBackend`: its contract before, one pool of connections behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from portmail.bulk import Result
from portmail.errors import AddressError, ConfigurationError, DeliveryError, DiscoveryError, PortmailError
from portmail.integrations.django.configured import MailNotConfigured, completed
from portmail.integrations.django.options import DJANGOS, OURS, shown_in_clear, submitter_for
from portmail.integrations.django.outgoing import Outgoing, Round
from portmail.integrations.smtplib_errors import as_smtplib
from portmail.receipt import Connected
from portmail.security import SecretSource, without_frames
from portmail.submitter import Submitter

_AT_A_TIME = 32
"""Messages of one call that are under way."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What stands for a connection: by which route it was made ready, and what it proved."""

    connected: Connected
    timeout: float | None


class EmailBackend(BaseEmailBackend):
    """Django's email backend. Options are told in `options.py`.

    `open` has a connection ready, and tells what is wrong with it; `close` gives it back. Connections
    are shared by all instances of the process with the same options, and stay warm for a minute.

    Raises:
        MailNotConfigured: PORTMAIL holds an unknown option, or both of Django's flags are set.
    """

    timeout: float | None
    _partial_connection = None  # where Django's own keeps one that is half open: here there is none

    def __init__(  # noqa: PLR0917  # as many as Django's own, in its order
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: SecretSource | None = None,
        use_tls: bool | None = None,  # noqa: FBT001
        fail_silently: bool = False,  # noqa: FBT001, FBT002
        use_ssl: bool | None = None,  # noqa: FBT001
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        **options: Any,
    ) -> None:
        options |= {"host": host, "port": port, "username": username, "password": password}
        options |= {"use_tls": use_tls, "use_ssl": use_ssl, "timeout": timeout}
        options |= {"ssl_keyfile": ssl_keyfile, "ssl_certfile": ssl_certfile}
        try:
            self._set_up(fail_silently=fail_silently, options=options)
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        else:
            return
        del options, password  # error trackers show the variables of every frame
        raise failed

    def _set_up(self, *, fail_silently: bool, options: dict[str, Any]) -> None:
        own = {name: options.pop(name) for name in (*DJANGOS, *OURS) if name in options}
        if django.VERSION < (6, 1):
            options["fail_silently"] = fail_silently
        super().__init__(**options)
        self.alias: str | None = getattr(self, "alias", None)
        self.fail_silently = fail_silently
        told = completed(own, alias=self.alias)
        self.options = {name: value for name, value in told.items() if name in OURS}
        for name in DJANGOS:
            setattr(self, name, told.get(name))
        self.connection: Connection | None = None
        self._silenced: Exception | None = None
        self._lock = threading.RLock()

    @property
    def submitter(self) -> Submitter:
        """What sends, shared in this process.

        Raises:
            MailNotConfigured: the settings cannot be met.
        """
        told = self._told
        try:
            return submitter_for(told)
        except (ConfigurationError, AddressError, DiscoveryError) as error:
            failed: BaseException = MailNotConfigured(str(error), alias=self.alias)
            failed.__cause__ = without_frames(error)
        except BaseException as error:  # noqa: BLE001  # raised again
            failed = without_frames(error)
        del told  # error trackers show the variables of every frame
        raise failed

    @property
    def _told(self) -> dict[str, Any]:
        """The options as they are now: Django's are attributes, which may be changed."""
        return self.options | {name: getattr(self, name) for name in DJANGOS}

    @property
    def shows_credentials(self) -> bool:
        """Whether Django's own backend would show a password in clear with these settings."""
        return shown_in_clear(self._told)

    def open(self) -> bool | None:
        """Have a connection ready. Returns whether a new one was needed; None if it failed silently.

        Raises:
            smtplib.SMTPException: none can be had; it is one of portmail's errors, too.
            MailNotConfigured: the settings cannot be met.
        """
        with self._lock:
            if self.connection:
                return False
            try:
                connected = self.submitter.connect()
            except (DeliveryError, DiscoveryError) as error:
                self._silenced = as_smtplib(error)
                if self.fail_silently:
                    return None
                raise self._silenced from error.__cause__
            self.connection = Connection(connected, self.timeout)
            return True

    def close(self) -> None:
        """Give the connection back. It stays warm for the next message of this process."""
        self.connection = None

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Send them, and return how many were sent. Those without recipients do not count.

        All are tried, whatever becomes of one; then what went wrong first is raised, unless this
        fails silently. Each has its `.portmail_receipt`, or its `.portmail_error`.

        Raises:
            smtplib.SMTPException: a message was not sent, or is in doubt; one of portmail's errors, too.
            ValueError: a header or an address that cannot travel.
        """
        messages = list(email_messages or ())
        if not messages:
            return 0
        together = Round(self, messages)
        try:
            opened = self.open()
        except Exception as error:
            together.unsent(error)
            raise
        if opened is None:
            together.unsent(self._silenced)
            return 0
        try:
            self._send(together)
        finally:
            if opened:
                self.close()
        return together.outcome(fail_silently=self.fail_silently)

    def _send(self, together: Round) -> None:
        if not together.messages:
            return
        if len(together.messages) > 1:
            for result in self.submitter.send_many(together.outgoing()):
                together.heard(result)
            return
        for outgoing in together.outgoing():
            try:
                together.heard(Result(outgoing, self.submitter.send(outgoing), None))
            except PortmailError as error:
                together.heard(Result(outgoing, None, error))

    async def asend_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """The same for async views, by the same connections. Receivers of signals run as synchronous code.

        Cancelled, it sends nothing more; notes on the exception say what became of what was under way.
        """
        together = Round(self, list(email_messages or ()))
        try:
            await self._asend(together)
        except asyncio.CancelledError as stopped:
            for note in together.notes:
                stopped.add_note(note)
            raise
        return together.outcome(fail_silently=self.fail_silently)

    async def _asend(self, together: Round) -> None:
        in_order = together.here if together.unheard else sync_to_async
        following = in_order(partial(next, together.outgoing(), None))
        room = asyncio.Semaphore(_AT_A_TIME)
        async with asyncio.TaskGroup() as group:
            while (outgoing := await following()) is not None:
                await room.acquire()
                group.create_task(self._asend_one(outgoing, together)).add_done_callback(
                    lambda _task: room.release()
                )

    async def _asend_one(self, outgoing: Outgoing, together: Round) -> None:
        try:
            result = Result(outgoing, await self.submitter.asend(outgoing), None)
        except PortmailError as error:
            result = Result(outgoing, None, error)
        except asyncio.CancelledError as stopped:
            together.notes += getattr(stopped, "__notes__", ())
            raise
        hear = together.here if together.unheard else sync_to_async
        try:
            await hear(together.heard)(result)
        except asyncio.CancelledError:
            together.known(result)
            raise
