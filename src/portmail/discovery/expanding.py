"""Which other ports does a host have that was found? The other usual one, and those its provider lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from portmail.candidate import Candidate, Trust
from portmail.discovery.providers import by_host
from portmail.route import PORTS, SUBMISSION, SUBMISSIONS, Route
from portmail.security import Security

_USUAL = (SUBMISSIONS, SUBMISSION)


def expanded(candidates: Sequence[Candidate], *, complete: bool) -> tuple[Candidate, ...]:
    """The candidates host by host, in the order in which the source names the hosts.

    Within a host, what the source lists comes before what is added here, the usual ports before others,
    and implicit TLS before STARTTLS (RFC 8314 section 3). `complete`: the source says all that there is,
    and nothing is added.
    """
    hosts = dict.fromkeys(candidate.route.host for candidate in candidates)
    found: list[Candidate] = []
    for host in hosts:
        own = _once([candidate for candidate in candidates if candidate.route.host == host])
        found += sorted(own if complete else [*own, *_others(own)], key=_late)
    return tuple(found)


def _once(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each port once, as it is named first: a port has one mode."""
    ports: dict[int, Candidate] = {}
    for candidate in candidates:
        ports.setdefault(candidate.route.port, candidate)
    return list(ports.values())


def _others(own: Sequence[Candidate]) -> list[Candidate]:
    """What the source does not list."""
    first, routes = own[0], {candidate.route.port: candidate.route for candidate in own}
    added: list[Candidate] = []
    for route, why in (*_listed_by_us(first), *_usual(first, routes.values())):
        if route.port not in routes:  # a port has one mode
            routes[route.port] = route
            added.append(replace(first, route=route, derived=why))
    return added


def _listed_by_us(candidate: Candidate) -> list[tuple[Route, str]]:
    """The ports that the table of providers has for this host."""
    provider = by_host(candidate.route.host)
    return [(route, f"{provider.name} has this port, too") for route in provider.routes] if provider else []


def _usual(candidate: Candidate, routes: Collection[Route]) -> list[tuple[Route, str]]:
    """The usual port of a mode that nobody lists, unless the host is known to have no other."""
    provider = by_host(candidate.route.host)
    if candidate.trust is Trust.UNSIGNED or (provider is not None and provider.only):
        return []
    modes = {route.security for route in (*routes, *(provider.routes if provider else ()))}
    host, why = candidate.route.host, "the other usual port of the same host"
    return [(Route(host, port, PORTS[port]), why) for port in _USUAL if PORTS[port] not in modes]


def _late(candidate: Candidate) -> tuple[bool, bool, bool]:
    route = candidate.route
    return bool(candidate.derived), route.port not in _USUAL, route.security is Security.STARTTLS
