"""Does an async view send without blocking anything?"""

from __future__ import annotations

import asyncio
import smtplib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import mail
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.test import override_settings
from django.utils.asyncio import async_unsafe

import portmail
import portmail.django as ours
from portmail.sandbox import Sandbox
from tests.django_site.site import (
    FROM,
    GONE,
    LOCMEM,
    MAILERS,
    TO,
    backend,
    before_mailers,
    letter,
    mailers,
    with_login,
)
from tests.django_site.test_outcome import received
from tests.leaks import PASSWORD, USER
from tests.servers.dialogue import Player, play
from tests.standstill import AFTER_DOT, BEFORE_DOT, until

pytestmark = pytest.mark.usefixtures("site")


async def asend(*, to: str = TO, **given: Any) -> int:
    """What a view awaits."""
    return await ours.asend_mail("hello", "text", FROM, [to], **given)


def by_asyncio(**given: Any) -> int:
    """Under a loop of its own."""

    async def view() -> int:
        return await asend(**given)

    return asyncio.run(view())


def by_asgiref(**given: Any) -> int:
    """As Django runs an async view under WSGI."""
    return int(async_to_sync(asend)(**given))


@pytest.mark.parametrize("run", [by_asyncio, by_asgiref])
def test_it_sends_one(run: Callable[..., int], sandbox: Sandbox) -> None:
    assert run(html_message="<p>html</p>") == 1
    [got] = sandbox.messages
    assert (got.sender, got.recipients, got.tls, got.username) == (FROM, (TO,), "TLSv1.3", USER)
    assert got.message.get_content_type() == "multipart/alternative"


@pytest.mark.parametrize("run", [by_asyncio, by_asgiref])
def test_what_fails_is_raised_as_it_is_by_send_mail(run: Callable[..., int], sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        run(to=GONE)
    assert isinstance(caught.value, portmail.Rejected)
    assert run(to=GONE, fail_silently=True) == 0
    with pytest.raises(ValueError, match="address"):
        run(to="a@@b")


def test_no_route_is_an_error_or_nothing(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    once = {"retry": portmail.Retry(attempts=1), "url": sandbox.url, "tls_ca": str(sandbox.ca)}
    with override_settings(**mailers(once)):
        with pytest.raises(smtplib.SMTPServerDisconnected):
            by_asyncio()
        assert by_asyncio(fail_silently=True) == 0


def test_fifty_at_once_share_five_connections(sandbox: Sandbox) -> None:
    async def views() -> list[int]:
        return await asyncio.gather(*(asend() for _ in range(50)))

    assert asyncio.run(views()) == [1] * 50
    assert len(sandbox.messages) == 50
    assert len(sandbox.sessions) <= 5


def test_many_views_under_wsgi_take_one_connection_with_the_sync_ones(sandbox: Sandbox) -> None:
    assert [by_asgiref() for _ in range(50)] == [1] * 50
    assert letter().send() == 1
    assert (len(sandbox.messages), len(sandbox.sessions)) == (51, 1)


def test_where_nobody_listens_it_waits_for_no_other_sync_code(sandbox: Sandbox) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def other() -> bool:
        busy.set()
        return go_on.wait(10)

    async def view() -> None:
        running = asyncio.ensure_future(sync_to_async(other)())
        await asyncio.to_thread(busy.wait, 10)
        assert await asend() == 1
        assert not running.done()
        go_on.set()
        assert await running

    asyncio.run(view())
    assert len(sandbox.messages) == 1


def test_receivers_run_in_the_thread_of_all_sync_code(sandbox: Sandbox) -> None:
    threads: list[int] = []

    def receive(**_given: Any) -> None:
        threads.append(threading.get_ident())

    async def view() -> int:
        assert await asend() == 1
        assert await asend(to=GONE, fail_silently=True) == 0
        return await sync_to_async(threading.get_ident)()

    sandbox.reject(GONE)
    with ExitStack() as stack:
        for signal in (ours.pre_send, ours.post_send, ours.send_failed):
            stack.enter_context(received(signal, receive))
        theirs = asyncio.run(view())
    assert threads == [theirs] * 4
    assert theirs != threading.get_ident()


@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "somebody listens"])
@pytest.mark.parametrize(("dialogue", "note"), [(BEFORE_DOT, "was not sent"), (AFTER_DOT, "in doubt")])
def test_who_is_cancelled_meanwhile_is_told_what_is_known(
    dialogue: tuple[str, str], note: str, listens: bool
) -> None:
    told: list[str] = []

    async def view(player: Player) -> asyncio.CancelledError:
        task = asyncio.ensure_future(asend())
        await until(player, dialogue[1])
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value

    with play(dialogue[0]) as player, ExitStack() as stack:
        url = f"relay://127.0.0.1:{player.port}?tls=none"
        stack.enter_context(override_settings(**mailers({"url": url, "retry": portmail.Retry(attempts=1)})))
        if listens:
            stack.enter_context(received(ours.pre_send, lambda **_given: told.append("pre_send")))
        stopped = asyncio.run(view(player))
        assert player.connections == 1
    assert note in "".join(stopped.__notes__)
    assert told == ["pre_send"] * listens


def test_who_is_cancelled_while_receivers_hear_of_it_is_told_that_it_was_accepted(sandbox: Sandbox) -> None:
    hearing, go_on = threading.Event(), threading.Event()

    def receive(**_given: Any) -> None:
        hearing.set()
        go_on.wait(10)

    async def view() -> asyncio.CancelledError:
        task = asyncio.ensure_future(asend())
        await asyncio.to_thread(hearing.wait, 10)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value

    with received(ours.post_send, receive):
        [note] = asyncio.run(view()).__notes__
    assert note.startswith("portmail: the message was accepted (<")
    assert len(sandbox.messages) == 1


def test_of_many_under_way_each_is_told(sandbox: Sandbox) -> None:
    async def view(player: Player) -> asyncio.CancelledError:
        task = asyncio.ensure_future(backend().asend_messages([letter(), letter(), letter()]))
        await until(player, AFTER_DOT[1])
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value

    with play(AFTER_DOT[0]) as player:
        url = f"relay://127.0.0.1:{player.port}?tls=none"
        with override_settings(**mailers({"url": url, "pool_size": 1})):
            notes = asyncio.run(view(player)).__notes__
    assert sorted("in doubt" in note for note in notes) == [False, False, True]
    assert sum("was not sent" in note for note in notes) == 2


@pytest.mark.parametrize("silently", [False, True])
def test_settings_that_cannot_be_met_are_told(silently: bool) -> None:
    with override_settings(**mailers({"host": "no host"})):
        with pytest.raises(ImproperlyConfigured, match="no host"):
            by_asyncio(fail_silently=silently)


@pytest.mark.parametrize("silently", [False, True])
def test_an_address_that_cannot_travel_is_never_silent(silently: bool, sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="address"):
        by_asyncio(to="a@@b", fail_silently=silently)
    assert sandbox.sessions == ()


def test_many_together_are_sent_in_their_turn_and_some_fail(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    messages = [letter(GONE if number % 30 == 7 else TO) for number in range(90)]
    mine = backend()
    mine.fail_silently = True
    assert asyncio.run(mine.asend_messages(messages)) == 87
    assert [number for number, it in enumerate(messages) if ours.receipt(it) is None] == [7, 37, 67]
    assert len(sandbox.sessions) <= 5


def test_nobody_to_send_to_is_none(sandbox: Sandbox) -> None:
    assert by_asyncio(to="") == 0
    assert sandbox.sessions == ()


def test_messages_together_have_their_receipts(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    messages = [letter(), letter(GONE), letter()]

    async def view() -> None:
        await backend().asend_messages(iter(messages))

    with pytest.raises(portmail.Rejected) as caught:
        asyncio.run(view())
    assert [ours.receipt(message) is not None for message in messages] == [True, False, True]
    assert any("2 of 3 messages were sent" in note for note in caught.value.__notes__)


def test_receivers_may_use_what_is_not_for_async_code(sandbox: Sandbox) -> None:
    told: list[str] = []

    @async_unsafe
    def database() -> None:
        told.append("asked")

    def receive(**_given: Any) -> None:
        database()

    sandbox.reject(GONE)

    async def view() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            database()
        assert await asend() == 1
        assert await asend(to=GONE, fail_silently=True) == 0

    with (
        received(ours.pre_send, receive),
        received(ours.post_send, receive),
        received(ours.send_failed, receive),
    ):
        asyncio.run(view())
    assert told == ["asked"] * 4


def test_what_a_receiver_raises_keeps_it_from_being_sent(sandbox: Sandbox) -> None:
    def receive(**_given: Any) -> None:
        raise PermissionError("not now")

    with received(ours.pre_send, receive), pytest.raises(PermissionError):
        by_asyncio()
    assert sandbox.messages == ()


def test_who_is_cancelled_before_it_begins_sends_nothing(sandbox: Sandbox) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def receive(**_given: Any) -> None:
        begun.set()
        go_on.wait(10)

    async def view() -> None:
        with received(ours.pre_send, receive):
            task = asyncio.ensure_future(asend())
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert sandbox.messages == ()
        assert await asend() == 1

    asyncio.run(view())
    assert len(sandbox.messages) == 1


def test_in_a_sites_own_tests_it_goes_where_all_mail_goes(sandbox: Sandbox) -> None:
    mail.outbox = []
    with override_settings(**mailers({}, backend=LOCMEM)):
        assert by_asyncio() == 1
        assert by_asyncio(fail_silently=True, html_message="<p>html</p>") == 1
        assert by_asyncio(to="") == 0
    assert [message.to for message in mail.outbox] == [[TO], [TO]]
    mail.outbox.clear()
    assert sandbox.sessions == ()


def test_the_settings_before_mailers_serve_too(options: dict[str, Any], sandbox: Sandbox) -> None:
    with before_mailers(**with_login(sandbox, USER, PASSWORD), PORTMAIL={"tls_ca": options["tls_ca"]}):
        assert by_asyncio() == 1
        assert by_asyncio(using="default", fail_silently=True) == 1
        if not MAILERS:
            with pytest.raises(ImproperlyConfigured, match="there is no mailer 'other'"):
                by_asyncio(using="other")
    assert len(sandbox.messages) == 2


def test_an_alias_that_there_is_not_is_told() -> None:
    with pytest.raises(ImproperlyConfigured, match="other"):
        by_asyncio(using="other")
