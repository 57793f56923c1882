"""How does each client submit, and what did it say became of the message?

Each is used as a careful person uses it: TLS required, certificates verified, the rest as it comes.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import aiosmtplib

import portmail
from portmail import Attempt, Retry, Route, Security, Timeouts
from tests.proof.harness.place import HOST, certified
from tests.proof.harness.recorder import PASSWORD, USER

SENDER, RECIPIENT = "me@example.org", "you@example.net"
BODY = "the body that nobody may read\n.and a dot\n"


class Said(Enum):
    """What a client told its caller."""

    SENT = "sent"
    NOT_SENT = "not sent"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True)
class Told:
    """What a client said, by which error, after how many seconds of its loop's time."""

    said: Said
    error: BaseException | None
    seconds: float
    foreign: bool = False
    """Whether the error is not of its own hierarchy."""
    attempts: tuple[Attempt, ...] = ()
    """What portmail tells of the routes that it tried."""

    def __str__(self) -> str:
        return self.said.value if self.error is None else f"{self.said.value} ({self.error!r:.200})"


@dataclass(frozen=True, slots=True)
class Errand:
    """What a client is asked to do: submit `message`, within `seconds` in all.

    `routes` are ports and modes, by preference; clients that know no fallback take the first.
    """

    routes: Sequence[tuple[int, Security]]
    message: EmailMessage
    seconds: float = 60.0
    username: str | None = USER
    password: str | None = PASSWORD
    token: str | None = None
    retry: Retry | None = None
    timeouts: Timeouts | None = None
    ca: Path | None = None

    def anonymous(self) -> Errand:
        """The same without credentials."""
        return replace(self, username=None, password=None, token=None)

    @property
    def authority(self) -> Path:
        """The file that the client trusts."""
        return self.ca or certified().ca


def letter(body: str = BODY) -> EmailMessage:
    """A message of which every octet is known: nothing is left to be generated."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "proof"
    message["Date"] = "Sun, 22 Nov 2026 12:00:00 +0000"
    message["Message-ID"] = "<proof@example.org>"
    message.set_content(body)
    return message


Async: TypeAlias = Callable[[Errand], Awaitable[Told]]
Blocking: TypeAlias = Callable[[Errand], Told]


def wishes(errand: Errand) -> dict[str, object]:
    """What a submitter is made with."""
    login: dict[str, object] = {}
    if errand.username is not None:
        secret = {"token": errand.token} if errand.token else {"password": errand.password}
        login = {"username": errand.username, **secret}
    return {
        "routes": [Route(HOST, port, security) for port, security in errand.routes],
        "tls_ca": errand.authority,
        "timeouts": errand.timeouts or errand.seconds,
        "retry": errand.retry,
        "local_hostname": "client.example.org",
        **login,
    }


async def by_portmail(errand: Errand) -> Told:
    """`AsyncSubmitter`."""
    began = time.monotonic()
    try:
        async with portmail.AsyncSubmitter(**wishes(errand)) as mail:  # type: ignore[arg-type]  # by their names
            receipt = await mail.send(errand.message)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
        return _portmail_said(exc, began=began)
    return Told(Said.SENT, None, time.monotonic() - began, attempts=receipt.attempts)


def by_submitter(errand: Errand) -> Told:
    """`Submitter`, the blocking door."""
    began = time.monotonic()
    try:
        with portmail.Submitter(**wishes(errand)) as mail:  # type: ignore[arg-type]  # by their names
            receipt = mail.send(errand.message)
    except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
        return _portmail_said(exc, began=began)
    return Told(Said.SENT, None, time.monotonic() - began, attempts=receipt.attempts)


def _portmail_said(exc: BaseException, *, began: float) -> Told:
    said = Said.IN_DOUBT if isinstance(exc, portmail.InDoubt) else Said.NOT_SENT
    foreign = not isinstance(exc, portmail.PortmailError)
    attempts = exc.attempts if isinstance(exc, portmail.DeliveryError) else ()
    return Told(said, exc, time.monotonic() - began, foreign, attempts)


async def by_aiosmtplib(errand: Errand) -> Told:
    """`aiosmtplib.send`, with TLS required."""
    began = time.monotonic()
    port, security = errand.routes[0]
    try:
        await aiosmtplib.send(
            errand.message,
            hostname=HOST,
            port=port,
            username=errand.username,
            password=errand.password,
            use_tls=security is Security.IMPLICIT_TLS,
            start_tls=security is Security.STARTTLS,
            tls_context=verifying(errand.authority) if security.encrypted else None,
            local_hostname="client.example.org",
            timeout=errand.seconds,
        )
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
        own = isinstance(exc, aiosmtplib.SMTPException | ValueError | TimeoutError)
        return Told(Said.NOT_SENT, exc, time.monotonic() - began, not own)
    return Told(Said.SENT, None, time.monotonic() - began)


def by_smtplib(errand: Errand) -> Told:
    """`smtplib`, as its documentation shows it, with a context that verifies."""
    began = time.monotonic()
    try:
        _smtplib(errand)
    except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
        own = isinstance(exc, smtplib.SMTPException | OSError | ValueError) and not isinstance(
            exc, ssl.SSLError
        )
        return Told(Said.NOT_SENT, exc, time.monotonic() - began, not own)
    return Told(Said.SENT, None, time.monotonic() - began)


def _smtplib(errand: Errand) -> None:
    port, security = errand.routes[0]
    name, seconds = "client.example.org", errand.seconds
    mail: smtplib.SMTP
    if security is Security.IMPLICIT_TLS:
        context = verifying(errand.authority)
        mail = smtplib.SMTP_SSL(HOST, port, local_hostname=name, timeout=seconds, context=context)
    else:
        mail = smtplib.SMTP(HOST, port, local_hostname=name, timeout=seconds)
    with mail:
        if security is Security.STARTTLS:
            mail.starttls(context=verifying(errand.authority))
        if errand.username is not None and errand.password is not None:
            mail.login(errand.username, errand.password)
        mail.send_message(errand.message)


@lru_cache(maxsize=64)  # a cache: a context is dear
def verifying(ca: Path) -> ssl.SSLContext:
    """A context as the standard library makes it, that trusts this authority."""
    return ssl.create_default_context(cafile=str(ca))
