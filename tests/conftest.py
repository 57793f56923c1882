"""Fixtures shared by all tests."""

import gc
import os
import sys
import threading
from collections.abc import Iterator

import pytest
import trustme

from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER
from tests.servers.postfix import WILD_PASSWORD, Postfix, running, unavailable
from tests.servers.requirements import require

pytest_plugins = ["pytester"]

# No test finds what another one left behind, or what the user has.
os.environ["PORTMAIL_CACHE"] = "off"

# Nor is it told in the user's language.
os.environ |= dict.fromkeys(("LANGUAGE", "LC_ALL", "LC_MESSAGES"), "") | {"LANG": "C.UTF-8"}


def pytest_collection_finish() -> None:
    """Take what was collected out of the garbage collector's rounds: it stays to the end."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One authority that nobody has, in place of the system's hundred: they take 40 ms to read.

    Some programs that are started with an environment of their own read the system's.
    """
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="module", autouse=True)
def nothing_shared() -> Iterator[None]:
    """What frameworks share in a process ends with the tests of a file: others count threads."""
    yield
    if shared := sys.modules.get("portmail.integrations.shared"):
        shared.forget()
    if any(thread.name == "portmail" for thread in threading.enumerate()):
        gc.collect()  # a submitter in a cycle, such as a traceback's, keeps its thread


@pytest.fixture(autouse=True)
def nothing_learnt() -> Iterator[None]:
    """No test knows which routes were open in another one."""
    yield
    if learnt := sys.modules.get("portmail.route_memory"):
        learnt._memory.cache_clear()


@pytest.fixture(scope="session")
def postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postfix]:
    """A real Postfix, started once for all tests."""
    require(unavailable())
    users = {"me@example.org": "correct horse", "wild": WILD_PASSWORD}
    with running(tmp_path_factory.mktemp("postfix"), users=users) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The embedded server, fresh for each test."""
    with Sandbox(users={USER: PASSWORD}) as server:
        yield server
