"""Do the fixtures show what a program sends? What must fail is in test_no_mail.py."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import portmail
from portmail.integrations.pytest.interception import StandIn
from portmail.integrations.pytest.outbox import Outbox
from portmail.job import Job
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.security import Security
from portmail.settings import from_arguments
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts

pytest_plugins = ["portmail.integrations.pytest"]

LETTER = b"From: me@example.com\r\nTo: %s\r\nSubject: %s\r\n\r\nHello.\r\n"

Door = Callable[[bytes], portmail.Receipt]


def letter(subject: str = "Hello", to: str = "ann@example.org") -> bytes:
    return LETTER % (to.encode(), subject.encode())


def blocking(message: bytes) -> portmail.Receipt:
    with portmail.Submitter(host="mail.example.com") as mail:
        return mail.send(message)


def asynchronous(message: bytes) -> portmail.Receipt:
    async def send() -> portmail.Receipt:
        async with portmail.AsyncSubmitter(host="mail.example.com") as mail:
            return await mail.send(message)

    return asyncio.run(send())


def first_of_many(message: bytes) -> portmail.Receipt:
    with portmail.Submitter(host="mail.example.com") as mail:
        [result] = mail.send_many([message])
    if result.error is not None:
        raise result.error
    assert result.receipt is not None
    return result.receipt


DOORS = pytest.mark.parametrize("door", [blocking, asynchronous, first_of_many])


# The outbox.


@DOORS
def test_what_is_sent_is_kept_and_answered(door: Door, portmail_outbox: Outbox) -> None:
    receipt = door(letter() + b"Bye.\r\n")
    [sent] = portmail_outbox
    assert (sent.sender, sent.recipients) == ("me@example.com", ("ann@example.org",))
    assert sent.content.endswith(b"\r\n\r\nHello.\r\nBye.\r\n")
    assert receipt.message_id == sent.message["Message-ID"]
    assert (receipt.accepted, receipt.reply.code) == (("ann@example.org",), 250)
    assert str(receipt.route) == "mail.example.com:587 starttls"
    assert [attempt.error for attempt in receipt.attempts] == [None]


def test_a_scripts_mail_needs_no_account(portmail_outbox: Outbox) -> None:
    portmail.send(
        to="Änn <ann@example.org>",
        bcc="boss@example.org",
        subject="Grüße",
        text="a\nb",
        sender="me@example.com",
    )
    [sent] = portmail_outbox.assert_sent(to=["boss@example.org", "ann@example.org"], text="a\nb")
    assert (sent.subject, sent.text, sent.html) == ("Grüße", "a\nb\n", "")
    assert b"boss" not in sent.content


def of_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names an account, and files that only its machine has."""
    monkeypatch.setenv("PORTMAIL_URL", "submission://me@mail.example.net")
    monkeypatch.setenv("PORTMAIL_USERNAME", "somebody")
    monkeypatch.setenv("PORTMAIL_PASSWORD_FILE", "/run/secrets/none")
    monkeypatch.setenv("PORTMAIL_CA", "/run/secrets/none.pem")


@pytest.mark.parametrize("fixture", ["portmail_outbox", "portmail_sandbox"])
def test_nothing_is_needed_of_the_account_that_the_environment_named(
    fixture: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    of_production(monkeypatch)
    there: Outbox | Sandbox = request.getfixturevalue(fixture)
    portmail.send(to="ann@example.org", subject="Hello", sender="me@example.com")
    assert len(there.messages) == 1


@pytest.mark.parametrize(
    ("security", "peer_name"),
    [
        (Security.STARTTLS, "mail.example.com"),
        (Security.IMPLICIT_TLS, "mail.example.com"),
        (Security.OPPORTUNISTIC, None),
    ],
)
def test_a_receipt_tells_of_tls_where_there_must_be_some(
    security: Security, peer_name: str | None, portmail_outbox: Outbox
) -> None:
    route = Route("mail.example.com", 587, security)
    with portmail.Submitter(routes=[route]) as mail:
        tls = mail.send(letter()).tls
    assert (tls and tls.peer_name) == peer_name
    assert (tls and tls.version) == (peer_name and "TLSv1.3")


def test_log_records_of_a_test_are_mailed_before_it_ends(
    portmail_outbox: Outbox, request: pytest.FixtureRequest
) -> None:
    from portmail.integrations.logging import MailHandler

    handler = MailHandler(to="ops@example.org", sender="me@example.com")
    request.addfinalizer(handler.close)
    handler.handle(logging.makeLogRecord({"name": "app", "levelno": logging.ERROR, "msg": "broken"}))
    gate = request.getfixturevalue("_portmail_gate")
    gate.settle()
    portmail_outbox.assert_sent(to="ops@example.org", text="broken")


def test_a_submitter_from_before_and_another_thread_are_seen(request: pytest.FixtureRequest) -> None:
    with Sandbox() as sandbox, portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
        mail.send(letter())
        outbox = request.getfixturevalue("portmail_outbox")
        thread = threading.Thread(target=mail.send, args=[letter("Again")])
        thread.start()
        thread.join()
        assert [sent.subject for sent in outbox] == ["Again"]
        assert len(sandbox.messages) == 1


@DOORS
def test_what_is_wrong_with_a_message_is_raised_as_ever(door: Door, portmail_outbox: Outbox) -> None:
    with pytest.raises(portmail.AddressError, match="eve@"):
        door(letter(to="eve@"))
    with pytest.raises(portmail.NoRecipients):
        door(b"From: me@example.com\r\n\r\n")
    portmail_outbox.assert_nothing_sent()


def test_many_have_their_results_in_order_and_are_announced(portmail_outbox: Outbox) -> None:
    messages = [letter(str(number)) for number in range(100)]
    messages[50] = letter(to="eve@")
    announced: list[bytes] = []

    async def send() -> list[portmail.Result[bytes]]:
        async with portmail.AsyncSubmitter(host="mail.example.com") as mail:
            return [result async for result in mail.send_many(messages, before_commit=announced.append)]

    with portmail.Submitter(host="mail.example.com") as mail:
        results = [list(mail.send_many(messages, before_commit=announced.append)), asyncio.run(send())]
    for told in results:
        assert [result.message for result in told if result.receipt] == messages[:50] + messages[51:]
        [error] = [result.error for result in told if result.error]
        assert isinstance(error, portmail.AddressError)
    assert announced == (messages[:50] + messages[51:]) * 2
    assert len(portmail_outbox) == 198


def test_who_stops_early_sends_no_more(portmail_outbox: Outbox) -> None:
    with portmail.Submitter(host="mail.example.com") as mail:
        results = mail.send_many(letter(str(number)) for number in range(1000))
        next(results)
        results.close()
    assert 0 < len(portmail_outbox) < 1000


@pytest.mark.parametrize("reason", [LookupError("no such reader"), pytest.fail.Exception("not this one")])
def test_a_message_can_be_held_back(reason: BaseException, portmail_outbox: Outbox) -> None:
    def refuse(_message: bytes) -> None:
        raise reason

    with portmail.Submitter(host="mail.example.com") as mail:
        [result] = mail.send_many([letter()], before_commit=refuse)
    assert isinstance(result.error, portmail.HeldBack)
    assert result.error.__cause__ is reason
    portmail_outbox.assert_nothing_sent()


def test_without_time_nothing_is_sent(portmail_outbox: Outbox) -> None:
    mail = portmail.Submitter(host="mail.example.com", timeouts=1e-9)
    with pytest.raises(portmail.Unreachable, match="time for the whole submission"):
        mail.send(letter())
    portmail_outbox.assert_nothing_sent()


def test_a_fault_is_told_and_nobody_waits_for_ever(
    portmail_outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(portmail_outbox, "_messages")
    with pytest.raises(portmail.InternalError, match="_messages"):
        blocking(letter())


def test_what_is_given_up_in_time_is_not_sent() -> None:
    outbox, done, faults = Outbox(), list[Job](), list[object]()

    async def give_up() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: faults.append(told))
        submission = Submission.of(letter())
        job = Job(submission, deadline=Deadline(Timeouts()), danger=asyncio.Event(), done=done.append)
        pool = StandIn(from_arguments(host="mail.example.com"), outbox.carry)
        pool.submit(job)
        assert pool.withdraw(job) == pool.withdraw(job) == []
        await asyncio.sleep(0)

    asyncio.run(give_up())
    assert (done, faults, outbox.messages) == ([], [], ())


@DOORS
def test_a_recipient_is_rejected(door: Door, portmail_outbox: Outbox) -> None:
    portmail_outbox.reject("Gone@example.org", code=551, text="5.1.6 moved")
    receipt = door(letter(to="gone@example.org, ann@example.org"))
    assert receipt.accepted == ("ann@example.org",)
    assert str(receipt.refused["gone@example.org"]) == "551 5.1.6 moved"
    assert portmail_outbox[0].recipients == ("ann@example.org",)
    with pytest.raises(AssertionError, match=r"\nNot accepted:\n  to gone@example\.org: 551 5\.1\.6 moved$"):
        portmail_outbox.assert_sent(to="gone@example.org")
    with pytest.raises(portmail.Rejected, match=r"551 5\.1\.6 moved"):
        door(letter(to="gone@example.org"))
    portmail_outbox.behave()
    door(letter(to="gone@example.org"))
    assert len(portmail_outbox) == 2


@DOORS
def test_a_submission_fails_as_ordered_and_is_not_tried_again(door: Door, portmail_outbox: Outbox) -> None:
    order = portmail.Unreachable("no way out", temporary=True)
    portmail_outbox.fail(order, times=2)
    for _ in range(2):
        with pytest.raises(portmail.Unreachable, match="no way out") as told:
            door(letter())
        assert told.value is not order
        assert "@" in told.value.message_id
    door(letter())
    portmail_outbox.fail(portmail.DiscoveryError("nobody knows"))
    for _ in range(2):
        with pytest.raises(portmail.DiscoveryError, match="nobody knows"):
            door(letter())
    portmail_outbox.behave()
    door(letter())
    assert len(portmail_outbox) == 2


def test_only_portmails_errors_can_be_ordered(portmail_outbox: Outbox) -> None:
    with pytest.raises(portmail.ConfigurationError, match="none of portmail's errors"):
        portmail_outbox.fail(OSError())  # type: ignore[arg-type]  # what is tested


def test_a_connection_is_ready_at_once(portmail_outbox: Outbox) -> None:
    with portmail.Submitter(host="mail.example.com") as mail:
        assert mail.connect().route.host == "mail.example.com"
        portmail_outbox.fail(portmail.Unreachable("no way out"), times=1)
        with pytest.raises(portmail.Unreachable):
            mail.connect()
    portmail_outbox.assert_nothing_sent()


def test_a_notice_without_a_sender_is_known_as_that(portmail_outbox: Outbox) -> None:
    portmail.Submitter(host="mail.example.com").send(letter(), sender="")
    [sent] = portmail_outbox.assert_sent(sender="")
    assert str(sent).startswith("from <> to ann@example.org")


HTML = portmail.compose(
    sender="Me <me@example.com>",
    to=["ann@example.org", "bob@example.org"],
    subject="Hello",
    text="plain words",
    html="<p>coloured words</p>",
)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"to": "ann@example.org"},
        {"to": ("Bob <bob@EXAMPLE.org>", "ann@example.org")},
        {"sender": "me@example.com"},
        {"sender": "bounce@example.com"},
        {"subject": "Hello", "text": "plain", "html": "coloured"},
        {"count": 1},
        {"subject": "Bye", "count": 0},
    ],
)
def test_what_was_sent_is_found(wanted: dict[str, object], portmail_outbox: Outbox) -> None:
    portmail.Submitter(host="mail.example.com").send(HTML, sender="bounce@example.com")
    found = portmail_outbox.assert_sent(**wanted)  # type: ignore[arg-type]  # a table of them
    assert found == (() if wanted.get("count") == 0 else portmail_outbox.messages)


@pytest.mark.parametrize(
    ("wanted", "differs"),
    [
        ({"to": ["ann@example.org", "eve@example.org"]}, "to"),
        ({"sender": "eve@example.org"}, "sender"),
        ({"sender": ""}, "sender"),
        ({"subject": "Hell"}, "subject"),
        ({"text": "coloured"}, "text"),
        ({"html": "plain", "to": "eve@example.org"}, "to, html"),
    ],
)
def test_what_was_not_sent_is_missed(
    wanted: dict[str, object], differs: str, portmail_outbox: Outbox
) -> None:
    portmail.Submitter(host="mail.example.com").send(HTML)
    with pytest.raises(AssertionError) as told:
        portmail_outbox.assert_sent(**wanted)  # type: ignore[arg-type]  # a table of them
    assert str(told.value).endswith(f"\n     differs in: {differs}")


def test_a_failure_tells_what_was_sent_and_what_was_not_accepted(portmail_outbox: Outbox) -> None:
    portmail_outbox.reject("gone@example.org")
    blocking(letter("=?utf-8?q?a=E2=80=AEb?="))  # a character that turns the order of letters round
    with pytest.raises(portmail.Rejected):
        blocking(letter(to="gone@example.org"))
    with pytest.raises(AssertionError) as told:
        portmail_outbox.assert_sent(to="gone@example.org", subject="Hello", count=1)
    assert str(told.value).splitlines() == [
        "a message to gone@example.org with the subject 'Hello' was sent 0 times, not 1",
        "Sent: 1",
        "  1. from me@example.com to ann@example.org",
        "     subject: a?b",
        "     text: Hello.",
        "     differs in: to, subject",
        "Not accepted:",
        "  to gone@example.org: RCPT: the server said: 550 5.1.1 no such user",
    ]
    with pytest.raises(AssertionError, match=r"something was sent\nSent: 1\n  1\. from me@example\.com"):
        portmail_outbox.assert_nothing_sent()
    portmail_outbox.clear()
    with pytest.raises(AssertionError, match=r"^a message was not sent\nSent: nothing$"):
        portmail_outbox.assert_sent()


# The sandbox.


def test_the_environment_names_the_sandbox(portmail_sandbox: Sandbox) -> None:
    portmail.send(to="ann@example.org", subject="Script", sender="me@example.com")
    with portmail.Submitter.from_env() as mail:
        mail.send(letter("Application"))
    command = [sys.executable, "-m", "portmail", "send", "--from", "me@example.com"]
    arguments = ["--to", "ann@example.org", "--subject", "Subprocess"]
    subprocess.run([*command, *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    subjects = [received.message["Subject"] for received in portmail_sandbox.messages]
    assert subjects == ["Script", "Application", "Subprocess"]


def test_without_trustme_the_sandbox_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in [name for name in sys.modules if name.startswith("portmail.sandbox")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trustme", None)
    install = re.escape('pip install "portmail[sandbox]"')
    with pytest.raises(pytest.fail.Exception, match=f"portmail_sandbox cannot be made: .*{install}"):
        request.getfixturevalue("portmail_sandbox")


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_has_a_fresh_sandbox(time: str, portmail_sandbox: Sandbox) -> None:
    assert not portmail_sandbox.messages
    portmail_sandbox.reject("ann@example.org")
    with pytest.raises(portmail.Rejected):
        portmail.send(to="ann@example.org", subject=time, sender="me@example.com")
    portmail.send(to="bob@example.org", subject=time, sender="me@example.com")


def test_the_outbox_has_it_whichever_was_asked_for_first(portmail_outbox: Outbox, no_mail: None) -> None:
    blocking(letter())
    portmail_outbox.assert_sent()
