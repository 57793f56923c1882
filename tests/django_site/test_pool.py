"""How many connections does a site need? Its server counts them, across threads and forks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.mail import send_mail
from django.test import override_settings

from portmail.integrations import shared
from portmail.integrations.django import options as options_module
from portmail.integrations.django.options import submitter_for
from portmail.sandbox import Sandbox
from tests.django_site.site import FROM, MAILERS, TO, backend, letter, mailers

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
without_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def send(_number: int = 0) -> int:
    """One call of a view."""
    return send_mail("hello", "text", FROM, [TO])


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_calls_one_after_the_other_take_one_connection(count: int, sandbox: Sandbox) -> None:
    assert sum(map(send, range(count))) == count
    assert (len(sandbox.messages), len(sandbox.sessions)) == (count, 1)


@pytest.mark.long
def test_djangos_own_backend_opens_one_for_each_call() -> None:
    with Sandbox(users={}) as server:
        own = "django.core.mail.backends.smtp.EmailBackend"
        where = {"host": server.host, "port": server.port(25)}
        site = {"EMAIL_HOST": where["host"], "EMAIL_PORT": where["port"]}
        given = mailers(where, backend=own) | ({} if MAILERS else site)
        with override_settings(**given):
            assert sum(map(send, range(50))) == 50
        assert len(server.sessions) == 50


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_twenty_threads_share_five(count: int, sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(send, range(count))) == count
    assert len(sandbox.messages) == count
    assert len(sandbox.sessions) <= 5


def test_as_many_as_pool_size_says(options: dict[str, Any], sandbox: Sandbox) -> None:
    with override_settings(**mailers({**options, "pool_size": 2})):
        with ThreadPoolExecutor(10) as threads:
            assert sum(threads.map(send, range(40))) == 40
        assert backend().send_messages([letter() for _ in range(40)]) == 40
    assert len(sandbox.sessions) <= 2


@pytest.mark.usefixtures("site")
def test_threads_may_share_a_backend_which_each_opens_and_closes(sandbox: Sandbox) -> None:
    mine, start = backend(), threading.Barrier(8)

    def work(_number: int) -> int:
        start.wait(10)
        sent = 0
        for _ in range(5):
            with mine:
                sent += mine.send_messages([letter(), letter()])
        return sent

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 80
    assert len(sandbox.messages) == 80
    assert len(sandbox.sessions) <= 5
    assert mine.connection is None


@without_fork
@forks
@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("used_before", [False, True], ids=["before first use", "after first use"])
def test_after_a_fork_each_child_has_its_own(used_before: bool, sandbox: Sandbox) -> None:
    if used_before:
        send()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=lambda: [send() for _ in range(3)]) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
    assert [child.exitcode for child in children] == [0, 0]
    send()
    assert len(sandbox.messages) == 7 + used_before
    assert len(sandbox.sessions) == 3
    mails = [sum(command.startswith("MAIL") for command in it.commands) for it in sandbox.sessions]
    assert sorted(mails) == [1 + used_before, 3, 3]


@without_fork
@forks
@pytest.mark.usefixtures("site")
def test_a_fork_while_another_thread_makes_a_submitter_is_no_deadlock(sandbox: Sandbox) -> None:
    send()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=send)
    with shared._SUBMITTERS._lock:
        child.start()
    child.join(20)
    assert child.exitcode == 0
    assert len(sandbox.messages) == 2


@pytest.mark.usefixtures("site", "mailing_tokens")
def test_what_is_loaded_to_make_one_may_mail_in_any_thread(sandbox: Sandbox) -> None:
    logger, waits = logging.getLogger("site"), ThreadPoolExecutor(1)

    class Mailing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002  # as it is called
            assert send() == waits.submit(send).result(10) == 1

    handler = Mailing()
    logger.addHandler(handler)
    try:
        token = {"url": "submission://me@mail.example.com", "token_source": "mailing_tokens.get"}
        with waits:
            assert submitter_for(token).settings.credentials is not None
    finally:
        logger.removeHandler(handler)
    assert len(sandbox.messages) == 2


@pytest.mark.usefixtures("site")
def test_a_signals_handler_may_mail_while_a_submitter_is_made(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: send())
    real = options_module.settings_of

    def slow(*args: Any, **given: Any) -> Any:
        patch.undo()
        signal.raise_signal(signal.SIGUSR1)
        return real(*args, **given)

    with monkeypatch.context() as patch:
        patch.setattr(options_module, "settings_of", slow)
        try:
            assert send() == 1
        finally:
            signal.signal(signal.SIGUSR1, before)
    assert (len(sandbox.messages), len(sandbox.sessions)) == (2, 1)


@pytest.mark.usefixtures("site")
def test_one_submitter_serves_all_backends_with_the_same_options(options: dict[str, Any]) -> None:
    made = backend().submitter
    assert backend().submitter is made
    with override_settings(**mailers({**options, "pool_size": 2})):
        assert backend().submitter is not made
    assert backend().submitter is made
