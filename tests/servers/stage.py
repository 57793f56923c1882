"""What does each line of a scripted dialogue do? The directives, and the stage they are played on.

    S: 220 mail.example.com ESMTP
    C: EHLO *
    S: 250-mail.example.com
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go ahead
    TLS

| line                  | what the player does                                                     |
|-----------------------|--------------------------------------------------------------------------|
| `S: text`             | sends the line; lines that follow each other travel together             |
| `RAW "text"`          | sends exactly these octets, with the escapes of a Python string          |
| `C: text`             | reads a line; `*` stands for anything, the verb's case makes no difference |
| `BODY`                | reads up to the final dot, and keeps what stands before it, as it travels |
| `BODY-WITHOUT-DOT n`  | reads n octets of a body, keeps them, and goes on                        |
| `CHUNK`               | reads as many octets as the last BDAT announced, and keeps them          |
| `TLS`                 | does the server's handshake                                              |
| `PLAINTEXT`           | reads the client's first TLS record, and goes on in clear                |
| `PAUSE seconds`       | waits                                                                    |
| `SILENCE`             | says nothing any more, whatever comes, until the client goes             |
| `CLOSE`               | ends the connection in order (FIN)                                       |
| `RESET`               | ends the connection with RST                                             |
| `# text`              | is a comment                                                             |

A client may leave at any time, also with QUIT where the script does not know it (it gets its
221). What it says beyond the end of the script is a mismatch.
"""

from __future__ import annotations

import ast
import re
import ssl
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from portmail.sandbox.inbox import ClientGone, Inbox
from portmail.sandbox.wire import NotTls, Wire

_HANDSHAKE, _TLS_HEADER = 0x16, 5
"""A TLS record's first octet if it is a handshake, and the size of its header (RFC 8446 section 5.1)."""


Script = Sequence[tuple[str, str]]
"""Directives and their arguments."""


@dataclass(slots=True)
class Visit:
    """What really happened on one connection."""

    transcript: list[str] = field(default_factory=list)
    plaintext: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    arrivals: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    mismatch: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Stage:
    """Where a script is played to one client."""

    def __init__(
        self, wire: Wire, *, visit: Visit, tls: ssl.SSLContext | None, stopped: threading.Event
    ) -> None:
        self.wire, self.visit, self.tls, self.stopped = wire, visit, tls, stopped
        self.inbox = Inbox(self._more)
        self.outbox = bytearray()

    def play(self, script: Script) -> None:
        """Follow the script to its end, or as far as the client goes with it."""
        try:
            for directive, argument in script:
                DIRECTIVES[directive](self, argument)
            _nothing_more(self)
        finally:
            self.visit.ended.set()

    def flush(self) -> None:
        """Send what has been said."""
        data = bytes(self.outbox)
        self.outbox.clear()
        self.wire.send(data)

    def noted(self, data: bytes) -> bytes:
        """Keep octets that the client sent."""
        self.visit.received += data
        self.visit.arrivals.append(data)
        if self.wire.tls is None:
            self.visit.plaintext += data
        return data

    def fail(self, expected: str, *, got: str) -> NoReturn:
        """Note a mismatch, and end the connection."""
        so_far = "\n".join(self.visit.transcript)
        parts = {"after": so_far or "nothing", "expected": expected, "got": got}
        self.visit.mismatch = "\n".join(
            f"{title}\n{textwrap.indent(text, '    ')}" for title, text in parts.items()
        )
        raise ClientGone("the script was not followed")

    def _more(self) -> bytes:
        self.flush()
        return self.noted(self.wire.receive())


def _say(stage: Stage, text: str) -> None:
    stage.visit.transcript.append(f"S: {text}")
    stage.outbox += text.encode() + b"\r\n"


def _raw(stage: Stage, literal: str) -> None:
    text = ast.literal_eval(literal)
    stage.visit.transcript += [f"S: {line}" for line in text.splitlines()]
    stage.outbox += text.encode("latin-1")


def _hear(stage: Stage, expected: str) -> None:
    line = _line(stage)
    if not _pattern(expected).fullmatch(line):
        _leave_or_fail(stage, f"C: {expected}", got=line)
    stage.visit.transcript.append(f"C: {line}")


def _line(stage: Stage) -> str:
    return stage.inbox.line().decode("utf-8", "surrogateescape")


def _nothing_more(stage: Stage) -> None:
    stage.inbox.await_any()
    _leave_or_fail(stage, "nothing more", got=_line(stage))


def _leave_or_fail(stage: Stage, expected: str, *, got: str) -> NoReturn:
    if got.upper() != "QUIT":
        stage.fail(expected, got=f"C: {got}")
    stage.visit.transcript.append(f"C: {got}")
    _say(stage, "221 2.0.0 bye")
    stage.flush()
    raise ClientGone("the client quits")


def _body(stage: Stage, _argument: str) -> None:
    stage.visit.bodies.append(stage.inbox.content())


def _octets(stage: Stage, size: str) -> None:
    stage.visit.bodies.append(stage.inbox.octets(int(size)))


def _chunk(stage: Stage, _argument: str) -> None:
    bdats = [line for line in stage.visit.transcript if line.upper().startswith("C: BDAT ")]
    _octets(stage, bdats[-1].split()[2])


def _tls(stage: Stage, _argument: str) -> None:
    assert stage.tls is not None
    stage.flush()
    if len(stage.inbox):
        stage.fail("a TLS handshake", got=repr(stage.inbox.octets(len(stage.inbox))))
    try:
        stage.wire.secure(stage.tls)
    except NotTls as mistake:
        stage.fail("a TLS handshake", got=repr(stage.noted(mistake.octets)))


def _plaintext(stage: Stage, _argument: str) -> None:
    header = stage.inbox.octets(_TLS_HEADER)
    if header[0] != _HANDSHAKE:
        stage.fail("a TLS handshake", got=repr(header))
    stage.inbox.skip(int.from_bytes(header[3:], "big"))


def _pause(stage: Stage, seconds: str) -> None:
    stage.flush()
    stage.stopped.wait(float(seconds))


def _silence(stage: Stage, _argument: str) -> None:
    while True:
        stage.inbox.more()


def _close(stage: Stage, _argument: str) -> None:
    stage.flush()
    stage.wire.finish()
    _silence(stage, "")


def _reset(stage: Stage, _argument: str) -> None:
    stage.flush()
    stage.wire.abort()
    raise ClientGone("reset, as the script says")


DIRECTIVES: Mapping[str, Callable[[Stage, str], None]] = {
    "S:": _say,
    "RAW": _raw,
    "C:": _hear,
    "BODY": _body,
    "BODY-WITHOUT-DOT": _octets,
    "CHUNK": _chunk,
    "TLS": _tls,
    "PLAINTEXT": _plaintext,
    "PAUSE": _pause,
    "SILENCE": _silence,
    "CLOSE": _close,
    "RESET": _reset,
}


def parsed(text: str) -> Script:
    """The script that a text stands for. Raises ValueError where a line is no directive."""
    lines = [line.lstrip() for line in text.splitlines()]
    return tuple(_step(line) for line in lines if line and not line.startswith("#"))


def _step(line: str) -> tuple[str, str]:
    directive, _, argument = line.partition(" ")
    if directive not in DIRECTIVES:
        raise ValueError(f"{line!r} is no line of a dialogue; there are {', '.join(DIRECTIVES)}")
    return directive, argument


def _pattern(expected: str) -> re.Pattern[str]:
    """`*` is anything; the case of the verb makes no difference, that of the rest does."""
    verb, *rest = (
        ".*".join(map(re.escape, part.split("*"))) for part in re.split("(?= )", expected, maxsplit=1)
    )
    return re.compile(f"(?i:{verb}){''.join(rest)}", re.DOTALL)
