"""Many messages: a result for every one, none twice, and no more of them in memory than are under way."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

import pytest

import portmail
from portmail import Result, Route, Security
from portmail.sandbox import Sandbox
from tests.cases import cases
from tests.leaks import USER
from tests.messages import RECIPIENT, SENDER, message
from tests.servers.dialogue import Player, play

HOST = "127.0.0.1"
PATIENCE = 10
"""Seconds after which a test calls it hanging."""

DOORS = ("async", "sync")
each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
def relay() -> Iterator[Sandbox]:
    """A server that takes mail from everybody."""
    with Sandbox(users={}, ports={25: 0}) as server:
        yield server


def routes_of(server: Sandbox | Player) -> tuple[Route, ...]:
    port = server.port(25) if isinstance(server, Sandbox) else server.port
    return (Route(HOST, port, Security.PLAINTEXT),)


def wishes_for(server: Sandbox | Player, **wishes: Any) -> dict[str, Any]:
    told = {"local_hostname": "web1.example", "retry": None, "timeouts": PATIENCE}
    return {"routes": routes_of(server), **told, **wishes}


def octets(number: int, *, to: str = RECIPIENT) -> bytes:
    return (
        f"From: {SENDER}\r\nTo: {to}\r\nSubject: {number}\r\nMessage-ID: <{number}@example.org>\r\n"
        "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nHello.\r\n"
    ).encode()


def number_of(content: portmail.AnyMessage) -> int:
    assert isinstance(content, bytes)
    return int(content.partition(b"Subject: ")[2].partition(b"\r\n")[0])


def numbers(sandbox: Sandbox) -> list[int]:
    """What arrived."""
    return [number_of(received.content) for received in sandbox.messages]


def run(work: Any) -> Any:
    """Run a coroutine that must not hang."""

    async def in_time() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await work

    return asyncio.run(in_time())


def send_all(
    door: str,
    server: Sandbox | Player,
    messages: Iterable[Any],
    *,
    before_commit: Callable[[Any], None] | None = None,
    **wishes: Any,
) -> list[Result[Any]]:
    """Through either door, all results."""
    wishes = wishes_for(server, **wishes)
    if door == "sync":
        with portmail.Submitter(**wishes) as mail:
            return list(mail.send_many(messages, before_commit=before_commit))

    async def scenario() -> list[Result[Any]]:
        async with portmail.AsyncSubmitter(**wishes) as mail:
            return [result async for result in mail.send_many(messages, before_commit=before_commit)]

    results: list[Result[Any]] = run(scenario())
    return results


def errors(results: Iterable[Result[Any]]) -> Counter[str]:
    return Counter(type(result.error).__name__ for result in results if result.error)


HELLO = "S: 220 hi\nC: EHLO *\nS: 250-m\nS: 250 PIPELINING\n"
ENVELOPE = "C: MAIL *\nC: RCPT *\nC: DATA\n"
GOOD = "S: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\n"


# Sources.


@each_door
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_every_message_has_its_result_and_arrives_once(door: str, kind: str, relay: Sandbox) -> None:
    given: list[bytes] = [octets(number) for number in range(100)]
    sources: dict[str, Iterable[bytes]] = {
        "list": given,
        "generator": (it for it in given),
    }
    results = send_all(door, relay, sources[kind], pool_size=3)
    assert sorted(number_of(result.message) for result in results) == list(range(100))
    assert all(result.receipt and result.receipt.accepted == (RECIPIENT,) for result in results)
    assert sorted(numbers(relay)) == list(range(100))
    assert len(relay.sessions) <= 3


def test_an_async_generator_is_a_source(relay: Sandbox) -> None:
    async def source() -> AsyncIterator[bytes]:
        for number in range(40):
            if number % 7 == 0:
                await asyncio.sleep(0)
            yield octets(number)

    async def scenario() -> list[int]:
        async with portmail.AsyncSubmitter(**wishes_for(relay)) as mail:
            return [number_of(result.message) async for result in mail.send_many(source())]

    assert sorted(run(scenario())) == sorted(numbers(relay)) == list(range(40))


@each_door
def test_nothing_at_all_is_sent_without_a_connection(door: str, relay: Sandbox) -> None:
    assert send_all(door, relay, []) == []
    assert relay.sessions == ()


@each_door
def test_the_same_object_may_be_sent_twice(door: str, relay: Sandbox) -> None:
    same = message()
    results = send_all(door, relay, [same, same, same])
    assert [result.message is same for result in results] == [True] * 3
    assert len(relay.messages) == 3


@each_door
def test_the_source_is_never_read_far_ahead(door: str, relay: Sandbox) -> None:
    given = taken = ahead = 0

    def source() -> Iterator[bytes]:
        nonlocal given, ahead
        for number in range(300):
            given += 1
            ahead = max(ahead, given - taken)
            yield octets(number)

    wishes = wishes_for(relay, pool_size=1)
    if door == "sync":
        with portmail.Submitter(**wishes) as mail:
            for _ in mail.send_many(source()):
                taken += 1
    else:

        async def scenario() -> None:
            nonlocal taken
            async with portmail.AsyncSubmitter(**wishes) as mail:
                async for _ in mail.send_many(source()):
                    for _ in range(3):  # somebody who takes his time
                        await asyncio.sleep(0)
                    taken += 1

        run(scenario())
    assert taken == 300
    assert 1 <= ahead <= 33


def test_a_source_that_waits_gets_the_results_of_what_it_gave(relay: Sandbox) -> None:
    async def scenario() -> int:
        heard = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            for number in range(5):
                yield octets(number)
                await heard.wait()  # for ever, if the result did not come
                heard.clear()

        count = 0
        async with portmail.AsyncSubmitter(**wishes_for(relay)) as mail:
            async for _ in mail.send_many(source()):
                count += 1
                heard.set()
        return count

    assert run(scenario()) == 5


def test_a_slow_source_in_a_thread_gets_results_while_it_goes_on(relay: Sandbox) -> None:
    done: list[int] = []
    late: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(6):
            yield octets(number)
            while len(relay.messages) <= number - 1:  # its predecessor is there
                threading.Event().wait(0.005)
            threading.Event().wait(0.03)  # more than a batch is collected for
            late.append(number - len(done))

    with portmail.Submitter(**wishes_for(relay)) as mail:
        done.extend(number_of(result.message) for result in mail.send_many(source()))
    assert sorted(done) == list(range(6))
    assert max(late) <= 3


@each_door
def test_what_the_source_raises_comes_after_the_results_of_all_that_it_gave(
    door: str, relay: Sandbox
) -> None:
    def source() -> Iterator[bytes]:
        for number in range(25):
            yield octets(number)
        raise LookupError("the database is gone")

    results: list[Any] = []
    wishes = wishes_for(relay)

    def sync() -> None:
        with portmail.Submitter(**wishes) as mail:
            results.extend(mail.send_many(source()))

    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**wishes) as mail:
            async for result in mail.send_many(source()):
                results.append(result)  # noqa: PERF401  # what came before it raised counts

    with pytest.raises(LookupError, match="database"):
        sync() if door == "sync" else run(scenario())
    assert len(results) == len(relay.messages) == 25
    assert not errors(results)


def test_a_source_that_raises_while_nobody_listens_any_more_leaves_no_complaint(
    relay: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield octets(1)
            yield octets(2)
            ended.set()
            raise LookupError("too late")

        async with portmail.AsyncSubmitter(**wishes_for(relay)) as mail:
            results = mail.send_many(source())
            await anext(results)
            await ended.wait()
            await asyncio.sleep(0)
            await results.aclose()

    run(scenario())
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


# Results.


@each_door
def test_what_is_wrong_with_one_message_is_no_other_message_s_business(door: str) -> None:
    with Sandbox(users={}, ports={25: 0}, size_limit=5000, extensions=("PIPELINING", "SIZE")) as relay:
        relay.reject("no@example.org")
        bad: dict[str, Any] = {
            "AddressError": message(to="you@example.org, not an address"),
            "NoRecipients": b"From: me@example.org\r\n\r\nto nobody\r\n",
            "ContentError": b"From: me@example.org\r\nTo: you@example.org\r\n\r\n\0\r\n",
            "Rejected": octets(1, to="no@example.org"),
            "MessageTooLarge": octets(2) + b"x" * 70 + b"\r\n" * 5000,
            "ExtensionMissing": message(to="josé@example.org"),
        }
        source: list[Any] = [made for wrong in bad.values() for made in (octets(9), wrong)]
        results = send_all(door, relay, [*source, octets(9)], pool_size=1)
        assert len(relay.messages) == 7
        assert len(relay.sessions) == 1
    assert errors(results) == Counter(bad.keys())
    assert len(results) == 13


@each_door
@pytest.mark.parametrize("retry", [None, portmail.Retry(attempts=2)], ids=["no retry", "retry"])
def test_the_last_message_may_be_one_that_is_refused(
    door: str, retry: portmail.Retry | None, relay: Sandbox
) -> None:
    relay.reject("no@example.org")
    relay.reject("later@example.org", code=451, text="4.3.0 try again in 0 seconds")
    for last in ("no@example.org", "later@example.org"):
        results = send_all(door, relay, [octets(1), octets(2, to=last)], retry=retry)
        assert errors(results) == Counter(Rejected=1)
        assert len(results) == 2


@each_door
def test_results_come_in_the_order_of_finishing(door: str) -> None:
    # The first is told to come again; the bad address is known at once.
    script = f"""{HELLO}{ENVELOPE}
        S: 451 4.3.0 try again in 0 seconds
        S: 503 say MAIL first
        S: 503 say MAIL first
        {ENVELOPE}{GOOD}
        S: 250 two
        {ENVELOPE}{GOOD}
        S: 250 one
    """
    source: list[Any] = [octets(1), octets(2), b"From: me@example.org\r\n\r\nto nobody\r\n"]
    with play(script) as player:
        results = send_all(door, player, source, pool_size=1, retry=portmail.Retry(attempts=2))
        player.check()
    assert [source.index(result.message) for result in results] == [2, 1, 0]
    texts = [result.receipt and result.receipt.reply.text for result in results]
    assert texts == [None, "two", "one"]
    assert results[2].receipt is not None
    assert len(results[2].receipt.attempts) == 2


@each_door
def test_before_commit_is_called_for_each_message_before_the_server_has_it(door: str, relay: Sandbox) -> None:
    called: list[int] = []
    early: list[int] = []

    def note(made: bytes) -> None:
        called.append(number_of(made))
        if number_of(made) in numbers(relay):
            early.append(number_of(made))

    results = send_all(door, relay, [octets(number) for number in range(60)], before_commit=note)
    assert sorted(called) == list(range(60))
    assert early == []
    assert not errors(results)


@each_door
@pytest.mark.parametrize("extensions", [("PIPELINING",), ("PIPELINING", "CHUNKING"), ()], ids=len)
def test_a_message_that_before_commit_holds_back_is_not_sent(door: str, extensions: tuple[str, ...]) -> None:
    def guard(made: bytes) -> None:
        if number_of(made) % 10 == 3:
            raise PermissionError("not on a Sunday")

    with Sandbox(users={}, ports={25: 0}, extensions=extensions) as relay:
        messages = [octets(number) for number in range(30)]
        results = send_all(door, relay, messages, before_commit=guard, pool_size=2)
        held = {number_of(result.message): result.error for result in results if result.error}
        assert sorted(held) == [3, 13, 23]
        assert all(isinstance(error, portmail.HeldBack) for error in held.values())
        assert all(isinstance(error.__cause__, PermissionError) for error in held.values() if error)
        assert sorted(numbers(relay)) == [number for number in range(30) if number % 10 != 3]


def test_a_before_commit_that_sends_with_its_own_submitter_is_told_so(relay: Sandbox) -> None:
    with portmail.Submitter(**wishes_for(relay)) as mail:

        def again(_made: bytes) -> None:
            mail.send(octets(2))

        (result,) = mail.send_many([octets(1)], before_commit=again)
    assert isinstance(result.error, portmail.HeldBack)
    assert isinstance(result.error.__cause__, portmail.ConfigurationError)
    assert relay.messages == ()


# The account.


@each_door
def test_a_wrong_password_is_shown_once_for_all_messages(door: str, sandbox: Sandbox) -> None:
    wishes: dict[str, Any] = {
        "routes": sandbox.routes[1:],
        "username": USER,
        "password": "wrong",
        "tls_ca": sandbox.ca,
        "retry": portmail.Retry(attempts=3),
    }
    if door == "sync":
        with portmail.Submitter(**wishes) as mail:
            results = list(mail.send_many(octets(number) for number in range(300)))
    else:

        async def scenario() -> list[Result[bytes]]:
            async with portmail.AsyncSubmitter(**wishes) as mail:
                return [r async for r in mail.send_many(octets(number) for number in range(300))]

        results = run(scenario())
    assert len(results) == 300
    assert errors(results) == Counter(AuthenticationFailed=300)
    assert sum(session.authentications for session in sandbox.sessions) == 1
    assert sandbox.messages == ()


# Leaving early.


def test_leaving_the_loop_sends_nothing_more_than_was_begun(relay: Sandbox) -> None:
    committed: list[int] = []

    async def scenario() -> int:
        async with portmail.AsyncSubmitter(**wishes_for(relay, pool_size=1)) as mail:
            messages = [octets(number) for number in range(100)]
            results = mail.send_many(messages, before_commit=lambda made: committed.append(number_of(made)))
            async for _ in results:
                break
            await results.aclose()
            begun = len(committed)
            await mail.send(octets(1000))  # the pool is as good as before
            return begun

    begun = run(scenario())
    assert len(committed) - begun <= 2
    assert sorted(numbers(relay)) == sorted([*committed, 1000])
    assert len(committed) < 40
    assert len(relay.sessions) == 1


def test_leaving_the_loop_of_the_blocking_door(relay: Sandbox) -> None:
    committed: list[int] = []
    with portmail.Submitter(**wishes_for(relay, pool_size=1)) as mail:
        messages = (octets(number) for number in range(100))
        for _ in mail.send_many(messages, before_commit=lambda made: committed.append(number_of(made))):
            break
        mail.send(octets(1000))
    assert sorted(numbers(relay)) == sorted([*committed, 1000])
    assert len(committed) < 60


@each_door
def test_what_was_begun_is_finished_also_when_the_submitter_is_closed_at_once(door: str) -> None:
    # The server takes a moment for the second message, which was begun when the first one was accepted.
    script = f"""{HELLO}{ENVELOPE}{GOOD}{ENVELOPE}
        S: 250 one
        {GOOD}PAUSE 0.3
        S: 250 two
        C: QUIT
        S: 221 bye
    """
    messages = [octets(number) for number in range(2)]
    with play(script) as player:
        wishes = wishes_for(player, pool_size=1)
        if door == "sync":
            with portmail.Submitter(**wishes) as mail:
                for _ in mail.send_many(messages):
                    break
        else:

            async def scenario() -> None:
                async with portmail.AsyncSubmitter(**wishes) as mail:
                    results = mail.send_many(messages)
                    async for _ in results:
                        break
                    await results.aclose()

            run(scenario())
        player.check()
        assert "C: QUIT" in player.transcripts[0]


def test_results_that_nobody_asks_for_any_more_are_forgotten(
    relay: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    relay.reject("no@example.org")

    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**wishes_for(relay)) as mail:
            results = mail.send_many(octets(number, to="no@example.org") for number in range(100))
            await anext(results)
            del results  # collected: its loop closes it
            gc.collect()
            await mail.send(octets(1000))
            assert numbers(relay) == [1000]

    run(scenario())
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_forgotten_generator_of_the_blocking_door_leaves_the_submitter_usable(relay: Sandbox) -> None:
    with portmail.Submitter(**wishes_for(relay)) as mail:
        results = mail.send_many(octets(number) for number in range(100))
        next(results)
        del results
        gc.collect()
        mail.send(octets(1000))
    assert numbers(relay).count(1000) == 1
    assert len(set(numbers(relay))) == len(relay.messages) < 101


def test_a_generator_may_be_collected_in_the_thread_of_the_loop(relay: Sandbox) -> None:
    mail = portmail.Submitter(**wishes_for(relay))
    mail.send(octets(2000))
    loops: list[asyncio.AbstractEventLoop] = []
    mail._loop.soon(lambda: loops.append(asyncio.get_running_loop()))
    results = mail.send_many(octets(number) for number in range(100))
    next(results)
    held: list[Any] = [results]
    del results
    collected = threading.Event()
    loops[0].call_soon_threadsafe(held.clear)  # as the garbage collector does, wherever it happens to run
    loops[0].call_soon_threadsafe(collected.set)
    assert collected.wait(PATIENCE)
    mail.send(octets(1000))
    mail.close()
    assert numbers(relay).count(1000) == 1
    assert len(set(numbers(relay))) == len(relay.messages) < 102


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python hears SIGINT also where whoever started us had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def said(player: Player, words: str) -> bool:
    return any(line.startswith(words) for told in player.transcripts for line in told)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_waiting_for_results_does_not_say_that_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portmail.pool._WIND_UP", 0.1)
    script = f'{HELLO}{ENVELOPE}{GOOD}RAW "2?"\nSILENCE'
    with play(script) as player:

        def press() -> None:
            deadline = time.monotonic() + PATIENCE
            while not said(player, "S: 2?") and time.monotonic() < deadline:
                threading.Event().wait(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        with portmail.Submitter(**wishes_for(player)) as mail:
            presser = threading.Thread(target=press)
            presser.start()
            try:
                with pytest.raises(KeyboardInterrupt) as caught:
                    list(mail.send_many([octets(1)]))
            finally:
                presser.join()
    assert "not sent" not in "".join(getattr(caught.value, "__notes__", []))


def test_closing_the_submitter_inside_the_loop_ends_the_loop_with_an_error_of_ours(relay: Sandbox) -> None:
    mail = portmail.Submitter(**wishes_for(relay))
    results = mail.send_many(octets(number) for number in range(100))
    next(results)
    mail.close()
    with pytest.raises(portmail.PortmailError):
        list(results)
    mail.close()
    assert len(set(numbers(relay))) == len(relay.messages) < 100


def test_closing_the_submitter_inside_the_async_loop_harms_no_message(relay: Sandbox) -> None:
    async def scenario() -> list[Result[bytes]]:
        async with portmail.AsyncSubmitter(**wishes_for(relay, pool_size=2)) as mail:
            results: list[Result[bytes]] = []
            async for result in mail.send_many(octets(number) for number in range(100)):
                if not results:
                    await mail.aclose()
                results.append(result)
            return results

    assert account(run(scenario()), relay, total=100) == Counter(accepted=100)
    gc.collect()  # a connection that was left open would complain now


def test_an_interrupt_in_the_body_of_the_loop_leaves_the_submitter_usable(relay: Sandbox) -> None:
    with portmail.Submitter(**wishes_for(relay)) as mail:

        def consume() -> None:
            for _ in mail.send_many(octets(number) for number in range(100)):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            consume()
        gc.collect()
        mail.send(octets(1000))
    assert numbers(relay).count(1000) == 1
    assert len(set(numbers(relay))) == len(relay.messages) < 101


# Side by side.


def test_send_goes_on_while_many_are_sent(relay: Sandbox) -> None:
    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**wishes_for(relay, pool_size=2)) as mail:
            async for result in mail.send_many(octets(number) for number in range(30)):
                await mail.send(octets(1000 + number_of(result.message)))

    run(scenario())
    assert sorted(numbers(relay)) == [*range(30), *range(1000, 1030)]
    with portmail.Submitter(**wishes_for(relay, pool_size=2)) as mail:
        for result in mail.send_many(octets(2000 + number) for number in range(30)):
            mail.send(octets(1000 + number_of(result.message)))
    assert sorted(numbers(relay))[60:] == [*range(2000, 2030), *range(3000, 3030)]


def test_two_at_once_share_the_pool(relay: Sandbox) -> None:
    async def scenario() -> list[list[int]]:
        async with portmail.AsyncSubmitter(**wishes_for(relay, pool_size=2)) as mail:

            async def part(start: int) -> list[int]:
                messages = (octets(start + number) for number in range(50))
                return [number_of(result.message) async for result in mail.send_many(messages)]

            return list(await asyncio.gather(part(0), part(1000)))

    first, second = run(scenario())
    assert (sorted(first), sorted(second)) == (list(range(50)), list(range(1000, 1050)))
    with portmail.Submitter(**wishes_for(relay, pool_size=2)) as mail, ThreadPoolExecutor(4) as threads:

        def part(start: int) -> int:
            return len(list(mail.send_many(octets(start + number) for number in range(20))))

        assert list(threads.map(part, (2000, 3000, 4000, 5000))) == [20] * 4
    assert len(set(numbers(relay))) == len(relay.messages) == 180


# Servers that fail in the middle.


def account(results: Iterable[Result[Any]], relay: Sandbox, *, total: int) -> Counter[str]:
    """One result for each; every accepted message arrived once, and none of those that were not sent."""
    results = list(results)
    arrived = Counter(numbers(relay))
    kinds: Counter[str] = Counter()
    for result in results:
        number = number_of(result.message)
        kind = type(result.error).__name__ if result.error else "accepted"
        kinds[kind] += 1
        assert arrived[number] == 1 if kind == "accepted" else arrived[number] <= (kind == "InDoubt")
    assert sorted(number_of(result.message) for result in results) == list(range(total))
    return kinds


RETRY = {"async": None, "sync": portmail.Retry(attempts=2)}
OFFERS = {"neither": (), "PIPELINING": ("PIPELINING",), "both": ("PIPELINING", "CHUNKING")}


@pytest.mark.parametrize(
    ("door", "offer"),
    cases(
        itertools.product(DOORS, OFFERS),
        daily={("async", "both"), ("sync", "PIPELINING"), ("async", "neither")},
    ),
)
def test_connections_lost_behind_the_final_dot_leave_one_in_doubt_each(door: str, offer: str) -> None:
    extensions, retry = OFFERS[offer], RETRY[door]
    with Sandbox(users={}, ports={25: 0}, extensions=extensions) as relay:
        messages = [octets(number) for number in range(200)]

        def trouble(made: bytes) -> None:
            if number_of(made) in (5, 100, 120):
                relay.drop_after_dot(times=1)

        results = send_all(door, relay, messages, pool_size=2, retry=retry, before_commit=trouble)
        assert account(results, relay, total=200) == Counter(accepted=197, InDoubt=3)
        assert len(relay.messages) == 200


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=len)
def test_connections_lost_before_the_final_dot_cost_nothing_behind_the_first_message(
    extensions: tuple[str, ...],
) -> None:
    with Sandbox(users={}, ports={25: 0}, extensions=extensions) as relay:

        def trouble(made: bytes) -> None:
            if number_of(made) in (5, 100, 120):
                relay.drop_before_dot(times=1)

        messages = [octets(number) for number in range(200)]
        results = send_all("async", relay, messages, pool_size=1, before_commit=trouble)
        kinds = account(results, relay, total=200)
        # Where commands are pipelined, the reply to the content in front is lost as well.
        assert kinds["InDoubt"] <= (3 if extensions else 0)
        assert kinds["accepted"] + kinds["InDoubt"] == len(relay.messages) == 200


def test_a_server_that_goes_away_for_good(relay: Sandbox) -> None:
    def trouble(made: bytes) -> None:
        if number_of(made) == 50:
            relay.close_port(25)
            relay.drop_after_dot()

    messages = [octets(number) for number in range(200)]
    results = send_all("sync", relay, messages, pool_size=2, before_commit=trouble)
    kinds = account(results, relay, total=200)
    assert kinds["accepted"] + kinds["InDoubt"] == len(relay.messages)
    assert kinds["accepted"] >= 48
    assert kinds["Unreachable"] == 200 - len(relay.messages) > 100


@each_door
def test_one_message_object_may_serve_for_all(door: str, relay: Sandbox) -> None:
    def letters() -> Iterator[EmailMessage]:
        letter = message()
        for number in range(40):
            del letter["To"]
            letter["To"] = f"reader{number}@example.org"
            yield letter

    results = send_all(door, relay, letters(), pool_size=1)
    readers = [f"reader{number}@example.org" for number in range(40)]
    assert sorted(received.recipients[0] for received in relay.messages) == sorted(readers)
    assert sorted(str(received.message["To"]) for received in relay.messages) == sorted(readers)
    assert sorted(result.receipt.accepted[0] for result in results if result.receipt) == sorted(readers)


@each_door
def test_what_fails_at_once_is_not_read_ahead_either(door: str, relay: Sandbox) -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(500):
            taken += 1
            yield b"From: me@example.org\r\n\r\nto nobody\r\n"

    def ahead() -> Iterator[int]:
        with portmail.Submitter(**wishes_for(relay, pool_size=1)) as mail:
            for number, _ in enumerate(mail.send_many(source()), 1):
                yield taken - number

    async def scenario() -> int:
        most = number = 0
        async with portmail.AsyncSubmitter(**wishes_for(relay, pool_size=1)) as mail:
            async for _ in mail.send_many(source()):
                number += 1
                most = max(most, taken - number)
                await asyncio.sleep(0)
        return most

    assert (max(ahead()) if door == "sync" else run(scenario())) <= 64


@pytest.mark.parametrize(
    "messages", [octets(1), message(), 5, "a@example.org"], ids=lambda it: type(it).__name__
)
@each_door
def test_what_is_not_many_messages_is_refused(door: str, messages: Any, relay: Sandbox) -> None:
    with pytest.raises(portmail.ConfigurationError, match="send_many takes an iterable"):
        send_all(door, relay, messages)


@each_door
def test_a_hook_that_would_have_to_be_awaited_is_refused(door: str, relay: Sandbox) -> None:
    async def hook(_message: Any) -> None:
        pass

    with pytest.raises(portmail.ConfigurationError, match="plain function"):
        send_all(door, relay, [octets(1)], before_commit=hook)  # type: ignore[arg-type]  # which is what is refused
    assert relay.messages == ()


@each_door
def test_a_hook_that_wants_to_end_the_program_holds_its_message_back(door: str, relay: Sandbox) -> None:
    def hook(_message: Any) -> None:
        raise SystemExit("full")

    (result,) = send_all(door, relay, [octets(1)], before_commit=hook)
    assert isinstance(result.error, portmail.HeldBack)
    assert isinstance(result.error.__cause__, SystemExit)
    assert relay.messages == ()
