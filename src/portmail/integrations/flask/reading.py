"""What does a setting say? Values of `app.config`, as people write them or take them from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from portmail.addresses import one_address
from portmail.errors import AddressError, ConfigurationError
from portmail.integrations.environment import URL, VARIABLES, variables
from portmail.integrations.flask.texts import AnyAddress, written

T = TypeVar("T", int, float)

_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off", "none", ""), False),
}
"""What a flag may be as text: in the environment there is nothing else."""


def account_variables(config: Mapping[str, Any]) -> Mapping[str, str]:
    """The PORTMAIL_ variables that count: of the config, and of the environment what that does not say.

    Raises:
        ConfigurationError: one in the config is no text.
    """
    given = {name: _variable(name, config[name]) for name in VARIABLES if config.get(name)}
    return variables(given, elsewhere=bool(config.get("MAIL_SERVER")) and URL not in given)


def _variable(name: str, value: object) -> str:
    written = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(written, str):
        return written
    told = ". A callable for a password or token goes into PORTMAIL_OPTIONS" if callable(value) else ""
    raise ConfigurationError(f"{name} must be a str, not {type(value).__name__}{told}")


def flag(config: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Yes or no.

    Raises:
        ConfigurationError: it is neither.
    """
    value = config.get(name)
    if value is None:
        return default
    known = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else _number_as_flag(value)
    if known is None:
        raise ConfigurationError(f"{name}={value!r} must be True or False")
    return known


def _number_as_flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, int | float) else None


def number(
    config: Mapping[str, Any], name: str, *, kind: Callable[[Any], T] = int, default: T | None = None
) -> T | None:
    """A number, also as text; None, or nothing, is none.

    Raises:
        ConfigurationError: it is something else.
    """
    value = config.get(name, default)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return kind(value)
    except ValueError:
        pass
    raise ConfigurationError(f"{name}={value!r} must be a number")


def text(config: Mapping[str, Any], name: str) -> str | None:
    """A text.

    Raises:
        ConfigurationError: it is something else.
    """
    value = config.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a str, not {type(value).__name__}")
    return value


def sender_in(config: Mapping[str, Any]) -> AnyAddress | None:
    """MAIL_DEFAULT_SENDER as it is given: an address, or (name, address).

    Raises:
        ConfigurationError: it does not read as one address.
    """
    sender: AnyAddress | None = config.get("MAIL_DEFAULT_SENDER")
    if not sender:
        return None
    with naming("MAIL_DEFAULT_SENDER"):
        one_address("sender", text=written(sender))
    return sender


def more_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """PORTMAIL_OPTIONS: more arguments of a submitter.

    Raises:
        ConfigurationError: it is no dict of them.
    """
    options = config.get("PORTMAIL_OPTIONS") or {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ConfigurationError("PORTMAIL_OPTIONS must be a dict of keyword arguments of portmail.Submitter")
    return dict(options)


@contextmanager
def naming(settings: str) -> Iterator[None]:
    """Have errors tell which settings they are about.

    Raises:
        ConfigurationError: what goes wrong, named.
    """
    try:
        yield
    except (ConfigurationError, AddressError, TypeError) as exc:
        kind = type(exc) if isinstance(exc, ConfigurationError) else ConfigurationError
        failed = kind(f"{settings}: {exc}")
    else:
        return
    raise failed from None
