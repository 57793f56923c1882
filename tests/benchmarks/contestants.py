"""Who is compared? smtplib, aiosmtplib and portmail, each as its documentation says it is used.

All verify TLS, trust the system's authorities and the sink's besides, and log in with AUTH PLAIN. The
blocking ones have coroutines that never wait, so that the same work drives all of them; see `drive`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping
from email.message import EmailMessage
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from tests.benchmarks.messages import with_attachment
from tests.benchmarks.places import Place

if TYPE_CHECKING:  # a contestant's process loads no other contestant
    import smtplib

    import aiosmtplib

    import portmail

T = TypeVar("T")
NAME = "client.example"
"""Said in EHLO; smtplib and aiosmtplib ask the DNS for one otherwise."""


class Client(Protocol):
    """A contestant, connected or about to be."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *error: object) -> None: ...

    async def send(self, message: EmailMessage) -> None:
        """Submit one message. Raises where it was not accepted."""

    async def send_many(self, messages: Iterable[EmailMessage]) -> int:
        """Submit them in the best way that the library has, and return how many were accepted."""
        ...

    def attach(self, path: Path) -> EmailMessage:
        """A message with that file."""
        ...


class _Contestant:
    """What all have: the place, and a library that is loaded before any clock starts."""

    library: str

    def __init__(self, place: Place, *, connections: int | None) -> None:
        self._place, self._connections = place, connections
        import_module(self.library)


class _OneByOne(_Contestant):
    """What a library without a way to send many does."""

    async def send(self, message: EmailMessage) -> None:
        raise NotImplementedError

    async def send_many(self, messages: Iterable[EmailMessage]) -> int:
        count = 0
        for message in messages:
            await self.send(message)
            count += 1
        return count

    def attach(self, path: Path) -> EmailMessage:
        return with_attachment(path)


class Smtplib(_OneByOne):
    """The standard library, on one connection."""

    library = "smtplib"
    _client: smtplib.SMTP

    async def __aenter__(self) -> Self:
        import smtplib

        place, context = self._place, trusting(self._place)
        if place.implicit:
            self._client = smtplib.SMTP_SSL(place.host, place.port, NAME, context=context)
        else:
            self._client = smtplib.SMTP(place.host, place.port, NAME)
            self._client.starttls(context=context)
        self._client.login(place.username, place.password)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._client.close()

    async def send(self, message: EmailMessage) -> None:
        if refused := self._client.send_message(message):
            raise RuntimeError(f"refused: {refused}")


class Aiosmtplib(_OneByOne):
    """aiosmtplib, on one connection."""

    library = "aiosmtplib"
    _client: aiosmtplib.SMTP

    async def __aenter__(self) -> Self:
        import aiosmtplib

        place = self._place
        self._client = aiosmtplib.SMTP(
            hostname=place.host,
            port=place.port,
            username=place.username,
            password=place.password,
            local_hostname=NAME,
            use_tls=place.implicit,
            start_tls=not place.implicit,
            tls_context=trusting(place),
        )
        await self._client.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._client.close()

    async def send(self, message: EmailMessage) -> None:
        refused, _ = await self._client.send_message(message)
        if refused:
            raise RuntimeError(f"refused: {refused}")


class Portmail(_Contestant):
    """portmail from asyncio. `connections` bounds them; None is what it does by itself."""

    library = "portmail.submitter"
    _client: portmail.AsyncSubmitter

    async def __aenter__(self) -> Self:
        import portmail

        self._client = portmail.AsyncSubmitter(**submitter_wishes(self._place, self._connections))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.aclose()

    async def send(self, message: EmailMessage) -> None:
        _whole(await self._client.send(message))

    async def send_many(self, messages: Iterable[EmailMessage]) -> int:
        count = 0
        async for result in self._client.send_many(messages):
            _whole(result.receipt, error=result.error)
            count += 1
        return count

    def attach(self, path: Path) -> EmailMessage:
        return _composed(path)


class PortmailBlocking(_Contestant):
    """portmail from a program without asyncio."""

    library = "portmail.submitter"
    _client: portmail.Submitter

    async def __aenter__(self) -> Self:
        import portmail

        self._client = portmail.Submitter(**submitter_wishes(self._place, self._connections))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._client.close()

    async def send(self, message: EmailMessage) -> None:
        _whole(self._client.send(message))

    async def send_many(self, messages: Iterable[EmailMessage]) -> int:
        count = 0
        for result in self._client.send_many(messages):
            _whole(result.receipt, error=result.error)
            count += 1
        return count

    def attach(self, path: Path) -> EmailMessage:
        return _composed(path)


CONTESTANTS: Mapping[str, Callable[..., Client]] = MappingProxyType(
    {
        "smtplib": Smtplib,
        "aiosmtplib": Aiosmtplib,
        "portmail": Portmail,
        "portmail blocking": PortmailBlocking,
    }
)
WITHOUT_LOOP = ("smtplib", "portmail blocking")


def drive(work: Coroutine[Any, Any, T], *, loop: bool) -> T:
    """Run it: in an event loop, or by hand where nothing in it ever waits for one."""
    if loop:
        return asyncio.run(work)
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a blocking contestant waits for a loop")


def trusting(place: Place) -> ssl.SSLContext:
    """A client's context as a program makes it, and the sink's authority added."""
    context = ssl.create_default_context()
    context.load_verify_locations(place.ca)
    return context


def submitter_wishes(place: Place, connections: int | None) -> dict[str, Any]:
    """The arguments of a submitter for that place."""
    import portmail

    security = portmail.Security.IMPLICIT_TLS if place.implicit else portmail.Security.STARTTLS
    bound = {} if connections is None else {"pool_size": connections}
    return {
        "routes": (portmail.Route(place.host, place.port, security),),
        "username": place.username,
        "password": place.password,
        "tls_ca": place.ca,
        "local_hostname": NAME,
        "retry": None,
        **bound,
    }


def _composed(path: Path) -> EmailMessage:
    import portmail

    return portmail.compose(
        sender="me@example.com", to="you@example.org", subject="A file", text="See there.\n", attachments=path
    )


def _whole(receipt: portmail.Receipt | None, *, error: BaseException | None = None) -> None:
    if receipt is None or receipt.refused:
        raise error or RuntimeError(f"refused: {receipt}")
