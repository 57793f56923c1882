"""A server that is gone: which messages may go elsewhere, who looks for it, and what is told of it?"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import portmail
from portmail import Cause, Phase, Route, Security, errors, retry
from portmail.discovery.outside import Page, Srv
from portmail.errors import DeliveryError
from portmail.failure import Failure
from portmail.pinning import AGAIN, RENEWED_AGAIN, gone
from portmail.receipt import Attempt
from portmail.sandbox.certificates import Authority
from portmail.verdict import OPENING, judge
from tests import test_pinning
from tests.discovery.outside import records
from tests.leaks import PASSWORD
from tests.messages import message
from tests.servers.dialogue import play
from tests.test_pinning import HOSTS, ME, SUBMISSIONS, Town, never

town = test_pinning.town

OLD, NEW, *_ = HOSTS
A, B = (Route(OLD, port, Security.IMPLICIT_TLS) for port in (465, 466))


def attempt(route: Route, phase: Phase, cause: Cause) -> Attempt:
    failure = Failure(phase, cause)
    return Attempt(route, phase, failure, judge(failure), 0.0)


REFUSED = tuple(attempt(route, Phase.CONNECT, Cause.REFUSED) for route in (A, B))

GONE = {
    Cause.NAME_NOT_FOUND,
    Cause.REFUSED,
    Cause.NOT_SMTP,
    Cause.TLS_ON_PLAIN_PORT,
    Cause.CERTIFICATE_NAME,
}


KINDS = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, DeliveryError)]


# Which errors say that a server is gone.


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_only_what_came_to_nobody_can_say_that_a_server_is_gone(kind: type[DeliveryError]) -> None:
    nobody = (portmail.Unreachable, portmail.InsecureChannel)
    assert gone(kind(attempts=REFUSED)) == ({A, B} if kind in nobody else set())


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)
def test_a_server_is_gone_where_nobody_answers_for_it_not_where_nobody_answers(cause: Cause) -> None:
    error = portmail.Unreachable(attempts=(attempt(A, Phase.CONNECT, cause),))
    assert gone(error) == ({A} if cause in GONE else set())


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.TLS])
def test_behind_a_login_page_no_server_is_gone(phase: Phase) -> None:
    """The page answers for every server; whoever looked for another would ask that network."""
    pages = tuple(attempt(route, phase, Cause.PORTAL) for route in (A, B))
    assert gone(portmail.Unreachable(attempts=pages)) == set()


@pytest.mark.parametrize("kind", [portmail.Unreachable, portmail.InDoubt, portmail.AuthenticationFailed])
@pytest.mark.parametrize(
    "phase", [it for it in Phase if it not in (*OPENING, Phase.DONE)], ids=lambda phase: phase.value
)
def test_nothing_is_gone_once_anything_of_the_message_was_said(
    phase: Phase, kind: type[DeliveryError]
) -> None:
    said = attempt(A, phase, Cause.LOST)
    for attempts in ((said, *REFUSED), (*REFUSED, said), (REFUSED[0], said, REFUSED[1])):
        assert gone(kind(attempts=attempts)) == set()


def test_it_is_the_last_attempt_on_a_route_that_counts() -> None:
    silent = attempt(A, Phase.CONNECT, Cause.TIMED_OUT)
    assert gone(portmail.Unreachable(attempts=(*REFUSED, silent))) == {B}
    assert gone(portmail.Unreachable(attempts=(silent, *REFUSED))) == {A, B}


# What is said of a message, and where it may go.


class Clock:
    """The time that submissions have: it goes on by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        monkeypatch.setattr("portmail.timeouts.time", SimpleNamespace(monotonic=self._monotonic))

    def _monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        self._ahead += seconds


class Gate:
    """From now on, the owner answers when the gate is open. `left` counts who waits no more."""

    def __init__(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.left = 0
        self._fetch = town.outside.fetch
        monkeypatch.setattr(town.outside, "fetch", self._held)

    async def _held(self, url: str) -> Page:
        self.reached.set()
        try:
            await self.open.wait()
        finally:
            self.left += 1
        return await self._fetch(url)


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def pause_by(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], Awaitable[None]]) -> None:
    """The pause before a retry is this one."""

    def retrying(operation: Any, *, policy: Any, seconds: float, sleep: Any) -> Any:
        return retry.retrying(operation, policy=policy, seconds=seconds, sleep=pause)

    monkeypatch.setattr("portmail.delivery.retrying", retrying)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""

    async def at_once(_seconds: float) -> None:
        return

    pause_by(monkeypatch, at_once)


def pin_at(town: Town, *ports: int) -> None:
    """SRV names these ports of the old server, in this order."""
    found = records(*(Srv(number, 0, port, OLD) for number, port in enumerate(ports)))
    town.outside.answers[SUBMISSIONS] = found


def leave_old(town: Town) -> None:
    """The old server is pinned, and gone; it is long enough ago to look for another one."""
    town.owner(OLD)
    town.send()
    town.now += AGAIN + 1
    town.down.add(OLD)


TAKES = """
    TLS
    S: 220 hi
    C: EHLO *
    S: 250-mail.example.com
    S: 250 AUTH PLAIN
    C: AUTH *
    S: 235 ok
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: DATA
    S: 354 go on
    BODY
"""
TAKES_ONE = f"{TAKES}    S: 250 ok\n    C: MAIL *\n    CLOSE\n"
HAS_IT = f"{TAKES}    CLOSE\n"
REFUSES_LOGIN = TAKES.replace("235 ok", "535 5.7.8 no").partition("    C: MAIL")[0]


class Certified(NamedTuple):
    """What players of the old server show, and a file that proves them and the town's server."""

    tls: ssl.SSLContext
    ca: Path


@pytest.fixture
def certified(town: Town, tmp_path: Path) -> Certified:
    authority = Authority(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(authority.ca_path.read_text() + town.server.ca.read_text())
    return Certified(authority.server_context(OLD, NEW), both)


ENDS = {
    portmail.InDoubt: (HAS_IT, Phase.FINAL_DOT),
    portmail.AuthenticationFailed: (REFUSES_LOGIN, Phase.AUTH),
}


@pytest.mark.parametrize("kind", ENDS, ids=lambda kind: kind.__name__)
def test_what_an_old_server_answered_goes_nowhere_else_though_both_its_ports_were_gone_before(
    town: Town, monkeypatch: pytest.MonkeyPatch, certified: Certified, kind: type[DeliveryError]
) -> None:
    script, phase = ENDS[kind]
    monkeypatch.setattr("portmail.opening.NEXT_ROUTE_UNCONNECTED", 0.01)
    resolve = socket.getaddrinfo

    def first_one_then_the_other(host: str, *rest: Any, **options: Any) -> Any:
        town.down = {NEW} if second.connections else {OLD}
        if host == OLD and second.connections:
            time.sleep(0.08)  # it is back, but slow: meanwhile the other is found to be gone
        return resolve(host, *rest, **options)

    with play(script, tls=certified.tls) as first, play(TAKES_ONE, tls=certified.tls) as second:
        monkeypatch.setattr(socket, "getaddrinfo", first_one_then_the_other)
        town.outside.answers[SUBMISSIONS] = records(Srv(0, 0, first.port, OLD), Srv(1, 0, second.port, NEW))
        with town.account(tls_ca=certified.ca, pool_size=1) as mail:
            mail.discover()
            town.now += AGAIN + 1
            town.owner("mail.hoster.net")
            asked = town.asked
            taken, failed = mail.send_many([message(), message()])
    assert taken.receipt is not None
    assert isinstance(failed.error, kind)
    tried = [(it.route.host, it.phase) for it in failed.error.attempts]
    assert {(OLD, Phase.CONNECT), (NEW, Phase.CONNECT)} <= set(tried), "both were gone before"
    assert tried[-1] == (OLD, phase)
    assert town.asked == asked
    assert not town.server.sessions


def test_one_port_that_is_gone_is_no_reason_to_look_elsewhere(town: Town, dead: int) -> None:
    with play("CLOSE") as player, town.account() as mail:
        pin_at(town, dead, player.port)
        mail.discover()
        town.now += AGAIN + 1
        town.srv(NEW)
        asked = town.asked
        with pytest.raises(DeliveryError) as raised:
            mail.send(message())
    causes = [it.error.cause for it in raised.value.attempts if it.error]
    assert Cause.REFUSED in causes
    assert not GONE.issuperset(causes)
    assert town.asked == asked


# Retries, and time.


@pytest.mark.usefixtures("no_pause")
def test_the_policy_tries_a_found_server_again_as_often_as_one_that_is_given(town: Town, dead: int) -> None:
    route = Route(OLD, dead, Security.IMPLICIT_TLS)
    with (
        portmail.Submitter(routes=(route,), username=ME, password=PASSWORD, tls_ca=town.server.ca) as given,
        pytest.raises(portmail.Unreachable) as expected,
    ):
        given.send(message())
    pin_at(town, dead)
    with town.account(retry=portmail.Retry()) as mail:
        mail.discover()
        town.now += AGAIN + 1
        for _ in ("it was looked for again", "it was not"):
            with pytest.raises(portmail.Unreachable) as raised:
                mail.send(message())
            assert [it.route for it in raised.value.attempts] == [route, route]
            assert raised.value.temporary == expected.value.temporary
    assert len(expected.value.attempts) == 2


@pytest.mark.usefixtures("no_pause")
def test_the_policy_tries_again_elsewhere(town: Town, dead: int) -> None:
    leave_old(town)
    town.port = dead
    town.owner(NEW)
    with town.account(retry=portmail.Retry()) as mail, pytest.raises(portmail.Unreachable) as raised:
        mail.send(message())
    hosts = [(it.route.host, it.route.port) for it in raised.value.attempts]
    assert OLD in dict(hosts)
    assert hosts.count((NEW, dead)) == 2


def test_the_search_takes_of_the_time_of_the_submission(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    fetch = town.outside.fetch

    async def slow(url: str) -> Page:
        clock.pass_by(60)
        return await fetch(url)

    monkeypatch.setattr(town.outside, "fetch", slow)
    town.owner(OLD)
    with town.account(timeouts=30) as mail:
        with pytest.raises(portmail.Unreachable) as raised:
            mail.send(message())
        assert {it.error.cause for it in raised.value.attempts if it.error} == {Cause.OUT_OF_TIME}
        assert mail.send(message()).route.host == OLD, "this one has time of its own"


def test_the_search_elsewhere_takes_no_more_than_what_is_left(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    leave_old(town)
    monkeypatch.setattr(town.outside, "fetch", never)

    def then(error: DeliveryError) -> frozenset[Route]:
        clock.pass_by(29.95)
        return gone(error)

    monkeypatch.setattr("portmail.pinning.gone", then)

    async def run() -> None:
        async with portmail.AsyncSubmitter(ME, **town.wishes(timeouts=30)) as mail, asyncio.timeout(2):
            with pytest.raises(portmail.Unreachable):
                await mail.send(message())

    asyncio.run(run())


# Who waits for a search.


def test_each_of_those_that_wait_for_one_search_has_an_error_of_its_own(town: Town) -> None:
    town.silent()

    async def run() -> list[Any]:
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            sending = (mail.send(message()) for _ in range(3))
            return await asyncio.gather(*sending, return_exceptions=True)

    told = asyncio.run(run())
    assert [type(error) for error in told] == [portmail.DiscoveryIncomplete] * 3
    assert len({id(error) for error in told}) == 3
    assert len({str(error) for error in told}) == 1
    assert town.outside.asked.count(SUBMISSIONS) == 1


def test_who_is_cancelled_takes_the_search_from_nobody(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.owner(OLD)

    async def run() -> list[Any]:
        gate = Gate(town, monkeypatch)
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            sending = [asyncio.ensure_future(mail.send(message())) for _ in range(3)]
            await gate.reached.wait()
            sending[0].cancel()
            await asyncio.wait(sending[:1])
            assert not gate.left
            gate.open.set()
            return await asyncio.gather(*sending, return_exceptions=True)

    cancelled, *sent = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert [it.route.host for it in sent] == [OLD, OLD]
    assert town.outside.asked.count(SUBMISSIONS) == 1


async def all_others() -> None:
    """Wait until nothing else goes on in this loop."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


def test_a_search_ends_with_the_last_that_waits_and_the_next_one_begins_anew(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.owner(OLD)

    async def run() -> portmail.Receipt:
        gate = Gate(town, monkeypatch)
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            sending = [asyncio.ensure_future(mail.send(message())) for _ in range(2)]
            await gate.reached.wait()
            for task in sending:
                task.cancel()
            await asyncio.wait(sending)
            await mail.aclose()
            assert not mail._pools._searches
            async with asyncio.timeout(1):
                await all_others()
            assert gate.left
            gate.open.set()
            return await mail.send(message())

    assert asyncio.run(run()).route.host == OLD


def test_pools_on_former_routes_do_not_pile_up(town: Town) -> None:
    async def run() -> int:
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            for host in (OLD, NEW) * 3:
                town.srv(host, lifetime=300)
                town.now += RENEWED_AGAIN + 1
                assert (await mail.send(message())).route.host == host
            [entries] = mail._pools._pools.values()
            return len(entries)

    assert asyncio.run(run()) <= 2


# One record in the log for a message.


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The outcomes of messages that the log was told."""
    records = [vars(record) for record in caplog.records]
    return [it["portmail_outcome"] for it in records if it.get("portmail_event") == "message"]


async def given_up(mail: portmail.AsyncSubmitter, *, when: asyncio.Event) -> str:
    """The note for who gives a message up in that moment."""
    sending = asyncio.ensure_future(mail.send(message()))
    await when.wait()
    sending.cancel()
    try:
        await sending
    except asyncio.CancelledError as stopped:
        await mail.aclose()
        await all_others()
        return "".join(stopped.__notes__)
    return "it was sent"


def test_a_message_that_is_given_up_while_another_server_is_looked_for_is_told_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave_old(town)
    caplog.set_level(logging.INFO, "portmail")

    async def run() -> str:
        gate = Gate(town, monkeypatch)
        return await given_up(portmail.AsyncSubmitter(ME, **town.wishes()), when=gate.reached)

    assert "the message was not sent" in asyncio.run(run())
    assert outcomes(caplog) == ["not sent"]


def test_a_message_that_is_given_up_in_the_pause_before_a_retry_is_told_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dead: int
) -> None:
    caplog.set_level(logging.INFO, "portmail")
    pin_at(town, dead)

    async def run() -> str:
        paused = asyncio.Event()

        async def pause(_seconds: float) -> None:
            paused.set()
            await asyncio.Event().wait()

        pause_by(monkeypatch, pause)
        return await given_up(portmail.AsyncSubmitter(ME, **town.wishes(retry=portmail.Retry())), when=paused)

    assert "the message was not sent" in asyncio.run(run())
    assert outcomes(caplog) == ["not sent"]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python hears SIGINT also where whoever started us had it ignored, as for a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_another_server_is_looked_for_ends_the_search_and_is_told_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave_old(town)
    caplog.set_level(logging.INFO, "portmail")
    pressed, ended = threading.Event(), threading.Event()

    async def press(url: str) -> None:
        if not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)
        try:
            await never(url)
        finally:
            ended.set()

    monkeypatch.setattr(town.outside, "fetch", press)
    with town.account() as mail:
        with pytest.raises(KeyboardInterrupt) as stopped:
            mail.send(message())
        assert ended.wait(2), "before it is closed"
    assert "the message was not sent" in "".join(stopped.value.__notes__)
    assert outcomes(caplog) == ["not sent"]
