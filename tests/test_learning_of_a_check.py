"""Does a check teach what a message on its way would have taught, by all families of addresses?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, route_memory
from portmail.checking import Check
from portmail.diagnosis import diagnose
from portmail.failure import Failure
from portmail.receipt import Attempt, Connected
from portmail.report import Probe, Report
from portmail.route import submission_routes
from portmail.route_memory import Account, memory
from portmail.sandbox import Sandbox
from portmail.security import TlsEvidence
from portmail.settings import from_arguments
from portmail.verdict import judge
from tests.leaks import PASSWORD, USER
from tests.messages import message
from tests.names import found_on_loopback
from tests.test_route_memory import is_blocked

NAME = "mail.example.test"
"""A host that is not this machine, but is found there."""

ROUTES = STARTTLS, IMPLICIT = submission_routes(NAME)
OTHER = Route("other.example.test", 587, Security.STARTTLS)
TLS = TlsEvidence("TLSv1.3", "TLS_AES_256_GCM_SHA384", NAME)
QUICK = Timeouts(connect=0.5, greeting=2.0, command=2.0)


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The name is found on loopback, what is learnt is kept in one store, and no usual ports are probed."""
    found_on_loopback(NAME, monkeypatch=monkeypatch)
    monkeypatch.setattr("portmail.checking.routes_to_probe", tuple)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "cache"))
    route_memory._memory.cache_clear()
    yield
    route_memory._memory.cache_clear()


def learn(probes: Sequence[Probe], *, routes: Sequence[Route]) -> None:
    """What a check learns that saw this; then another program begins."""
    report = Report(tuple(probes), diagnose([it.seen() for it in probes]))
    assert report.can_send
    settings = from_arguments(routes=routes, username=USER, password=PASSWORD)
    Check(settings)._learn(report)
    route_memory._memory.cache_clear()


def ordered(*routes: Route) -> list[Route]:
    return memory().ordered(routes, account=Account(USER, frozenset(routes)))


def blocked() -> list[int]:
    return [port for port in (587, 465) if is_blocked(memory(), port)]


def probe(route: Route, family: int, cause: Cause | None, *, used: bool = True) -> Probe:
    phase = Phase.GREETING if cause is Cause.SILENT else Phase.CONNECT
    failure = Failure(phase, cause) if cause else None
    return Probe(
        route=route,
        family=family,
        address="192.0.2.1" if family == 4 else "2001:db8::1",
        used=used,
        phase=phase if cause else Phase.DONE,
        failure=failure,
        seconds=0.1,
        tls=None if cause else TLS,
    )


# What each of 587 and 465 came to by IPv4 and by IPv6; which ports are blocked then, and which comes first.
TIMED_OUT, REFUSED, SILENT = Cause.TIMED_OUT, Cause.REFUSED, Cause.SILENT
FAMILIES: Mapping[
    str, tuple[tuple[Cause | None, ...], tuple[Cause | None, ...], list[int], Sequence[Route]]
] = {
    "all open": ((None, None), (None, None), [], ROUTES),
    "a hole in IPv6": ((None, TIMED_OUT), (None, TIMED_OUT), [], ROUTES),
    "a hole in IPv4": ((TIMED_OUT, None), (TIMED_OUT, None), [], ROUTES),
    "587 silent by IPv6": ((None, TIMED_OUT), (None, None), [], ROUTES),
    "465 silent by IPv6": ((None, None), (None, TIMED_OUT), [], ROUTES),
    "587 silent": ((TIMED_OUT, TIMED_OUT), (None, None), [587], ROUTES[::-1]),
    "587 silent, and a hole in IPv6": ((TIMED_OUT, TIMED_OUT), (None, TIMED_OUT), [587], ROUTES[::-1]),
    "587 refused, and a hole in IPv6": ((REFUSED, TIMED_OUT), (None, TIMED_OUT), [], ROUTES),
    "587 refused": ((REFUSED, REFUSED), (None, None), [], ROUTES),
    "587 mute": ((SILENT, SILENT), (None, None), [], ROUTES[::-1]),
    "465 silent": ((None, None), (TIMED_OUT, TIMED_OUT), [465], ROUTES),
}


@pytest.mark.parametrize("case", FAMILIES.values(), ids=FAMILIES)
def test_a_port_that_is_open_by_one_family_is_open(case: tuple[Any, ...]) -> None:
    by_587, by_465, closed, sequence = case
    probes = [
        probe(route, family, cause)
        for route, causes in ((STARTTLS, by_587), (IMPLICIT, by_465))
        for family, cause in zip((4, 6), causes, strict=True)
    ]
    learn(probes, routes=ROUTES)
    assert blocked() == closed
    assert ordered(*ROUTES) == [*sequence]


@pytest.mark.parametrize("families", [(4, 6), (6, 4)])
def test_of_two_families_the_failure_that_says_most_teaches(families: tuple[int, int]) -> None:
    """Silence is a firewall's; what refuses may be one as well, or the server."""
    causes = {4: REFUSED, 6: TIMED_OUT}
    probes = [
        *(probe(STARTTLS, family, causes[family]) for family in families),
        *(probe(IMPLICIT, family, None) for family in families),
    ]
    learn(probes, routes=ROUTES)
    assert blocked() == [587]
    assert ordered(*ROUTES) == [*ROUTES[::-1]]


def test_what_a_message_does_not_take_teaches_nothing() -> None:
    probes = [probe(STARTTLS, 4, TIMED_OUT, used=False), probe(IMPLICIT, 4, None)]
    learn(probes, routes=(IMPLICIT, OTHER))
    assert blocked() == []
    assert ordered(*ROUTES) == [*ROUTES]


def test_a_port_on_which_another_host_is_open_is_not_blocked() -> None:
    routes = (IMPLICIT, STARTTLS, OTHER)
    learn([probe(IMPLICIT, 4, None), probe(STARTTLS, 4, None), probe(OTHER, 4, TIMED_OUT)], routes=routes)
    assert blocked() == []


def test_an_open_port_that_is_not_the_first_is_blocked_no_more() -> None:
    learn([probe(STARTTLS, 4, None), probe(IMPLICIT, 4, TIMED_OUT)], routes=ROUTES)
    assert blocked() == [465]
    learn([probe(STARTTLS, 4, None), probe(IMPLICIT, 4, None)], routes=ROUTES)
    assert blocked() == []


@pytest.mark.parametrize("cause", [TIMED_OUT, REFUSED, SILENT])
def test_what_was_remembered_is_forgotten_where_a_check_sees_it_fail(cause: Cause) -> None:
    failure = Failure(Phase.GREETING, SILENT)
    mute = Attempt(STARTTLS, Phase.GREETING, failure, judge(failure), 0.1)
    account = Account(USER, frozenset(ROUTES))
    memory().learn(Connected(IMPLICIT, TLS, logged_in=True, attempts=(mute,)), account=account, walked=ROUTES)
    assert ordered(*ROUTES) == [*ROUTES[::-1]]
    learn([probe(STARTTLS, 4, None), probe(IMPLICIT, 4, cause)], routes=ROUTES)
    assert ordered(*ROUTES) == [*ROUTES]


def test_a_backup_host_that_is_open_does_not_become_the_first() -> None:
    routes = (STARTTLS, replace(OTHER, port=465, security=Security.IMPLICIT_TLS))
    learn([probe(STARTTLS, 4, TIMED_OUT), probe(routes[1], 4, None)], routes=routes)
    assert ordered(*routes) == [*routes]


# ------------------------------------------------------------------------------------------ on the wire


@pytest.mark.parametrize("reverse", [False, True], ids=["587 first", "465 first"])
@pytest.mark.parametrize("stop", ["leave", "block", "close"])
def test_a_check_teaches_what_a_message_teaches(
    stop: str, reverse: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Sandbox(names=[NAME], users={USER: PASSWORD}) as server:
        starttls = Route(NAME, server.port(587), Security.STARTTLS)
        routes = (starttls, Route(NAME, server.port(465), Security.IMPLICIT_TLS))[:: -1 if reverse else 1]
        first = 465 if reverse else 587
        stops = {"block": server.block, "close": server.close_port, "leave": server.open_port}
        stops[stop](first)
        learnt = []
        for what in ("send", "check"):
            monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / what))
            wishes: dict[str, Any] = {"username": USER, "password": PASSWORD, "tls_ca": server.ca}
            with portmail.Submitter(routes=routes, timeouts=QUICK, retry=None, **wishes) as mail:
                if what == "send":
                    mail.send(message())
                else:
                    assert mail.check().can_send
            route_memory._memory.cache_clear()
            learnt.append((ordered(*routes), [is_blocked(memory(), route.port) for route in routes]))
    assert learnt[0] == learnt[1]
    assert (learnt[0][0] != [*routes]) is (stop == "block")
