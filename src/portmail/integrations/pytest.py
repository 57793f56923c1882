"""How does a test see the mail of its program? Fixtures: `portmail_sandbox`, `portmail_outbox`, `no_mail`.

| fixture            | what it is                                                                    |
|--------------------|-------------------------------------------------------------------------------|
| `portmail_sandbox` | a mail server on loopback, which the environment (PORTMAIL_URL) names          |
| `portmail_outbox`  | no server: what is sent is checked, kept, and answered by a receipt            |
| `no_mail`          | a test that would submit mail anywhere else fails, and says to whom            |

With `portmail_no_mail = true` in the ini file, `no_mail` is in force in every test. This module is
loaded by every run of pytest where portmail is installed: it imports what it needs when a test
needs it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from portmail.integrations.interception import Gate, Guard
    from portmail.integrations.outbox import Outbox
    from portmail.sandbox import Sandbox

_NAMES = ("portmail", __name__)
"""The plugin's names: by its entry point, and by `-p` or `pytest_plugins`."""

_GUARD = pytest.StashKey["Guard"]()

Servers = set[tuple[str, int]]


def pytest_plugin_registered(plugin: object, plugin_name: str, manager: pytest.PytestPluginManager) -> None:
    """Whoever asks for it once more, by its other name, has it already: pytest would stop with an error."""
    if getattr(plugin, "__name__", None) == __name__:
        for other in _NAMES:
            if other != plugin_name:
                manager.set_blocked(other)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting in the ini file."""
    told = "fail every test in which portmail would submit mail to a real server"
    parser.addini("portmail_no_mail", told, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Have `no_mail` in every test, if that is wished."""
    if config.getini("portmail_no_mail"):
        config.pluginmanager.register(_Everywhere(), "portmail-no-mail")


class _Everywhere:
    """A plugin of its own: other projects do not pay for a fixture in each test."""

    @pytest.fixture(autouse=True)
    def _portmail_no_mail(self, no_mail: None) -> None:
        pass


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test, whatever became of the exception that the program got."""
    guard = item.stash.get(_GUARD, None)
    if guard is None:
        return (yield)
    try:
        result = yield
    except BaseException as error:
        if told := guard.take():
            error.add_note(told)
        raise
    _fail_if(guard)
    return result


@pytest.fixture
def portmail_sandbox(monkeypatch: pytest.MonkeyPatch, _portmail_servers: Servers) -> Iterator[Sandbox]:
    """A mail server on loopback, fresh for each test: real sockets, real TLS.

    The environment (PORTMAIL_URL, PORTMAIL_CA) names it: `portmail.send`, `Submitter.from_env`, and
    programs that the test starts, reach it. It misbehaves as it is told to, see `portmail.sandbox`.
    """
    try:
        from portmail.sandbox import Sandbox
    except ImportError as missing:
        pytest.fail(f"portmail_sandbox cannot be made: {missing}", pytrace=False)
    with Sandbox() as sandbox:
        monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
        monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
        monkeypatch.setenv("PORTMAIL_CACHE", "off")
        ports = [sandbox.port(service) for service in (587, 465, 25)]
        _portmail_servers.update((host, port) for host in (sandbox.host, "localhost") for port in ports)
        yield sandbox


@pytest.fixture
def portmail_outbox(monkeypatch: pytest.MonkeyPatch, _portmail_gate: Gate) -> Outbox:
    """What this process sends in the test, by whichever submitter and in whichever thread.

    Nothing is connected or looked for. Messages are checked as for a real server, and what is wrong
    with them is raised. Where PORTMAIL_URL is not set, it is set.
    """
    from portmail.integrations.outbox import Outbox

    if not os.environ.get("PORTMAIL_URL"):
        monkeypatch.setenv("PORTMAIL_URL", "submission://outbox.invalid")
    monkeypatch.setenv("PORTMAIL_CACHE", "off")
    _portmail_gate.outbox = Outbox()
    return _portmail_gate.outbox


@pytest.fixture
def no_mail(
    request: pytest.FixtureRequest, _portmail_gate: Gate, _portmail_servers: Servers
) -> Iterator[None]:
    """Fail the test if it would submit mail, but into its `portmail_sandbox` or `portmail_outbox`.

    It fails also where the program swallows the error, or sends in another thread. Programs that
    the test starts are not looked at.
    """
    from portmail.integrations.interception import Guard

    guard = _portmail_gate.guard = request.node.stash[_GUARD] = Guard(_portmail_servers)
    yield
    _fail_if(guard)


@pytest.fixture
def _portmail_servers() -> Servers:
    """The servers of this test: host and port."""
    return set()


@pytest.fixture
def _portmail_gate() -> Iterator[Gate]:
    """Stands in front of every submitter of the process, while the test lasts."""
    from portmail.integrations.interception import Gate, patches

    gate = Gate()
    # Its own: a test may undo all that `monkeypatch` did.
    with pytest.MonkeyPatch.context() as patch:
        for target, name, value in patches(gate):
            patch.setattr(target, name, value)
        yield gate


def _fail_if(guard: Guard) -> None:
    if told := guard.take():
        pytest.fail(told, pytrace=False)
