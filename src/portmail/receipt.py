"""What became of a message? `Receipt`, `Attempt`: one route tried and how it ended, and `Connected`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.route import Route
from portmail.security import TlsEvidence
from portmail.verdict import Verdict

if TYPE_CHECKING:
    from portmail.language import Words

ACCEPTED = "accepted"
"""What is said of the route that took the message."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One route tried, and how it ended. `error` is None on the route that took the message."""

    route: Route
    phase: Phase
    error: Failure | None
    verdict: Verdict
    seconds: float

    def said(self, into: Words) -> str:
        """In one line, in the language of `into`."""
        how = self.error.said(into) if self.error else into(ACCEPTED)
        return f"{self.route}: {how} ({self.seconds:.1f} s)"

    def __str__(self) -> str:
        return self.said(str)


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection is ready for messages: by which route, what it proved, what was tried before it.

    `tls` is None where it is unencrypted, `logged_in` whether the server took our credentials.
    """

    route: Route
    tls: TlsEvidence | None
    logged_in: bool
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server has the message. `refused` holds the recipients that it did not take, with its reply.

    `reply` is the reply to the final dot, `tls` what the connection proved (None: unencrypted),
    `attempts` every route tried on the way, in order, `duration` seconds from `send` to the reply.
    """

    message_id: str
    sender: str
    accepted: tuple[str, ...]
    refused: Mapping[str, Reply]
    reply: Reply
    route: Route
    tls: TlsEvidence | None
    attempts: tuple[Attempt, ...]
    duration: float
