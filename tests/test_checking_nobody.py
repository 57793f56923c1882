"""What is checked where nobody can be asked for a server, and where only some of it answers?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

import portmail
from portmail.case import Surroundings
from portmail.cause import Cause
from portmail.checking import LIFE, Check
from portmail.dialing import Address, resolve
from portmail.failure import Failure, Phase, RouteFailed
from portmail.report import Report
from portmail.route import Route
from portmail.security import Security
from portmail.settings import from_arguments
from portmail.situation import Situation
from tests.clock import run_fast
from tests.servers.dialogue import play
from tests.test_pool import run

PLAIN, TLS = Security.STARTTLS, Security.IMPLICIT_TLS
MX = "mx.example.test"
FOUR = Address(socket.AF_INET, ("192.0.2.25", 25))
SIX = Address(socket.AF_INET6, ("2001:db8::25", 25, 0, 0))


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is online, in nobody's cloud; `resolve` finds both families."""

    async def both(_route: Route, **_: float) -> list[Address]:
        return [SIX, FOUR]

    def here(**told: Any) -> Surroundings:
        return Surroundings(**told)

    monkeypatch.setattr("portmail.checking.here", here)
    monkeypatch.setattr("portmail.checking.resolve", both)
    monkeypatch.setattr("portmail.checking.is_online", lambda: True)


def dials(monkeypatch: pytest.MonkeyPatch, **causes: Cause | None) -> list[tuple[str, int]]:
    """Who is dialled. What it comes to: of `four_443`, of `six`, or of the `rest`; else it is silence."""
    dialled: list[tuple[str, int]] = []

    async def connect(addresses: Sequence[Address], *, seconds: float) -> socket.socket:
        [address] = addresses
        host, port, *_ = address.sockaddr
        dialled.append((host, port))
        family = "four" if address.family == socket.AF_INET else "six"
        known = (f"{family}_{port}", family, "rest")
        cause = next((causes[name] for name in known if name in causes), None)
        if cause is None:
            await asyncio.sleep(seconds)
        raise RouteFailed(Failure(Phase.CONNECT, cause or Cause.TIMED_OUT))

    monkeypatch.setattr("portmail.checking.connect", connect)
    monkeypatch.setattr("portmail.probing.connect", connect)
    return dialled


# ------------------------------------------------------------------------------------------ an address


def asked(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Report:
    """A check of an address, with a login, for which no server is found."""

    async def look(self: Any) -> None:
        raise error

    async def scenario() -> Report:
        async with portmail.AsyncSubmitter("me@example.test", password="secret") as mail:
            return await mail.check(login=True)

    monkeypatch.setattr("portmail.pinning.Pinning.look", look)
    report: Report = run_fast(scenario())
    return report


async def _never(_route: Route) -> None:
    await asyncio.sleep(99)


async def _not_now(_route: Route) -> None:
    raise socket.gaierror(socket.EAI_AGAIN, "try again")


@pytest.mark.parametrize("resolver", [_never, _not_now], ids=["silent", "failing"])
def test_where_names_are_not_resolved_nobody_is_dialled_and_nobody_logs_in(
    resolver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The domain of an address is no server: nobody named it, and nobody approved it."""
    dialled = dials(monkeypatch, rest=Cause.REFUSED)
    monkeypatch.setattr("portmail.checking.resolve", resolve)
    monkeypatch.setattr("portmail.dialing._getaddrinfo", resolver)
    report = asked(monkeypatch, portmail.DiscoveryIncomplete("no answer"))
    assert report.diagnosis.situation is Situation.RESOLVER_DOWN
    assert {it.kind for it in report.probes} == {"resolver-failed"}
    assert (dialled, report.login, report.showed_secret, report.can_send) == ([], None, False, False)


def test_without_a_network_a_server_that_wants_approval_is_not_dialled_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialled = dials(monkeypatch, rest=Cause.REFUSED)
    monkeypatch.setattr("portmail.checking.is_online", lambda: False)
    monkeypatch.setattr("portmail.checking.here", lambda **_: Surroundings(online=False))
    report = asked(monkeypatch, portmail.DiscoveryError("nobody"))
    assert (report.diagnosis.situation, dialled) == (Situation.OFFLINE, [])


@pytest.mark.parametrize("error", [portmail.DiscoveryIncomplete, portmail.DiscoveryError])
def test_where_names_are_resolved_it_is_told_who_was_asked(
    error: type[portmail.DiscoveryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = dials(monkeypatch, rest=Cause.REFUSED)
    with pytest.raises(error, match="asked in vain"):
        asked(monkeypatch, error("asked in vain"))
    assert dialled == []


# ------------------------------------------------------------------------------------------ who is alive


def verdict(*, host: str = MX) -> Report:
    settings = from_arguments(routes=[Route(host, 587, PLAIN), Route(host, 465, TLS)])
    report: Report = run_fast(Check(settings).check(login=False))
    return report


@pytest.mark.parametrize("family", ["four", "six"])
def test_who_answers_by_one_family_is_there(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may be a black hole, whose silence would hide a refusal."""
    dialled = dials(monkeypatch, **{f"{family}_{LIFE}": Cause.REFUSED})
    assert verdict().diagnosis.situation is Situation.NO_MAIL_PORT
    assert {host for host, port in dialled if port == LIFE} == {FOUR.sockaddr[0], SIX.sockaddr[0]}


def test_who_answers_nothing_may_be_down(monkeypatch: pytest.MonkeyPatch) -> None:
    dials(monkeypatch)
    assert verdict().diagnosis.situation is Situation.SILENT


def test_a_server_that_is_known_is_blocked_where_its_host_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    dials(monkeypatch, **{f"four_{LIFE}": Cause.REFUSED})
    assert verdict(host="smtp.gmail.com").diagnosis.situation is Situation.BLOCKED


def test_where_a_way_is_open_nobody_waits_for_what_only_shows_that_the_host_is_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(_addresses: Any, *, seconds: float) -> Any:
        await asyncio.sleep(seconds)
        raise RouteFailed(Failure(Phase.CONNECT, Cause.TIMED_OUT))

    async def own(_route: Route, **_: float) -> list[Address]:
        return [Address(socket.AF_INET, ("127.0.0.1", 0))]

    monkeypatch.setattr("portmail.checking.connect", silent)
    monkeypatch.setattr("portmail.checking.resolve", own)
    monkeypatch.setattr("portmail.checking.routes_to_probe", tuple)

    async def scenario() -> Report:
        settings = from_arguments(routes=[Route(MX, player.port, Security.PLAINTEXT)])
        return await Check(settings).check(login=False)

    with play(f"S: 220 {MX}\nC: EHLO *\nS: 250 {MX}\nC: QUIT\nS: 221 bye") as player:
        report: Report = run(scenario())
    assert report.can_send
    assert report.seconds < 3  # of the 3.5 that silence takes
