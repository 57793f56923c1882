"""Which providers are known, and by what name? The table `providers.csv`, and three ways to look into it.

Its columns, with lists parted by spaces:

- `domains`: what stands behind the @ of its addresses;
- `mx`: how the names of the hosts end that take its mail, also that of its customers' own domains. One
  that several providers have is a name by which none of them is known;
- `host`: where mail is submitted;
- `routes`: the ports there with their mode, the best first; "only" says that there is nothing else;
- `login`: what proves who we are; app passwords, tokens and keys are passwords;
- `username`: a template, or the very name; empty where it has nothing to do with the address;
- `source`: where that is written; `note`: what else a person should know.

`*` stands for one label: in `domains` and `host` together for the same one. A `host` whose label nothing
tells is not known from the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from portmail.candidate import Candidate, Login, Source, Trust
from portmail.route import Route
from portmail.security import Security
from portmail.table import rows

TABLE = "providers.csv"

ANY_LABEL = "*"

_ONLY = " only"


class Provider(NamedTuple):
    """A line of the table.

    Attributes:
        ports: the ports at `host` and their modes, the best first.
        only: whether it is known that there are no other ports, so that none should be derived.
        username: what to log in as, as a template or literally; None where the address does not tell.
    """

    id: str
    name: str
    domains: tuple[str, ...]
    mx: tuple[str, ...]
    host: str
    ports: tuple[tuple[int, Security], ...]
    only: bool
    logins: frozenset[Login]
    username: str | None
    source: str
    note: str

    @property
    def routes(self) -> tuple[Route, ...]:
        """The ways to submit, the best first; none where the host is not known from the address."""
        if ANY_LABEL in self.host:
            return ()
        return tuple(Route(self.host, port, security) for port, security in self.ports)

    def candidates(self, source: Source, *, trust: Trust) -> tuple[Candidate, ...]:
        """Its routes, as what a source found."""
        return tuple(
            Candidate(route, source, trust, username=self.username, logins=self.logins, note=self.note)
            for route in self.routes
        )


@cache  # a cache: the table is read once, and does not change while the program runs
def providers() -> tuple[Provider, ...]:
    """All of the table; nothing where whoever packed the program left it out."""
    return tuple(_provider(row) for row in rows(TABLE, package="portmail.discovery"))


def by_domain(domain: str) -> Provider | None:
    """Whose addresses end in this very domain (A-labels, lower case). Its host is filled in."""
    first, _, parent = domain.partition(".")
    for provider in providers():
        if domain in provider.domains:
            return provider
        if f"{ANY_LABEL}.{parent}" in provider.domains:
            return provider._replace(host=provider.host.replace(ANY_LABEL, first))
    return None


def by_mx(host: str) -> tuple[Provider, ...]:
    """Who takes mail at this host: those with the longest suffix that its name ends in, label by label.

    More than one is no answer: they share it.
    """
    labels = host.split(".")
    found: dict[int, list[Provider]] = {}
    for provider in providers():
        for suffix in provider.mx:
            pattern = suffix.split(".")
            if _fits(labels[-len(pattern) :], pattern):
                found.setdefault(len(pattern), []).append(provider)
    return tuple(found[max(found)]) if found else ()


def by_host(host: str) -> Provider | None:
    """Whose submission server this very host is (lower case). Its host is filled in."""
    labels = host.split(".")
    for provider in providers():
        if _fits(labels, provider.host.split(".")):
            return provider._replace(host=host)
    return None


def _fits(labels: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a name is the one that is meant, label by label."""
    return len(labels) == len(pattern) and all(
        wanted in (ANY_LABEL, label) for label, wanted in zip(labels, pattern, strict=True)
    )


def _provider(row: Mapping[str, str]) -> Provider:
    return Provider(
        id=row["id"],
        name=row["name"],
        domains=tuple(row["domains"].split()),
        mx=tuple(row["mx"].split()),
        host=row["host"],
        ports=tuple(_port(word) for word in row["routes"].removesuffix(_ONLY).split()),
        only=row["routes"].endswith(_ONLY),
        logins=_logins(row["login"]),
        username=row["username"] or None,
        source=row["source"],
        note=row["note"],
    )


@cache  # a cache: few combinations make the table
def _logins(words: str) -> frozenset[Login]:
    return frozenset(Login(word) for word in words.split())


@cache  # a cache: few ports make the table
def _port(word: str) -> tuple[int, Security]:
    port, _, mode = word.partition("/")
    return int(port), Security(mode)
