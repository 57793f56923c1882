"""Which route worked before, and what is blocked here? What is learnt of a walk over the routes.

It decides an order and how a failure is told, nothing else. Routes are the settings': none is added or
left out. And as a network can make a route fail, what was learnt never puts a route that does not insist
on verified TLS before one that does.

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
from portmail.cause import Cause
from portmail.failure import Failure, Phase
from portmail.network import is_this_machine, network_id
from portmail.receipt import Attempt, Connected
from portmail.route import Route
from portmail.security import Security
from portmail.settings import Settings
from portmail.store import Key, Store
from portmail.verdict import judge

_DAY = 86400.0

GOOD, STARTTLS = 30 * _DAY, 180 * _DAY
"""Seconds for which a route is remembered that worked; and that STARTTLS was offered."""

BLOCKED = (600.0, 1800.0, 5400.0, 16200.0, 21600.0)
"""Seconds for which a port is taken for blocked: the first time, and each time that it is found so again."""

_FRESH = _DAY
"""Seconds after which what still holds is written again. A finding that ended so long ago counts no more."""

_BOUND = 1024
"""Entries of a cache. A program that has more looks some of them up again."""

_SILENCES = (Cause.TIMED_OUT, Cause.PROHIBITED)
"""How a connection fails that a firewall keeps from being made, where others are made."""

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

    def key(self, network: str) -> Key:
        """What is remembered of it in a network goes by this."""
        return (network, self.username, *sorted(map(str, self.routes)))


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

        Those that are `demoted` come last. Otherwise they stay as they are given, but that among
        neighbours of one strength the one that worked last comes first, and those whose port is blocked last.
        """
        given = sorted(routes, key=demoted.__contains__)
        runs = [list(run) for _, run in groupby(given, lambda it: (it in demoted, it.security.encrypted))]
        if any(len(run) > 1 and not all(map(_is_near, run)) for run in runs):
            rank = self._rank(account)
            for run in runs:
                run.sort(key=rank)
        return [route for run in runs for route in run]

    def _rank(self, account: Account) -> Callable[[Route], tuple[bool, bool]]:
        network, now = self._network(), float(self._clock())
        found = self._good.read(account.key(network))
        good = found.route if found and found.holds(now) else None

        def rank(route: Route) -> tuple[bool, bool]:
            if _is_near(route):
                return True, False
            return str(route) != good, self._is_blocked(route.port, network=network, now=now)

        return rank

    def is_blocked(self, port: int) -> bool:
        """Whether connections to this port were found to be blocked lately, in the network of now."""
        return self._is_blocked(port, network=self._network(), now=float(self._clock()))

    def _is_blocked(self, port: int, *, network: str, now: float) -> bool:
        found = self._blocked.read((network, str(port)))
        return found is not None and found.holds(now)

    def learn(self, connected: Connected, *, account: Account, walked: Sequence[Route]) -> None:
        """Remember what a walk came to that found a session: over which routes, in which order.

        `connected.attempts` are those that failed on the way. A walk that found none teaches nothing:
        there may be no network at all.
        """
        if _is_near(connected.route):
            return
        now = float(self._clock())
        self._learn_starttls(connected, now=now)
        if len(walked) > 1:
            network = self._network()
            self._learn_good(connected, key=account.key(network), now=now)
            self._learn_blocked(connected, walked=walked, network=network, now=now)

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

    def _learn_good(self, connected: Connected, *, key: Key, now: float) -> None:
        """Remember the route if others failed before it; else its place is that of the settings."""
        found = self._good.read(key)
        same = found is not None and found.route == str(connected.route)
        if not found.is_fresh(now) if found and same else connected.attempts:
            self._good.write(key, _Finding(now, GOOD, str(connected.route)))

    def _learn_blocked(
        self, connected: Connected, *, walked: Sequence[Route], network: str, now: float
    ) -> None:
        open_port = connected.route.port
        if self._blocked.read((network, str(open_port))):
            self._blocked.forget((network, str(open_port)))
        for port in {*_blocked_ports(connected, walked=walked)} - {open_port}:
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


def _seconds(found: _Finding | None, *, now: float) -> float:
    """For how long a port is taken for blocked that was found so before, or never."""
    if found is None or not 0 <= now - found.when - found.seconds < _FRESH:
        return BLOCKED[0]
    return next((longer for longer in BLOCKED if longer > found.seconds), BLOCKED[-1])


def _blocked_ports(connected: Connected, *, walked: Sequence[Route]) -> Iterator[int]:
    """The ports on which no connection could be made, while one was made on another."""
    for attempt in connected.attempts:
        failure = attempt.error
        if failure is None or failure.phase is not Phase.CONNECT or _is_near(attempt.route):
            continue
        if failure.cause in _SILENCES or _was_overtaken(attempt, by=connected.route, walked=walked):
            yield attempt.route.port


def _was_overtaken(attempt: Attempt, *, by: Route, walked: Sequence[Route]) -> bool:
    """Whether the same host was ready on another port, although that one was tried later."""
    if attempt.error is None or attempt.error.cause is not Cause.OVERTAKEN or attempt.route.host != by.host:
        return False
    order = {route: turn for turn, route in enumerate(walked)}
    return order.get(attempt.route, len(order)) < order.get(by, 0)
