"""What would leave? A server that hears octets, and the three clients put to it, without a socket.

The server takes every command and every address: what is wrong is seen in what it heard.
"""

from __future__ import annotations

import asyncio
import io
import re
import signal
import smtplib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import Message
from typing import Any, Self, TypeAlias, cast

import aiosmtplib

from portmail.errors import PortmailError
from portmail.exchange import Exchange
from portmail.extensions import Extensions
from portmail.failure import RouteFailed
from portmail.reply import Reply, ReplyReader
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB

EXTENSIONS = ("SIZE", "8BITMIME", "SMTPUTF8")
_COMMANDS = frozenset((b"EHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"QUIT", b"NOOP"))
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_BDAT = re.compile(rb"BDAT ([0-9]+)( LAST)?", re.IGNORECASE)

OWN: dict[str, tuple[type[Exception], ...]] = {
    PORTMAIL: (PortmailError, RouteFailed),
    # What the package `email` raises for a message is known to who hands over one of its messages.
    AIOSMTPLIB: (aiosmtplib.SMTPException, ValueError, TimeoutError, MessageError),
    SMTPLIB: (smtplib.SMTPException, OSError, ValueError, MessageError),
}
"""What each client may raise. `RouteFailed` is what becomes a `DeliveryError` on the floor above."""


def unstuffed(octets: bytes) -> tuple[bytes, int] | None:
    """The content after DATA and where it ends; None while its end is missing. Only CRLF.CRLF is an end."""
    if octets.startswith(b".\r\n"):
        return b"", 3
    end = octets.find(b"\r\n.\r\n")
    if end < 0:
        return None
    lines = octets[:end].split(b"\r\n")
    kept = [line[1:] if line[:1] == b"." else line for line in lines]
    return b"\r\n".join(kept) + b"\r\n", end + 5


def is_bare(octets: bytes) -> bool:
    """Whether they hold a CR or LF that is not half of a CRLF, or a NUL."""
    return _BARE.search(octets) is not None


@dataclass(slots=True)
class Ear:
    """A server. `lines` are the commands that it heard, `stored` the messages that it took."""

    offered: tuple[str, ...] = EXTENSIONS
    lines: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    bare: bool = False
    """A bare CR, LF or NUL was heard."""
    _heard: bytes = b""
    _in_data: bool = False
    _chunk: int | None = None

    @property
    def ehlo(self) -> str:
        """The text of the reply to EHLO."""
        return "\n".join(("ear.example", *self.offered))

    def hear(self, octets: bytes) -> bytes:
        """Take octets; return the replies."""
        self._heard += octets
        replies = b""
        while (reply := self._step()) is not None:
            replies += reply
        return replies

    def paths(self, verb: str) -> list[bytes]:
        """What follows MAIL FROM: or RCPT TO: in the commands, with the parameters."""
        start = {"MAIL": b"MAIL FROM:", "RCPT": b"RCPT TO:"}[verb]
        return [line[len(start) :] for line in self.lines if line.upper().startswith(start)]

    @property
    def odd(self) -> list[bytes]:
        """Commands that no client meant."""
        return [line for line in self.lines if line[:4].upper() not in _COMMANDS]

    def _step(self) -> bytes | None:
        if self._in_data:
            return self._data()
        if self._chunk is not None:
            return self._bdat(self._chunk)
        line, found, rest = self._heard.partition(b"\r\n")
        if not found:
            return None
        self._heard = rest
        self.bare = self.bare or is_bare(line)
        self.lines.append(line)
        return self._command(line)

    def _command(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            *first, last = self.ehlo.split("\n")
            return "".join([*(f"250-{it}\r\n" for it in first), f"250 {last}\r\n"]).encode()
        if verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        if verb == b"BDAT" and (size := _BDAT.fullmatch(line)):
            self._chunk = int(size[1])
            return b""
        return b"250 fine\r\n" if verb in _COMMANDS else b"500 what?\r\n"

    def _data(self) -> bytes | None:
        found = unstuffed(self._heard)
        if found is None:
            return None
        content, end = found
        self.bare = self.bare or is_bare(self._heard[:end])
        self._heard, self._in_data = self._heard[end:], False
        return self._store(content)

    def _bdat(self, size: int) -> bytes | None:
        if len(self._heard) < size:
            return None
        content, self._heard = self._heard[:size], self._heard[size:]
        self.bare, self._chunk = self.bare or is_bare(content), None
        return self._store(content)

    def _store(self, content: bytes) -> bytes:
        self.stored.append(content)
        return b"250 taken\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client is asked to send."""

    message: Message | bytes
    sender: str | None = None
    recipients: tuple[str, ...] | None = None

    @property
    def utf8(self) -> bool:
        """Whether whoever calls a client of old has to ask it for SMTPUTF8."""
        return not "".join((self.sender or "", *(self.recipients or ()))).isascii()


Sender: TypeAlias = Callable[[Asked, Ear], None]
"""Sends it to the server; raises what the client raises."""


def by_portmail(asked: Asked, ear: Ear) -> None:
    """Through the same machine that stands behind every submitter."""
    submission = Submission.of(asked.message, sender=asked.sender, recipients=asked.recipients)
    spoken(Transaction(submission, deadline=Deadline(Timeouts()), anonymous=True), ear)


def spoken(transaction: Transaction, ear: Ear) -> None:
    """Play a transaction.

    Raises:
        RouteFailed: it failed.
    """
    exchange, reader = Exchange(Extensions.parse(Reply(250, None, ear.ehlo))), ReplyReader()
    exchange.begin(transaction)
    while octets := exchange.pull():
        for reply in reader.feed(ear.hear(octets)):
            exchange.receive(reply)
    if transaction.failure is not None:
        raise RouteFailed(transaction.failure)


class _Socket:
    """As much of a socket as smtplib uses."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._said = b"220 ear.example\r\n"

    def sendall(self, octets: bytes) -> None:
        self._said += self._ear.hear(octets)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return cast("io.BufferedReader", self)

    def readline(self, _limit: int) -> bytes:
        line, self._said = self._said.split(b"\n", 1)
        return line + b"\n"

    def close(self) -> None:
        pass


class _Smtplib(smtplib.SMTP):
    def __init__(self, ear: Ear) -> None:
        super().__init__(local_hostname="client.example")
        self._ear = ear
        self.connect("ear.example", 587)

    def _get_socket(self, *_: object) -> Any:
        return _Socket(self._ear)


def smtplib_at(ear: Ear) -> smtplib.SMTP:
    """A client that is connected to this server."""
    client = _Smtplib(ear)
    client.ehlo()
    return client


def by_smtplib(asked: Asked, ear: Ear) -> None:
    """With `send_message`, or `sendmail` for octets."""
    client = smtplib_at(ear)
    if isinstance(asked.message, Message):
        client.send_message(asked.message, asked.sender, asked.recipients)
        return
    options = ["SMTPUTF8"] if asked.utf8 else []
    client.sendmail(asked.sender or "", asked.recipients or (), asked.message, options)


class _Transport(asyncio.Transport):
    def __init__(self, ear: Ear, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._ear = ear
        self._protocol = protocol
        self._closed = False

    def write(self, data: Any) -> None:
        self._protocol.data_received(self._ear.hear(bytes(data)))

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose connections all lead to one server, and not through a socket."""

    ear: Ear

    async def create_connection(  # type: ignore[override]  # as much of it as is used
        self, factory: Any, *_: Any, **__: Any
    ) -> Any:
        protocol = factory()
        transport = _Transport(self.ear, protocol)
        protocol.connection_made(transport)
        self.call_soon(protocol.data_received, b"220 ear.example\r\n")
        return transport, protocol


class Aiosmtplib:
    """aiosmtplib in a loop of its own; `with` ends the loop."""

    def __init__(self) -> None:
        self.loop = _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.close()

    async def at(self, ear: Ear) -> aiosmtplib.SMTP:
        """A client that is connected to this server."""
        self.loop.ear = ear
        client = aiosmtplib.SMTP(
            hostname="ear.example", port=587, local_hostname="client.example", start_tls=False, timeout=None
        )
        await client.connect()
        await client.ehlo()
        return client

    def send(self, asked: Asked, ear: Ear) -> None:
        """With `send_message`, or `sendmail` for octets."""
        self.loop.run_until_complete(self._send(asked, ear))

    async def _send(self, asked: Asked, ear: Ear) -> None:
        client = await self.at(ear)
        if isinstance(asked.message, Message):
            await client.send_message(asked.message, sender=asked.sender, recipients=asked.recipients)
            return
        options = ["SMTPUTF8"] if asked.utf8 else []
        recipients = list(asked.recipients or ())
        await client.sendmail(asked.sender or "", recipients, asked.message, mail_options=options)


class TooLong(Exception):
    """It took more of the processor's time than anything may."""


_PATIENCE = 1.0
"""Seconds of the processor for one message, of which most take less than a hundredth."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Broken off when so much time of the processor has gone by; the timer of the tests is another one."""

    def ring(*_: object) -> None:
        raise TooLong(f"not finished after {seconds} s")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went. `error` is None where the client says that it is sent."""

    ear: Ear
    error: Exception | None
    foreign: bool = False
    endless: bool = False


def sent(client: str, send: Sender, asked: Asked, *, offered: Iterable[str] = EXTENSIONS) -> Sent:
    """Have it sent to a fresh server."""
    ear = Ear(tuple(offered))
    try:
        with _within(_PATIENCE):
            send(asked, ear)
    except TooLong as exc:
        return Sent(ear, exc, endless=True)
    except Exception as exc:  # noqa: BLE001  # that is what is judged
        endless = isinstance(exc.__context__, TooLong)  # some catch everything
        return Sent(ear, exc, foreign=not (endless or isinstance(exc, OWN[client])), endless=endless)
    return Sent(ear, None)


@contextmanager
def sender_of(client: str) -> Iterator[Sender]:
    """The client, ready to send."""
    with ExitStack() as stack:
        if client == AIOSMTPLIB:
            yield stack.enter_context(Aiosmtplib()).send
        else:
            yield {PORTMAIL: by_portmail, SMTPLIB: by_smtplib}[client]
