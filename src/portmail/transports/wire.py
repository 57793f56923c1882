"""How does one reply follow one command? A connection that never guesses.

Replies are counted against commands. A reply that nobody asked for, octets that are no reply, a
timeout, a cancel: each ends the connection by `abort()`, and what is left in its buffers is
never sent. A connection that was aborted is of no further use.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from portmail.cause import Cause
from portmail.confidential import Confidential, Mask
from portmail.log import dialogue
from portmail.reply import Reply
from portmail.transports.intake import Intake, WireFailed
from portmail.transports.records import CutOff, HandshakeFailed, handshake
from portmail.transports.tls import cause_of

if TYPE_CHECKING:
    from portmail.certificate import Certificate

_CLOSING = 421
"""May come at any time, and is the answer to whatever is asked next (RFC 5321 section 3.8)."""

_FAREWELL = 3.0
"""Seconds for the reply to QUIT."""


class Wire:
    """One connection: commands and content out, replies in. It takes the transport over.

    Attributes:
        dialogue: who writes down what is said, if anybody does.
        mask: what of the replies is not to be repeated; None while nothing confidential was said.
        showed_secret: whether a secret was written, or what is made of it; whatever came of that.
        greeting: what the server said first; None while it has not.
        hello: its last reply to EHLO, or HELO.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._intake = Intake()
        self._speakable = True
        self.dialogue = dialogue(transport)
        self.mask: Mask | None = None
        self.showed_secret = False
        self.greeting: Reply | None = None
        self.hello: Reply | None = None
        self._adopt(transport)

    def _adopt(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        # Whatever is written is either with the kernel or still ours: `write` waits for that.
        transport.set_write_buffer_limits(high=0)
        transport.set_protocol(self._intake)

    def check(self) -> None:
        """Raise `WireFailed` if the connection is known to be lost."""
        if self._intake.end is not None:
            cause, detail = self._intake.end
            raise WireFailed(cause, self.mask.beginning(detail) if self.mask else detail)

    def check_silence(self) -> None:
        """Raise `WireFailed` if the connection is lost, or the server said what nobody asked for."""
        self.check()
        if self._intake.spoke:
            unread = self._intake.replies
            said = str(unread[0]) if unread else "the beginning of a reply"
            self._give_up(Cause.SURPRISE, f"unasked: {self.mask.text(said) if self.mask else said}")

    async def command(self, line: bytes | Confidential, *, seconds: float) -> Reply:
        """Write a command, return its reply. What was `Confidential` is blotted out of all replies after it.

        Raises:
            WireFailed: no reply in time, the connection was lost, or the server spoke out of turn.
        """
        unread = self._intake.replies
        closing = bool(unread) and unread[0].code == _CLOSING
        if not closing:
            self.check_silence()
            if self.dialogue is not None:
                self.dialogue.said(line)
            if isinstance(line, Confidential):
                self.mask = line.mask
                self.showed_secret = self.showed_secret or line.holds_secret
                line = line.octets()
            await self.write(line, seconds=seconds)
        return await self.reply(seconds=seconds)

    async def write(self, data: bytes, *, seconds: float) -> None:
        """Write, and wait until the kernel has all of it, or the server has something to say.

        Raises:
            WireFailed: nothing moved for so long, or the connection was lost.
        """
        self.check()
        self.transport.write(data)
        await self._until(lambda: not self._intake.paused, seconds=seconds)

    async def reply(self, *, seconds: float) -> Reply:
        """The next reply.

        Raises:
            WireFailed: none came in time, or the connection was lost.
        """
        await self._until(lambda: False, seconds=seconds)
        if not self._intake.replies:
            self.check()
        reply = self._intake.replies.popleft()
        if self.mask is not None:
            reply = self.mask.reply(reply)
        if self.dialogue is not None:
            self.dialogue.heard(reply)
        return reply

    async def _until(self, enough: Callable[[], bool], *, seconds: float) -> None:
        """Wait until it is enough, the server spoke, or the connection is over."""
        intake = self._intake
        try:
            async with asyncio.timeout(seconds):
                while not (enough() or intake.replies or intake.end):
                    intake.changed.clear()
                    await intake.changed.wait()
        except TimeoutError:
            self._give_up(Cause.NO_REPLY, f"nothing for {seconds:.0f} s")
        except BaseException:
            self.abort()
            raise
        if intake.end is not None:
            self.abort()

    async def start_tls(self, context: ssl.SSLContext, *, host: str, seconds: float) -> None:
        """Begin TLS: right after the connection, or after the reply to STARTTLS (RFC 3207 section 4).

        Raises:
            WireFailed: NO_REPLY in that time, cut off (LOST), the handshake failed, or octets came
                before it that stand outside of it (STARTTLS_INJECTION).
        """
        if self._intake.spoke:
            self._give_up(Cause.STARTTLS_INJECTION)
        self.check()
        self._speakable = False  # until the handshake is over, nothing of SMTP can be said
        try:
            async with asyncio.timeout(seconds):
                secured = await handshake(self.transport, context, host=host)
        except TimeoutError:
            self._give_up(Cause.NO_REPLY, f"no handshake in {seconds:.0f} s")
        except CutOff:
            self._give_up(Cause.LOST, "cut off in the handshake")
        except HandshakeFailed as exc:
            told = cause_of(exc.error) or (Cause.LOST, "cut off in the handshake")
            self._give_up(*told, certificate=getattr(exc.error, "certificate", None), heard=exc.heard)
        except BaseException:
            self.abort()
            raise
        self._adopt(secured)
        if self.dialogue is not None:
            self.dialogue.secured(secured)
        self._speakable = True

    def _give_up(
        self, cause: Cause, detail: str = "", *, certificate: Certificate | None = None, heard: bytes = b""
    ) -> NoReturn:
        self._intake.over(cause, detail)
        self.abort()
        raise WireFailed(cause, detail, certificate=certificate, heard=heard)

    async def leave(self) -> None:
        """Say QUIT and close. What the server thinks of it changes nothing (RFC 5321 section 4.1.1.10)."""
        try:
            await self.command(b"QUIT\r\n", seconds=_FAREWELL)
        except WireFailed:
            pass
        finally:
            self.abort()

    def dismiss(self) -> None:
        """Say QUIT if it can be said just now, and drop the connection."""
        if self._speakable and self._intake.end is None:
            self.transport.write(b"QUIT\r\n")
        self.abort()

    def abort(self) -> None:
        """Drop the connection now; nothing that is still in a buffer leaves."""
        self._intake.over(Cause.LOST, "dropped by us")
        self.transport.abort()
