"""One submitter for each account, whoever asks: found again, told apart, and without a secret to be read."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import portmail
from portmail.integrations import shared as module
from portmail.integrations.shared import shared
from portmail.sandbox import Sandbox
from portmail.settings import Settings, from_arguments
from tests.leaks import PASSWORD, USER, Scanner
from tests.messages import message

HOST = "mail.example.org"
OWN = module._SUBMITTERS
"""The module's own, which fork knows of."""

OPTIONS: Mapping[str, Any] = {"host": HOST, "username": USER, "password": PASSWORD, "port": None}


@pytest.fixture(autouse=True)
def _nobody_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUBMITTERS", module._Submitters())


@pytest.fixture
def makes() -> Makes:
    return Makes()


class Makes:
    """Counts how often settings are made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Settings:
        self.times += 1
        return from_arguments(host=HOST)


def asked(makes: Callable[[], Settings], **said: Any) -> portmail.Submitter:
    return shared({**OPTIONS, **said}, make=makes)


def test_who_says_the_same_has_the_same(makes: Makes) -> None:
    first = asked(makes)
    assert asked(makes) is first
    assert shared(dict(reversed(list(OPTIONS.items()))), make=makes) is first
    assert makes.times == 1


@pytest.mark.parametrize(
    "other",
    [
        {"password": PASSWORD + "!"},
        {"password": PASSWORD.upper()},
        {"username": "you@example.org"},
        {"host": "mail.example.com"},
        {"port": 587},
        {"more": None},
        {"password": "\udcff"},
        {"approve": ["mail.example.org"]},
    ],
    ids=str,
)
def test_who_says_anything_else_has_another(makes: Makes, other: dict[str, Any]) -> None:
    first = asked(makes)
    assert asked(makes, **other) is not first
    assert asked(makes, **other) is asked(makes, **other)
    assert asked(makes) is first
    assert makes.times == 2


def test_a_value_that_moved_to_another_name_is_another(makes: Makes) -> None:
    assert asked(makes, username="a", sender="b") is not asked(makes, username="b", sender="a")


def test_each_door_has_its_own(makes: Makes) -> None:
    blocking = shared(OPTIONS, make=makes)
    awaited = shared(OPTIONS, make=makes, door=portmail.AsyncSubmitter)
    assert type(blocking) is portmail.Submitter
    assert type(awaited) is portmail.AsyncSubmitter
    assert shared(OPTIONS, make=makes, door=portmail.AsyncSubmitter) is awaited


def test_values_that_cannot_be_hashed_are_told_apart(makes: Makes) -> None:
    first = asked(makes, approve=["a.example"], more={"a": [1]})
    assert asked(makes, approve=["a.example"], more={"a": [1]}) is first
    assert asked(makes, approve=["b.example"], more={"a": [1]}) is not first
    assert asked(makes, approve=["a.example"], more={"a": [2]}) is not first


@pytest.mark.parametrize("error", [portmail.ConfigurationError, portmail.DiscoveryError, KeyboardInterrupt])
def test_what_could_not_be_made_is_made_anew(makes: Makes, error: type[BaseException]) -> None:
    def failing() -> Settings:
        raise error

    for _ in range(2):
        with pytest.raises(error):
            asked(failing)
    assert isinstance(asked(makes), portmail.Submitter)
    assert makes.times == 1


def test_a_certificate_file_that_is_missing_is_told_each_time() -> None:
    def make() -> Settings:
        return from_arguments(host=HOST, tls_ca="/nowhere/ca.pem")

    for _ in range(2):
        with pytest.raises(portmail.ConfigurationError, match="nowhere"):
            asked(make)


def test_the_one_that_was_not_used_for_longest_is_forgotten(makes: Makes) -> None:
    first, second = asked(makes, port=1), asked(makes, port=2)
    for port in range(3, 33):
        asked(makes, port=port)
    assert makes.times == 32
    assert asked(makes, port=1) is first  # it is used: the second is the oldest now
    asked(makes, port=33)
    assert asked(makes, port=1) is first
    assert asked(makes, port=2) is not second
    assert makes.times == 34


def test_one_that_is_forgotten_goes_with_its_last_user(makes: Makes) -> None:
    gone = weakref.ref(asked(makes, port=1))
    for port in range(2, 34):
        asked(makes, port=port)
    for thread in threading.enumerate():
        if thread.name == "portmail-forgotten":
            thread.join(10)
    gc.collect()
    assert gone() is None


def test_nobody_waits_for_the_goodbye_of_one_that_is_forgotten() -> None:
    go_on, said = threading.Event(), threading.Event()

    class Slow:
        def __del__(self) -> None:
            if go_on.wait(10):
                said.set()

    own: Any = module._Submitters()
    own.get(Slow, {}, Slow)
    for number in range(32):
        own.get(object, {"number": number}, object)
    go_on.set()
    assert said.wait(10)


def test_where_no_thread_can_be_started_one_that_is_forgotten_goes_at_once(
    makes: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    gone = weakref.ref(asked(makes, port=1))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for port in range(2, 34):
        asked(makes, port=port)
    gc.collect()
    assert gone() is None


def test_threads_that_ask_at_once_get_the_same(makes: Makes) -> None:
    barrier = threading.Barrier(16)

    def ask(_: int) -> portmail.Submitter:
        barrier.wait()
        return asked(makes)

    with ThreadPoolExecutor(16) as threads:
        submitters = set(threads.map(ask, range(16)))
    assert len(submitters) == 1


def test_while_one_is_made_others_are_found_and_made(makes: Makes) -> None:
    other = asked(makes, port=25)

    def make() -> Settings:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(asked, makes, port=25).result(10) is other
            assert thread.submit(asked, makes, port=26).result(10) is asked(makes, port=26)
        return from_arguments(host=HOST)

    assert asked(make) is asked(makes)


def test_what_is_loaded_to_make_one_may_ask_for_the_same(makes: Makes) -> None:
    within: list[portmail.Submitter] = []

    def make() -> Settings:
        within.append(asked(makes))
        return from_arguments(host=HOST)

    assert asked(make) is within[0]


def test_a_signals_handler_may_ask_at_any_moment(makes: Makes) -> None:
    found: list[portmail.Submitter] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: found.append(asked(makes)))
    try:
        with module._SUBMITTERS._lock:  # in the middle of it
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found == [asked(makes)]


# Files.


@pytest.mark.parametrize("name", sorted(module._FILES))
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_that_was_written_again_is_another_account(
    name: str, kind: Callable[[str], object], makes: Makes, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    said = {name: kind(str(file))}
    missing = asked(makes, **said)
    assert asked(makes, **said) is missing
    file.write_text("old\n")
    first = asked(makes, **said)
    assert first is not missing
    assert asked(makes, **said) is first
    written = file.stat().st_mtime_ns
    file.write_text("new\n")
    os.utime(file, ns=(written + 1, written + 1))
    assert asked(makes, **said) is not first


def test_a_file_that_was_put_in_its_place_is_another_account(makes: Makes, tmp_path: Path) -> None:
    file, new = tmp_path / "file", tmp_path / "new"
    file.write_text("old\n")
    new.write_text("new\n")
    os.utime(new, ns=(0, file.stat().st_mtime_ns))
    first = asked(makes, tls_ca=file)
    new.replace(file)
    assert asked(makes, tls_ca=file) is not first


def test_what_is_no_file_is_not_looked_for(makes: Makes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    first = asked(makes, password=str(file))
    file.write_text("new\n")
    assert asked(makes, password=str(file)) is first
    assert asked(makes, tls_ca=5) is asked(makes, tls_ca=5)


# Secrets.


def held(by: object) -> Iterator[object]:
    """All that the garbage collector finds from here, except modules, classes and submitters."""
    waiting, seen = [by], set[int]()
    while waiting:
        thing = waiting.pop()
        closed = isinstance(thing, type(gc) | type | portmail.Submitter) or callable(thing)
        if id(thing) in seen or closed:
            continue
        seen.add(id(thing))
        yield thing
        waiting += gc.get_referents(thing)


SECRET_VALUES: dict[str, object] = {
    "a text": PASSWORD,
    "octets": PASSWORD.encode(),
    "in a list": [PASSWORD],
    "in a dict": {"password": PASSWORD},
}


@pytest.mark.parametrize("name", SECRET_VALUES)
def test_no_secret_can_be_read_from_what_is_remembered(makes: Makes, name: str) -> None:
    scanner = Scanner(PASSWORD)
    asked(makes, password=SECRET_VALUES[name])
    things = list(held(module._SUBMITTERS))
    assert len(things) > 10
    assert [thing for thing in things if isinstance(thing, str | bytes) and scanner.walk(thing)] == []


def test_no_secret_can_be_read_from_a_tuple() -> None:
    scanner = Scanner(PASSWORD)
    asked(Makes(), password=("basic", PASSWORD))
    things = list(held(module._SUBMITTERS))
    assert [thing for thing in things if isinstance(thing, str | bytes) and scanner.walk(thing)] == []


def test_the_mark_of_a_secret_is_another_in_each_process(
    makes: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = module._mark(PASSWORD)
    monkeypatch.setattr(module, "_SALT", b"x" * 16)
    assert module._mark(PASSWORD) != before
    assert PASSWORD not in repr(before)


# Objects.


class Token:
    """A callable, compared by identity as most objects are."""

    def __call__(self) -> str:
        return "token"


def test_an_object_that_is_compared_by_identity_is_kept_alive(makes: Makes) -> None:
    token = Token()
    first = asked(makes, token=token)
    alive = weakref.ref(token)
    del token
    gc.collect()
    assert alive() is not None  # else another one could get its number
    assert asked(makes, token=alive()) is first
    assert all(asked(makes, token=Token()) is not first for _ in range(20))


@dataclass
class Hidden:
    """Compared by value, so without a hash, and it prints no secret."""

    password: str = field(repr=False)


def test_two_that_print_alike_are_two() -> None:
    makes = Makes()
    assert asked(makes, account=Hidden("mine")) is not asked(makes, account=Hidden("yours"))


def test_a_text_that_is_no_text_is_told_apart_or_told() -> None:
    assert asked(Makes(), password="\ud800") is not asked(Makes(), password="\ud801")


# Processes.


def test_a_child_that_is_born_while_a_thread_makes_one_is_not_stuck() -> None:
    context = multiprocessing.get_context("fork")
    assert not OWN._known
    making, go_on = threading.Event(), threading.Event()

    def make() -> Settings:
        making.set()
        assert go_on.wait(20)
        return from_arguments(host=HOST)

    thread = threading.Thread(target=lambda: OWN.get(portmail.Submitter, OPTIONS, lambda: _with(make())))
    answer = context.SimpleQueue()
    child = context.Process(target=_ask, args=(answer, OWN))
    thread.start()
    try:
        assert making.wait(10)
        child.start()
        child.join(10)
        assert child.exitcode == 0
        assert answer.get() == HOST
    finally:
        child.kill()
        go_on.set()
        thread.join()
        OWN._known.clear()


def _with(settings: Settings) -> portmail.Submitter:
    return portmail.Submitter._with(settings)


def _ask(answer: Any, submitters: Any) -> None:
    made = submitters.get(portmail.Submitter, {"a": 1}, lambda: _with(from_arguments(host=HOST)))
    answer.put(made.settings.routes[0].host)


def _send(answer: Any, options: Mapping[str, Any], sandbox: tuple[Any, Any]) -> None:
    routes, ca = sandbox
    mail = shared(options, make=lambda: from_arguments(routes=routes, tls_ca=ca))
    answer.put(mail.connect().route == routes[0])
    mail.close()


def test_a_forked_child_uses_the_same_account_by_a_connection_of_its_own(sandbox: Sandbox) -> None:
    def make() -> Settings:
        return from_arguments(routes=sandbox.routes, tls_ca=sandbox.ca, username=USER, password=PASSWORD)

    context = multiprocessing.get_context("fork")
    with shared(OPTIONS, make=make) as mail:
        mail.send(message())
        answer = context.SimpleQueue()
        child = context.Process(target=_send, args=(answer, OPTIONS, (sandbox.routes, sandbox.ca)))
        child.start()
        child.join(10)
        assert answer.get() is True
        mail.send(message())
    # The child did not make another: it logged in.
    assert [session.authentications for session in sandbox.sessions] == [1, 1]


def test_a_thousand_that_ask_share_their_connections(sandbox: Sandbox) -> None:
    def make() -> Settings:
        return from_arguments(routes=sandbox.routes, tls_ca=sandbox.ca, username=USER, password=PASSWORD)

    for _ in range(50):
        shared(OPTIONS, make=make).send(message())
    shared(OPTIONS, make=make).close()
    assert (len(sandbox.messages), len(sandbox.sessions)) == (50, 1)
