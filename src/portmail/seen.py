"""What did each way come to, and what does that show? `Seen`, and what can be said of one, or of several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from portmail.cause import SHUT, Cause, Nature
from portmail.certificate import Certificate
from portmail.failure import UNHEARD, Failure, Phase
from portmail.identity import name_told
from portmail.route import PORTS, Route
from portmail.security import Security
from portmail.situation import BY_CAUSE


class Seen(NamedTuple):
    """What one way to a server came to.

    Attributes:
        failure: why it is not open; None where it is.
        family: 4 or 6, where the way is one of several to the same port, the preferred one first; else None.
        used: whether a submission would take it.
        encrypted: whether it is, where it is open.
        certificate: what the server showed, where that is known.
        name: what the server calls itself, where that is known.
    """

    route: Route
    failure: Failure | None
    family: int | None = None
    used: bool = True
    encrypted: bool = True
    certificate: Certificate | None = None
    name: str = ""


_RANK = {cause: rank for rank, cause in enumerate(BY_CAUSE)}

BLOCKED = (Cause.PROHIBITED, Cause.TIMED_OUT, Cause.DROPPED, Cause.SILENT, Cause.NO_REPLY)
"""How a firewall looks, or something that stands between."""

_STILL = (Cause.SILENT, Cause.NO_REPLY)
"""How a port looks that takes connections and says nothing, in clear and with TLS."""

_UNASKED = (Cause.OVERTAKEN, Cause.OUT_OF_TIME, Cause.WEAKER, Cause.FAULT)
"""How a way ends that nobody went to its end."""

_NOT_ALIVE = (
    *BLOCKED,
    *_UNASKED,
    Cause.PROHIBITED_HERE,
    Cause.UNREACHABLE,
    Cause.NAME_NOT_FOUND,
    Cause.RESOLVER_FAILED,
)


def cause_of(seen: Seen) -> Cause | None:
    """Why it is not open; None where it is."""
    return seen.failure.cause if seen.failure else None


def answers(seen: Seen) -> bool:
    """Whether it shows that somebody is there."""
    return cause_of(seen) not in _NOT_ALIVE


def is_insecure(seen: Seen) -> bool:
    """Whether it failed to be secure."""
    return seen.failure is not None and seen.failure.nature is Nature.INSECURE


def is_a_last_resort(seen: Seen, *, beside: Seen | None) -> bool:
    """Whether nobody misses it: a relay's port, where mail goes out by another way."""
    return beside is not None and not seen.route.security.encrypted


def rank(seen: Seen) -> int:
    """How much its failure says about what is the matter; the least number says most."""
    return _RANK.get(seen.failure.cause, len(_RANK)) if seen.failure else len(_RANK)


def reread(
    seen: Seen, *, there: Collection[tuple[str, int | None]], proven: Collection[tuple[str, str]]
) -> Failure | None:
    """The failure in the light of the other ways.

    Silence on a port that is TLS from the first octet has a reason; so has no way to one port alone, where
    somebody is `there`; and who calls himself what a `proven` server of the host does is no proxy.
    """
    failure, route = seen.failure, seen.route
    if failure is None:
        return None
    if failure.cause is Cause.UNREACHABLE and (route.host, seen.family) in there:
        return replace(failure, cause=Cause.PROHIBITED)
    if failure.cause is Cause.PROXY and (route.host, name_told(failure.detail)) in proven:
        before, _, _ = failure.detail.rpartition("; ")  # that it had STARTTLS, if anybody remembers that
        cause = Cause.STARTTLS_STRIPPED if before else Cause.STARTTLS_NOT_OFFERED
        return replace(failure, cause=cause, detail=before)
    wanted = PORTS.get(route.port)
    if failure.cause is Cause.SILENT and wanted is Security.IMPLICIT_TLS is not route.security:
        return replace(failure, cause=Cause.PLAIN_ON_TLS_PORT)
    return failure


def is_blocked(seen: Seen) -> bool:
    """Whether it looks as a firewall does, or something that stands between."""
    return seen.failure is not None and seen.failure.cause in BLOCKED and seen.failure.phase in UNHEARD


def is_shut(seen: Seen) -> bool:
    """Whether not even a connection could be made."""
    return is_blocked(seen) and not came_through(seen)


def came_through(seen: Seen) -> bool:
    """Whether a connection was made, and did not lead to the end."""
    return seen.failure is not None and seen.failure.phase is not Phase.CONNECT


def are_of_one_kind(one: Seen, other: Seen) -> bool:
    """Whether both are closed for reasons that are told in one."""
    if one.route.host != other.route.host or one.failure is None or other.failure is None:
        return False
    causes = {one.failure.cause, other.failure.cause}
    still = causes.issubset(_STILL) and is_blocked(one) and is_blocked(other)
    return len(causes) == 1 or causes.issubset(SHUT) or still


def is_a_way_out(seen: Seen) -> bool:
    """Whether mail could be submitted there, with a login."""
    return seen.encrypted and seen.route.security.encrypted


def by_route(seen: Sequence[Seen]) -> list[list[Seen]]:
    """The ways of each route: one for each family of addresses, the one that is preferred first."""
    routes: dict[Route, list[Seen]] = {}
    for it in seen:
        routes.setdefault(it.route, []).append(it)
    return list(routes.values())


def gone_by(its: Sequence[Seen]) -> Seen | None:
    """Of a route's ways the one that mail goes: the first on which a connection is made."""
    return next((it for it in its if it.failure is None or came_through(it)), None)


def open_ways(seen: Sequence[Seen]) -> list[Seen]:
    """Of each route that is open, the way that mail goes."""
    return [way for its in by_route(seen) if (way := gone_by(its)) and way.failure is None]


def closed_ways(used: Sequence[Seen]) -> list[Seen]:
    """Of each route that is not open, the failure that mail meets; where none is met at once, the one that
    says most.

    A family by which nobody answers anything says nothing where the other one has answers.
    """
    answering = {it.family for it in used if answers(it)}
    closed: list[Seen] = []
    for its in by_route(used):
        way = gone_by(its) or min([it for it in its if it.family in answering] or its, key=rank)
        closed += [way] if way.failure else []
    return closed


def taken(used: Sequence[Seen], *, closed: Sequence[Seen]) -> Seen | None:
    """The first open way that a submission goes: never a weaker one, where one failed to be secure."""
    danger = any(is_insecure(it) and it.route.security.encrypted for it in closed)
    return next((it for it in open_ways(used) if it.route.security.encrypted or not danger), None)
