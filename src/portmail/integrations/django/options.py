"""What was said in Django's settings? Options of a backend, and the account that they come to.

Options are Django's own names (`host`, `port`, `username`, `password`, `use_tls`, `use_ssl`,
`timeout`, `ssl_certfile`, `ssl_keyfile`), a `url` in place of them, an `address` whose server is to
be found, or none of these: then it is PORTMAIL_URL and its friends in the environment. Beside them
the keyword arguments of a `Submitter`, and `token_source`, the dotted path of a callable for the token.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django.utils.module_loading import import_string

from portmail import settings as given
from portmail.errors import ConfigurationError
from portmail.integrations.other_settings import DJANGO_SETTINGS, OtherSettings, every_step
from portmail.integrations.shared import shared
from portmail.settings import Settings, Wishes
from portmail.submitter import AsyncSubmitter, Submitter

DJANGOS = tuple(DJANGO_SETTINGS)
"""Options of Django's own backend."""

OURS = ("url", "address", "token_source", *(name for name in Wishes.__annotations__ if name not in DJANGOS))
"""Options that only this backend has."""

PLACES = ("url", "address", "routes", "host")
"""Each says where to submit: one of them is enough."""

_NONE_MEANS = "retry"
"""The option of which None is a value: no retry."""

D = TypeVar("D", Submitter, AsyncSubmitter)


def submitter_for(options: Mapping[str, Any], *, door: type[D]) -> D:
    """The submitter that this process has for these options.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: options that contradict each other, or mean nothing.
    """
    environ = {name: value for name, value in os.environ.items() if name.startswith("PORTMAIL_")}
    said = {name: value for name, value in options.items() if value is not None or name == _NONE_MEANS}
    return shared(environ | said, make=lambda: settings_of(said, environ=environ), door=door)


def settings_of(said: Mapping[str, Any], *, environ: Mapping[str, str]) -> Settings:
    """What the options come to."""
    places = [place for place in PLACES if said.get(place)]
    if len(places) > 1:
        raise ConfigurationError(
            f"{places[0]!r} and {places[1]!r} both say where to submit: give one of them"
        )
    wishes = _wishes(said)
    if said.get("host") and not said.get("security"):
        return given.from_arguments(**(_other(said).wishes() | wishes))
    for name in ("host", "port", "username", "password"):
        if said.get(name):
            wishes[name] = _port(said[name]) if name == "port" else said[name]
    if said.get("url"):
        return given.from_environment(ChainMap({"PORTMAIL_URL": said["url"]}, dict(environ)), **wishes)
    if places:
        return given.from_arguments(said.get("address"), **wishes)
    return given.from_environment(environ, **wishes)


def usual_port(said: Mapping[str, Any]) -> int:
    """The port of a host, where none is given."""
    return _other(said).routes[0].port


def _other(said: Mapping[str, Any]) -> OtherSettings:
    password = said.get("password")
    if password is not None and not isinstance(password, str):
        raise ConfigurationError(
            "a password that is a callable goes with 'url', or with 'host' and 'security'"
        )
    return OtherSettings(
        host=said["host"],
        port=_port(said.get("port")),
        username=said.get("username"),
        password=password,
        use_tls=bool(said.get("use_tls")),
        use_ssl=bool(said.get("use_ssl")),
    )


def _port(given: Any) -> Any:
    """The port as a number: where settings come from the environment, it is a text."""
    return int(given) if isinstance(given, str) and given.isdecimal() else given


def _wishes(said: Mapping[str, Any]) -> Wishes:
    """Arguments of a submitter that do not say where."""
    wishes: dict[str, Any] = {
        name: said[name] for name in OURS if name in said and name not in ("url", "address", "token_source")
    }
    if "timeout" in said:
        wishes.setdefault("timeouts", every_step(said["timeout"]))
    if said.get("ssl_certfile"):
        wishes["client_cert"] = said["ssl_certfile"]
    if said.get("ssl_keyfile") and said["ssl_keyfile"] != said.get("ssl_certfile"):
        wishes["client_key"] = said["ssl_keyfile"]
    if said.get("token_source"):
        wishes["token"] = _called(said["token_source"])
    return cast("Wishes", wishes)  # the names are those of the class


def _called(source: Any) -> Any:
    """The callable, or what stands at its dotted path."""
    if callable(source):
        return source
    try:
        return import_string(source)
    except ImportError as exc:
        raise ConfigurationError(f"token_source: {exc}") from None
