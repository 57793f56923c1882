"""How does a connection begin? TCP becomes a greeted connection; the only door to aiosmtplib.

aiosmtplib sets the transport up, speaks implicit TLS, and reads the greeting. Then our `Wire`
takes the transport over, before anything else is said, for reasons of safety: aiosmtplib discards
octets that come behind the reply to STARTTLS, drops replies that nobody awaits, and does not say
whether a lost message had its final dot. It is never given a credential.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from portmail.transports.tls import cause_of
from portmail.transports.wire import Wire

_CLOSED = 2.0
"""Seconds after which a transport whose socket was shut down is gone."""


async def greeted(
    sock: socket.socket,
    *,
    route: Route,
    context: ssl.SSLContext,
    local_hostname: str,
    seconds: float,
    longest: float,
) -> Wire:
    """Take a connected socket over, through implicit TLS if the route has it, to the server's greeting.

    `seconds` are for the handshake and for the greeting, each; `longest` for both.

    Raises:
        RouteFailed: in phase TLS or GREETING.
    """
    client = SMTP(
        hostname=route.host,
        sock=sock,
        use_tls=route.security is Security.IMPLICIT_TLS,
        start_tls=False,
        tls_context=context,
        local_hostname=local_hostname,
        timeout=seconds,
    )
    try:
        async with asyncio.timeout(longest):
            await client.connect()
        return Wire(_live(client))
    except (SMTPException, OSError) as exc:
        _end(sock)
        raise RouteFailed(_failure(exc, route=route)) from None
    except BaseException:
        _end(sock)
        raise


def _end(sock: socket.socket) -> None:
    """Drop a connection that aiosmtplib closes, which over TLS may wait long for the server's goodbye.

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


def _failure(error: BaseException, *, route: Route) -> Failure:
    for exc in _chain(error):
        if tls := cause_of(exc):
            return Failure(Phase.TLS, *tls)
        if isinstance(exc, SMTPConnectResponseError | SMTPResponseException):
            return _unwelcome(exc.code, text=exc.message)
    implicit = route.security is Security.IMPLICIT_TLS
    phase = Phase.TLS if implicit else Phase.GREETING
    if any(isinstance(exc, TimeoutError) for exc in _chain(error)):
        # On a port without implicit TLS, silence may mean that the port has it.
        return Failure(phase, Cause.NO_REPLY if implicit else Cause.SILENT)
    return Failure(phase, Cause.DROPPED)


def _unwelcome(code: int, *, text: str) -> Failure:
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if 400 <= code < 600:
        return Failure.of_reply(Phase.GREETING, Reply.from_lines(code, text.split("\n")))
    return Failure(Phase.GREETING, Cause.NOT_SMTP, printable(text)[:120].strip())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
