"""Is what a walk came to remembered, for as long as it holds, and does it decide no more than an order?"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portmail
from portmail import Cause, Phase, Route, Security, route_memory
from portmail.failure import Failure
from portmail.receipt import Attempt, Connected
from portmail.route import anonymous_routes, submission_routes
from portmail.route_memory import Account, RouteMemory, memory
from portmail.sandbox import Sandbox
from portmail.security import TlsEvidence
from portmail.settings import from_arguments
from portmail.store import Key, Nowhere, Store
from portmail.transports.wire import Wire
from portmail.verdict import judge
from tests.leaks import PASSWORD, USER, traces
from tests.messages import message
from tests.servers.dialogue import play

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NOW = 1_795_000_000.0
"""It is 2026-11-18 in UTC."""

HOST = "mail.example.com"
ROUTES = submission_routes(HOST)
STARTTLS, IMPLICIT = ROUTES
RELAY = Route(HOST, 25, Security.OPPORTUNISTIC)
ACCOUNT = Account(USER, frozenset(ROUTES))
TLS = TlsEvidence("TLSv1.3", "TLS_AES_256_GCM_SHA384", HOST)


@dataclass
class World:
    """A clock, a network, and a store, all of which stay until they are changed."""

    root: Path
    now: float = NOW
    network: str = "192.0.2.0/24"
    asked: int = 0
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.root)

    def where(self) -> str:
        self.asked += 1
        return self.network

    def program(self, store: Store | None = None) -> RouteMemory:
        """The memory of another program of the same user."""
        return RouteMemory(store or self.store, clock=lambda: self.now, network=self.where)


class Counting(Store):
    """A store that counts how often it is used."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = self.writes = 0

    def read(self, kind: str, key: Key) -> dict[str, Any] | None:
        self.reads += 1
        return super().read(kind, key)

    def write(self, kind: str, key: Key, value: Mapping[str, Any]) -> bool:
        self.writes += 1
        return super().write(kind, key, value)

    def forget(self, kind: str, key: Key) -> None:
        self.writes += 1
        super().forget(kind, key)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "portmail")


@pytest.fixture
def remembering(world: World) -> RouteMemory:
    return world.program()


def attempt(route: Route, cause: Cause, *, phase: Phase = Phase.CONNECT, detail: str = "") -> Attempt:
    failure = Failure(phase, cause, detail)
    return Attempt(route, phase, failure, judge(failure), 0.4)


def won(route: Route, *failed: Attempt, tls: bool = True) -> Connected:
    return Connected(route, TLS if tls else None, logged_in=True, attempts=failed)


def is_blocked(program: RouteMemory, port: int) -> bool:
    """Whether it tries that port, at a host that it does not know, behind one that it does not know."""
    routes = [Route("new.example.net", it, Security.IMPLICIT_TLS) for it in (port, 1)]
    return program.ordered(routes, account=Account("", frozenset(routes))) == routes[::-1]


BLOCKED = won(IMPLICIT, attempt(STARTTLS, Cause.OVERTAKEN))
"""587 was silent, and 465 was ready."""

MUTE = won(IMPLICIT, attempt(STARTTLS, Cause.OVERTAKEN, phase=Phase.GREETING))
"""587 took the connection and was silent, which says nothing of the port."""

BACK = won(STARTTLS, attempt(IMPLICIT, Cause.OVERTAKEN))
"""465 was tried first and was silent, and 587 was ready."""


def learn(
    remembering: RouteMemory,
    connected: Connected,
    *,
    account: Account = ACCOUNT,
    walked: Sequence[Route] | None = None,
) -> None:
    walked = walked or sorted(account.routes, key=lambda it: -it.port)
    remembering.learn(connected, account=account, walked=walked)


def learn_back(remembering: RouteMemory) -> None:
    """That 465, tried first, was silent."""
    learn(remembering, BACK, walked=(IMPLICIT, STARTTLS))


def ordered(remembering: RouteMemory, *routes: Route, account: Account = ACCOUNT) -> list[Route]:
    return remembering.ordered(routes or ROUTES, account=account)


# An order.


def test_where_nothing_is_known_routes_stay_as_they_are_given(remembering: RouteMemory) -> None:
    assert ordered(remembering) == [STARTTLS, IMPLICIT]
    assert ordered(remembering, IMPLICIT, STARTTLS) == [IMPLICIT, STARTTLS]
    assert remembering.ordered((), account=ACCOUNT) == []


def test_the_route_that_worked_last_is_tried_first_by_all_programs(world: World) -> None:
    first = world.program()
    learn(first, BLOCKED)
    assert ordered(first) == [IMPLICIT, STARTTLS]
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]


def test_it_is_remembered_without_a_store_in_this_program_alone(world: World) -> None:
    first = world.program(Nowhere())
    learn(first, BLOCKED)
    assert ordered(first) == [IMPLICIT, STARTTLS]
    assert ordered(world.program(Nowhere())) == [STARTTLS, IMPLICIT]


def test_a_route_that_wins_in_its_turn_is_no_news(world: World) -> None:
    """Of several targets of equal weight another one is drawn each time (RFC 2782)."""
    a, b = Route("a.example", 465, Security.IMPLICIT_TLS), Route("b.example", 465, Security.IMPLICIT_TLS)
    account = Account(USER, frozenset({a, b}))
    remembering = world.program()
    remembering.learn(won(a), account=account, walked=(a, b))
    assert ordered(remembering, b, a, account=account) == [b, a]


@pytest.mark.parametrize(
    ("change", "known"),
    [
        pytest.param({"network": "198.51.100.0/24"}, False, id="another network"),
        pytest.param({"account": Account("you@example.org", frozenset(ROUTES))}, False, id="another user"),
        pytest.param({"account": Account("", frozenset(ROUTES))}, False, id="nobody"),
        pytest.param({"account": Account(USER, frozenset({*ROUTES, RELAY}))}, False, id="other routes"),
        pytest.param({"account": Account(USER, frozenset(ROUTES[::-1]))}, True, id="the same ones"),
        pytest.param({"now": NOW + 30 * DAY - 1}, True, id="29 days later"),
        pytest.param({"now": NOW + 30 * DAY}, False, id="30 days later"),
        pytest.param({"now": NOW - 1}, False, id="before it was found"),
    ],
)
def test_it_is_remembered_of_an_account_in_a_network_for_30_days(
    world: World, change: dict[str, Any], known: bool
) -> None:
    learn(world.program(), MUTE)
    account = change.pop("account", ACCOUNT)
    for name, value in change.items():
        setattr(world, name, value)
    assert ordered(world.program(), account=account) == ([IMPLICIT, STARTTLS] if known else list(ROUTES))


@pytest.mark.parametrize("cause", [Cause.OVERTAKEN, Cause.TIMED_OUT, Cause.SILENT])
def test_a_remembered_route_that_is_silent_is_replaced_by_the_one_that_won(
    world: World, cause: Cause
) -> None:
    remembering = world.program()
    learn(remembering, MUTE)
    silent = attempt(IMPLICIT, cause, phase=Phase.GREETING)
    learn(remembering, won(STARTTLS, silent), walked=ordered(remembering))
    for program in (remembering, world.program()):
        assert ordered(program, IMPLICIT, STARTTLS) == [STARTTLS, IMPLICIT]


OTHERS = submission_routes("other.example")
"""A host of the second choice."""


@pytest.mark.parametrize("winner", [STARTTLS, OTHERS[0]], ids=str)
@pytest.mark.parametrize("cause", [it for it in Cause if it is not Cause.OVERTAKEN])
def test_a_remembered_route_that_failed_is_forgotten(world: World, cause: Cause, winner: Route) -> None:
    learn(world.program(), MUTE)
    failed = attempt(IMPLICIT, cause, phase=Phase.AUTH)
    learn(world.program(), won(winner, failed), walked=(IMPLICIT, STARTTLS, *OTHERS))
    assert ordered(world.program()) == [STARTTLS, IMPLICIT]


@pytest.mark.parametrize(
    ("walked", "known"),
    [((IMPLICIT, *OTHERS, STARTTLS), False), ((OTHERS[0], IMPLICIT, STARTTLS, OTHERS[1]), True)],
    ids=["it had its time", "another one was quicker"],
)
def test_a_remembered_route_is_forgotten_where_it_was_overtaken_though_it_was_tried_before(
    world: World, walked: tuple[Route, ...], known: bool
) -> None:
    learn(world.program(), MUTE)
    learn(world.program(), won(OTHERS[0], attempt(IMPLICIT, Cause.OVERTAKEN)), walked=walked)
    assert ordered(world.program()) == ([IMPLICIT, STARTTLS] if known else [STARTTLS, IMPLICIT])


def test_a_remembered_route_stays_where_another_one_failed(world: World) -> None:
    learn(world.program(), MUTE)
    learn(world.program(), won(IMPLICIT, attempt(STARTTLS, Cause.REFUSED)))
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]


def test_what_is_only_used_is_not_remembered_on(world: World) -> None:
    """After 30 days the race is run again, and may come to the same again."""
    remembering = world.program()
    learn(remembering, MUTE)
    for day in (10, 20, 29):
        world.now = NOW + day * DAY
        learn(remembering, won(IMPLICIT))
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]
    world.now = NOW + 30 * DAY
    assert ordered(remembering) == ordered(world.program()) == [STARTTLS, IMPLICIT]
    learn(remembering, MUTE)
    world.now += 30 * DAY - 1
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]


def test_what_is_shown_again_is_remembered_on(world: World) -> None:
    for _ in range(3):
        learn(world.program(), MUTE)
        world.now += 29 * DAY
        assert ordered(world.program()) == [IMPLICIT, STARTTLS]


BEFORE = (STARTTLS, IMPLICIT, RELAY, *OTHERS)
SHOWN: Mapping[str, tuple[Cause, Phase, Route, Route, Sequence[Route], bool]] = {
    "silence": (Cause.TIMED_OUT, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, True),
    "forbidden": (Cause.PROHIBITED, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, True),
    "overtaken": (Cause.OVERTAKEN, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, True),
    "overtaken while it was mute": (Cause.OVERTAKEN, Phase.GREETING, STARTTLS, IMPLICIT, BEFORE, True),
    "mute": (Cause.SILENT, Phase.GREETING, STARTTLS, IMPLICIT, BEFORE, True),
    "mute in the handshake": (Cause.NO_REPLY, Phase.TLS, IMPLICIT, STARTTLS, BEFORE[1::-1], True),
    "a server that is stuck": (Cause.NO_REPLY, Phase.AUTH, STARTTLS, IMPLICIT, BEFORE, False),
    "refused": (Cause.REFUSED, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, False),
    "dropped": (Cause.DROPPED, Phase.GREETING, STARTTLS, IMPLICIT, BEFORE, False),
    "no way": (Cause.UNREACHABLE, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, False),
    "a server that says later": (Cause.REFUSED_TRANSIENT, Phase.GREETING, STARTTLS, IMPLICIT, BEFORE, False),
    "a certificate": (Cause.CERTIFICATE_EXPIRED, Phase.TLS, STARTTLS, IMPLICIT, BEFORE, False),
    "no time was left": (Cause.OUT_OF_TIME, Phase.CONNECT, STARTTLS, IMPLICIT, BEFORE, False),
    "silence behind it": (Cause.TIMED_OUT, Phase.CONNECT, IMPLICIT, STARTTLS, BEFORE, False),
    "overtaken by one before it": (Cause.OVERTAKEN, Phase.CONNECT, IMPLICIT, STARTTLS, BEFORE, False),
    "silence of another host": (Cause.TIMED_OUT, Phase.CONNECT, STARTTLS, OTHERS[1], BEFORE, False),
    "another host was quicker": (Cause.OVERTAKEN, Phase.GREETING, STARTTLS, OTHERS[1], BEFORE, False),
    "silence of a stronger one": (Cause.TIMED_OUT, Phase.CONNECT, STARTTLS, RELAY, BEFORE, False),
    "a walk over others": (Cause.TIMED_OUT, Phase.CONNECT, STARTTLS, IMPLICIT, OTHERS, False),
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_a_route_is_remembered_where_the_network_stopped_others_of_its_host_before_it(
    world: World, shown: tuple[Cause, Phase, Route, Route, Sequence[Route], bool]
) -> None:
    cause, phase, failed, winner, walked, known = shown
    account = Account(USER, frozenset(BEFORE))
    learn(world.program(), won(winner, attempt(failed, cause, phase=phase)), account=account, walked=walked)
    assert (world.root / "good-routes").exists() is known
    world.now += 10 * HOUR  # what is blocked is forgotten
    there = [it for it in BEFORE if it.host == winner.host and it != winner and it.security.encrypted]
    told = ordered(world.program(), *there, winner, account=account)
    assert told == ([winner, *there] if known else [*there, winner])


# The order of hosts.


BACKUP = Route("backup.example", 587, Security.STARTTLS)


@pytest.mark.parametrize("cause", Cause)
def test_a_host_that_is_down_for_a_moment_does_not_lose_its_place(world: World, cause: Cause) -> None:
    routes = (STARTTLS, BACKUP)
    account = Account(USER, frozenset(routes))
    learn(world.program(), won(BACKUP, attempt(STARTTLS, cause)), account=account, walked=routes)
    assert ordered(world.program(), *routes, account=account) == [*routes]


def test_a_blocked_port_moves_no_mail_to_another_host(world: World) -> None:
    learn(world.program(), BLOCKED)
    routes = (STARTTLS, OTHERS[1])
    assert ordered(world.program(), *routes, account=Account(USER, frozenset(routes))) == [*routes]


def test_what_worked_at_a_host_says_more_of_it_than_a_port_that_is_blocked(world: World) -> None:
    """Whoever found the port blocked may have met another host's firewall."""
    learn(world.program(), MUTE)
    account = Account("you@example.net", frozenset(OTHERS))
    silent = attempt(OTHERS[1], Cause.TIMED_OUT)
    learn(world.program(), won(OTHERS[0], silent), account=account, walked=OTHERS)
    assert is_blocked(world.program(), 465)
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]


def test_hosts_in_turn_keep_their_turns_and_each_has_its_open_port_first(world: World) -> None:
    """Of several targets with both ports each, those with TLS may come first (RFC 8314 section 5.1)."""
    routes = (IMPLICIT, OTHERS[1], STARTTLS, OTHERS[0])
    account = Account(USER, frozenset(routes))
    learn(world.program(), BACK, account=account, walked=routes)
    assert is_blocked(world.program(), 465)
    assert ordered(world.program(), *routes, account=account) == [STARTTLS, OTHERS[0], IMPLICIT, OTHERS[1]]
    world.now += 10 * HOUR
    assert ordered(world.program(), *routes, account=account) == [STARTTLS, OTHERS[1], IMPLICIT, OTHERS[0]]


def test_what_worked_is_remembered_of_each_host(world: World) -> None:
    routes = (*ROUTES, *OTHERS)
    account = Account(USER, frozenset(routes))
    for starttls, implicit in (ROUTES, OTHERS):
        mute = attempt(starttls, Cause.OVERTAKEN, phase=Phase.GREETING)
        learn(world.program(), won(implicit, mute), account=account, walked=routes)
    assert ordered(world.program(), *routes, account=account) == [*ROUTES[::-1], *OTHERS[::-1]]


def test_a_route_that_is_no_longer_among_the_settings_is_not_added(world: World) -> None:
    learn(world.program(), BLOCKED)
    key = ACCOUNT.key(world.network, host=HOST)
    world.store.write(
        "good-routes", key, {"when": NOW, "seconds": DAY, "route": "evil.example:465 implicit-tls"}
    )
    assert ordered(world.program(), STARTTLS, RELAY) == [STARTTLS, RELAY]


def test_demoted_routes_come_last_whatever_is_remembered(remembering: RouteMemory) -> None:
    learn(remembering, BLOCKED)
    assert remembering.ordered(ROUTES, account=ACCOUNT, demoted={IMPLICIT}) == [STARTTLS, IMPLICIT]
    anonymous = Account("", frozenset(anonymous_routes(HOST)))
    routes = anonymous_routes(HOST)
    assert remembering.ordered(routes, account=anonymous, demoted={STARTTLS}) == [IMPLICIT, RELAY, STARTTLS]


def test_a_weaker_route_never_comes_before_a_stronger_one_that_was_before_it(world: World) -> None:
    remembering = world.program()
    account = Account("", frozenset(anonymous_routes(HOST)))
    failed = (attempt(STARTTLS, Cause.TIMED_OUT), attempt(IMPLICIT, Cause.TIMED_OUT))
    learn(remembering, won(RELAY, *failed), account=account)
    assert ordered(remembering, *anonymous_routes(HOST), account=account) == [STARTTLS, IMPLICIT, RELAY]
    plain, another = Route(HOST, 2526, Security.PLAINTEXT), replace(RELAY, port=2525)
    routes = (*ROUTES, RELAY, another, plain)
    account = Account("", frozenset(routes))
    for winner in (plain, another):
        learn(remembering, won(winner, attempt(RELAY, Cause.OVERTAKEN)), account=account, walked=routes)
        told = (another, RELAY) if winner is another else (RELAY, another)
        world.now += DAY
        assert ordered(world.program(), *routes, account=account) == [*ROUTES, *told, plain]


def test_a_blocked_port_puts_nothing_in_clear_first(world: World) -> None:
    plain = Route(HOST, 2526, Security.PLAINTEXT)
    routes = (RELAY, plain)
    account = Account("", frozenset(routes))
    learn(world.program(), won(plain, attempt(RELAY, Cause.TIMED_OUT)), account=account, walked=routes)
    assert is_blocked(world.program(), 25)
    assert ordered(world.program(), *routes, account=account) == [*routes]


PLACES = st.builds(
    Route,
    st.sampled_from(["a.example", "b.example", "127.0.0.1"]),
    st.sampled_from([25, 465, 587]),
    st.sampled_from(Security),
)
CAUSES = st.sampled_from(
    [Cause.TIMED_OUT, Cause.OVERTAKEN, Cause.PROHIBITED, Cause.REFUSED, Cause.CERTIFICATE_NAME]
)


@given(routes=st.lists(PLACES, min_size=1, max_size=7, unique=True), data=st.data())
def test_the_order_is_another_one_of_the_same_routes_and_hosts_and_strength_keep_their_places(
    routes: list[Route], data: st.DataObject
) -> None:
    remembering = RouteMemory(Nowhere(), clock=lambda: NOW, network=lambda: "here")
    account = Account("", frozenset(routes))
    for _ in range(data.draw(st.integers(0, 4))):
        failed = data.draw(st.lists(st.builds(attempt, st.sampled_from(routes), CAUSES), max_size=4))
        winner = won(data.draw(st.sampled_from(routes)), *failed, tls=data.draw(st.booleans()))
        beside = data.draw(st.lists(st.sampled_from(routes), max_size=2))
        remembering.learn(winner, account=account, walked=data.draw(st.permutations(routes)), beside=beside)
    demoted = data.draw(st.sets(st.sampled_from(routes)))
    given_order = sorted(routes, key=demoted.__contains__)
    told = remembering.ordered(routes, account=account, demoted=demoted)
    assert len(told) == len(routes)
    assert set(told) == set(routes)
    for before, after in zip(given_order, told, strict=True):
        assert (before.host, before in demoted) == (after.host, after in demoted)
        assert before.security is after.security or (before.security.encrypted and after.security.encrypted)


# Ports that are blocked.


OTHER = Route("other.example", 465, Security.IMPLICIT_TLS)
"""On the port that is open."""

EVIDENCE = {
    "silence to the end": (STARTTLS, Cause.TIMED_OUT, Phase.CONNECT, IMPLICIT, True),
    "forbidden": (STARTTLS, Cause.PROHIBITED, Phase.CONNECT, IMPLICIT, True),
    "silence on another host": (STARTTLS, Cause.TIMED_OUT, Phase.CONNECT, OTHER, True),
    "the same host ready elsewhere": (STARTTLS, Cause.OVERTAKEN, Phase.CONNECT, IMPLICIT, True),
    "another host ready": (STARTTLS, Cause.OVERTAKEN, Phase.CONNECT, OTHER, False),
    "ready before it had its time": (IMPLICIT, Cause.OVERTAKEN, Phase.CONNECT, STARTTLS, False),
    "connected": (STARTTLS, Cause.OVERTAKEN, Phase.GREETING, IMPLICIT, False),
    "refused": (STARTTLS, Cause.REFUSED, Phase.CONNECT, IMPLICIT, False),
    "no such name": (STARTTLS, Cause.NAME_NOT_FOUND, Phase.CONNECT, IMPLICIT, False),
    "not tried": (STARTTLS, Cause.WEAKER, Phase.CONNECT, IMPLICIT, False),
    "silence of a server": (STARTTLS, Cause.TIMED_OUT, Phase.GREETING, IMPLICIT, False),
}


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_a_port_is_blocked_where_nothing_connects_to_it_while_something_else_does(
    world: World, evidence: tuple[Route, Cause, Phase, Route, bool]
) -> None:
    route, cause, phase, winner, blocked = evidence
    connected = won(winner, attempt(route, cause, phase=phase))
    world.program().learn(connected, account=ACCOUNT, walked=(STARTTLS, IMPLICIT, OTHER))
    assert is_blocked(world.program(), route.port) is blocked
    assert not is_blocked(world.program(), winner.port)


def test_what_is_blocked_for_one_account_is_so_for_all_in_that_network(world: World) -> None:
    learn(world.program(), BLOCKED)
    routes = submission_routes("smtp.example.net")
    account = Account("you@example.net", frozenset(routes))
    assert ordered(world.program(), *routes, account=account) == [*routes[::-1]]
    world.network = "198.51.100.0/24"
    assert ordered(world.program(), *routes, account=account) == [*routes]


def test_a_success_on_the_port_clears_it(world: World) -> None:
    remembering = world.program()
    learn(remembering, BLOCKED)
    learn(remembering, won(STARTTLS))
    assert not is_blocked(remembering, 587)
    assert not is_blocked(world.program(), 587)


def test_a_port_on_which_another_host_answers_is_not_blocked(remembering: RouteMemory) -> None:
    failed = (attempt(replace(OTHER, port=587), Cause.TIMED_OUT),)
    remembering.learn(won(STARTTLS, *failed), account=ACCOUNT, walked=ROUTES)
    assert not is_blocked(remembering, 587)


def test_a_port_on_which_a_route_was_seen_to_be_open_is_not_blocked(world: World) -> None:
    learn(world.program(), BLOCKED)
    remembering = world.program()
    failed = attempt(replace(OTHER, port=587), Cause.TIMED_OUT)
    remembering.learn(won(IMPLICIT, failed), account=ACCOUNT, walked=ROUTES, beside=[STARTTLS])
    for program in (remembering, world.program()):
        assert not is_blocked(program, 587)
        assert not is_blocked(program, 465)


def test_it_is_taken_for_blocked_longer_each_time_up_to_six_hours(world: World) -> None:
    for minutes in (10, 30, 90, 270, 360, 360):
        learn(world.program(), BLOCKED)
        found = world.now
        world.now = found + minutes * MINUTE - 1
        assert is_blocked(world.program(), 587)
        learn(world.program(), BLOCKED)  # nothing new
        world.now = found + minutes * MINUTE
        assert not is_blocked(world.program(), 587)


@pytest.mark.parametrize(("pause", "minutes"), [(DAY - 1, 30), (DAY, 10)])
def test_a_day_later_it_begins_anew(world: World, pause: float, minutes: int) -> None:
    learn(world.program(), BLOCKED)
    world.now += 10 * MINUTE + pause
    learn(world.program(), BLOCKED)
    world.now += minutes * MINUTE - 1
    assert is_blocked(world.program(), 587)
    world.now += 1
    assert not is_blocked(world.program(), 587)


def test_a_clock_that_was_set_back_makes_a_finding_worthless_until_it_is_found_again(world: World) -> None:
    remembering = world.program()
    learn(remembering, BLOCKED)
    learn(remembering, won(STARTTLS))
    learn(remembering, BLOCKED)
    world.now -= 100 * DAY
    assert ordered(remembering) == [STARTTLS, IMPLICIT]
    assert not is_blocked(remembering, 587)
    learn(remembering, BLOCKED)
    assert ordered(world.program()) == [IMPLICIT, STARTTLS]
    world.now += 10 * MINUTE
    assert not is_blocked(world.program(), 587), "as if it were the first time"


def test_with_a_clock_set_back_everything_is_learnt_again_at_once(world: World) -> None:
    learn_back(world.program())
    world.now -= 100 * DAY
    learn_back(world.program())
    assert ordered(world.program(), IMPLICIT, STARTTLS) == [STARTTLS, IMPLICIT]
    [told] = world.program().recognised([MISSING])
    assert told.error is not None
    assert told.error.detail == "it offered STARTTLS on 2026-08-10"


def test_what_is_cleared_counts_no_more_here_though_the_store_keeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "forget", lambda *_: None)
    remembering = world.program()
    learn(remembering, BLOCKED)
    learn(remembering, won(STARTTLS))
    assert not is_blocked(remembering, 587)


# STARTTLS that is missing.


MISSING = attempt(STARTTLS, Cause.STARTTLS_NOT_OFFERED, phase=Phase.TLS)


def missing(cause: Cause, detail: str = "", *, route: Route = STARTTLS) -> Attempt:
    return attempt(route, cause, phase=Phase.TLS, detail=detail)


@pytest.mark.parametrize(
    ("before", "cause", "detail"),
    [
        (missing(Cause.STARTTLS_NOT_OFFERED), Cause.STARTTLS_STRIPPED, ""),
        (missing(Cause.CLEAR_AUTH, "in clear"), Cause.STARTTLS_STRIPPED, "; in clear"),
        (missing(Cause.STARTTLS_STRIPPED, "XXXX"), Cause.STARTTLS_STRIPPED, "; XXXX"),
        (missing(Cause.PROXY, "mx.example"), Cause.PROXY, "; mx.example"),
    ],
)
def test_starttls_that_was_there_before_is_told_to_be_taken_away(
    world: World, before: Attempt, cause: Cause, detail: str
) -> None:
    learn(world.program(), won(STARTTLS))
    [told] = world.program().recognised([before])
    assert told.error is not None
    assert told.error.cause is cause
    assert told.error.detail == f"it offered STARTTLS on 2026-11-18{detail}"
    assert told == replace(before, error=told.error), "nothing else is another"


@pytest.mark.parametrize(
    "other",
    [
        missing(Cause.STARTTLS_REFUSED),
        missing(Cause.CERTIFICATE_NAME),
        missing(Cause.STARTTLS_NOT_OFFERED, route=replace(STARTTLS, port=2587)),
        missing(Cause.STARTTLS_NOT_OFFERED, route=replace(STARTTLS, host="other.example")),
        Attempt(STARTTLS, Phase.DONE, None, portmail.Verdict.ACCEPTED, 1.0),
    ],
    ids=str,
)
def test_other_failures_and_other_places_are_told_as_they_are(world: World, other: Attempt) -> None:
    learn(world.program(), won(STARTTLS))
    assert world.program().recognised([other, other]) == (other, other)


@pytest.mark.parametrize(
    ("when", "known"), [(NOW + 180 * DAY - 1, True), (NOW + 180 * DAY, False), (NOW - 1, False)]
)
def test_it_is_remembered_for_180_days_in_every_network(world: World, when: float, known: bool) -> None:
    learn(world.program(), won(STARTTLS))
    world.now, world.network = when, "198.51.100.0/24"
    [told] = world.program().recognised([MISSING])
    assert (told != MISSING) is known


def test_only_a_session_in_tls_shows_that_it_was_offered(world: World) -> None:
    learn(world.program(), won(IMPLICIT))
    at_465 = replace(MISSING, route=replace(STARTTLS, port=465))
    assert world.program().recognised([at_465]) == (at_465,)
    learn(world.program(), won(RELAY, tls=False))
    at_25 = replace(MISSING, route=replace(STARTTLS, port=25))
    assert world.program().recognised([at_25]) == (at_25,)
    learn(world.program(), won(RELAY))
    assert world.program().recognised([at_25]) != (at_25,)


def test_a_relay_that_is_unencrypted_and_was_not_before_is_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    remembering = world.program()
    learn(remembering, won(RELAY, tls=False))
    learn(remembering, won(RELAY))
    assert caplog.records == []
    learn(world.program(), won(RELAY, tls=False))
    [record] = caplog.records
    assert (record.name, record.levelno) == ("portmail", logging.WARNING)
    told = {name: value for name, value in vars(record).items() if name.startswith("portmail_")}
    assert told == {
        "portmail_event": "unencrypted",
        "portmail_route": str(RELAY),
        "portmail_encrypted_on": "2026-11-18",
    }
    assert f"{RELAY}: not encrypted, although it was on 2026-11-18" in record.getMessage()
    world.now += 180 * DAY
    learn(world.program(), won(RELAY, tls=False))
    assert len(caplog.records) == 1, "that was long ago"


# What it costs, and where it is kept.


def test_the_steady_state_reads_and_writes_nothing(world: World) -> None:
    store = Counting(world.root)
    remembering = world.program(store)
    learn(remembering, BLOCKED)
    ordered(remembering)
    learn(remembering, won(IMPLICIT))
    store.reads = store.writes = 0
    for _ in range(3):
        world.now += 5 * HOUR
        assert ordered(remembering) == [IMPLICIT, STARTTLS]
        learn(remembering, won(IMPLICIT))
    assert (store.reads, store.writes) == (0, 0)


def test_what_is_older_than_a_day_is_written_again_once(world: World) -> None:
    mute = won(STARTTLS, attempt(IMPLICIT, Cause.OVERTAKEN, phase=Phase.GREETING))
    store = Counting(world.root)

    def walk() -> None:
        learn(world.program(store), mute, walked=(IMPLICIT, STARTTLS))

    walk()
    assert store.writes == 2, "the route, and that it offers STARTTLS"
    world.now += DAY - 1
    walk()
    assert store.writes == 2
    world.now += 1
    for _ in range(2):
        walk()
    assert store.writes == 4


def test_a_walk_on_which_nothing_failed_asks_nothing_of_the_routes(world: World) -> None:
    store = Counting(world.root)
    learn(world.program(store), won(IMPLICIT))
    assert (store.reads, store.writes) == (1, 0), "whether its port was blocked"


def test_one_route_alone_is_not_looked_up(world: World) -> None:
    store = Counting(world.root)
    remembering = world.program(store)
    account = Account(USER, frozenset({IMPLICIT}))
    assert ordered(remembering, IMPLICIT, account=account) == [IMPLICIT]
    learn(remembering, won(IMPLICIT), account=account)
    assert ordered(remembering, IMPLICIT, RELAY, account=account) == [IMPLICIT, RELAY], (
        "nor one of each strength"
    )
    assert (store.reads, store.writes, world.asked) == (0, 0, 0)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.87.1.2", "::1", "::ffff:127.0.0.1", "localhost", "mail.localhost", "0.0.0.0", "::"],  # noqa: S104
)
def test_this_machine_itself_is_neither_remembered_nor_looked_up(world: World, host: str) -> None:
    store = Counting(world.root)
    remembering = world.program(store)
    routes = submission_routes(host)
    account = Account(USER, frozenset(routes))
    failed = attempt(routes[0], Cause.TIMED_OUT)
    learn(remembering, won(routes[1], failed), account=account)
    learn(remembering, won(routes[0]), account=account)
    stripped = missing(Cause.STARTTLS_NOT_OFFERED, route=routes[0])
    assert remembering.recognised([stripped]) == (stripped,)
    assert ordered(remembering, *routes, account=account) == [*routes]
    assert (store.reads, store.writes, world.asked) == (0, 0, 0)


@pytest.mark.parametrize(
    "host", ["127.example", "localhost.example", "128.0.0.1", "10.0.0.1", "fe80::1%eth0"]
)
def test_what_only_looks_like_this_machine_is_remembered(world: World, host: str) -> None:
    routes = submission_routes(host)
    account = Account(USER, frozenset(routes))
    learn(world.program(), won(routes[1], attempt(routes[0], Cause.OVERTAKEN)), account=account)
    assert ordered(world.program(), *routes, account=account) == [*routes[::-1]]


def test_this_machine_keeps_its_place_among_others(world: World) -> None:
    here = submission_routes("127.0.0.1")
    routes = (here[0], *ROUTES, here[1])
    account = Account(USER, frozenset(routes))
    failed = [attempt(here[0], Cause.TIMED_OUT)]
    store = Counting(world.root)
    world.program(store).learn(won(IMPLICIT, *failed), account=account, walked=routes)
    assert (store.reads, store.writes) == (1, 0), "whether the port was blocked that is open"
    assert not is_blocked(world.program(), 587)
    failed += [attempt(STARTTLS, Cause.TIMED_OUT)]
    world.program().learn(won(IMPLICIT, *failed), account=account, walked=routes)
    assert is_blocked(world.program(), 587), "on the way to others"
    told = [here[0], IMPLICIT, STARTTLS, here[1]]
    assert ordered(world.program(), *routes, account=account) == told


def test_a_cache_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_memory, "_BOUND", 8)
    store = Counting(world.root)
    remembering = world.program(store)
    for number in range(20):
        world.network = f"network {number}"
        ordered(remembering)
    assert max(len(shelf._known) for shelf in (remembering._good, remembering._blocked)) == 8
    store.reads = 0
    ordered(remembering)
    assert store.reads == 0, "what was used last is still there"


RIGHT = {"when": NOW, "seconds": 30 * DAY, "route": str(IMPLICIT)}


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        pytest.param(RIGHT, True, id="as it is written"),
        pytest.param({**RIGHT, "more": 1}, False, id="more"),
        pytest.param({"when": NOW, "seconds": DAY}, False, id="less"),
        pytest.param({}, False, id="nothing"),
        pytest.param({**RIGHT, "when": int(NOW)}, False, id="a whole number"),
        pytest.param({**RIGHT, "when": 10**400}, False, id="a number that is no float"),
        pytest.param({**RIGHT, "when": str(NOW)}, False, id="text for a number"),
        pytest.param({**RIGHT, "when": True}, False, id="a truth"),
        pytest.param({**RIGHT, "when": NOW + 1}, False, id="of the future"),
        pytest.param({**RIGHT, "seconds": 30 * DAY + 1}, False, id="longer than there is"),
        pytest.param({**RIGHT, "seconds": -1.0}, False, id="for less than nothing"),
        pytest.param({**RIGHT, "seconds": None}, False, id="for nothing"),
        pytest.param({**RIGHT, "route": [str(IMPLICIT)]}, False, id="a list"),
        pytest.param({**RIGHT, "route": str(IMPLICIT).upper()}, False, id="another spelling"),
    ],
)
def test_a_file_is_believed_if_it_says_exactly_what_is_written(
    world: World, told: dict[str, Any], believed: bool
) -> None:
    learn(world.program(), MUTE)
    [file] = (world.root / "good-routes").iterdir()
    assert json.loads(file.read_text("utf-8")) == RIGHT
    file.write_text(json.dumps(told), "utf-8")
    assert (ordered(world.program()) == [IMPLICIT, STARTTLS]) is believed


@pytest.mark.parametrize(
    "octets", [b"", b"{", b"null", b"[]", b'{"when": 1e999, "seconds": 1e999, "route": ""}', b"\xff"]
)
def test_files_that_are_damaged_cost_nothing_but_what_was_learnt(world: World, octets: bytes) -> None:
    learn(world.program(), BLOCKED)
    learn_back(world.program())
    files = [
        file
        for kind in ("good-routes", "blocked-ports", "starttls")
        for file in (world.root / kind).iterdir()
    ]
    assert len(files) == 3
    for file in files:
        file.write_bytes(octets)
    remembering = world.program()
    assert ordered(remembering) == [STARTTLS, IMPLICIT]
    assert remembering.recognised([MISSING]) == (MISSING,)
    learn(remembering, BLOCKED)
    assert ordered(world.program()) == [IMPLICIT, STARTTLS], "and can be learnt again"


def test_no_file_names_anybody_or_the_network(world: World) -> None:
    learn(world.program(), BLOCKED)
    learn_back(world.program())
    files = [path for path in world.root.rglob("*") if path.is_file()]
    assert len(files) == 4, "with the salt"
    said = b"".join(path.name.encode() + path.read_bytes() for path in files)
    assert not traces(said)
    assert world.network.encode() not in said


def test_the_memory_of_a_program_is_that_of_the_cache_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "a"))
    first = memory()
    assert memory() is first
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "b"))
    assert memory() is not first


def test_an_account_is_who_logs_in_and_by_which_routes() -> None:
    settings = from_arguments(host=HOST, username=USER, password=PASSWORD)
    assert Account.of(settings) == ACCOUNT
    assert Account.of(from_arguments(host=HOST)) == Account("", frozenset(anonymous_routes(HOST)))


# On the wire.


NAME, BACKUP_NAME = "mail.example.test", "backup.example.test"
"""Hosts that are not this machine, but are found there."""


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(names=[NAME, BACKUP_NAME], users={USER: PASSWORD}) as sandbox:
        yield sandbox


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Has the name found, and everything remembered in one store. What it gives begins another program."""
    resolve = socket.getaddrinfo

    def found(host: str, *rest: Any, **options: Any) -> Any:
        here = host in (NAME, BACKUP_NAME) and not options.get("flags")
        return resolve("127.0.0.1" if here else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "cache"))
    route_memory._memory.cache_clear()
    yield route_memory._memory.cache_clear
    route_memory._memory.cache_clear()


def account_routes(server: Sandbox) -> tuple[Route, Route]:
    starttls = Route(NAME, server.port(587), Security.STARTTLS)
    return starttls, Route(NAME, server.port(465), Security.IMPLICIT_TLS)


def account_at(server: Sandbox, **wishes: Any) -> portmail.Submitter:
    told = {
        "routes": account_routes(server),
        "username": USER,
        "password": PASSWORD,
        "tls_ca": server.ca,
        "retry": None,
    }
    return portmail.Submitter(**{**told, **wishes})


def services(server: Sandbox) -> list[int]:
    """Those to which there were connections."""
    return [session.service for session in server.sessions]


def test_after_one_blocked_send_the_next_program_goes_straight_to_the_open_port(
    server: Sandbox, elsewhere: Callable[[], None]
) -> None:
    server.block(587)
    with account_at(server) as mail:
        first = mail.send(message())
    assert [it.error.cause for it in first.attempts if it.error] == [Cause.OVERTAKEN]
    server.open_port(587)
    for _ in range(2):
        with account_at(server) as mail:
            receipt = mail.send(message())
        assert [it.route.security for it in receipt.attempts] == [Security.IMPLICIT_TLS]
        elsewhere()
    assert services(server) == [465, 465, 465]


def tried(receipt: portmail.Receipt) -> list[Security]:
    return [it.route.security for it in receipt.attempts]


def test_a_remembered_route_that_fails_lets_the_others_go_on(
    server: Sandbox, elsewhere: Callable[[], None]
) -> None:
    server.block(587)
    with account_at(server) as mail:
        mail.send(message())
    server.open_port(587)
    server.close_port(465)
    elsewhere()
    with account_at(server) as mail:
        assert tried(mail.send(message())) == [Security.IMPLICIT_TLS, Security.STARTTLS]
    server.open_port(465)
    for routes in (account_routes(server), account_routes(server)[::-1]):
        elsewhere()
        with account_at(server, routes=routes) as mail:
            assert tried(mail.send(message())) == [routes[0].security], "which is the settings' again"


def test_a_remembered_route_that_has_gone_mute_is_waited_for_once(
    server: Sandbox, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.opening.NEXT_ROUTE_UNREADY", 0.05)
    with play("SILENCE") as mute:
        routes = (account_routes(server)[0], Route(NAME, mute.port, Security.IMPLICIT_TLS))
        overtaken = attempt(routes[0], Cause.OVERTAKEN)
        account = Account(USER, frozenset(routes))
        memory().learn(won(routes[1], overtaken), account=account, walked=routes)
        for sequence in ([Security.IMPLICIT_TLS, Security.STARTTLS], [Security.STARTTLS]):
            with account_at(server, routes=routes) as mail:
                assert tried(mail.send(message())) == sequence
            elsewhere()
    assert mute.connections == 1


def test_a_remembered_port_that_has_gone_silent_is_waited_for_once(
    server: Sandbox, elsewhere: Callable[[], None]
) -> None:
    starttls, implicit = Security.STARTTLS, Security.IMPLICIT_TLS
    walks = [(587, [starttls, implicit]), (465, [implicit, starttls]), (465, [starttls])]
    for service, sequence in walks:
        server.open_port(587)
        server.open_port(465)
        server.block(service)
        with account_at(server) as mail:
            assert tried(mail.send(message())) == sequence
        elsewhere()


def test_a_server_that_is_down_for_a_moment_is_the_first_again(
    server: Sandbox, elsewhere: Callable[[], None]
) -> None:
    routes = (account_routes(server)[0], Route(BACKUP_NAME, server.port(465), Security.IMPLICIT_TLS))
    server.block(587)
    with account_at(server, routes=routes) as mail:
        assert mail.send(message()).route == routes[1]
    server.open_port(587)
    elsewhere()
    with account_at(server, routes=routes) as mail:
        assert mail.send(message()).route == routes[0]


def test_a_login_that_is_refused_makes_no_route_good(server: Sandbox, elsewhere: Callable[[], None]) -> None:
    server.block(587)
    with account_at(server, password="wrong") as mail, pytest.raises(portmail.AuthenticationFailed):
        mail.send(message())
    server.open_port(587)
    elsewhere()
    with account_at(server) as mail:
        assert mail.send(message()).route.security is Security.STARTTLS


def test_starttls_that_is_taken_away_is_an_error_that_says_so(
    server: Sandbox, elsewhere: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with account_at(server) as mail:
        mail.send(message())
    server.strip_starttls()
    server.close_port(465)
    elsewhere()
    with account_at(server) as mail, pytest.raises(portmail.InsecureChannel) as caught:
        mail.send(message())
    stripped, refused = caught.value.attempts
    assert stripped.error is not None
    assert (stripped.phase, stripped.error.cause) == (Phase.TLS, Cause.STARTTLS_STRIPPED)
    assert "it offered STARTTLS on 20" in str(caught.value)
    assert refused.error is not None
    assert refused.error.cause is Cause.REFUSED
    events = [vars(record) for record in caplog.records]
    assert Cause.STARTTLS_STRIPPED.value in [event.get("portmail_cause") for event in events]


def test_a_relay_whose_starttls_is_taken_away_takes_the_mail_with_a_warning(
    server: Sandbox, elsewhere: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    relay = {
        "routes": [Route(NAME, server.port(25), Security.OPPORTUNISTIC)],
        "username": None,
        "password": None,
    }
    with account_at(server, **relay) as mail:
        assert mail.send(message()).tls is not None
    server.strip_starttls()
    elsewhere()
    with account_at(server, **relay) as mail:
        assert mail.send(message()).tls is None
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert vars(warning)["portmail_event"] == "unencrypted"


@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
def test_a_route_that_wants_a_login_is_tried_last_by_the_next_connection(
    server: Sandbox, elsewhere: Callable[[], None], host: str
) -> None:
    named = (*account_routes(server), Route(NAME, server.port(25), Security.OPPORTUNISTIC))
    routes = [replace(route, host=host) for route in named]
    server.close_port(465)
    with account_at(server, routes=routes, username=None, password=None) as mail:
        tried = [it.route.security for it in mail.send(message()).attempts]
        assert tried[0] is Security.STARTTLS
        server.drop_before_dot(times=1)  # and it is begun again on another connection
        tried = [it.route.security for it in mail.send(message()).attempts]
    assert tried == [Security.IMPLICIT_TLS, Security.OPPORTUNISTIC]


def test_a_fault_in_what_is_remembered_is_told_and_leaves_no_connection(
    server: Sandbox, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    left: list[object] = []
    abort = Wire.abort

    def noted(wire: Wire) -> None:
        left.append(wire)
        abort(wire)

    monkeypatch.setattr(RouteMemory, "learn", broken)
    monkeypatch.setattr(Wire, "abort", noted)
    with account_at(server) as mail, pytest.raises(portmail.InternalError, match="a fault of ours"):
        mail.send(message())
    assert len(left) == 1
    assert server.messages == ()


PROGRAM = """
    import socket, sys
    import portmail
    from portmail import Route, Security

    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **options: resolve(
        "127.0.0.1" if host == "mail.example.test" and not options.get("flags") else host, *rest, **options
    )
    what, starttls, implicit, ca = sys.argv[1:]
    routes = (
        Route("mail.example.test", int(starttls), Security.STARTTLS),
        Route("mail.example.test", int(implicit), Security.IMPLICIT_TLS),
    )
    wishes = {"username": "me@example.org", "password": "correct horse & battery", "tls_ca": ca}
    wishes["timeouts"] = portmail.Timeouts(connect=1.0)
    message = portmail.compose(to="you@example.org", sender="me@example.org", subject="s", text="t")
    with portmail.Submitter(routes=routes, **wishes) as mail:
        if what == "check":
            tried = [(it.route, it.failure) for it in mail.check().probes if it.used]
        else:
            tried = [(it.route, it.error) for it in mail.send(message).attempts]
    print(*(f"{route.security.value}:{why.cause.value if why else 'open'}" for route, why in tried))
"""


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("send", "starttls:overtaken implicit-tls:open"),
        ("check", "starttls:timed-out implicit-tls:open"),
    ],
)
def test_after_a_port_was_blocked_the_next_process_goes_straight_to_the_open_one(
    server: Sandbox, tmp_path: Path, first: str, told: str
) -> None:
    def program(what: str) -> str:
        ports = (str(server.port(587)), str(server.port(465)))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", dedent(PROGRAM), what, *ports, str(server.ca)],
            env={**os.environ, "PORTMAIL_CACHE": str(tmp_path / "cache")},
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.stdout.strip()

    server.block(587)
    assert program(first) == told
    assert program("send") == "implicit-tls:open", "while 587 is still blocked"
    server.open_port(587)
    assert program("send") == "implicit-tls:open"
    assert services(server) == [465, 465, 465]
