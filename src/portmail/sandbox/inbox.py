"""Where does a line, a chunk, a content end? Octets as they come, cut strictly."""

from __future__ import annotations

from collections.abc import Callable

MAX_LINE = 12288
"""Octets kept of a line. RFC 4954 section 4 wants that many for AUTH; what exceeds it is lost."""

_CRLF = b"\r\n"
_FINAL_DOT = b"\r\n.\r\n"


class ClientGone(ConnectionError):  # what happened, not an error of ours
    """The connection ended, or was ended, before the dialogue did."""


class Inbox:
    """What has arrived and was not asked for yet.

    `more` waits for octets and returns them, or nothing once the client has gone; every method
    that reads then raises ClientGone.
    """

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._receive = more
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take octets that arrived without being waited for."""
        self._buffer += data

    def line(self) -> bytes:
        """Read a line without its CRLF. Nothing else ends a line (RFC 5321 section 2.3.8)."""
        searched = 0
        while (end := self._buffer.find(_CRLF, searched)) < 0:
            del self._buffer[MAX_LINE:-1]  # all but the last, which may be the CR
            searched = max(0, len(self._buffer) - 1)
            self.more()
        line = self.octets(end)
        self.skip(len(_CRLF))
        return line

    def content(self) -> bytes:
        """Read a content as it travels, and its final dot (RFC 5321 section 4.1.1.4).

        Returned is what stands before the final dot, with all dots that were stuffed.
        """
        # The CRLF of the DATA line counts: an empty content is the final dot alone.
        self._buffer[:0] = _CRLF
        searched = 0
        while (end := self._buffer.find(_FINAL_DOT, searched)) < 0:
            searched = max(0, len(self._buffer) - len(_FINAL_DOT) + 1)
            self.more()
        self.skip(len(_CRLF))
        content = self.octets(end)
        self.skip(len(".\r\n"))
        return content

    def octets(self, size: int) -> bytes:
        """Read so many octets, whatever they are."""
        while len(self._buffer) < size:
            self.more()
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        return octets

    def skip(self, size: int) -> None:
        """Read so many octets and forget them as they come."""
        while len(self._buffer) < size:
            size -= len(self._buffer)
            self._buffer.clear()
            self.more()
        del self._buffer[:size]

    def await_any(self) -> None:
        """Wait until there is something to read."""
        if not self._buffer:
            self.more()

    def more(self) -> None:
        """Wait until something more has arrived.

        Raises:
            ClientGone: nothing will.
        """
        data = self._receive()
        if not data:
            raise ClientGone("the client has gone")
        self._buffer += data


def unstuffed(content: bytes) -> bytes:
    """The content without the dots that were added in transit (RFC 5321 section 4.5.2)."""
    return (_CRLF + content).replace(b"\r\n.", _CRLF)[len(_CRLF) :]
