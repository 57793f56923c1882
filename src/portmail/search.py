"""What may be asked to find an address's server, and for whom? `Discovery` and `Search`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from typing import TypeAlias

from portmail.candidate import Candidate, Source
from portmail.envelope import ascii_domain, mailbox
from portmail.errors import ConfigurationError, DiscoveryError
from portmail.route import host_name

Approve: TypeAlias = str | Collection[str] | Callable[[Candidate], bool]
"""Hosts that may be used though only unsigned DNS names them, or a function that returns True for one.

The function is called in the event loop, once for each host.
"""

ISPDB = "https://autoconfig.thunderbird.net/v1.1/"
"""Mozilla's database of providers."""

USUAL = frozenset(Source) - {Source.PACC, Source.GUESS}
"""The sources that are asked where nothing else is wished: the draft and the guesses are not."""

_NAMESERVER = re.compile(
    r"(?P<bare6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
    r"|\[(?P<ip6>[^\]]+)\](?::(?P<port6>[0-9]{1,5}))?"
    r"|(?P<ip>[0-9.]+)(?::(?P<port>[0-9]{1,5}))?"
)

_DIRECTORY = re.compile(r"https://[^/?#@\s]+/(?:[^?#\s]*/)?")

BUDGET = 10.0
"""Seconds that finding a server may take in all."""


class Validation(Enum):
    """Whose word counts when a resolver says that DNSSEC has validated an answer (its AD bit)."""

    LOOPBACK = "loopback"
    """That of a resolver on this machine: nobody is on the way to it."""
    RESOLVER = "resolver"
    """That of the resolver, wherever it is: the way to it is safe."""
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Discovery:
    """How servers are found.

    `sources` are those that are asked; PACC (a draft) and GUESS only if they are named. `resolver` is the
    address of a DNS resolver, as `192.0.2.1` or `[2001:db8::1]:5353`, that is asked for SRV, MX and TXT
    records in place of the system's; `validation` says whose word counts about DNSSEC. `ispdb` is the URL
    of the database of providers, or of a copy. `seconds` is what everything may take.

    Raises:
        ConfigurationError: a source that there is not, or a URL that is not https.
    """

    sources: Collection[Source | str] = USUAL
    resolver: str | None = None
    validation: Validation | str = Validation.LOOPBACK
    ispdb: str = ISPDB
    seconds: float = BUDGET

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", _sources(self.sources))
        object.__setattr__(self, "validation", _validation(self.validation))
        if not (isinstance(self.ispdb, str) and _DIRECTORY.fullmatch(self.ispdb)):
            raise ConfigurationError("discovery: ispdb is a URL that begins with https:// and ends with /")
        if not isinstance(self.seconds, int | float) or not 0 < self.seconds < math.inf:
            raise ConfigurationError(f"discovery: seconds={self.seconds!r} must be finite and above 0")
        if self.resolver is not None:
            nameserver(self.resolver)

    @property
    def asked(self) -> frozenset[Source]:
        """The sources, as a set of `Source`."""
        return _sources(self.sources)


@dataclass(frozen=True, slots=True)
class Search:
    """For whom a server is to be found.

    `username` is what the user said to log in as, None where it follows from what is found. `approved` are
    hosts that were approved earlier.
    """

    address: str
    domain: str
    discovery: Discovery = field(default_factory=Discovery)
    approve: Approve = ()
    username: str | None = None
    approved: frozenset[str] = frozenset()

    def approves(self, candidate: Candidate) -> bool:
        """Whether the user said that this host may be used."""
        if candidate.route.host in self.approved:
            return True
        if callable(self.approve):
            return self.approve(candidate)
        return candidate.route.host in self.approve


def search_of(
    address: str,
    *,
    discovery: Discovery | None = None,
    approve: Approve | None = None,
    username: str | None = None,
) -> Search:
    """The search for an address's server.

    Raises:
        ConfigurationError: options that are none.
        DiscoveryError: the address's domain is none for which anybody could be asked.
    """
    if not isinstance(discovery, Discovery | None):
        raise ConfigurationError("discovery is a portmail.Discovery(...)")
    domain = mailbox(address).path.rpartition("@")[2]
    domain = domain if domain.isascii() else ascii_domain(domain)
    if domain.startswith("["):
        raise DiscoveryError(
            f"{address} has an address literal in place of a domain.\nWhat to do: give host="
        )
    if "." not in domain or domain.endswith(".localhost"):
        raise DiscoveryError(
            f"{domain} is no domain of which anybody could be asked.\nWhat to do: give host="
        )
    return Search(address, domain, discovery or Discovery(), _approve(approve), username)


def _approve(wish: Approve | None) -> Approve:
    if callable(wish):
        if inspect.iscoroutinefunction(wish):
            raise ConfigurationError("approve must be a plain function of a Candidate, not async")
        return _Once(wish)
    hosts = (wish or ()) if not isinstance(wish, str) else (wish,)
    if not isinstance(hosts, Collection):
        raise ConfigurationError(f"approve={wish!r}: give hosts, or a function of a Candidate")
    return tuple(host_name(host) for host in hosts)


class _Once:
    """A function that approves, and is not asked about a host again: a person may have to answer."""

    def __init__(self, approve: Callable[[Candidate], bool]) -> None:
        self._approve = approve
        self._said: dict[str, bool] = {}

    def __call__(self, candidate: Candidate) -> bool:
        host = candidate.route.host
        if host not in self._said:
            try:
                self._said[host] = self._approve(candidate) is True
            except Exception as exc:
                raise ConfigurationError(f"the function that approves hosts failed: {exc!r}") from exc
        return self._said[host]


def nameserver(text: str) -> tuple[str, int]:
    """The address and port of a resolver.

    Raises:
        ConfigurationError: it is no IP address, or no port.
    """
    match = _NAMESERVER.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is None or not 0 < (port := int(match["port"] or match["port6"] or 53)) < 65536:
            raise ValueError
        return str(ip_address(match["bare6"] or match["ip6"] or match["ip"])), port
    except ValueError:
        raise ConfigurationError(
            f"discovery: resolver={text!r} is no IP address: write it like 192.0.2.1 or [2001:db8::1]:5353"
        ) from None


def _sources(wish: Collection[Source | str]) -> frozenset[Source]:
    try:
        return frozenset(Source(source) for source in ((wish,) if isinstance(wish, str) else wish))
    except (TypeError, ValueError):
        known = ", ".join(source.value for source in Source)
        raise ConfigurationError(f"discovery: sources={wish!r}: use some of {known}") from None


def _validation(wish: Validation | str) -> Validation:
    try:
        return Validation(wish)
    except ValueError:
        known = ", ".join(validation.value for validation in Validation)
        raise ConfigurationError(f"discovery: validation={wish!r}: use one of {known}") from None
