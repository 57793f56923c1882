"""What does the user wish? `Settings`: frozen, checked, from arguments, a URL and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from portmail.envelope import mailbox
from portmail.errors import ConfigurationError, CredentialsUnusable, DiscoveryError, InvalidRoute
from portmail.retry import Retry
from portmail.route import Route, refuse_weak, routes_to
from portmail.security import Credentials, SecretSource, Security, credentials
from portmail.timeouts import Timeouts
from portmail.url import Account, parse_url

PathLike: TypeAlias = str | os.PathLike[str]


DEFAULT_TIMEOUTS, DEFAULT_RETRY = Timeouts(), Retry()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a submitter needs, given once. Printing it shows no secret."""

    routes: tuple[Route, ...]
    credentials: Credentials | None = None
    sender: str | None = None
    tls_ca: Path | None = None
    client_cert: Path | None = None
    local_hostname: str | None = None
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    retry: Retry | None = DEFAULT_RETRY

    def __post_init__(self) -> None:
        if not self.routes:
            raise InvalidRoute("routes is empty: give at least one Route")
        if self.credentials:
            refuse_weak(self.routes)


def from_arguments(
    address: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    security: Security | None = None,
    username: str | None = None,
    password: SecretSource | None = None,
    token: SecretSource | None = None,
    routes: Sequence[Route] | None = None,
    sender: str | None = None,
    tls_ca: PathLike | None = None,
    client_cert: PathLike | None = None,
    local_hostname: str | None = None,
    timeouts: float | Timeouts | None = None,
    retry: Retry | None = DEFAULT_RETRY,
) -> Settings:
    """Settings of a submitter's arguments.

    Raises:
        ConfigurationError: arguments that contradict each other or cannot be met.
        AddressError: `address` or `sender` is no address.
        DiscoveryError: neither host nor routes are given.
    """
    if address is not None:
        mailbox(address)  # checked now, not when the first message goes
        secret_given = password is not None or token is not None
        username = username or (address if secret_given else None)
    account = credentials(username=username, password=password, token=token)
    named = (host, port, security)
    if routes is not None and any(value is not None for value in named):
        raise ConfigurationError("give either routes, or host with port and security, not both")
    if routes is None:
        routes = _routes(address, host=host, port=port, security=security, authenticated=bool(account))
    return Settings(
        routes=tuple(routes),
        credentials=account,
        sender=_checked_sender(sender or address),
        tls_ca=Path(tls_ca) if tls_ca is not None else None,
        client_cert=Path(client_cert) if client_cert is not None else None,
        local_hostname=_checked_local_hostname(local_hostname),
        timeouts=Timeouts.of(timeouts),
        retry=retry,
    )


def _routes(
    address: str | None,
    *,
    host: str | None,
    port: int | None,
    security: Security | None,
    authenticated: bool,
) -> tuple[Route, ...]:
    if host is None:
        whose = f"the server of {address}" if address else "which server to use"
        raise DiscoveryError(f"portmail does not know {whose}: give host=, routes= or PORTMAIL_URL")
    return routes_to(host, port=port, security=security, authenticated=authenticated)


def _checked_sender(sender: str | None) -> str | None:
    return mailbox(sender).text if sender else None


def _checked_local_hostname(name: str | None) -> str | None:
    # It goes into EHLO: no spaces, no line ends (RFC 5321 section 4.1.1.1).
    if name is not None and not (name.isascii() and name.isprintable() and name and " " not in name):
        raise ConfigurationError(f"local_hostname={name!r} is no host name: write it like web1.example.com")
    return name


def from_url(url: str, **arguments: Any) -> Settings:
    """Settings of an account URL; arguments win over what the URL says.

    Raises:
        ConfigurationError: the URL cannot be understood, or asks for what is not allowed.
    """
    return from_arguments(**(_of_account(parse_url(url)) | _given(arguments)))


def from_environment(environ: Mapping[str, str], **arguments: Any) -> Settings:
    """Settings of PORTMAIL_URL and its friends. Arguments win, then the URL, then the other variables.

    Raises:
        ConfigurationError: a variable that cannot be understood.
        DiscoveryError: neither a URL nor a host is given.
    """
    said: dict[str, Any] = {"sender": environ.get("PORTMAIL_FROM"), "tls_ca": environ.get("PORTMAIL_CA")}
    url = environ.get("PORTMAIL_URL")
    elsewhere = bool({"host", "routes"} & _given(arguments).keys())
    if not (url and elsewhere):  # the URL's account is not shown to another host
        said |= {"username": environ.get("PORTMAIL_USERNAME"), "password": _password(environ)}
        said |= _of_account(parse_url(url)) if url else {}
    if arguments.get("token") is not None:
        said.pop("password", None)
    return from_arguments(**({name: value for name, value in said.items() if value} | _given(arguments)))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None or name == "retry"}


def _of_account(account: Account) -> dict[str, Any]:
    found = {
        "username": account.username,
        "password": account.password,
        "tls_ca": account.tls_ca,
        "sender": account.sender,
    }
    return _given(found) | dict(account.route)


def _password(environ: Mapping[str, str]) -> str | None:
    if password := environ.get("PORTMAIL_PASSWORD"):
        return password
    if not (path := environ.get("PORTMAIL_PASSWORD_FILE")):
        return None
    try:
        text = Path(path).read_text("utf-8", errors="surrogateescape")
    except OSError as exc:
        raise CredentialsUnusable(f"PORTMAIL_PASSWORD_FILE: {path} cannot be read: {exc.strerror}") from None
    return text.removesuffix("\n").removesuffix("\r")
