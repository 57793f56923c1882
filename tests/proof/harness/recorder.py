"""What did a server hear, and what did it accept? A server without a socket that writes everything down.

It shares no code with portmail: its word is the truth that the clients' words are held against. Where it
misbehaves, its `Behaviour` says so, step by step:

| step                  | the reply to                                                        |
|-----------------------|---------------------------------------------------------------------|
| `greeting`            | the connection                                                      |
| `EHLO`, `HELO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `RSET`, `NOOP`, `QUIT` | the command |
| `RCPT 2`              | the second RCPT of a message; `RCPT` is for those without their own   |
| `challenge 1`         | `AUTH`, where a challenge is due; `challenge 2` to its answer, and so on |
| `response`            | the last octets of a login that had a challenge                      |
| `end`                 | the final dot; `BDAT` to the last chunk                             |
| `tls STARTTLS` ...    | the same within TLS; a step without `tls` is for both, if there is no other |
| `other`               | a line that is no command                                           |
| `connect`             | nothing: octets that come below TLS, before all else                |
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

USER, PASSWORD, TOKEN = "me@example.org", "correct horse & battery", "ya29.a-token-of-some-length"

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")

LOCK_STEP = ("SIZE 50000000", "8BITMIME", "SMTPUTF8")
PIPELINING = (*LOCK_STEP, "PIPELINING")
CHUNKING = (*PIPELINING, "CHUNKING")


class After(Enum):
    """What the server does when it has given a reply."""

    GO_ON = "goes on"
    CLOSE = "closes the connection"
    SILENCE = "is silent for ever"
    DEAF = "goes on, and hears nothing of what had come by then"
    RESET = "resets the connection"
    AGAIN = "says it again every second, for ever"
    UNWRAP = "ends TLS in order, and goes on in clear"


@dataclass(frozen=True, slots=True)
class Say:
    """A reply in octets, instead of the due one."""

    octets: bytes
    after: After = After.GO_ON
    later: Sequence[tuple[float, bytes]] = ()
    """Octets that come below TLS, each so many seconds after the one before; all else waits for them."""


Reply: TypeAlias = bytes | Say


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a server behaves. What is not said is as a good submission server has it."""

    implicit_tls: bool = False
    extensions: Sequence[str] = CHUNKING
    extensions_in_tls: Sequence[str] | None = None
    """None: the same as before TLS."""
    starttls: Sequence[str] = ("STARTTLS",)
    """Keyword lines with which it offers STARTTLS in clear; none of them within TLS."""
    auth_in_clear: Sequence[str] = ()
    auth_in_tls: Sequence[str] = MECHANISMS
    tls_behind_220: bool = True
    """Whether it begins TLS when it has answered STARTTLS with 220."""
    instead_of_tls: Say | None = None
    """What comes, below TLS, when the client has begun its handshake; going on means: in clear."""
    amid_tls: tuple[int, Say] | None = None
    """What comes, below TLS, when so many octets of TLS were said; going on means: with TLS."""
    right: bool = True
    """Whether the credentials are right."""
    replies: Mapping[str, Reply] = field(default_factory=dict)

    def but(self, **changes: object) -> Behaviour:
        """The same with some changes."""
        return replace(self, **changes)  # type: ignore[arg-type]  # by their names

    def saying(self, **replies: Reply) -> Behaviour:
        """The same with some replies of its own; `_` in a name stands for a space."""
        return replace(
            self, replies={**self.replies, **{name.replace("_", " "): said for name, said in replies.items()}}
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that the server accepted, as it understood it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class Record:
    """What happened at a server, over all its connections.

    Attributes:
        lines: commands, with whether they came within TLS.
        stored: messages accepted. `ends`: how many contents were heard to their end, accepted or not.
        logins: AUTH commands, by their mechanism. `said`: all replies.
        welcomes: logins that were accepted; `repeated`: those begun after one that was not.
    """

    lines: list[tuple[bool, bytes]] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    ends: int = 0
    logins: list[str] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)
    welcomes: int = 0
    repeated: int = 0
    connections: int = 0


class Recorder:
    """The server's side of one connection. What it says is in `outbox`, until the caller takes it.

    Attributes:
        tls: whether it is within TLS; the caller sets it when the handshake is over.
        upgrading: whether what is in the outbox is the last in clear, and TLS comes next.
        closing: whether the connection ends when the outbox has left. `deaf`: whether it hears no more.
        last: the last reply that was said, for what is to happen after it.
    """

    def __init__(self, behaviour: Behaviour, record: Record) -> None:
        self.behaviour, self.record = behaviour, record
        self.outbox = bytearray()
        self.tls = behaviour.implicit_tls
        self.upgrading = self.closing = self.deaf = False
        self.last: Say | None = None
        self._inbox = bytearray()
        self._read: Callable[[], bool] = self._command
        self._answers: list[Callable[[bytes], None]] = []
        self._challenges = 0
        self._left = 0
        self._last = False
        self._forget()
        record.connections += 1

    def greet(self) -> None:
        """Say the greeting."""
        self._say("greeting", b"220 mail.example.org ESMTP\r\n")

    def hear(self, octets: bytes) -> None:
        """Take what the client wrote."""
        if self.deaf:
            return
        self._inbox += octets
        while self._inbox and not (self.closing or self.deaf or self.upgrading) and self._read():
            pass

    def secured(self) -> None:
        """The handshake is over: what was said before is forgotten (RFC 3207 section 4.2)."""
        self.tls, self.upgrading = True, False
        self._inbox.clear()
        self._forget()

    def _forget(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._rcpts = 0
        self._content = bytearray()

    def _say(self, step: str, due: bytes) -> bool:
        """Say what is due at this step, or what the behaviour has instead. Returns whether that was a yes."""
        replies = self.behaviour.replies
        names = [f"tls {step}", step] if self.tls else [step]
        names += [name.partition(" ")[0] if name.startswith("RCPT ") else name for name in names]
        said = next((replies[name] for name in names if name in replies), due)
        if isinstance(said, bytes):
            said = Say(said)
        self.outbox += said.octets
        self.record.said.append(said.octets)
        self.closing = said.after is After.CLOSE
        self.deaf = said.after is After.SILENCE
        self.last = said
        if step in ("AUTH", "response") and said.octets.startswith(b"235"):
            self.record.welcomes += 1
        if said.after is After.DEAF:
            self._inbox.clear()
        return said.octets[:1] in (b"2", b"3")

    def _command(self) -> bool:
        line, end, rest = bytes(self._inbox).partition(b"\n")
        if not end:
            return False
        self._inbox[:] = rest
        line = line.removesuffix(b"\r")
        self.record.lines.append((self.tls, line))
        if self._answers:
            self._answers.pop(0)(line)
            return True
        verb = line.partition(b" ")[0].upper().decode("latin-1")
        if verb in _VERBS:
            _VERBS[verb](self, line)
        else:
            self._say("other", b"500 5.5.2 what?\r\n")
        return True

    def _ehlo(self, _line: bytes) -> None:
        behaviour = self.behaviour
        keywords = list(behaviour.extensions)
        if self.tls:
            keywords = list(behaviour.extensions_in_tls or keywords)
        else:
            keywords += behaviour.starttls
        auth = behaviour.auth_in_tls if self.tls else behaviour.auth_in_clear
        if auth:
            keywords.append(f"AUTH {' '.join(auth)}")
        lines = ["mail.example.org", *keywords]
        due = "".join(f"250{'-' if n < len(lines) else ' '}{line}\r\n" for n, line in enumerate(lines, 1))
        self._say("EHLO", due.encode())

    def _helo(self, _line: bytes) -> None:
        self._say("HELO", b"250 mail.example.org\r\n")

    def _starttls(self, _line: bytes) -> None:
        due = b"220 2.0.0 go ahead\r\n" if not self.tls else b"503 5.5.1 TLS already\r\n"
        before = len(self.outbox)
        self._say("STARTTLS", due)
        yes = bytes(self.outbox[before:]).startswith(b"220")
        self.upgrading = yes and not self.tls and self.behaviour.tls_behind_220

    def _auth(self, line: bytes) -> None:
        words = line.split(b" ")
        mechanism = words[1].upper().decode("latin-1") if len(words) > 1 else ""
        self.record.repeated += len(self.record.logins) > self.record.welcomes
        self.record.logins.append(mechanism)
        steps = _MECHANISMS.get(mechanism)
        if steps is None:
            self._say("AUTH", b"504 5.5.4 no such mechanism\r\n")
            return
        self._challenges, said = 0, [words[2]] if len(words) > 2 else []
        self._go_on(list(steps), said)

    def _go_on(self, challenges: list[bytes], said: list[bytes]) -> None:
        """One more challenge, or the end of the login."""
        if len(said) < len(challenges):
            self._challenges += 1
            challenge = base64.b64encode(challenges[len(said)])
            if self._say(f"challenge {self._challenges}", b"334 " + challenge + b"\r\n"):
                self._answers.append(lambda line: self._answered(challenges, [*said, line]))
            return
        yes = b"235 2.7.0 welcome\r\n" if self.behaviour.right else b"535 5.7.8 wrong\r\n"
        self._say("response" if self._challenges else "AUTH", yes)

    def _answered(self, challenges: list[bytes], said: list[bytes]) -> None:
        if said[-1] == b"*":
            self.outbox += b"501 5.7.0 cancelled\r\n"
        else:
            self._go_on(challenges, said)

    def _mail(self, line: bytes) -> None:
        if self._sender is not None:
            self.outbox += b"503 5.5.1 nested MAIL\r\n"
        elif self._say("MAIL", b"250 2.1.0 ok\r\n"):
            self._sender, self._recipients, self._rcpts = _path(line), [], 0

    def _rcpt(self, line: bytes) -> None:
        self._rcpts += 1
        due = b"250 2.1.5 ok\r\n" if self._sender is not None else b"503 5.5.1 MAIL first\r\n"
        if self._say(f"RCPT {self._rcpts}", due):
            self._recipients.append(_path(line))

    def _data(self, _line: bytes) -> None:
        if not self._recipients:
            self._say("DATA", b"554 5.5.1 no valid recipients\r\n")
        elif self._say("DATA", b"354 end with a dot\r\n"):
            self._read = self._until_dot

    def _until_dot(self) -> bool:
        content, found, rest = (b"\r\n" + bytes(self._inbox)).partition(b"\r\n.\r\n")
        if not found:
            return False
        self._inbox[:] = rest
        content = (content + b"\r\n").replace(b"\r\n.", b"\r\n").removeprefix(b"\r\n")
        self._read = self._command
        self._ended(content, step="end")
        return True

    def _bdat(self, line: bytes) -> None:
        chunk = re.fullmatch(rb"BDAT (\d+)( LAST)?", line, re.IGNORECASE)
        if chunk is None:
            self.outbox += b"501 5.5.4 bad chunk\r\n"
            return
        self._left, self._last = int(chunk[1]), chunk[2] is not None
        self._read = self._chunk

    def _chunk(self) -> bool:
        taken = bytes(self._inbox[: self._left])
        del self._inbox[: self._left]
        self._left -= len(taken)
        self._content += taken
        if self._left:
            return False
        self._read = self._command
        if not self._recipients:
            self._forget()
            self.outbox += b"503 5.5.1 no valid recipients\r\n"
        elif self._last:
            self._ended(bytes(self._content), step="BDAT")
        else:
            self.outbox += b"250 2.0.0 more\r\n"
        return True

    def _ended(self, content: bytes, *, step: str) -> None:
        self.record.ends += 1
        if self._say(step, b"250 2.0.0 queued\r\n") and self._sender is not None:
            self.record.stored.append(Stored(self._sender, tuple(self._recipients), content))
        self._forget()

    def _rset(self, _line: bytes) -> None:
        self._forget()
        self._say("RSET", b"250 2.0.0 ok\r\n")

    def _noop(self, _line: bytes) -> None:
        self._say("NOOP", b"250 2.0.0 ok\r\n")

    def _quit(self, _line: bytes) -> None:
        self._say("QUIT", b"221 2.0.0 bye\r\n")
        self.closing = not self.deaf


def cram_md5(challenge: bytes, *, user: str = USER, password: str = PASSWORD) -> bytes:
    """What CRAM-MD5 answers (RFC 2195), without base64."""
    digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
    return f"{user} {digest}".encode()


def _path(line: bytes) -> str:
    """What stands between the first `<` and the last `>` that a parameter could follow."""
    return line.partition(b"<")[2].partition(b">")[0].decode("utf-8", "surrogateescape")


CHALLENGE = b"<1896.697170952@mail.example.org>"

_MECHANISMS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {"PLAIN": (b"",), "LOGIN": (b"Username:", b"Password:"), "CRAM-MD5": (CHALLENGE,), "XOAUTH2": (b"",)}
)

_VERBS: Mapping[str, Callable[[Recorder, bytes], None]] = MappingProxyType(
    {
        "EHLO": Recorder._ehlo,
        "HELO": Recorder._helo,
        "STARTTLS": Recorder._starttls,
        "AUTH": Recorder._auth,
        "MAIL": Recorder._mail,
        "RCPT": Recorder._rcpt,
        "DATA": Recorder._data,
        "BDAT": Recorder._bdat,
        "RSET": Recorder._rset,
        "NOOP": Recorder._noop,
        "QUIT": Recorder._quit,
    }
)
