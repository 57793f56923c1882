"""How does a connection begin? TCP becomes a greeted connection; the only door to aiosmtplib.

aiosmtplib sets the transport up and reads the greeting, where that is in clear. Then our `Wire`
takes the transport over, before anything else is said, for reasons of safety: aiosmtplib discards
octets that come behind the reply to STARTTLS, drops replies that nobody awaits, and does not say
whether a lost message had its final dot. It is never given a credential.

Implicit TLS is ours from the first octet: aiosmtplib would hide the transport below it, and with
it whether what was written ever left.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from typing import cast

from aiosmtplib import SMTP, SMTPConnectResponseError, SMTPException, SMTPResponseException

from portmail.cause import Cause
from portmail.failure import Failure, Phase, RouteFailed
from portmail.reply import Reply, printable
from portmail.route import Route
from portmail.security import Security
from portmail.timeouts import Deadline
from portmail.transports.intake import WireFailed
from portmail.transports.wire import Wire

_CLOSED = 2.0
"""Seconds after which a transport whose socket was shut down is gone."""

_IN_TLS = {Cause.NO_REPLY: Cause.NO_REPLY, Cause.LOST: Cause.DROPPED}
"""What of a handshake's end says only that nobody is there, on a port where nothing was said before."""

_WEB = re.compile(r"\bHTTP/|<(?:!doc|html|head|body)", re.IGNORECASE)
"""A web server's answer, also to what was no question of its kind."""

_NO_WEB = re.compile(rb"[2-5]\d\d[ -]|[\x14-\x18]\x03")
"""How a mail server begins to speak, and how TLS does (RFC 8446 section 5.1)."""

_MALFORMED = "Malformed SMTP response line: "
"""What aiosmtplib puts before what it heard."""

_NO_GREETING = {Cause.LOST: Cause.DROPPED, Cause.SURPRISE: Cause.NOT_SMTP}


async def greeted(
    sock: socket.socket,
    *,
    route: Route,
    context: ssl.SSLContext,
    local_hostname: str,
    deadline: Deadline,
) -> Wire:
    """Take a connected socket over, through implicit TLS if the route has it, to the server's greeting.

    Raises:
        RouteFailed: in phase TLS or GREETING.
    """
    if route.security is Security.IMPLICIT_TLS:
        return await _greeted_in_tls(sock, host=route.host, context=context, deadline=deadline)
    return await _greeted_in_clear(sock, route=route, local_hostname=local_hostname, deadline=deadline)


async def _greeted_in_tls(
    sock: socket.socket, *, host: str, context: ssl.SSLContext, deadline: Deadline
) -> Wire:
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    wire = Wire(transport)
    try:
        await wire.start_tls(context, host=host, seconds=deadline.seconds(Phase.TLS))
    except WireFailed as exc:
        raise RouteFailed(_without_tls(exc)) from None
    try:
        reply = await wire.reply(seconds=deadline.seconds(Phase.GREETING))
    except WireFailed as exc:
        cause = _NO_GREETING.get(exc.cause, exc.cause)
        raise RouteFailed(Failure(Phase.GREETING, cause, exc.detail)) from None
    if reply.code != 220:
        wire.abort()
        raise RouteFailed(_unwelcome(reply))
    wire.greeting = reply
    return wire


def _without_tls(failed: WireFailed) -> Failure:
    """How it ended before TLS. A web server knows no TLS on its plain port, and says so in clear."""
    said = "" if _NO_WEB.match(failed.heard) else failed.heard.decode("utf-8", "replace").lstrip()
    if _WEB.search(said):
        return Failure(Phase.TLS, Cause.PORTAL, printable(said.partition("\n")[0].strip())[:120])
    cause = _IN_TLS.get(failed.cause, failed.cause)
    return Failure(Phase.TLS, cause, failed.detail, certificate=failed.certificate)


async def _greeted_in_clear(
    sock: socket.socket, *, route: Route, local_hostname: str, deadline: Deadline
) -> Wire:
    seconds = deadline.seconds(Phase.GREETING)
    client = SMTP(
        hostname=route.host,
        sock=sock,
        use_tls=False,
        start_tls=False,
        local_hostname=local_hostname,
        timeout=None,  # ours holds; with one of its own, a cancel could come before there is a transport
    )
    try:
        async with asyncio.timeout(seconds):
            code, text = await client.connect()
        transport = _live(client)
        if _overheard(client):
            transport.abort()
            raise RouteFailed(Failure(Phase.GREETING, Cause.SURPRISE, "unasked: more than a greeting"))
        wire = Wire(transport)
        wire.greeting = _reply(code, text)
        if wire.dialogue is not None:
            wire.dialogue.heard(wire.greeting)
        return wire
    except (SMTPException, OSError) as exc:
        _end(sock)
        raise RouteFailed(_failure(exc)) from None
    except BaseException:
        _end(sock)
        raise


def _end(sock: socket.socket) -> None:
    """Drop a connection that aiosmtplib closes.

    The socket is its transport's. To close it here would pull the descriptor from under the
    transport, and the next one with that number would be taken for it.
    """
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)  # which the transport notices at once
    # It has closed the socket long before that, unless it never came to life.
    asyncio.get_running_loop().call_later(_CLOSED, sock.close)


def _live(client: SMTP) -> asyncio.Transport:
    transport = client.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    return cast("asyncio.Transport", transport)  # uvloop's is not derived from it


def _overheard(client: SMTP) -> bool:
    """Whether more came with the greeting, of which aiosmtplib says nothing."""
    return bool(vars(client.protocol).get("_buffer"))


def _failure(error: BaseException) -> Failure:
    for exc in _chain(error):
        if isinstance(exc, SMTPConnectResponseError | SMTPResponseException):
            return _unwelcome(_reply(exc.code, exc.message))
    # Silence may mean that the port has implicit TLS.
    silent = any(isinstance(exc, TimeoutError) for exc in _chain(error))
    return Failure(Phase.GREETING, Cause.SILENT if silent else Cause.DROPPED)


def _reply(code: int, text: str) -> Reply:
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return Reply.from_lines(code, readable.split("\n"))


def _unwelcome(reply: Reply) -> Failure:
    if 400 <= reply.code < 600:
        return Failure.of_reply(Phase.GREETING, reply)
    said = printable(reply.text.removeprefix(_MALFORMED))[:120].strip()
    return Failure(Phase.GREETING, Cause.PORTAL if _WEB.search(said) else Cause.NOT_SMTP, said)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
