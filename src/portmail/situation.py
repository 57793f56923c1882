"""What may be the matter with mail from here? Every situation, and which cause means which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from portmail.cause import Cause


class Blocker(Enum):
    """Who stands in the way, most likely. The values are for programs and stay as they are."""

    NOBODY = "nobody"
    NETWORK = "network"
    HOSTING = "hosting"
    MACHINE = "this-machine"
    RESOLVER = "resolver"
    SERVER = "server"
    ACCOUNT = "account"
    SETTINGS = "settings"
    UNKNOWN = "unknown"


class Situation(Enum):
    """How it stands with all routes together. The values are for programs and stay as they are."""

    OPEN = "open"
    OPEN_IN_PART = "open-in-part"
    TAMPERED_IN_PART = "tampered-in-part"
    INSECURE_IN_PART = "insecure-in-part"
    RELAY_OPEN = "relay-open"
    OPEN_UNENCRYPTED = "open-unencrypted"
    LOGGED_IN = "logged-in"
    LOGIN_REFUSED = "login-refused"
    LOGIN_FAILED = "login-failed"
    NO_SECRET = "no-secret"  # noqa: S105
    OFFLINE = "offline"
    RESOLVER_DOWN = "resolver-down"
    NO_SUCH_HOST = "no-such-host"
    UNREACHABLE = "unreachable"
    PORTAL = "captive-portal"
    INTERCEPTED = "intercepted"
    PROXY = "transparent-proxy"
    STRIPPED = "starttls-stripped"
    NO_STARTTLS = "starttls-not-offered"
    CLEAR_AUTH = "auth-only-in-clear"
    INJECTED = "starttls-injection"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_INVALID = "certificate-invalid"
    CLIENT_CERTIFICATE = "client-certificate"
    TLS_ON_PLAIN_PORT = "tls-on-plain-port"
    PLAIN_ON_TLS_PORT = "plain-on-tls-port"
    TLS_FAILED = "tls-failed"
    TURNED_AWAY = "turned-away"
    BUSY = "busy"
    NO_MECHANISM = "no-mechanism"
    NOT_SMTP = "not-smtp"
    RELAY_BLOCKED = "relay-blocked"
    OTHER_PORT_OPEN = "other-port-open"
    WRONG_PORT = "wrong-port"
    BLOCKED_BY_HOSTING = "blocked-by-hosting"
    PROHIBITED = "prohibited"
    PROHIBITED_HERE = "prohibited-here"
    DROPPED = "dropped-after-connect"
    MUTE = "silent-after-connect"
    BLOCKED = "blocked"
    NO_MAIL_PORT = "no-mail-port"
    SILENT = "silent"
    REFUSED = "refused"
    OTHER = "other"


MAIL_GOES_OUT = frozenset(
    {
        Situation.OPEN,
        Situation.OPEN_IN_PART,
        Situation.TAMPERED_IN_PART,
        Situation.INSECURE_IN_PART,
        Situation.RELAY_OPEN,
        Situation.OPEN_UNENCRYPTED,
        Situation.LOGGED_IN,
    }
)

BY_CAUSE: Mapping[Cause, Situation] = MappingProxyType(
    {
        Cause.PORTAL: Situation.PORTAL,
        Cause.STARTTLS_INJECTION: Situation.INJECTED,
        Cause.CERTIFICATE_INTERCEPTED: Situation.INTERCEPTED,
        Cause.STARTTLS_STRIPPED: Situation.STRIPPED,
        Cause.PROXY: Situation.PROXY,
        Cause.CERTIFICATE_EXPIRED: Situation.CERTIFICATE_EXPIRED,
        Cause.CERTIFICATE_NAME: Situation.CERTIFICATE_NAME,
        Cause.CERTIFICATE_UNTRUSTED: Situation.CERTIFICATE_UNTRUSTED,
        Cause.CERTIFICATE_INVALID: Situation.CERTIFICATE_INVALID,
        Cause.CLIENT_CERTIFICATE: Situation.CLIENT_CERTIFICATE,
        Cause.TLS_ON_PLAIN_PORT: Situation.TLS_ON_PLAIN_PORT,
        Cause.CLEAR_AUTH: Situation.CLEAR_AUTH,
        Cause.STARTTLS_NOT_OFFERED: Situation.NO_STARTTLS,
        Cause.STARTTLS_REFUSED: Situation.TLS_FAILED,
        Cause.TLS_FAILED: Situation.TLS_FAILED,
        Cause.NO_PROOF: Situation.TLS_FAILED,
        Cause.REFUSED_PERMANENT: Situation.TURNED_AWAY,
        Cause.REFUSED_TRANSIENT: Situation.BUSY,
        Cause.NO_MECHANISM: Situation.NO_MECHANISM,
        Cause.PLAIN_ON_TLS_PORT: Situation.PLAIN_ON_TLS_PORT,
        Cause.NOT_SMTP: Situation.NOT_SMTP,
        Cause.RESOLVER_FAILED: Situation.RESOLVER_DOWN,
        Cause.NAME_NOT_FOUND: Situation.NO_SUCH_HOST,
        Cause.PROHIBITED_HERE: Situation.PROHIBITED_HERE,
        Cause.PROHIBITED: Situation.PROHIBITED,
        Cause.DROPPED: Situation.DROPPED,
        Cause.SILENT: Situation.MUTE,
        Cause.NO_REPLY: Situation.MUTE,
        Cause.TIMED_OUT: Situation.SILENT,
        Cause.REFUSED: Situation.REFUSED,
        Cause.UNREACHABLE: Situation.UNREACHABLE,
    }
)
"""What a cause means. Of several, the first says most: what was done to us, what was said, then silence."""


SAYS_ALL = frozenset(
    {
        Situation.OPEN,
        Situation.OFFLINE,
        Situation.UNREACHABLE,
        Situation.RELAY_BLOCKED,
        Situation.BLOCKED_BY_HOSTING,
    }
)
"""Situations to which a hint about the failure adds nothing, or what is beside the point."""
