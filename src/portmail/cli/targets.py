"""Whose account is meant on the command line? A URL, an address or a host, beside the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

from portmail.cli import exits
from portmail.errors import ConfigurationError, CredentialsUnusable
from portmail.route import routes_to
from portmail.submitter import Submitter
from portmail.url import ParsedURL, parse_url

_WITH_PORT = re.compile(r"(\[[^\]]+\]|[^:\[\]]+):([0-9]{1,5})")
"""A host, with a port behind it."""

_LOGIN = ("PORTMAIL_USERNAME", "PORTMAIL_PASSWORD", "PORTMAIL_PASSWORD_FILE")


def submitter_for(target: str | None, environ: Mapping[str, str], *, login: bool = False) -> Submitter:
    """A submitter of what was named. The environment's account is not another server's.

    The variables count where they are of the account that is named, or name no server. A password
    is needed for a login alone. Who is trusted is no matter of an account: PORTMAIL_CA always counts.

    Raises:
        PortmailError: it cannot be understood, or there is nothing to log in with.
    """
    if target is None and not environ.get("PORTMAIL_URL"):
        return Submitter.from_env(environ)  # which says what to do
    url = environ["PORTMAIL_URL"] if target is None else _url(target)
    submitter = _of_host(target or "", environ) if url is None else _of_url(url, environ, login=login)
    if login and submitter.settings.credentials is None:
        raise CredentialsUnusable(
            "--login needs a user name and a password: give the account as a URL such as "
            "submission://me@mail.example.com, and PORTMAIL_PASSWORD. What is set for another account "
            "does not count"
        )
    return submitter


def _url(target: str) -> str | None:
    """The account URL that is meant; None where a host is."""
    if "://" in target:
        return target
    if "@" not in target:
        return None
    if ":" in target or not all(target.rpartition("@")):  # not shown: a password may be in it
        raise exits.UsageError(
            "that is no account: write it like submission://me@mail.example.com, or me@example.com for an "
            "address, or mail.example.com for a server"
        )
    return f"auto://{quote(target, safe='')}@"


def _of_host(target: str, environ: Mapping[str, str]) -> Submitter:
    match = _WITH_PORT.fullmatch(target)
    host, port = (match[1], int(match[2])) if match else (target, None)
    return Submitter(host=host, port=port, tls_ca=environ.get("PORTMAIL_CA") or None)


def _of_url(url: str, environ: Mapping[str, str], *, login: bool) -> Submitter:
    named = parse_url(url)
    counting = environ if _counts(environ, url=url, named=named) else {}
    with_secret = named.password or any(counting.get(name) for name in _LOGIN[1:])
    if login or with_secret:
        return Submitter.from_env(_merged(counting, environ, url=url))
    if named.address:
        return Submitter.from_env(_merged({}, environ, url=url))
    where = {"port": None, "security": None, **named.route}
    authenticated = bool(named.username or counting.get(_LOGIN[0]))
    routes = routes_to(
        where["host"], port=where["port"], security=where["security"], authenticated=authenticated
    )
    return Submitter(routes=routes, tls_ca=named.tls_ca or environ.get("PORTMAIL_CA") or None)


def _merged(counting: Mapping[str, str], environ: Mapping[str, str], *, url: str) -> dict[str, str]:
    return {**counting, "PORTMAIL_CA": environ.get("PORTMAIL_CA", ""), "PORTMAIL_URL": url}


def _counts(environ: Mapping[str, str], *, url: str, named: ParsedURL) -> bool:
    """Whether the environment's user name and password are of this account."""
    username, own = environ.get(_LOGIN[0]) or None, environ.get("PORTMAIL_URL")
    if not own:
        # A login name that is no address may be that of any.
        other = {named.username, named.address} - {None}
        return (
            username is None or not other or username in other or bool(named.address and "@" not in username)
        )
    if own == url:
        return True
    with suppress(ConfigurationError):
        return _account(parse_url(own), username) == _account(named, username)
    return False


def _account(parsed: ParsedURL, username: str | None) -> tuple[str | None, ...]:
    return parsed.address, parsed.route.get("host"), parsed.username or username
