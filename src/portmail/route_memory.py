"""Which route worked before, and what is blocked here? What is learnt of a walk over the routes.

It decides an order and how a failure is told, nothing else. Routes are the settings': none is added or
left out. Which host comes first is the settings' as well: a host may be there for the worst case alone,
and know neither the account nor the sender. And as a network can make a route fail, what was learnt never
puts a route before a more secure one.

Nothing stands between this machine and itself: loopback hosts are neither remembered nor looked up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from portmail import log
from portmail.cause import SHUT, Cause
from portmail.failure import UNHEARD, Failure, Phase
from portmail.network import is_this_machine, network_id
from portmail.receipt import Attempt, Connected
from portmail.route import Route
from portmail.security import Security
from portmail.settings import Settings
from portmail.store import Key, Store
from portmail.verdict import judge

_DAY = 86400.0

GOOD, STARTTLS = 30 * _DAY, 180 * _DAY
"""Seconds for which a route is remembered that worked where others did not; and that STARTTLS was offered."""

BLOCKED = (600.0, 1800.0, 5400.0, 16200.0, 21600.0)
"""Seconds for which a port is taken for blocked: the first time, and each time that it is found so again."""

_FRESH = _DAY
"""Seconds after which what still holds is written again. A finding that ended so long ago counts no more."""

_BOUND = 1024
"""Entries of a cache. A program that has more looks some of them up again."""

_NETWORKS = (*SHUT, Cause.SILENT, Cause.NO_REPLY)
"""How a route fails that the network stops. What fails in another way costs no time, or passes soon."""

_WITHOUT_STARTTLS: Mapping[Cause, Cause] = MappingProxyType(
    {
        Cause.STARTTLS_NOT_OFFERED: Cause.STARTTLS_STRIPPED,
        Cause.CLEAR_AUTH: Cause.STARTTLS_STRIPPED,
        Cause.STARTTLS_STRIPPED: Cause.STARTTLS_STRIPPED,
        Cause.PROXY: Cause.PROXY,
    }
)
"""How STARTTLS can be missing, and what that is on a route that had it before."""


class Account(NamedTuple):
    """Whose routes they are: who logs in (empty for nobody), and all the routes, in whichever order."""

    username: str
    routes: frozenset[Route]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """That of these settings."""
        credentials = settings.credentials
        return cls(credentials.username if credentials else "", frozenset(settings.routes))

    def key(self, network: str, *, host: str) -> Key:
        """What is remembered of its routes to a host, in a network, goes by this."""
        return (network, self.username, host, *sorted(map(str, self.routes)))


class _Passed(NamedTuple):
    """What a walk passed by: the attempts that failed though they had their time, and the route it took."""

    failed: Sequence[Attempt]
    earlier: Collection[Route]
    by: Route

    @classmethod
    def of(cls, connected: Connected, *, walked: Sequence[Route]) -> Self:
        """That of this walk. Whoever was overtaken by a route before it had less time."""
        route = connected.route
        earlier = walked[: walked.index(route)] if route in walked else ()
        failed = [it for it in connected.attempts if _cause(it) is not Cause.OVERTAKEN or it.route in earlier]
        return cls([it for it in failed if it.error], earlier, route)

    def was_stopped(self, attempt: Attempt) -> bool:
        """Whether it was the network that stopped it, where the same host was ready later, as secure."""
        route, cause = attempt.route, _cause(attempt)
        if not self._is_same_host(route) or _strength(route) is not _strength(self.by):
            return False
        silent = cause in _NETWORKS and attempt.phase in UNHEARD
        return route in self.earlier and (silent or cause is Cause.OVERTAKEN)

    def unconnected(self) -> Iterator[Route]:
        """Those to which no connection could be made, while one was made to another."""
        for attempt in self.failed:
            overtaken = _cause(attempt) is Cause.OVERTAKEN and self._is_same_host(attempt.route)
            silent = attempt.phase is Phase.CONNECT and (overtaken or _cause(attempt) in SHUT)
            if silent and not _is_near(attempt.route):
                yield attempt.route

    def _is_same_host(self, route: Route) -> bool:
        return route.host == self.by.host


class _Finding(NamedTuple):
    """When something was found (Unix time), for how many seconds that holds, and which route it is."""

    when: float
    seconds: float
    route: str = ""

    def holds(self, now: float) -> bool:
        """Not where the clock was set back behind it: then nobody knows how old it is."""
        return 0 <= now - self.when < self.seconds

    def is_fresh(self, now: float) -> bool:
        """Whether it need not be written again."""
        return 0 <= now - self.when < _FRESH


_FIELDS: Mapping[str, type] = MappingProxyType({"when": float, "seconds": float, "route": str})
"""What a file has, with exactly these types."""


class RouteMemory:
    """What is remembered, in this program and in a store. `clock` tells the Unix time, `network` the network.

    It is safe for many threads, and after fork: dicts, files, and no locks. A store that cannot be
    written costs nothing but the time of a walk in the next run. Nothing here raises.
    """

    def __init__(
        self, store: Store, *, clock: Callable[[], float] = time.time, network: Callable[[], str] = network_id
    ) -> None:
        self._good = _Shelf(store, "good-routes", longest=GOOD)
        self._blocked = _Shelf(store, "blocked-ports", longest=BLOCKED[-1])
        self._starttls = _Shelf(store, "starttls", longest=STARTTLS)
        self._clock = clock
        self._network = network

    def ordered(
        self, routes: Sequence[Route], *, account: Account, demoted: Collection[Route] = ()
    ) -> list[Route]:
        """The routes in the order in which they are to be tried.

        Those that are `demoted` come last. Otherwise each host keeps its places among neighbours of one
        strength: of its routes there, the one that worked where others were stopped comes first, and those
        whose port is blocked last.
        """
        # A blocked port changes nothing between hosts either. It may be silent because a host is down, or
        # never had it, and another account's host at that: then mail would go to a host of the second
        # choice for hours, which may refuse it for good. What is lost is the start that the race gives.
        given = sorted(routes, key=demoted.__contains__)
        runs = [list(run) for _, run in groupby(given, lambda it: (it in demoted, _strength(it)))]
        hosts = [_by_host(run) for run in runs]
        choices = [its for by_host in hosts for its in by_host.values() if len(its) > 1]
        self._rank([its for its in choices if not _is_near(its[0])], account=account)
        return [by_host[route.host].pop(0) for run, by_host in zip(runs, hosts, strict=True) for route in run]

    def _rank(self, choices: Sequence[list[Route]], *, account: Account) -> None:
        """Sort the routes of each choice, all of them to one host, by what is known of them."""
        if not choices:
            return
        network, now = self._network(), float(self._clock())
        for routes in choices:
            found = self._good.read(account.key(network, host=routes[0].host))
            good = found.route if found and found.holds(now) else None
            blocked = {it: self._is_blocked(it.port, network=network, now=now) for it in routes}
            routes.sort(key=lambda it: (str(it) != good, blocked[it]))

    def _is_blocked(self, port: int, *, network: str, now: float) -> bool:
        found = self._blocked.read((network, str(port)))
        return found is not None and found.holds(now)

    def learn(
        self,
        connected: Connected,
        *,
        account: Account,
        walked: Sequence[Route],
        beside: Collection[Route] = (),
    ) -> None:
        """Remember what a walk came to that found a session: over which routes, in which order.

        `connected.attempts` are those that failed on the way, `beside` what was seen to be open as well.
        A walk that found none teaches nothing: there may be no network at all.
        """
        if _is_near(connected.route):
            return
        now = float(self._clock())
        self._learn_starttls(connected, now=now)
        if len(walked) > 1:
            network = self._network()
            passed = _Passed.of(connected, walked=walked)
            self._learn_good(passed, account=account, network=network, now=now)
            self._learn_blocked(passed, open_ports=_ports(connected.route, *beside), network=network, now=now)

    def _learn_starttls(self, connected: Connected, *, now: float) -> None:
        route, key = connected.route, _place(connected.route)
        if route.security not in (Security.STARTTLS, Security.OPPORTUNISTIC):
            return
        found = self._starttls.read(key)
        if connected.tls is None:
            if found and found.holds(now):  # the mode allows it, but nobody may notice
                log.unencrypted(route, before=_date(found))
        elif found is None or not found.is_fresh(now):
            self._starttls.write(key, _Finding(now, STARTTLS))

    def _learn_good(self, passed: _Passed, *, account: Account, network: str, now: float) -> None:
        """Remember the route if the network stopped others of its host; forget those that failed.

        A route that is only used is not remembered on: that shows nothing of the others.
        """
        if any(map(passed.was_stopped, passed.failed)):
            key, good = account.key(network, host=passed.by.host), str(passed.by)
            found = self._good.read(key)
            if found is None or found.route != good or not found.is_fresh(now):
                self._good.write(key, _Finding(now, GOOD, good))
        for failed in passed.failed:
            if _is_near(failed.route):
                continue
            key = account.key(network, host=failed.route.host)
            found = self._good.read(key)
            if found and found.route == str(failed.route):
                self._good.forget(key)

    def _learn_blocked(
        self, passed: _Passed, *, open_ports: Collection[int], network: str, now: float
    ) -> None:
        for port in open_ports:
            if self._blocked.read((network, str(port))):
                self._blocked.forget((network, str(port)))
        for port in _ports(*passed.unconnected()).difference(open_ports):
            key = (network, str(port))
            found = self._blocked.read(key)
            if found is None or not found.holds(now):
                self._blocked.write(key, _Finding(now, _seconds(found, now=now)))

    def recognised(self, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
        """The attempts, with those told as what they are that miss STARTTLS where it was offered before."""
        return tuple(map(self._recognised, attempts))

    def _recognised(self, attempt: Attempt) -> Attempt:
        if attempt.error is None or attempt.error.cause not in _WITHOUT_STARTTLS:
            return attempt
        failure = self.recognise(attempt.error, route=attempt.route)
        return replace(attempt, error=failure, verdict=judge(failure))

    def recognise(self, failure: Failure, *, route: Route) -> Failure:
        """The failure; where STARTTLS is missing that the route offered before, told as that."""
        if failure.cause not in _WITHOUT_STARTTLS or _is_near(route):
            return failure
        found = self._starttls.read(_place(route))
        if found is None or not found.holds(self._clock()):
            return failure
        told = f"it offered STARTTLS on {_date(found)}"
        detail = f"{told}; {failure.detail}" if failure.detail else told
        return replace(failure, cause=_WITHOUT_STARTTLS[failure.cause], detail=detail)


class _Shelf:
    """Findings of one kind: in the store, and in a bounded cache. None holds for more than `longest`."""

    def __init__(self, store: Store, kind: str, *, longest: float) -> None:
        self._store = store
        self._kind = kind
        self._longest = longest
        self._known: dict[Key, _Finding | None] = {}

    def read(self, key: Key) -> _Finding | None:
        """What was found last, whether it still holds or not."""
        try:
            return self._known[key]
        except KeyError:
            return self._keep(key, self._parsed(self._store.read(self._kind, key)))

    def write(self, key: Key, finding: _Finding) -> None:
        """Remember it in place of what was there."""
        self._keep(key, finding)
        self._store.write(self._kind, key, finding._asdict())

    def forget(self, key: Key) -> None:
        """Remember it no longer, whatever the store still says."""
        self._keep(key, None)
        self._store.forget(self._kind, key)

    def _keep(self, key: Key, finding: _Finding | None) -> _Finding | None:
        self._known[key] = finding
        if len(self._known) > _BOUND:
            for oldest in tuple(self._known)[:-_BOUND]:
                self._known.pop(oldest, None)
        return finding

    def _parsed(self, told: dict[str, Any] | None) -> _Finding | None:
        """What a file says, if it says exactly what is written there."""
        if told is None or {name: type(value) for name, value in told.items()} != _FIELDS:
            return None
        finding = _Finding(**told)
        return finding if 0 < finding.seconds <= self._longest else None


def memory() -> RouteMemory:
    """That of this program, with the user's store. PORTMAIL_CACHE is looked at each time."""
    return _memory(os.environ.get("PORTMAIL_CACHE"))


@lru_cache(maxsize=8)  # a cache: what one submitter learns is there for the next
def _memory(_wish: str | None) -> RouteMemory:
    return RouteMemory(Store.usual())


def _place(route: Route) -> Key:
    return route.host, str(route.port)


def _date(finding: _Finding) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(finding.when))


def _is_near(route: Route) -> bool:
    return is_this_machine(route.host)


def _strength(route: Route) -> Security | None:
    """How secure it is; None for both ways to insist on verified TLS (RFC 8314 section 3)."""
    return None if route.security.encrypted else route.security


def _by_host(routes: Sequence[Route]) -> dict[str, list[Route]]:
    hosts: dict[str, list[Route]] = {}
    for route in routes:
        hosts.setdefault(route.host, []).append(route)
    return hosts


def _ports(*routes: Route) -> set[int]:
    return {route.port for route in routes}


def _cause(attempt: Attempt) -> Cause | None:
    return attempt.error.cause if attempt.error else None


def _seconds(found: _Finding | None, *, now: float) -> float:
    """For how long a port is taken for blocked that was found so before, or never."""
    if found is None or not 0 <= now - found.when - found.seconds < _FRESH:
        return BLOCKED[0]
    return next((longer for longer in BLOCKED if longer > found.seconds), BLOCKED[-1])
