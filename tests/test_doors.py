"""The two doors: the same house from threads, from a loop, after fork, at exit, and when interrupted."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import uvloop

import portmail
from portmail import Route, Security
from portmail.blocking import LoopThread, _Life
from portmail.delivery import IN_DOUBT
from portmail.errand import Errand, as_task
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER
from tests.messages import SENDER, message
from tests.servers.dialogue import play
from tests.standstill import ENVELOPE, HELLO, said

HOST = "127.0.0.1"


def submitter(sandbox: Sandbox) -> portmail.Submitter:
    return portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca)


def fetching(sandbox: Sandbox, password: Callable[[], Any], **wishes: Any) -> portmail.Submitter:
    """A submitter whose password comes from a callable."""
    routes = sandbox.routes[1:]
    return portmail.Submitter(routes=routes, username=USER, password=password, tls_ca=sandbox.ca, **wishes)


def test_both_doors_and_the_line_for_scripts_send_the_same(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send() -> portmail.Receipt:
        async with portmail.AsyncSubmitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
            return await mail.send(message())

    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    monkeypatch.setenv("PORTMAIL_FROM", SENDER)
    with submitter(sandbox) as mail:
        receipts = [mail.send(message()), asyncio.run(send())]
    receipts.append(portmail.send(to="you@example.org", subject="Hello", text="Hello, you.\n"))

    assert {(receipt.sender, receipt.accepted, receipt.reply.code) for receipt in receipts} == {
        (SENDER, ("you@example.org",), 250)
    }
    first, second, third = sandbox.messages
    assert first.content.partition(b"Date:")[0] == second.content.partition(b"Date:")[0]
    assert third.message["From"] == SENDER
    assert {received.username for received in sandbox.messages} == {USER}


def test_a_submitter_sends_again_after_it_was_closed(sandbox: Sandbox) -> None:
    mail = submitter(sandbox)
    for _ in range(2):
        with mail:
            mail.send(message())
    assert len(sandbox.messages) == 2


def test_many_threads_share_one_submitter(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail, ThreadPoolExecutor(32) as pool:
        receipts = list(pool.map(lambda _: mail.send(message()), range(64)))
    assert len(receipts) == len(sandbox.messages) == 64


def test_it_works_inside_a_running_loop(sandbox: Sandbox) -> None:
    async def cell() -> portmail.Receipt:
        with submitter(sandbox) as mail:
            return mail.send(message())

    assert asyncio.run(cell()).reply.code == 250


def test_many_tasks_share_one_async_submitter(sandbox: Sandbox) -> None:
    async def scenario() -> list[portmail.Receipt]:
        async with portmail.AsyncSubmitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
            return await asyncio.gather(*(mail.send(message()) for _ in range(20)))

    assert len(asyncio.run(scenario())) == len(sandbox.messages) == 20


def test_it_works_on_another_event_loop(sandbox: Sandbox) -> None:
    async def scenario() -> list[portmail.Receipt]:
        sandbox.block(587)
        wishes = {"username": USER, "password": PASSWORD, "tls_ca": sandbox.ca}
        async with portmail.AsyncSubmitter(routes=sandbox.routes, **wishes) as mail:  # type: ignore[arg-type]
            past_a_block = await mail.send(message())
        sandbox.open_port(587)
        async with portmail.AsyncSubmitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
            return [past_a_block, await mail.send(message())]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        receipts = runner.run(scenario())
    assert [receipt.route.security for receipt in receipts] == [Security.IMPLICIT_TLS, Security.STARTTLS]
    assert all(receipt.tls and receipt.tls.peer_name == HOST for receipt in receipts)


def test_no_thread_is_left_after_close(sandbox: Sandbox) -> None:
    before = set(threading.enumerate())
    with submitter(sandbox) as mail:
        mail.send(message())
        assert [t.name for t in set(threading.enumerate()) - before if t.name == "portmail"] == ["portmail"]
    assert not [t for t in set(threading.enumerate()) - before if t.name == "portmail"]


def test_a_forgotten_submitter_takes_its_thread_with_it(sandbox: Sandbox) -> None:
    mail = submitter(sandbox)
    mail.send(message())
    del mail
    deadline = time.monotonic() + 10
    while any(t.name == "portmail" for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if t.name == "portmail"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("used_before", [False, True], ids=["before first use", "after first use"])
def test_it_survives_fork(used_before: bool, sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        if used_before:
            mail.send(message())
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=mail.send, args=(message(),)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(20)
        assert [child.exitcode for child in children] == [0, 0]
        mail.send(message())
    assert len(sandbox.messages) == 3 + used_before


def told_while_it_goes_down(call: str, sandbox: Sandbox) -> str:
    """What becomes of a call of a submitter when the interpreter is on its way out."""
    program = f"""
        import os, portmail
        class Last:
            def __init__(self):
                self.mail, self.error = portmail.Submitter.from_env(), portmail.Unreachable
                self.write = os.write
            def __del__(self):
                try:
                    self.mail.{call}
                except self.error:
                    self.write(1, b"told")
                except Exception:
                    self.write(1, b"foreign")
        last = Last()
    """
    return run_program(program, sandbox)


def run_program(text: str, sandbox: Sandbox, *, expect: int = 0) -> str:
    """Run a program of its own, with warnings as errors, against the sandbox."""
    environ = {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(text)],
        env=environ,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (expect, "")
    return done.stdout


def test_a_program_may_end_without_close(sandbox: Sandbox) -> None:
    run_program(
        """
        import portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        mail.send(message())
        """,
        sandbox,
    )
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize("used_before", [False, True], ids=["unused before", "used before"])
def test_it_sends_from_an_atexit_handler(used_before: bool, sandbox: Sandbox) -> None:
    run_program(
        f"""
        import atexit, portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        atexit.register(lambda: print(mail.send(message()).reply.code))
        if {used_before}:
            mail.send(message())
        """,
        sandbox,
    )
    assert len(sandbox.messages) == 1 + used_before


def test_it_sends_from_an_atexit_handler_that_runs_after_its_own(sandbox: Sandbox) -> None:
    run_program(
        """
        import atexit
        def last():
            print(mail.send(message()).reply.code)
        atexit.register(last)
        import portmail
        from tests.messages import message
        mail = portmail.Submitter.from_env()
        mail.send(message())
        """,
        sandbox,
    )
    assert len(sandbox.messages) == 2


def interrupted(script: str, *, when: str) -> KeyboardInterrupt:
    """Press Ctrl-C at a moment of the dialogue; return what the program gets."""
    with play(script) as player:
        route = Route(HOST, player.port, Security.PLAINTEXT)

        def press() -> None:
            deadline = time.monotonic() + 10
            while not said(player, when) and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        with portmail.Submitter(routes=(route,), retry=None) as mail:
            presser = threading.Thread(target=press)
            presser.start()
            try:
                with pytest.raises(KeyboardInterrupt) as caught:
                    mail.send(message())
            finally:
                presser.join()
        assert player.connections == 1
    return caught.value


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python hears SIGINT also where whoever started us had it ignored, as for a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_final_dot_wins_and_says_that_nothing_was_sent() -> None:
    stopped = interrupted(f"{HELLO}C: MAIL *\nSILENCE", when="C: MAIL")
    assert "the message was not sent" in "".join(stopped.__notes__)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_after_the_final_dot_wins_and_says_that_it_is_in_doubt() -> None:
    stopped = interrupted(f'{ENVELOPE}BODY\nRAW "2?"\nSILENCE', when="S: 2?")
    assert "in doubt" in "".join(stopped.__notes__)
    assert "<1@example.org>" in "".join(stopped.__notes__)


@pytest.mark.parametrize(
    ("script", "moment", "error"),
    [
        (f"{HELLO}C: MAIL *\nSILENCE", "C: MAIL", portmail.Unreachable),
        (f'{ENVELOPE}BODY\nRAW "2?"\nSILENCE', "S: 2?", portmail.InDoubt),
    ],
)
def test_closing_while_another_thread_sends_tells_that_thread_what_became_of_its_message(
    script: str, moment: str, error: type[portmail.DeliveryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.2)
    with play(script) as player, ThreadPoolExecutor(1) as pool:
        route = Route(HOST, player.port, Security.PLAINTEXT)
        mail = portmail.Submitter(routes=(route,), retry=None)
        sending = pool.submit(mail.send, message())
        while not said(player, moment):
            time.sleep(0.005)
        mail.close()
        with pytest.raises(error, match="closed while it was sending"):
            sending.result(10)


def test_an_interrupt_that_cannot_wait_never_says_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portmail.errand.WIND_UP", 0.05)
    going, released = threading.Event(), threading.Event()

    async def work() -> None:
        going.set()
        released.wait(10)  # it does not hear that it is cancelled

    loop = asyncio.new_event_loop()
    errand = Errand(partial(as_task, work), owner=LoopThread())
    _Life(loop).take(errand)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    going.wait(10)
    stopped = KeyboardInterrupt()
    errand.interrupt(because=stopped)
    released.set()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert stopped.__notes__ == [f"portmail: {IN_DOUBT}"]


@pytest.mark.parametrize(
    ("moment", "script"),
    [("C: EHLO", "S: 220 hi\nC: EHLO *\nSILENCE"), ("C: MAIL", f"{HELLO}C: MAIL *\nSILENCE")],
)
def test_a_cancelled_task_drops_the_connection_and_says_what_became_of_the_message(
    moment: str, script: str
) -> None:
    async def scenario(port: int) -> asyncio.CancelledError:
        route = Route(HOST, port, Security.PLAINTEXT)
        async with portmail.AsyncSubmitter(routes=(route,), retry=None) as mail:
            task = asyncio.create_task(mail.send(message()))
            while not said(player, moment):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            return caught.value

    with play(script) as player:
        error = asyncio.run(scenario(player.port))
    assert error.__notes__ == ["portmail: the message was not sent (<1@example.org>)"]


def test_a_password_may_come_from_a_callable_when_it_is_needed(sandbox: Sandbox) -> None:
    asked: list[str] = []

    def fetch() -> str:
        asked.append("sync")
        return PASSWORD

    async def fetch_slowly() -> str:
        await asyncio.sleep(0)
        asked.append("async")
        return PASSWORD

    ways: tuple[Callable[[], Any], ...] = (fetch, fetch_slowly)
    for number, password in enumerate(ways):
        with fetching(sandbox, password) as mail:
            assert len(asked) == number, "it is not asked for before it is needed"
            mail.send(message())
    assert asked == ["sync", "async"]


def test_a_callable_that_fails_is_told_with_its_cause_and_nothing_is_sent(sandbox: Sandbox) -> None:
    def fetch() -> str:
        raise KeyError("no such item in the keyring")

    with (
        fetching(sandbox, fetch, retry=None) as mail,
        pytest.raises(portmail.CredentialsUnavailable, match="KeyError") as caught,
    ):
        mail.send(message())
    assert sandbox.sessions[-1].authentications == 0
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.temporary


def test_a_callable_that_takes_for_ever_is_given_up(sandbox: Sandbox) -> None:
    released = threading.Event()

    def fetch() -> str:
        released.wait(30)
        return PASSWORD

    with fetching(sandbox, fetch, retry=None, timeouts=portmail.Timeouts(command=0.3)) as mail:
        with pytest.raises(portmail.CredentialsUnavailable):
            mail.send(message())
    released.set()


def test_a_callable_that_calls_its_own_blocking_submitter_is_told_so(sandbox: Sandbox) -> None:
    def fetch() -> str:
        mail.send(message())
        return PASSWORD

    with (
        fetching(sandbox, fetch) as mail,
        pytest.raises(portmail.ConfigurationError),
    ):
        mail.send(message())


BAD_WISHES: dict[str, tuple[dict[str, object], type[portmail.PortmailError], str]] = {
    "no server": ({}, portmail.DiscoveryError, "give host="),
    "routes and host": ({"host": "a", "routes": ()}, portmail.ConfigurationError, "not both"),
    "no routes": ({"routes": ()}, portmail.InvalidRoute, "at least one"),
    "port that is none": ({"host": "a", "port": 70000}, portmail.InvalidRoute, "1 to 65535"),
    "password without user": ({"host": "a", "password": "x"}, portmail.CredentialsUnusable, "username="),
    "user without password": ({"host": "a", "username": "x"}, portmail.CredentialsUnusable, "password="),
    "password and token": (
        {"host": "a", "username": "x", "password": "y", "token": "z"},
        portmail.CredentialsUnusable,
        "not both",
    ),
    "credentials on a relay": (
        {"host": "a", "username": "x", "password": "y", "security": Security.OPPORTUNISTIC},
        portmail.CredentialsOnRelay,
        "credentials",
    ),
    "no CA file": ({"host": "a", "tls_ca": "/nowhere/ca.pem"}, portmail.CertificateFileError, "ca.pem"),
    "a CA file that is none": ({"host": "a", "tls_ca": __file__}, portmail.CertificateFileError, "PEM"),
    "no client certificate": (
        {"host": "a", "client_cert": "/nowhere/c.pem"},
        portmail.CertificateFileError,
        "c.pem",
    ),
    "timeout for ever": ({"host": "a", "timeouts": float("inf")}, portmail.ConfigurationError, "finite"),
    "local_hostname with a line break": (
        {"host": "a", "local_hostname": "a\r\nb"},
        portmail.ConfigurationError,
        "host name",
    ),
    "sender that is none": ({"host": "a", "sender": "me"}, portmail.AddressError, "beyond doubt"),
}


@pytest.mark.parametrize("wish", BAD_WISHES)
def test_a_wish_that_cannot_be_met_is_told_before_any_socket_opens(wish: str) -> None:
    arguments, error, words = BAD_WISHES[wish]
    for door in (portmail.Submitter, portmail.AsyncSubmitter):
        with pytest.raises(error, match=words):
            door(**arguments)  # type: ignore[arg-type]


def test_printing_a_submitter_shows_no_secret(sandbox: Sandbox) -> None:
    with submitter(sandbox) as mail:
        for text in (repr(mail), str(mail), repr(mail.settings), str(vars(mail))):
            assert PASSWORD not in text
        assert "starttls" in repr(mail)
