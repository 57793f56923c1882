"""What did a server show? `Certificate`: its names, who issued it, and for how long it is valid."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

_LONGEST = 80
"""Characters of a certificate's text that are told: whoever made it can have written anything there."""

_MOST = 20
"""Names that are kept; there may be thousands."""

# Who opens TLS connections of others to look into them, by the words in their authorities' names.
INTERCEPTORS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        name: re.compile(words, re.IGNORECASE)
        for name, words in {
            "Avast": r"\bavast\b",
            "AVG": r"\bAVG\b",
            "Bitdefender": r"\bbitdefender\b",
            "Cisco Umbrella": r"\bcisco umbrella\b",
            "ESET": r"\bESET (?:SSL|Protocol)",
            "Fortinet": r"\bforti(?:net|gate)(?![a-z])",
            "Kaspersky": r"\bkaspersky\b",
            "McAfee": r"\bmcafee\b",
            "Netskope": r"\bnetskope\b",
            "Norton": r"\bnorton (?:web|mail)",
            "Sophos": r"\bsophos(?![a-z])",
            "Zscaler": r"\bzscaler\b",
        }.items()
    }
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate as it was shown; whether it proves anything is not said here.

    Attributes:
        names: host names and addresses it is for (subjectAltName), the first twenty.
        subject, issuer: whose it is and who issued it, by the part of the name that says most.
        not_before, not_after: the dates between which it is valid, in UTC.
    """

    names: tuple[str, ...]
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Certificate:
        """Read what `ssl.SSLSocket.getpeercert` returns.

        Raises:
            KeyError, ValueError: it lacks what every certificate has.
        """
        names = (name for kind, name in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
        return cls(
            names=tuple(readable(name.strip()) for name in names)[:_MOST],
            subject=most_telling(shown.get("subject", ())),
            issuer=most_telling(shown["issuer"]),
            not_before=_date(shown["notBefore"]),
            not_after=_date(shown["notAfter"]),
        )

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative since when it has."""
        return (self.not_after - now).days

    @property
    def interceptor(self) -> str | None:
        """The virus scanner or company proxy whose authority issued it, where that is known by name."""
        return next((name for name, words in INTERCEPTORS.items() if words.search(self.issuer)), None)


def most_telling(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A person's or an authority's name, by the part of it that says most."""
    return readable(next(_parts(name), ""))


def _parts(name: Sequence[Sequence[tuple[str, str]]]) -> Iterator[str]:
    parts = {kind: text for group in name for kind, text in group}
    for kind in ("commonName", "organizationName", "organizationalUnitName"):
        if kind in parts:
            yield parts[kind]
    yield from parts.values()


def readable(text: str) -> str:
    """What a certificate says, short and fit to be printed."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(char if char.isprintable() and char != "'" else "?" for char in short)


def _date(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
