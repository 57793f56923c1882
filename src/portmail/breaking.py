"""What is raised when portmail itself fails with a message? It asks little, and imports nothing late."""

from __future__ import annotations

import ssl

from portmail.errors import DeliveryError, InDoubt, InternalError, Unreachable
from portmail.failure import Phase
from portmail.receipt import Attempt
from portmail.transaction import Transaction

_REPORT = "please report it with the traceback"
_SCARCE = "the system ran out of something (descriptors, memory, threads): try again when there is more"


def broken_off(
    fault: Exception,
    *,
    message_id: str,
    transaction: Transaction | None,
    attempts: tuple[Attempt, ...] = (),
    accepted: tuple[str, ...] = (),
) -> DeliveryError:
    """The error to raise where `fault` ended the submission.

    `transaction` is the last one; `accepted` are recipients of those before it. What the system
    refuses (`OSError`) is no fault of portmail, and may be there again later.
    """
    done = transaction is not None and transaction.phase is Phase.DONE
    if transaction is not None and done:
        accepted += tuple(transaction.accepted)
    error: DeliveryError
    if accepted or done or (transaction is not None and transaction.in_doubt):
        state = "accepted" if done else "handed over, at least to some, and may be accepted"
        text = _text(f"In doubt: portmail itself failed; the message was {state}.", fault)
        error = InDoubt(text, message_id=message_id, attempts=attempts, accepted=accepted)
    elif _scarce(fault):
        text = _text("Not sent: the system gave no means to send it.", fault)
        error = Unreachable(text, message_id=message_id, attempts=attempts, temporary=True)
    else:
        text = _text("Not sent: portmail itself failed.", fault)
        error = InternalError(text, message_id=message_id, attempts=attempts)
    error.__cause__ = fault
    return error


def _scarce(fault: Exception) -> bool:
    return isinstance(fault, OSError) and not isinstance(fault, ssl.SSLError)


def _text(state: str, fault: Exception) -> str:
    advice = _SCARCE if _scarce(fault) else _REPORT
    return f"{state}\n  {type(fault).__name__}: {fault}\nWhat to do: {advice}."
