"""What did a server say? `Reply`, and the reader that turns octets into replies (RFC 5321 section 4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_LINE = 8192
"""Octets in one reply line. RFC 5321 section 4.5.3.1.5 says 512; long AUTH and error lines go beyond it."""

MAX_REPLY = 4 * MAX_LINE
"""Octets in one reply. A server that streams `250-` for ever must not fill our memory."""

_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?:[ \t]+|$)")

# With the separators that some viewers of logs take for line ends, and what turns the order of letters round.
_CONTROL = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"

_BLANK = " \t\r"
"""What may stand around a text. Other blanks are no blanks to those who write EHLO keywords."""

_ALIKE = (b"250", b"354")
"""How begins what servers say with every message in the same words; an answer to AUTH never does."""

_SHORT = 512
"""Octets up to which such replies are kept (RFC 5321 section 4.5.3.1.5)."""


class MalformedReply(ValueError):  # an event on the wire, turned into a Failure at once
    """The server sent something that is not an SMTP reply; the text is how it begins."""

    def __init__(self, line: bytes) -> None:
        super().__init__(printable(line[:480].decode("utf-8", "replace"))[:120])


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply: a reply code, the enhanced status code if there is one, and its text.

    `text` is for people: the lines joined by newlines, without the enhanced codes, and without
    control characters, since it ends on terminals and in logs.
    """

    code: int
    enhanced: str | None = None
    text: str = ""

    @property
    def positive(self) -> bool:
        """2yz or 3yz: go on."""
        return 200 <= self.code < 400

    @property
    def transient(self) -> bool:
        """4yz: the same may be accepted later (RFC 5321 section 4.2.1)."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: the same will be refused again (RFC 5321 section 4.2.1)."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        words = (str(self.code), self.enhanced, self.text.replace("\n", " "))
        return " ".join(word for word in words if word)

    @classmethod
    def from_lines(cls, code: int, lines: list[str]) -> Reply:
        """Make a reply of its text lines, each of which may begin with an enhanced status code."""
        enhanced, texts = None, []
        for line in lines:
            match = _ENHANCED.match(line)
            texts.append(printable(line[match.end() if match else 0 :].strip(_BLANK)))
            # RFC 2034 section 4: the class digit repeats the reply code's; where it does not, we
            # believe the reply code and forget the other.
            if match and enhanced is None and match[1] == str(code)[0]:
                enhanced = match[0].strip()
        return cls(code, enhanced, "\n".join(texts))


class ReplyReader:
    """Octets in, replies out; no I/O.

    One reader serves one connection. After `MalformedReply` it is of no further use, nor is
    the connection: nobody can say which command the next octets answer.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._begun = bytearray()  # lines of a reply that goes on: as octets, they take up the least
        self._size = 0
        self._broken: bytes | None = None  # an exception would keep its frames, and all that came

    @property
    def amid(self) -> bool:
        """Whether octets of an unfinished reply are waiting for the rest."""
        return bool(self._tail or self._begun) or self.broken

    @property
    def broken(self) -> bool:
        """Whether octets came that are no reply."""
        return self._broken is not None

    def feed(self, data: bytes) -> list[Reply]:
        """Take what arrived; return the replies that are complete now, in order.

        A reply in front of what is none counts: the complaint then comes with the next call.

        Raises:
            MalformedReply: not a reply line, a code that changes within one reply, or too long.
        """
        if data[:3] in _ALIKE and len(data) <= _SHORT and not self.amid and (known := _whole(data)):
            return list(known)
        return self._read(data)

    def _read(self, data: bytes) -> list[Reply]:
        replies: list[Reply] = []
        try:
            if self._broken is not None:
                raise MalformedReply(self._broken)
            *lines, self._tail = (self._tail + data).split(b"\n")
            for line in lines:
                if reply := self._line(line.removesuffix(b"\r")):
                    replies.append(reply)  # noqa: PERF401  # what came before a complaint is kept
            if len(self._tail.removesuffix(b"\r")) > MAX_LINE:
                raise MalformedReply(self._tail)
        except MalformedReply as exc:
            self._broken, self._tail = str(exc).encode(), b""
            self._begun.clear()
            if not replies:
                raise
        return replies

    def _line(self, line: bytes) -> Reply | None:
        digits, mark = line[:3], line[3:4]
        self._size += len(line)
        if not (len(digits) == 3 and digits.isdigit() and digits[0] in b"2345" and mark in (b" ", b"-", b"")):
            raise MalformedReply(line)
        if len(line) > MAX_LINE or self._size > MAX_REPLY:
            raise MalformedReply(line)
        if self._begun and not self._begun.startswith(digits):  # RFC 5321 section 4.2.1: the same on all
            raise MalformedReply(line)
        if mark == b"-":
            self._begun += line + b"\n"
            return None
        lines: list[bytes | bytearray] = [*self._begun.split(b"\n")[:-1], line]
        self._begun.clear()
        self._size = 0
        return Reply.from_lines(int(digits), [it[4:].decode("utf-8", "replace") for it in lines])


@lru_cache(maxsize=256)  # a cache: servers use few words
def _whole(data: bytes) -> tuple[Reply, ...]:
    """The replies that the octets are, none where something is missing, too much or wrong."""
    reader = ReplyReader()
    try:
        replies = reader._read(data)  # noqa: SLF001  # our own, beside the cache
    except MalformedReply:
        return ()
    return () if reader.amid else tuple(replies)


def printable(text: str) -> str:
    """The text without control characters (newlines stay): safe on a terminal and in a log."""
    return text if text.isprintable() else re.sub(_CONTROL, "?", text)
