"""What would a server make of these octets? A strict one, without a socket, that misbehaves on command.

It reads as RFC 5321, RFC 2920 and RFC 3030 have it, answers in order, and keeps what it was given.
The client is held to what it can know: a reply that still waits in `outbox` it has not heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum


class Malformed(AssertionError):
    """The client said what it must not say here."""


class Fault(Enum):
    """How a reply differs from the one that is due."""

    LATER = b"451 4.3.0 later"
    NEVER = b"550 5.7.1 no"
    TOO_MANY = b"452 4.5.3 too many recipients"
    CLOSING = b"421 4.3.2 closing"
    """And the connection is closed."""
    WRONG = b"354 go on"
    """Positive, but for another question; where 354 is due, 250."""
    JUNK = b"what?"
    SILENT = b""
    """Nothing, and the connection is closed."""
    LENIENT = b"250 why not"
    """Accepted, although there is nothing that it could be for: RCPT without MAIL, DATA without RCPT."""
    SURPLUS = b"250 surplus"
    """The reply that is due, and one more: from here on, replies are counted wrongly by anybody."""


_NO = (Fault.LATER, Fault.NEVER, Fault.TOO_MANY, Fault.CLOSING)
_UNCLEAR = (Fault.WRONG, Fault.JUNK, Fault.SILENT)


@dataclass(frozen=True, slots=True)
class Received:
    """A whole content, with its envelope, and whether the server keeps it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    accepted: bool


class Model:
    """The server's side of one connection, behind EHLO. `faults` are for its replies, by their number.

    Attributes:
        outbox: replies that the client has not got yet.
        received: whole contents, in order.
        touched: senders of messages of whose content anything has come.
        misled: whether it said one reply too many.
        closed: whether it went away; it hears nothing more.
    """

    def __init__(self, keywords: Collection[str], *, faults: Mapping[int, Fault]) -> None:
        self.outbox = bytearray()
        self.received: list[Received] = []
        self.touched: set[str] = set()
        self.misled = self.closed = False
        self._keywords, self._faults = keywords, faults
        self._replies = 0
        self._inbox = bytearray()
        self._read: Callable[[], bool] = self._command
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._size: int | None = None  # as MAIL or BDAT announced it
        self._eight_bit = False
        self._content = bytearray()
        self._barred = ""  # why nothing may come before the outbox is empty
        self._indeterminate = False

    def feed(self, octets: bytes) -> None:
        """Take what the client wrote.

        Raises:
            Malformed: a client that heard all replies but those in `outbox` must not write it.
        """
        if self.closed or not octets:
            return
        self._inbox += octets
        while not self.closed and self._inbox and self._read():
            pass

    def close(self) -> None:
        """Go away."""
        self.closed = True

    def _require(self, right: object, wrong: str) -> None:
        if not right and not self.misled:
            raise Malformed(f"{wrong}: {bytes(self._inbox[:60])!r}")

    def _command(self) -> bool:
        self._require(not (self._barred and self.outbox), self._barred)
        self._barred = ""
        line, end, rest = bytes(self._inbox).partition(b"\r\n")
        self._require(len(line) <= 1000 and b"\n" not in line, "no command line")
        if not end:
            return False
        self._inbox[:] = rest
        pipelining = "PIPELINING" in self._keywords
        self._require(pipelining or not self.outbox, "a second command is under way")
        verb = line[:4].upper()
        self._require(verb == b"RSET" or not self._indeterminate, "a failed BDAT wants RSET")
        known = {
            b"RSET": self._reset,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"BDAT": self._bdat,
        }
        self._require(verb in known, "no such command")
        known.get(verb, self._unknown)(line.decode())
        return True

    def _unknown(self, _line: str) -> None:
        self._reply(b"500 what", otherwise=b"500 what", due=False)

    def _reset(self, line: str) -> None:
        self._require(line == "RSET", "no RSET")
        self._forget()
        self._reply(b"250 reset")

    def _mail(self, line: str) -> None:
        match = re.fullmatch(r"MAIL FROM:<(\S*)>((?: [A-Z0-9=]+)*)", line)
        self._require(match, "no MAIL")
        self._require(self._sender is None, "a MAIL within a transaction")
        self._recipients.clear()  # of somebody who had no MAIL
        pairs = [word.partition("=") for word in (match[2] if match else "").split()]
        parameters = {name: value for name, _, value in pairs}
        offers = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8"}
        for name in parameters:
            self._require(offers.get(name) in self._keywords, f"{name} was not offered")
        if self._reply(b"250 ok") and match:
            self._sender = match[1]
            self._size = int(parameters["SIZE"]) if "SIZE" in parameters else None
            self._eight_bit = parameters.get("BODY") == "8BITMIME"

    def _rcpt(self, line: str) -> None:
        match = re.fullmatch(r"RCPT TO:<(\S+@\S+)>", line)
        self._require(match, "no RCPT")
        due = self._sender is not None
        self._require(due or self.outbox, "a RCPT behind a refused MAIL")
        if self._reply(b"250 ok", otherwise=b"503 5.5.1 no MAIL", due=due) and match:
            self._recipients.append(match[1])

    def _data(self, line: str) -> None:
        self._require(line == "DATA", "no DATA")
        due = bool(self._recipients)
        self._require(due or self.outbox, "a DATA for nobody")
        if self._reply(b"354 go on", otherwise=b"554 5.5.1 no valid recipients", due=due):
            self._read = self._lines
        self._barred = "something behind DATA"

    def _lines(self) -> bool:
        """The content behind DATA."""
        self._require(not (self._barred and self.outbox), self._barred)
        self._barred = ""
        self._content += self._inbox
        self._inbox.clear()
        self._touch(bytes(self._content[:4]) not in (b".", b".\r", b".\r\n"))
        whole = b"\r\n" + self._content
        at = whole.find(b"\r\n.\r\n")
        if at < 0:
            return True
        self._inbox[:] = whole[at + 5 :]
        stuffed = whole[2 : at + 2]
        ends = stuffed.count(b"\r\n")
        self._require(stuffed.count(b"\r") == stuffed.count(b"\n") == ends, "CR or LF on its own")
        lines = stuffed.splitlines(keepends=True)
        self._keep(b"".join([line.removeprefix(b".") for line in lines]))
        return True

    def _touch(self, some: bool) -> None:
        if some:
            self._require(self._recipients, "a content for nobody")
            self.touched.add(self._sender or "")

    def _bdat(self, line: str) -> None:
        match = re.fullmatch(r"BDAT (\d+) LAST", line)
        self._require(match, "no BDAT")
        self._require("CHUNKING" in self._keywords, "CHUNKING was not offered")
        self._require(not self.outbox, "a BDAT before all recipients are known")
        if match:
            self._touch(True)
            self._require(self._size in (None, int(match[1])), "not the size that MAIL announced")
            self._size = int(match[1])
            self._read = self._chunk

    def _chunk(self) -> bool:
        """The content behind BDAT."""
        missing = (self._size or 0) - len(self._content)
        self._content += self._inbox[:missing]
        del self._inbox[:missing]
        if len(self._content) == self._size:
            self._require(self._content.endswith(b"\r\n"), "a content that ends within a line")
            self._keep(bytes(self._content))
        return True

    def _keep(self, content: bytes) -> None:
        """A content has come to its end."""
        bdat = self._read == self._chunk
        for_nobody = not self._recipients
        self._require(bool(content) is not for_nobody, "an empty message, or one for nobody")
        self._require(for_nobody or self._size in (None, len(content)), "not the size that was announced")
        self._require(self._eight_bit or content.isascii(), "octets above 127")
        fault = self._faults.get(self._replies)
        sender, recipients = self._sender or "", tuple(self._recipients)
        self._forget()
        positive = self._reply(b"250 queued", otherwise=b"554 5.5.1 no valid recipients", due=not for_nobody)
        if not for_nobody:
            # Where its reply is not clear, the server keeps it: that is the worse case.
            kept = positive or fault in _UNCLEAR
            self.received.append(Received(sender, recipients, content, kept))
        self._indeterminate = bdat and not positive

    def _forget(self) -> None:
        self._sender, self._size, self._read = None, None, self._command
        self._eight_bit = self._indeterminate = False
        self._recipients.clear()
        self._content.clear()

    def _reply(self, yes: bytes, *, otherwise: bytes = b"", due: bool = True) -> bool:
        """Answer; returns whether it was the yes that belongs to the question."""
        fault = self._faults.get(self._replies)
        self._replies += 1
        words = yes if due else otherwise
        if fault is Fault.LENIENT:
            words, due = (yes, True)
        elif fault is Fault.WRONG:
            words, due = (b"250 ok" if yes.startswith(b"354") else fault.value, False)
        elif fault in _NO or fault in _UNCLEAR:
            words, due = (fault.value, False)
        self.outbox += words + b"\r\n" if words else b""
        if fault is Fault.SURPLUS:
            self.outbox += fault.value + b"\r\n"
            self.misled = True
        self.closed = fault in (Fault.CLOSING, Fault.SILENT, Fault.JUNK)
        return due
