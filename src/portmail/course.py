"""What is under way on a connection that carries mail transactions, and what may begin?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from portmail.content import Content
from portmail.envelope import Mailbox
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.transaction import Transaction

AT_ONCE = 12 * 1024
"""Octets of content that travel in one piece with what commits them. A TLS record holds 16 KiB, and
dot-stuffing makes a third more of a content at the most."""


class Step:
    """A kind of command: in which phase its reply is awaited, and what follows from the reply."""

    __slots__ = ("hear", "phase")

    def __init__(
        self, phase: Phase, hear: Callable[[Course, Reply, Transaction, Mailbox | None], None]
    ) -> None:
        self.phase = phase
        self.hear = hear


Said = tuple[Step, Transaction, Mailbox | None]
"""A command that waits for its reply: of which kind, for which message, for which recipient of it."""


class Course:
    """The state of a connection: at most one transaction is committed, and at most one is not yet.

    Attributes:
        pipelining, chunking: what the server offers.
        unsaid: commands to be said, with their octets. `unanswered`: those that wait for a reply.
        envelope: the transaction whose envelope is being judged.
        content: the one whose content is being written; `block` is what of it comes next.
        committed: the one whose last reply is awaited. `committing` is the same until it is known that what
            commits it has left; `riding` is whether commands were pulled together with that.
        reset_due: whether the server has to forget something before the next MAIL.
        ended: transactions that are over, in order; the caller takes them out.
        over: why the connection is of no further use, None while it is.
    """

    def __init__(self, extensions: Extensions) -> None:
        self.pipelining = "PIPELINING" in extensions
        self.chunking = "CHUNKING" in extensions
        self.unsaid: deque[tuple[bytes, Said]] = deque()
        self.unanswered: deque[Said] = deque()
        self.envelope: Transaction | None = None
        self.content: Transaction | None = None
        self.committed: Transaction | None = None
        self.committing: Transaction | None = None
        self.riding = False
        self.blocks: Iterator[bytes] = iter(())
        self.block: bytes | None = None
        self.reset_due = False
        self.ended: list[Transaction] = []
        self.over: Failure | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.envelope is self.content is self.committed is None

    @property
    def hungry(self) -> bool:
        """Whether another transaction may begin now."""
        if self.envelope is not None or self.over is not None:
            return False
        return self.idle or (self.pipelining and self.block is None)

    @property
    def awaited(self) -> tuple[Phase, Transaction] | None:
        """For what, and for which transaction, the connection has to wait; None if for nothing."""
        if self.content is not None:
            return Phase.CONTENT, self.content
        if self.unanswered:
            step, transaction, _ = self.unanswered[0]
            return step.phase, transaction
        return None

    def go_on(self, transaction: Transaction) -> None:
        """The envelope stands: the content's turn."""
        content = transaction.submission.content
        transaction.phase = Phase.CONTENT
        self.envelope, self.content = None, transaction
        self.blocks = _chunk(content) if self.chunking else content.stuffed_blocks()
        if content.size > AT_ONCE:
            self.block = next(self.blocks)


def _chunk(content: Content) -> Iterator[bytes]:
    """One BDAT with all of the content but its last line end (RFC 3030 section 2)."""
    command = b"BDAT %d LAST\r\n" % content.size
    left = content.size
    for block in content.blocks():
        left -= len(block)
        if octets := command + (block if left else block[:-2]):
            yield octets
        command = b""
