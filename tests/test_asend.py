"""`Submitter.asend`: the blocking door's connections, from event loops that come and go."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop

import portmail
from portmail import Route, Security, blocking
from portmail.blocking import LoopThread
from portmail.delivery import IN_DOUBT
from portmail.errand import Errand
from portmail.receipt import Receipt
from portmail.sandbox import Sandbox
from tests.messages import RECIPIENT, message
from tests.servers.dialogue import Player, play
from tests.standstill import AFTER_DOT, BEFORE_DOT, until
from tests.test_doors import HOST, ctrl_c, fetching, run_program, submitter
from tests.test_lifecycle import names

__all__ = ["ctrl_c"]

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def alone(player: Player) -> portmail.Submitter:
    return portmail.Submitter(routes=(Route(HOST, player.port, Security.PLAINTEXT),), retry=None)


def test_it_returns_the_receipt_and_takes_what_send_takes(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        receipt = asyncio.run(mail.asend(message(), sender="", recipients=["bob@example.org"]))
        assert (receipt.reply.code, receipt.accepted) == (250, ("bob@example.org",))
    [received] = sandbox.messages
    assert (received.sender, received.recipients) == ("", ("bob@example.org",))
    assert "portmail" not in names()


def test_loops_that_come_and_go_share_one_connection_with_send(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        for _ in range(50):
            asyncio.run(mail.asend(message()))
        mail.send(message())
    assert (len(sandbox.messages), len(sandbox.sessions)) == (51, 1)


def test_it_works_on_another_event_loop(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(mail.asend(message())).reply.code == 250
    assert len(sandbox.messages) == 1


def test_many_at_once_take_no_more_than_the_pool_has(sandbox: Sandbox) -> None:
    async def views() -> list[Receipt]:
        return await asyncio.gather(*(mail.asend(message()) for _ in range(50)))

    with portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca, pool_size=3) as mail:
        assert len(asyncio.run(views())) == 50
    assert len(sandbox.messages) == 50
    assert len(sandbox.sessions) <= 3


def test_several_loops_at_once_share_them(sandbox: Sandbox) -> None:
    start = threading.Barrier(4)

    def program(_number: int) -> int:
        async def views() -> int:
            return len(await asyncio.gather(*(mail.asend(message()) for _ in range(5))))

        start.wait(10)
        return asyncio.run(views())

    with submitter(sandbox) as mail, ThreadPoolExecutor(4) as threads:
        assert list(threads.map(program, range(4))) == [5] * 4
    assert len(sandbox.messages) == 20
    assert len(sandbox.sessions) <= 5


def test_what_goes_wrong_is_what_send_raises(sandbox: Sandbox) -> None:
    sandbox.reject(RECIPIENT)
    with submitter(sandbox) as mail:
        with pytest.raises(portmail.Rejected) as awaited:
            asyncio.run(mail.asend(message()))
        with pytest.raises(portmail.Rejected) as waited:
            mail.send(message())
    assert type(awaited.value) is type(waited.value)
    assert awaited.value.refused == waited.value.refused
    assert str(awaited.value).partition("(")[0] == str(waited.value).partition("(")[0]


def test_an_address_that_cannot_travel_is_told_before_anything_is_connected(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail, pytest.raises(portmail.AddressError):
        asyncio.run(mail.asend(message(), recipients=["a@@b"]))
    assert sandbox.sessions == ()
    assert "portmail" not in names()


# Cancelled.


def cancelled(script: str, *, when: str) -> asyncio.CancelledError:
    """Cancel it at a moment of the dialogue; return what the program gets."""

    async def view() -> asyncio.CancelledError:
        task = asyncio.ensure_future(mail.asend(message()))
        await until(player, when)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value

    with play(script) as player, alone(player) as mail:
        stopped = asyncio.run(view())
        assert player.connections == 1
    return stopped


def test_cancelled_before_the_dot_it_was_not_sent_and_says_so() -> None:
    stopped = cancelled(BEFORE_DOT[0], when=BEFORE_DOT[1])
    assert "the message was not sent" in "".join(stopped.__notes__)


def test_cancelled_after_the_dot_it_is_in_doubt_and_says_so() -> None:
    stopped = cancelled(AFTER_DOT[0], when=AFTER_DOT[1])
    assert "in doubt" in "".join(stopped.__notes__)
    assert "<1@example.org>" in "".join(stopped.__notes__)


def test_cancelled_when_it_is_accepted_already_it_says_that(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Errand.over

    async def too_late(errand: Errand[Any]) -> None:
        await over(errand)
        raise asyncio.CancelledError

    monkeypatch.setattr(Errand, "over", too_late)
    with submitter(sandbox) as mail, pytest.raises(asyncio.CancelledError) as caught:
        asyncio.run(mail.asend(message()))
    assert caught.value.__notes__ == ["portmail: the message was accepted"]
    assert len(sandbox.messages) == 1


class Deaf:
    """A loop that takes what it is told, and does nothing."""

    alive = True

    def soon(self, callback: object) -> bool:  # noqa: ARG002  # as it is called
        return True

    def forget(self, errand: object) -> None: ...


def deaf() -> Errand[None]:
    """An errand that is begun and never ends."""
    errand = Errand[None](lambda _tell: lambda: None, owner=LoopThread())
    errand.start()
    errand.home = Deaf()
    return errand


def test_whoever_is_cancelled_twice_has_the_note_twice() -> None:
    first = asyncio.CancelledError()

    async def view() -> asyncio.CancelledError:
        task = asyncio.ensure_future(deaf().cancelled(because=first))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as second:
            await task
        return second.value

    assert asyncio.run(view()).__notes__ == first.__notes__ == [f"portmail: {IN_DOUBT}"]


def test_one_that_does_not_hear_that_it_is_cancelled_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.02)
    stopped = asyncio.CancelledError()
    asyncio.run(deaf().cancelled(because=stopped))
    assert stopped.__notes__ == [f"portmail: {IN_DOUBT}"]


def test_a_loop_whose_thread_died_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.02)
    errand = deaf()
    monkeypatch.setattr(Deaf, "alive", False)
    asyncio.run(errand.over())
    with pytest.raises(portmail.InDoubt):
        errand.result()


def test_a_loop_that_is_closed_around_it_gives_it_up() -> None:
    with play(BEFORE_DOT[0]) as player, alone(player) as mail:
        loop = asyncio.new_event_loop()
        sending: Coroutine[Any, Any, Receipt] = mail.asend(message())
        task = loop.create_task(sending)
        loop.run_until_complete(until(player, BEFORE_DOT[1]))
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # else the log tells of it
        loop.close()
        sending.close()  # as the garbage collector does it
        receipt = mail._loop.run(lambda: asyncio.wait_for(gone(mail), 10))
        assert receipt == ()


async def gone(mail: portmail.Submitter) -> tuple[object, ...]:
    """Wait until nothing is on its way any more."""
    life = mail._loop._rooms[os.getpid()].current
    assert life is not None
    while len(life._errands) > 1:  # noqa: ASYNC110  # this one
        await asyncio.sleep(0.005)
    return ()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_wins_and_what_became_of_the_message_is_told() -> None:
    async def program() -> None:
        pressing = asyncio.ensure_future(press())
        await mail.asend(message())
        await pressing

    async def press() -> None:
        await until(player, AFTER_DOT[1])
        os.kill(os.getpid(), signal.SIGINT)

    with play(AFTER_DOT[0]) as player, alone(player) as mail:
        with pytest.raises(KeyboardInterrupt) as caught:
            asyncio.run(program())
    stopped = caught.value.__context__
    assert isinstance(stopped, asyncio.CancelledError)
    assert "in doubt" in "".join(stopped.__notes__)


# Closed, forked, without a thread, at the end.


@pytest.mark.parametrize(
    ("dialogue", "error"), [(BEFORE_DOT, portmail.Unreachable), (AFTER_DOT, portmail.InDoubt)]
)
def test_closed_meanwhile_it_tells_what_became_of_the_message(
    dialogue: tuple[str, str], error: type[portmail.DeliveryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.2)

    async def view() -> None:
        task = asyncio.ensure_future(mail.asend(message()))
        await until(player, dialogue[1])
        await asyncio.to_thread(mail.close)
        with pytest.raises(error, match="closed while it was sending"):
            await task

    with play(dialogue[0]) as player:
        mail = alone(player)
        asyncio.run(view())


def test_closed_before_it_opens_again(sandbox: Sandbox) -> None:
    mail = submitter(sandbox)
    for _ in range(2):
        asyncio.run(mail.asend(message()))
        mail.close()
    assert (len(sandbox.messages), len(sandbox.sessions)) == (2, 2)


def test_what_a_closed_loop_never_began_goes_out_by_the_next_one(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, refusals = blocking._Life.take, iter([True])

    def closing(life: Any, errand: Any) -> bool:
        if next(refusals, False):
            errand.home = life
            errand.orphan()
            return True
        return take(life, errand)

    monkeypatch.setattr(blocking._Life, "take", closing)
    with submitter(sandbox) as mail:
        assert asyncio.run(mail.asend(message())).reply.code == 250
    assert len(sandbox.messages) == 1


@forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("used_before", [False, True], ids=["before first use", "after first use"])
def test_a_child_has_a_connection_of_its_own(used_before: bool, sandbox: Sandbox) -> None:
    def program() -> None:
        for _ in range(2):
            asyncio.run(mail.asend(message()))

    with submitter(sandbox) as mail:
        if used_before:
            program()
        child = multiprocessing.get_context("fork").Process(target=program)
        child.start()
        child.join(20)
        assert child.exitcode == 0
        program()
    assert len(sandbox.messages) == 4 + 2 * used_before
    assert len(sandbox.sessions) == 2


def test_without_a_thread_it_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_work: object, *, name: str) -> None:
        raise RuntimeError(f"can't start new thread: {name}")

    monkeypatch.setattr(blocking, "started", refuse)
    with submitter(sandbox) as mail, pytest.raises(portmail.Unreachable, match="use AsyncSubmitter") as told:
        asyncio.run(mail.asend(message()))
    assert told.value.temporary
    assert sandbox.sessions == ()


def test_a_callable_that_awaits_its_own_submitter_is_told_so(sandbox: Sandbox) -> None:
    async def fetch() -> str:
        await mail.asend(message())
        return "never"

    with fetching(sandbox, fetch) as mail, pytest.raises(portmail.ConfigurationError):
        asyncio.run(mail.asend(message()))
    assert sandbox.messages == ()


ENDS: dict[str, Callable[[Sandbox], str]] = {
    "after its loop": lambda sandbox: run_program(
        """
        import asyncio, portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        print(asyncio.run(mail.asend(message())).reply.code)
        """,
        sandbox,
    ),
    "in an atexit handler": lambda sandbox: run_program(
        """
        import asyncio, atexit, portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        def last():
            try:
                print(asyncio.run(mail.asend(message())).reply.code)
            except portmail.Unreachable as error:
                print(error)
        atexit.register(last)
        """,
        sandbox,
    ),
    "while it goes down": lambda sandbox: run_program(
        """
        import os, portmail
        from portmail import Unreachable
        from tests.messages import message
        class Last:
            def __init__(self):
                self.mail, self.message, self.error = portmail.Submitter.from_env(), message(), Unreachable
                self.write = os.write
            def __del__(self):
                try:
                    self.mail.asend(self.message).send(None)
                except self.error as error:
                    self.write(1, str(error).encode())
        last = Last()
        """,
        sandbox,
    ),
}


@pytest.mark.parametrize("when", ENDS)
def test_a_program_that_ends_sends_it_or_is_told(when: str, sandbox: Sandbox) -> None:
    told = ENDS[when](sandbox)
    sent = told == "250\n"
    assert sent or told.startswith("Not sent: ")
    assert len(sandbox.messages) == sent
    # In an atexit handler it depends on the Python whether a thread can be started.
    assert sent is (when == "after its loop") or when == "in an atexit handler"
