"""How do octets travel inside TLS? A transport of records, over one that we hold (RFC 8446 section 5).

asyncio's own TLS keeps what was written in buffers that cannot be asked. Here everything that was
written is either with the kernel or in the one buffer of the raw transport, whose back pressure
is passed on: so it is known whether the octets that commit a message ever left.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

_PIECE = 64 * 1024

_FIRST = 256
"""Octets that are kept of what comes in the handshake: enough to tell who else than TLS is talking."""


class CutOff(Exception):  # turned into a Failure by those who know the phase
    """The connection ended amid the handshake."""


class HandshakeFailed(Exception):  # turned into a Failure by those who know the phase
    """TLS did not come about; `.error` is why, `.heard` the first octets that came in its place."""

    def __init__(self, error: ssl.SSLError, *, heard: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.heard = heard


async def handshake(raw: asyncio.Transport, context: ssl.SSLContext, *, host: str) -> TlsTransport:
    """Begin TLS on a connection, as the client; nothing may have come that was not read.

    Returns:
        The transport for what is said from now on. Its protocol has yet to be set.

    Raises:
        HandshakeFailed: it failed, or the certificate is not what `context` wants for `host`.
        CutOff: the connection was closed or lost.
    """
    records = _Records(raw, context, host=host)
    raw.set_protocol(records)
    records.shake()
    await records.shaken
    return TlsTransport(raw, records)


class _Records(asyncio.Protocol):
    """The raw transport's protocol: records in, octets on to the protocol above."""

    def __init__(self, raw: asyncio.Transport, context: ssl.SSLContext, *, host: str) -> None:
        self.tls_in, self.tls_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.tls_in, self.tls_out, server_hostname=host)
        self.above: asyncio.Protocol | None = None
        self.shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._raw = raw
        self._heard = b""
        self._error: Exception | None = None

    def shake(self) -> None:
        """Take the handshake as far as it goes."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._end_shaking(HandshakeFailed(exc, heard=self._heard))
        else:
            self._end_shaking(None)
        self.send()

    def _end_shaking(self, error: Exception | None) -> None:
        if self.shaken.done():
            return
        if error is None:
            self.shaken.set_result(None)
        else:
            self.shaken.set_exception(error)

    def send(self) -> None:
        """Write the records that are ready: also an alert, or an answer that TLS wants by itself."""
        if self.tls_out.pending:
            self._raw.write(self.tls_out.read())

    def data_received(self, data: bytes) -> None:
        """Records came, or pieces of them."""
        self.tls_in.write(data)
        if not self.shaken.done():
            self._heard = (self._heard + data)[:_FIRST]
            self.shake()
        if self.above is not None:
            self.deliver(self.above)

    def deliver(self, above: asyncio.Protocol) -> None:
        """Hand on what has been decrypted."""
        try:
            while octets := self.tls.read(_PIECE):
                above.data_received(octets)
                if self._raw.is_closing():
                    return
        except ssl.SSLWantReadError:
            self.send()
            return
        except ssl.SSLError as exc:
            self.fail(exc)
            return
        self.send()
        above.eof_received()  # close_notify: there is no more to come
        self._raw.abort()

    def fail(self, error: ssl.SSLError) -> None:
        """TLS cannot go on; the alert that says so may still leave."""
        self._error = error
        self.send()
        self._raw.abort()

    def eof_received(self) -> None:
        """The server closed; asyncio closes the transport."""
        self._end_shaking(CutOff())
        if self.above is not None:
            self.above.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end_shaking(CutOff())
        if self.above is not None:
            self.above.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        """The kernel does not take it."""
        if self.above is not None:
            self.above.pause_writing()

    def resume_writing(self) -> None:
        """Now it has."""
        if self.above is not None:
            self.above.resume_writing()


class TlsTransport(asyncio.Transport):
    """What is written here leaves as records; what comes goes to the protocol in the clear."""

    def __init__(self, raw: asyncio.Transport, records: _Records) -> None:
        super().__init__()
        self._raw, self._records = raw, records

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hear from now on. What came with the end of the handshake is heard in the next turn of the loop."""
        assert isinstance(protocol, asyncio.Protocol)
        first, self._records.above = self._records.above is None, protocol
        if first:
            asyncio.get_running_loop().call_soon(self._records.data_received, b"")

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt, and write. What TLS refuses ends the connection."""
        if self._raw.is_closing():
            return
        try:
            self._records.tls.write(data)
        except ssl.SSLError as exc:
            self._records.fail(exc)
        else:
            self._records.send()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The TLS object as `ssl_object`; else what the raw transport says."""
        return self._records.tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to pause: there is one buffer, the raw transport's."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """How many octets of records the kernel has not taken."""
        return self._raw.get_write_buffer_size()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._raw.is_closing()

    def abort(self) -> None:
        """Drop the connection now; what is in the buffer never leaves."""
        self._raw.abort()
