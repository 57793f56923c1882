"""How does the content arrive, and when is a message accepted? DATA and BDAT."""

from __future__ import annotations

import re

from portmail.sandbox.dialogue import (
    GREETED,
    RECIPIENT_GIVEN,
    Dialogue,
    Refusal,
    insist,
)
from portmail.sandbox.faults import Moment
from portmail.sandbox.inbox import unstuffed
from portmail.sandbox.records import Received
from portmail.sandbox.session import NOT_UNDERSTOOD

_CHUNK = re.compile(r"([0-9]{1,18})(?: (LAST))?", re.IGNORECASE)
_BEFORE_CHUNK = (GREETED, RECIPIENT_GIVEN)
_TOO_BIG = "552 5.3.4 message too big"


def data(dialogue: Dialogue, argument: str) -> str:
    """DATA, RFC 5321 section 4.1.1.4."""
    if argument:
        raise Refusal("501 5.5.4 DATA takes no parameters")
    if any(parameter.upper() == "BODY=BINARYMIME" for parameter in dialogue.in_transaction.parameters):
        raise Refusal("503 5.5.1 BINARYMIME needs BDAT")
    if dialogue.house.faults.strikes(Moment.BEFORE_DOT):
        raise dialogue.connection.abort()
    dialogue.connection.reply("354 go ahead, and end with a dot")
    return _accepted(dialogue, unstuffed(dialogue.connection.inbox.content()))


def bdat(dialogue: Dialogue, argument: str) -> str:
    """BDAT, RFC 3030 section 2. A chunk is read even if it is refused, to stay in step."""
    chunk = _CHUNK.fullmatch(argument)
    if "CHUNKING" not in dialogue.offered:
        raise Refusal(NOT_UNDERSTOOD)
    if chunk is None:
        raise Refusal("501 5.5.4 say BDAT size, or BDAT size LAST")
    octets = _octets(dialogue, int(chunk[1]))
    transaction = dialogue.in_transaction
    transaction.chunks.append(octets)
    if chunk[2]:
        return _accepted(dialogue, b"".join(transaction.chunks))
    return f"250 2.0.0 {len(octets)} octets received"


def _octets(dialogue: Dialogue, size: int) -> bytes:
    inbox, limit = dialogue.connection.inbox, dialogue.house.size_limit
    so_far = sum(map(len, dialogue.transaction.chunks)) if dialogue.transaction else 0
    try:
        insist(dialogue, _BEFORE_CHUNK)
    except Refusal:
        inbox.skip(size)
        raise
    if so_far + size > limit:
        inbox.skip(size)
        dialogue.transaction = None
        raise Refusal(_TOO_BIG)
    return inbox.octets(size)


def _accepted(dialogue: Dialogue, content: bytes) -> str:
    """End the transaction, one way or the other."""
    transaction, dialogue.transaction = dialogue.in_transaction, None
    if len(content) > dialogue.house.size_limit:
        raise Refusal(_TOO_BIG)
    received = Received(
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        content=content,
        service=dialogue.service,
        tls=dialogue.record.tls,
        username=dialogue.username,
        parameters=transaction.parameters,
    )
    number = dialogue.house.ledger.accept(received)
    if dialogue.house.faults.strikes(Moment.AFTER_DOT):
        raise dialogue.connection.abort()
    return f"250 2.0.0 accepted as message {number}"
