"""What the proof of lifecycles found, and what must not come back."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

import portmail
from portmail import Route, Security, blocking
from portmail.blocking import LoopThread
from portmail.errand import Errand, as_task
from portmail.offloading import started
from portmail.pools import Pools
from portmail.retry import Retry, retrying
from portmail.sandbox import Sandbox
from portmail.timeouts import Deadline, Timeouts
from portmail.transports.smtp import greeted
from tests.messages import message
from tests.servers.requirements import require
from tests.test_doors import run_program, submitter

HOST = "127.0.0.1"
NOWHERE = Route(HOST, 9, Security.PLAINTEXT)


@pytest.mark.parametrize("door", [portmail.Submitter, portmail.AsyncSubmitter])
@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_submitter_does_not_go_along_to_another_process(
    door: Callable[..., object], carry: Callable[[object], object]
) -> None:
    for mail in (door(routes=(NOWHERE,)), door(host="mail.example.org", username="me", password="secret")):
        with pytest.raises(portmail.ConfigurationError, match="make one in each process"):
            carry(mail)


def test_what_is_cancelled_before_its_first_step_is_told() -> None:
    async def scenario() -> list[BaseException | None]:
        told: list[BaseException | None] = []

        async def never() -> None:
            raise AssertionError

        give_up = as_task(never, lambda _result, error: told.append(error))
        give_up()
        await asyncio.sleep(0.01)
        return told

    [error] = asyncio.run(scenario())
    assert isinstance(error, asyncio.CancelledError)


class Interrupted(BaseException):
    """What a signal handler raises."""


@contextmanager
def waiting_is_interrupted(monkeypatch: pytest.MonkeyPatch, *, after: int) -> Iterator[None]:
    """The n-th wait for an errand ends with an exception."""
    wait, waits = Errand.wait, 0

    def interrupted(errand: Errand[Any]) -> None:
        nonlocal waits
        waits += 1
        if waits == after:
            raise Interrupted
        wait(errand)

    with monkeypatch.context() as patch:
        patch.setattr(Errand, "wait", interrupted)
        yield


def test_who_is_interrupted_at_once_is_told_that_nothing_was_sent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with submitter(sandbox) as mail:
        with waiting_is_interrupted(monkeypatch, after=1), pytest.raises(Interrupted) as caught:
            mail.send(message())
        assert "the message was not sent" in "".join(caught.value.__notes__)
        assert mail.send(message()).reply.code == 250
    assert len(sandbox.messages) == 1


def test_who_is_interrupted_while_the_loop_starts_leaves_no_thread(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(work: Callable[[], None], *, name: str) -> None:
        started(work, name=name)
        raise Interrupted

    with submitter(sandbox) as mail:
        with monkeypatch.context() as patch:
            patch.setattr(blocking, "started", interrupted)
            with pytest.raises(Interrupted) as caught:
                mail.send(message())
        assert caught.value.__notes__ == ["portmail: the message was not sent"]
        mail.send(message())
        until = time.monotonic() + 10
        while names().count("portmail") > 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert names().count("portmail") == 1
    assert "portmail" not in names()


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_an_interrupt_within_an_interrupt_has_the_note_too() -> None:
    def begin(_tell: object) -> Callable[[], None]:
        return lambda: None

    errand = Errand[None](begin, owner=LoopThread())
    errand.start()

    class Home:
        alive = True

        def soon(self, callback: object) -> bool:  # noqa: ARG002  # as it is called
            raise Interrupted

        def forget(self, errand: object) -> None: ...

    errand.home = Home()
    first = KeyboardInterrupt()
    with pytest.raises(Interrupted) as second:
        errand.interrupt(because=first)
    assert first.__notes__ == second.value.__notes__
    assert "in doubt" in first.__notes__[0]


def test_closing_while_others_send_lets_them_go_on(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail, ThreadPoolExecutor(8) as pool:
        sending = [pool.submit(mail.send, message()) for _ in range(40)]
        for _ in range(5):
            mail.close()
        told = [future.exception(30) for future in sending]
    assert {type(error) for error in told} <= {type(None), portmail.Unreachable, portmail.InDoubt}
    assert len(sandbox.messages) >= told.count(None)


@pytest.mark.parametrize("turns", range(1, 6))
def test_a_connection_whose_loop_ends_while_it_begins_is_closed(turns: int) -> None:
    with socket.create_server((HOST, 0)) as mute, socket.create_connection(mute.getsockname()) as sock:
        sock.setblocking(False)

        async def scenario() -> asyncio.Task[object]:
            greeting = asyncio.ensure_future(
                greeted(
                    sock,
                    route=Route(HOST, mute.getsockname()[1], Security.STARTTLS),
                    context=ssl.create_default_context(),
                    local_hostname="web1.example",
                    deadline=Deadline(Timeouts()),
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            return greeting  # the loop cancels all tasks, also those of aiosmtplib and asyncio

        assert asyncio.run(scenario()).cancelled()
        assert sock.fileno() == -1


def test_what_a_closed_loop_never_began_goes_out_by_the_next_one(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        mail.send(message())
        [room] = mail._loop._rooms.values()
        life = room.current
        assert life is not None
        life._over = True  # as at its end
        sending: Future[portmail.Receipt] = Future()
        thread = threading.Thread(target=lambda: sending.set_result(mail.send(message())), daemon=True)
        thread.start()
        time.sleep(0.05)
        room.close()
        assert sending.result(20).reply.code == 250
        thread.join(10)


def test_without_threads_it_sends_in_the_calling_one_and_within_a_loop_it_says_so(sandbox: Sandbox) -> None:
    told = run_program(
        """
        import asyncio, threading, portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        threading.stack_size(2**46)
        print(mail.send(message()).reply.code)
        async def cell():
            mail.send(message())
        try:
            asyncio.run(cell())
        except portmail.Unreachable as exc:
            print(exc)
        """,
        sandbox,
    )
    assert told.startswith("250\nNot sent: no thread can be started here")


def test_ctrl_c_without_threads_has_its_note(sandbox: Sandbox) -> None:
    told = run_program(
        """
        import os, signal, threading, portmail
        from tests.messages import message
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def fetch():
            os.kill(os.getpid(), signal.SIGINT)
            return "never shown"

        routes = portmail.Submitter.from_env().settings.routes
        mail = portmail.Submitter(
            routes=routes, username="me", password=fetch, tls_ca=os.environ["PORTMAIL_CA"]
        )
        threading.stack_size(2**46)
        try:
            mail.send(message())
        except KeyboardInterrupt as exc:
            print(exc.__notes__)
        """,
        sandbox,
    )
    assert "the message was not sent" in told


def test_without_descriptors_nothing_foreign_is_raised_and_it_recovers(sandbox: Sandbox) -> None:
    told = run_program(
        """
        import os, resource, portmail
        from tests.messages import message
        mail, kind = portmail.Submitter.from_env(retry=None), portmail.Submitter
        first, limits = message(), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        for attempt in (lambda: mail.send(first), kind.from_env):
            try:
                attempt()
            except portmail.Unreachable as exc:
                print(exc.temporary)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        print(mail.send(first).reply.code, kind.from_env().send(first).reply.code)
        """,
        sandbox,
    )
    assert told.split() == ["True", "True", "250", "250"]


def test_a_retry_that_cannot_be_loaded_tells_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "portmail.repeating", None)
    failed = portmail.Unreachable("lost", temporary=True)

    async def fail() -> None:
        raise failed

    async def scenario() -> None:
        await retrying(fail, policy=Retry(), seconds=10, sleep=asyncio.sleep)

    class Loader:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "portmail.repeating":
                raise OSError(24, "Too many open files")

    monkeypatch.delitem(sys.modules, "portmail.repeating")
    monkeypatch.setattr(sys, "meta_path", [Loader(), *sys.meta_path])
    with pytest.raises(portmail.Unreachable) as caught:
        asyncio.run(scenario())
    assert caught.value is failed


def test_what_is_sent_while_the_interpreter_goes_down_is_told(sandbox: Sandbox) -> None:
    run_program(
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
                    self.mail.send(self.message)
                except self.error:
                    self.write(1, b"told")
        last = Last()
        """,
        sandbox,
    )


def test_many_loops_use_one_async_submitter_at_the_same_time() -> None:
    pools = Pools(portmail.AsyncSubmitter(routes=(NOWHERE,)).settings)

    async def here() -> None:
        await pools.here()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(asyncio.run, here()) for _ in range(200)]:
            future.result(20)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_fork_waits_until_a_loop_is_between_two_steps(sandbox: Sandbox) -> None:
    amid, seen = threading.Event(), multiprocessing.get_context("fork").SimpleQueue()
    with submitter(sandbox) as mail:
        mail.send(message())

        def step() -> None:
            amid.set()
            time.sleep(0.2)  # as a handshake does within OpenSSL
            amid.clear()

        mail._loop.soon(step)
        assert amid.wait(10)
        child = multiprocessing.get_context("fork").Process(target=lambda: seen.put(amid.is_set()))
        child.start()
        assert mail.send(message()).reply.code == 250
        child.join(20)
        assert (child.exitcode, seen.get()) == (0, False)


def test_with_gevent_it_works_in_greenlets_and_hides_its_loop(sandbox: Sandbox) -> None:
    require(None if find_spec("gevent") else "gevent is not installed")
    told = run_program(
        """
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from gevent import monkey
            monkey.patch_all()
        import asyncio, threading, portmail
        from tests.messages import message
        with portmail.Submitter.from_env() as one, portmail.Submitter.from_env() as other:
            def send(mail):
                print(mail.send(message()).reply.code)
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    pass
                else:
                    print("a loop runs here")
            greenlets = [threading.Thread(target=send, args=(mail,)) for mail in (one, other) * 5]
            for greenlet in greenlets:
                greenlet.start()
            for greenlet in greenlets:
                greenlet.join()
        """,
        sandbox,
    )
    assert told.split() == ["250"] * 10
