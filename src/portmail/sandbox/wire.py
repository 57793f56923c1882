"""What travels over one connection? Octets, in clear or through TLS, and the ways it can end."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from contextlib import suppress

from portmail.sandbox.tls import TlsEngine

_SIZE = 65536
_LINGER = 1.0
"""Seconds to wait, after our FIN, for the client's."""

_HANDSHAKE = b"\x16"
"""The first octet of every TLS connection: a record of type handshake (RFC 8446 section 5.1)."""

_RST_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER on, for no time at all."""


class NotTls(ConnectionError):  # what the client did, not an error of ours
    """Where a TLS handshake was due the client sent something else; `.octets` is what."""

    def __init__(self, octets: bytes) -> None:
        super().__init__("the client sent plain text where a TLS handshake was due")
        self.octets = octets


class Wire:
    """The server's end of one connection. One thread uses it; any thread may `interrupt` it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self.tls: TlsEngine | None = None

    def secure(self, context: ssl.SSLContext) -> TlsEngine:
        """Do the server's half of the TLS handshake.

        Raises:
            NotTls: the client sent something that is no handshake.
            ssl.SSLError: the handshake failed, or the client left in the middle of it.
        """
        opening = self._pull()
        if opening and not opening.startswith(_HANDSHAKE):
            raise NotTls(opening)
        tls = TlsEngine(context)
        tls.feed(opening)
        try:
            while not tls.shake():
                self._socket.sendall(tls.drain())
                tls.feed(self._pull())
        finally:  # session tickets, or the alert that says why not
            self._socket.sendall(tls.drain())
        self.tls = tls
        return tls

    def receive(self) -> bytes:
        """Wait for octets; empty once the client has gone, politely or not."""
        if self.tls is None:
            return self._pull()
        while (data := self.tls.read()) is None:
            self.tls.feed(self._pull())
        return data

    def receive_ready(self) -> bytes:
        """Return the octets that have arrived already; empty if that is none, or none any more."""
        self._socket.settimeout(0)
        try:
            return self.receive()
        except BlockingIOError:
            return b""
        finally:
            self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        """Send it all. Raises OSError when the client has gone."""
        if not data:  # which OpenSSL would not call nothing
            return
        if self.tls is not None:
            self.tls.write(data)
            data = self.tls.drain()
        self._socket.sendall(data)

    def finish(self) -> None:
        """Say that nothing more will come: close_notify and FIN. What the client sends still comes."""
        with suppress(OSError):  # the client may have gone before us
            if self.tls is not None:
                self.tls.finish()
                self._socket.sendall(self.tls.drain())
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the connection in order.

        A socket that is closed with unread octets sends RST, which takes the last reply with it:
        so wait a moment for the client's FIN.
        """
        self.finish()
        with suppress(OSError):
            self._socket.settimeout(_LINGER)
            while self._socket.recv(_SIZE):
                pass
        self._socket.close()

    def abort(self) -> None:
        """End the connection with RST."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._socket.close()

    def interrupt(self) -> None:
        """Wake the thread that waits on this connection, for good; safe from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _pull(self) -> bytes:
        try:
            return self._socket.recv(_SIZE)
        except ConnectionError:
            return b""
