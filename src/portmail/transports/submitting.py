"""How does a message leave? The transaction's commands, the content, and the final dot, in two phases.

Everything but the final dot is written and handed to the kernel; then comes the one moment after
which the message may be accepted without our knowing. A loss before it is provably "not sent".
"""

from __future__ import annotations

import asyncio

from portmail.cause import Cause
from portmail.failure import Phase
from portmail.submission import Submission
from portmail.timeouts import Deadline
from portmail.transaction import FINAL_DOT, Transaction
from portmail.transports.intake import WireFailed
from portmail.transports.session import Session, failure_of
from portmail.transports.wire import Wire

NOT_SENT = "the message was not sent"
IN_DOUBT = "in doubt: the message was handed over and may be accepted"
"""What the note says on an exception that interrupted a submission before the final dot, or after it."""


async def submit(
    submission: Submission, *, session: Session, anonymous: bool, deadline: Deadline
) -> Transaction:
    """Carry one mail transaction out. What became of it is in the transaction that this returns.

    When it is cancelled, the connection is dropped, and a note on the exception says whether the
    message was sent.
    """
    transaction = Transaction(submission, extensions=session.extensions, anonymous=anonymous)
    try:
        await _carry_out(transaction, submission=submission, wire=session.wire, deadline=deadline)
    except WireFailed as exc:
        session.wire.abort()  # in the middle of the content, QUIT would be content
        transaction.lost(failure_of(exc, phase=transaction.phase, deadline=deadline))
    except BaseException as exc:
        session.wire.abort()
        exc.add_note(f"portmail: {_certainty(transaction.phase)} ({submission.content.message_id})")
        raise
    return transaction


async def _carry_out(
    transaction: Transaction, *, submission: Submission, wire: Wire, deadline: Deadline
) -> None:
    while (command := transaction.command) is not None:
        reply = await wire.command(command, seconds=deadline.seconds(transaction.phase))
        transaction.receive(reply)
    if transaction.phase is not Phase.CONTENT or transaction.failure:
        return
    for block in submission.content.blocks():
        await wire.write(block, seconds=deadline.seconds(Phase.CONTENT))
        await asyncio.sleep(0)  # others have their turn, and asyncio tells us what came
        if await _refused_early(transaction, wire=wire, deadline=deadline):
            return
    wire.check()
    if deadline.remaining == 0:  # there would be no time left to hear what became of it
        raise WireFailed(Cause.NO_REPLY)
    transaction.committed()
    await wire.write(FINAL_DOT, seconds=deadline.seconds(Phase.FINAL_DOT))
    transaction.receive(await wire.reply(seconds=deadline.seconds(Phase.FINAL_DOT)))


async def _refused_early(transaction: Transaction, *, wire: Wire, deadline: Deadline) -> bool:
    """Whether the server replied before it heard everything: then the message is not sent."""
    if not wire.spoke:
        return False
    transaction.receive(await wire.reply(seconds=deadline.seconds(Phase.CONTENT)))
    wire.abort()  # where the content would end, nobody can say any more
    return True


def _certainty(phase: Phase) -> str:
    if phase is Phase.FINAL_DOT:
        return IN_DOUBT
    return "the message was accepted" if phase is Phase.DONE else NOT_SENT
