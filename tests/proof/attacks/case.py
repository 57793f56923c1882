"""What is an attack, as data? A server that misbehaves, and what a client must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portmail import Cause, Security
from tests.proof.harness.recorder import MECHANISMS, After, Behaviour, Say

STARTTLS, IMPLICIT = Security.STARTTLS, Security.IMPLICIT_TLS

ON_587, ON_465, ON_BOTH = (STARTTLS,), (IMPLICIT,), (STARTTLS, IMPLICIT)

GOOD = Behaviour()

ENDS = MappingProxyType(
    {"closed": After.CLOSE, "reset": After.RESET, "silence": After.SILENCE, "going on": After.GO_ON}
)
"""How it goes on behind what a server said, in the words of the cases' names."""


@dataclass(frozen=True, slots=True)
class Case:
    """One attack.

    Attributes:
        server: how the attacked server behaves, on 587; on 465 the same within TLS.
        causes: what portmail may call it; none if the message must be delivered by this server.
        on: the modes in which it makes sense.
        words: what the error's text must say beside the cause's own words; in lower case.
        final: whether no other route may be tried behind it, since a credential was shown.
        accepted: whether the credential was accepted, so that the policy for retries may show it again.
        waits: whether a client has to wait for something to be over.
        tls: which certificate or context the server has.
        absent: whether nobody listens on the port.
        pinned: whether the server's mechanisms are its own, whatever the credentials are.
        never: octets that no command within TLS may contain.
        logins: AUTH commands that there must be, None for as many as it takes.
    """

    name: str
    server: Behaviour
    causes: tuple[Cause, ...] = ()
    on: tuple[Security, ...] = ON_587
    words: str = ""
    final: bool = False
    accepted: bool = False
    waits: bool = False
    tls: str = "good"
    absent: bool = False
    pinned: bool = False
    never: tuple[bytes, ...] = ()
    logins: int | None = None

    @property
    def proven(self) -> bool:
        """Whether the server's certificate proves who it is."""
        return self.tls in ("good", "old", "client")

    def form(self, mode: Security, *, offers: tuple[str, ...]) -> Behaviour:
        """The server in this mode, offering these mechanisms within TLS."""
        server = self.server.but(implicit_tls=mode is IMPLICIT and not self.server.replies.get("in clear"))
        return server if self.pinned else server.but(auth_in_tls=offers)


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials of one kind, for a server that offers these mechanisms."""

    name: str
    offers: tuple[str, ...]
    by_token: bool = False


LOGINS = (
    Login("PLAIN", MECHANISMS),
    Login("LOGIN", ("LOGIN",)),
    Login("CRAM-MD5", ("CRAM-MD5",)),
    Login("XOAUTH2", MECHANISMS, by_token=True),
)

CALLED: Mapping[Cause, tuple[str, str]] = MappingProxyType(
    {
        Cause.REFUSED: ("Unreachable", "connection refused"),
        Cause.DROPPED: ("Unreachable", "closed without a greeting"),
        Cause.SILENT: ("Unreachable", "silence instead of a greeting"),
        Cause.NOT_SMTP: ("Unreachable", "not a mail server"),
        Cause.LOST: ("Unreachable", "the connection was lost"),
        Cause.NO_REPLY: ("Unreachable", "stopped answering"),
        Cause.SURPRISE: ("Unreachable", "cannot be understood"),
        Cause.TLS_ON_PLAIN_PORT: ("InsecureChannel", "to a port that does not speak it"),
        Cause.TLS_FAILED: ("InsecureChannel", "the tls handshake failed"),
        Cause.CERTIFICATE_NAME: ("InsecureChannel", "the certificate is for another name"),
        Cause.CERTIFICATE_UNTRUSTED: ("InsecureChannel", "issuer is not trusted"),
        Cause.CERTIFICATE_EXPIRED: ("InsecureChannel", "dates do not include today"),
        Cause.CLIENT_CERTIFICATE: ("InsecureChannel", "wants a client certificate"),
        Cause.STARTTLS_NOT_OFFERED: ("InsecureChannel", "does not offer starttls"),
        Cause.STARTTLS_STRIPPED: ("InsecureChannel", "does not offer starttls"),
        Cause.CLEAR_AUTH: ("InsecureChannel", "does not offer starttls"),
        Cause.PROXY: ("InsecureChannel", "does not offer starttls"),
        Cause.CERTIFICATE_INTERCEPTED: ("InsecureChannel", "shows a certificate of its own"),
        Cause.PORTAL: ("Unreachable", "a web page answers"),
        Cause.STARTTLS_REFUSED: ("InsecureChannel", "refused starttls"),
        Cause.STARTTLS_INJECTION: ("InsecureChannel", "unencrypted octets came behind the reply to starttls"),
        Cause.NO_MECHANISM: ("NoMechanism", "no auth mechanism that fits"),
        Cause.LOGIN_UNCLEAR: ("AuthenticationFailed", "answer to the login cannot be understood"),
        Cause.REFUSED_TRANSIENT: ("Rejected", "the server said: 4"),
        Cause.REFUSED_PERMANENT: ("Rejected", "the server said: 5"),
    }
)
"""The error that each cause must be, and the words that tell it to a person."""


def said(code: int | str, text: str = "words of the server") -> bytes:
    """A reply of one line."""
    return f"{code} {text}\r\n".encode()


def refusal(code: int) -> tuple[Cause, ...]:
    """What a reply with this code is, where it refuses, or fits no question."""
    causes = {4: Cause.REFUSED_TRANSIENT, 5: Cause.REFUSED_PERMANENT}
    return (causes.get(code // 100, Cause.SURPRISE),)


def then(octets: bytes, after: After = After.CLOSE) -> Say:
    """These octets, and then the end."""
    return Say(octets, after)
