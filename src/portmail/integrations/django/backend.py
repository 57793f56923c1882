"""How does Django hand messages over? `EmailBackend`: its contract before, one pool of connections behind."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from portmail.bulk import Result
from portmail.errors import AddressError, ConfigurationError, DeliveryError, DiscoveryError, PortmailError
from portmail.integrations.django.options import DJANGOS, OURS, PLACES, submitter_for, usual_port
from portmail.integrations.django.outgoing import Round
from portmail.integrations.other_settings import DJANGO_SETTINGS
from portmail.integrations.smtplib_errors import as_smtplib
from portmail.receipt import Connected
from portmail.security import without_frames
from portmail.submitter import AsyncSubmitter, Submitter

T = TypeVar("T")
D = TypeVar("D", Submitter, AsyncSubmitter)

_BOTH_FLAGS = {
    False: "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those settings to True.",
    True: "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to True.",
}
"""By whether there is an alias; in Django's own words, as the next one is."""

_NOWHERE = "OPTIONS must define 'host'. In its place may be 'url', 'address' or 'routes', or PORTMAIL_URL."

_Invalid: Any = getattr(mail, "InvalidMailer", ImproperlyConfigured)


class MailNotConfigured(ConfigurationError, _Invalid):  # type: ignore[misc]  # which one, Django's version tells
    """The settings for mail cannot be met. From Django 6.1 it is an InvalidMailer, too."""

    def __init__(self, text: str, *, alias: str | None = None) -> None:
        super().__init__(f"MAILERS[{alias!r}]: {text}" if alias else text)


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

    def __init__(self, host: str | None = None, *, fail_silently: bool = False, **options: Any) -> None:
        try:
            self._set_up(host, fail_silently=fail_silently, options=options)
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        else:
            return
        del options  # error trackers show the variables of every frame
        raise failed

    def _set_up(self, host: str | None, *, fail_silently: bool, options: dict[str, Any]) -> None:
        own = {name: options.pop(name) for name in (*DJANGOS, *OURS) if name in options} | {"host": host}
        if django.VERSION < (6, 1):
            options["fail_silently"] = fail_silently
        super().__init__(**options)
        self.alias: str | None = getattr(self, "alias", None)
        self.fail_silently = fail_silently
        told = with_defaults(own, alias=self.alias) if self.alias else with_settings(own)
        self.options = {name: value for name, value in told.items() if name in OURS}
        for name in DJANGOS:
            setattr(self, name, told.get(name))
        if told.get("use_tls") and told.get("use_ssl"):
            raise MailNotConfigured(_BOTH_FLAGS[bool(self.alias)], alias=self.alias)
        if not any(told.get(place) for place in PLACES) and not os.environ.get("PORTMAIL_URL"):
            raise MailNotConfigured(_NOWHERE, alias=self.alias)
        self.connection: Connection | None = None
        self._silenced: Exception | None = None
        self._lock = threading.RLock()

    @property
    def submitter(self) -> Submitter:
        """What sends, shared in this process.

        Raises:
            MailNotConfigured: the settings cannot be met.
        """
        return self._door(Submitter)

    @property
    def shows_credentials(self) -> bool:
        """Whether Django's own backend would show a password in clear with these settings."""
        told = {name: getattr(self, name) for name in DJANGOS}
        said = told["use_tls"] or told["use_ssl"] or self.options.get("security")
        return bool(told["host"] and told["password"] and not said)

    def _door(self, door: type[D]) -> D:
        told = self.options | {name: getattr(self, name) for name in DJANGOS}
        try:
            return submitter_for(told, door=door)
        except (ConfigurationError, AddressError, DiscoveryError) as error:
            failed = MailNotConfigured(str(error), alias=self.alias)
            failed.__cause__ = without_frames(error)
        del told  # error trackers show the variables of every frame
        raise failed

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
        """The same for async views: nothing blocks, and receivers of signals run as synchronous code."""
        messages = list(email_messages or ())
        together = Round(self, messages)
        if together.messages:
            results = self._door(AsyncSubmitter).send_many(_aiter(together.outgoing()))
            async with aclosing(results):  # if this is cancelled, what was not begun is not sent
                async for result in results:
                    await sync_to_async(together.heard)(result)
        return together.outcome(fail_silently=self.fail_silently)


async def _aiter(items: Iterator[T]) -> AsyncIterator[T]:
    """Each is made as synchronous code: receivers of signals may ask the database."""
    following = sync_to_async(partial(next, items, None))
    while (item := await following()) is not None:
        yield item


def with_defaults(own: Mapping[str, Any], *, alias: str) -> Mapping[str, Any]:
    """Options of MAILERS, with those that follow from others.

    Raises:
        MailNotConfigured: they come to no host and port.
    """
    if not own["host"] or own.get("security"):
        return own
    flags = {name: bool(own.get(name)) for name in ("use_tls", "use_ssl")}
    try:
        return {**own, **flags, "port": own.get("port") or usual_port(own)}
    except ConfigurationError as error:
        raise MailNotConfigured(str(error), alias=alias) from error


def setting(name: str) -> Any:
    """A setting that there was before MAILERS, None without it; who sets one was warned by Django then."""
    return getattr(settings._wrapped, name, None)  # noqa: SLF001  # from 6.1 on, asking by the front door warns


def with_settings(own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options completed by the settings that there were before MAILERS: PORTMAIL, then EMAIL_*.

    EMAIL_* say where, unless PORTMAIL does, or only the environment does.

    Raises:
        MailNotConfigured: PORTMAIL holds an option that there is not.
    """
    given = {name: value for name, value in own.items() if value is not None}
    said = getattr(settings, "PORTMAIL", None) or {}
    ours = {"url": said} if isinstance(said, str) else dict(said)
    if unknown := sorted(set(ours) - {*DJANGOS, *OURS}):
        raise MailNotConfigured(f"PORTMAIL: there is no option {unknown[0]!r}")
    elsewhere = os.environ.get("PORTMAIL_URL") and not settings.is_overridden("EMAIL_HOST")
    if any(given.get(place) for place in PLACES):  # an argument's place wins
        ours = {name: value for name, value in ours.items() if name not in PLACES}
    said = ours | given
    if any(said.get(place) for place in PLACES if place not in given or place != "host"):
        return said
    if elsewhere and "host" not in given:
        return said
    return {name: setting(of) for name, of in DJANGO_SETTINGS.items()} | said
