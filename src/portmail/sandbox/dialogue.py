"""What has been said so far on one connection, and what may therefore come next?"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from portmail.sandbox.authentication import Accounts
from portmail.sandbox.connection import Connection
from portmail.sandbox.faults import Faults
from portmail.sandbox.records import Ledger, Record

SCHEMES = {587: "submission", 465: "submissions", 25: "relay"}
"""The services a sandbox can have, by their port, and the scheme of their URL."""

IMPLICIT_TLS = frozenset({465})
"""Services that begin with a TLS handshake (RFC 8314 section 3.3)."""

AUTHENTICATING = frozenset({587, 465})
"""Services that want to know who submits (RFC 6409 section 4.3)."""


@dataclass(frozen=True, slots=True)
class House:
    """What all connections of one sandbox have in common."""

    accounts: Accounts
    extensions: tuple[str, ...]
    mechanisms: tuple[str, ...]
    size_limit: int
    context: ssl.SSLContext
    faults: Faults
    ledger: Ledger


@dataclass(slots=True)
class Transaction:
    """A mail transaction that has begun (RFC 5321 section 3.3)."""

    sender: str
    parameters: tuple[str, ...]
    recipients: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def international(self) -> bool:
        """Whether SMTPUTF8 was asked for (RFC 6531 section 3.4)."""
        return any(parameter.upper() == "SMTPUTF8" for parameter in self.parameters)


@dataclass(slots=True)
class Dialogue:
    """One connection's dialogue. `offered` are the extensions named in the last reply to EHLO."""

    connection: Connection
    house: House
    service: int
    greeted: bool = False
    offered: frozenset[str] = frozenset()
    username: str | None = None
    transaction: Transaction | None = None
    over: bool = False

    @property
    def record(self) -> Record:
        """What is remembered of this connection."""
        return self.connection.record

    @property
    def in_transaction(self) -> Transaction:
        """The transaction. Raises Refusal where there is none."""
        if self.transaction is None:
            raise Refusal("503 5.5.1 say MAIL first")
        return self.transaction

    @property
    def must_authenticate(self) -> bool:
        """Whether MAIL is too early."""
        wanted = self.service in AUTHENTICATING and bool(self.house.accounts)
        return wanted and self.username is None

    @property
    def may_show_credentials(self) -> bool:
        """Whether AUTH is taken: in TLS only, unless a man in the middle wants to listen."""
        return self.record.tls is not None or self.house.faults.stripped

    def begin_again(self) -> None:
        """Forget everything that was said in clear (RFC 3207 section 4.2)."""
        self.greeted, self.offered, self.username = False, frozenset(), None
        self.transaction = None


class Refusal(Exception):  # a reply, not an error of ours
    """The reply that refuses a command."""


@dataclass(frozen=True, slots=True)
class Need:
    """A condition of a command, and the reply if it is not met."""

    met: Callable[[Dialogue], bool]
    reply: str


def insist(dialogue: Dialogue, needs: tuple[Need, ...]) -> None:
    """Raise the Refusal of the first need that is not met."""
    for need in needs:
        if not need.met(dialogue):
            raise Refusal(need.reply)


GREETED = Need(lambda d: d.greeted, "503 5.5.1 say EHLO first")
IDLE = Need(lambda d: d.transaction is None, "503 5.5.1 a mail transaction has begun already")
RECIPIENT_GIVEN = Need(lambda d: bool(d.in_transaction.recipients), "554 5.5.1 no valid recipients")
UNCHUNKED = Need(lambda d: not d.in_transaction.chunks, "503 5.5.1 BDAT has begun, go on with it")
ENCRYPTED = Need(
    lambda d: not d.must_authenticate or d.may_show_credentials,
    "530 5.7.0 Must issue a STARTTLS command first",
)
AUTHENTICATED = Need(lambda d: not d.must_authenticate, "530 5.7.0 Authentication required")
