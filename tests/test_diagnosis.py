"""What is the matter, who stands in the way, what is to be done? The decision table, as data."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.diagnosis import Diagnosis, LoginOutcome, Surroundings, diagnose
from portmail.failure import Failure, Phase
from portmail.language import english
from portmail.phrase import Phrase
from portmail.reply import Reply
from portmail.route import PORTS, Route, routes_to
from portmail.security import Security
from portmail.seen import Seen
from portmail.situation import MAIL_GOES_OUT, Blocker, Note, Situation
from portmail.url import parse_url

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
) -> Seen:
    route = Route(host, port, mode or PORTS[port])
    return Seen(route, failure, family, used, encrypted, shown)


DROP = failed(Phase.CONNECT, Cause.TIMED_OUT, "after 4.0 s")
FORBID = failed(Phase.CONNECT, Cause.PROHIBITED)
CLOSED = failed(Phase.CONNECT, Cause.REFUSED)
NOWHERE = failed(Phase.CONNECT, Cause.UNREACHABLE)
HANG_UP = failed(Phase.GREETING, Cause.DROPPED)
MUTE = failed(Phase.GREETING, Cause.SILENT)
NO_HANDSHAKE = failed(Phase.TLS, Cause.NO_REPLY)
NO_NAME = failed(Phase.CONNECT, Cause.NAME_NOT_FOUND, HOST)
NO_RESOLVER = failed(Phase.CONNECT, Cause.RESOLVER_FAILED, HOST)
WEB = failed(Phase.GREETING, Cause.PORTAL, "HTTP/1.1 302 Found")
SSH = failed(Phase.GREETING, Cause.NOT_SMTP, "SSH-2.0-OpenSSH_9.6")
STRIPPED = failed(Phase.TLS, Cause.STARTTLS_STRIPPED, "XXXXXXXA in its place: blotted out on the way")
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


OPENS = (
    Row(
        "both ports of an account are open",
        [way(587), way(465)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        says=("mail.example.com:587 starttls is open",),
    ),
    Row(
        "587 is blocked and 465 open",
        [way(587, DROP), way(465)],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        465,
        says=("by mail.example.com:465 implicit-tls", "by port 587 of mail.example.com", "port is silent"),
    ),
    Row(
        "465 is refused and 587 open",
        [way(587), way(465, CLOSED)],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        587,
        says=("by port 465", "connection refused"),
    ),
    Row(
        "465 answers busy, and its full stop is not doubled",
        [way(587), way(465, said(Phase.GREETING, 421, None, "later."))],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        587,
        says=("421 later. Nothing",),
    ),
    Row(
        "587 and 465 are both blocked, and 2525 of the settings is open",
        [way(587, DROP), way(465, DROP), way(2525, mode=STARTTLS)],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        2525,
        says=("by ports 587 and 465",),
    ),
    Row(
        "a company's relay: the submission ports are closed, 25 is open and encrypted",
        [way(587, CLOSED), way(465, CLOSED), way(25)],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        25,
        says=("by ports 587 and 465",),
    ),
    Row(
        "a company's relay without TLS",
        [way(587, CLOSED), way(465, CLOSED), way(25, encrypted=False)],
        Situation.OPEN_UNENCRYPTED,
        Blocker.NOBODY,
        25,
    ),
    Row(
        "a relay without TLS that was asked for by name",
        [way(25, mode=PLAIN, encrypted=False)],
        Situation.OPEN_UNENCRYPTED,
        Blocker.NOBODY,
        25,
    ),
    Row(
        "a relay alone, open and encrypted",
        [way(25), way(587, DROP, used=False)],
        Situation.OPEN,
        Blocker.NOBODY,
        25,
    ),
    Row(
        "a relay alone is open, and so is a way that its mail does not take",
        [way(25), way(587, used=False)],
        Situation.OPEN,
        Blocker.NOBODY,
        25,
        says=("mail.example.com:25 opportunistic is open",),
    ),
    Row(
        "587 is stripped and 465 open: that is told",
        [way(587, STRIPPED), way(465)],
        Situation.TAMPERED_IN_PART,
        Blocker.NETWORK,
        465,
        says=("by port 587", "taken away on the way"),
    ),
    Row(
        "a danger is told rather than silence before it",
        [way(587, DROP), way(465, AVAST), way(2525, mode=STARTTLS)],
        Situation.TAMPERED_IN_PART,
        Blocker.NETWORK,
        2525,
        says=("by port 465", "certificate of its own"),
        never=("port is silent", "port 587"),
    ),
    Row(
        "a wrong certificate of one port is told in words, not by what it holds alone",
        [way(587), way(465, MISNAMED)],
        Situation.TAMPERED_IN_PART,
        Blocker.NETWORK,
        587,
        notes=(Note.HINT,),
        says=("the certificate is for another name.",),
    ),
    Row(
        "Yahoo! JAPAN has no STARTTLS on 587, and the hint says that it is no attack",
        [way(587, NO_TLS, host="smtp.mail.yahoo.co.jp"), way(465, host="smtp.mail.yahoo.co.jp")],
        Situation.TAMPERED_IN_PART,
        Blocker.NETWORK,
        465,
        (Note.HINT,),
        says=("that is no attack",),
    ),
    Row(
        "Microsoft has no 465, and the hint says so",
        [way(587, host="smtp.office365.com"), way(465, CLOSED, host="smtp.office365.com")],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        587,
        (Note.HINT,),
        says=("has no port 465",),
    ),
    Row(
        "nobody misses a relay's port beside an encrypted way",
        [way(587), way(465), way(25, DROP)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.RELAY_CLOSED,),
    ),
    Row(
        "the first of several hosts is open",
        [way(587, host="a.example"), way(587, DROP, host="b.example")],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        587,
        says=("a.example:587", "of b.example"),
    ),
)

NOTES = (
    Row(
        "OP25B: an account by 587 does not need port 25",
        [way(587), way(465), way(25, DROP, used=False)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.RELAY_CLOSED,),
    ),
    Row(
        "OP25B on a machine that has IPv4 alone",
        [way(587), way(25, DROP, used=False, family=4), way(25, NOWHERE, used=False, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.RELAY_CLOSED,),
    ),
    Row(
        "a server that does not listen on 25 is no news",
        [way(587), way(25, CLOSED, used=False)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "port 25 is closed by IPv4 and open by IPv6: that is no OP25B",
        [
            way(587, family=4),
            way(587, family=6),
            way(25, DROP, used=False, family=4),
            way(25, used=False, family=6),
        ],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "port 25 has no way for want of IPv6, and nobody was asked",
        [way(587), way(25, NOWHERE, used=False, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "IPv6 is dead while IPv4 is open",
        [way(587, family=4), way(587, DROP, family=6), way(465, family=4), way(465, DROP, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.IPV6_DEAD,),
        says=("IPv6 leads nowhere (no answer: the port is silent)",),
    ),
    Row(
        "IPv4 is dead while IPv6 is open",
        [way(587, FORBID, family=4), way(587, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.IPV4_DEAD,),
        says=("IPv4 leads nowhere (the network forbids the connection)",),
    ),
    Row(
        "this machine has no IPv6 at all",
        [way(587, family=4), way(587, NOWHERE, family=6), way(465, family=4), way(465, NOWHERE, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "IPv6 is blocked on one port and open on another",
        [way(587, family=4), way(587, DROP, family=6), way(465, family=4), way(465, family=6)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "IPv6 is dead and port 25 closed, and both are told",
        [way(587, family=4), way(587, DROP, family=6), way(25, DROP, used=False, family=4)],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.IPV6_DEAD, Note.RELAY_CLOSED),
    ),
    Row(
        "where nothing is open, a dead family is not spoken of",
        [way(587, CLOSED, family=4), way(587, DROP, family=6)],
        Situation.REFUSED,
        Blocker.SETTINGS,
    ),
    Row(
        "a certificate expires in thirteen days",
        [way(587, shown=certificate(days=13)), way(465, shown=certificate(days=13))],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
        (Note.EXPIRES,),
        says=("certificate of mail.example.com expires in 13 days",),
    ),
    Row(
        "a certificate expires in fourteen days, which is not soon",
        [way(587, shown=certificate(days=14))],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "the certificate of a way that no mail takes expires",
        [way(587, shown=certificate()), way(465, used=False, shown=certificate(days=1))],
        Situation.OPEN,
        Blocker.NOBODY,
        587,
    ),
    Row(
        "a relay's certificate has expired, which counts for nothing there",
        [way(25, shown=certificate(days=-30))],
        Situation.OPEN,
        Blocker.NOBODY,
        25,
    ),
)

LOGINS = (
    Row(
        "the login went well",
        [way(587), way(465)],
        Situation.LOGGED_IN,
        Blocker.NOBODY,
        587,
        says=("took the login of me@example.com",),
        login=LoginOutcome(None),
    ),
    Row(
        "the login went well, and port 25 is closed",
        [way(587), way(25, DROP, used=False)],
        Situation.LOGGED_IN,
        Blocker.NOBODY,
        587,
        (Note.RELAY_CLOSED,),
        login=LoginOutcome(None),
    ),
    Row(
        "the login went well, but another way is not secure: that is not hidden",
        [way(587, STRIPPED), way(465)],
        Situation.TAMPERED_IN_PART,
        Blocker.NETWORK,
        465,
        login=LoginOutcome(None),
    ),
    Row(
        "the login was refused, and another way is not secure: the login comes first",
        [way(587, STRIPPED), way(465)],
        Situation.LOGIN_REFUSED,
        Blocker.ACCOUNT,
        465,
        login=LoginOutcome(said(Phase.AUTH, 550)),
    ),
    Row(
        "a wrong password",
        [way(587)],
        Situation.LOGIN_REFUSED,
        Blocker.ACCOUNT,
        587,
        notes=(Note.HINT,),
        says=("login of me@example.com: 535 5.7.8 bad credentials.",),
        login=LoginOutcome(said(Phase.AUTH, 535, "5.7.8", "bad credentials")),
    ),
    Row(
        "Microsoft switched passwords off",
        [way(587, host="smtp.office365.com")],
        Situation.LOGIN_REFUSED,
        Blocker.ACCOUNT,
        587,
        (Note.HINT, Note.HINT),
        says=("535 5.7.139", "SMTP AUTH is switched off"),
        login=LoginOutcome(
            said(
                Phase.AUTH,
                535,
                "5.7.139",
                "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            )
        ),
    ),
    Row(
        "no login just now",
        [way(587)],
        Situation.LOGIN_FAILED,
        Blocker.SERVER,
        587,
        notes=(Note.HINT,),
        says=("454 4.7.0 later",),
        login=LoginOutcome(said(Phase.AUTH, 454, "4.7.0", "later")),
    ),
    Row(
        "the answer to the login cannot be understood, which is no refusal",
        [way(587)],
        Situation.LOGIN_FAILED,
        Blocker.SERVER,
        587,
        login=LoginOutcome(failed(Phase.AUTH, Cause.LOGIN_UNCLEAR)),
    ),
    Row(
        "the second connection, for the login, was turned away",
        [way(587)],
        Situation.LOGIN_FAILED,
        Blocker.SERVER,
        587,
        login=LoginOutcome(BANNED),
    ),
    Row(
        "no login is told where nothing is open",
        [way(587, DROP)],
        Situation.SILENT,
        Blocker.UNKNOWN,
        login=LoginOutcome(None),
    ),
)

NETWORKS = (
    Row(
        "no network, and so no way",
        [way(587, NOWHERE), way(465, NOWHERE)],
        Situation.OFFLINE,
        Blocker.MACHINE,
        around=NO_NETWORK,
    ),
    Row(
        "no network, and so no resolver",
        [way(587, NO_RESOLVER)],
        Situation.OFFLINE,
        Blocker.MACHINE,
        around=NO_NETWORK,
    ),
    Row(
        "no network, and so no name",
        [way(587, NO_NAME)],
        Situation.OFFLINE,
        Blocker.MACHINE,
        around=NO_NETWORK,
    ),
    Row(
        "no network, and an answer that it is forbidden",
        [way(587, FORBID)],
        Situation.OFFLINE,
        Blocker.MACHINE,
        around=NO_NETWORK,
    ),
    Row(
        "no network, and a relay: nothing is said of port 25",
        [way(25, NOWHERE)],
        Situation.OFFLINE,
        Blocker.MACHINE,
        around=NO_NETWORK,
    ),
    Row(
        "no network, and a server on this machine that does not run",
        [way(25, CLOSED, host="localhost")],
        Situation.REFUSED,
        Blocker.SETTINGS,
        around=NO_NETWORK,
        says=("localhost is there, but nothing listens on port 25",),
    ),
    Row(
        "the resolver is down",
        [way(587, NO_RESOLVER), way(465, NO_RESOLVER)],
        Situation.RESOLVER_DOWN,
        Blocker.RESOLVER,
        says=("The name mail.example.com",),
    ),
    Row(
        "the name is wrong", [way(587, NO_NAME), way(465, NO_NAME)], Situation.NO_SUCH_HOST, Blocker.SETTINGS
    ),
    Row(
        "connected, but no way to that host",
        [way(587, NOWHERE), way(465, NOWHERE)],
        Situation.NO_ROUTE,
        Blocker.NETWORK,
    ),
    Row(
        "to one port there is no way, and another is open: a firewall says so",
        [way(587, NOWHERE), way(465)],
        Situation.OPEN_IN_PART,
        Blocker.NOBODY,
        465,
        says=("by port 587", "the network forbids the connection"),
    ),
    Row(
        "to one port there is no way, and another is open with other settings",
        [way(587, NOWHERE), way(465, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        465,
    ),
    Row(
        "to one port there is no way, and another refuses, which a firewall may do, too",
        [way(587, NOWHERE), way(465, CLOSED)],
        Situation.REFUSED,
        Blocker.SETTINGS,
    ),
    Row(
        "to the ports for mail there is no way, and to the host there is",
        [way(587, NOWHERE), way(465, NOWHERE)],
        Situation.FORBIDDEN,
        Blocker.NETWORK,
        around=replace(HOME, alive=True),
    ),
    Row(
        "this machine has no IPv6, and nothing listens by IPv4",
        [way(587, CLOSED, family=4), way(587, NOWHERE, family=6)],
        Situation.REFUSED,
        Blocker.SETTINGS,
    ),
    Row(
        "a captive portal answers for every port",
        [way(587, WEB), way(465, WRONG_VERSION)],
        Situation.PORTAL,
        Blocker.NETWORK,
        says=("in place of mail.example.com",),
    ),
    Row(
        "another service answers, and what it says is told",
        [way(2525, SSH, mode=STARTTLS)],
        Situation.NOT_SMTP,
        Blocker.SETTINGS,
        says=("port 2525 of mail.example.com is not a mail server: SSH-2.0-OpenSSH_9.6",),
    ),
)

DANGERS = (
    Row(
        "a virus scanner looks inside",
        [way(587), way(465, AVAST)][1:],
        Situation.INTERCEPTED,
        Blocker.MACHINE,
        says=("Avast opens the encrypted connection to mail.example.com",),
    ),
    Row(
        "an unknown proxy looks inside, and is told by its issuer",
        [way(465, replace(AVAST, certificate=certificate(issuer="ACME Proxy CA")))],
        Situation.INTERCEPTED,
        Blocker.MACHINE,
        says=("ACME Proxy CA opens",),
    ),
    Row(
        "somebody without a name looks inside",
        [way(465, replace(AVAST, certificate=certificate(issuer="")))],
        Situation.INTERCEPTED,
        Blocker.MACHINE,
        says=("? opens",),
    ),
    Row(
        "a certificate without the name of an issuer is not trusted",
        [way(465, replace(UNTRUSTED, certificate=certificate(issuer="")))],
        Situation.CERTIFICATE_UNTRUSTED,
        Blocker.SERVER,
        says=("issued by ?",),
    ),
    Row(
        "a proxy answers by its own name",
        [way(587, OTHERS), way(465, DROP)],
        Situation.PROXY,
        Blocker.NETWORK,
        says=("calls itself relay.isp.example,",),
    ),
    Row(
        "a proxy where STARTTLS was before",
        [way(587, replace(OTHERS, detail=f"it offered STARTTLS on 2026-11-01; {OTHERS.detail}"))],
        Situation.PROXY,
        Blocker.NETWORK,
        says=("calls itself relay.isp.example,",),
    ),
    Row(
        "STARTTLS was taken away",
        [way(587, STRIPPED), way(465, DROP)],
        Situation.STRIPPED,
        Blocker.NETWORK,
        says=("on port 587",),
    ),
    Row(
        "words were put in behind STARTTLS",
        [way(587, INJECTED), way(465, STRIPPED)],
        Situation.INJECTED,
        Blocker.NETWORK,
    ),
    Row(
        "no STARTTLS",
        [way(587, NO_TLS), way(465, CLOSED)],
        Situation.NO_STARTTLS,
        Blocker.SERVER,
        says=("on port 587",),
    ),
    Row(
        "passwords in clear only",
        [way(587, IN_CLEAR), way(465, CLOSED)],
        Situation.CLEAR_AUTH,
        Blocker.SERVER,
    ),
    Row(
        "a certificate has expired",
        [way(587, EXPIRED), way(465, EXPIRED)],
        Situation.CERTIFICATE_EXPIRED,
        Blocker.SERVER,
        says=("it is valid from 2026-08-24 to 2026-11-19",),
    ),
    Row(
        "the certificate of its issuer has expired",
        [way(587, replace(EXPIRED, detail="that of its issuer 'X' expired", certificate=certificate()))],
        Situation.CERTIFICATE_EXPIRED,
        Blocker.SERVER,
        says=("not valid today: that of its issuer 'X' expired.",),
    ),
    Row(
        "a certificate has expired, and cannot be read",
        [way(587, replace(EXPIRED, certificate=None))],
        Situation.CERTIFICATE_EXPIRED,
        Blocker.SERVER,
        says=("not valid today: it expired.",),
    ),
    Row(
        "a certificate is another name's",
        [way(587, MISNAMED)],
        Situation.CERTIFICATE_NAME,
        Blocker.SETTINGS,
        notes=(Note.HINT,),
        says=("it is for a.example, b.example, c.example.",),
    ),
    Row(
        "a certificate is no name's",
        [way(587, replace(MISNAMED, certificate=replace(certificate(), names=())))],
        Situation.CERTIFICATE_NAME,
        Blocker.SETTINGS,
        notes=(Note.HINT,),
        says=("it is for no name that counts.",),
    ),
    Row(
        "a certificate is not trusted",
        [way(587, UNTRUSTED)],
        Situation.CERTIFICATE_UNTRUSTED,
        Blocker.SERVER,
        says=("issued by My CA.",),
    ),
    Row(
        "a certificate is no good",
        [way(587, UNFIT)],
        Situation.CERTIFICATE_INVALID,
        Blocker.SERVER,
        says=("not valid: unsuitable certificate purpose",),
    ),
    Row(
        "the server wants to see ours", [way(587, WANTS_OURS)], Situation.CLIENT_CERTIFICATE, Blocker.SETTINGS
    ),
    Row(
        "TLS fails",
        [way(587, TLS_BROKEN)],
        Situation.TLS_FAILED,
        Blocker.SERVER,
        says=("could not be set up: tlsv1 alert protocol version.",),
    ),
    Row(
        "TLS fails, and nobody knows why",
        [way(587, failed(Phase.TLS, Cause.TLS_FAILED))],
        Situation.TLS_FAILED,
        Blocker.SERVER,
        says=("the TLS handshake failed.",),
    ),
    Row(
        "STARTTLS is refused",
        [way(587, Failure(Phase.TLS, Cause.STARTTLS_REFUSED, reply=Reply(454, "4.7.0", "not now")))],
        Situation.TLS_FAILED,
        Blocker.SERVER,
        says=("454 4.7.0 not now.",),
    ),
    Row(
        "the proof is missing",
        [way(587, failed(Phase.TLS, Cause.NO_PROOF))],
        Situation.TLS_FAILED,
        Blocker.SERVER,
    ),
    Row(
        "port 25 is open, but is not gone behind a danger",
        [way(587, STRIPPED), way(465, DROP), way(25, encrypted=False)],
        Situation.STRIPPED,
        Blocker.NETWORK,
        None,
    ),
    Row(
        "port 25 is open and encrypted, but proves nothing, and is not gone behind a danger",
        [way(587, UNTRUSTED), way(465, CLOSED), way(25)],
        Situation.CERTIFICATE_UNTRUSTED,
        Blocker.SERVER,
        None,
    ),
)

MODES = (
    Row(
        "TLS is spoken to a port for STARTTLS",
        [way(587, WRONG_VERSION, mode=IMPLICIT)],
        Situation.TLS_ON_PLAIN_PORT,
        Blocker.SETTINGS,
        says=('"wrong version number"', "port 587 of mail.example.com"),
    ),
    Row(
        "TLS is spoken to a port for STARTTLS, and 465 is open",
        [way(587, WRONG_VERSION, mode=IMPLICIT), way(465, used=False)],
        Situation.TLS_ON_PLAIN_PORT,
        Blocker.SETTINGS,
        465,
    ),
    Row(
        "STARTTLS is waited for on 465, which is silent",
        [way(465, MUTE, mode=STARTTLS)],
        Situation.PLAIN_ON_TLS_PORT,
        Blocker.SETTINGS,
        says=("silent on port 465",),
    ),
    Row(
        "STARTTLS is waited for on 465, and 587 is open",
        [way(465, MUTE, mode=STARTTLS), way(587, used=False)],
        Situation.PLAIN_ON_TLS_PORT,
        Blocker.SETTINGS,
        587,
    ),
    Row(
        "465 shakes hands as it should, and then says nothing",
        [way(465, MUTE)],
        Situation.MUTE,
        Blocker.NETWORK,
    ),
    Row(
        "a relay is looked for on 465",
        [way(465, MUTE, mode=RELAY)],
        Situation.PLAIN_ON_TLS_PORT,
        Blocker.SETTINGS,
    ),
    Row(
        "an alternate port was asked, and speaks TLS",
        [way(2465, failed(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT), mode=STARTTLS)],
        Situation.PLAIN_ON_TLS_PORT,
        Blocker.SETTINGS,
        says=("port 2465",),
    ),
    Row("587 is taken, and nobody speaks", [way(587, MUTE)], Situation.MUTE, Blocker.NETWORK),
    Row("465 is taken, and nobody shakes hands", [way(465, NO_HANDSHAKE)], Situation.MUTE, Blocker.NETWORK),
    Row(
        "587 says nothing in clear, and 465 nothing with TLS: told as one",
        [way(587, MUTE), way(465, NO_HANDSHAKE)],
        Situation.MUTE,
        Blocker.NETWORK,
        says=("ports 587 and 465",),
    ),
    Row(
        "a server greets, and answers no EHLO: that is not mute",
        [way(587, failed(Phase.EHLO, Cause.NO_REPLY))],
        Situation.OTHER,
        Blocker.UNKNOWN,
        says=("the server stopped answering",),
    ),
)

REPLIES = (
    Row(
        "the server wants nothing of this machine",
        [way(587, BANNED), way(465, DROP)],
        Situation.TURNED_AWAY,
        Blocker.SERVER,
        says=("554 5.7.1 You are on a list. The",),
    ),
    Row(
        "the server is busy",
        [way(587, BUSY)],
        Situation.BUSY,
        Blocker.SERVER,
        notes=(Note.HINT,),
        says=("421 4.7.0 Too many",),
    ),
    Row(
        "no login that fits",
        [way(587, NO_LOGIN), way(465, NO_LOGIN)],
        Situation.NO_MECHANISM,
        Blocker.SERVER,
        says=("no login that fits: it offers GSSAPI.",),
    ),
    Row(
        "the connection breaks in the middle",
        [way(587, failed(Phase.EHLO, Cause.LOST))],
        Situation.OTHER,
        Blocker.UNKNOWN,
        says=("the connection was lost",),
    ),
    Row("a fault of ours", [way(587, failed(Phase.EHLO, Cause.FAULT))], Situation.OTHER, Blocker.UNKNOWN),
)

FIREWALLS = (
    Row(
        "nothing of the host answers",
        [way(587, DROP), way(465, DROP)],
        Situation.SILENT,
        Blocker.UNKNOWN,
        says=("on ports 587 and 465",),
    ),
    Row(
        "the host answers elsewhere",
        [way(587, DROP), way(465, DROP)],
        Situation.BLOCKED,
        Blocker.NETWORK,
        around=replace(HOME, alive=True),
        says=("mail.example.com is there", "on ports 587 and 465"),
    ),
    Row(
        "somebody asked, and the host does not answer elsewhere",
        [way(587, DROP)],
        Situation.SILENT,
        Blocker.UNKNOWN,
        around=replace(HOME, alive=False),
    ),
    Row(
        "one port is silent and another refuses: the host is there",
        [way(587, DROP), way(465, CLOSED)],
        Situation.BLOCKED,
        Blocker.NETWORK,
        says=("on port 587",),
    ),
    Row(
        "another host's answer does not make this one alive",
        [way(587, DROP, host="a.example"), way(465, CLOSED, host="b.example")],
        Situation.SILENT,
        Blocker.UNKNOWN,
        says=("a.example",),
    ),
    Row(
        "what was not tried to its end does not make the host alive",
        [way(587, DROP), way(465, LATE), way(2525, OVERTAKEN, mode=STARTTLS), way(25, WEAKER)],
        Situation.SILENT,
        Blocker.UNKNOWN,
    ),
    Row(
        "a firewall says that it forbids",
        [way(587, FORBID), way(465, FORBID)],
        Situation.FORBIDDEN,
        Blocker.NETWORK,
        says=("to ports 587 and 465",),
    ),
    Row(
        "a firewall forbids one port and drops the other: told as one",
        [way(587, DROP), way(465, FORBID)],
        Situation.FORBIDDEN,
        Blocker.NETWORK,
        says=("to ports 587 and 465",),
    ),
    Row(
        "connections are cut off at once",
        [way(587, HANG_UP), way(465, CLOSED)],
        Situation.RESET,
        Blocker.NETWORK,
        says=("to port 587",),
    ),
    Row(
        "nothing listens",
        [way(587, CLOSED), way(465, CLOSED)],
        Situation.REFUSED,
        Blocker.SETTINGS,
        says=("on ports 587 and 465",),
    ),
    Row(
        "nothing listens by IPv4, and IPv6 is dead as ever: no firewall is blamed",
        [
            way(587, CLOSED, family=4),
            way(587, DROP, family=6),
            way(465, CLOSED, family=4),
            way(465, DROP, family=6),
        ],
        Situation.REFUSED,
        Blocker.SETTINGS,
        says=("on ports 587 and 465",),
    ),
    Row(
        "both families are dead, and the one that says more is told",
        [way(587, DROP, family=4), way(587, NOWHERE, family=6)],
        Situation.SILENT,
        Blocker.UNKNOWN,
    ),
    Row(
        "a relay's port 25 is closed, and 587 open (OP25B)",
        [way(25, DROP), way(587, used=False), way(465, used=False)],
        Situation.RELAY_BLOCKED,
        Blocker.NETWORK,
        587,
        says=("mail.example.com:587 starttls", "submission://user@mail.example.com as the account URL"),
    ),
    Row(
        "a relay's port 25 is closed, and only 465 open",
        [way(25, FORBID), way(587, DROP, used=False), way(465, used=False)],
        Situation.RELAY_BLOCKED,
        Blocker.NETWORK,
        465,
        says=("submissions://user@mail.example.com as the account URL",),
    ),
    Row(
        "a relay takes the connection and hangs up: that is not OP25B",
        [way(25, HANG_UP), way(587, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        587,
        says=("closed without a greeting",),
    ),
    Row(
        "587 and 465 are closed, and 2525 is open",
        [way(587, DROP), way(465, DROP), way(2525, mode=STARTTLS, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        2525,
        says=("by ports 587 and 465", "submission://user@mail.example.com:2525", "port=2525 in"),
    ),
    Row(
        "587 and 465 are closed, and 2465 is open: its mode has to be said",
        [way(587, DROP), way(465, DROP), way(2465, mode=IMPLICIT, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        2465,
        says=("submissions://user@mail.example.com:2465", "port=2465, security='implicit-tls' in"),
    ),
    Row(
        "a server has only an IPv6 address",
        [way(465, DROP, host="2001:db8::1"), way(587, host="2001:db8::1", used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        587,
        says=("submission://user@[2001:db8::1] as",),
    ),
    Row(
        "a server has only an IPv6 address, and an alternate port",
        [way(587, DROP, host="2001:db8::1"), way(2525, host="2001:db8::1", mode=STARTTLS, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        2525,
        says=("submission://user@[2001:db8::1]:2525 as", "port=2525 in"),
    ),
    Row(
        "587 is refused, and 465 open",
        [way(587, CLOSED), way(465, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        465,
        says=("connection refused", "submissions://user@mail.example.com as", "port=465 in"),
    ),
    Row(
        "587 hangs up, and 465 is open",
        [way(587, HANG_UP), way(465, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        465,
    ),
    Row(
        "port 25 is open, but takes no login: that is no way out",
        [way(587, DROP), way(465, DROP), way(25, used=False)],
        Situation.BLOCKED,
        Blocker.NETWORK,
        None,
    ),
    Row(
        "the hosting provider blocks both ports",
        [way(587, DROP), way(465, DROP)],
        Situation.BLOCKED_BY_HOSTING,
        Blocker.HOSTING,
        around=replace(CLOUD, alive=True),
        says=("on ports 587 and 465", "at Droplets", "Droplets let no mail out."),
    ),
    Row(
        "the hosting provider blocks port 25 alone, and there is a relay",
        [way(587, CLOSED), way(465, CLOSED), way(25, DROP)],
        Situation.BLOCKED_BY_HOSTING,
        Blocker.HOSTING,
        around=NO_25_CLOUD,
        says=("on port 25:",),
    ),
    Row(
        "the hosting provider blocks 25, but 587 is silent too: it is not to blame",
        [way(587, DROP), way(465, DROP), way(25, DROP)],
        Situation.SILENT,
        Blocker.UNKNOWN,
        around=NO_25_CLOUD,
    ),
    Row(
        "the hosting provider does not block what refuses",
        [way(587, CLOSED), way(465, CLOSED)],
        Situation.REFUSED,
        Blocker.SETTINGS,
        around=CLOUD,
    ),
    Row(
        "the hosting provider blocks, but 2525 is open: that helps more",
        [way(587, DROP), way(465, DROP), way(2525, mode=STARTTLS, used=False)],
        Situation.OTHER_PORT_OPEN,
        Blocker.NETWORK,
        2525,
        around=CLOUD,
    ),
    Row(
        "several hosts, and the first does not exist",
        [way(587, NO_NAME, host="a.example"), way(587, CLOSED, host="b.example")],
        Situation.NO_SUCH_HOST,
        Blocker.SETTINGS,
        says=("a.example",),
    ),
    Row(
        "several hosts are silent, and the first is told with its ports alone",
        [
            way(587, DROP, host="a.example"),
            way(465, DROP, host="a.example"),
            way(2525, DROP, host="b.example", mode=STARTTLS),
        ],
        Situation.SILENT,
        Blocker.UNKNOWN,
        says=("a.example does not answer on ports 587 and 465:",),
    ),
)

ROWS = (*OPENS, *NOTES, *LOGINS, *NETWORKS, *DANGERS, *MODES, *REPLIES, *FIREWALLS)


def verdict(row: Row) -> Diagnosis:
    return diagnose(row.ways, surroundings=row.around, login=row.login)


def told(diagnosis: Diagnosis) -> str:
    """All that a person reads."""
    phrases = (diagnosis.headline, diagnosis.advice, *diagnosis.notes)
    return " ".join(phrase.said(english) for phrase in phrases if phrase)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_this_is_what_it_comes_to(row: Row) -> None:
    found = verdict(row)
    assert (found.situation, found.blocker) == (row.situation, row.blocker)
    assert (found.open.port if found.open else None) == row.open
    assert tuple(Note(note.text) for note in found.notes) == row.notes
    assert [words for words in row.says if words not in told(found)] == []
    assert [words for words in row.never if words in told(found)] == []


def test_every_situation_is_reached_and_every_note() -> None:
    assert {row.situation for row in ROWS} == set(Situation)
    assert {note for row in ROWS for note in row.notes} == set(Note)


def test_every_row_says_something_of_its_own() -> None:
    assert len({row.is_so for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_it_pickles_and_copies(row: Row) -> None:
    found = verdict(row)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  # our own
    assert copy.deepcopy(found) == found


GOES_OUT = {
    Situation.OPEN,
    Situation.OPEN_IN_PART,
    Situation.TAMPERED_IN_PART,
    Situation.OPEN_UNENCRYPTED,
    Situation.LOGGED_IN,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_mail_goes_out_where_a_way_is_open_and_no_login_was_refused(row: Row) -> None:
    assert verdict(row).can_send is (row.situation in GOES_OUT)


# What outranks what, from the danger of an attack down to silence, where each port came to another end.
BY_WEIGHT = [
    (WEB, Situation.PORTAL),
    (INJECTED, Situation.INJECTED),
    (AVAST, Situation.INTERCEPTED),
    (STRIPPED, Situation.STRIPPED),
    (OTHERS, Situation.PROXY),
    (EXPIRED, Situation.CERTIFICATE_EXPIRED),
    (MISNAMED, Situation.CERTIFICATE_NAME),
    (UNTRUSTED, Situation.CERTIFICATE_UNTRUSTED),
    (UNFIT, Situation.CERTIFICATE_INVALID),
    (WANTS_OURS, Situation.CLIENT_CERTIFICATE),
    (WRONG_VERSION, Situation.TLS_ON_PLAIN_PORT),
    (IN_CLEAR, Situation.CLEAR_AUTH),
    (NO_TLS, Situation.NO_STARTTLS),
    (TLS_BROKEN, Situation.TLS_FAILED),
    (BANNED, Situation.TURNED_AWAY),
    (BUSY, Situation.BUSY),
    (NO_LOGIN, Situation.NO_MECHANISM),
    (failed(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT), Situation.PLAIN_ON_TLS_PORT),
    (SSH, Situation.NOT_SMTP),
    (NO_RESOLVER, Situation.RESOLVER_DOWN),
    (NO_NAME, Situation.NO_SUCH_HOST),
    (FORBID, Situation.FORBIDDEN),
    (DROP, Situation.SILENT),
    (HANG_UP, Situation.RESET),
    (MUTE, Situation.MUTE),
    (CLOSED, Situation.REFUSED),
    (NOWHERE, Situation.NO_ROUTE),
    (failed(Phase.EHLO, Cause.LOST), Situation.OTHER),
]


@pytest.mark.parametrize("order", [1, -1], ids=["the heavier first", "the lighter first"])
@pytest.mark.parametrize("place", range(len(BY_WEIGHT) - 1), ids=lambda it: BY_WEIGHT[it][0].cause.value)
def test_of_two_failures_the_one_that_says_more_is_told(place: int, order: int) -> None:
    (heavier, situation), (lighter, _) = BY_WEIGHT[place : place + 2]
    # At two hosts: else the neighbour would tell whether silence is a block.
    ways = [way(587, heavier, host="a.example"), way(587, lighter, host="b.example")][::order]
    assert diagnose(ways, surroundings=HOME).situation is situation


ADVISED = [row for row in ROWS if row.situation in (Situation.OTHER_PORT_OPEN, Situation.RELAY_BLOCKED)]


@pytest.mark.parametrize("row", ADVISED, ids=lambda row: row.is_so)
def test_the_account_url_in_the_advice_means_the_way_that_is_open(row: Row) -> None:
    found = verdict(row)
    assert found.advice is not None
    parsed = parse_url(str(found.advice.values["url"]))
    assert routes_to(**parsed.route, authenticated=True) == (found.open,)
    assert parsed.username == "user"


@pytest.mark.parametrize("row", ADVISED, ids=lambda row: row.is_so)
def test_the_port_in_the_advice_means_the_way_that_is_open(row: Row) -> None:
    found = verdict(row)
    assert found.advice is not None
    assert found.open is not None
    port, _, mode = str(found.advice.values["port"]).partition(", security=")
    security = mode.strip("'") or None
    host = found.open.host
    assert routes_to(host, port=int(port), security=security, authenticated=True) == (found.open,)


def test_a_long_reply_is_cut_short() -> None:
    found = diagnose([way(587, said(Phase.GREETING, 554, None, "no " * 500))], surroundings=HOME)
    assert len(found.headline.said(english)) < 320


def test_without_a_date_it_is_today() -> None:
    today = datetime.now(UTC)
    soon = Certificate((HOST,), HOST, "R11", today - timedelta(days=90), today + timedelta(days=5, hours=1))
    found = diagnose([way(587, shown=soon)])
    assert [note.said(english) for note in found.notes] == [f"The certificate of {HOST} expires in 5 days."]


REPLYING = (Cause.REFUSED_PERMANENT, Cause.REFUSED_TRANSIENT, Cause.STARTTLS_REFUSED, Cause.LOGIN_UNCLEAR)

failures = st.builds(
    lambda phase, cause, detail, shown, code: Failure(
        phase, cause, detail, Reply(code, None, detail) if cause in REPLYING else None, shown
    ),
    st.sampled_from([phase for phase in Phase if phase is not Phase.DONE]),
    st.sampled_from(Cause),
    st.sampled_from(["", "it calls itself a.example, not b.example", "{x} {0} {", "what it said."]),
    st.sampled_from([None, certificate(), certificate(issuer=""), certificate(issuer="{why}", days=-5)]),
    st.sampled_from([421, 454, 535, 554]),
)
seen = st.builds(
    Seen,
    route=st.builds(
        Route,
        st.sampled_from([HOST, "smtp.office365.com", "2001:db8::1", "localhost"]),
        st.sampled_from([25, 465, 587, 2525, 2465]),
        st.sampled_from(Security),
    ),
    failure=st.none() | failures,
    family=st.sampled_from([None, 4, 6]),
    used=st.booleans(),
    encrypted=st.booleans(),
    certificate=st.sampled_from([None, certificate(days=3), certificate()]),
)
surroundings = st.builds(
    Surroundings,
    online=st.booleans(),
    alive=st.sampled_from([None, True, False]),
    place=st.just("Droplets"),
    blocks=st.sampled_from([frozenset[int](), frozenset({25}), frozenset({25, 465, 587})]),
    policy=st.just("Ask them."),
    username=st.just("me"),
    now=st.just(NOW),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(seen, min_size=1, max_size=6).filter(lambda ways: any(it.used for it in ways)),
    surroundings,
    st.none() | st.builds(LoginOutcome, st.none() | failures),
)
def test_whatever_was_seen_there_is_a_verdict(
    ways: list[Seen], around: Surroundings, login: LoginOutcome | None
) -> None:
    found = diagnose(ways, surroundings=around, login=login)
    open_ways = {it.route for it in ways if it.used and it.failure is None}
    if found.can_send:
        assert found.open in open_ways
    elif found.situation not in (Situation.LOGIN_REFUSED, Situation.LOGIN_FAILED):
        assert all(not route.security.encrypted for route in open_ways)
    for phrase in (found.headline, found.advice, *found.notes):
        if phrase is not None:
            assert_filled(phrase)


def assert_filled(phrase: Phrase) -> None:
    """Whether every place of a text has something in it, and so on in what stands there."""
    for _, name, _, _ in Formatter().parse(phrase.text):
        if name is not None:
            value = phrase.values[name]
            assert value if isinstance(value, str) else value.said(english)
            if isinstance(value, Phrase):
                assert_filled(value)


def test_what_mail_goes_out_in_is_known() -> None:
    assert MAIL_GOES_OUT == GOES_OUT
