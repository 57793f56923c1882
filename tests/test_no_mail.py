"""Does a test fail that would really send, and does nothing leave? pytest, in processes of its own."""

from __future__ import annotations

import os
import re
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from portmail import Submitter
from portmail.cause import Cause
from portmail.dialing import Address, connect
from portmail.failure import Failure, Phase, RouteFailed
from portmail.integrations.pytest.guard import Guard, server_of
from portmail.integrations.pytest.interception import Gate, patches
from portmail.pools import Pools
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.security import Security

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGIN = "portmail.integrations.pytest"


def test_one_route_to_somebody_else_is_one_too_many() -> None:
    here, elsewhere = (Route("127.0.0.1", port, Security.STARTTLS) for port in (5870, 587))
    guard = Guard({("127.0.0.1", 5870)})
    assert guard.allows([here])
    assert not guard.allows([here, elsewhere])
    assert not guard.allows([])


def test_a_host_may_be_allowed_as_a_whole() -> None:
    guard = Guard({("mailpit", 0)})
    assert guard.allows([Route("Mailpit", port, Security.STARTTLS) for port in (25, 587)])
    assert not guard.allows([Route("mailpit.example", 587, Security.STARTTLS)])


@pytest.mark.parametrize(
    ("host", "port", "where"),
    [
        ("localhost", 0, ("localhost", 25)),
        ("localhost", 1025, ("localhost", 1025)),
        ("localhost:2525", 0, ("localhost", 2525)),
        ("localhost:2525", 1025, ("localhost:2525", 1025)),
        ("::1", 0, ("::1", 25)),
        ("localhost:smtp", 0, ("localhost:smtp", 25)),
    ],
)
def test_it_is_known_where_smtplib_connects_to(host: str, port: int, where: tuple[str, int]) -> None:
    assert server_of(smtplib.SMTP(), host, port=port) == where


def test_a_check_looks_at_the_tests_own_ports_alone(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """Neither at the usual ones of the same host, nor whether it is alive."""
    seen: list[int] = []

    async def watched(addresses: Sequence[Address], *, seconds: float) -> socket.socket:
        seen.extend(address.sockaddr[1] for address in addresses)
        return await connect(addresses, seconds=seconds)

    for place in ("portmail.checking.connect", "portmail.probing.connect"):
        monkeypatch.setattr(place, watched)
    gate = Gate({("127.0.0.1", sandbox.port(465))})
    gate.guard = Guard(gate.allowed)
    for where, name, stand_in in patches(gate):
        monkeypatch.setattr(where, name, stand_in)
    with Submitter.from_url(sandbox.url_for(465), tls_ca=sandbox.ca) as mail:
        assert mail.check().can_send
        assert seen == [sandbox.port(465)]
        gate.guard = None  # where everything is allowed, all are looked at
        monkeypatch.setattr("portmail.probing.connect", refused)
        monkeypatch.setattr("portmail.checking.connect", refused)
        assert {it.route.port for it in mail.check().probes} > {25, 465, 587}


async def refused(*_: object, **__: object) -> socket.socket:
    raise RouteFailed(Failure(Phase.CONNECT, Cause.REFUSED))


# In a process of its own.


class Ran(NamedTuple):
    """What became of a run: what happened to each test, by how it is called."""

    code: int
    out: str
    err: str

    def of(self, file: str) -> dict[str, str]:
        """How the tests of a file ended."""
        told = re.findall(rf"^(PASSED|FAILED|ERROR|XFAIL|SKIPPED) {file}\.py::(\S+)", self.out, re.MULTILINE)
        return {name: outcome for outcome, name in told}

    def section(self, title: str) -> str:
        """What is told under a heading."""
        begun = self.out.split(f" {title} ", 1)[1].split("\n", 1)[1]
        return re.split(r"^(?:_{3,}|={3,}) ", begun, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.fixture(scope="module")
def outside() -> Iterator[Sandbox]:
    """A server to which a test must not send, and would."""
    with Sandbox() as server:
        yield server


def environment(server: Sandbox, **more: str) -> dict[str, str]:
    known = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    account = {"PORTMAIL_URL": server.url, "PORTMAIL_CA": str(server.ca), "PORTMAIL_FROM": "me@example.com"}
    return {**known, **account, **more}


def run(folder: Path, *command: str, **environ: str) -> Ran:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


OPTIONS = ("-rA", "--tb=short", "-p", "no:cacheprovider", "--strict-config", "--strict-markers")

SUBMITS = """
import asyncio, logging, smtplib, threading, unittest
import pytest
import portmail
from portmail import opening, route
from portmail.integrations.logging import MailHandler

LETTER = b"From: me@example.com\\r\\nTo: ann@example.org, bob@example.org\\r\\n\\r\\n"

def swallowed(do, *arguments):
    try:
        do(*arguments)
    except Exception:
        pass

def send(to="ann@example.org"):
    portmail.send(to=to, subject="Hello")

def submitter():
    return portmail.Submitter.from_env()
"""

CAUGHT = """
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

def test_check():
    swallowed(submitter().check)

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

def test_smtplib():
    swallowed(smtplib.SMTP, "127.0.0.1:1")

def test_smtplib_with_tls():
    swallowed(smtplib.SMTP_SSL, "127.0.0.1", 1)

def test_raised():
    send()

def test_fails_for_another_reason():
    swallowed(send)
    assert kept == ["something"]

def test_skipped():
    swallowed(send)
    pytest.skip("no time")

@pytest.mark.xfail
def test_expected_to_fail():
    send()

class TestOld(unittest.TestCase):
    def test_skipped(self):
        swallowed(send)
        self.skipTest("no time")

def test_log_record():
    logger = logging.getLogger("app")
    logger.addHandler(handler := MailHandler(to="ann@example.org"))
    logger.error("broken")
    logger.removeHandler(handler)

@pytest.fixture
def sends_at_its_end(no_mail):
    yield
    swallowed(send)

def test_passes_and_sends_when_it_is_over(sends_at_its_end):
    pass
"""

BY_A_FIXTURE = SUBMITS + "pytestmark = pytest.mark.usefixtures('no_mail')\n" + CAUGHT

AFTERWARDS = """
import os, smtplib
from portmail import checking, door, opening
from portmail.integrations.logging.posting import Post
from portmail.pools import Pools

def state():
    return (Pools.here, Pools.now, opening.dial, door.verified_context, door.verifying,
            door.Door._check, checking.routes_to_probe, checking._alive,
            Post.keep, smtplib.SMTP.connect, dict(os.environ, PYTEST_CURRENT_TEST=""))

before, plugins = state(), []

def test_before(pytestconfig):
    plugins.extend(pytestconfig.pluginmanager.get_plugins())

def test_first(portmail_outbox, portmail_sandbox, no_mail, monkeypatch):
    assert os.environ["PORTMAIL_CACHE"] == "off"
    assert not any(one == other for one, other in zip(before, state()))
    monkeypatch.undo()
    assert Pools.here != before[0]

def test_second(pytestconfig):
    assert state() == before
    assert pytestconfig.pluginmanager.get_plugins() == set(plugins)
"""

OFFLINE = """
import ssl, sys
import portmail

watching = []

def hook(event, arguments):
    if watching:
        assert event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"), event

sys.addaudithook(hook)

def test_it(portmail_outbox, monkeypatch):
    monkeypatch.delattr(ssl, "create_default_context")
    watching.append(True)
    portmail.send(to="ann@example.org", subject="Hello")
    with portmail.Submitter.from_env() as mail:
        try:
            mail.check()
        except portmail.ConfigurationError as error:
            assert "outbox" in str(error)
        else:
            raise AssertionError
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
    watching.clear()
"""

LOGS = """
import logging
from portmail.integrations.logging import MailHandler

handler = MailHandler(to="ops@example.org")

def test_a_record(portmail_outbox):
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").error("broken")
"""


@pytest.fixture(scope="module")
def by_fixtures(outside: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A project that asks for fixtures; the plugin is installed, and asked for in two other ways."""
    folder = tmp_path_factory.mktemp("by_fixtures")
    info = folder / "installed-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\nportmail = {PLUGIN}\n")
    (folder / "conftest.py").write_text(f"pytest_plugins = [{PLUGIN!r}]\n")
    signup = (EXAMPLES / "test_signup.py").read_text("utf-8")
    files = {
        "a_first": OFFLINE,
        "afterwards": AFTERWARDS,
        "caught": BY_A_FIXTURE,
        "logs": LOGS,
        "signup": signup,
    }
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, "utf-8")
    others = ("hypothesispytest", "xdist", "xdist.looponfail", "timeout", "anyio")
    options = [f"-pno:{other}" for other in others]
    environ = environment(outside, PYTHONPATH=str(folder))
    return run(folder, "-m", "pytest", *OPTIONS, *options, "-p", PLUGIN, "-W", "error", **environ)


def told_of(ran: Ran, *, server: Sandbox) -> None:
    """Each test of `CAUGHT` has failed, and it is told what it would have sent."""
    starttls = f"127.0.0.1:{server.port(587)} starttls"
    one = f"to ann@example.org (from me@example.com), by {starttls}"
    both = "to ann@example.org, bob@example.org (from me@example.com), by"
    told = {
        "test_swallowed": one,
        "test_thread": one,
        "test_many": f"{both} {starttls}",
        "test_connect": f"a connection for later messages, by {starttls}",
        "test_check": f"a check of {starttls}",
        "test_address_alone": f"{both} the server that is found for it",
        "test_by_another_way": "a connection to 127.0.0.1:1 starttls",
        "test_another_sandbox": f"{both} 127.0.0.1:",
        "test_smtplib": "a connection of smtplib to 127.0.0.1:1",
        "test_smtplib_with_tls": "a connection of smtplib to 127.0.0.1:1",
        "test_raised": one,
        "test_fails_for_another_reason": one,
        "test_skipped": one,
        "test_expected_to_fail": one,
        "TestOld.test_skipped": one,
        "ERROR at teardown of test_log_record": one,
        "ERROR at teardown of test_passes_and_sends_when_it_is_over": one,
    }
    for title, what in told.items():
        assert f"no_mail: mail would have been submitted:\n  {what}" in ran.section(title), title
    assert "What to do: have the test ask for portmail_outbox" in ran.section("test_swallowed")
    assert not {"PASSED", "SKIPPED", "XFAIL"} & {
        how for name, how in ran.of("test_caught").items() if f"ERROR at teardown of {name}" not in told
    }


def test_whatever_would_submit_mail_fails_and_says_to_whom(by_fixtures: Ran, outside: Sandbox) -> None:
    told_of(by_fixtures, server=outside)


def test_the_outbox_connects_nowhere_and_reads_no_trust_store(by_fixtures: Ran) -> None:
    assert by_fixtures.of("test_a_first") == {"test_it": "PASSED"}


def test_afterwards_everything_is_as_it_was(by_fixtures: Ran) -> None:
    assert [*by_fixtures.of("test_afterwards").values()] == ["PASSED"] * 3


def test_the_example_passes(by_fixtures: Ran) -> None:
    assert list(by_fixtures.of("test_signup").values()) == ["PASSED"] * 4


def test_what_a_test_with_an_outbox_logs_is_not_mailed_when_it_is_over(
    by_fixtures: Ran, outside: Sandbox
) -> None:
    assert by_fixtures.of("test_logs") == {"test_a_record": "PASSED"}
    assert [
        received.recipients for received in outside.messages if "ops@example.org" in received.recipients
    ] == []


def test_the_plugin_loads_nothing_before_a_fixture_is_asked_for() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import portmail.integrations.pytest\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["portmail", "portmail.integrations", PLUGIN]


# With the setting in the ini file.

A_CONFTEST = (
    SUBMITS
    + """
@pytest.fixture
def no_mail():
    "The project's own, which has nothing to do with it."

def pytest_sessionfinish():
    swallowed(send, "finish@example.org")
"""
)

A_PROJECT = """
urls = []

@pytest.fixture(scope="session")
def application():
    swallowed(send, "session@example.org")

def setup_module():
    swallowed(send, "module@example.org")

class TestOld(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        swallowed(send, "class@example.org")

    def test_class(self):
        pass

def test_fixture(application):
    pass

def test_sandbox(portmail_sandbox):
    send()
    url = portmail_sandbox.url.replace("127.0.0.1", "localhost")
    portmail.send(to="ann@example.org", subject="Hello", url=url)
    submitter().connect()
    record = logging.makeLogRecord({"name": "app", "levelno": 40, "msg": "broken"})
    MailHandler(to="ops@example.org").handle(record)
    assert len(portmail_sandbox.messages) == 2
    urls.append(portmail_sandbox.url)

def test_outbox(portmail_outbox):
    send()
    assert len(portmail_outbox) == 1

def test_sandbox_of_an_earlier_test():
    swallowed(lambda: portmail.send(to="ann@example.org", subject="Hello", url=urls[0]))

def test_outbox_is_none_of_smtplibs(portmail_outbox):
    swallowed(smtplib.SMTP, "127.0.0.1", 1)

def after_the_main_thread():
    threading.main_thread().join()
    swallowed(send, "late@example.org")

def test_thread_that_is_left():
    threading.Thread(target=after_the_main_thread).start()

def test_allowed():
    import os
    portmail.send(to="allowed@example.org", subject="Hello", url=os.environ["ALLOWED"])
"""


@pytest.fixture(scope="module")
def everywhere(outside: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A project with the setting, and with one server that is there for tests."""
    folder = tmp_path_factory.mktemp("everywhere")
    allowed = f"portmail_no_mail_except = mailpit 127.0.0.1:{outside.port(25)}"
    (folder / "pytest.ini").write_text(f"[pytest]\nportmail_no_mail = true\n{allowed}\n")
    (folder / "conftest.py").write_text(A_CONFTEST)
    (folder / "test_caught.py").write_text(SUBMITS + CAUGHT)
    (folder / "test_project.py").write_text(SUBMITS + A_PROJECT)
    environ = environment(outside, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", ALLOWED=outside.url_for(25))
    return run(folder, "-m", "pytest", *OPTIONS, "-p", PLUGIN, "-W", "error", **environ)


def test_a_setting_forbids_it_everywhere_whatever_the_projects_own_fixtures_are_called(
    everywhere: Ran, outside: Sandbox
) -> None:
    told_of(everywhere, server=outside)


def test_what_is_sent_before_a_test_by_a_fixture_of_any_scope_fails_it(everywhere: Ran) -> None:
    setup = everywhere.section("ERROR at setup of TestOld.test_class")
    assert "  to module@example.org (" in setup
    assert "  to class@example.org (" in setup
    assert "  to session@example.org (" in everywhere.section("ERROR at setup of test_fixture")


def test_it_may_be_sent_where_it_is_expected(everywhere: Ran) -> None:
    outcomes = everywhere.of("test_project")
    assert outcomes.pop("test_outbox_is_none_of_smtplibs") == "FAILED"
    assert outcomes.pop("test_sandbox_of_an_earlier_test") == "FAILED"
    assert outcomes == {
        "TestOld::test_class": "ERROR",
        "test_fixture": "ERROR",
        "test_sandbox": "PASSED",
        "test_outbox": "PASSED",
        "test_thread_that_is_left": "PASSED",
        "test_allowed": "PASSED",
    }


def test_what_a_test_with_a_sandbox_logs_is_mailed_as_long_as_there_is_one(everywhere: Ran) -> None:
    assert "ca.pem: No such file" not in everywhere.out + everywhere.err


def test_what_is_sent_after_the_tests_is_told_too(everywhere: Ran) -> None:
    assert "  to finish@example.org (" in everywhere.section("outside of the tests")
    assert "no_mail: mail would have been submitted:\n  to late@example.org (" in everywhere.err
    assert everywhere.code == 1


def test_nothing_really_arrived(by_fixtures: Ran, everywhere: Ran, outside: Sandbox) -> None:
    assert [received.recipients for received in outside.messages] == [("allowed@example.org",)]


A_PROGRAM = """
import os, sys
import pytest
import portmail

if __name__ == "__main__":
    print("code", int(pytest.main(sys.argv[1:])))
    portmail.send(to="program@example.org", subject="Tests failed", url=os.environ["ALLOWED"])
"""


def test_a_worker_tells_what_no_test_did_and_who_called_pytest_may_send(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nportmail_no_mail = true\n")
    (tmp_path / "conftest.py").write_text(A_CONFTEST)
    (tmp_path / "test_nothing.py").write_text("def test_it(): pass\n")
    (tmp_path / "program.py").write_text(A_PROGRAM)
    with Sandbox() as server:
        environ = environment(server, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", ALLOWED=server.url_for(25))
        ran = run(tmp_path, "program.py", *OPTIONS, "-p", PLUGIN, "-p", "xdist", "-n1", **environ)
        arrived = [received.recipients for received in server.messages]
    assert ran.of("test_nothing") == {"test_it": "PASSED"}
    assert ran.out.count("  to finish@example.org (") == 2  # the worker's and the controller's
    assert "code 1\n" in ran.out
    assert arrived == [("program@example.org",)]


def test_a_run_within_a_run_takes_its_gate_down(pytester: pytest.Pytester) -> None:
    before = Pools.here, Pools.now, smtplib.SMTP.connect
    pytester.makeini("[pytest]\nportmail_no_mail = true")
    pytester.makepyfile(
        """
        import smtplib
        import pytest

        def test_it():
            with pytest.raises(ConnectionRefusedError, match="no_mail is in force"):
                smtplib.SMTP("127.0.0.1", 1)
        """
    )
    result = pytester.runpytest_inprocess("-p", PLUGIN)
    result.assert_outcomes(failed=1)
    assert (Pools.here, Pools.now, smtplib.SMTP.connect) == before


def test_a_server_that_cannot_be_understood_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nportmail_no_mail = true\nportmail_no_mail_except = mailpit:smtp")
    result = pytester.runpytest_inprocess("-p", PLUGIN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*portmail_no_mail_except: 'mailpit:smtp': write it like mailpit:1025*"])
