"""How does the sink read as fast as Python can? Whatever has arrived at once, in clear or through TLS."""

from __future__ import annotations

import socket
import ssl

_ROOM = 256 * 1024
"""Octets taken from the kernel at a time; one TLS record has 16 KiB at most."""
_RECORD = 16 * 1024


class Gone(ConnectionError):  # what happened, not an error of ours
    """The client has left."""


class FastWire:
    """The server's end of one connection, for one thread."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._room = memoryview(bytearray(_ROOM))
        self._inbound, self._outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    @property
    def encrypted(self) -> bool:
        """Whether TLS has begun."""
        return self._tls is not None

    def secure(self, context: ssl.SSLContext) -> None:
        """Do the server's half of the TLS handshake. Raises OSError when it fails."""
        tls = context.wrap_bio(self._inbound, self._outbound, server_side=True)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                self._drain()
                self._feed()
        self._drain()
        self._tls = tls

    def receive(self) -> bytes:
        """Wait for octets, and return all that are there. Raises Gone when the client has left."""
        if self._tls is None:
            return bytes(self._pull())
        pieces: list[bytes] = []
        while not pieces:
            if not self._inbound.pending:
                self._feed()
            pieces = self._records(self._tls)
        return b"".join(pieces)

    def send(self, data: bytes) -> None:
        """Send it all, in one write."""
        if self._tls is None:
            self._socket.sendall(data)
        else:
            self._tls.write(data)
            self._drain()

    def _records(self, tls: ssl.SSLObject) -> list[bytes]:
        """What the records hold that are complete."""
        pieces = []
        try:
            while self._inbound.pending or tls.pending():
                if not (piece := tls.read(_RECORD)):
                    break  # close_notify: what came before it still counts
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return pieces
        if not pieces:
            raise Gone("the client said goodbye")
        return pieces

    def _pull(self) -> memoryview:
        if not (size := self._socket.recv_into(self._room)):
            raise Gone("the client has gone")
        return self._room[:size]

    def _feed(self) -> None:
        self._inbound.write(self._pull())

    def _drain(self) -> None:
        if data := self._outbound.read():
            self._socket.sendall(data)
