"""How are credentials shown? Once, by one mechanism, to a `SecureChannel` and nothing else (RFC 4954)."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode
from dataclasses import replace

from portmail.cause import Cause
from portmail.errors import InsecureChannel
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.sasl import Mechanism
from portmail.security import Credentials, SecretUnavailable, SecureChannel
from portmail.transports.intake import WireFailed

_LONGEST_COMMAND = 512
"""Octets with CRLF (RFC 5321 section 4.5.3.1.4); a longer first response waits to be asked for."""

_CANCEL = b"*"  # RFC 4954 section 4


async def authenticate(
    channel: SecureChannel, credentials: Credentials, *, mechanism: Mechanism, seconds: float
) -> Failure | None:
    """Log in. Returns None when the server accepted, else how it failed; `seconds` is for each step.

    Frames that held the secret are gone from every traceback that leaves.

    Raises:
        SecretUnavailable: the callable for the secret failed.
        CredentialsUnusable: it returned what cannot be carried.
    """
    try:
        reply = await _exchange(channel, credentials, mechanism=mechanism, seconds=seconds)
    except WireFailed as exc:
        # What is no clear answer may be a refusal, and is not tried elsewhere.
        unclear = exc.cause is Cause.SURPRISE
        return Failure(Phase.AUTH, Cause.LOGIN_UNCLEAR if unclear else exc.cause, exc.detail)
    except InsecureChannel as exc:
        return Failure(Phase.AUTH, Cause.NO_PROOF, str(exc))
    except BaseException as exc:  # noqa: BLE001  # raised again, without the frames that held the secret
        raise exc.with_traceback(None) from exc.__cause__
    if reply.code == 235:
        return None
    if reply.positive:
        return Failure(Phase.AUTH, Cause.LOGIN_UNCLEAR, str(reply), reply)
    return Failure.of_reply(Phase.AUTH, reply)


async def _exchange(
    channel: SecureChannel, credentials: Credentials, *, mechanism: Mechanism, seconds: float
) -> Reply:
    try:
        async with asyncio.timeout(seconds):
            secret = await credentials.reveal(channel)
    except TimeoutError as exc:
        raise SecretUnavailable(f"nothing for {seconds:.0f} s") from exc
    username = credentials.username.encode("utf-8", "surrogateescape")
    steps = list(mechanism.steps)
    line = b"AUTH " + mechanism.name.encode("ascii")
    if mechanism.speaks_first:
        first = line + b" " + b64encode(steps[0](username, secret, b""))
        if len(first) + 2 <= _LONGEST_COMMAND:
            line = first
            del steps[0]
    said = [secret, line.rpartition(b" ")[2]]
    reply = await channel.line.command(line + b"\r\n", seconds=seconds)
    while reply.code == 334:
        challenge = _challenge(reply)
        if challenge is None or not steps:  # not what the mechanism says: stop it
            reply = await channel.line.command(_CANCEL + b"\r\n", seconds=seconds)
            break
        said.append(b64encode(steps.pop(0)(username, secret, challenge)))
        reply = await channel.line.command(said[-1] + b"\r\n", seconds=seconds)
    return _without(reply, said=said)


def _without(reply: Reply, *, said: list[bytes]) -> Reply:
    """The reply, in which nothing is repeated of what it answers: some servers quote the command."""
    text = reply.text
    for octets in filter(None, said):
        text = text.replace(octets.rstrip(b"=").decode("utf-8", "replace"), "***")
    return replace(reply, text=text)


def _challenge(reply: Reply) -> bytes | None:
    try:
        return b64decode(reply.text, validate=True)
    except (binascii.Error, ValueError):
        return None
