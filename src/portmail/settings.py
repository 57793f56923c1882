"""What does the user wish? `Settings`: frozen, checked, from arguments, a URL and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast

from portmail.addresses import one_address
from portmail.envelope import mailbox
from portmail.errors import (
    AddressError,
    CertificateFileError,
    ConfigurationError,
    CredentialsOnRelay,
    CredentialsUnusable,
    DiscoveryError,
    InvalidRoute,
)
from portmail.retry import Retry
from portmail.route import Route, is_name, refuse_weak, routes_to
from portmail.security import Credentials, SecretSource, Security, credentials
from portmail.timeouts import Timeouts

# What many a program never needs is imported where it is used: it starts the sooner.
if TYPE_CHECKING:
    from pathlib import Path

    from portmail.search import Approve, Discovery, Search
    from portmail.url import ParsedURL

PathLike: TypeAlias = str | os.PathLike[str]

_LITERAL = r"\[[0-9A-Za-z.:]{3,80}\]"
"""An address literal, such as `[192.0.2.1]` or `[IPv6:::1]` (RFC 5321 section 4.1.3)."""

DEFAULT_TIMEOUTS, DEFAULT_RETRY = Timeouts(), Retry()

DEFAULT_POOL_SIZE = 5
"""Connections at a time. Most providers take ten of one account; those that take fewer say so."""


class Account(TypedDict, total=False):
    """The keyword arguments that say which server, who we are, and how patient.

    `host` alone means 587 with STARTTLS, then 465 with implicit TLS, and without credentials then 25.
    `port` and `security` name one route; `routes` names them all. `username` with `password` or
    `token` (a str, or a callable, sync or async, that returns one) are the credentials.
    `tls_ca` is a PEM file added to the system's trust store, `client_cert` a PEM file with
    certificate and key, which may also be in a file of its own, `client_key`. `local_hostname` is said
    in EHLO. `timeouts` is seconds for the whole submission, or `Timeouts`; `retry` a `Retry`, or None
    for none. `pool_size` is how many connections there may be at a time. `discovery` (a `Discovery`)
    and `approve` (hosts, or a function of a `Candidate`) are for an address alone: how its server may be
    found.
    """

    host: str | None
    port: int | None
    security: Security | str | None
    username: str | None
    password: SecretSource | None
    token: SecretSource | None
    routes: Sequence[Route] | None
    tls_ca: PathLike | None
    client_cert: PathLike | None
    client_key: PathLike | None
    local_hostname: str | None
    timeouts: float | Timeouts | None
    retry: Retry | None
    pool_size: int
    discovery: Discovery | None
    approve: Approve | None


class Wishes(Account, total=False):
    """The keyword arguments of both submitters: those of `Account`, and the default `sender`."""

    sender: str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a submitter needs, given once. Printing it shows no secret.

    Where there is a `search`, the routes are what it found; none as long as it found nothing.
    """

    routes: tuple[Route, ...]
    credentials: Credentials | None = None
    sender: str | None = None
    tls_ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    local_hostname: str | None = None
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    retry: Retry | None = DEFAULT_RETRY
    pool_size: int = DEFAULT_POOL_SIZE
    search: Search | None = None

    def __post_init__(self) -> None:
        if not self.routes and self.search is None:
            raise InvalidRoute("routes is empty: give at least one Route")
        if not all(isinstance(route, Route) for route in self.routes):
            raise InvalidRoute("routes holds what is no Route: write Route(host, port, security)")
        if not isinstance(self.retry, Retry | None):
            raise ConfigurationError("retry is a portmail.Retry(...), or None for none")
        if not isinstance(self.pool_size, int) or isinstance(self.pool_size, bool) or self.pool_size < 1:
            raise ConfigurationError(f"pool_size={self.pool_size!r} must be a whole number from 1")
        if self.client_key and not self.client_cert:
            raise ConfigurationError("client_key= is the key of client_cert=: give that, too")
        if self.credentials:
            refuse_weak(self.routes)

    @property
    def pem_files(self) -> Mapping[str, Path | None]:
        """The files that a TLS context is made of, by the names of their arguments."""
        return {"tls_ca": self.tls_ca, "client_cert": self.client_cert, "client_key": self.client_key}


def from_arguments(address: str | None = None, **wishes: Unpack[Wishes]) -> Settings:
    """Settings of a submitter's arguments.

    Raises:
        ConfigurationError: arguments that contradict each other or cannot be met.
        AddressError: `address` or `sender` is no address.
        DiscoveryError: neither host nor routes are given, nor an address for which they can be found.
        TypeError: an argument that there is not.
    """
    for name in wishes:
        if name not in _KNOWN:
            raise TypeError(f"there is no argument {name!r}: did you mean {_nearest(name)}?")
    username = wishes.get("username")
    with_secret = bool({"password", "token"} & _given(wishes).keys())
    if address is not None:
        _check_address(address)  # now, not when the first message goes
        if username is None and with_secret:
            username = address
    search = _search(address, wishes=wishes)
    routes = () if search else _routes(wishes, authenticated=with_secret or username is not None)
    account = credentials(username=username, password=wishes.get("password"), token=wishes.get("token"))
    return Settings(
        routes=routes,
        credentials=account,
        sender=_checked_sender(wishes.get("sender") or address),
        tls_ca=_path("tls_ca", wish=wishes.get("tls_ca")),
        client_cert=_path("client_cert", wish=wishes.get("client_cert")),
        client_key=_path("client_key", wish=wishes.get("client_key")),
        local_hostname=_checked_local_hostname(wishes.get("local_hostname")),
        timeouts=Timeouts.of(wishes.get("timeouts")),
        retry=wishes.get("retry", DEFAULT_RETRY),
        pool_size=wishes.get("pool_size", DEFAULT_POOL_SIZE),
        search=search,
    )


_KNOWN = tuple(Wishes.__annotations__)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, _KNOWN, n=1)), f"one of {', '.join(_KNOWN)}")


def _check_address(address: str) -> None:
    if isinstance(address, str) and "@" not in address and "://" not in address:
        raise AddressError(f"{address!r} has no @: an address comes first; a server is given as host=")
    mailbox(address)


def _search(address: str | None, *, wishes: Wishes) -> Search | None:
    """What is to be found out, where an address is all that says where."""
    named = wishes.get("host") is not None or wishes.get("routes") is not None
    if address is None or named:
        if wishes.get("discovery") is not None or wishes.get("approve") is not None:
            raise ConfigurationError(
                "discovery= and approve= are for an address alone, without host= or routes="
            )
        return None
    if wishes.get("port") is not None or wishes.get("security") is not None:
        raise ConfigurationError("port= and security= are for a host: give host=, or leave them out")
    from portmail.search import search_of  # most programs name their host

    return search_of(
        address,
        discovery=wishes.get("discovery"),
        approve=wishes.get("approve"),
        username=wishes.get("username"),
    )


def _routes(wishes: Wishes, *, authenticated: bool) -> tuple[Route, ...]:
    host, port, security = wishes.get("host"), wishes.get("port"), wishes.get("security")
    routes = wishes.get("routes")
    if routes is not None:
        if any(wish is not None for wish in (host, port, security)):
            raise ConfigurationError("give either routes, or host with port and security, not both")
        if not isinstance(routes, Iterable):
            raise InvalidRoute("routes is a sequence of Route(host, port, security)")
        return tuple(routes)
    if host is None:
        raise DiscoveryError(
            "portmail does not know which server to use: give host=, routes= or PORTMAIL_URL (--url). To "
            "have an address's server found, give the address first, or a URL like auto://me%40example.com@"
        )
    return routes_to(host, port=port, security=security, authenticated=authenticated)


def _checked_sender(sender: str | None) -> str | None:
    if sender:
        mailbox(one_address("sender", text=sender).addr_spec)
    return sender or None


def _path(name: str, *, wish: PathLike | None) -> Path | None:
    if wish is None:
        return None
    if wish == "" or not isinstance(wish, str | os.PathLike):  # "" would be the current directory
        raise CertificateFileError(f"{name}: {wish!r} is no path of a PEM file")
    from pathlib import Path

    return Path(wish)


def _checked_local_hostname(name: str | None) -> str | None:
    # It goes into EHLO: no spaces, no line ends (RFC 5321 section 4.1.1.1).
    if name is not None and not (isinstance(name, str) and (is_name(name) or re.fullmatch(_LITERAL, name))):
        raise ConfigurationError(f"local_hostname={name!r} is no host name: write it like web1.example.com")
    return name


def from_url(url: str, **wishes: Unpack[Wishes]) -> Settings:
    """Settings of an account URL; arguments win over what the URL says.

    Raises:
        ConfigurationError: the URL cannot be understood, or asks for what is not allowed.
    """
    return from_environment({"PORTMAIL_URL": url}, **wishes)


def from_environment(environ: Mapping[str, str], **wishes: Unpack[Wishes]) -> Settings:
    """Settings of PORTMAIL_URL and its friends. Arguments win, then the URL, then the other variables.

    Raises:
        ConfigurationError: a variable that cannot be understood.
        AddressError: PORTMAIL_FROM, or a sender in the URL or the arguments, is no address.
        DiscoveryError: neither a URL nor a host is given.
    """
    given = _given(wishes)
    said: dict[str, Any] = {"sender": environ.get("PORTMAIL_FROM"), "tls_ca": environ.get("PORTMAIL_CA")}
    url = environ.get("PORTMAIL_URL")
    elsewhere = bool({"host", "routes"} & given.keys())
    if not (url and elsewhere):  # an account is not shown to another host than its own
        parsed = _parsed(url) if url else None
        account = _given(_of_account(parsed)) if parsed else {}
        said["username"] = environ.get("PORTMAIL_USERNAME")
        if not {"password", "token"} & (account.keys() | given.keys()):
            said["password"] = _password(environ)
        said |= account
        if parsed and parsed.scheme == "relay":
            _refuse_credentials(said | given)
    if "token" in given:
        said.pop("password", None)
    said = {name: value for name, value in said.items() if value not in (None, "")}
    address = said.pop("address", None)
    return from_arguments(address, **cast("Wishes", said | given))


def _parsed(url: str) -> ParsedURL:
    from portmail.url import parse_url

    return parse_url(url)


def _refuse_credentials(wishes: Mapping[str, Any]) -> None:
    """A relay's URL was given: whatever its security, it is not for credentials.

    Raises:
        CredentialsOnRelay: there are some all the same.
    """
    if any(wishes.get(name) for name in ("username", "password", "token")):
        raise CredentialsOnRelay(
            "a relay takes no credentials: take them out (arguments and PORTMAIL_ variables), or use submission://"
        )


def _given(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """What was really wished for; None means "no wish" everywhere but for retries."""
    return {name: value for name, value in wishes.items() if value is not None or name == "retry"}


def _of_account(account: ParsedURL) -> dict[str, Any]:
    return {
        "username": account.username,
        "password": account.password,
        "tls_ca": account.tls_ca,
        "sender": account.sender,
        "address": account.address,
        "approve": account.approve or None,
        **account.route,
    }


def _password(environ: Mapping[str, str]) -> str | None:
    if password := environ.get("PORTMAIL_PASSWORD"):
        return password
    if not (path := environ.get("PORTMAIL_PASSWORD_FILE")):
        return None
    from pathlib import Path

    try:
        text = Path(path).read_text("utf-8", errors="surrogateescape")
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise CredentialsUnusable(f"PORTMAIL_PASSWORD_FILE: {path!r} cannot be read: {why}") from None
    if password := text.removesuffix("\n").removesuffix("\r"):
        return password
    raise CredentialsUnusable(
        f"PORTMAIL_PASSWORD_FILE: {path} is empty: put the password into its first line"
    )
