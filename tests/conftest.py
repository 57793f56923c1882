"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator

import pytest

from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER
from tests.servers.postfix import WILD_PASSWORD, Postfix, running, unavailable
from tests.servers.requirements import require

# No test finds what another one left behind, or what the user has.
os.environ["PORTMAIL_CACHE"] = "off"


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
