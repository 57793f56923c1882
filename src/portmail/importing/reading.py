"""Whose settings can be read? A table: each program with its module and the options that are for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a program that is not asked for is not loaded
    from portmail.importing.found import Asked, Found


class Reader(NamedTuple):  # made faster than a dataclass, for every command of portmail
    """Where a program's settings are, in words, and which options are for it."""

    source: str
    options: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "django": Reader("a settings module; default: DJANGO_SETTINGS_MODULE", frozenset({"account"})),
        "flask": Reader("config.py, or myapp:app, or config:Production"),
        "git": Reader("a file; default: what `git config` sees here", frozenset({"account"})),
        "msmtp": Reader("a file; default: ~/.msmtprc", frozenset({"account"})),
        "netrc": Reader("a file; default: ~/.netrc", frozenset({"host"}), frozenset({"host"})),
        "env-url": Reader("a URL, or the variable it is in; default: EMAIL_URL", frozenset({"dialect"})),
    }
)


def read(program: str, asked: Asked) -> Found:
    """What that program's settings say. Only its own module is loaded.

    Raises:
        ConfigurationError: they cannot be read, or name no server.
    """
    module = import_module(f"portmail.importing.{program.replace('-', '_')}")
    found: Found = module.read(asked)
    return found
