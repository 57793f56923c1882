"""A connection before there is a message: opened once, used by what follows, told where it cannot be had."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

import pytest

import portmail
from portmail import Cause, Phase, Retry, Route, Security, Timeouts
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER
from tests.messages import message
from tests.servers.dialogue import Player, play
from tests.test_doors import ctrl_c, run_program, submitter, told_while_it_goes_down
from tests.test_log import events, recorded
from tests.test_pool import (
    ACCEPT,
    ENVELOPE,
    HELLO,
    HOST,
    MESSAGE,
    cancelled,
    client,
    each_loop,
    octets,
    relay,
    run,
    said,
    subjects,
    until,
    wishes_for,
)

assert relay, ctrl_c  # fixtures

Loop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]

REFUSAL = "S: 421 4.3.2 not now\nCLOSE"
ACCOUNT = {"username": USER, "password": PASSWORD}


def account(sandbox: Sandbox, **wishes: Any) -> dict[str, Any]:
    told = {"routes": sandbox.routes, "tls_ca": sandbox.ca, "retry": None, "timeouts": 10}
    return {**told, **ACCOUNT, **wishes}


def blocking(server: Sandbox | Player, **wishes: Any) -> portmail.Submitter:
    return portmail.Submitter(**wishes_for(server, **wishes))


def verbs(sandbox: Sandbox) -> list[str]:
    """The commands of all connections, without their arguments."""
    return [command.partition(" ")[0] for session in sandbox.sessions for command in session.commands]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between one try and the next, which take no time."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    class Quick:
        """asyncio, as a module sees it that only waits with it."""

        def __getattr__(self, name: str) -> Any:
            return sleep if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr("portmail.connecting.asyncio", Quick())
    return pauses


# What there is afterwards.


@each_loop
def test_a_connection_is_made_ready_and_nothing_is_said_of_a_message(sandbox: Sandbox, loop: Loop) -> None:
    async def scenario() -> portmail.Connected:
        async with portmail.AsyncSubmitter(**account(sandbox)) as mail:
            return await mail.connect()

    connected = run(scenario(), loop=loop)
    assert (connected.route, connected.logged_in, connected.attempts) == (sandbox.routes[0], True, ())
    assert connected.tls
    assert connected.tls.peer_name == HOST
    assert verbs(sandbox) == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]
    assert not sandbox.messages


def test_without_credentials_and_encryption_it_says_so(relay: Sandbox) -> None:
    with blocking(relay) as mail:
        connected = mail.connect()
    assert (connected.tls, connected.logged_in) == (None, False)
    assert connected.route.port == relay.port(25)
    assert verbs(relay) == ["EHLO", "QUIT"]


@each_loop
def test_what_is_sent_then_uses_it(sandbox: Sandbox, loop: Loop) -> None:
    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**account(sandbox)) as mail:
            connected = await mail.connect()
            receipt = await mail.send(message())
            assert (receipt.route, receipt.tls) == (connected.route, connected.tls)

    run(scenario(), loop=loop)
    [session] = sandbox.sessions
    assert (session.authentications, len(sandbox.messages)) == (1, 1)


def test_where_one_is_open_it_is_that_one(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        first = mail.connect()
        assert mail.connect() == first
        mail.send(message())
        assert mail.connect() == first
        before = verbs(sandbox)
        assert mail.connect() == first
        assert verbs(sandbox) == before  # not an octet
    assert len(sandbox.sessions) == 1


def test_the_next_route_makes_up_for_one_that_is_closed_and_that_is_told(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    with portmail.Submitter(**account(sandbox)) as mail:
        connected = mail.connect()
        assert mail.connect().attempts == ()  # it was tried for the first one
    assert connected.route == sandbox.routes[1]
    [tried] = connected.attempts
    assert tried.error
    assert (tried.route, tried.error.cause) == (sandbox.routes[0], Cause.REFUSED)


@each_loop
@pytest.mark.parametrize("pool_size", [1, 5])
def test_many_at_once_get_one_connection(relay: Sandbox, pool_size: int, loop: Loop) -> None:
    async def scenario() -> list[portmail.Connected]:
        async with client(relay, pool_size=pool_size) as mail:
            return await asyncio.gather(*(mail.connect() for _ in range(1500)))  # more than Python's stack

    connected = run(scenario(), loop=loop)
    assert len(set(connected)) == 1
    assert len(relay.sessions) == 1
    assert verbs(relay) == ["EHLO", "QUIT"]


def test_threads_that_connect_at_once_get_one_connection(sandbox: Sandbox) -> None:
    barrier = threading.Barrier(16)

    def connect(_: int) -> portmail.Connected:
        barrier.wait()
        return mail.connect()

    with submitter(sandbox) as mail, ThreadPoolExecutor(16) as threads:
        connected = list(threads.map(connect, range(16)))
    assert len(set(connected)) == 1
    [session] = sandbox.sessions
    assert session.authentications == 1


def test_one_that_the_server_has_ended_is_not_taken_for_one() -> None:
    async def scenario() -> None:
        with Sandbox(users={}, ports={25: 0}) as server:
            port, mail = server.port(25), client(server)
            await mail.connect()
        pool = await mail._pools.here()
        await until(lambda: not vars(pool)["_crew"])
        with Sandbox(users={}, ports={25: port}) as server:
            async with mail:
                assert (await mail.connect()).attempts == ()
            assert len(server.sessions) == 1

    run(scenario())


# Behind messages and before them.


def busy(words: str) -> str:
    """A server that waits with an answer for this command until the client goes on elsewhere."""
    return f"{HELLO}{ENVELOPE}S: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\n{words}"


def test_with_all_connections_busy_it_waits_for_one() -> None:
    async def scenario() -> list[str]:
        order: list[str] = []

        async def done(name: str, work: Any) -> None:
            await work
            order.append(name)

        async with client(player, pool_size=1) as mail:
            sending = asyncio.create_task(done("message", mail.send(octets("one"))))
            await until(lambda: said(player, "BODY") or player.bodies)
            connecting = asyncio.create_task(done("connect", mail.connect()))
            await asyncio.gather(sending, connecting)
            return order

    # The connection that said all of a message is ready for the next: nothing of it is waited for.
    with play(f"{busy('PAUSE 0.05')}\n{ACCEPT}") as player:
        assert sorted(run(scenario())) == ["connect", "message"]
        player.check()
        assert player.connections == 1


@pytest.mark.parametrize("pool_size", [1, 3])
def test_messages_and_wishes_for_a_connection_share_the_queue(relay: Sandbox, pool_size: int) -> None:
    async def scenario() -> list[Any]:
        async with client(relay, pool_size=pool_size) as mail:
            work = [mail.connect() if number % 3 == 0 else mail.send(octets(number)) for number in range(60)]
            return await asyncio.gather(*work)

    results = run(scenario())
    assert [isinstance(result, portmail.Connected) for result in results] == [
        number % 3 == 0 for number in range(60)
    ]
    assert sorted(map(int, subjects(relay))) == [number for number in range(60) if number % 3]
    assert len(relay.sessions) <= pool_size


def test_a_message_that_waited_behind_it_goes_out_on_the_same_connection() -> None:
    async def scenario() -> None:
        async with client(player, pool_size=1) as mail:
            connected, receipt = await asyncio.gather(mail.connect(), mail.send(octets("one")))
            assert connected.route == receipt.route

    with play(HELLO + MESSAGE) as player:
        run(scenario())
        player.check()
        assert player.connections == 1
        assert subjects(player) == ["one"]


def test_behind_a_message_it_outlives_that_the_server_ended_the_connection() -> None:
    async def scenario() -> None:
        async with client(player, pool_size=1) as mail:
            await mail.send(octets("one"))
            sending = asyncio.create_task(mail.send(octets("two")))
            connecting = asyncio.create_task(mail.connect())
            assert (await sending).reply.code == 250
            assert (await connecting).route.port == player.port

    closing = f"{HELLO}{MESSAGE}C: MAIL *\nS: 421 4.4.2 enough\nCLOSE"
    with play([closing, HELLO + MESSAGE]) as player:
        run(scenario())
        player.check()
        assert subjects(player) == ["one", "two"]


@pytest.mark.parametrize("pool_size", [1, 3])
def test_while_a_server_wants_a_pause_it_waits_as_a_message_does(
    pool_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.pace._FIRST_PAUSE", 0.15)
    monkeypatch.setattr("portmail.pool._GLANCE", 0.02)

    async def scenario() -> float:
        async with client(player, pool_size=pool_size) as mail:
            started = time.monotonic()  # the pause begins a little later
            with pytest.raises(portmail.Rejected):
                await mail.send(octets("one"))
            before = player.connections  # a busy machine may have begun a second one by now
            assert (await mail.connect()).route.port == player.port
            assert player.connections == before
            return time.monotonic() - started

    too_fast = f"{HELLO}{ENVELOPE}S: 450 4.7.1 too fast\nS: 503 say MAIL first\nS: 503 say MAIL first"
    with play(too_fast) as player:
        assert run(scenario()) >= 0.15 * 0.9
        player.check()


def test_no_weaker_route_is_taken_behind_one_that_was_not_secure(sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    relay = Route(HOST, sandbox.port(25), Security.OPPORTUNISTIC)
    with portmail.Submitter(routes=(sandbox.routes[0], relay), tls_ca=sandbox.ca) as mail:
        with pytest.raises(portmail.InsecureChannel) as caught:
            mail.connect()
    causes = [attempt.error.cause for attempt in caught.value.attempts if attempt.error]
    assert causes == [Cause.CLEAR_AUTH, Cause.WEAKER]
    assert len(sandbox.sessions) == 1


# Where it cannot be had.


def failing(sandbox: Sandbox, order: Callable[[Sandbox], object], **wishes: Any) -> portmail.DeliveryError:
    order(sandbox)
    with portmail.Submitter(**account(sandbox, **wishes)) as mail:
        with pytest.raises(portmail.DeliveryError) as caught:
            mail.connect()
    return caught.value


def closed(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    sandbox.close_port(465)


def dropped(sandbox: Sandbox) -> None:
    sandbox.block(587)
    sandbox.block(465)


def unavailable() -> str:
    raise OSError("no keyring")


IMPATIENT = Timeouts(connect=0.2)

FAILURES: dict[str, tuple[Callable[[Sandbox], object], dict[str, Any], type[Exception], str]] = {
    "a wrong password": (
        lambda _: None,
        {"password": "wrong", "retry": Retry(attempts=3)},
        portmail.AuthenticationFailed,
        "Not connected: the server refused the login.",
    ),
    "refused": (closed, {}, portmail.Unreachable, "Not connected: no route is open."),
    "blocked": (dropped, {"timeouts": IMPATIENT}, portmail.Unreachable, "Not connected: no route is open."),
    "stripped": (
        lambda sandbox: sandbox.strip_starttls(),
        {},
        portmail.InsecureChannel,
        "Not connected: no secure route. No credential was shown.",
    ),
    "no password": (
        lambda _: None,
        {"password": unavailable},
        portmail.CredentialsUnavailable,
        "Not connected: the password or token could not be fetched.",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_error_says_why_and_speaks_of_no_message(sandbox: Sandbox, name: str) -> None:
    order, wishes, kind, words = FAILURES[name]
    error = failing(sandbox, order, **wishes)
    assert type(error) is kind
    assert str(error).splitlines()[0] == words
    assert "message" not in str(error).partition("What to do:")[0]
    assert (error.message_id, bool(error.attempts)) == ("", True)
    assert error.decided in error.attempts
    assert sum(session.authentications for session in sandbox.sessions) == (name == "a wrong password")
    assert not {"MAIL", "RCPT", "DATA"} & set(verbs(sandbox))


def test_why_no_password_could_be_had_is_its_cause(sandbox: Sandbox) -> None:
    error = failing(sandbox, lambda _: None, password=unavailable)
    assert isinstance(error.__cause__, OSError)


def test_a_server_without_a_way_to_log_in_is_told() -> None:
    with Sandbox(users={}, tokens={USER: "t" * 20}, ports={465: 0}) as server:
        with portmail.Submitter(**account(server)) as mail, pytest.raises(portmail.NoMechanism) as caught:
            mail.connect()
    assert str(caught.value).startswith("Not connected: no way to log in. The credentials were not shown.")


def test_a_server_that_turns_everybody_away_is_rejected_and_tells_its_reply() -> None:
    with play("S: 554 5.7.1 go away\nCLOSE") as player, blocking(player) as mail:
        with pytest.raises(portmail.Rejected) as caught:
            mail.connect()
    error = caught.value
    assert str(error).startswith("Not connected: the server refused the connection.")
    assert error.reply
    assert (error.reply.code, error.temporary, error.refused) == (554, False, {})


def test_a_failing_server_answers_all_that_wait(sandbox: Sandbox) -> None:
    async def scenario() -> list[Any]:
        async with portmail.AsyncSubmitter(**account(sandbox, password="wrong")) as mail:
            work = [mail.connect() if number % 2 else mail.send(message()) for number in range(20)]
            return await asyncio.gather(*work, return_exceptions=True)

    errors = run(scenario())
    assert {type(error) for error in errors} == {portmail.AuthenticationFailed}
    assert len({id(error) for error in errors}) == 20
    assert sum(session.authentications for session in sandbox.sessions) == 1
    texts = [str(error).partition(":")[0] for error in errors]
    assert texts == ["Not sent", "Not connected"] * 10


# Again.


def test_it_is_tried_again_where_a_message_would_be(no_pause: list[float]) -> None:
    async def scenario() -> portmail.Connected:
        async with client(player, retry=Retry(attempts=3)) as mail:
            return await mail.connect()

    with play([REFUSAL, REFUSAL, HELLO]) as player:
        connected = run(scenario())
        assert player.connections == 3
    assert connected.route.port == player.port
    assert len(no_pause) == 2
    assert 1 <= no_pause[0] <= 2


def test_the_last_refusal_is_told_when_the_attempts_are_used_up(no_pause: list[float]) -> None:
    async def scenario() -> None:
        async with client(player, retry=Retry(attempts=2)) as mail:
            await mail.connect()

    with play(REFUSAL) as player:
        with pytest.raises(portmail.Rejected, match="not now") as caught:
            run(scenario())
        assert player.connections == 2
    assert caught.value.temporary
    assert len(no_pause) == 1


@pytest.mark.usefixtures("no_pause")
def test_it_tells_every_attempt_of_every_try() -> None:
    with play([REFUSAL, HELLO]) as player, blocking(player, retry=Retry()) as mail:
        assert len(mail.connect().attempts) == 1


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)])
def test_without_a_policy_it_is_tried_once(no_pause: list[float], retry: Retry | None) -> None:
    with play(REFUSAL) as player, blocking(player, retry=retry) as mail:
        with pytest.raises(portmail.Rejected):
            mail.connect()
        assert player.connections == 1
    assert not no_pause


def test_a_connection_that_it_refused_is_free_for_the_next_wish() -> None:
    with play([REFUSAL, HELLO]) as player, blocking(player) as mail:
        with pytest.raises(portmail.Rejected):
            mail.connect()
        assert mail.connect().route.port == player.port


# Time, and giving up.


def test_the_time_for_all_of_it_counts() -> None:
    with play("SILENCE") as player, blocking(player, timeouts=0.3) as mail:
        with pytest.raises(portmail.Unreachable) as caught:
            mail.connect()
    assert str(caught.value).startswith("Not connected: no route is open.")
    assert caught.value.decided
    assert caught.value.decided.error
    assert caught.value.decided.error.cause in (Cause.OUT_OF_TIME, Cause.NO_REPLY)


def test_the_time_counts_in_the_queue_too() -> None:
    async def scenario() -> portmail.DeliveryError:
        mail = client(player, pool_size=1, timeouts=0.6)
        sending = asyncio.create_task(mail.send(octets("one")))
        await until(lambda: said(player, "C: RCPT"))
        with pytest.raises(portmail.Unreachable) as caught:
            await mail.connect()
        with pytest.raises(portmail.Unreachable):
            await sending
        await mail.aclose()
        return caught.value

    lockstep = "S: 220 hi\nC: EHLO *\nS: 250 m\nC: MAIL *\nS: 250 ok\nC: RCPT *\nSILENCE"
    with play([lockstep, "SILENCE"]) as player:
        error = run(scenario())
    assert str(error).startswith("Not connected")
    assert error.attempts[-1].phase in (Phase.WAITING, Phase.CONNECT, Phase.GREETING, Phase.EHLO)


@each_loop
def test_a_cancelled_one_leaves_no_task_and_no_connection(loop: Loop) -> None:
    async def scenario() -> None:
        mail = client(player)
        before = asyncio.all_tasks()
        task = asyncio.create_task(mail.connect())
        await until(lambda: said(player, "C: EHLO"))
        await cancelled(task)
        await until(lambda: asyncio.all_tasks() == before)
        await until(lambda: all(visit.ended.is_set() for visit in vars(player)["_seen"]))
        await mail.aclose()

    with play("S: 220 hi\nC: EHLO *\nSILENCE") as player:
        run(scenario(), loop=loop)


def test_one_that_is_cancelled_takes_nothing_from_the_others() -> None:
    async def scenario() -> None:
        async with client(player) as mail:
            tasks = [asyncio.create_task(mail.connect()) for _ in range(3)]
            sending = asyncio.create_task(mail.send(octets("one")))
            await until(lambda: said(player, "S: 220"))
            await cancelled(tasks[0])
            assert len(set(await asyncio.gather(*tasks[1:]))) == 1
            await sending

    with play(f"S: 220 hi\nC: EHLO *\nPAUSE 0.05\nS: 250-m\nS: 250 PIPELINING\n{MESSAGE}") as player:
        run(scenario())
        player.check()
        assert player.connections == 1


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_wins_and_what_comes_next_works() -> None:
    with play(["S: 220 hi\nC: EHLO *\nSILENCE", HELLO + MESSAGE]) as player, blocking(player) as mail:
        interrupting = threading.Thread(target=_interrupt, args=(player,))
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            mail.connect()
        interrupting.join()
        assert mail.send(octets("one")).reply.code == 250


def _interrupt(player: Player) -> None:
    while not said(player, "C: EHLO"):
        threading.Event().wait(0.002)
    os.kill(os.getpid(), signal.SIGINT)


def test_closing_while_another_thread_connects_tells_that_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.05)
    with play("S: 220 hi\nC: EHLO *\nSILENCE") as player, ThreadPoolExecutor(1) as threads:
        mail = blocking(player)
        connecting = threads.submit(mail.connect)
        while not said(player, "C: EHLO"):
            threading.Event().wait(0.002)
        mail.close()
        with pytest.raises(portmail.Unreachable):
            connecting.result(timeout=10)


# Wherever it is called.


def test_it_opens_again_after_it_was_closed(sandbox: Sandbox) -> None:
    mail = submitter(sandbox)
    for _ in range(2):
        with mail:
            assert mail.connect().logged_in
    assert len(sandbox.sessions) == 2


def test_it_works_inside_a_running_loop_and_one_loop_after_the_other(sandbox: Sandbox) -> None:
    async def blocked() -> portmail.Connected:
        with submitter(sandbox) as mail:
            return mail.connect()

    assert asyncio.run(blocked()).logged_in
    mail = portmail.AsyncSubmitter(**account(sandbox))

    async def awaited() -> portmail.Connected:
        async with mail:
            return await mail.connect()

    assert run(awaited()) == run(awaited())
    assert len(sandbox.sessions) == 3


def _in_a_child(mail: portmail.Submitter, answer: Any) -> None:
    answer.put((mail.connect().logged_in, mail.send(message()).reply.code))
    mail.close()


def test_a_forked_child_opens_its_own(sandbox: Sandbox) -> None:
    context = multiprocessing.get_context("fork")
    with submitter(sandbox) as mail:
        mail.connect()
        answer = context.SimpleQueue()
        child = context.Process(target=_in_a_child, args=(mail, answer))
        child.start()
        assert answer.get() == (True, 250)
        child.join(10)
        assert child.exitcode == 0
        mail.send(message())
    assert [session.authentications for session in sandbox.sessions] == [1, 1]
    assert len(sandbox.messages) == 2


def test_it_works_in_an_atexit_handler(sandbox: Sandbox) -> None:
    program = """
        import atexit, portmail
        mail = portmail.Submitter.from_env()
        atexit.register(lambda: print(mail.connect().logged_in))
    """
    assert run_program(program, sandbox).strip() == "True"


def test_what_is_asked_while_the_interpreter_goes_down_is_told(sandbox: Sandbox) -> None:
    assert told_while_it_goes_down("connect()", sandbox) == "told"


def test_a_callable_that_asks_its_own_submitter_is_told_so(sandbox: Sandbox) -> None:
    def password() -> str:
        mail.connect()
        raise AssertionError

    with portmail.Submitter(**account(sandbox, password=password)) as mail:
        with pytest.raises(portmail.ConfigurationError, match="use another one there"):
            mail.connect()


@pytest.mark.parametrize("door", ["blocking", "async"])
def test_for_an_address_alone_its_server_is_looked_for(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    async def look(self: Any) -> None:
        looked.append("looked")
        raise portmail.DiscoveryError("no server was found")

    monkeypatch.setattr("portmail.pinning.Pinning.look", look)
    wishes: dict[str, Any] = {"password": "secret"}

    async def awaited() -> None:
        async with portmail.AsyncSubmitter("me@nowhere.test", **wishes) as mail:
            await mail.connect()

    with portmail.Submitter("me@nowhere.test", **wishes) as mail:
        ways: dict[str, Callable[[], Any]] = {"blocking": mail.connect, "async": lambda: run(awaited())}
        with pytest.raises(portmail.DiscoveryError, match="no server was found"):
            ways[door]()
    assert looked == ["looked"]


def test_a_failure_of_our_own_is_told_and_nobody_waits_for_ever(
    relay: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise ZeroDivisionError

    with blocking(relay) as mail:
        monkeypatch.setattr("portmail.job.Job.begin", broken)
        with pytest.raises(portmail.InternalError) as caught:
            mail.connect()
        monkeypatch.undo()
        assert mail.connect().route
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_closed_pool_says_so(relay: Sandbox) -> None:
    async def scenario() -> None:
        mail = client(relay)
        await mail.connect()
        connecting = asyncio.create_task(mail.connect())
        await mail.aclose()
        assert (await connecting).route

    run(scenario())


def test_no_task_is_left_behind_and_no_cycle_keeps_the_job(relay: Sandbox) -> None:
    from portmail.job import Job

    async def scenario() -> None:
        async with client(relay) as mail:
            await mail.connect()
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    await mail.connect()
                left = [thing for thing in gc.get_objects() if type(thing) is Job]
            finally:
                gc.enable()
            assert not left
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


# The log.


def test_the_log_tells_of_the_routes_without_a_message(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    with recorded(logging.INFO) as records, portmail.Submitter(**account(sandbox)) as mail:
        mail.connect()
    [attempt] = events(records, "attempt")
    assert (attempt["portmail_message_id"], attempt["portmail_cause"]) == ("", Cause.REFUSED.value)
    assert events(records, "message") == []


def test_a_line_of_the_log_ends_with_what_it_says(sandbox: Sandbox) -> None:
    with recorded(logging.INFO) as records:
        failing(sandbox, lambda _: None, password="wrong")
    assert [record.getMessage()[-1] for record in records] == [")"]


def test_the_log_tells_of_a_refused_login_once(sandbox: Sandbox) -> None:
    with recorded(logging.INFO) as records:
        failing(sandbox, lambda _: None, password="wrong")
    [attempt] = events(records, "attempt")
    assert (attempt["portmail_phase"], attempt["portmail_message_id"]) == ("AUTH", "")
    assert [record.levelno for record in records] == [logging.WARNING]
    assert PASSWORD not in records[0].getMessage()


def test_what_is_given_up_is_no_message_for_the_log() -> None:
    async def scenario() -> None:
        async with client(player) as mail:
            task = asyncio.create_task(mail.connect())
            await until(partial(said, player, "C: EHLO"))
            await cancelled(task)

    with recorded(logging.INFO) as records, play("S: 220 hi\nC: EHLO *\nSILENCE") as player:
        run(scenario())
    assert events(records, "message") == []


def test_security_of_the_route_is_what_it_says(relay: Sandbox) -> None:
    route = Route(HOST, relay.port(25), Security.OPPORTUNISTIC)
    with portmail.Submitter(routes=(route,), tls_ca=relay.ca) as mail:
        connected = mail.connect()
    assert connected.tls
    assert connected.tls.peer_name is None
