"""Which command does what? The table of verbs, and the loop that reads and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portmail.sandbox import content, dialogue, envelope, session
from portmail.sandbox.connection import Connection
from portmail.sandbox.dialogue import IMPLICIT_TLS, Dialogue, House, Need, Refusal, insist
from portmail.sandbox.inbox import MAX_LINE
from portmail.sandbox.wire import Wire

_MAX_COMMAND = 512 + 26 + 17 + 500 + 10
"""Octets of a command line: RFC 5321 section 4.5.3.1.4, and what SIZE (RFC 1870), 8BITMIME
(RFC 6152), AUTH= (RFC 4954) and SMTPUTF8 (RFC 6531) add to it."""

_MAX_LINES = {"AUTH": MAX_LINE - 1}
"""Where the limit is another one: RFC 4954 section 4."""


@dataclass(frozen=True, slots=True)
class Command:
    """What answers a verb, and what must have been said before."""

    run: Callable[[Dialogue, str], str | None]
    needs: tuple[Need, ...] = ()


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "EHLO": Command(session.ehlo),
        "HELO": Command(session.helo),
        "STARTTLS": Command(session.starttls),
        "AUTH": Command(session.auth, (dialogue.GREETED, dialogue.IDLE)),
        "MAIL": Command(
            envelope.mail,
            (dialogue.GREETED, dialogue.ENCRYPTED, dialogue.AUTHENTICATED, dialogue.IDLE),
        ),
        "RCPT": Command(envelope.rcpt, (dialogue.UNCHUNKED,)),
        "DATA": Command(content.data, (dialogue.RECIPIENT_GIVEN, dialogue.UNCHUNKED)),
        "BDAT": Command(content.bdat),
        "RSET": Command(session.rset),
        "NOOP": Command(session.noop),
        "VRFY": Command(session.vrfy),
        "QUIT": Command(session.quit_),
    }
)


def serve(wire: Wire, *, house: House, service: int) -> None:
    """Hold the dialogue on one connection, to its end.

    Raises:
        OSError: the client has gone, or has been dropped.
    """
    connection = Connection(wire, record=house.ledger.begin(service))
    if service in IMPLICIT_TLS and not house.faults.stripped:
        connection.secure(house.context)
    connection.reply("220 localhost ESMTP portmail sandbox")
    talk = Dialogue(connection, house, service)
    while not talk.over:
        if reply := _answer(talk, connection.inbox.line()):
            connection.reply(reply)
    connection.flush()


def _answer(talk: Dialogue, line: bytes) -> str | None:
    talk.record.commands.append(line.decode("utf-8", "surrogateescape"))
    try:
        verb, argument = _split(line)
        if (command := COMMANDS.get(verb)) is None:
            return session.NOT_UNDERSTOOD
        insist(talk, command.needs)
        return command.run(talk, argument)
    except Refusal as refusal:
        return str(refusal)


def _split(line: bytes) -> tuple[str, str]:
    verb, _, argument = line.partition(b" ")
    name = verb.upper().decode("ascii", "replace")
    if len(line) > _MAX_LINES.get(name, _MAX_COMMAND):
        raise Refusal("500 5.5.2 line too long")
    if any(octet in line for octet in b"\r\n\0"):
        raise Refusal("500 5.5.2 only CRLF ends a line")
    try:
        return name, argument.decode().strip(" \t")
    except UnicodeDecodeError:
        raise Refusal("500 5.5.2 that is not UTF-8") from None
