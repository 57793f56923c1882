"""Fixtures for the diagnosis: the street, which all tests of a process share."""

from collections.abc import Iterator

import pytest

from tests.servers.requirements import require
from tests.servers.street import Street, street, unavailable
from tests.servers.street.client import Client, living


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """A real small network, with a firewall in it."""
    require(unavailable())
    with street(tmp_path_factory.mktemp("street")) as there:
        yield there


@pytest.fixture(scope="module")
def client(road: Street) -> Iterator[Client]:
    """Somebody at home."""
    with living(road) as somebody:
        yield somebody
