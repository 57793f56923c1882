"""How does a greeted connection become one that can be used? EHLO, STARTTLS, and the proof."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from portmail.cause import Cause
from portmail.errors import InsecureChannel
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase, RouteFailed
from portmail.identity import foreign_name, is_masked
from portmail.reply import Reply
from portmail.route import Route
from portmail.security import Channel, PlainChannel, SecureChannel, Security, TlsEvidence
from portmail.timeouts import Deadline
from portmail.transports.intake import WireFailed
from portmail.transports.wire import Wire

_NO_EHLO = (500, 501, 502, 504, 550)
"""How a server says that it has no EHLO (RFC 5321 section 4.1.4)."""


_BROKEN_OFF = (Cause.NO_REPLY, Cause.LOST)


class Session(NamedTuple):
    """A connection, ready: what the server offers now, and what the channel has proved."""

    route: Route
    wire: Wire
    extensions: Extensions
    channel: Channel
    evidence: TlsEvidence | None
    """What its TLS said when the session began; it outlives the connection."""


class Dialogue:
    """Commands and replies of one connection, within their deadlines."""

    def __init__(self, wire: Wire, *, deadline: Deadline) -> None:
        self.wire = wire
        self.deadline = deadline

    async def ask(self, line: bytes, *, phase: Phase) -> Reply:
        """Write a command, return its reply. Raises `RouteFailed` in this phase."""
        try:
            return await self.wire.command(line, seconds=self.deadline.seconds(phase))
        except WireFailed as exc:
            raise RouteFailed(failure_of(exc, phase=phase, deadline=self.deadline)) from None

    def check_silence(self, *, phase: Phase) -> None:
        """Raise `RouteFailed` in this phase if the server said what nobody asked for."""
        try:
            self.wire.check_silence()
        except WireFailed as exc:
            raise RouteFailed(failure_of(exc, phase=phase, deadline=self.deadline)) from None


def failure_of(lost: WireFailed, *, phase: Phase, deadline: Deadline) -> Failure:
    """What a lost connection means in this phase."""
    over = lost.cause is Cause.NO_REPLY and deadline.remaining == 0
    return Failure(phase, Cause.OUT_OF_TIME if over else lost.cause, "" if over else lost.detail)


async def open_session(
    wire: Wire, *, route: Route, context: ssl.SSLContext, local_hostname: str, deadline: Deadline
) -> Session:
    """From the greeting to a channel that has proved what the route requires.

    `context` is for STARTTLS. The connection is dropped when this does not return.

    Raises:
        RouteFailed: in phase EHLO or TLS.
    """
    dialogue = Dialogue(wire, deadline=deadline)
    try:
        extensions = await _ehlo(dialogue, route=route, local_hostname=local_hostname)
        if await _starttls(dialogue, route=route, extensions=extensions, context=context):
            # RFC 3207 section 4.2: what was said before TLS is forgotten.
            extensions = await _ehlo(dialogue, route=route, local_hostname=local_hostname)
        channel = _channel(wire, route=route)
        return Session(route, wire, extensions, channel, channel.evidence)
    except BaseException:
        wire.dismiss()
        raise


async def _ehlo(dialogue: Dialogue, *, route: Route, local_hostname: str) -> Extensions:
    reply = await dialogue.ask(f"EHLO {local_hostname}\r\n".encode("ascii"), phase=Phase.EHLO)
    if reply.code in _NO_EHLO and not route.security.encrypted:
        # Only a relay may be that old: HELO knows neither TLS nor AUTH.
        reply = await dialogue.ask(f"HELO {local_hostname}\r\n".encode("ascii"), phase=Phase.EHLO)
        if reply.code == 250:
            return Extensions()
    if reply.code != 250:
        raise RouteFailed(Failure.of_reply(Phase.EHLO, reply))
    dialogue.wire.hello = reply
    # What stands behind it could be taken for the answer to a login.
    dialogue.check_silence(phase=Phase.EHLO)
    return Extensions.parse(reply)


async def _starttls(
    dialogue: Dialogue, *, route: Route, extensions: Extensions, context: ssl.SSLContext
) -> bool:
    """Upgrade if the route wants it. Returns whether the connection was upgraded."""
    if route.security not in (Security.STARTTLS, Security.OPPORTUNISTIC):
        return False
    required = route.security is Security.STARTTLS
    if "STARTTLS" not in extensions:
        if required:
            raise RouteFailed(_without_starttls(dialogue.wire, route=route, extensions=extensions))
        return False
    reply = await dialogue.ask(b"STARTTLS\r\n", phase=Phase.TLS)
    if reply.code != 220:
        if required:
            raise RouteFailed(Failure(Phase.TLS, Cause.STARTTLS_REFUSED, reply=reply))
        return False
    try:
        seconds = dialogue.deadline.seconds(Phase.TLS)
        await dialogue.wire.start_tls(context, host=route.host, seconds=seconds)
    except WireFailed as exc:
        cause = Cause.TLS_FAILED if exc.cause in _BROKEN_OFF else exc.cause  # it had promised TLS
        raise RouteFailed(Failure(Phase.TLS, cause, exc.detail, certificate=exc.certificate)) from None
    return True


def _without_starttls(wire: Wire, *, route: Route, extensions: Extensions) -> Failure:
    """Why STARTTLS is missing, as far as what the server says tells it."""
    if extensions.masked:
        masked = f"{extensions.masked} stands in its place"
        return Failure(Phase.TLS, Cause.STARTTLS_STRIPPED, masked)
    if wire.greeting is not None and is_masked(wire.greeting):
        return Failure(Phase.TLS, Cause.STARTTLS_STRIPPED, "its greeting is blotted out on the way")
    if wire.hello is not None and (name := foreign_name(wire.hello, host=route.host)):
        return Failure(Phase.TLS, Cause.PROXY, f"it calls itself {name}, not {route.host}")
    if extensions.mechanisms:
        return Failure(Phase.TLS, Cause.CLEAR_AUTH)
    return Failure(Phase.TLS, Cause.STARTTLS_NOT_OFFERED)


def _channel(wire: Wire, *, route: Route) -> Channel:
    if not route.security.encrypted:
        return PlainChannel(wire)
    try:
        return SecureChannel(wire, host=route.host)
    except InsecureChannel as exc:
        raise RouteFailed(Failure(Phase.TLS, Cause.NO_PROOF, str(exc))) from None
