"""What must become of each reply, at each step? One table, from the RFCs and the contract alone.

Rows are what was asked, columns what came back, cells what the client must say of the message:

| word          | outcome  | raised               | temporary | is another route tried?         |
|---------------|----------|----------------------|-----------|---------------------------------|
| sent          | sent     | nothing              |           | no                              |
| doubt         | in doubt | InDoubt              | no        | no                              |
| later / stop  | not sent | Rejected             | yes / no  | no                              |
| lost          | not sent | Unreachable          | yes       | no                              |
| next later / next stop / next lost         | | as above  | as above | yes, while there is one  |
| insecure later / insecure | not sent | InsecureChannel | yes / no | yes: nothing was shown  |
| login later / login       | not sent | AuthenticationFailed | yes / no | no: one login, one route |

Nothing here asks portmail what a reply means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from portmail import AuthenticationFailed, InDoubt, InsecureChannel, Rejected, Unreachable
from tests.proof.harness.clients import Said


class Sense(Enum):
    """What an answer is, whatever its octets. A column of the table."""

    YES = "what the command wants"
    LATER = "4yz"
    NEVER = "5yz"
    OTHER = "another 2yz or 3yz"
    NONE = "no reply in the sense of RFC 5321 section 4.2"
    NOTHING = "no answer: silence, or the end of the connection"
    BEHIND = "what the command wants, and behind it a reply that nobody asked for"
    CLOSING = "what the command wants, and behind it 421"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client says: see above."""

    said: Said
    error: type[BaseException] | None = None
    temporary: bool = False
    next_route: bool = False


_NOT = Said.NOT_SENT
OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        "sent": Outcome(Said.SENT),
        "doubt": Outcome(Said.IN_DOUBT, InDoubt),
        "later": Outcome(_NOT, Rejected, temporary=True),
        "stop": Outcome(_NOT, Rejected),
        "lost": Outcome(_NOT, Unreachable, temporary=True),
        "next later": Outcome(_NOT, Rejected, temporary=True, next_route=True),
        "next stop": Outcome(_NOT, Rejected, next_route=True),
        "next lost": Outcome(_NOT, Unreachable, temporary=True, next_route=True),
        "insecure later": Outcome(_NOT, InsecureChannel, temporary=True, next_route=True),
        "insecure": Outcome(_NOT, InsecureChannel, next_route=True),
        "login later": Outcome(_NOT, AuthenticationFailed, temporary=True),
        "login": Outcome(_NOT, AuthenticationFailed),
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that waits for its reply: a row of the table.

    `wants` is the code that lets it go on, its first digit or all of it (RFC 5321 sections 4.2.1 and
    4.3.2): by the first digit where only mail is at stake; by the whole code where the next octets mean
    something else: TLS, a credential, a content. `due` is the usual one.
    """

    wants: str
    due: int
    cells: Mapping[Sense, str]


_TABLE = """
step          wants  due  4yz             5yz        other      none       nothing    behind     421
greeting      220    220  next later      next stop  next lost  next lost  next lost  next lost  next lost
tls greeting  220    220  next later      next stop  next lost  next lost  next lost  next lost  next later
EHLO          250    250  next later      next stop  next lost  next lost  next lost  next lost  next lost
STARTTLS      220    220  insecure later  insecure   insecure   next lost  next lost  insecure   insecure
tls EHLO      250    250  next later      next stop  next lost  next lost  next lost  next lost  next lost
AUTH          235    235  login later     login      login      login      lost       lost       lost
challenge 1   334    334  login later     login      login      login      lost       login      login later
challenge 2   334    334  login later     login      login      login      lost       login      login later
response      235    235  login later     login      login      login      lost       lost       lost
MAIL          2      250  later           stop       lost       lost       lost       lost       later
RCPT 1        2      250  sent            sent       lost       lost       lost       lost       later
RCPT 2        2      250  sent            sent       lost       lost       lost       lost       later
RCPT          2      250  later           stop       lost       lost       lost       lost       later
DATA          354    354  later           stop       lost       lost       lost       lost       later
end           2      250  later           stop       doubt      doubt      doubt      sent       sent
BDAT          2      250  later           stop       doubt      doubt      doubt      sent       sent
QUIT          2      221  sent            sent       sent       sent       sent       sent       sent
RSET          2      250  sent            sent       sent       sent       sent       sent       sent
MAIL, nobody  2      250  later           stop       lost       lost       lost       lost       later
EHLO, nobody  250    250  next later      next stop  next lost  next lost  next lost  next lost  next lost
"""
# "None" is no reply, "nothing" no answer; what the command wants is always to go on, and so "sent".

_COLUMNS = tuple(Sense)


def _rows() -> dict[str, Asked]:
    rows = [re.split(r" {2,}", line) for line in _TABLE.strip().splitlines()[1:]]
    return {
        step: Asked(wants, int(due), MappingProxyType(dict(zip(_COLUMNS, ("sent", *cells), strict=True))))
        for step, wants, due, *cells in rows
    }


TABLE: Mapping[str, Asked] = MappingProxyType(_rows())
"""By step, in the recorder's words. `RCPT` is every recipient; after `, nobody` there are no credentials."""

NO_EHLO = (500, 501, 502, 504, 550)
"""RFC 5321 section 4.1.4: then HELO will do; only where there is no credential."""

_FIRST = ("RCPT 1", "RCPT 2", "RCPT")


def outcome(step: str, *, sense: Sense, code: int = 0, enhanced: str | None = None) -> Outcome:
    """What must become of it."""
    return OUTCOMES[_exception(step, sense=sense, code=code, enhanced=enhanced) or TABLE[step].cells[sense]]


def _exception(step: str, *, sense: Sense, code: int, enhanced: str | None) -> str | None:
    """Where one code or another is not as others of its digit."""
    if step in _FIRST and sense is Sense.LATER and code == 421:  # RFC 5321 section 3.8: it ends them all
        return "later"
    if step == "EHLO, nobody" and code in NO_EHLO:
        return {Sense.NEVER: "sent", Sense.CLOSING: "next later"}.get(sense)
    # A submission port that wants a login says nothing of the relay behind it.
    denied = code == 530 or (enhanced or "").startswith("5.7.")
    if step == "MAIL, nobody" and sense is Sense.NEVER and denied:
        return "next stop"
    return None


def sense_of(step: str, *, code: int) -> Sense:
    """What a reply with this code is at this step; outside 200..599 there are no replies."""
    if not 200 <= code <= 599:
        return Sense.NONE
    if str(code).startswith(TABLE[step].wants):
        return Sense.YES
    return {4: Sense.LATER, 5: Sense.NEVER}.get(code // 100, Sense.OTHER)


CODES = (
    *(200, 211, 214, 220, 221, 235, 250, 251, 252, 253, 299, 334, 354, 355, 399),
    *(400, 421, 422, 430, 431, 432, 441, 442, 446, 447, 449, 450, 451, 452, 453, 454, 455, 458, 459, 471),
    *(499, 500, 501, 502, 503, 504, 510, 511, 512, 513, 515, 521, 523, 524, 525, 530, 531, 532, 533, 534),
    *(535, 538, 541, 546, 547, 550, 551, 552, 553, 554, 555, 556, 557, 571, 599),
    *(0, 100, 119, 150, 190, 199, 600, 650, 999),
)
"""Those of RFC 5321, 3207, 4954, 7504 and 7505, those that servers made up, and some that are no codes."""

ENHANCED: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "right class": "{digit}.1.8 ",
        "other class": "{other}.1.8 ",
        "policy": "{digit}.7.1 ",
        "two numbers": "{digit}.1 ",
        "letters": "{digit}.x.y ",
        "over-long": "{digit}.1234.5678 ",
        "four numbers": "{digit}.1.8.9 ",
    }
)
"""Forms of the enhanced status code in front of a text (RFC 2034, RFC 3463). The reply code decides."""

RIGHT = {"right class": "{digit}.1.8", "policy": "{digit}.7.1"}
"""Those that are believed; there is none for 3yz."""


def form(name: str, *, code: int) -> str:
    """The enhanced status code as it is written."""
    digit = code // 100
    return ENHANCED[name].format(digit=digit, other=4 if digit == 5 else 5)


def believed(name: str, *, code: int) -> str | None:
    """The enhanced status code that the client has to read."""
    return RIGHT[name].format(digit=code // 100) if name in RIGHT and code // 100 in (2, 4, 5) else None
