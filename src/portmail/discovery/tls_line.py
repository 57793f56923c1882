"""How is a TLS connection read as a file, within bounds? `Line`: for a thread, with a clock and a count."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_CHUNK = 16 * 1024
"""Octets that are read at once: the most that a TLS record holds."""


class TooMuch(Exception):
    """There is more than anybody would read. Never leaves `fetching`."""


class Line(io.RawIOBase):
    """TLS over a socket, read as a file, that looks at the clock each time, and at how much there is.

    In memory, as asyncio has it: what a refused certificate says is told only there.

    Raises:
        OSError: of all kinds; TimeoutError if the time is up.
        EOFError: the connection ended, and TLS did not.
        TooMuch: there is more than `most` octets.
    """

    def __init__(
        self, sock: socket.socket, *, context: ssl.SSLContext, host: str, until: float, most: int
    ) -> None:
        super().__init__()
        self._sock, self._until = sock, until
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._room = most
        self._do(self._tls.do_handshake)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """A file to read from, as `HTTPResponse` wants it of a socket."""
        return io.BufferedReader(self, _CHUNK)

    def readable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # nobody else writes
        """Send it."""
        return self._do(lambda: self._tls.write(data))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader's
        """Read what is there, at least one octet; nothing at the end."""
        data = self._do(lambda: self._tls.read(len(buffer)))
        self._room -= len(data)
        if self._room < 0:
            raise TooMuch
        buffer[: len(data)] = data
        return len(data)

    def _do(self, act: Callable[[], T]) -> T:
        """Do it, and send and receive for as long as it wants that."""
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if data := self._out.read():
            self._sock.settimeout(self._left())
            self._sock.sendall(data)

    def _receive(self) -> None:
        self._sock.settimeout(self._left())
        data = self._sock.recv(_CHUNK)
        if not data:
            raise EOFError  # and TLS has not said that it was to come: who knows what was cut off
        self._in.write(data)

    def _left(self) -> float:
        """Seconds until the end.

        Raises:
            TimeoutError: it is over.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
