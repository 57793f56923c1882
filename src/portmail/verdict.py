"""What follows from a failure? The table (after the idea of Postfix's smtp_trouble)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from portmail.cause import Nature
from portmail.failure import Failure, Phase


class Verdict(Enum):
    """What follows from how an attempt ended."""

    ACCEPTED = "accepted"
    NEXT_ROUTE = "next route"
    RETRY_LATER = "retry later"
    GIVE_UP = "give up"
    IN_DOUBT = "in doubt"
    """The server may have the message: no other route, no retry."""


_NEXT, _LATER, _STOP, _DOUBT = (
    Verdict.NEXT_ROUTE,
    Verdict.RETRY_LATER,
    Verdict.GIVE_UP,
    Verdict.IN_DOUBT,
)

OPENING = (Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS)
"""The phases in which nothing of a message was said."""

_SENDING = (Phase.WAITING, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT)

_NATURES = (
    Nature.NO_ANSWER,
    Nature.INSECURE,
    Nature.TRANSIENT,
    Nature.PERMANENT,
    Nature.OTHER_ROUTE,
)

# Rows are phases, columns the natures above. "Next route" is never weaker where credentials
# exist: all their routes are encrypted and verified before a credential is shown. A credential
# that was refused, or had no answer, is never tried a second time elsewhere: that locks accounts.
_ROWS: Mapping[tuple[Phase, ...], tuple[Verdict, ...]] = {
    OPENING: (_NEXT, _NEXT, _NEXT, _NEXT, _NEXT),
    (Phase.AUTH,): (_LATER, _STOP, _LATER, _STOP, _NEXT),
    _SENDING: (_LATER, _STOP, _LATER, _STOP, _NEXT),
    (Phase.FINAL_DOT,): (_DOUBT, _DOUBT, _LATER, _STOP, _DOUBT),
}

TABLE: Mapping[tuple[Phase, Nature], Verdict] = MappingProxyType(
    {
        (phase, nature): verdict
        for phases, verdicts in _ROWS.items()
        for phase in phases
        for nature, verdict in zip(_NATURES, verdicts, strict=True)
    }
)
"""Every phase with every nature of failure, and what follows."""


def judge(failure: Failure) -> Verdict:
    """What follows from this failure."""
    return TABLE[failure.phase, failure.nature]
