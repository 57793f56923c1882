"""What does an account URL mean? The schemes as a table, and errors that say how to write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import unquote

from portmail.errors import (
    CredentialsOnRelay,
    InvalidRoute,
    InvalidURL,
    UnescapedURL,
    UnknownScheme,
)
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS
from portmail.security import Security

Where: TypeAlias = Mapping[str, Any]
"""The part of the settings that says where: host, port, security."""

_RELAY_TLS = {
    "if-offered": Security.OPPORTUNISTIC,
    "require": Security.STARTTLS,
    "none": Security.PLAINTEXT,
}

_HOW_TO_ESCAPE = (
    "write @ as %40, # as %23, / as %2F, ? as %3F, : as %3A and % as %25, or use PORTMAIL_PASSWORD"
)


@dataclass(frozen=True, slots=True)
class ParsedURL:
    """What an account URL says. Its `repr` shows no password."""

    scheme: str
    route: Where
    username: str | None
    password: str | None = field(repr=False)
    tls_ca: str | None
    sender: str | None
    address: str | None = None
    """Whose server is to be found, in an `auto://` URL."""
    approve: tuple[str, ...] = ()


def _relay(options: dict[str, str]) -> Where:
    wish = options.pop("tls", "if-offered")
    if wish not in _RELAY_TLS:
        raise InvalidURL(f"?tls= has a value that is unknown: use one of {', '.join(_RELAY_TLS)}")
    return {"port": RELAY, "security": _RELAY_TLS[wish]}


SCHEMES: Mapping[str, Callable[[dict[str, str]], Where]] = MappingProxyType(
    {
        "submission": lambda _: {"port": SUBMISSION, "security": Security.STARTTLS},
        "submissions": lambda _: {"port": SUBMISSIONS, "security": Security.IMPLICIT_TLS},
        "smtps": lambda _: {"port": SUBMISSIONS, "security": Security.IMPLICIT_TLS},
        "smtp": lambda _: {},
        "relay": _relay,
    }
)
"""What each scheme means; a function of the URL's options, of which it takes its own."""


AUTO = "auto"
"""The scheme without a host: that is to be found."""


def parse_url(url: str) -> ParsedURL:
    """Read an account URL such as `submission://me:secret@mail.example.com`.

    The user name and password are percent-decoded. No error shows the password.

    Raises:
        UnknownScheme, UnescapedURL, InvalidRoute, CredentialsOnRelay, InvalidURL.
    """
    if not isinstance(url, str):
        raise InvalidURL(f"an account URL is a str, not {type(url).__name__}: is the variable set?")
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in (*SCHEMES, AUTO):
        known = ", ".join(f"{name}://" for name in (*SCHEMES, AUTO))
        # With a colon in it, it may be a login.
        what = f"{repr(scheme) if scheme.isalnum() else 'the scheme'} is unknown"
        raise UnknownScheme(f"{what if separator else 'no scheme'} in the account URL: use one of {known}")
    authority, options = _split(rest)
    userinfo, _, where = authority.rpartition("@")
    username, password = _userinfo(userinfo)
    if scheme == AUTO:
        return _auto(username, password, where=where, options=options)
    if scheme == "relay" and userinfo:
        raise CredentialsOnRelay("a relay takes no credentials: take them out, or use submission://")
    host, port = _host_and_port(where)
    route = {"host": host} | dict(SCHEMES[scheme](options)) | ({} if port is None else {"port": port})
    account = ParsedURL(scheme, route, username, password, options.pop("ca", None), options.pop("from", None))
    if options:
        raise InvalidURL("the URL has an option that is unknown here: use ca, from, and tls with relay://")
    return account


def _auto(username: str | None, password: str | None, *, where: str, options: dict[str, str]) -> ParsedURL:
    """An address whose server is to be found, such as `auto://me%40example.com:secret@`."""
    where = unquote(where, errors="surrogateescape")
    if where and username and "@" in username:
        raise InvalidURL("auto:// finds the host itself: leave it out, or name it with smtp://")
    if where and not username:  # all of it is the address
        username, where = where, ""
    address = f"{username or ''}@{where}" if where else username or ""
    if not all(address.rpartition("@")) or ":" in address:  # not shown: the password may be in it
        raise InvalidURL(
            "auto:// wants an address, and an @ at the end: write it like auto://me%40example.com:secret@"
        )
    approve = tuple(filter(None, options.pop("approve", "").split(",")))
    ca, sender = options.pop("ca", None), options.pop("from", None)
    if options:
        raise InvalidURL("the URL has an option that is unknown here: use ca, from and approve with auto://")
    return ParsedURL(AUTO, {}, None, password or None, ca, sender, address, approve)


def _split(rest: str) -> tuple[str, dict[str, str]]:
    """The authority and the options; complains where a raw character cuts the URL in the wrong place."""
    match = re.fullmatch(r"([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?(#.*)?", rest, re.DOTALL)
    assert match is not None  # every part is optional
    authority, path, query, fragment = match.groups()
    behind = "&".join(part for part in (path, query, fragment) if part)
    # Only "from" and "ca" may hold an @. Any other stands behind a password that was cut in two.
    cut_early = "@" in re.sub(r"(?:^|&)(?:from|ca)=[^&]*", "", behind)
    if fragment is not None or cut_early or authority.count("@") > 1:
        raise UnescapedURL(f"a user name or password in the URL must be percent-encoded: {_HOW_TO_ESCAPE}")
    if path not in (None, "/"):
        raise InvalidURL("the URL has a path behind the host, which means nothing: take it out")
    options: dict[str, str] = {}
    for name, value in _options(query or ""):
        options[name] = f"{options[name]},{value}" if name == "approve" and name in options else value
    return authority, options


def _options(query: str) -> Iterator[tuple[str, str]]:
    """The options, percent-decoded; a + is a +, as addresses have them."""
    for option in filter(None, query.split("&")):
        name, _, value = option.partition("=")
        yield unquote(name), unquote(value)


def _userinfo(userinfo: str) -> tuple[str | None, str | None]:
    if re.search(r"%(?![0-9A-Fa-f]{2})", userinfo) or re.search(r"[\s\x00-\x1f\x7f]", userinfo):
        raise UnescapedURL(f"a user name or password in the URL must be percent-encoded: {_HOW_TO_ESCAPE}")
    username, colon, password = userinfo.partition(":")
    # Octets that are no UTF-8 stay what they are, as surrogates.
    return (
        unquote(username, errors="surrogateescape") or None,
        unquote(password, errors="surrogateescape") if colon else None,
    )


def _host_and_port(where: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", where, re.DOTALL)
    host, port = match.groups() if match else (where, None)
    if not host:
        raise InvalidRoute("the URL names no host: write it like submission://me:secret@mail.example.com")
    if not re.fullmatch(r"[\w.-]+|\[.*\]", host):  # not shown: without an @ it may be the password
        raise InvalidRoute(
            "the URL's host is no host name: write it like submission://me:secret@mail.example.com"
        )
    if port is None:
        return host, None
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise InvalidRoute("the URL's port is no number: give one from 1 to 65535 behind the colon")
    return host, int(port)
