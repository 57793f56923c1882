"""What is said next on a connection that carries mail transactions? Replies in, octets out, no I/O.

    exchange = Exchange(extensions)
    exchange.begin(transaction)                  # whenever exchange.hungry
    while octets := exchange.pull():             # when all that was pulled before is with the kernel
        <write octets>
    exchange.receive(reply)                      # for each reply
    exchange.ended                               # transactions that are over, for the caller to take

One way of going for all servers; what EHLO offered makes the difference (RFC 2920, RFC 3030):

| offered             | what travels together                                                        |
|---------------------|------------------------------------------------------------------------------|
| nothing             | each command alone                                                           |
| PIPELINING          | MAIL, RCPT..., DATA; then content, final dot, and the next MAIL, RCPT..., DATA |
| CHUNKING            | as nothing, but `BDAT n LAST` with the content in place of DATA               |
| both                | MAIL, RCPT...; then `BDAT n LAST`, content, RSET, and the next MAIL, RCPT...   |

RFC 3030 section 2 wants RSET after a failed BDAT before any other command: the next envelope
carries it along. A reply counts for the oldest command without one. One that nobody waits for,
or that fits no question, is the end of the connection.

Commitment has two phases. All of the content is pulled, and pulled again only when it is with
the kernel; then comes what commits it (the final dot; with BDAT the last line end), after which
the message may be accepted without our knowing, unless the connection ends before the kernel has
it. A content that fits into one TLS record is not divided: a record is decrypted whole or not at all.
"""

from __future__ import annotations

from dataclasses import replace

from portmail.cause import Cause
from portmail.course import Course
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.hearing import DATA, END, FINAL_DOT, MAIL, RCPT, RSET, hear
from portmail.reply import Reply
from portmail.transaction import Transaction, unmet

_LAST_LINE_END = b"\r\n"


class Exchange(Course):
    """Mail transactions on one connection."""

    def __init__(self, extensions: Extensions) -> None:
        super().__init__(extensions)
        self._extensions = extensions

    def begin(self, transaction: Transaction, *, proof: bool = False) -> None:
        """Take one more transaction. With `proof`, RSET comes first: whoever answers it is there.

        What the server cannot carry ends here, before anything is said of it.
        """
        transaction.failure = unmet(transaction.submission, extensions=self._extensions)
        if transaction.failure is not None:
            self.ended.append(transaction)
            return
        behind_bdat = self.chunking and not self.idle
        self.envelope, transaction.phase = transaction, Phase.MAIL
        if proof or behind_bdat or self.reset_due:
            self.unsaid.append((b"RSET\r\n", (RSET, transaction, None)))
            self.reset_due = False
        for line, box in transaction.commands(extensions=self._extensions):
            self.unsaid.append((line, (MAIL if box is None else RCPT, transaction, box)))
        if not self.chunking:
            self.unsaid.append((b"DATA\r\n", (DATA, transaction, None)))

    def pull(self) -> bytes:
        """What to write now; empty where a reply or another transaction has to come first.

        To be called when all that was pulled before is with the kernel. What it returns counts as
        written.

        Raises:
            Exception: what `before_commit` or the content raises; then the message is not committed.
        """
        self.committing = None
        if self.over is not None:
            return b""
        if self.content is None:
            return self._group()
        if self.block is None:
            return self._commit(self.content)
        block, self.block = self.block, next(self.blocks, None)
        return block

    def _group(self) -> bytes:
        """The commands that may be written together."""
        if not self.unsaid or (self.unanswered and not self.pipelining):
            return b""
        if not self.pipelining:
            line, said = self.unsaid.popleft()
            self.unanswered.append(said)
            return line
        lines, said_of_all = zip(*self.unsaid, strict=True)
        self.unanswered.extend(said_of_all)
        self.unsaid.clear()
        return b"".join(lines)

    def _commit(self, transaction: Transaction) -> bytes:
        content = b"".join(self.blocks)  # nothing, unless it travels in one piece
        if transaction.before_commit is not None:
            transaction.before_commit()
            transaction.before_commit = None  # it knows the transaction's job, which knows the transaction
            if self.over is not None:  # which may drop the connection
                return b""
        transaction.phase = Phase.FINAL_DOT
        self.content, self.committed = None, transaction
        self.unanswered.append((END, transaction, None))
        end = content + (_LAST_LINE_END if self.chunking else FINAL_DOT)
        # Behind a large content the next envelope waits until it is known that the end has left.
        self.committing = transaction
        group = self._group() if content else b""
        self.riding = bool(group)
        return end + group

    def receive(self, reply: Reply) -> None:
        """Take a reply, for the oldest command without one."""
        hear(self, reply)

    def withdraw(self, transaction: Transaction) -> bool:
        """Give a transaction up. Returns whether the connection must be dropped at once.

        It waits while another one is committed, which would be in doubt for it; meanwhile nothing
        is said of the one that was given up.
        """
        transaction.failure = transaction.failure or Failure(transaction.phase, Cause.LOST, "given up")
        if transaction is not self.envelope or self.committed is None:
            return True
        self.unsaid.clear()
        return False

    def uncommit(self) -> None:
        """Nothing of what was pulled last has left: was it what commits, the message is not committed."""
        if self.committing is not None:
            self.committing.phase = Phase.CONTENT

    def unsent(self) -> None:
        """Not all of what was pulled last has left: what commits has not, unless more rode behind it."""
        if not self.riding:
            self.uncommit()

    def lost(self, failure: Failure, *, unsent: bool = False) -> None:
        """The connection is over. What was under way ends, each in the phase that it had reached.

        `unsent` is whether the kernel never had all of what was pulled last.
        """
        self.over = self.over or failure
        if unsent:
            self.unsent()
        for transaction in (self.committed, self.content, self.envelope):
            if transaction is not None:
                ending = replace(self.over, phase=transaction.phase)
                transaction.failure = transaction.failure or ending
                self.ended.append(transaction)
        self.committed = self.content = self.envelope = self.block = None
        self.unsaid.clear()
        self.unanswered.clear()
