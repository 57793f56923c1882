"""Who is a message from and for? MAIL and RCPT, their paths and their parameters."""

from __future__ import annotations

import re

from portmail.sandbox.dialogue import Dialogue, Refusal, Transaction
from portmail.sandbox.faults import Moment

_PATH = r"<((?:\"(?:[^\"\\]|\\.)*\"|[^<>\"\s])*)>(?: +(\S.*))?"
_FROM = re.compile(f"FROM:{_PATH}", re.IGNORECASE)
_TO = re.compile(f"TO:{_PATH}", re.IGNORECASE)

_MAIL_PARAMETERS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
    "REQUIRETLS": "REQUIRETLS",
}
_RCPT_PARAMETERS = {"NOTIFY": "DSN", "ORCPT": "DSN"}
"""Parameters, and the extension that each belongs to."""

_BODIES = {"7BIT": "8BITMIME", "8BITMIME": "8BITMIME", "BINARYMIME": "BINARYMIME"}
"""Values of BODY= (RFC 6152 section 2, RFC 3030 section 3), and the extension of each."""


def mail(dialogue: Dialogue, argument: str) -> str:
    """MAIL, RFC 5321 section 4.1.1.2."""
    path, parameters = _parsed(_FROM, argument)
    values = _values(parameters, known=_MAIL_PARAMETERS, offered=dialogue.offered)
    _check_size(values.get("SIZE"), limit=dialogue.house.size_limit)
    _check_body(values.get("BODY"), offered=dialogue.offered)
    transaction = Transaction(path, parameters)
    _check_path(path, transaction)
    dialogue.transaction = transaction
    return "250 2.1.0 sender noted"


def rcpt(dialogue: Dialogue, argument: str) -> str:
    """RCPT, RFC 5321 section 4.1.1.3."""
    path, parameters = _parsed(_TO, argument)
    _values(parameters, known=_RCPT_PARAMETERS, offered=dialogue.offered)
    transaction = dialogue.in_transaction
    if not path:
        raise Refusal("501 5.1.3 a recipient has an address")
    _check_path(path, transaction)
    if refusal := dialogue.house.faults.refusal(path, sender=transaction.sender):
        raise Refusal(refusal)
    if "CHUNKING" in dialogue.offered and dialogue.house.faults.strikes(Moment.BEFORE_DOT):
        raise dialogue.connection.abort()  # BDAT may bring the whole message in one write: too late
    transaction.recipients.append(path)
    return "250 2.1.5 recipient noted"


def _parsed(pattern: re.Pattern[str], argument: str) -> tuple[str, tuple[str, ...]]:
    match = pattern.fullmatch(argument)
    if match is None:
        raise Refusal("501 5.5.4 say MAIL FROM:<address> or RCPT TO:<address>")
    return match[1], tuple((match[2] or "").split())


def _values(parameters: tuple[str, ...], *, known: dict[str, str], offered: frozenset[str]) -> dict[str, str]:
    """The parameters as keywords and values, each of them once and of an extension on offer."""
    values: dict[str, str] = {}
    for parameter in parameters:
        keyword, _, value = parameter.partition("=")
        keyword = keyword.upper()
        if known.get(keyword) not in offered:
            raise Refusal(f"555 5.5.4 {keyword} is not among the extensions offered")
        if keyword in values:
            raise Refusal(f"501 5.5.4 {keyword} is given twice")
        values[keyword] = value
    return values


def _check_size(size: str | None, *, limit: int) -> None:
    if size is None:
        return
    if not (size.isascii() and size.isdigit()):
        raise Refusal("501 5.5.4 SIZE is a number")
    if int(size) > limit:
        raise Refusal("552 5.3.4 message too big")


def _check_body(body: str | None, *, offered: frozenset[str]) -> None:
    if body is not None and _BODIES.get(body.upper()) not in offered:
        raise Refusal("501 5.5.4 no such BODY")


def _check_path(path: str, transaction: Transaction) -> None:
    if not path.isascii() and not transaction.international:
        raise Refusal("553 5.6.7 non-ASCII address without SMTPUTF8")
