"""By which client is it submitted? One interface for three, as their documentation shows them."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import portmail
from portmail import Route, Security

T = TypeVar("T")

HOST, USER, PASSWORD = "127.0.0.1", "me@example.org", "correct horse & battery"
NAME = "client.example.org"

_PATIENCE = 4.0
"""Seconds that the peers wait for a reply; they have no other limit."""


class Server(NamedTuple):
    """Where to: it wants STARTTLS and a login."""

    client: str
    port: int
    ca: str


class Client(Protocol):
    """A way to submit. Messages are called by their numbers."""

    def send(self, number: int) -> None: ...

    def close(self) -> None: ...


@lru_cache(maxsize=256)  # a cache: when the interpreter ends, no message can be made any more
def letter(number: int) -> EmailMessage:
    """The message of this number."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = USER, "you@example.net", f"number {number}"
    message["Date"] = "Sun, 22 Nov 2026 12:00:00 +0000"
    message["Message-ID"] = f"<{number}@proof.example>"
    message.set_content("A line.\n")
    return message


def wishes(server: Server, **more: Any) -> dict[str, Any]:
    """What a submitter is made with."""
    return {
        "routes": [Route(HOST, server.port, Security.STARTTLS)],
        "username": USER,
        "password": PASSWORD,
        "tls_ca": server.ca,
        "local_hostname": NAME,
        "timeouts": 20.0,
        **more,
    }


def by_number(send: Callable[[EmailMessage], T]) -> Callable[[int], T]:
    """A way to send messages, for those that are called by their numbers."""
    return lambda number: send(letter(number))


class Portmail:
    """One `Submitter` for everybody."""

    def __init__(self, server: Server, **more: Any) -> None:
        self.mail = portmail.Submitter(**wishes(server, **more))

    def send(self, number: int) -> None:
        self.mail.send(letter(number))

    def close(self) -> None:
        self.mail.close()


class Smtplib:
    """As its documentation shows it: a connection for each message."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def send(self, number: int) -> None:
        with smtplib.SMTP(HOST, self._server.port, local_hostname=NAME, timeout=_PATIENCE) as mail:
            mail.starttls(context=verifying(self._server.ca))
            mail.login(USER, PASSWORD)
            mail.send_message(letter(number))

    def close(self) -> None: ...


class Aiosmtplib:
    """As its documentation shows it, for a program that has no loop: `asyncio.run` for each message."""

    def __init__(self, server: Server) -> None:
        import aiosmtplib  # who has another client does not wait for it

        self._server, self._submit = server, aiosmtplib.send

    def send(self, number: int) -> None:
        asyncio.run(self.deliver(number))

    async def deliver(self, number: int) -> None:
        await self._submit(
            letter(number),
            hostname=HOST,
            port=self._server.port,
            start_tls=True,
            username=USER,
            password=PASSWORD,
            tls_context=verifying(self._server.ca),
            timeout=_PATIENCE,
        )

    def close(self) -> None: ...


@lru_cache(maxsize=1)  # a cache: a context is dear
def verifying(ca: str) -> ssl.SSLContext:
    """A context as the standard library makes it."""
    return ssl.create_default_context(cafile=ca)
