"""Is what we promise there, and does it cost nothing until it is used?"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import portmail


def test_all_names_are_those_type_checkers_see_and_those_that_have_a_home() -> None:
    tree = ast.parse(Path(portmail.__file__).read_text("utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (str(node.module).removeprefix("portmail."), alias.name)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {(home, name) for home, names in portmail._HOMES.items() for name in names}
    assert seen == homes
    assert set(portmail.__all__) == {name for _, name in homes} | {"__version__"}
    assert len(portmail.__all__) == len(set(portmail.__all__))
    assert dir(portmail) == sorted(portmail.__all__)


@pytest.mark.parametrize("name", portmail.__all__)
def test_every_public_name_loads_from_its_home(name: str) -> None:
    value = getattr(portmail, name)
    if name != "__version__":
        assert value is getattr(import_module(f"portmail.{portmail._HOME[name]}"), name)
        assert value.__doc__


def test_a_name_that_is_not_public_is_told_like_any_other() -> None:
    with pytest.raises(AttributeError, match="module 'portmail' has no attribute 'Sender'"):
        portmail.Sender  # noqa: B018


def test_importing_portmail_loads_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import portmail; portmail.__version__, dir(portmail)\n"
        "loaded = set(sys.modules) - before\n"
        "assert loaded == {'portmail'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_catching_an_error_loads_no_library() -> None:
    program = (
        "import sys, portmail; portmail.DeliveryError, portmail.Rejected, portmail.Reply\n"
        "heavy = {'asyncio', 'email_validator', 'tenacity', 'aiosmtplib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
