"""Ports that are open, silent, or refused, on the real numbers: what it costs, and what is told."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import portmail
from portmail import Cause, Route, Security, Timeouts, Verdict, dialing
from portmail.dialing import Address, dial, interleaved
from portmail.failure import RouteFailed
from portmail.sandbox import Sandbox
from portmail.sandbox.certificates import Authority
from tests.clock import run_fast
from tests.leaks import PASSWORD, USER
from tests.messages import message
from tests.servers.dialogue import play
from tests.servers.requirements import require

# An address of the loopback network that nobody else uses, so that 587, 465 and 25 are ours.
HOST = f"127.87.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
REAL_PORTS = {587: 587, 465: 465, 25: 25}


@pytest.fixture
def server() -> Iterator[Sandbox]:
    require(None if os.geteuid() == 0 else "only root may listen on 587, 465 and 25")
    with Sandbox(host=HOST, ports=REAL_PORTS, users={USER: PASSWORD}) as sandbox:
        yield sandbox


def account(server: Sandbox, **keywords: object) -> portmail.Submitter:
    wishes = {"username": USER, "password": PASSWORD, "tls_ca": server.ca} | keywords
    return portmail.Submitter(host=HOST, **wishes)  # type: ignore[arg-type]


def test_with_all_ports_open_587_is_used_and_nothing_else_is_touched(server: Sandbox) -> None:
    with account(server) as mail:
        receipt = mail.send(message())
    assert str(receipt.route) == f"{HOST}:587 starttls"
    assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED]
    assert [session.service for session in server.sessions] == [587]


def test_587_silently_dropped_costs_a_fraction_of_a_second(server: Sandbox) -> None:
    server.block(587)
    with account(server) as mail:
        began = time.monotonic()
        receipt = mail.send(message())
        took = time.monotonic() - began
    assert receipt.route.port == 465
    blocked, used = receipt.attempts
    assert blocked.error is not None
    assert (blocked.route.port, blocked.error.cause) == (587, Cause.OVERTAKEN)
    assert blocked.seconds >= 0.3
    assert used.verdict is Verdict.ACCEPTED
    assert took < 3, "it is about 0.4 s"


def test_587_refused_costs_nothing(server: Sandbox) -> None:
    server.close_port(587)
    with account(server) as mail:
        receipt = mail.send(message())
    assert receipt.route.port == 465
    assert receipt.attempts[0].error is not None
    assert receipt.attempts[0].error.cause is Cause.REFUSED
    assert receipt.duration < 2


def test_a_connection_lost_before_the_final_dot_is_not_sent_and_one_lost_after_it_is_in_doubt(
    server: Sandbox,
) -> None:
    with account(server, retry=None) as mail:
        server.drop_before_dot()
        with pytest.raises(portmail.Unreachable) as lost:
            mail.send(message())
        assert server.messages == ()
        server.behave()
        server.drop_after_dot()
        with pytest.raises(portmail.InDoubt):
            mail.send(message())
    assert lost.value.attempts[-1].verdict is Verdict.RETRY_LATER
    assert len(server.messages) == 1, "it was accepted, once"


def test_both_dead_is_told_in_bounded_time_with_both_stories(server: Sandbox) -> None:
    server.block(587)
    server.close_port(465)
    with account(server, timeouts=Timeouts(connect=0.5), retry=None) as mail:
        with pytest.raises(portmail.Unreachable) as caught:
            mail.send(message())
    told = str(caught.value)
    assert f"{HOST}:587 starttls: connect: no answer: the port is silent" in told
    assert f"{HOST}:465 implicit-tls: connect: connection refused" in told
    assert "What to do: " in told
    assert caught.value.temporary
    assert all(session.service != 25 for session in server.sessions), "25 is not for credentials"


def test_without_credentials_the_relay_takes_it_when_submission_wants_a_login(server: Sandbox) -> None:
    with portmail.Submitter(host=HOST, tls_ca=server.ca) as mail:
        receipt = mail.send(message())
    assert [attempt.route.port for attempt in receipt.attempts] == [587, 465, 25]
    assert receipt.tls is not None
    assert receipt.tls.peer_name is None, "opportunistic TLS proves nothing, and says so"
    assert server.messages[-1].service == 25


def test_25_with_credentials_is_verified_starttls_when_the_user_wrote_the_port(server: Sandbox) -> None:
    with account(server, port=25, retry=None) as mail:
        assert mail.settings.routes == (Route(HOST, 25, Security.STARTTLS),)
        with pytest.raises(portmail.NoMechanism):  # this relay offers no AUTH; it was asked under TLS
            mail.send(message())
    assert server.sessions[-1].tls is not None


def test_the_whole_submission_has_a_deadline(server: Sandbox) -> None:
    server.block(587)
    server.block(465)
    with account(server, timeouts=0.6) as mail:
        began = time.monotonic()
        with pytest.raises(portmail.Unreachable):
            mail.send(message())
    assert time.monotonic() - began < 6


def test_a_race_leaves_no_socket_and_no_task(server: Sandbox) -> None:
    server.block(587)

    async def scenario() -> set[str]:
        wishes = {"username": USER, "password": PASSWORD, "tls_ca": server.ca}
        async with portmail.AsyncSubmitter(host=HOST, **wishes) as mail:  # type: ignore[arg-type]
            await mail.send(message())
        return {str(task) for task in asyncio.all_tasks() - {asyncio.current_task()}}

    asyncio.run(scenario())  # what is opened once for all is open now
    before = descriptors()
    assert asyncio.run(scenario()) == set()
    deadline = time.monotonic() + 10
    while descriptors() > before and time.monotonic() < deadline:  # the server's are in this process, too
        time.sleep(0.01)
    assert descriptors() <= before


def descriptors() -> int:
    """How many descriptors this process has open, 0 where nobody can tell."""
    there = Path("/proc/self/fd")
    return len(list(there.iterdir())) if there.exists() else 0


@pytest.mark.parametrize("end", ["SILENCE", "S: 554 5.7.1 no", "S: hm", "CLOSE"])
def test_a_failed_tls_connection_leaves_the_loop_in_order(end: str, server: Sandbox, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def scenario(port: int) -> bytes:
        failing = Route("127.0.0.1", port, Security.IMPLICIT_TLS)
        wishes = {"username": USER, "password": PASSWORD, "tls_ca": authority.ca_path, "retry": None}
        mail = portmail.AsyncSubmitter(routes=(failing,), timeouts=Timeouts(greeting=0.2), **wishes)  # type: ignore[arg-type]
        greeting = b""
        for _ in range(3):
            with pytest.raises(portmail.DeliveryError):
                await mail.send(message())
            # The application's own next connection may get the descriptor that was ours.
            reader, writer = await asyncio.open_connection(HOST, 25)
            greeting = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return greeting

    with play(f"TLS\n{end}", tls=authority.server_context("127.0.0.1")) as player:
        assert asyncio.run(scenario(player.port)).startswith(b"220 ")


# Addresses of one host, as rows: (address, seconds until it answers, errno or 0). A clock that jumps.

ROUTE = Route("mail.example.com", 587, Security.STARTTLS)


def addresses_that(
    rows: list[tuple[str, float, int]], monkeypatch: pytest.MonkeyPatch
) -> list[socket.socket]:
    made: list[socket.socket] = []

    async def resolve(_route: Route, **_: float) -> list[Address]:
        return [Address(socket.AF_INET6 if ":" in row[0] else socket.AF_INET, (row[0], 587)) for row in rows]

    async def connect(address: Address) -> socket.socket:
        seconds, error = next(row[1:] for row in rows if row[0] == str(address))
        await asyncio.sleep(seconds)
        if error:
            raise OSError(error, os.strerror(error))
        made.append(sock := socket.socket())
        return sock

    monkeypatch.setattr(dialing, "resolve", resolve)
    monkeypatch.setattr(dialing, "_connect", connect)
    return made


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        pytest.param([("::1", 0.1, 0), ("1.1.1.1", 0.1, 0)], 0.1, id="the first address answers"),
        pytest.param([("::1", 9, 0), ("1.1.1.1", 0.1, 0)], 0.35, id="a dead IPv6 costs 250 ms"),
        pytest.param([("::1", 0.01, 101), ("1.1.1.1", 0.1, 0)], 0.11, id="an unreachable IPv6 costs nothing"),
        pytest.param([("a", 9, 0), ("b", 9, 0), ("c", 0.1, 0)], 0.6, id="each dead address costs 250 ms"),
    ],
)
def test_the_first_address_that_answers_is_used(
    rows: list[tuple[str, float, int]], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = addresses_that(rows, monkeypatch)

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        (await dial(ROUTE, seconds=10)).close()
        return round(loop.time(), 3)

    assert run_fast(scenario()) == pytest.approx(seconds)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([("a", 0, errno.ECONNREFUSED)], Cause.REFUSED),
        ([("a", 0, errno.ENETUNREACH)], Cause.UNREACHABLE),
        ([("a", 0, errno.EHOSTUNREACH)], Cause.PROHIBITED),
        ([("a", 0, errno.EACCES)], Cause.PROHIBITED_HERE),
        ([("a", 0, errno.ETIMEDOUT)], Cause.TIMED_OUT),
        ([("a", 0, errno.ECONNRESET)], Cause.DROPPED),
        ([("a", 0, errno.EINVAL)], Cause.UNREACHABLE),
        ([("::1", 0, errno.ENETUNREACH), ("a", 0, errno.ECONNREFUSED)], Cause.REFUSED),
        ([("::1", 0, errno.ECONNREFUSED), ("a", 0, errno.ETIMEDOUT)], Cause.TIMED_OUT),
        ([("a", 0, errno.EMFILE)], Cause.FAULT),
        ([("a", 0, errno.ENFILE)], Cause.FAULT),
        ([("a", 0, errno.ENOBUFS)], Cause.FAULT),
        ([("::1", 0, errno.ENETUNREACH), ("a", 0, errno.ENOMEM)], Cause.FAULT),
        ([("a", 99, 0)], Cause.TIMED_OUT),
        ([("::1", 0, errno.ENETUNREACH), ("a", 99, 0)], Cause.TIMED_OUT),
    ],
)
def test_every_socket_failure_has_its_kind(
    rows: list[tuple[str, float, int]], cause: Cause, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses_that(rows, monkeypatch)
    with pytest.raises(RouteFailed) as caught:
        run_fast(dial(ROUTE, seconds=10))
    assert caught.value.failure.cause is cause
    failed = [name for name, _, error in rows if error]
    assert all(name in caught.value.failure.detail for name in failed), "each address is told"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.EMFILE, "a (Too many open files)"),
        (errno.EPERM, "a (Operation not permitted)"),
        (errno.EACCES, "a (Permission denied)"),
        (errno.EHOSTUNREACH, "a"),
        (errno.ECONNREFUSED, "a"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_what_this_machine_itself_says_is_told_in_its_words(
    error: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses_that([("a", 0, error)], monkeypatch)
    with pytest.raises(RouteFailed) as caught:
        run_fast(dial(ROUTE, seconds=10))
    assert caught.value.failure.detail == words


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Cause.FAULT, "mail.example.com (Too many open files)"),
        (socket.gaierror(socket.EAI_MEMORY, "x"), Cause.FAULT, "mail.example.com"),
        (TimeoutError(errno.ETIMEDOUT, "Timed out"), Cause.FAULT, "mail.example.com (Timed out)"),
    ],
    ids=["EMFILE", "EAI_MEMORY", "ETIMEDOUT"],
)
def test_a_name_that_is_not_asked_for_lack_of_means_says_nothing_of_the_resolver(
    error: OSError, cause: Cause, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "x") if options.get("flags") else error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(RouteFailed) as caught:
        asyncio.run(dial(ROUTE, seconds=5))
    assert (caught.value.failure.cause, caught.value.failure.detail) == (cause, words)


@pytest.mark.parametrize(
    ("error", "cause", "temporary"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), Cause.NAME_NOT_FOUND, False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Cause.RESOLVER_FAILED, True),
    ],
)
def test_a_name_that_does_not_resolve_is_told_from_a_resolver_that_is_down(
    error: socket.gaierror, cause: Cause, temporary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with portmail.Submitter(host="mail.example.invalid", retry=None) as mail:
        with pytest.raises(portmail.Unreachable) as caught:
            mail.send(message())
    assert {a.error.cause for a in caught.value.attempts if a.error} == {cause}
    assert caught.value.temporary is temporary


def test_a_dead_resolver_costs_no_more_than_the_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = socket.getaddrinfo

    def getaddrinfo(*arguments: object, **keywords: object) -> object:
        if keywords.get("flags"):
            return asked(*arguments, **keywords)  # type: ignore[arg-type]
        time.sleep(1.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    began = time.monotonic()
    with portmail.Submitter(host="mail.example.invalid", retry=None, timeouts=Timeouts(connect=0.2)) as mail:
        with pytest.raises(portmail.Unreachable):
            mail.send(message())
    assert time.monotonic() - began < 1.4


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    given = [Address(six, ("a",)), Address(six, ("b",)), Address(six, ("c",)), Address(four, ("d",))]
    assert [str(address) for address in interleaved(given)] == ["a", "d", "b", "c"]


def test_an_address_that_refused_is_told_once(unused: int) -> None:
    route = Route("127.0.0.1", unused, Security.PLAINTEXT)
    with pytest.raises(RouteFailed) as caught:
        asyncio.run(dial(route, seconds=5.0))
    assert str(caught.value) == "connect: connection refused: 127.0.0.1"


@pytest.fixture
def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("script", "security", "cause"),
    [
        ("SILENCE", Security.PLAINTEXT, Cause.SILENT),
        ("SILENCE", Security.IMPLICIT_TLS, Cause.NO_REPLY),
        ("S: 220 mail.example.com ESMTP\nC: EHLO *\nSILENCE", Security.PLAINTEXT, Cause.OUT_OF_TIME),
    ],
)
@pytest.mark.parametrize("total", [1.5, 4.0])
def test_what_was_waited_for_is_told_when_the_time_is_over(
    script: str, security: Security, cause: Cause, total: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def attempt() -> portmail.Attempt:
        monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
        routes = (Route("127.0.0.1", player.port, security),)
        async with portmail.AsyncSubmitter(routes=routes, retry=None, timeouts=total) as mail:
            with pytest.raises(portmail.Unreachable) as caught:
                await mail.send(message())
            assert caught.value.temporary
            return caught.value.attempts[-1]

    with play(script) as player:
        tried = run_fast(attempt())
        monkeypatch.undo()
    assert tried.error is not None
    assert tried.error.cause is (Cause.OUT_OF_TIME if total < 2 else cause)
    assert "the time for the whole submission was over" in str(tried.error)
