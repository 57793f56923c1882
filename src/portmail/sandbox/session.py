"""What does the server answer about the session: EHLO, STARTTLS, AUTH and the small commands?"""

from __future__ import annotations

import base64
import re

from portmail.sandbox.authentication import (
    MECHANISMS,
    SERVER_FIRST,
    Exchange,
    decoded,
    offered,
)
from portmail.sandbox.dialogue import AUTHENTICATING, Dialogue, Need, Refusal, insist

NOT_UNDERSTOOD = "500 5.5.1 command not recognized"

_CLIENT_NAME = re.compile(r"[A-Za-z0-9_.-]+|\[[A-Za-z0-9.:]+\]")
_UNTOLD = Need(lambda d: d.username is None, "503 5.5.1 you have authenticated already")
_TAKEN = Need(
    lambda d: d.service in AUTHENTICATING or d.house.faults.stripped,
    "502 5.5.1 no authentication here",
)
_CONFIDENTIAL = Need(
    lambda d: d.may_show_credentials,
    "538 5.7.11 Encryption required for requested authentication mechanism",
)


def ehlo(dialogue: Dialogue, argument: str) -> str:
    """EHLO, RFC 5321 section 4.1.1.1: greet, and offer the extensions of this moment."""
    lines = _extensions(dialogue)
    reply = _hello(dialogue, argument)
    dialogue.offered = frozenset(line.split()[0].upper() for line in lines)
    return "\n".join([reply, *lines])


def helo(dialogue: Dialogue, argument: str) -> str:
    """HELO, RFC 5321 section 4.1.1.1: greet, and offer nothing."""
    reply = _hello(dialogue, argument)
    dialogue.offered = frozenset()
    return reply


def starttls(dialogue: Dialogue, argument: str) -> str | None:
    """STARTTLS, RFC 3207 section 4; nothing that was sent behind it is ever looked at."""
    if dialogue.house.faults.stripped and dialogue.record.tls is None:
        raise Refusal(NOT_UNDERSTOOD)
    if "STARTTLS" not in dialogue.offered:
        raise Refusal("503 5.5.1 STARTTLS was not offered")
    if argument:
        raise Refusal("501 5.5.4 STARTTLS takes no parameters")
    if dialogue.connection.pipelined:
        dialogue.over = True
        return "554 5.5.0 nothing may follow STARTTLS before TLS has begun"
    dialogue.connection.reply("220 2.0.0 go ahead")
    dialogue.connection.secure(dialogue.house.context)
    dialogue.begin_again()
    return None


def auth(dialogue: Dialogue, argument: str) -> str:
    """AUTH, RFC 4954 section 4."""
    dialogue.record.authentications += 1
    insist(dialogue, (_TAKEN, _UNTOLD, _CONFIDENTIAL))
    name, _, initial = argument.partition(" ")
    name = name.upper()
    if name not in offered(dialogue.house.mechanisms, dialogue.house.accounts):
        raise Refusal("504 5.5.4 no such mechanism")
    if initial and name in SERVER_FIRST:
        raise Refusal("501 5.5.4 this mechanism begins with the server's challenge")
    first = _response(initial.encode()) if initial else None
    exchange = MECHANISMS[name](dialogue.house.accounts, first)
    dialogue.username = _converse(dialogue, exchange)
    if dialogue.username is None:
        raise Refusal("535 5.7.8 Authentication credentials invalid")
    return "235 2.7.0 Authentication succeeded"


def rset(dialogue: Dialogue, _argument: str) -> str:
    """RSET, RFC 5321 section 4.1.1.5."""
    dialogue.transaction = None
    return "250 2.0.0 forgotten"


def noop(_dialogue: Dialogue, _argument: str) -> str:
    """NOOP, RFC 5321 section 4.1.1.9."""
    return "250 2.0.0 still here"


def vrfy(_dialogue: Dialogue, _argument: str) -> str:
    """VRFY, RFC 5321 section 4.1.1.6: the answer that tells nobody who exists."""
    return "252 2.1.5 cannot verify, but will take the message"


def quit_(dialogue: Dialogue, _argument: str) -> str:
    """QUIT, RFC 5321 section 4.1.1.10."""
    dialogue.over = True
    return "221 2.0.0 bye"


def _hello(dialogue: Dialogue, argument: str) -> str:
    if not _CLIENT_NAME.fullmatch(argument):
        raise Refusal("501 5.5.4 say who you are: a domain or an address literal")
    dialogue.greeted, dialogue.transaction = True, None
    return f"250 localhost greets {argument}"


def _extensions(dialogue: Dialogue) -> list[str]:
    house, encrypted = dialogue.house, dialogue.record.tls is not None
    values = {"SIZE": f"SIZE {house.size_limit}"}
    lines = [values.get(extension.upper(), extension) for extension in house.extensions]
    if not encrypted and not house.faults.stripped:
        lines.append("STARTTLS")
    mechanisms = offered(house.mechanisms, house.accounts)
    if mechanisms and _TAKEN.met(dialogue) and dialogue.may_show_credentials:
        lines.append(" ".join(["AUTH", *mechanisms]))
    return lines


def _converse(dialogue: Dialogue, exchange: Exchange) -> str | None:
    try:
        challenge = next(exchange)
        while True:
            dialogue.connection.reply(f"334 {base64.b64encode(challenge).decode()}")
            challenge = exchange.send(_response(dialogue.connection.inbox.line()))
    except StopIteration as end:
        name: str | None = end.value
        return name


def _response(line: bytes) -> bytes:
    if line == b"*":
        raise Refusal("501 5.7.0 authentication cancelled")
    try:
        return decoded(line)
    except ValueError:
        raise Refusal("501 5.5.2 that is not base64") from None
