"""What does an EMAIL_URL mean to those who read it? A table of dialects: the same scheme differs among them.

`smtps://` is the trap: STARTTLS to django-environ and dj-email-url; implicit TLS to Symfony,
nodemailer, curl, and portmail.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from portmail.errors import ConfigurationError
from portmail.importing.found import Asked, Found, NothingFound, left_behind, listed, one_line
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS
from portmail.security import Security

_TRUE = ("1", "y", "yes", "t", "true", "on")
_FALSE = ("0", "n", "no", "f", "false", "off", "")


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a scheme means in a dialect: how the connection is secured, and the port if none is said."""

    security: Security
    usual_port: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """Who reads the URL: its schemes, its variable, and its options."""

    names: str
    variable: str | None
    schemes: Mapping[str, Scheme]
    switches: Mapping[str, Security]
    """Options that, if true, say how the connection is secured."""
    by_port: Callable[[str, str, int | None], Scheme | None] = lambda _scheme, _host, _port: None
    """Where the port changes what a scheme means."""


def _symfony(scheme: str, host: str, port: int | None) -> Scheme | None:
    """Without a port `smtp://` is implicit TLS, too, unless it is this machine."""
    implicit = port == SUBMISSIONS or (port is None and host != "localhost")
    return Scheme(Security.IMPLICIT_TLS, SUBMISSIONS) if scheme == "smtp" and implicit else None


_PLAIN = Scheme(Security.PLAINTEXT, RELAY)
_STARTTLS = Scheme(Security.STARTTLS, RELAY)
_SUBMISSION = Scheme(Security.STARTTLS, SUBMISSION)
_IMPLICIT = Scheme(Security.IMPLICIT_TLS, SUBMISSIONS)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "django": Dialect(
            "django-environ and dj-email-url",
            "EMAIL_URL",
            {
                "smtp": _PLAIN,
                "smtps": _STARTTLS,
                "smtp+tls": _STARTTLS,
                "smtp+ssl": _IMPLICIT,
                "submission": _SUBMISSION,
                "submit": _SUBMISSION,
            },
            {
                "ssl": Security.IMPLICIT_TLS,
                "tls": Security.STARTTLS,
                "email_use_ssl": Security.IMPLICIT_TLS,
                "email_use_tls": Security.STARTTLS,
            },
        ),
        "symfony": Dialect(
            "Symfony",
            "MAILER_DSN",
            {"smtp": Scheme(Security.OPPORTUNISTIC, RELAY), "smtps": _IMPLICIT},
            {"require_tls": Security.STARTTLS},
            _symfony,
        ),
        "nodemailer": Dialect(
            "nodemailer",
            None,
            {"smtp": Scheme(Security.OPPORTUNISTIC, SUBMISSION), "smtps": _IMPLICIT},
            {
                "secure": Security.IMPLICIT_TLS,
                "requiretls": Security.STARTTLS,
                "ignoretls": Security.PLAINTEXT,
            },
        ),
    }
)

_SENDERS = ("_default_from_email", "from")

_UNVERIFIED = ("verify_peer", "tls.rejectunauthorized")
"""Options that switch verification off, if they are false."""

_LEFT = {
    "timeout": "is no environment variable: give timeouts= in Python",
    "_server_email": "is the sender of Django's mails to its admins: keep it in Django's SERVER_EMAIL",
    "local_domain": "is what is said in EHLO: give local_hostname= in Python",
    "name": "is what is said in EHLO: give local_hostname= in Python",
    "pool": "connections are kept by themselves",
}


def read(asked: Asked) -> Found:
    """The account of a URL: `source` itself, the variable that it names, or the dialect's usual variable.

    Raises:
        ConfigurationError: there is none, or it cannot be read. No error shows the URL.
    """
    name = asked.dialect or "django"
    dialect = DIALECTS[name]
    url, where = _url(asked.source, dialect=dialect)
    parts, port = _parts(url, where=where)
    scheme = _scheme(parts, port, dialect=dialect, where=where)
    options = {
        key.lower(): values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()
    }
    security = _security(scheme, options, dialect=dialect)
    notes: list[str] = []
    if name == "django" and parts.scheme == "smtps" and security is Security.STARTTLS:
        security, note = _trap(port)
        notes.append(note)
    return Found(
        where=f"{where}, as {dialect.names} read{'s' if name != 'django' else ''} it",
        host=parts.hostname or "localhost",
        port=port,
        usual_port=scheme.usual_port,
        security=security,
        username=unquote(parts.username or "", errors="surrogateescape") or None,
        password=unquote(parts.password or "", errors="surrogateescape") or None,
        sender=next((options[key] for key in _SENDERS if options.get(key)), None),
        notes=(*notes, *_notes(options, path=parts.path, dialect=dialect)),
        how_to_get_password=None if parts.password else _NO_PASSWORD,
    )


_NO_PASSWORD = "the URL has no password: put it into a file, and its path into PORTMAIL_PASSWORD_FILE"  # noqa: S105


def _url(source: str | None, *, dialect: Dialect) -> tuple[str, str]:
    """The URL and where it is from."""
    if source and "://" in source:
        return source, "the URL given"
    variable = source or dialect.variable
    if variable is None:
        raise ConfigurationError("which URL? Name the environment variable that it is in")
    if not (url := os.environ.get(variable)):
        raise NothingFound(f"{one_line(variable)} is not set in the environment: give a URL, or its variable")
    return url, one_line(variable)


def _parts(url: str, *, where: str) -> tuple[SplitResult, int | None]:
    """The URL and its port, if it can be read."""
    with contextlib.suppress(ValueError):  # its text has a part of the password
        parts = urlsplit(url.strip())
        if not _cut_early(parts):
            return parts, parts.port
    raise ConfigurationError(
        f"{where} cannot be read: is there a raw /, ?, # or [ in its password? Write %2F, %3F, %23, %5B"
    )


def _cut_early(parts: SplitResult) -> bool:
    """Whether an @ stands behind the host, so that what seems to be one is a part of the password.

    A raw @ or : before the host does no harm: those programs cut at the last @, and so is it here.
    """
    names = "".join(option.partition("=")[0] for option in parts.query.split("&"))
    return "@" in f"{parts.path}{names}{parts.fragment}"


def _scheme(parts: SplitResult, port: int | None, *, dialect: Dialect, where: str) -> Scheme:
    if parts.scheme not in dialect.schemes:
        what = f"{parts.scheme}://" if parts.scheme.isalnum() else "its scheme"
        known = ", ".join(f"{name}://" for name in dialect.schemes)
        raise NothingFound(f"{where}: {what} is no SMTP to {dialect.names}: that would be {known}")
    return dialect.by_port(parts.scheme, parts.hostname or "localhost", port) or dialect.schemes[parts.scheme]


def _security(scheme: Scheme, options: Mapping[str, str], *, dialect: Dialect) -> Security:
    """The scheme's, unless an option says another."""
    said = (security for name, security in dialect.switches.items() if options.get(name, "").lower() in _TRUE)
    first = next(said, scheme.security)
    return scheme.security if scheme.security is Security.IMPLICIT_TLS else first


def _trap(port: int | None) -> tuple[Security, str]:
    """What `smtps://` is to be here, which the port decides; and the warning."""
    differs = "WARNING: smtps:// is STARTTLS to django-environ and dj-email-url, and implicit TLS to portmail"
    if port == SUBMISSIONS:
        return (
            Security.IMPLICIT_TLS,
            f"{differs}. Port 465 is for implicit TLS: so it is submissions:// (there it is STARTTLS on 465)",
        )
    return Security.STARTTLS, f"{differs}: here it is submission:// (STARTTLS)"


def _notes(options: Mapping[str, str], *, path: str, dialect: Dialect) -> Iterator[str]:
    for name in _UNVERIFIED:
        if options.get(name, "true").lower() in _FALSE:
            yield f"WARNING: {name} is off: the server is not verified there. portmail always does"
    if options.get("auto_tls", "true").lower() in _FALSE:
        yield "auto_tls is off: there, STARTTLS is not used though it is offered"
    yield from left_behind(options, _LEFT)
    if path.strip("/"):
        yield "what stands behind the host means nothing for SMTP: left out"
    known = {*dialect.switches, *_SENDERS, *_UNVERIFIED, *_LEFT, "auto_tls"}
    if unknown := set(options) - known:
        yield f"options that are not carried over: {listed(unknown)}"
