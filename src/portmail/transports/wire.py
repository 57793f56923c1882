"""How does one reply follow one command? An asyncio protocol that never guesses.

Replies are counted against commands. A reply that nobody asked for, octets that are no reply, a
timeout, a cancel: each ends the connection by `abort()`, and what is left in its buffers is
never sent. A connection that was aborted is of no further use.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from portmail.cause import Cause
from portmail.reply import MalformedReply, Reply, ReplyReader
from portmail.transports.tls import cause_of

_CLOSING = 421
"""May come at any time, and is the answer to whatever is asked next (RFC 5321 section 3.8)."""

_FAREWELL = 3.0
"""Seconds for the reply to QUIT."""


class WireFailed(Exception):  # turned into a Failure by `session`, which knows the phase
    """The connection is over; `.cause` and `.detail` say why."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause.value} {detail}".rstrip())
        self.cause = cause
        self.detail = detail


class Wire(asyncio.Protocol):
    """One connection: commands and content out, replies in. It takes the transport over."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._adopt(transport)
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._end: WireFailed | None = None
        self._speakable = True
        self._changed = asyncio.Event()
        self._paused = False

    def _adopt(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        # Whatever is written is either with the kernel or still ours: `write` waits for that.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    # What asyncio tells us.

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        try:
            self._replies.extend(self._reader.feed(data))
        except MalformedReply as exc:
            self._over(WireFailed(Cause.SURPRISE, str(exc)))
            self.transport.abort()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        tls = cause_of(exc) if exc else None
        self._over(WireFailed(*tls) if tls else WireFailed(Cause.LOST, str(exc or "closed by the server")))

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """The kernel took it all."""
        self._paused = False
        self._changed.set()

    def _over(self, end: WireFailed) -> None:
        self._end = self._end or end
        self._changed.set()

    # What the dialogue asks for.

    @property
    def spoke(self) -> bool:
        """Whether the server said something that nobody has read yet."""
        return bool(self._replies) or self._reader.amid

    def check(self) -> None:
        """Raise `WireFailed` if the connection is known to be lost."""
        if self._end is not None:
            raise self._end

    async def command(self, line: bytes, *, seconds: float) -> Reply:
        """Write a command, return its reply.

        Raises:
            WireFailed: no reply in time, the connection was lost, or the server spoke out of turn.
        """
        closing = bool(self._replies) and self._replies[0].code == _CLOSING
        if self.spoke and not closing:
            said = str(self._replies[0]) if self._replies else "the beginning of a reply"
            self._give_up(WireFailed(Cause.SURPRISE, f"unasked: {said}"))
        if not closing:
            await self.write(line, seconds=seconds)
        return await self.reply(seconds=seconds)

    async def write(self, data: bytes, *, seconds: float) -> None:
        """Write, and wait until the kernel has all of it, or the server has something to say.

        Raises:
            WireFailed: nothing moved for so long, or the connection was lost.
        """
        self.check()
        self.transport.write(data)
        await self._until(lambda: not self._paused, seconds=seconds)

    async def reply(self, *, seconds: float) -> Reply:
        """The next reply.

        Raises:
            WireFailed: none came in time, or the connection was lost.
        """
        await self._until(lambda: False, seconds=seconds)
        if not self._replies:
            self.check()
        return self._replies.popleft()

    async def _until(self, enough: Callable[[], bool], *, seconds: float) -> None:
        """Wait until it is enough, the server spoke, or the connection is over."""
        try:
            async with asyncio.timeout(seconds):
                while not (enough() or self._replies or self._end):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._give_up(WireFailed(Cause.NO_REPLY, f"nothing for {seconds:.0f} s"))
        except BaseException:
            self.abort()
            raise

    async def start_tls(self, context: ssl.SSLContext, *, host: str, seconds: float) -> None:
        """Upgrade to TLS, right after the reply to STARTTLS (RFC 3207 section 4).

        Raises:
            WireFailed: octets came behind that reply, or the handshake failed.
        """
        if self.spoke:
            self._give_up(WireFailed(Cause.STARTTLS_INJECTION))
        self._speakable = False  # until the handshake is over, nothing of SMTP can be said
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                upgraded = await loop.start_tls(self.transport, self, context, server_hostname=host)
        except TimeoutError:
            self._give_up(WireFailed(Cause.TLS_FAILED, f"no handshake in {seconds:.0f} s"))
        except OSError as exc:
            self._give_up(WireFailed(*(cause_of(exc) or (Cause.TLS_FAILED, str(exc) or "cut off"))))
        except BaseException:
            self.abort()
            raise
        else:
            if upgraded is None:
                self._give_up(WireFailed(Cause.TLS_FAILED, "cut off"))
            self._adopt(upgraded)
            self._speakable = True

    def _give_up(self, end: WireFailed) -> NoReturn:
        self._over(end)
        self.abort()
        raise end

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
        if self._speakable and self._end is None:
            self.transport.write(b"QUIT\r\n")
        self.abort()

    def abort(self) -> None:
        """Drop the connection now; nothing that is still in a buffer leaves."""
        self._over(WireFailed(Cause.LOST, "dropped by us"))
        self.transport.abort()
