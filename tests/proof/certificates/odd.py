"""How can a server of TLS misbehave, whatever its certificate? Ends of TLS that do, for recording servers."""

from __future__ import annotations

import ssl
from collections.abc import Callable

_FATAL_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""An alert record in clear (RFC 8446 section 6)."""


class _End(ssl.SSLObject):
    """The server's end, which can reach what it is about to send."""

    outgoing: ssl.MemoryBIO


class Silent(_End):
    """Never answers the client's hello."""

    def do_handshake(self) -> None:
        raise ssl.SSLWantReadError


class Alerting(_End):
    """Answers the client's hello with an alert."""

    def do_handshake(self) -> None:
        self.outgoing.write(_FATAL_HANDSHAKE_FAILURE)
        raise ssl.SSLError


class Cut(_End):
    """Closes the connection in the middle of its first flight."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        finally:
            flight = self.outgoing.read()
            self.outgoing.write(flight[: len(flight) // 2])
            raise ssl.SSLError


class AlertingLate(_End):
    """Sends half of its first flight, and then an alert in clear."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        finally:
            flight = self.outgoing.read()
            self.outgoing.write(flight[: len(flight) // 2] + _FATAL_HANDSHAKE_FAILURE)
            raise ssl.SSLError


class Crumbling(_End):
    """Puts every octet that it says into a record of its own."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # octets is all it is given
        return sum(super(Crumbling, self).write(bytes([octet])) for octet in data)


class ServerContext(ssl.SSLContext):
    """A server's context that keeps the names that clients asked for, and whose ends may misbehave."""

    asked: list[str | None]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        end = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(end, _End):
            end.outgoing = outgoing
        return end


Change = Callable[[ServerContext], None]
"""What a case does to its server's context."""


def server_context(pem: str, *, change: Change | None = None) -> ServerContext:
    """A server's context with the key and the chain in that file, as weak as they may be."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pem)
    context.asked = []
    context.sni_callback = lambda _end, name, _context: context.asked.append(name)
    if change is not None:
        change(context)
    return context


def ending_as(kind: type[ssl.SSLObject]) -> Change:
    """Its ends of TLS are of this kind."""

    def change(context: ServerContext) -> None:
        context.sslobject_class = kind

    return change


def speaking(lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> Change:
    """It speaks these versions of TLS alone."""

    def change(context: ServerContext) -> None:
        context.minimum_version, context.maximum_version = lowest, highest

    return change


def with_ciphers(names: str) -> Change:
    """It knows these ciphers alone, of TLS 1.2."""

    def change(context: ServerContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(names)

    return change


def with_tickets(number: int) -> Change:
    """It sends so many session tickets behind the handshake."""

    def change(context: ServerContext) -> None:
        context.num_tickets = number

    return change


def asking(mode: ssl.VerifyMode, *, ca: str, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Change:
    """It wants, or must have, a certificate of its clients'."""

    def change(context: ServerContext) -> None:
        context.load_verify_locations(ca)
        context.verify_mode, context.maximum_version = mode, highest

    return change


def named_by(name: str, *, pem: str) -> Change:
    """It shows that certificate to whoever asks for the name, and its own to others."""

    def change(context: ServerContext) -> None:
        other = server_context(pem)

        def choose(end: ssl.SSLObject, asked: str | None, _context: ssl.SSLContext) -> None:
            context.asked.append(asked)
            if asked == name:
                end.context = other

        context.sni_callback = choose

    return change
