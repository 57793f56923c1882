"""How does it stand with mail from here? All ways probed at once, and the verdict over them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from portmail.case import Surroundings
from portmail.cause import Cause
from portmail.diagnosis import LoginOutcome, diagnose
from portmail.dialing import Address, connect, resolve
from portmail.discovery.providers import by_host
from portmail.errors import CredentialsUnusable, DiscoveryError, DiscoveryIncomplete
from portmail.failure import Failure, Phase, RouteFailed
from portmail.network import is_online
from portmail.pools import Pools
from portmail.probing import TCP, Probing, Way
from portmail.reaching import Reach
from portmail.receipt import Attempt, Connected
from portmail.report import Probe, Report
from portmail.route import Route, anonymous_routes, submission_routes
from portmail.route_memory import Account, memory
from portmail.seen import closed_ways
from portmail.settings import Settings
from portmail.surroundings import here
from portmail.timeouts import Deadline, Timeouts
from portmail.transports.farewells import Farewells
from portmail.transports.tls import verified_context
from portmail.verdict import Verdict, judge

T = TypeVar("T")

PATIENCE = Timeouts(connect=10.0, greeting=30.0, command=30.0, total=60.0)
"""How long each wait of a probe lasts. Who would be waited for with a message is not called blocked: a
resolver asks its second server after five seconds. For a TCP connection see `probing.TCP`."""

_NAME = 1.0
"""Seconds for a name, where others were waited for in vain already."""

_MOST_HOSTS = 3
"""Hosts that are probed, where several were found."""

LIFE = 443
"""A port that few networks block: a connection there, or its refusal, shows that a host is alive."""

_FAMILIES: Mapping[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 6}


async def check(pools: Pools, *, login: bool) -> Report:
    """Look for the server if need be, and check the routes to it.

    Raises:
        CredentialsUnusable: a login is wished without credentials, or they do not fit the server.
        DiscoveryError: no server was found that may be used.
    """
    if login and pools.settings.credentials is None:
        raise CredentialsUnusable("a login needs credentials: give username and password")
    try:
        settings = await _routed(pools)
    except DiscoveryError as exc:
        sought = pools.settings.search
        failure = await _nobody_answers(sought.domain, error=exc) if sought else None
        if sought is None or failure is None:
            raise
        return _without_names(sought.domain, failure=failure)  # that says more than who was asked
    return await Check(settings).check(login=login)


async def _nobody_answers(domain: str, *, error: DiscoveryError) -> Failure | None:
    """Why nobody can be asked for a server: there is no network, or nobody who resolves names."""
    if not is_online():
        return Failure(Phase.CONNECT, Cause.RESOLVER_FAILED, domain)
    if not isinstance(error, DiscoveryIncomplete):
        return None
    try:
        await resolve(anonymous_routes(domain)[0], seconds=_NAME)
    except RouteFailed as exc:
        return exc.failure if exc.failure.cause is Cause.RESOLVER_FAILED else None
    return None


def _without_names(domain: str, *, failure: Failure) -> Report:
    """What is told where no name can be resolved. Nobody is dialled: the domain itself is no server."""
    probes = [
        Probe(
            route=route,
            family=None,
            address="",
            used=True,
            phase=failure.phase,
            failure=failure,
            seconds=0.0,
        )
        for route in submission_routes(domain)
    ]
    return Report(tuple(probes), diagnose([it.seen() for it in probes], surroundings=here()))


async def _routed(pools: Pools) -> Settings:
    """The settings with the routes of now; who has no credentials may want to know them all the same."""
    try:
        return await pools.routed()
    except CredentialsUnusable:
        if pools.settings.credentials is not None:
            raise
    findings = await pools.discover()
    return replace(pools.settings, routes=tuple(it.route for it in findings.candidates))


class _Resolved(NamedTuple):
    """What a name came to; where it has no addresses, why, and how long that took."""

    addresses: list[Address]
    failure: Failure | None = None
    seconds: float = 0.0


class Check:
    """One check of the routes of an account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verified = verified_context(**settings.pem_files)
        self._farewells = Farewells()
        self._deadline = Deadline(_patience(settings.timeouts))

    async def check(self, *, login: bool) -> Report:
        """Probe every way, and log in once if that is wished, for which there are credentials."""
        started = time.monotonic()
        try:
            report = await self._checked(login=login)
            await self._farewells.finish()
        except BaseException:
            await self._farewells.cut_short()
            raise
        return replace(report, seconds=time.monotonic() - started)

    async def _checked(self, *, login: bool) -> Report:
        ways = await self._ways()
        seconds = min(TCP, self._deadline.seconds(Phase.CONNECT))
        alive = asyncio.ensure_future(_alive(ways, seconds=seconds))
        try:
            probes = await _together(self._probing(way).probe() for way in ways)
            is_open = any(it.used and it.failure is None for it in probes)
            surroundings = self._surroundings(ways[0].route.host, alive=None if is_open else await alive)
        finally:
            alive.cancel()
            await asyncio.wait({alive})
        probes = [_recognised(it) for it in probes]
        verdict = diagnose([it.seen() for it in probes], surroundings=surroundings)
        report = Report(tuple(probes), verdict)
        self._learn(report)
        if login and report.can_send and report.route is not None:
            return await self._logged_in(report, surroundings=surroundings)
        return report

    def _surroundings(self, host: str, *, alive: bool | None) -> Surroundings:
        account = self._settings.credentials
        known = by_host(host) is not None
        return here(alive=alive, known=known, username=account.username if account else "")

    async def _ways(self) -> list[Way]:
        """Every route by every family of addresses that its host has; each host is resolved once."""
        routes = routes_to_probe(self._settings.routes)
        hosts = list(dict.fromkeys(route.host for route in routes))
        found = await _together(self._resolved(host) for host in hosts)
        by_name = dict(zip(hosts, found, strict=True))
        used = set(self._settings.routes)
        return [way for route in routes for way in _by_family(route, by_name[route.host], used=route in used)]

    async def _resolved(self, host: str) -> _Resolved:
        seconds, started = self._deadline.seconds(Phase.CONNECT), time.monotonic()
        try:
            return _Resolved(await resolve(anonymous_routes(host)[0], seconds=seconds))
        except RouteFailed as exc:
            return _Resolved([], exc.failure, time.monotonic() - started)

    def _probing(self, way: Way) -> Probing:
        return Probing(
            way,
            settings=self._settings,
            verified=self._verified,
            deadline=self._deadline,
            farewells=self._farewells,
        )

    def _learn(self, report: Report) -> None:
        """What was seen is as good as what a message goes through, and teaches the same."""
        way = next((it for it in report.probes if it.route == report.route and it.failure is None), None)
        if way is None or not report.can_send:
            return
        used = [it for it in report.probes if it.used]
        connected = Connected(way.route, way.tls, logged_in=False, attempts=_closed(used))
        memory().learn(
            connected,
            account=Account.of(self._settings),
            walked=self._settings.routes,
            beside=[it.route for it in used if it.failure is None],
        )

    async def _logged_in(self, report: Report, *, surroundings: Surroundings) -> Report:
        """The credentials shown once, on the route that a message would take."""
        assert report.route is not None
        reach = Reach(
            self._settings,
            verified=self._verified,
            deadline=Deadline(_patience(self._settings.timeouts)),
            danger=asyncio.Event(),
            farewells=self._farewells,
        )
        started = time.monotonic()
        reached = await reach.reach([report.route])
        if reached.session is not None:
            self._farewells.begin(reached.session.wire.leave())
            seconds = time.monotonic() - started
            login = Attempt(report.route, Phase.AUTH, None, Verdict.ACCEPTED, seconds)
        else:
            login = reached.attempts[-1]
        seen = [it.seen() for it in report.probes]
        verdict = diagnose(seen, surroundings=surroundings, login=LoginOutcome(login.error))
        return replace(report, login=login, showed_secret=reached.showed_secret, diagnosis=verdict)


def routes_to_probe(used: Sequence[Route]) -> tuple[Route, ...]:
    """The account's own routes, then the usual ports and the provider's others at the same hosts.

    Of one port, the account's own mode counts; then the provider's.
    """
    routes = {(route.host, route.port): route for route in used}
    for host in islice(dict.fromkeys(route.host for route in used), _MOST_HOSTS):
        provider = by_host(host)
        theirs = {route.port: route for route in (provider.routes if provider else ())}
        for route in (*anonymous_routes(host), *theirs.values()):
            routes.setdefault((route.host, route.port), theirs.get(route.port, route))
    return tuple(routes.values())


def _patience(wish: Timeouts) -> Timeouts:
    """Ours, unless the user's own is shorter."""
    names = ("connect", "greeting", "command", "total")
    return replace(PATIENCE, **{name: min(getattr(PATIENCE, name), getattr(wish, name)) for name in names})


async def _together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them bring, in their order. Where one raises or nobody waits any more, none goes on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _by_family(route: Route, found: _Resolved, *, used: bool) -> list[Way]:
    if found.failure is not None:
        return [Way(route, None, (), used, found.failure, found.seconds)]
    families: dict[int, list[Address]] = {}
    for address in found.addresses:
        sockaddr = (address.sockaddr[0], route.port, *address.sockaddr[2:])
        families.setdefault(_FAMILIES[address.family], []).append(address._replace(sockaddr=sockaddr))
    return [Way(route, family, addresses, used) for family, addresses in families.items()]


async def _alive(ways: Sequence[Way], *, seconds: float) -> bool:
    """Whether anybody is at the first host's addresses, by a port that has nothing to do with mail.

    One address of each family is asked: who answers by one need not by the other.
    """
    first = [way for way in ways if way.route.host == ways[0].route.host and way.addresses]
    addresses = {address: None for way in first for address in (_with_port(it) for it in way.addresses[:1])}
    return any(await _together(_is_there(address, seconds=seconds) for address in addresses))


async def _is_there(address: Address, *, seconds: float) -> bool:
    try:
        (await connect([address], seconds=seconds)).close()
    except RouteFailed as exc:
        return exc.failure.cause is Cause.REFUSED
    return True


def _with_port(address: Address) -> Address:
    return address._replace(sockaddr=(address.sockaddr[0], LIFE, *address.sockaddr[2:]))


def _recognised(probe: Probe) -> Probe:
    """The probe, in the light of what the route offered before."""
    if probe.failure is None:
        return probe
    return replace(probe, failure=memory().recognise(probe.failure, route=probe.route))


def _closed(used: Sequence[Probe]) -> tuple[Attempt, ...]:
    """The attempts on the routes that are open by no family of addresses, one for each."""
    probes = {(it.route, it.family): it for it in used}
    closed = closed_ways([it.seen() for it in used])
    return tuple(_attempt(probes[it.route, it.family]) for it in closed)


def _attempt(probe: Probe) -> Attempt:
    assert probe.failure is not None
    return Attempt(probe.route, probe.phase, probe.failure, judge(probe.failure), probe.seconds)
