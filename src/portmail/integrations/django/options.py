"""What can be said in Django's settings? Options of a mailer, and the account that they come to.

| option | what it is |
|---|---|
| host, port, username, password, use_tls, use_ssl, timeout, ssl_certfile, ssl_keyfile | as in Django's own |
| url | in place of host: `submission://me@mail.example.com`, `relay://…`, `auto://…` |
| address | in place of host: whose server is to be found |
| token_source | the dotted path of a callable for the OAuth 2 token |
| security, token, routes, sender, tls_ca, client_cert, client_key, local_hostname, timeouts, retry, \
  pool_size, discovery, approve | as in `portmail.Submitter` |

They are OPTIONS of MAILERS, the dict PORTMAIL, or arguments of `get_connection`. Without url, host, address
and routes it is PORTMAIL_URL with its friends in the environment. Those friends (PORTMAIL_PASSWORD_FILE, …)
count beside a `url`, too, unless the environment has another URL; PORTMAIL_CA always counts.
`timeout` is for each step, as in Django; `timeouts` is as in `portmail.Submitter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from django.utils.module_loading import import_string

from portmail import settings as given
from portmail.errors import ConfigurationError
from portmail.integrations.environment import CA, URL, variables
from portmail.integrations.other_settings import DJANGO_SETTINGS, OtherSettings, every_step
from portmail.integrations.shared import shared
from portmail.security import SecretSource
from portmail.settings import Settings, Wishes

if TYPE_CHECKING:
    from portmail.submitter import Submitter

DJANGOS = tuple(DJANGO_SETTINGS)
"""Options of Django's own backend."""

OURS = ("url", "address", "token_source", *(name for name in Wishes.__annotations__ if name not in DJANGOS))
"""Options that only this backend has."""

PLACES = ("url", "address", "routes", "host")
"""Each says where to submit: one of them is enough."""

ACCOUNT = (*PLACES, "port", "security", "username", "password", "token", "token_source", "use_tls", "use_ssl")
"""Options that say where, and who we are there."""

_NONE_MEANS = "retry"
"""The option of which None is a value: no retry."""

_APART = (
    *((one, other) for one in PLACES for other in PLACES if PLACES.index(one) < PLACES.index(other)),
    *((one, other) for one in ("use_tls", "use_ssl") for other in ("url", "address", "routes", "security")),
    *(("port", other) for other in ("url", "address", "routes")),
    ("token", "token_source"),
    ("timeout", "timeouts"),
)
"""Options of which one says what the other does."""


def submitter_for(options: Mapping[str, Any]) -> Submitter:
    """The submitter that this process has for these options.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: options that contradict each other, or mean nothing.
    """
    said = {name: value for name, value in options.items() if value is not None or name == _NONE_MEANS}
    url = cast("str | None", said.get("url"))
    elsewhere = any(said.get(place) for place in PLACES if place != "url")
    environ = variables({URL: url} if url else {}, elsewhere=elsewhere)
    return shared({**environ, **said}, make=lambda: settings_of(said, environ=environ))


def settings_of(said: Mapping[str, Any], *, environ: Mapping[str, str]) -> Settings:
    """What the options come to, with the variables that count for them.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: as `submitter_for`.
    """
    _refuse_contradictions(said, environ=environ)
    wishes = _wishes(said)
    wishes.setdefault("tls_ca", environ.get(CA) or None)
    if said.get("host") and not said.get("security"):
        return given.from_arguments(**(cast("dict[str, Any]", _other(said).wishes()) | wishes))
    for name in ("host", "port", "username", "password"):
        if said.get(name):
            wishes[name] = _port(said[name]) if name == "port" else said[name]
    if any(said.get(place) for place in PLACES if place != "url"):
        return given.from_arguments(said.get("address"), **wishes)
    return given.from_environment(environ, **wishes)


def _refuse_contradictions(said: Mapping[str, Any], *, environ: Mapping[str, str]) -> None:
    for one, other in _APART:
        if said.get(one) and said.get(other):
            raise ConfigurationError(f"{one!r} and {other!r} say the same or contradict each other: give one")
    for flag in ("use_tls", "use_ssl"):
        if said.get(flag) and environ.get(URL):
            raise ConfigurationError(f"{flag!r} is for 'host': the scheme of {URL} says it there")


def shown_in_clear(said: Mapping[str, Any]) -> bool:
    """Whether Django's own backend, which knows no tokens, would show a password unencrypted."""
    theirs = bool(said.get("host") and said.get("password")) and not said.get("security")
    return theirs and _other(said).clear


def usual_port(said: Mapping[str, Any]) -> int:
    """The port of a host, where none is given."""
    return _other(said).routes[0].port


def _other(said: Mapping[str, Any]) -> OtherSettings:
    return OtherSettings(
        host=said["host"],
        port=_port(said.get("port")),
        username=said.get("username"),
        password=said.get("password"),
        token=_token(said),
        use_tls=bool(said.get("use_tls")),
        use_ssl=bool(said.get("use_ssl")),
    )


def _port(given: Any) -> Any:
    """The port as a number: where settings come from the environment, it is a text.

    Raises:
        ConfigurationError: it is neither.
    """
    if given is not None and not isinstance(given, (int, str)):
        raise ConfigurationError(f"{given!r} is no port: give a number from 1 to 65535")
    return int(given) if isinstance(given, str) and given.isdecimal() else given


def _wishes(said: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a submitter that do not say where."""
    wishes: dict[str, Any] = {name: said[name] for name in OURS if name in said and name not in _READ}
    if token := _token(said):
        wishes["token"] = token
    if "timeout" in said:
        wishes["timeouts"] = every_step(said["timeout"])
    if said.get("ssl_certfile"):
        wishes["client_cert"] = said["ssl_certfile"]
    if said.get("ssl_keyfile") and said["ssl_keyfile"] != said.get("ssl_certfile"):
        wishes["client_key"] = said["ssl_keyfile"]
    return wishes


_READ = ("url", "address", "token", "token_source")
"""Options of ours that are no arguments as they are."""


def _token(said: Mapping[str, Any]) -> SecretSource | None:
    """The token, or the callable that is named for it.

    Raises:
        ConfigurationError: nothing that can be called stands at that path.
    """
    source = said.get("token_source") or said.get("token")
    if not source or callable(source) or "token_source" not in said:
        return cast("SecretSource | None", source)
    # Its value is not told: somebody may have put the token itself there.
    if not isinstance(source, str):
        raise ConfigurationError("token_source is a function, or the dotted path of one")
    try:
        found = import_string(source)
    except ImportError:
        raise ConfigurationError("token_source is the dotted path of what cannot be imported") from None
    except Exception as exc:  # noqa: BLE001  # a module of the site's may raise anything while it is loaded
        raise ConfigurationError(f"token_source cannot be imported: {type(exc).__name__}: {exc}") from None
    if callable(found):
        return cast("SecretSource", found)
    raise ConfigurationError("token_source is the dotted path of something that is no function")
