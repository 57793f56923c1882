"""How far did a message get, and what was said of it? One mail transaction (RFC 5321 section 3.3).

A `Transaction` is one message on one connection. It hears the replies to its own commands and
keeps what follows from them; which command is said when is the business of `exchange.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from portmail.cause import Cause
from portmail.envelope import Mailbox
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.submission import Submission
from portmail.timeouts import Deadline

_LOGIN_REQUIRED = 530  # RFC 4954 section 6
CLOSING = 421  # RFC 5321 section 3.8: the end of the connection, not of one recipient
_POLICY = "5.7."  # RFC 3463 section 3.8: security or policy

_TOO_MANY = {452: (None, "4.5.3"), 552: ("5.5.3",)}
"""How "too many recipients" is said: the code, and the enhanced codes that go with it (RFC 5321
section 4.5.3.1.10). A bare 552 at RCPT is a full mailbox more often."""


def unmet(submission: Submission, *, extensions: Extensions) -> Failure | None:
    """What the message needs and the server does not offer, found before anything is said of it."""
    content = submission.content
    limit = extensions.size_limit
    if limit is not None and content.size > limit:
        return Failure(Phase.MAIL, Cause.TOO_LARGE, f"{content.size:,} octets, the server takes {limit:,}")
    needs = (("SMTPUTF8", submission.needs_smtputf8), ("8BITMIME", content.needs_8bitmime))
    missing = [name for name, needed in needs if needed and name not in extensions]
    if missing:
        return Failure(Phase.MAIL, Cause.EXTENSION_MISSING, " and ".join(missing))
    return None


class Transaction:
    """One message on one connection.

    Attributes:
        phase: how far it got: the step whose reply is awaited; `FINAL_DOT` once it is committed.
        accepted, refused: recipients, as the server judged them so far.
        left: recipients for whom the server has no room in this transaction, for another one.
        reply: the reply that accepted the message.
        failure: why it ended without success; None while it is under way, and when it succeeded.
        because: what the program's own code raised, where that is why.
    """

    __slots__ = (
        "_anonymous",
        "_unheard",
        "accepted",
        "because",
        "before_commit",
        "deadline",
        "failure",
        "left",
        "phase",
        "recipients",
        "refused",
        "reply",
        "submission",
    )

    def __init__(
        self,
        submission: Submission,
        *,
        deadline: Deadline,
        anonymous: bool,
        recipients: Sequence[Mailbox] | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        self.submission = submission
        self.deadline = deadline
        self.recipients = submission.envelope.recipients if recipients is None else recipients
        self.before_commit = before_commit
        self.phase = Phase.WAITING
        self.accepted: list[str] = []
        self.refused: dict[str, Reply] = {}
        self.left: list[Mailbox] = []
        self.reply: Reply | None = None
        self.failure: Failure | None = None
        self.because: BaseException | None = None
        self._anonymous = anonymous
        self._unheard = len(self.recipients)

    def hear_sender(self, reply: Reply) -> None:
        """The reply to MAIL."""
        if 200 <= reply.code < 300:
            self.phase = Phase.RCPT
        else:
            self.fail(Phase.MAIL, reply=reply)

    def hear_recipient(self, recipient: Mailbox, *, reply: Reply) -> bool:
        """The reply to RCPT. Returns whether it was the last one."""
        self._unheard -= 1
        if 200 <= reply.code < 300:
            self.accepted.append(recipient.text)
        elif reply.code == CLOSING or not (reply.transient or reply.permanent):
            self.fail(Phase.RCPT, reply=reply)
        elif self.failure is None:  # behind a refused MAIL it says nothing of the recipient
            self.refused[recipient.text] = reply
            if reply.enhanced in _TOO_MANY.get(reply.code, ()):
                self.left.append(recipient)
        if self._unheard:
            return False
        self._judge_recipients()
        return True

    def _judge_recipients(self) -> None:
        if self.failure is not None:
            return
        if self.accepted:
            self.phase = Phase.DATA
        else:
            self.left.clear()  # there is room for nobody: another transaction would go no further
            # One that may be accepted later outweighs those that never will.
            replies = sorted(self.refused.values(), key=lambda refusal: refusal.permanent)
            self.fail(Phase.RCPT, reply=replies[0])

    def hear_end(self, reply: Reply) -> None:
        """The reply to what committed it."""
        if 200 <= reply.code < 300:
            self.phase, self.reply = Phase.DONE, reply
        else:
            self.fail(Phase.FINAL_DOT, reply=reply)

    def fail(self, phase: Phase, *, reply: Reply) -> None:
        """The server said no, or what fits no question. What was told first counts."""
        failure = Failure.of_reply(phase, reply)
        if self._anonymous and phase in (Phase.MAIL, Phase.RCPT) and (cause := _stranger(reply)):
            failure = Failure(phase, cause, reply=reply)
        self.failure = self.failure or failure

    @property
    def in_doubt(self) -> bool:
        """Whether it is committed, and nothing says what became of it."""
        return self.phase is Phase.FINAL_DOT and (self.failure is None or self.failure.reply is None)

    def commands(self, *, extensions: Extensions) -> Iterator[tuple[bytes, Mailbox | None]]:
        """MAIL, and RCPT for each recipient."""
        sender = self.submission.envelope.sender
        parameters = _parameters(self.submission, extensions=extensions)
        yield f"MAIL FROM:<{sender.path if sender else ''}>{parameters}\r\n".encode(), None
        for box in self.recipients:
            yield f"RCPT TO:<{box.path}>\r\n".encode(), box


def _stranger(reply: Reply) -> Cause | None:
    """Why a sender without credentials is refused, if that is why.

    A submission port that wants a login says nothing of the relay behind it: another route may do.
    """
    if reply.code == _LOGIN_REQUIRED:
        return Cause.LOGIN_WANTED
    # Postfix's submission service says "554 5.7.1 ... Access denied" instead of 530.
    return Cause.DENIED if reply.permanent and (reply.enhanced or "").startswith(_POLICY) else None


def _parameters(submission: Submission, *, extensions: Extensions) -> str:
    size = f" SIZE={submission.content.size}" if "SIZE" in extensions else ""  # RFC 1870 section 5
    body = " BODY=8BITMIME" if submission.content.needs_8bitmime else ""  # RFC 6152
    utf8 = " SMTPUTF8" if submission.needs_smtputf8 else ""  # RFC 6531 section 3.4
    return size + body + utf8
