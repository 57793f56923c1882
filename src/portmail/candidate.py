"""Where may an address submit, and how is that known? Candidates, their sources, how far to trust them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from portmail.route import Route

FULL_ADDRESS, LOCAL_PART, DOMAIN = "%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILDOMAIN%"
"""What stands for the address, or half of it, in a user name. The first is the user name that is tried
where a source says nothing else (RFC 6186 section 4)."""

PLACEHOLDER = re.compile("|".join((FULL_ADDRESS, LOCAL_PART, DOMAIN)))


class Source(Enum):
    """Who is asked. The values are for programs and stay as they are."""

    BUNDLED = "bundled"
    """portmail's own table of providers, by the very domain."""
    AUTOCONFIG = "autoconfig"
    """https://autoconfig.DOMAIN/mail/config-v1.1.xml"""
    WELL_KNOWN = "well-known"
    """https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml"""
    PACC = "pacc"
    """https://ua-auto-config.DOMAIN/.well-known/user-agent-configuration.json: a draft, asked on wish."""
    SRV = "srv"
    """_submissions._tcp.DOMAIN and _submission._tcp.DOMAIN (RFC 6186, RFC 8314 section 5.1)."""
    MX = "mx"
    """The provider in portmail's own table that takes the domain's mail."""
    ISPDB = "ispdb"
    """Mozilla's database of providers, over https."""
    GUESS = "guess"
    """smtp.DOMAIN and mail.DOMAIN; tried only on wish."""


class Trust(Enum):
    """How far what a source says can be trusted, the most first."""

    OWNER = "owner"
    """The domain's owner says so, provably: https from the domain, DNSSEC, or portmail's own table."""
    DIRECTORY = "directory"
    """Somebody whom we know says so: a directory over https, or portmail's table by way of MX."""
    UNSIGNED = "unsigned"
    """Whoever is on the way to the resolver may have said so."""

    def __lt__(self, other: Trust) -> bool:
        """Whether it is worth less."""
        ranks = list(Trust)
        return ranks.index(self) > ranks.index(other)


class Answer(Enum):
    """What came of a question."""

    FOUND = "found"
    ABSENT = "absent"
    """It says that there is none: NXDOMAIN, no such record, 404."""
    NOT_OFFERED = "not-offered"
    """The domain's owner says that the service is decidedly not there (RFC 2782: the target is a dot)."""
    UNUSABLE = "unusable"
    """It answered with what is no answer: a web page, what is too long, or leads away from https."""
    UNPROVEN = "unproven"
    """Something answered that could not prove who it is."""
    NOT_AWAITED = "not-awaited"
    """Somebody whose word counts more had answered."""
    REFUSED = "refused"
    """Nothing listens there. That is not what the owner says, but nobody holds it up either."""
    UNANSWERED = "unanswered"
    """A time-out, a resolver or a server that failed: nobody knows, and later it may be known."""

    @property
    def definite(self) -> bool:
        """Whether it says for sure that nothing is known here: others may be asked, or guessed at."""
        return self in (Answer.ABSENT, Answer.UNUSABLE)


class Login(Enum):
    """What a server takes as proof of who we are."""

    PASSWORD = "password"  # noqa: S105
    OAUTH2 = "oauth2"
    NONE = "none"
    """Nothing: it knows its own network."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route, and where it was learnt.

    Attributes:
        route: always one that insists on verified TLS.
        username: what to log in as, with %EMAILADDRESS%, %EMAILLOCALPART% and %EMAILDOMAIN%; None where
            it has nothing to do with the address.
        logins: what the server takes; empty where the source does not say.
        derived: why it is here though its source does not list it; empty where it does.
        note: what else a person should know.
    """

    route: Route
    source: Source
    trust: Trust
    username: str | None = FULL_ADDRESS
    logins: frozenset[Login] = frozenset()
    derived: str = ""
    note: str = ""

    def within(self, domain: str) -> bool:
        """Whether its host is the domain, or in it."""
        return f".{self.route.host}".endswith(f".{domain}")


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a source named and is not used, with the reason."""

    what: str
    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One question that was asked, and what came of it.

    `said` is the answer in words. `trust` is how far that can be trusted. `seconds` is the time it took.
    """

    source: Source
    asked: str
    answer: Answer
    said: str
    trust: Trust
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one source came to. `lifetime` is for how many seconds it may be believed, None for the usual."""

    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """Where a domain's addresses submit, and how that is known.

    Attributes:
        candidates: what may be used, in the order in which it is tried; all of one source.
        rejected: what was named and is not used, with the reasons.
        evidence: every question that was asked and what came of it.
        lifetime: for how many seconds it may be believed, None for the usual.
    """

    domain: str
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    lifetime: float | None = None
