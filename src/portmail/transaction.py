"""What is said next in a mail transaction? Replies in, commands out, no I/O (RFC 5321 section 3.3).

    transaction = Transaction(submission, extensions, anonymous=False)
    while (command := transaction.command) is not None:
        transaction.receive(<the server's reply to command>)

and then, where `transaction.phase is Phase.CONTENT`: write the content, then `FINAL_DOT` and
`committed()`, then `receive` its reply. At every moment `phase` says how far the message got.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from portmail.cause import Cause
from portmail.envelope import Mailbox
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.submission import Submission

FINAL_DOT = b".\r\n"
"""What commits the message. The content always ends with a line end, so these three octets do."""

_LOGIN_REQUIRED = 530  # RFC 4954 section 6
_CLOSING = 421  # RFC 5321 section 3.8: the end of the connection, not of one recipient
_POLICY = "5.7."  # RFC 3463 section 3.8: security or policy


def unmet(submission: Submission, *, extensions: Extensions) -> Failure | None:
    """What the message needs and the server does not offer, found before anything is said of it."""
    size, limit = submission.content.size, extensions.size_limit
    if limit is not None and size > limit:
        return Failure(Phase.MAIL, Cause.TOO_LARGE, f"{size:,} octets, the server takes {limit:,}")
    needs = {
        "SMTPUTF8": submission.needs_smtputf8,
        "8BITMIME": submission.content.needs_8bitmime,
    }
    missing = [name for name, needed in needs.items() if needed and name not in extensions]
    if missing:
        return Failure(Phase.MAIL, Cause.EXTENSION_MISSING, " and ".join(missing))
    return None


class Transaction:
    """One message, command by command. `failure` is set when the transaction is over without success."""

    def __init__(self, submission: Submission, *, extensions: Extensions, anonymous: bool) -> None:
        self.failure = unmet(submission, extensions=extensions)
        self.accepted: list[str] = []
        self.refused: dict[str, Reply] = {}
        self.reply: Reply | None = None
        self._anonymous = anonymous
        self._commands = deque(_commands(submission, extensions=extensions))

    @property
    def phase(self) -> Phase:
        """How far the message got."""
        return self._commands[0][0] if self._commands else Phase.DONE

    @property
    def command(self) -> bytes | None:
        """What to write now; None where it is the content's turn, or all is over."""
        return None if self.failure or not self._commands else self._commands[0][1]

    def committed(self) -> None:
        """The final dot is about to be written: from here on the message may be accepted."""
        assert self.phase is Phase.CONTENT
        self._commands.popleft()

    def lost(self, failure: Failure) -> None:
        """The connection ended before the transaction did."""
        self.failure = failure

    def receive(self, reply: Reply) -> None:
        """Take the server's reply to what was written last."""
        phase, _, recipient = self._commands[0]
        if phase is Phase.RCPT and recipient is not None:
            self._judge_recipient(recipient, reply=reply)
        elif phase is Phase.CONTENT or not _fits(phase, reply=reply):
            self._fail(phase, reply=reply)
        if self.failure is None:
            self._commands.popleft()
            self.reply = reply

    def _judge_recipient(self, recipient: Mailbox, *, reply: Reply) -> None:
        if _fits(Phase.RCPT, reply=reply):
            self.accepted.append(recipient.text)
        elif (reply.transient or reply.permanent) and reply.code != _CLOSING:
            self.refused[recipient.text] = reply
        else:
            self._fail(Phase.RCPT, reply=reply)
        last = self._commands[1][0] is not Phase.RCPT
        if last and not self.accepted and self.failure is None:
            # One that may be accepted later outweighs those that never will.
            replies = sorted(self.refused.values(), key=lambda refusal: refusal.permanent)
            self._fail(Phase.RCPT, reply=replies[0])

    def _fail(self, phase: Phase, *, reply: Reply) -> None:
        self.failure = Failure.of_reply(phase, reply)
        if self._anonymous and phase in (Phase.MAIL, Phase.RCPT) and (cause := _stranger(reply)):
            self.failure = Failure(phase, cause, reply=reply)


def _fits(phase: Phase, *, reply: Reply) -> bool:
    """Whether the reply says "go on" in this phase (RFC 5321 section 4.3.2)."""
    return reply.code == 354 if phase is Phase.DATA else 200 <= reply.code < 300


def _stranger(reply: Reply) -> Cause | None:
    """Why a sender without credentials is refused, if that is why.

    A submission port that wants a login says nothing of the relay behind it: another route may do.
    """
    if reply.code == _LOGIN_REQUIRED:
        return Cause.LOGIN_WANTED
    # Postfix's submission service says "554 5.7.1 ... Access denied" instead of 530.
    return Cause.DENIED if reply.permanent and (reply.enhanced or "").startswith(_POLICY) else None


def _commands(
    submission: Submission, *, extensions: Extensions
) -> Iterator[tuple[Phase, bytes | None, Mailbox | None]]:
    envelope = submission.envelope
    parameters = " ".join(_parameters(submission, extensions=extensions))
    sender = envelope.sender.path if envelope.sender else ""
    yield Phase.MAIL, _line(f"MAIL FROM:<{sender}> {parameters}".rstrip()), None
    for box in envelope.recipients:
        yield Phase.RCPT, _line(f"RCPT TO:<{box.path}>"), box
    yield Phase.DATA, _line("DATA"), None
    yield Phase.CONTENT, None, None
    yield Phase.FINAL_DOT, None, None


def _parameters(submission: Submission, *, extensions: Extensions) -> Iterator[str]:
    if "SIZE" in extensions:  # RFC 1870 section 5
        yield f"SIZE={submission.content.size}"
    if submission.content.needs_8bitmime:  # RFC 6152
        yield "BODY=8BITMIME"
    if submission.needs_smtputf8:  # RFC 6531 section 3.4
        yield "SMTPUTF8"


def _line(command: str) -> bytes:
    return command.encode("utf-8") + b"\r\n"
