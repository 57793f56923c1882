"""What has arrived on a connection, and is it still there? The asyncio protocol behind a `Wire`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from portmail.cause import Cause
from portmail.reply import MalformedReply, Reply, ReplyReader
from portmail.transports.tls import cause_of

if TYPE_CHECKING:
    from portmail.certificate import Certificate


class WireFailed(Exception):  # turned into a Failure by those who know the phase
    """The connection is over; `.cause` and `.detail` say why, `.certificate` which one was refused.

    `.heard` is what came in place of TLS, the first octets of it.
    """

    def __init__(
        self, cause: Cause, detail: str = "", *, certificate: Certificate | None = None, heard: bytes = b""
    ) -> None:
        super().__init__(f"{cause.value} {detail}".rstrip())
        self.cause = cause
        self.detail = detail
        self.certificate = certificate
        self.heard = heard


class Intake(asyncio.Protocol):
    """Takes what asyncio tells of a connection: replies, back pressure, and the end."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.end: tuple[Cause, str] | None = None
        self.paused = False
        self.changed = asyncio.Event()
        self._reader = ReplyReader()

    @property
    def spoke(self) -> bool:
        """Whether the server said something that nobody has read yet."""
        return bool(self.replies) or self._reader.amid

    def over(self, cause: Cause, detail: str = "") -> None:
        """Keep how the connection ended; what is told first counts."""
        self.end = self.end or (cause, detail)
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        """Octets came. What is no reply ends the connection."""
        try:
            self.replies.extend(self._reader.feed(data))
        except MalformedReply as exc:
            self.over(Cause.SURPRISE, str(exc))
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. What a server wants to see of us, it may say when TLS stands already."""
        tls = cause_of(exc) if exc is not None else None
        if tls is not None and tls[0] is Cause.CLIENT_CERTIFICATE:
            self.over(*tls)
        self.over(Cause.LOST, str(exc or "closed by the server"))

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """The kernel took it all."""
        self.paused = False
        self.changed.set()
