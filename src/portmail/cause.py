"""What can go wrong on a route? Every cause, its nature, and what to tell a person: one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Nature(Enum):
    """What kind of failure a cause is; with the phase, it decides what follows (`verdict.py`)."""

    NO_ANSWER = "no answer"
    INSECURE = "not secure"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    OTHER_ROUTE = "wrong route"
    """The route answers, but is not made for this message: another may be."""


class Cause(Enum):
    """Why an attempt ended. The values are for programs and stay as they are."""

    NAME_NOT_FOUND = "name-not-found"
    RESOLVER_FAILED = "resolver-failed"
    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"
    PROHIBITED = "prohibited"
    PROHIBITED_HERE = "prohibited-here"
    DROPPED = "dropped-after-connect"
    SILENT = "silent-after-connect"
    PLAIN_ON_TLS_PORT = "plain-on-tls-port"
    NOT_SMTP = "not-smtp"
    PORTAL = "captive-portal"
    LOST = "connection-lost"
    NO_REPLY = "no-reply"
    SURPRISE = "unexpected-reply"
    OVERTAKEN = "overtaken"
    OUT_OF_TIME = "out-of-time"
    TLS_ON_PLAIN_PORT = "tls-on-plain-port"
    TLS_FAILED = "tls-failed"
    NO_PROOF = "no-proof"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_INTERCEPTED = "certificate-intercepted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_INVALID = "certificate-invalid"
    CLIENT_CERTIFICATE = "client-certificate"
    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    STARTTLS_STRIPPED = "starttls-stripped"
    CLEAR_AUTH = "auth-only-in-clear"
    PROXY = "transparent-proxy"
    STARTTLS_REFUSED = "starttls-refused"
    STARTTLS_INJECTION = "starttls-injection"
    WEAKER = "weaker-route"
    NO_MECHANISM = "no-mechanism"
    LOGIN_UNCLEAR = "login-unclear"
    NO_SECRET = "no-secret"  # noqa: S105
    LOGIN_WANTED = "login-wanted"
    DENIED = "denied-without-login"
    REFUSED_TRANSIENT = "transient-reply"
    REFUSED_PERMANENT = "permanent-reply"
    TOO_LARGE = "too-large"
    EXTENSION_MISSING = "extension-missing"
    HELD_BACK = "held-back"
    FAULT = "fault"


SHUT = (Cause.PROHIBITED, Cause.TIMED_OUT)
"""How a port looks that a network closes."""


class Fact(NamedTuple):
    """A cause's nature, what happened in words, and what to do about it."""

    nature: Nature
    words: str
    advice: str = ""


_FIREWALL = (
    "a firewall on the way is likely; ask the network's operator, or use another of the server's ports"
)
_TAMPERED = "do not send over this network until you know why; tell the server's operator"
_NAME = "check the host name; if it is right, the server needs a certificate that names it (subjectAltName)"
_ISSUER = (
    "for a private CA give its file as tls_ca (PORTMAIL_CA); for a public one the server has to send the "
    "intermediate certificates along"
)
_RENEW = (
    "the server needs another certificate; a private CA made by hand may lack the key usage or the key "
    "identifiers that RFC 5280 wants"
)
_SERVER = "the server's operator can tell"
TURNED_AWAY = "the server takes nothing from this machine: its operator can tell, or use another server"
"""What to do about a permanent reply that came before a message was spoken of."""

FACTS: Mapping[Cause, Fact] = MappingProxyType(
    {
        Cause.NAME_NOT_FOUND: Fact(
            Nature.NO_ANSWER, "the host name does not exist", "check the spelling of the host"
        ),
        Cause.RESOLVER_FAILED: Fact(
            Nature.NO_ANSWER,
            "the name could not be resolved just now",
            "check the DNS resolver and the network",
        ),
        Cause.REFUSED: Fact(
            Nature.NO_ANSWER,
            "connection refused",
            "nothing listens on that port: check host and port",
        ),
        Cause.TIMED_OUT: Fact(Nature.NO_ANSWER, "no answer: the port is silent", _FIREWALL),
        Cause.UNREACHABLE: Fact(Nature.NO_ANSWER, "no way to that host", "check the network connection"),
        Cause.PROHIBITED: Fact(Nature.NO_ANSWER, "the network forbids the connection", _FIREWALL),
        Cause.PROHIBITED_HERE: Fact(
            Nature.NO_ANSWER,
            "this machine itself forbids the connection",
            "look at its firewall, its routes and, in a container, its security policy",
        ),
        Cause.DROPPED: Fact(Nature.NO_ANSWER, "connected, then closed without a greeting", _FIREWALL),
        Cause.SILENT: Fact(
            Nature.NO_ANSWER,
            "connected, then silence instead of a greeting",
            "a port with implicit TLS waits like this: try security=Security.IMPLICIT_TLS",
        ),
        Cause.PLAIN_ON_TLS_PORT: Fact(
            Nature.NO_ANSWER,
            "the port speaks TLS from the first octet, and was spoken to in clear",
            "use security=Security.IMPLICIT_TLS for this port",
        ),
        Cause.NOT_SMTP: Fact(
            Nature.NO_ANSWER,
            "something answers that is not a mail server",
            "a captive portal or a proxy intercepts, or host and port are another service's",
        ),
        Cause.PORTAL: Fact(
            Nature.NO_ANSWER,
            "a web page answers in place of a mail server",
            "log in to this network first (open any page in a browser), or check host and port",
        ),
        Cause.LOST: Fact(Nature.NO_ANSWER, "the connection was lost", "try again later"),
        Cause.NO_REPLY: Fact(Nature.NO_ANSWER, "the server stopped answering", "try again later"),
        Cause.SURPRISE: Fact(Nature.NO_ANSWER, "the server said what cannot be understood", _SERVER),
        Cause.OVERTAKEN: Fact(Nature.NO_ANSWER, "no answer yet when another route was ready"),
        Cause.OUT_OF_TIME: Fact(
            Nature.NO_ANSWER,
            "the time for the whole submission was over",
            "give a larger timeouts=",
        ),
        Cause.TLS_ON_PLAIN_PORT: Fact(
            Nature.INSECURE,
            "TLS was spoken to a port that does not speak it",
            "the port expects STARTTLS (security=Security.STARTTLS), or something strips TLS on the way",
        ),
        Cause.TLS_FAILED: Fact(Nature.INSECURE, "the TLS handshake failed", _SERVER),
        Cause.NO_PROOF: Fact(Nature.INSECURE, "the connection could not prove its encryption", _SERVER),
        Cause.CERTIFICATE_NAME: Fact(Nature.INSECURE, "the certificate is for another name", _NAME),
        Cause.CERTIFICATE_UNTRUSTED: Fact(
            Nature.INSECURE, "the certificate's issuer is not trusted", _ISSUER
        ),
        Cause.CERTIFICATE_INTERCEPTED: Fact(
            Nature.INSECURE,
            "a virus scanner or a company's proxy shows a certificate of its own in the server's place",
            "switch off its scanning of outgoing mail, or give its root certificate as tls_ca (PORTMAIL_CA)",
        ),
        Cause.CERTIFICATE_EXPIRED: Fact(
            Nature.INSECURE,
            "the certificate's dates do not include today",
            "check this machine's clock; else the server needs a new certificate",
        ),
        Cause.CERTIFICATE_INVALID: Fact(Nature.INSECURE, "the certificate is not valid", _RENEW),
        Cause.CLIENT_CERTIFICATE: Fact(
            Nature.INSECURE,
            "the server wants a client certificate that it trusts",
            "give its file, with the key in it, as client_cert",
        ),
        Cause.STARTTLS_NOT_OFFERED: Fact(Nature.INSECURE, "the server does not offer STARTTLS", _TAMPERED),
        Cause.STARTTLS_STRIPPED: Fact(
            Nature.INSECURE, "the server does not offer STARTTLS: it was taken away on the way", _TAMPERED
        ),
        Cause.CLEAR_AUTH: Fact(
            Nature.INSECURE,
            "the server does not offer STARTTLS, and takes passwords in clear alone",
            "use a port of the server with TLS, such as 465; if it has none, its operator has to offer one",
        ),
        Cause.PROXY: Fact(
            Nature.INSECURE,
            "a server of another name answers, and does not offer STARTTLS",
            "a transparent proxy of this network is likely: use port 465, or another network",
        ),
        Cause.STARTTLS_REFUSED: Fact(
            Nature.INSECURE,
            "the server refused STARTTLS",
            "try later, or tell the server's operator",
        ),
        Cause.STARTTLS_INJECTION: Fact(
            Nature.INSECURE,
            "unencrypted octets came behind the reply to STARTTLS: an attack",
            _TAMPERED,
        ),
        Cause.WEAKER: Fact(
            Nature.INSECURE,
            "not tried: it is weaker than a route that just failed to be secure",
            "mend the secure route, or name this one (relay://host) to use it on purpose",
        ),
        Cause.NO_MECHANISM: Fact(
            Nature.OTHER_ROUTE,
            "the server offers no AUTH mechanism that fits the credentials",
            "check the host; a password needs PLAIN, LOGIN or CRAM-MD5, a token needs XOAUTH2",
        ),
        Cause.LOGIN_UNCLEAR: Fact(
            Nature.PERMANENT, "the server's answer to the login cannot be understood", _SERVER
        ),
        Cause.NO_SECRET: Fact(
            Nature.TRANSIENT,
            "the password or token could not be fetched",
            "see what its callable says; it is asked again with the next submission",
        ),
        Cause.LOGIN_WANTED: Fact(
            Nature.OTHER_ROUTE, "the server wants a login", "give username and password"
        ),
        Cause.DENIED: Fact(
            Nature.OTHER_ROUTE,
            "the server refuses this sender, who did not log in",
            "if the server wants a login, give username and password; else its reply says why it refuses",
        ),
        Cause.REFUSED_TRANSIENT: Fact(Nature.TRANSIENT, "the server said", "try again later"),
        Cause.REFUSED_PERMANENT: Fact(Nature.PERMANENT, "the server said", "change what it complains of"),
        Cause.TOO_LARGE: Fact(
            Nature.PERMANENT,
            "the message is larger than the server takes",
            "make the message smaller, or send a link to the file",
        ),
        Cause.EXTENSION_MISSING: Fact(
            Nature.PERMANENT,
            "the message needs an extension that the server does not offer",
            "use ASCII addresses, and quoted-printable or base64 for the content",
        ),
        Cause.HELD_BACK: Fact(
            Nature.PERMANENT,
            "held back before it was committed",
            "see what the program, or the attachment, says",
        ),
        Cause.FAULT: Fact(Nature.NO_ANSWER, "portmail itself failed", "please report it with the traceback"),
    }
)
