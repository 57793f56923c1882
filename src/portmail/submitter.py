"""How does a program hand a message over? `AsyncSubmitter` and `Submitter`: two doors, one house."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self, Unpack

from portmail import settings as given
from portmail.blocking import LoopThread
from portmail.content import AnyMessage
from portmail.delivery import Delivery, Farewells
from portmail.receipt import Receipt
from portmail.settings import Settings, Wishes
from portmail.submission import Submission
from portmail.transports.tls import verified_context


class _Door:
    """What both doors have: settings, checked before any socket opens."""

    settings: Settings

    def __init__(self, address: str | None = None, **wishes: Unpack[Wishes]) -> None:
        self._open(given.from_arguments(address, **wishes))

    @classmethod
    def from_url(cls, url: str, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of an account URL such as `submission://me:secret@mail.example.com`.

        Raises:
            ConfigurationError: the URL cannot be understood, or asks for what is not allowed.
        """
        return cls._with(given.from_url(url, **wishes))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of PORTMAIL_URL, PORTMAIL_USERNAME, PORTMAIL_PASSWORD, PORTMAIL_PASSWORD_FILE,
        PORTMAIL_FROM and PORTMAIL_CA. Keyword arguments win over the URL, the URL over the others.

        Raises:
            ConfigurationError: a variable cannot be understood.
            DiscoveryError: no server is named.
        """
        return cls._with(given.from_environment(os.environ if environ is None else environ, **wishes))

    @classmethod
    def _with(cls, settings: Settings) -> Self:
        door = cls.__new__(cls)
        door._open(settings)  # noqa: SLF001  # it is our own
        return door

    def _open(self, settings: Settings) -> None:
        verified_context(tls_ca=settings.tls_ca, client_cert=settings.client_cert)  # complains now
        self.settings = settings
        self._farewells = Farewells()

    def __repr__(self) -> str:
        routes = ", ".join(str(route) for route in self.settings.routes)
        return f"<{type(self).__name__} {routes}>"

    def _submission(
        self, message: AnyMessage, *, sender: str | None, recipients: Iterable[str] | None
    ) -> Submission:
        return Submission.of(
            message, sender=sender, recipients=recipients, default_sender=self.settings.sender
        )


class AsyncSubmitter(_Door):
    """Submits messages from asyncio programs.

    One submitter serves an application for as long as it lives, and any number of tasks. Each
    message has a connection of its own.

    Args:
        address: your address; the user name and default sender where those are not given.
        host, port, security, routes: where to; `host` alone tries 587, then 465, and 25 last if
            there are no credentials.
        username, password, token: who you are; password or token is a str, or a callable (sync or
            async) that returns one when it is needed.
        sender: the default sender.
        tls_ca, client_cert: PEM files: a CA trusted besides the system's, your certificate with key.
        local_hostname: what is said in EHLO.
        timeouts: seconds for the whole submission, or `Timeouts`.
        retry: `Retry`, or None for none.

    Raises:
        ConfigurationError: wishes that cannot be met; found here, before any socket opens.
        AddressError: `address` or `sender` is no address.
        DiscoveryError: no server is named.
    """

    async def send(
        self,
        message: AnyMessage,
        *,
        sender: str | None = None,
        recipients: Iterable[str] | None = None,
    ) -> Receipt:
        """Submit one message: an `EmailMessage`, a `Message`, or octets. Bcc never travels.

        The envelope comes from the header; `sender` (`""` for the null reverse-path) and
        `recipients` replace it.

        Raises:
            AddressError: an address or header that cannot travel; nothing was connected.
            DeliveryError: it was not accepted, or nobody knows (`InDoubt`); the subclass says which.
        """
        submission = self._submission(message, sender=sender, recipients=recipients)
        return await Delivery(submission, settings=self.settings, farewells=self._farewells).deliver()

    async def aclose(self) -> None:
        """Wait until the connections have said goodbye: a few seconds at most."""
        await self._farewells.finish()

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

    def _open(self, settings: Settings) -> None:
        super()._open(settings)
        self._loop = LoopThread()

    def send(
        self,
        message: AnyMessage,
        *,
        sender: str | None = None,
        recipients: Iterable[str] | None = None,
    ) -> Receipt:
        """Submit one message. Arguments, result and errors are those of `AsyncSubmitter.send`."""
        submission = self._submission(message, sender=sender, recipients=recipients)

        delivery = Delivery(submission, settings=self.settings, farewells=self._farewells)
        return self._loop.run(delivery.deliver)

    def close(self) -> None:
        """End the loop's thread; connections say goodbye first. A closed submitter opens again when used."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
