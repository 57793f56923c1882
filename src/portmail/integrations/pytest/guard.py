"""What must not be submitted while tests run, and to whom? A guard that stops it, and tells of it."""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Collection, Sequence
from typing import TypeAlias

from portmail.cause import Cause
from portmail.errors import Unreachable
from portmail.failure import Failure, Phase, RouteFailed
from portmail.job import Job
from portmail.route import Route
from portmail.settings import Settings

Server: TypeAlias = tuple[str, int]
"""Host and port; port 0 stands for all of them."""

_ADVICE = (
    "What to do: have the test ask for portmail_outbox, or for portmail_sandbox. "
    "A server that is there for tests is named in portmail_no_mail_except."
)


class Guard:
    """Lets nothing out but to the servers that are `allowed`, and remembers what would have gone."""

    def __init__(self, allowed: Collection[Server]) -> None:
        self._allowed = allowed
        self._caught: deque[str] = deque()  # of any thread

    def allows(self, routes: Sequence[Route]) -> bool:
        """Whether these are routes to servers of the tests, and to no others."""
        return bool(routes) and all(self.knows(route.host, port=route.port) for route in routes)

    def knows(self, host: str, *, port: int) -> bool:
        """Whether this is a server of the tests."""
        name = host.lower()
        return (name, port) in self._allowed or (name, 0) in self._allowed

    def carry(self, job: Job, *, settings: Settings) -> None:
        """Settle a job of this account: it is not sent, nor tried again."""
        where = ", ".join(map(str, settings.routes)) or "the server that is found for it"
        self._caught.append(f"{_told(job)}, by {where}")
        job.error = Unreachable("Not sent: no_mail is in force", message_id=job.message_id)

    def check(self, route: Route) -> None:
        """Before a connection is made.

        Raises:
            RouteFailed: it would not be to a server of the tests.
        """
        if not self.allows([route]):
            self._caught.append(f"a connection to {route}")
            raise RouteFailed(Failure(Phase.CONNECT, Cause.PROHIBITED, "by no_mail"))

    def check_all(self, routes: Sequence[Route]) -> None:
        """Before they are all probed.

        Raises:
            Unreachable: they are not all of servers of the tests.
        """
        if not self.allows(routes):
            where = ", ".join(map(str, routes)) or "a server that would be looked for"
            self._caught.append(f"a check of {where}")
            raise Unreachable("Not checked: no_mail is in force")

    def check_smtplib(self, host: str, *, port: int) -> None:
        """The same for a connection of the standard library's.

        Raises:
            ConnectionRefusedError: likewise.
        """
        if not self.knows(host, port=port):
            self._caught.append(f"a connection of smtplib to {host}:{port}")
            raise ConnectionRefusedError("no_mail is in force")

    def take(self) -> str:
        """All that would have gone since this was asked last, for a person; empty if that is nothing."""
        caught = [self._caught.popleft() for _ in range(len(self._caught))]
        if not caught:
            return ""
        told = "\n".join(f"  {what}" for what in dict.fromkeys(caught))
        return f"no_mail: mail would have been submitted:\n{told}\n{_ADVICE}"


def server_of(smtp: smtplib.SMTP, host: str, *, port: int) -> Server:
    """Where `smtplib` connects to: the port may stand behind the host, or go without saying."""
    name, _, behind = host.rpartition(":")
    if not port and ":" not in name and behind.isdecimal():
        return name, int(behind)
    return host, port or smtp.default_port


def _told(job: Job) -> str:
    """Who a job is for, and from whom."""
    if job.submission is None:
        return "a connection for later messages"
    envelope = job.submission.envelope
    to = ", ".join(box.text for box in envelope.recipients)
    return f"to {to} (from {envelope.sender.text if envelope.sender else '<>'})"
