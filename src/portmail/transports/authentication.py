"""How are credentials shown? Once, by one mechanism, to a `SecureChannel` and nothing else (RFC 4954)."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode

from portmail.cause import Cause
from portmail.confidential import Confidential, Mask
from portmail.errors import InsecureChannel
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.sasl import Mechanism, Step
from portmail.security import (
    Credentials,
    SecretUnavailable,
    SecureChannel,
    without_frames,
)
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
        failed = without_frames(exc)
    else:
        return _judged(reply)
    raise failed


def _judged(reply: Reply) -> Failure | None:
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
    login = _Login(mechanism, credentials.username.encode("utf-8", "surrogateescape"), secret)
    reply = await channel.line.command(login.first(), seconds=seconds)
    while reply.code == 334:
        challenge = _challenge(reply)
        if challenge is None or not login.steps:  # not what the mechanism says: stop it
            reply = await channel.line.command(login.line(_CANCEL, shown="*"), seconds=seconds)
            break
        reply = await channel.line.command(login.response(challenge), seconds=seconds)
    return login.mask.reply(reply)


class _Login:
    """The lines of one login. All of them are confidential, and each says what may be shown of it."""

    def __init__(self, mechanism: Mechanism, username: bytes, secret: bytes) -> None:
        self.steps = list(mechanism.steps)
        self.mask = Mask(secret, said=())
        self._mechanism = mechanism
        self._username = username
        self._secret = secret
        self._said: list[bytes] = []

    def first(self) -> Confidential:
        """The AUTH command, with the first response if the mechanism speaks first and it is short enough."""
        command = b"AUTH " + self._mechanism.name.encode("ascii")
        if self._mechanism.speaks_first:
            step = self.steps[0]
            response = self._encoded(step, challenge=b"")
            if len(command) + len(response) + 3 <= _LONGEST_COMMAND:
                del self.steps[0]
                shown, secret = f"AUTH {self._mechanism.name} ***", self._needs_secret(step, challenge=b"")
                return self.line(command + b" " + response, shown=shown, holds_secret=secret)
        return self.line(command, shown=f"AUTH {self._mechanism.name}")

    def response(self, challenge: bytes) -> Confidential:
        """The next response."""
        step = self.steps.pop(0)
        secret = self._needs_secret(step, challenge=challenge)
        return self.line(self._encoded(step, challenge=challenge), shown="***", holds_secret=secret)

    def line(self, octets: bytes, *, shown: str, holds_secret: bool = False) -> Confidential:
        """A line as it is said."""
        return Confidential(octets + b"\r\n", shown=shown, mask=self.mask, holds_secret=holds_secret)

    def _needs_secret(self, step: Step, *, challenge: bytes) -> bool:
        """Whether the response would be another one with another secret."""
        response = step(self._username, self._secret, challenge)
        return response != step(self._username, b"", challenge)

    def _encoded(self, step: Step, *, challenge: bytes) -> bytes:
        response = step(self._username, self._secret, challenge)
        encoded = b64encode(response)
        # A digest is no secret, but a secret can be guessed by it.
        digest = response.removeprefix(self._username + b" ")
        self._said += [encoded] if response == self._username else [encoded, response, digest]
        self.mask = Mask(self._secret, said=self._said)
        return encoded


def _challenge(reply: Reply) -> bytes | None:
    try:
        return b64decode(reply.text, validate=True)
    except (binascii.Error, ValueError):
        return None
