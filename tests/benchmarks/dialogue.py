"""What does the sink say? SMTP as far as submission needs it, with nothing behind it, and its tally."""

from __future__ import annotations

import os
import re
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import monotonic

from tests.benchmarks.wire import FastWire, Gone

_HEAD = 4096
"""Octets of a content that are looked at for its Message-ID."""
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_FINAL_DOT = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share.

    Input that comes sooner than `rtt` seconds after a reply was written is no answer to it. The file
    descriptor `ledger` takes the Message-ID of every message that is accepted; after `last` of
    them the process dies, with its last reply unsaid.
    """

    context: ssl.SSLContext
    extensions: tuple[str, ...]
    rtt: float = 0.0
    ledger: int | None = None
    last: int | None = None
    numbers: Iterator[int] = field(default_factory=partial(count, 1))


@dataclass(slots=True)
class Tally:
    """What one connection did. A turn: the server had replied, and more came that could depend on it."""

    messages: int = 0
    octets: int = 0
    turns: int = 0
    turns_at_first: int = 0
    """When the first message was accepted."""
    turns_at_last: int = 0
    """When the last one so far was accepted."""


class Dialogue:
    """One connection's dialogue. Replies are held back as long as there is something to read."""

    def __init__(self, wire: FastWire, *, house: House, tally: Tally) -> None:
        self._wire, self._house, self._tally = wire, house, tally
        self._held, self._at = b"", 0
        self._replies: list[bytes] = []
        self._replied: float | None = None
        self._mail = False
        self._recipients = 0
        self._chunks_head = b""

    def hold(self) -> None:
        """Answer until the client goes. Raises OSError when it does."""
        self._say(b"220 sink ESMTP")
        while True:
            line = self._line()
            _VERBS.get(line[:4].upper(), Dialogue._unknown)(self, line)

    def _say(self, reply: bytes) -> None:
        self._replies.append(reply + b"\r\n")

    def _flush(self) -> None:
        if self._replies:
            data = b"".join(self._replies)
            self._replies.clear()
            self._replied = self._replied or monotonic()
            self._wire.send(data)

    def _more(self) -> None:
        """Wait for octets; what stands before the present place is forgotten."""
        self._flush()
        data = self._wire.receive()
        if self._replied is not None and monotonic() - self._replied >= self._house.rtt:
            self._tally.turns += 1
            self._replied = None
        self._tally.octets += len(data)
        self._held, self._at = self._held[self._at :] + data, 0

    def _line(self) -> bytes:
        while (end := self._held.find(b"\r\n", self._at)) < 0:
            self._more()
        line = self._held[self._at : end]
        self._at = end + 2
        return line

    def _ehlo(self, _line: bytes) -> None:
        extra = ("AUTH PLAIN",) if self._wire.encrypted else ("STARTTLS",)
        lines = ["sink", *self._house.extensions, *extra]
        self._replies += [f"250-{line}\r\n".encode() for line in lines[:-1]]
        self._say(f"250 {lines[-1]}".encode())

    def _starttls(self, _line: bytes) -> None:
        self._say(b"220 2.0.0 go ahead")
        self._flush()
        self._wire.secure(self._house.context)
        self._held, self._at = b"", 0

    def _auth(self, line: bytes) -> None:
        if not line.upper().startswith(b"AUTH PLAIN"):
            self._say(b"504 5.5.4 no such mechanism")
            return
        if len(line.split()) == 2:
            self._say(b"334 ")
            self._line()
        self._say(b"235 2.7.0 welcome")

    def _mail_from(self, _line: bytes) -> None:
        if self._mail:
            self._say(b"503 5.5.1 nested MAIL")
            return
        self._mail = True
        self._say(b"250 2.1.0 ok")

    def _rcpt_to(self, line: bytes) -> None:
        if not self._mail:
            self._say(b"503 5.5.1 MAIL first")
        elif b"<refused" in line:
            self._say(b"550 5.1.1 nobody of that name")
        else:
            self._recipients += 1
            self._say(b"250 2.1.5 ok")

    def _data(self, _line: bytes) -> None:
        if not self._recipients:
            self._say(b"554 5.5.1 no valid recipients")
            return
        self._say(b"354 go ahead")
        self._at -= 2  # its own CRLF: an empty content is the final dot alone
        self._accept(self._content())

    def _bdat(self, line: bytes) -> None:
        words = line.split()
        head = self._chunk(int(words[1]))
        self._chunks_head = self._chunks_head or head
        if not self._recipients:
            self._say(b"554 5.5.1 no valid recipients")
        elif len(words) == 2:
            self._say(b"250 2.0.0 chunk taken")
        else:
            self._accept(self._chunks_head)

    def _content(self) -> bytes:
        """Skip a content and its final dot, and return its beginning."""
        head = b""
        while (end := self._held.find(_FINAL_DOT, self._at)) < 0:
            upto = max(self._at, len(self._held) - len(_FINAL_DOT) + 1)
            head += self._held[self._at : upto][: _HEAD - len(head)]
            self._at = upto
            self._more()
        head += self._held[self._at : min(end, self._at + _HEAD)]
        self._at = end + len(_FINAL_DOT)
        return head

    def _chunk(self, size: int) -> bytes:
        """Skip so many octets, and return their beginning."""
        head = b""
        while (there := len(self._held) - self._at) < size:
            head += self._held[self._at :][: _HEAD - len(head)]
            self._at, size = len(self._held), size - there
            self._more()
        head += self._held[self._at : self._at + min(size, _HEAD)]
        self._at += size
        return head

    def _accept(self, head: bytes) -> None:
        self._forget()
        if self._house.ledger is not None:
            found = _MESSAGE_ID.search(head)
            os.write(self._house.ledger, (found[1] if found else b"?") + b"\n")
            if next(self._house.numbers) == self._house.last:
                os.kill(os.getpid(), signal.SIGKILL)
        tally = self._tally
        tally.messages += 1
        tally.turns_at_first = tally.turns_at_first or tally.turns
        tally.turns_at_last = tally.turns
        self._say(b"250 2.0.0 accepted")

    def _forget(self) -> None:
        self._mail, self._recipients, self._chunks_head = False, 0, b""

    def _rset(self, _line: bytes) -> None:
        self._forget()
        self._say(b"250 2.0.0 forgotten")

    def _noop(self, _line: bytes) -> None:
        self._say(b"250 2.0.0 still here")

    def _quit(self, _line: bytes) -> None:
        self._say(b"221 2.0.0 bye")
        self._flush()
        raise Gone("the client quits")

    def _unknown(self, _line: bytes) -> None:
        self._say(b"500 5.5.1 what?")


_VERBS: dict[bytes, Callable[[Dialogue, bytes], None]] = {
    b"EHLO": Dialogue._ehlo,
    b"HELO": Dialogue._ehlo,
    b"STAR": Dialogue._starttls,
    b"AUTH": Dialogue._auth,
    b"MAIL": Dialogue._mail_from,
    b"RCPT": Dialogue._rcpt_to,
    b"DATA": Dialogue._data,
    b"BDAT": Dialogue._bdat,
    b"RSET": Dialogue._rset,
    b"NOOP": Dialogue._noop,
    b"QUIT": Dialogue._quit,
}
