"""Fixtures for discovery: the island, which all tests of a process share."""

from collections.abc import Iterator

import pytest

from tests.servers.island import Island, island, unavailable
from tests.servers.requirements import require


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    """A small internet that nothing leaves."""
    require(unavailable())
    with island(tmp_path_factory.mktemp("island")) as there:
        yield there


@pytest.fixture(autouse=True, scope="module")
def nobody_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No lookup leaves, and nothing of the user's is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portmail.pinning.World", None)
        patch.setenv("PORTMAIL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
