"""What is seen of a way, and a row of what it comes to: the words in which the table is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from portmail.case import Surroundings
from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.diagnosis import LoginOutcome
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.route import PORTS, Route
from portmail.security import Security
from portmail.seen import Seen
from portmail.situation import Blocker, Situation
from portmail.story import Note

HOST = "mail.example.com"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
STARTTLS, IMPLICIT = Security.STARTTLS, Security.IMPLICIT_TLS
RELAY, PLAIN = Security.OPPORTUNISTIC, Security.PLAINTEXT


def certificate(*names: str, issuer: str = "R11", days: int = 60) -> Certificate:
    """One that is valid for so many days from now."""
    return Certificate(names or (HOST,), HOST, issuer, NOW - timedelta(days=90), NOW + timedelta(days=days))


def failed(phase: Phase, cause: Cause, detail: str = "", shown: Certificate | None = None) -> Failure:
    return Failure(phase, cause, detail, certificate=shown)


def said(phase: Phase, code: int, enhanced: str | None = None, text: str = "no") -> Failure:
    return Failure.of_reply(phase, Reply(code, enhanced, text))


def way(
    port: int,
    failure: Failure | None = None,
    *,
    mode: Security | None = None,
    host: str = HOST,
    family: int | None = None,
    used: bool = True,
    encrypted: bool = True,
    shown: Certificate | None = None,
    name: str = "",
) -> Seen:
    route = Route(host, port, mode or PORTS[port])
    return Seen(route, failure, family, used, encrypted, shown, name)


DROP = failed(Phase.CONNECT, Cause.TIMED_OUT, "after 4.0 s")
FORBID = failed(Phase.CONNECT, Cause.PROHIBITED)
HERE = failed(Phase.CONNECT, Cause.PROHIBITED_HERE)
CLOSED = failed(Phase.CONNECT, Cause.REFUSED)
NOWHERE = failed(Phase.CONNECT, Cause.UNREACHABLE)
HANG_UP = failed(Phase.GREETING, Cause.DROPPED)
MUTE = failed(Phase.GREETING, Cause.SILENT)
NO_HANDSHAKE = failed(Phase.TLS, Cause.NO_REPLY)
NO_NAME = failed(Phase.CONNECT, Cause.NAME_NOT_FOUND, HOST)
NO_RESOLVER = failed(Phase.CONNECT, Cause.RESOLVER_FAILED, HOST)
WEB = failed(Phase.GREETING, Cause.PORTAL, "HTTP/1.1 302 Found")
SSH = failed(Phase.GREETING, Cause.NOT_SMTP, "SSH-2.0-OpenSSH_9.6")
STRIPPED = failed(Phase.TLS, Cause.STARTTLS_STRIPPED, "XXXXXXXA stands in its place")
NO_TLS = failed(Phase.TLS, Cause.STARTTLS_NOT_OFFERED)
IN_CLEAR = failed(Phase.TLS, Cause.CLEAR_AUTH)
OTHERS = failed(Phase.TLS, Cause.PROXY, f"it calls itself relay.isp.example, not {HOST}")
INJECTED = failed(Phase.TLS, Cause.STARTTLS_INJECTION)
AVAST = failed(
    Phase.TLS, Cause.CERTIFICATE_INTERCEPTED, shown=certificate(issuer="Avast Web/Mail Shield Root")
)
EXPIRED = failed(Phase.TLS, Cause.CERTIFICATE_EXPIRED, "it expired", certificate(days=-3))
MISNAMED = failed(
    Phase.TLS, Cause.CERTIFICATE_NAME, "x", certificate("a.example", "b.example", "c.example", "d.example")
)
UNTRUSTED = failed(Phase.TLS, Cause.CERTIFICATE_UNTRUSTED, "x", certificate(issuer="My CA"))
UNFIT = failed(Phase.TLS, Cause.CERTIFICATE_INVALID, "unsuitable certificate purpose, issued by 'X'")
WANTS_OURS = failed(Phase.TLS, Cause.CLIENT_CERTIFICATE)
WRONG_VERSION = failed(Phase.TLS, Cause.TLS_ON_PLAIN_PORT, "wrong version number")
TLS_BROKEN = failed(Phase.TLS, Cause.TLS_FAILED, "tlsv1 alert protocol version")
NO_LOGIN = failed(Phase.EHLO, Cause.NO_MECHANISM, "it offers GSSAPI")
WEAKER = failed(Phase.CONNECT, Cause.WEAKER)
LATE = failed(Phase.CONNECT, Cause.OUT_OF_TIME)
OVERTAKEN = failed(Phase.CONNECT, Cause.OVERTAKEN)
BANNED = said(Phase.GREETING, 554, "5.7.1", "You are on a list.")
BUSY = said(Phase.GREETING, 421, "4.7.0", "Too many connections")

HOME = Surroundings(now=NOW, username="me@example.com")
CLOUD = replace(HOME, place="Droplets", blocks=frozenset({25, 465, 587}), policy="Droplets let no mail out.")
NO_25_CLOUD = replace(CLOUD, blocks=frozenset({25}))
NO_NETWORK = replace(HOME, online=False)


@dataclass(frozen=True)
class Row:
    """What was seen, and what it comes to. `open` is the port of the open way, `says` what is told of it."""

    is_so: str
    ways: list[Seen]
    situation: Situation
    blocker: Blocker
    open: int | None = None
    notes: tuple[Note, ...] = ()
    says: tuple[str, ...] = ()
    around: Surroundings = HOME
    login: LoginOutcome | None = None
    never: tuple[str, ...] = field(default=())
