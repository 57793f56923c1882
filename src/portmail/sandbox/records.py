"""What did the sandbox see? `Received` messages and `Session`s, and the ledger that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was accepted.

    `content` is what was sent, octet by octet, after the dots were unstuffed (RFC 5321 section
    4.5.2). `service` is 587, 465 or 25, `tls` the TLS version or None, `parameters` those of MAIL.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    service: int
    tls: str | None
    username: str | None
    parameters: tuple[str, ...]

    @property
    def message(self) -> EmailMessage:
        """The content as a message that can be asked for its headers and its body."""
        return message_from_bytes(self.content, policy=policy.default)


@dataclass(frozen=True, slots=True)
class Session:
    """What one connection did, up to the moment of asking; of a sandbox, so secrets are shown.

    `plaintext` is every octet that the client sent in clear, `commands` every command line as it
    came, `authentications` the number of AUTH commands among them, `round_trips` how often the
    server had replied to everything and had to wait. `tls_server_name` is the name that the
    client asked for in the handshake (RFC 6066 section 3).
    """

    service: int
    plaintext: bytes
    commands: tuple[str, ...]
    authentications: int
    tls: str | None
    tls_server_name: str | None
    round_trips: int


@dataclass(slots=True)
class Record:
    """What one connection has done so far; only its own thread writes it."""

    service: int
    plaintext: bytearray = field(default_factory=bytearray)
    commands: list[str] = field(default_factory=list)
    authentications: int = 0
    tls: str | None = None
    tls_server_name: str | None = None
    round_trips: int = 0

    def snapshot(self) -> Session:
        """Return the record as it is now."""
        return Session(
            service=self.service,
            plaintext=bytes(self.plaintext),
            commands=tuple(self.commands),
            authentications=self.authentications,
            tls=self.tls,
            tls_server_name=self.tls_server_name,
            round_trips=self.round_trips,
        )


class Ledger:
    """All that one sandbox saw. Appending is atomic, and a reader gets a copy: no lock.

    `arrived` is told of every message.
    """

    def __init__(self, arrived: Callable[[Received], None] | None = None) -> None:
        self._arrived = arrived
        self._messages: list[Received] = []
        self._records: list[Record] = []

    @property
    def messages(self) -> tuple[Received, ...]:
        """The messages accepted so far, in order."""
        return tuple(self._messages)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """What every connection did so far, in the order in which they were accepted."""
        return tuple(record.snapshot() for record in tuple(self._records))

    def accept(self, message: Received) -> int:
        """Keep a message; return how many there are now."""
        self._messages.append(message)
        if self._arrived is not None:
            self._arrived(message)
        return len(self._messages)

    def begin(self, service: int) -> Record:
        """Return the record of a connection that begins."""
        record = Record(service)
        self._records.append(record)
        return record
