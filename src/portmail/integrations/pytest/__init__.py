"""How does a test see the mail of its program? Fixtures: `portmail_sandbox`, `portmail_outbox`, `no_mail`.

| fixture            | what it is                                                                    |
|--------------------|-------------------------------------------------------------------------------|
| `portmail_sandbox` | a mail server on loopback, which the environment (PORTMAIL_URL) names          |
| `portmail_outbox`  | no server: what is sent is checked, kept, and answered by a receipt            |
| `no_mail`          | a test that would submit mail anywhere else fails, and says to whom            |

With `portmail_no_mail = true` in the ini file, nothing is submitted in the whole run, also by
fixtures of any scope, by threads that outlive their test, and at exit. What no test can be blamed
for fails the run. `portmail_no_mail_except = mailpit:1025` names servers that are there for tests.
A program that calls `pytest.main` may send when that has returned.

This module is loaded by every run of pytest where portmail is installed: it imports what it needs
when it is needed.
"""

from __future__ import annotations

import atexit
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from portmail.integrations.pytest.guard import Guard, Server
    from portmail.integrations.pytest.interception import Gate
    from portmail.integrations.pytest.outbox import Outbox
    from portmail.sandbox import Sandbox

_NAMES = ("portmail", __name__)
"""The plugin's names: by its entry point, and by `-p` or `pytest_plugins`."""

_NO_MAIL, _EXCEPT = "portmail_no_mail", "portmail_no_mail_except"

_ACCOUNT = ("PORTMAIL_USERNAME", "PORTMAIL_PASSWORD", "PORTMAIL_PASSWORD_FILE", "PORTMAIL_CA")
"""What belongs to the account that the environment named before, and may not be there for a test."""

_GATE = pytest.StashKey["Gate"]()


def pytest_plugin_registered(plugin: object, plugin_name: str, manager: pytest.PytestPluginManager) -> None:
    """Whoever asks for it once more, by its other name, has it already: pytest would stop with an error."""
    if getattr(plugin, "__name__", None) == __name__:
        for other in _NAMES:
            if other != plugin_name:
                manager.set_blocked(other)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings in the ini file."""
    told = "fail every test in which portmail or smtplib would submit mail to a real server"
    parser.addini(_NO_MAIL, told, type="bool", default=False)
    parser.addini(_EXCEPT, "servers of the tests, HOST:PORT or HOST, which no_mail lets through", type="args")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have `no_mail` in force for the whole run, if that is wished."""
    if not config.getini(_NO_MAIL):
        return
    gate, patch = _installed(config)
    gate.guard = guard = _guard(gate)
    config.stash[_GATE] = gate
    config.pluginmanager.register(_Run(gate, guard=guard), "portmail-no-mail")
    if _is_the_program(config):
        # What was begun may end after pytest: threads, log records. The gate stays as long as the process.
        atexit.register(_tell_the_rest, guard)
    else:
        config.add_cleanup(patch.undo)


def _is_the_program(config: pytest.Config) -> bool:
    """Whether this process ends with pytest, which was not called by a program or a test that goes on."""
    if hasattr(config, "workerinput"):  # of pytest-xdist
        return True
    callers = {frame.f_code.co_name.lstrip("_") for frame, _ in traceback.walk_stack(None)}
    return "console_main" in callers and "pytest_runtestloop" not in callers


def _tell_the_rest(guard: Guard) -> None:
    if (told := guard.take()) and sys.stderr is not None:
        sys.stderr.write(f"{told}\n")


class _Test:
    """Fails the test, whatever became of the exception that the program got."""

    def __init__(self, gate: Gate, *, guard: Guard) -> None:
        self._gate = gate
        self._guard = guard

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            self._gate.settle()
        if told := self._guard.take():
            _blame(report, told=told, item=item)
        return report


class _Run(_Test):
    """Fails each test, and the run where it was no test's doing. Other projects do not pay for it."""

    def __init__(self, gate: Gate, *, guard: Guard) -> None:
        super().__init__(gate, guard=guard)
        self._told: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Hear what pytest-xdist's worker has to tell."""
        self._told += getattr(node, "workeroutput", {}).get(_NO_MAIL, ())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._gate.settle()
        self._told += filter(None, [self._guard.take()])
        if self._told and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        getattr(session.config, "workeroutput", {})[_NO_MAIL] = self._told

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for told in self._told:
            terminalreporter.section("outside of the tests", red=True)
            terminalreporter.line(told)


@pytest.fixture
def portmail_sandbox(monkeypatch: pytest.MonkeyPatch, _portmail_gate: Gate) -> Iterator[Sandbox]:
    """A mail server on loopback, fresh for each test: real sockets, real TLS.

    The environment (PORTMAIL_URL, PORTMAIL_CA) names it: `portmail.send`, `Submitter.from_env`, and
    programs that the test starts, reach it. It misbehaves as it is told to, see `portmail.sandbox`.
    """
    try:
        from portmail.sandbox import Sandbox
    except ImportError as missing:
        pytest.fail(f"portmail_sandbox cannot be made: {missing}", pytrace=False)
    with Sandbox() as sandbox:
        _name(sandbox.url, monkeypatch=monkeypatch)
        monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
        ports = [sandbox.port(service) for service in (587, 465, 25)]
        servers = {(host, port) for host in (sandbox.host, "localhost") for port in ports}
        _portmail_gate.allowed |= servers
        yield sandbox
        _portmail_gate.settle()
        _portmail_gate.allowed -= servers


@pytest.fixture
def portmail_outbox(monkeypatch: pytest.MonkeyPatch, _portmail_gate: Gate) -> Iterator[Outbox]:
    """What this process sends in the test, by whichever submitter and in whichever thread.

    Nothing is connected or looked for. Messages are checked as for a real server, and what is wrong
    with them is raised. PORTMAIL_URL is set, and no password is needed.
    """
    from portmail.integrations.pytest.outbox import Outbox

    _name("submission://outbox.invalid", monkeypatch=monkeypatch)
    _portmail_gate.outbox = outbox = Outbox()
    yield outbox
    _portmail_gate.settle()
    _portmail_gate.outbox = None


@pytest.fixture
def no_mail(request: pytest.FixtureRequest, _portmail_gate: Gate) -> Iterator[None]:
    """Fail the test if it would submit mail, but into its `portmail_sandbox` or `portmail_outbox`.

    It fails also where the program swallows the error, or sends in another thread. Plain `smtplib`
    is seen, other libraries are not. Of a forked process it is stopped, but not told; programs that
    the test starts are not looked at.
    """
    if _portmail_gate.guard is not None:  # that of the whole run
        yield
        return
    _portmail_gate.guard = guard = _guard(_portmail_gate)
    plugins = request.config.pluginmanager
    plugins.register(watch := _Test(_portmail_gate, guard=guard))
    yield
    plugins.unregister(watch)
    _portmail_gate.settle()
    if told := guard.take():
        pytest.fail(told, pytrace=False)


@pytest.fixture
def _portmail_gate(request: pytest.FixtureRequest) -> Iterator[Gate]:
    """Stands in front of every submitter of the process, while the test lasts: that of the run, if any."""
    if (gate := request.config.stash.get(_GATE, None)) is not None:
        yield gate
        return
    gate, patch = _installed(request.config)
    yield gate
    patch.undo()


def _installed(config: pytest.Config) -> tuple[Gate, pytest.MonkeyPatch]:
    """A gate, and what takes it down. A test may undo all that its own `monkeypatch` did."""
    from portmail.integrations.pytest.interception import Gate, patches

    gate, patch = Gate(_servers(config.getini(_EXCEPT))), pytest.MonkeyPatch()
    for target, name, value in patches(gate):
        patch.setattr(target, name, value)
    return gate, patch


def _guard(gate: Gate) -> Guard:
    from portmail.integrations.pytest.guard import Guard

    return Guard(gate.allowed)


def _servers(named: Iterable[str]) -> Iterator[Server]:
    for text in named:
        host, colon, port = text.rpartition(":")
        if colon and not port.isdecimal():
            raise pytest.UsageError(f"{_EXCEPT}: {text!r}: write it like mailpit:1025, or mailpit")
        yield (host.lower(), int(port)) if colon else (text.lower(), 0)


def _name(url: str, *, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment name this account, and nothing of another one."""
    for name in _ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORTMAIL_URL", url)
    monkeypatch.setenv("PORTMAIL_CACHE", "off")


def _blame(report: pytest.TestReport, *, told: str, item: pytest.Item) -> None:
    """The test has failed, also one that was skipped, or expected to fail."""
    if report.failed:
        report.sections.append(("no_mail", told))
        return
    call = pytest.CallInfo.from_call(lambda: pytest.fail(told, pytrace=False), when=report.when)
    assert call.excinfo is not None
    report.outcome, report.longrepr = "failed", item.repr_failure(call.excinfo)
