"""Warm sessions on the wire: shared, bounded, replaced where they died, and gone when they are not needed."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, Verdict
from portmail.job import Job
from portmail.pool import Pool
from portmail.sandbox import Sandbox
from portmail.sandbox.certificates import Authority
from portmail.settings import from_arguments
from portmail.submission import Submission
from portmail.timeouts import Deadline
from portmail.transports.carrier import Carrier
from tests.cases import cases
from tests.leaks import PASSWORD, USER
from tests.messages import RECIPIENT, SENDER, message
from tests.servers.dialogue import Player, play

HOST = "127.0.0.1"
PATIENCE = 10
"""Seconds after which a test calls it hanging."""

SUBMISSION = Submission.of(message())

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
each_loop = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(HOST)


@pytest.fixture
def relay() -> Iterator[Sandbox]:
    """A server that takes mail from everybody."""
    with Sandbox(users={}, ports={25: 0}) as server:
        yield server


def wishes_for(server: Sandbox | Player, **wishes: Any) -> dict[str, Any]:
    port = server.port(25) if isinstance(server, Sandbox) else server.port
    told = {"local_hostname": "web1.example", "retry": None, "timeouts": PATIENCE}
    return {"routes": (Route(HOST, port, Security.PLAINTEXT),), **told, **wishes}


def client(server: Sandbox | Player, **wishes: Any) -> portmail.AsyncSubmitter:
    return portmail.AsyncSubmitter(**wishes_for(server, **wishes))


def octets(subject: object, *, to: str = RECIPIENT, size: int = 0) -> bytes:
    head = (
        f"From: {SENDER}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.org>\r\n"
        "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n"
    )
    return head.encode() + (b"y" * 98 + b"\r\n") * (size // 100 + 1)


def subject_of(content: bytes) -> str:
    return content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()


def subjects(server: Sandbox | Player) -> list[str]:
    """What arrived, in order."""
    contents = [it.content for it in server.messages] if isinstance(server, Sandbox) else list(server.bodies)
    return [subject_of(content) for content in contents]


def run(work: Coroutine[Any, Any, Any], *, loop: Loop | None = None) -> Any:
    """Run a coroutine that must not hang."""

    async def in_time() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await work

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(in_time())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


def said(player: Player, words: str, *, times: int = 1) -> bool:
    """Whether the dialogues have come to so many lines that begin with these words."""
    return [line.startswith(words) for told in player.transcripts for line in told].count(True) >= times


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


HELLO = "S: 220 hi\nC: EHLO *\nS: 250-m\nS: 250 PIPELINING\n"
LOCKSTEP = "S: 220 hi\nC: EHLO *\nS: 250 m\n"
ENVELOPE = "C: MAIL *\nC: RCPT *\nC: DATA\n"
GOOD = "S: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\n"
ONE_BY_ONE = "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go on\nBODY\n"
ACCEPT = "S: 250 2.0.0 accepted\n"
MESSAGE = ENVELOPE + GOOD + ACCEPT


# Shared.


@each_loop
def test_twenty_messages_travel_over_one_connection(sandbox: Sandbox, loop: Loop) -> None:
    async def scenario() -> None:
        async with portmail.AsyncSubmitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
            for _ in range(20):
                receipt = await mail.send(message())
                assert len(receipt.attempts) == 1

    run(scenario(), loop=loop)
    (session,) = sandbox.sessions
    assert (session.authentications, len(sandbox.messages)) == (1, 20)
    assert session.commands[-1] == "QUIT"


def test_twenty_messages_from_a_blocking_program_too(sandbox: Sandbox) -> None:
    with portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
        for _ in range(20):
            mail.send(message())
    assert len(sandbox.sessions) == 1
    assert len(sandbox.messages) == 20


@pytest.mark.parametrize(
    ("pool_size", "extensions"),
    cases(
        itertools.product((1, 3), (("PIPELINING", "CHUNKING"), ())),
        daily={(1, ()), (3, ("PIPELINING", "CHUNKING"))},
    ),
)
def test_there_are_never_more_connections_than_the_pool_may_have(
    pool_size: int, extensions: tuple[str, ...]
) -> None:
    with Sandbox(users={}, ports={25: 0}, extensions=extensions) as relay:

        async def scenario() -> None:
            async with client(relay, pool_size=pool_size) as mail:
                await asyncio.gather(*(mail.send(octets(number)) for number in range(200)))

        run(scenario())
        assert sorted(map(int, subjects(relay))) == list(range(200))
        # None was closed before the end: as many as there were, there were at a time.
        assert len(relay.sessions) == pool_size


def test_threads_share_the_connections(relay: Sandbox) -> None:
    with portmail.Submitter(**wishes_for(relay, pool_size=2)) as mail, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: mail.send(octets(number)), range(200)))
    assert sorted(map(int, subjects(relay))) == list(range(200))
    assert len(relay.sessions) <= 2


def test_the_first_connection_is_opened_alone(sandbox: Sandbox) -> None:
    seen: list[int] = []

    async def password() -> str:
        if not seen:
            for _ in range(50):
                await asyncio.sleep(0.001)  # time for the others, if there were any
        seen.append(len(sandbox.sessions))
        return PASSWORD

    async def scenario() -> None:
        account = {"username": USER, "password": password, "tls_ca": sandbox.ca}
        async with portmail.AsyncSubmitter(routes=sandbox.routes[1:], **account, pool_size=5) as mail:  # type: ignore[arg-type]
            await asyncio.gather(*(mail.send(message()) for _ in range(50)))

    run(scenario())
    assert seen[0] == 1
    assert len(sandbox.messages) == 50


@each_loop
def test_a_wrong_password_is_shown_once_for_all_that_wait(sandbox: Sandbox, loop: Loop) -> None:
    async def scenario() -> list[object]:
        account = {"username": USER, "password": "wrong", "tls_ca": sandbox.ca}
        retry = portmail.Retry(attempts=3)
        async with portmail.AsyncSubmitter(routes=sandbox.routes[1:], retry=retry, **account) as mail:  # type: ignore[arg-type]
            return await asyncio.gather(*(mail.send(message()) for _ in range(50)), return_exceptions=True)

    errors = run(scenario(), loop=loop)
    assert [type(error) for error in errors] == [portmail.AuthenticationFailed] * 50
    assert len({id(error) for error in errors}) == 50
    assert all(len(error.attempts) == 1 for error in errors)
    assert sum(session.authentications for session in sandbox.sessions) == 1
    assert len(sandbox.sessions) == 1


# Sessions that died.

ENDS = {
    "FIN": "CLOSE",
    "RST": "RESET",
    "421 and FIN": "S: 421 4.4.2 idle for too long\nCLOSE",
    "FIN, later": "PAUSE 0.03\nCLOSE",
    "RST, later": "PAUSE 0.03\nRESET",
    "421 and FIN, later": "PAUSE 0.03\nS: 421 4.4.2 idle for too long\nCLOSE",
    "FIN at the next command": "C: MAIL *\nCLOSE",
    "RST at the next command": "C: MAIL *\nRESET",
    "421 at the next command": "C: MAIL *\nS: 421 4.4.2 idle for too long\nCLOSE",
    "half a line": 'PAUSE 0.03\nRAW "42"\nSILENCE',
    "nonsense": 'PAUSE 0.03\nRAW "what?\\r\\n"\nSILENCE',
}


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "after a while"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_session_that_the_server_ended_costs_nothing(end: str, wait: bool) -> None:
    if not wait and "RAW" in end:
        return  # what is said in answer to a command is no surprise

    async def scenario() -> list[portmail.Receipt]:
        async with client(player) as mail:
            first = await mail.send(octets("one"))
            if wait and "C:" not in end:
                await asyncio.sleep(0.05)
            return [first, await mail.send(octets("two")), await mail.send(octets("three"))]

    with play([f"{HELLO}{MESSAGE}{end}", HELLO + MESSAGE * 2]) as player:
        receipts = run(scenario())
        player.check()
        assert player.connections == 2
    assert [[str(a.verdict.value) for a in receipt.attempts] for receipt in receipts] == [["accepted"]] * 3
    assert subjects(player) == ["one", "two", "three"]


@pytest.mark.parametrize("end", ["CLOSE", "RESET", "S: 421 4.4.2 idle for too long\nCLOSE"])
@each_loop
def test_the_same_over_tls(end: str, loop: Loop, authority: Authority, tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        route = Route(HOST, player.port, Security.IMPLICIT_TLS)
        async with portmail.AsyncSubmitter(routes=(route,), tls_ca=authority.ca_path, retry=None) as mail:
            for subject in ("one", "two"):
                receipt = await mail.send(octets(subject))
                assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED]
                await asyncio.sleep(0.02)

    with play([f"TLS\n{HELLO}{MESSAGE}{end}", f"TLS\n{HELLO}{MESSAGE}"], tls=tls) as player:
        run(scenario(), loop=loop)
        player.check()
        assert player.connections == 2


def test_a_server_that_was_killed_and_came_back_costs_nothing() -> None:
    async def scenario() -> None:
        with Sandbox(users={}, ports={25: 0}) as relay:
            port = relay.port(25)
            mail = client(relay)
            await mail.send(octets("one"))
        with Sandbox(users={}, ports={25: port}) as relay:
            async with mail:
                receipt = await mail.send(octets("two"))
            assert len(receipt.attempts) == 1
            assert subjects(relay) == ["two"]

    run(scenario())


def test_a_silent_session_is_found_out_and_the_message_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portmail.transports.carrier._STALE", 0.05)
    monkeypatch.setattr("portmail.transports.carrier._PROOF", 0.2)

    async def scenario() -> portmail.Receipt:
        async with client(player) as mail:
            await mail.send(octets("one"))
            await asyncio.sleep(0.1)
            return await mail.send(octets("two"))

    with play([f"{HELLO}{MESSAGE}SILENCE", f"{HELLO}{MESSAGE}"]) as player:
        receipt = run(scenario())
        player.check()
        assert player.connections == 2
        assert b"RSET\r\nMAIL FROM" in player.received
    assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED]
    assert subjects(player) == ["one", "two"]


def test_a_session_that_rested_and_answers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.transports.carrier._STALE", 0.05)
    monkeypatch.setattr("portmail.transports.carrier._PROOF", 0.2)
    slow = "S: 250 forgotten\nS: 250 ok\nPAUSE 0.4\nS: 250 ok\nS: 354 go on\nBODY\n"
    rest = f"C: RSET\n{ENVELOPE}{slow}{ACCEPT}"

    async def scenario() -> None:
        async with client(player) as mail:
            await mail.send(octets("one"))
            await asyncio.sleep(0.1)
            await mail.send(octets("two"))  # slow, but there

    with play(f"{HELLO}{MESSAGE}{rest}") as player:
        run(scenario())
        player.check()
        assert player.connections == 1


def second_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whoever waits has another connection opened."""
    monkeypatch.setattr("portmail.pace._EACH", 0)


def test_a_silent_session_that_never_carried_anything_is_found_out_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second_connection(monkeypatch)
    monkeypatch.setattr("portmail.transports.wire._FAREWELL", 0.1)
    monkeypatch.setattr("portmail.transports.carrier._STALE", 0.05)
    monkeypatch.setattr("portmail.transports.carrier._PROOF", 0.2)

    async def scenario() -> portmail.Receipt:
        async with client(player, pool_size=2) as mail:
            await asyncio.gather(mail.send(octets("one")), mail.send(octets("two")))
            pool = await mail._pools.here()
            await until(lambda: len(pool._crew) == 2)
            await asyncio.sleep(0.1)
            return await mail.send(octets("three"))

    slow = HELLO.replace("C: EHLO *", "C: EHLO *\nPAUSE 0.1") + "SILENCE"
    with play([HELLO + MESSAGE * 2 + "SILENCE", slow, HELLO + MESSAGE * 2]) as player:
        receipt = run(scenario())
    assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED]
    assert subjects(player) == ["one", "two", "three"]


@each_loop
def test_an_envelope_behind_a_content_goes_on_elsewhere_when_the_connection_dies(loop: Loop) -> None:
    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=1) as mail:
            return [result async for result in mail.send_many([octets("one"), octets("two")])]

    first = f"{HELLO}{ENVELOPE}{GOOD}{ENVELOPE}RESET"
    with play([first, HELLO + MESSAGE]) as player:
        results = run(scenario(), loop=loop)
        player.check()
        assert player.connections == 2
    kinds = {subject_of(result.message): type(result.error) for result in results}
    assert kinds == {"one": portmail.InDoubt, "two": type(None)}
    (receipt,) = (result.receipt for result in results if result.receipt)
    assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED]


@pytest.mark.parametrize("end", ["RESET", "CLOSE", "S: 421 4.4.0 bye\nCLOSE"])
def test_a_fresh_connection_that_dies_at_once_each_time_is_no_endless_loop(end: str) -> None:
    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=2) as mail:
            with pytest.raises(portmail.DeliveryError):
                await mail.send(octets("one"))
            assert player.connections == 1
            results = [r async for r in mail.send_many([*map(octets, range(20)), b"bad"])]
            return [result for result in results if result.message != b"bad"]

    def quick(*_arguments: object) -> None: ...

    with play(f"{HELLO}C: MAIL *\n{end}") as player:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("portmail.pace._FIRST_PAUSE", 0.001)
            patch.setattr("portmail.pace._LONGEST_PAUSE", 0.001)
            patch.setattr("portmail.pool._GLANCE", 0.002)
            results = run(scenario())
        player.check()
        assert player.connections <= 1 + 20 + 2
    expected = portmail.Rejected if "421" in end else portmail.Unreachable
    assert [type(result.error) for result in results] == [expected] * 20
    assert all(isinstance(r.error, portmail.DeliveryError) and r.error.temporary for r in results)


# Servers that ask for less.


@pytest.mark.parametrize(
    "end",
    [
        f"{ENVELOPE}S: 421 too many messages in this connection\nCLOSE",
        f"{ENVELOPE}S: 421 4.4.2 too many messages in this connection\nRESET",
        "S: 421 too many messages in this connection\nCLOSE",
        "CLOSE",
    ],
    ids=["421", "421 and RST", "421 at once", "FIN"],
)
@pytest.mark.parametrize("lockstep", [False, True], ids=["PIPELINING", "lock-step"])
def test_a_limit_of_messages_for_each_connection_is_met_without_loss(end: str, lockstep: bool) -> None:
    three = (LOCKSTEP + (ONE_BY_ONE + ACCEPT) * 3) if lockstep else HELLO + MESSAGE * 3
    end = end.replace(ENVELOPE, "C: MAIL *\n") if lockstep else end

    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=2) as mail:
            return [result async for result in mail.send_many(map(octets, range(20)))]

    with play(three + end) as player:
        results = run(scenario())
        player.check()
        assert player.connections <= 20 // 3 + 2
    assert [result.error for result in results] == [None] * 20
    assert sorted(map(int, subjects(player))) == list(range(20))


@pytest.mark.parametrize("reply", ["421 4.7.0 too fast\nCLOSE", "450 4.7.1 too fast"])
def test_a_server_that_says_too_fast_is_given_a_pause(reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = 0.2
    monkeypatch.setattr("portmail.pace._FIRST_PAUSE", pause)
    monkeypatch.setattr("portmail.pool._GLANCE", 0.02)
    moments: dict[str, float] = {}

    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=4) as mail:
            results = []
            async for result in mail.send_many(map(octets, range(4))):
                moments[subject_of(result.message)] = time.monotonic()
                results.append(result)
            pool = await mail._pools.here()
            assert pool._pace.bound == 1
            return results

    refusing = f"{HELLO}{ENVELOPE}S: {reply}\nS: 503 say MAIL first\nS: 503 say MAIL first\n"
    if "421" in reply:
        refusing = f"{HELLO}{ENVELOPE}S: {reply}\n"
    with play([refusing + MESSAGE * 4, HELLO + MESSAGE * 4]) as player:
        results = run(scenario())
        player.check()
    refused = [subject_of(result.message) for result in results if result.error]
    assert len(refused) == 1
    others = sorted(moment for subject, moment in moments.items() if subject not in refused)
    assert others[0] - moments[refused[0]] >= pause * 0.9
    assert len(subjects(player)) == 3


@pytest.mark.parametrize("greeting", ["421 4.7.0 too many connections", "554 5.7.1 too many connections"])
def test_a_server_that_takes_two_connections_only_gets_two(
    greeting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_connection(monkeypatch)
    slowly = HELLO + (ENVELOPE + "PAUSE 0.002\n" + GOOD + ACCEPT) * 100

    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=4) as mail:
            return [result async for result in mail.send_many(map(octets, range(80)))]

    with play([slowly, slowly, f"S: {greeting}\nCLOSE"]) as player:
        results = run(scenario())
        player.check()
        assert 3 <= player.connections <= 10
    assert [result.error for result in results] == [None] * 80
    assert all(result.receipt and len(result.receipt.attempts) == 1 for result in results)
    assert sorted(map(int, subjects(player))) == list(range(80))


def test_a_server_that_wants_a_pause_between_connections_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.pace._FIRST_PAUSE", 0.05)
    monkeypatch.setattr("portmail.pool._GLANCE", 0.02)
    three = HELLO + MESSAGE * 3 + f"{ENVELOPE}S: 421 too many messages\nCLOSE"

    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=1) as mail:
            return [result async for result in mail.send_many(map(octets, range(9)))]

    with play([three, "S: 421 4.7.0 not so fast\nCLOSE", three]) as player:
        results = run(scenario())
    assert sum(result.error is not None for result in results) <= 1


def test_one_refused_connection_of_several_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    second_connection(monkeypatch)
    scripts = [
        f"{HELLO}{MESSAGE}CLOSE",
        "PAUSE 0.1\nS: 421 4.7.0 too many connections\nCLOSE",
        f"PAUSE 0.3\n{HELLO}" + MESSAGE * 20,
    ]

    async def scenario() -> list[portmail.Result[bytes]]:
        async with client(player, pool_size=3) as mail:
            return [result async for result in mail.send_many(map(octets, range(10)))]

    with play(scripts) as player:
        results = run(scenario())
    assert [result.error for result in results] == [None] * 10


# More recipients than fit.

TEN = ", ".join(f"you{number}@example.org" for number in range(10))


def envelope_for(count: int, *, taken: int) -> str:
    """A transaction for so many recipients, of which the server takes some."""
    commands = "C: MAIL *\n" + "C: RCPT *\n" * count + "C: DATA\nS: 250 ok\n"
    full = "S: 452 4.5.3 too many recipients\n" * (count - taken)
    return commands + "S: 250 ok\n" * taken + full + "S: 354 go on\nBODY\n"


def test_more_recipients_than_fit_into_a_transaction_get_more_transactions() -> None:
    async def scenario() -> list[portmail.Receipt | None]:
        async with client(player) as mail:
            receipt = await mail.send(octets("one", to=TEN))
            results = [result async for result in mail.send_many([octets("two", to=TEN)])]
            return [receipt, results[0].receipt]

    rounds = [(10, 3), (7, 3), (4, 3), (1, 1)]
    script = HELLO + "".join(envelope_for(count, taken=taken) + ACCEPT for count, taken in rounds) * 2
    with play(script) as player:
        receipts = run(scenario())
        player.check()
        assert player.connections == 1
    for receipt in receipts:
        assert receipt.accepted == tuple(f"you{number}@example.org" for number in range(10))
        assert not receipt.refused
        assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.ACCEPTED] * 4
    assert subjects(player) == ["one"] * 4 + ["two"] * 4


@pytest.mark.parametrize("end", ["S: 550 5.7.1 no more\n", "S: 451 4.3.0 later\n"])
def test_where_the_second_transaction_is_refused_those_that_are_left_stay_refused(end: str) -> None:
    async def scenario() -> portmail.Receipt:
        async with client(player, retry=portmail.Retry(attempts=3)) as mail:
            return await mail.send(octets("one", to=TEN))

    with play(HELLO + envelope_for(10, taken=3) + ACCEPT + envelope_for(7, taken=7) + end) as player:
        receipt = run(scenario())
        player.check()
    assert len(receipt.accepted) == 3
    assert len(receipt.refused) == 7
    assert {reply.code for reply in receipt.refused.values()} == {452}


@pytest.mark.parametrize("bulk", [False, True], ids=["send", "send_many"])
def test_where_the_second_transaction_is_in_doubt_those_accepted_before_are_named(bulk: bool) -> None:
    async def scenario() -> portmail.PortmailError | None:
        async with client(player, retry=portmail.Retry(attempts=3)) as mail:
            if not bulk:
                with pytest.raises(portmail.InDoubt) as caught:
                    await mail.send(octets("one", to=TEN))
                return caught.value
            (result,) = [result async for result in mail.send_many([octets("one", to=TEN)])]
            return result.error

    with play(HELLO + envelope_for(10, taken=3) + ACCEPT + envelope_for(7, taken=7) + "RESET") as player:
        error = run(scenario())
        player.check()
        assert player.connections == 1
    assert isinstance(error, portmail.InDoubt)
    assert error.accepted == ("you0@example.org", "you1@example.org", "you2@example.org")
    assert [attempt.verdict for attempt in error.attempts] == [Verdict.ACCEPTED, Verdict.IN_DOUBT]


# Cancelled, and out of time.


async def cancelled(task: asyncio.Task[Any]) -> str:
    """Cancel it; return what its notes say."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return notes(caught.value)


def test_cancelling_what_waits_in_the_queue_harms_nobody() -> None:
    async def scenario() -> str:
        async with client(player, pool_size=1) as mail:
            one = asyncio.create_task(mail.send(octets("one")))
            two = asyncio.create_task(mail.send(octets("two")))
            three = asyncio.create_task(mail.send(octets("three")))
            await until(lambda: said(player, "C: MAIL"))
            note = await cancelled(three)
            released.set()
            await asyncio.gather(one, two)
            return note

    released = threading.Event()
    with play(f"{HELLO}{ENVELOPE}PAUSE 0.1\n{GOOD}{ENVELOPE}{ACCEPT}{GOOD}{ACCEPT}") as player:
        assert run(scenario()) == "portmail: the message was not sent (<three@example.org>)"
        player.check()
        assert player.connections == 1
    assert subjects(player) == ["one", "two"]


PHASES = {
    "envelope": ("C: DATA", f"{HELLO}{ENVELOPE}SILENCE", "not sent"),
    "content": (
        "S: 354",
        f"{HELLO}{ENVELOPE}S: 250 ok\nS: 250 ok\nS: 354 go on\nBODY-WITHOUT-DOT 100000\nPAUSE 5",
        "not sent",
    ),
    "final dot": ("S: 2?", f'{HELLO}{ENVELOPE}{GOOD}RAW "2?"\nSILENCE', "in doubt"),
}


@pytest.mark.parametrize("phase", PHASES)
@each_loop
def test_cancelling_one_message_costs_the_others_on_its_connection_nothing(phase: str, loop: Loop) -> None:
    moment, script, truth = PHASES[phase]

    async def scenario() -> str:
        async with client(player, pool_size=1) as mail:
            one = asyncio.create_task(mail.send(octets("one", size=9_000_000 if phase == "content" else 0)))
            await until(lambda: said(player, "C: EHLO"))
            others = [asyncio.create_task(mail.send(octets(subject))) for subject in ("two", "three")]
            await until(lambda: said(player, moment))
            note = await cancelled(one)
            receipts = await asyncio.gather(*others)
            assert all(len(receipt.attempts) == 1 for receipt in receipts)
            return note

    with play([script, HELLO + MESSAGE * 2]) as player:
        note = run(scenario(), loop=loop)
        player.check()
    assert truth in note
    assert "<one@example.org>" in note
    assert [subject for subject in subjects(player) if subject in ("two", "three")] == ["two", "three"]


def test_cancelling_what_rides_behind_leaves_the_one_in_front_alone() -> None:
    async def scenario() -> tuple[str, portmail.Receipt]:
        async with client(player, pool_size=1) as mail:
            one = asyncio.create_task(mail.send(octets("one")))
            two = asyncio.create_task(mail.send(octets("two")))
            await until(lambda: said(player, "C: DATA", times=2))
            note = await cancelled(two)
            three = asyncio.create_task(mail.send(octets("three")))
            receipt = await one
            await three
            return note, receipt

    first = f"{HELLO}{ENVELOPE}{GOOD}{ENVELOPE}PAUSE 0.1\n{ACCEPT}S: 250 ok\nS: 250 ok\nS: 354 go on\nBODY"
    with play([first, HELLO + MESSAGE]) as player:
        note, receipt = run(scenario())
        player.check()
    assert note == "portmail: the message was not sent (<two@example.org>)"
    assert receipt.reply.code == 250
    assert subjects(player) == ["one", "three"]


def test_a_send_behind_one_that_was_cancelled_while_connecting_is_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portmail.pool._GLANCE", 60)

    async def scenario() -> None:
        async with client(player) as mail:
            gone = asyncio.create_task(mail.send(octets("gone")))
            await until(lambda: said(player, "C: EHLO"))
            gone.cancel()
            await asyncio.wait([gone])
            async with asyncio.timeout(0.5):
                await mail.send(octets("two"))

    with play(["S: 220 hi\nC: EHLO *\nSILENCE", HELLO + MESSAGE]) as player:
        run(scenario())


def test_the_time_for_the_whole_submission_counts_in_the_queue() -> None:
    async def scenario() -> list[Any]:
        async with client(player, pool_size=1, timeouts=Timeouts(total=0.4)) as mail:
            one = asyncio.create_task(mail.send(octets("one")))
            await until(lambda: said(player, "C: DATA"))
            two = asyncio.create_task(mail.send(octets("two")))
            three = asyncio.create_task(mail.send(octets("three")))
            return list(await asyncio.gather(one, two, three, return_exceptions=True))

    with play([f"{HELLO}{ENVELOPE}{GOOD}SILENCE", "SILENCE"]) as player:
        first, *others = run(scenario())
    assert isinstance(first, portmail.InDoubt)
    for error in others:
        assert isinstance(error, portmail.Unreachable)
        failure = error.attempts[-1].error
        assert failure is not None
        assert failure.cause is Cause.OUT_OF_TIME


def test_a_message_whose_time_is_over_is_told_so_while_a_walk_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Pool] = []
    told: dict[str, float] = {}
    original = Pool._serve

    def look(pool: Pool) -> None:
        looks.append(pool)
        original(pool)

    monkeypatch.setattr(Pool, "_serve", look)

    async def scenario() -> None:
        pool = Pool(from_arguments(**wishes_for(player)))
        started = time.monotonic()

        def job(name: str, *, total: float) -> Job:
            def done(_job: Job) -> None:
                told[name] = time.monotonic() - started

            deadline = Deadline(Timeouts(total=total))
            return Job(SUBMISSION, deadline=deadline, danger=asyncio.Event(), done=done)

        pool.submit(job("walks", total=0.6))
        pool._waiting.put_back(job("comes back", total=0.1))
        assert pool._timer is not None
        pool._timer.cancel()
        pool._timer = None  # as after a look
        pool._serve()
        await until(lambda: len(told) == 2)
        await pool.close()

    with play("SILENCE") as player:
        run(scenario())
    assert told["comes back"] < 0.5
    assert len(looks) < 100


@pytest.fixture
def buffered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Octets in the transport's buffer after each step."""
    sizes: list[int] = []
    original = Carrier.go

    def go(carrier: Carrier) -> None:
        sock = carrier._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # the kernel would take megabytes
        original(carrier)
        sizes.append(carrier._transport.get_write_buffer_size())

    monkeypatch.setattr(Carrier, "go", go)
    return sizes


@pytest.mark.parametrize(
    ("secure", "loop"),
    cases(
        [(False, LOOPS["asyncio"]), (True, LOOPS["asyncio"]), (True, LOOPS["uvloop"])],
        daily=[(True, LOOPS["asyncio"])],
    ),
)
def test_a_slow_reader_is_waited_for_and_never_buffered(
    secure: bool, loop: Loop, buffered: list[int], authority: Authority, tls: ssl.SSLContext
) -> None:
    slowly = "BODY-WITHOUT-DOT 60000\nPAUSE 0.03\n" * 30
    script = ("TLS\n" if secure else "") + HELLO + ENVELOPE + GOOD.replace("BODY", f"{slowly}BODY") + ACCEPT
    made = octets("big", size=2_500_000)

    async def scenario() -> int:
        security = Security.IMPLICIT_TLS if secure else Security.PLAINTEXT
        wishes: dict[str, Any] = {"tls_ca": authority.ca_path, "timeouts": Timeouts(block=0.7)}
        routes = (Route(HOST, player.port, security),)
        async with portmail.AsyncSubmitter(routes=routes, retry=None, **wishes) as mail:
            await mail.send(made)
        return 0

    with play(script, tls=tls) as player:
        started = time.monotonic()
        run(scenario(), loop=loop)
        assert time.monotonic() - started > 0.7  # more than a block may take
        player.check()
    assert len(buffered) > 10
    assert max(buffered) > 0
    assert max(buffered) < 128 * 1024


def test_a_server_that_stops_reading_is_given_up() -> None:
    async def scenario() -> portmail.Unreachable:
        async with client(player, timeouts=Timeouts(block=0.2)) as mail:
            with pytest.raises(portmail.Unreachable) as caught:
                await mail.send(octets("big", size=20_000_000))
            return caught.value

    script = f"{HELLO}{ENVELOPE}{GOOD.replace('BODY', 'BODY-WITHOUT-DOT 1000')}PAUSE 30"
    with play(script) as player:
        error = run(scenario())
    (attempt,) = error.attempts
    assert attempt.error is not None
    assert (attempt.phase, attempt.error.cause) == (Phase.CONTENT, Cause.NO_REPLY)


# From the first to the last.


@each_loop
def test_one_submitter_serves_one_loop_after_the_other(sandbox: Sandbox, loop: Loop) -> None:
    mail = portmail.AsyncSubmitter.from_url(sandbox.url, tls_ca=sandbox.ca)
    for _ in range(3):
        run(twice(mail), loop=loop)
    del mail
    gc.collect()  # what was not closed would complain now
    assert len(sandbox.messages) == 6
    assert [session.commands[-1] for session in sandbox.sessions] == ["QUIT"] * 3


async def twice(mail: portmail.AsyncSubmitter) -> None:
    for _ in range(2):
        await mail.send(message())


def test_loops_in_several_threads_share_a_submitter_but_no_connection(relay: Sandbox) -> None:
    mail = client(relay)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: run(twice(mail)), range(8)))
    gc.collect()
    assert len(relay.messages) == 16
    assert len(relay.sessions) == 8


def test_it_opens_again_after_it_was_closed(relay: Sandbox) -> None:
    async def scenario() -> None:
        mail = client(relay)
        for _ in range(2):
            async with mail:
                await mail.send(octets("one"))
            assert relay.sessions[-1].commands[-1] == "QUIT"
        await mail.aclose()
        await mail.aclose()

    run(scenario())
    assert len(relay.sessions) == 2
    with portmail.Submitter(**wishes_for(relay)) as blocking:
        for _ in range(2):
            blocking.send(octets("two"))
            blocking.close()
    assert len(relay.sessions) == 4


@each_loop
def test_closing_while_others_send_leaves_no_connection_open(relay: Sandbox, loop: Loop) -> None:
    async def scenario() -> list[Any]:
        mail = client(relay, pool_size=2)
        await mail.send(octets("first"))
        sending = [asyncio.create_task(mail.send(octets(number))) for number in range(40)]
        await asyncio.sleep(0)
        await mail.aclose()
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        await mail.aclose()
        return outcomes

    outcomes = run(scenario(), loop=loop)
    gc.collect()
    accepted = [it for it in outcomes if isinstance(it, portmail.Receipt)]
    assert len(accepted) == len(relay.messages) - 1
    assert all(isinstance(it, portmail.Receipt | portmail.DeliveryError) for it in outcomes)
    assert len(set(subjects(relay))) == len(relay.messages)


def test_an_idle_session_says_goodbye(relay: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.pool.REST", 0.05)

    async def scenario() -> None:
        async with client(relay) as mail:
            await mail.send(octets("one"))
            await until(lambda: relay.sessions[0].commands[-1] == "QUIT")
            receipt = await mail.send(octets("two"))
            assert len(receipt.attempts) == 1

    run(scenario())
    assert len(relay.sessions) == 2


def test_a_session_that_is_not_needed_says_goodbye_although_another_one_is_used(
    relay: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_connection(monkeypatch)
    monkeypatch.setattr("portmail.pool.REST", 0.3)

    async def scenario() -> None:
        async with client(relay, pool_size=2) as mail:
            while len(relay.sessions) < 2:
                await asyncio.gather(*(mail.send(octets(number)) for number in range(20)))
            async with asyncio.timeout(3):
                while not any(session.commands[-1:] == ("QUIT",) for session in relay.sessions):
                    await mail.send(octets("one"))
                    await asyncio.sleep(0.05)

    run(scenario())
