"""What follows from the reply to each command? (RFC 5321 section 4.3.2, RFC 2920, RFC 3030)"""

from __future__ import annotations

from portmail.cause import Cause
from portmail.course import Course, Step
from portmail.envelope import Mailbox
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.transaction import CLOSING, Transaction

FINAL_DOT = b".\r\n"
"""What ends a content after DATA. The content always ends with a line end, so these three octets do."""


def hear(course: Course, reply: Reply) -> None:
    """A reply came: it is for the oldest command without one."""
    if not course.unanswered:
        _unasked(course, reply)
        return
    step, transaction, box = course.unanswered.popleft()
    step.hear(course, reply, transaction, box)
    if reply.code == CLOSING:
        course.over = _end_by(reply)
    if transaction.failure is not None:
        _wind_up(course, transaction)


def _unasked(course: Course, reply: Reply) -> None:
    if course.content is not None:  # refused before it was heard to the end
        course.content.fail(Phase.CONTENT, reply=reply)
    course.over = course.over or _end_by(reply)


def _end_by(reply: Reply) -> Failure:
    """What it means that the server said this where it fits no question."""
    if reply.code == CLOSING:
        return Failure.of_reply(Phase.MAIL, reply)
    return Failure(Phase.MAIL, Cause.SURPRISE, f"unasked: {reply}")


def _wind_up(course: Course, transaction: Transaction) -> None:
    """A transaction failed: it ends when the last of its replies is in."""
    failure = transaction.failure
    if failure is not None and failure.cause is Cause.SURPRISE:
        course.over = course.over or failure
    if transaction is course.envelope and not (course.unanswered or course.unsaid):
        course.envelope = None
        # A server may have kept recipients although it refused the sender.
        course.reset_due = transaction.phase is not Phase.MAIL or bool(transaction.accepted)
        course.ended.append(transaction)


def _hear_reset(course: Course, reply: Reply, _transaction: Transaction, _box: Mailbox | None) -> None:
    if not 200 <= reply.code < 300:
        course.over = _end_by(reply)


def _hear_sender(course: Course, reply: Reply, transaction: Transaction, _box: Mailbox | None) -> None:
    transaction.hear_sender(reply)
    if transaction.failure is not None:
        course.unsaid.clear()  # in lock-step nothing more need be said of it


def _hear_recipient(course: Course, reply: Reply, transaction: Transaction, box: Mailbox | None) -> None:
    assert box is not None
    last = transaction.hear_recipient(box, reply=reply)
    if transaction.failure is not None:
        course.unsaid.clear()
    elif last and course.chunking:
        course.go_on(transaction)


def _hear_data(course: Course, reply: Reply, transaction: Transaction, _box: Mailbox | None) -> None:
    if reply.code != 354:
        transaction.fail(Phase.DATA, reply=reply)
    elif transaction.failure is None:
        course.go_on(transaction)
    elif transaction.accepted:  # a dot would send an empty message to them
        course.over = _end_by(reply)
    else:  # RFC 2920 section 3.1: it waits for a content although there is nobody to have it
        course.unsaid.append((FINAL_DOT, (LONE_DOT, transaction, None)))


def _hear_lone_dot(_course: Course, _reply: Reply, _transaction: Transaction, _box: Mailbox | None) -> None:
    """Whatever it says: there was nobody to accept it for."""


def _hear_end(course: Course, reply: Reply, transaction: Transaction, _box: Mailbox | None) -> None:
    transaction.hear_end(reply)
    course.committed = None
    course.ended.append(transaction)
    if course.chunking and transaction.failure is not None and course.envelope is None:
        course.reset_due = True  # RFC 3030 section 2; an envelope behind it brings its own
    if course.envelope is not None and course.envelope.failure is not None:
        course.over = course.envelope.failure  # it was withdrawn: now nobody else is harmed


RSET = Step(Phase.MAIL, _hear_reset)
MAIL = Step(Phase.MAIL, _hear_sender)
RCPT = Step(Phase.RCPT, _hear_recipient)
DATA = Step(Phase.DATA, _hear_data)
LONE_DOT = Step(Phase.DATA, _hear_lone_dot)
END = Step(Phase.FINAL_DOT, _hear_end)
"""The kinds of command."""
