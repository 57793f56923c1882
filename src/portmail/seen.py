"""What did each way come to, and what does that show? `Seen`, and what can be said of one, or of several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from portmail.cause import Cause, Nature
from portmail.certificate import Certificate
from portmail.failure import Failure, Phase
from portmail.identity import name_told
from portmail.route import PORTS, Route
from portmail.security import Security
from portmail.situation import BY_CAUSE


class Seen(NamedTuple):
    """What one way to a server came to.

    Attributes:
        failure: why it is not open; None where it is.
        family: 4 or 6, where the way is one of several to the same port; else None.
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

SHUT = (Cause.PROHIBITED, Cause.TIMED_OUT)
"""How a port looks that a network closes."""

_STILL = (Cause.SILENT, Cause.NO_REPLY)
"""How a port looks that takes connections and says nothing, in clear and with TLS."""

_BEFORE = (Phase.CONNECT, Phase.GREETING, Phase.TLS)
"""Until when nothing was heard of the server."""

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
        return replace(failure, cause=Cause.STARTTLS_NOT_OFFERED, detail="")
    wanted = PORTS.get(route.port)
    if failure.cause is Cause.SILENT and wanted is Security.IMPLICIT_TLS is not route.security:
        return replace(failure, cause=Cause.PLAIN_ON_TLS_PORT)
    return failure


def is_blocked(seen: Seen) -> bool:
    """Whether it looks as a firewall does, or something that stands between."""
    return seen.failure is not None and seen.failure.cause in BLOCKED and seen.failure.phase in _BEFORE


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


def closed_ways(used: Sequence[Seen]) -> list[Seen]:
    """Of each port that is open by no family, the failure that says most.

    A family by which nobody answers anything says nothing where the other one has answers.
    """
    answering = {it.family for it in used if answers(it)}
    ways: dict[Route, list[Seen]] = {}
    for it in used:
        ways.setdefault(it.route, []).append(it)
    closed = [its for its in ways.values() if all(it.failure for it in its)]
    return [min([it for it in its if it.family in answering] or its, key=rank) for its in closed]


def taken(used: Sequence[Seen], *, closed: Sequence[Seen]) -> Seen | None:
    """The first open way that a submission goes: never a weaker one, where one failed to be secure."""
    danger = any(is_insecure(it) and it.route.security.encrypted for it in closed)
    ways = (it for it in used if it.failure is None)
    return next((it for it in ways if it.route.security.encrypted or not danger), None)
