"""Do the fixtures show what a program sends, and does a test fail that would really send?

What must pass is tested here with the fixtures themselves; what must fail, by pytest in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import portmail
from portmail.integrations.interception import Guard, StandIn
from portmail.integrations.outbox import Outbox
from portmail.job import Job
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.security import Security
from portmail.settings import from_arguments
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts

pytest_plugins = ["portmail.integrations.pytest"]

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGIN = "portmail.integrations.pytest"
PLUGINS = (PLUGIN,)
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


def test_an_account_that_is_set_stays(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", "submission://mail.example.net")
    request.getfixturevalue("portmail_outbox")
    receipt = portmail.send(to="ann@example.org", subject="Hello", sender="me@example.com")
    assert receipt.route.host == "mail.example.net"


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


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_has_a_fresh_sandbox(time: str, portmail_sandbox: Sandbox) -> None:
    assert not portmail_sandbox.messages
    portmail_sandbox.reject("ann@example.org")
    with pytest.raises(portmail.Rejected):
        portmail.send(to="ann@example.org", subject=time, sender="me@example.com")
    portmail.send(to="bob@example.org", subject=time, sender="me@example.com")


# In a process of its own.


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Where pytest runs with this plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PORTMAIL_FROM", "me@example.com")
    monkeypatch.setenv("PORTMAIL_URL", "submission://127.0.0.1:1")
    monkeypatch.delenv("PORTMAIL_CACHE")
    return pytester


def ran(inner: pytest.Pytester, *, plugins: Sequence[str] = PLUGINS) -> pytest.RunResult:
    options = [option for plugin in plugins for option in ("-p", plugin)]
    return inner.runpytest_subprocess(*options, "-p", "no:cacheprovider", "-W", "error")


SUBMITS = """
import asyncio, threading
import pytest
import portmail
from portmail import opening, route

LETTER = b"From: me@example.com\\r\\nTo: ann@example.org, bob@example.org\\r\\n\\r\\n"

def swallowed(do, *arguments):
    try:
        do(*arguments)
    except Exception:
        pass

def send():
    portmail.send(to="ann@example.org", subject="Hello")

def submitter():
    return portmail.Submitter.from_env()
"""

CAUGHT = """
pytestmark = pytest.mark.usefixtures("no_mail")
kept = []

def test_swallowed():
    swallowed(send)

def test_thread():
    thread = threading.Thread(target=swallowed, args=[send])
    thread.start()
    thread.join()

def test_many():
    [result] = submitter().send_many([LETTER])
    assert isinstance(result.error, portmail.Unreachable)

def test_connect():
    swallowed(submitter().connect)

def test_address_alone():
    swallowed(portmail.Submitter("me@example.invalid", password="x").send, LETTER)

def test_by_another_way():
    swallowed(asyncio.run, opening.dial(route.Route("127.0.0.1", 1, "starttls"), seconds=1))

def test_another_sandbox():
    from portmail.sandbox import Sandbox
    with Sandbox() as other:
        swallowed(portmail.Submitter.from_url(other.url, tls_ca=other.ca).send, LETTER)
        kept.append(other.sessions)
    assert kept == [()]

def test_raised():
    send()

def test_fails_for_another_reason():
    swallowed(send)
    assert kept == ["something"]

@pytest.fixture
def sends_at_its_end(no_mail):
    yield
    swallowed(send)

def test_passes_and_sends_when_it_is_over(sends_at_its_end):
    pass
"""


def test_whatever_would_submit_mail_fails_and_says_to_whom(inner: pytest.Pytester) -> None:
    inner.makepyfile(SUBMITS + CAUGHT)
    result = ran(inner)
    result.assert_outcomes(failed=9, passed=1, errors=1)
    assert result.stdout.str().count("no_mail: this test would have submitted mail:\n") == 10
    one = "to ann@example.org (from me@example.com), by 127.0.0.1:1 starttls"
    both = "  to ann@example.org, bob@example.org (from me@example.com), by "
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_passes_and_sends_when_it_is_over*",
            f"  {one}",
            "*_ test_swallowed _*",
            f"  {one}",
            "What to do: have the test ask for portmail_outbox, or for portmail_sandbox.",
            "*_ test_thread _*",
            f"  {one}",
            "*_ test_many _*",
            f"{both}127.0.0.1:1 starttls",
            "*_ test_connect _*",
            "  a connection for later messages, by 127.0.0.1:1 starttls",
            "*_ test_address_alone _*",
            f"{both}the server that is found for it",
            "*_ test_by_another_way _*",
            "  a connection to 127.0.0.1:1 starttls",
            "*_ test_another_sandbox _*",
            f"{both}127.0.0.1:* starttls",
            "*_ test_raised _*",
            f"E *{one}",
            "*_ test_fails_for_another_reason _*",
            "E *AssertionError: assert*",
            f"E *{one}",
        ]
    )


def test_one_route_to_somebody_else_is_one_too_many() -> None:
    here, elsewhere = (Route("127.0.0.1", port, Security.STARTTLS) for port in (5870, 587))
    guard = Guard({("127.0.0.1", 5870)})
    assert guard.allows([here])
    assert not guard.allows([here, elsewhere])
    assert not guard.allows([])


EVERYWHERE = """
def test_caught():
    swallowed(send)

def test_sandbox(portmail_sandbox):
    send()
    url = portmail_sandbox.url.replace("127.0.0.1", "localhost")
    portmail.send(to="ann@example.org", subject="Hello", url=url)
    submitter().connect()
    assert len(portmail_sandbox.messages) == 2

def test_outbox(portmail_outbox):
    send()
    assert len(portmail_outbox) == 1

class TestWithMailpit:
    @pytest.fixture
    def no_mail(self):
        pass

    def test_is_allowed(self):
        with pytest.raises(portmail.Unreachable, match="connection refused"):
            portmail.send(to="ann@example.org", subject="Hello", retry=None)
"""


def test_a_project_forbids_it_everywhere_but_where_it_is_expected(inner: pytest.Pytester) -> None:
    inner.makeini("[pytest]\naddopts = --strict-config --strict-markers\nportmail_no_mail = true")
    inner.makepyfile(SUBMITS + EVERYWHERE)
    result = ran(inner)
    result.assert_outcomes(failed=1, passed=3)
    result.stdout.fnmatch_lines(["FAILED *::test_caught*"])


def test_the_outbox_has_it_whichever_was_asked_for_first(portmail_outbox: Outbox, no_mail: None) -> None:
    blocking(letter())
    portmail_outbox.assert_sent()


def test_without_trustme_the_sandbox_says_what_to_install(inner: pytest.Pytester) -> None:
    inner.makeconftest("import sys; sys.modules['trustme'] = None")
    inner.makepyfile("def test_it(portmail_sandbox): pass\ndef test_that(portmail_outbox, no_mail): pass")
    result = ran(inner)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["portmail_sandbox cannot be made: *"])
    assert 'pip install "portmail[sandbox]"' in result.stdout.str()


OFFLINE = """
import ssl, sys
import portmail

def hook(event, arguments):
    assert event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"), event

def test_it(portmail_outbox, monkeypatch):
    sys.addaudithook(hook)
    monkeypatch.delattr(ssl, "create_default_context")
    portmail.send(to="ann@example.org", subject="Hello")
    for address in ("me@example.com", "me@gmail.com"):
        with portmail.Submitter(address, password="x") as mail:
            mail.send(b"To: ann@example.org\\r\\n\\r\\n")
    assert len(portmail_outbox) == 3
    try:
        portmail.Submitter(host="mail.example.com", tls_ca="nowhere.pem")
    except portmail.CertificateFileError:
        pass
    else:
        raise AssertionError
"""


def test_the_outbox_connects_nowhere_and_reads_no_trust_store(inner: pytest.Pytester) -> None:
    inner.makepyfile(OFFLINE)
    ran(inner).assert_outcomes(passed=1)


def test_afterwards_everything_is_as_it_was(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import os
        from portmail import opening, submitter
        from portmail.pools import Pools

        def state():
            return (Pools.here, Pools.now, opening.dial, submitter.verified_context, submitter.verifying,
                    dict(os.environ, PYTEST_CURRENT_TEST=""))

        before = state()

        def test_first(portmail_outbox, portmail_sandbox, no_mail, monkeypatch):
            assert os.environ["PORTMAIL_CACHE"] == "off"
            assert not any(one == other for one, other in zip(before, state()))
            monkeypatch.undo()
            assert Pools.here != before[0]

        def test_second():
            assert state() == before
        """
    )
    ran(inner).assert_outcomes(passed=2)


def test_the_plugin_loads_nothing_before_a_fixture_is_asked_for() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import portmail.integrations.pytest\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["portmail", "portmail.integrations", PLUGIN]


OTHERS = ("no:hypothesispytest", "no:xdist", "no:xdist.looponfail", "no:timeout", "no:anyio")


@pytest.mark.parametrize("plugins", [(), PLUGINS])
def test_who_asks_for_what_is_installed_has_it_once(
    plugins: Sequence[str], inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = inner.mkdir("installed-1.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\nportmail = {PLUGIN}\n")
    monkeypatch.setenv("PYTHONPATH", str(inner.path), prepend=os.pathsep)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    inner.makeconftest(f"pytest_plugins = [{PLUGIN!r}]")
    inner.makepyfile("def test_it(portmail_outbox): pass")
    ran(inner, plugins=(*plugins, *OTHERS)).assert_outcomes(passed=1)


def test_the_example_passes(inner: pytest.Pytester) -> None:
    inner.makepyfile(test_signup=(EXAMPLES / "test_signup.py").read_text("utf-8"))
    ran(inner).assert_outcomes(passed=4)
