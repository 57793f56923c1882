"""What is known of such a failure, at this provider or anywhere? The table `hints.csv`, and one look into it.

Its columns. An empty cell fits everything; `hosts`, `cause`, `code`, `enhanced` and `port` may hold several,
parted by spaces, of which any fits:

- `hosts`: the server, label by label; `*` stands for one label;
- `phase`, `cause`: where and why the attempt ended, as the values of `Phase` and `Cause`;
- `code`, `enhanced`, `says`: what the server said: the reply code, the enhanced status code, and a regular
  expression (without regard to case) that occurs in the text, whose lines are joined by spaces;
- `port`: the port of the route;
- `hint`: for a person, what that means and what to do. It is looked up for translation, so it stays as it is;
- `as_of`: the date of the source, or the day on which it was read where it bears none; `source`: where it is
  written ("measured" means seen in that software itself).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from portmail.cause import Cause
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.route import Route
from portmail.table import rows

TABLE = "hints.csv"

ANY_LABEL = "*"

MOST = 2
"""How many hints a person is told: more would not be read."""


class Hint(NamedTuple):
    """What a person should know.

    Attributes:
        text: one English sentence or two; a message id for translation.
        as_of: when that was so, an ISO date.
        source: where it is written.
        special: whether it is about this very server, or this very status code: then nothing more general
            needs to be said.
    """

    id: str
    text: str
    as_of: str
    source: str
    special: bool


class Line(NamedTuple):
    """A line of the table: a hint, and what it is tied to; what is empty fits everything."""

    hint: Hint
    hosts: tuple[tuple[str, ...], ...]
    phase: Phase | None
    causes: frozenset[Cause]
    codes: frozenset[int]
    enhanced: frozenset[str]
    says: str
    ports: frozenset[int]

    @property
    def asked(self) -> int:
        """How much it asks for, besides the host: the more, the more special."""
        return sum(map(bool, (self.phase, self.causes, self.codes, self.enhanced, self.says, self.ports)))

    def fits(self, failure: Failure, *, route: Route) -> bool:
        """Whether this is about such a failure on this route."""
        return (
            self.phase in (None, failure.phase)
            and (not self.causes or failure.cause in self.causes)
            and (not self.ports or route.port in self.ports)
            and self._heard(failure.reply)
            and (not self.hosts or self.names(route.host.split(".")))
        )

    def may_follow(self, code: int | None) -> bool:
        """Whether this may be about a reply with such a code; None stands for no reply."""
        if code is None:
            return not (self.codes or self.enhanced or self.says)
        return not self.codes or code in self.codes

    def names(self, labels: Sequence[str]) -> bool:
        """Whether this is about the host with these labels."""
        return any(len(labels) == len(pattern) and all(map(_same, labels, pattern)) for pattern in self.hosts)

    def _heard(self, reply: Reply | None) -> bool:
        if reply is None:
            return self.may_follow(None)
        return (
            self.may_follow(reply.code)
            and (not self.enhanced or reply.enhanced in self.enhanced)
            and re.search(self.says, reply.text.replace("\n", " "), re.IGNORECASE) is not None
        )


def hints_for(failure: Failure, *, route: Route) -> tuple[Hint, ...]:
    """What is known of it, the most special first, no text twice; often nothing.

    Where something is known of this very server, what holds anywhere is not told: it would say less.
    """
    code = failure.reply.code if failure.reply else None
    told: dict[str, Hint] = {}
    for considered in (_of_host(route.host, code), _anywhere(code)):
        for line in considered:
            if line.fits(failure, route=route):
                told.setdefault(line.hint.text, line.hint)
        if told:
            break
    return tuple(told.values())[:MOST]


@lru_cache(maxsize=256)  # a cache: of the account's hosts, and of the codes that they answer with
def _of_host(host: str, code: int | None) -> tuple[Line, ...]:
    """The lines about this very server that may fit such a reply; None stands for no reply."""
    labels = host.split(".")
    return tuple(line for line in lines() if line.hosts and line.names(labels) and line.may_follow(code))


@lru_cache(maxsize=64)  # a cache: there are few codes
def _anywhere(code: int | None) -> tuple[Line, ...]:
    """The lines about no server that may fit such a reply."""
    return tuple(line for line in lines() if not line.hosts and line.may_follow(code))


@cache  # a cache: the table is read once, and does not change while the program runs
def lines() -> tuple[Line, ...]:
    """All of the table, the most special first; those alike in the order of the table.

    There are none where whoever packed the program left the table out: that must not cost the text.
    """
    return tuple(sorted(map(_line, rows(TABLE)), key=lambda line: -line.asked))


def _line(row: Mapping[str, str]) -> Line:
    return Line(
        hint=Hint(
            id=row["id"],
            text=row["hint"],
            as_of=row["as_of"],
            source=row["source"],
            special=bool(row["hosts"] or row["enhanced"]),
        ),
        hosts=tuple(tuple(host.split(".")) for host in row["hosts"].split()),
        phase=Phase(row["phase"]) if row["phase"] else None,
        causes=frozenset(map(Cause, row["cause"].split())),
        codes=frozenset(map(int, row["code"].split())),
        enhanced=frozenset(row["enhanced"].split()),
        says=row["says"],
        ports=frozenset(map(int, row["port"].split())),
    )


def _same(label: str, wanted: str) -> bool:
    return wanted in (ANY_LABEL, label)
