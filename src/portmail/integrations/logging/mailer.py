"""How does a digest of log records become a mail, and who submits it? A submitter of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portmail.composing import Addresses, compose
from portmail.errors import ConfigurationError
from portmail.integrations.logging.digest import Digest, Kind
from portmail.settings import Settings

# A program that has nothing to tell does not pay for what sends.
if TYPE_CHECKING:
    from email.message import EmailMessage

    from portmail.blocking import LoopThread
    from portmail.receipt import Receipt
    from portmail.submitter import AsyncSubmitter


class Mailer:
    """Makes a mail of a digest, and submits it from a loop of its own."""

    def __init__(self, settings: Settings, *, to: Addresses, sender: str | None, subject: str) -> None:
        self._settings = settings
        self._to, self._sender, self._subject = to, sender, subject
        self._loop: LoopThread | None = None
        self._mail: AsyncSubmitter | None = None
        self._task: asyncio.Task[Any] | None = None
        self._given_up = False

    def check(self) -> None:
        """Would a mail be one?

        Raises:
            ConfigurationError: the subject cannot be filled in, or a file of certificates cannot be read.
            AddressError: `to` or `sender` is no address, or there is none.
        """
        from portmail.submission import Submission

        probe = Digest({"": Kind("text", "text", logging.ERROR, "ERROR", first=0, last=0)})
        try:
            probe.subject(self._subject, host="localhost")
        except (AttributeError, LookupError, TypeError, ValueError) as exc:
            raise ConfigurationError(
                f"subject={self._subject!r} cannot be filled in ({exc!r}): "
                "its fields are {levelname}, {first_line}, {count} and {host}"
            ) from None
        Submission.of(self.message(probe), default_sender=self._settings.sender)
        if any(self._settings.pem_files.values()):
            from portmail.transports.tls import verified_context

            verified_context(**self._settings.pem_files)

    def message(self, digest: Digest) -> EmailMessage:
        """The mail. Nobody's vacation notice answers it (RFC 3834 section 5)."""
        host = socket.gethostname()
        origin = f"{Path(sys.argv[0]).name or 'python'} on {host}, process {os.getpid()}"
        message = compose(
            to=self._to,
            sender=self._sender,
            subject=digest.subject(self._subject, host=host),
            text=digest.body(origin=origin),
        )
        message["Auto-Submitted"] = "auto-generated"
        return message

    def send(self, digest: Digest, *, within: float | None = None) -> Receipt:
        """Submit it, and wait for what becomes of it. After `within` seconds it is given up.

        Raises:
            PortmailError: it was not accepted, or nobody knows.
        """
        from portmail.blocking import LoopThread
        from portmail.submitter import AsyncSubmitter

        message = self.message(digest)
        mail = self._mail = self._mail or AsyncSubmitter._with(self._settings)  # noqa: SLF001  # a door of ours
        self._loop = self._loop or LoopThread()

        async def submit() -> Receipt:
            task = self._task = asyncio.current_task()
            if self._given_up:
                raise asyncio.CancelledError
            if task is not None and within is not None:
                # No asyncio.timeout: its error does not say whether the message is in doubt.
                asyncio.get_running_loop().call_later(within, task.cancel)
            try:
                return await mail.send(message)
            finally:
                self._task = None

        return self._loop.run(submit)

    def give_up(self) -> None:
        """End what is under way, and begin nothing more."""
        self._given_up = True
        if (task := self._task) is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    def rest(self) -> None:
        """Close the connection, and the loop: the next mail may be hours away."""
        if self._loop is not None:
            self._loop.close()
