"""A Celery task that sends: again later where that is right, and never what may have arrived.

    export PORTMAIL_URL=submission://me:secret@mail.example.com CELERY_BROKER_URL=redis://localhost
    celery -A celery_task worker -l INFO
    python celery_task.py ann@example.org

The Message-ID is made when the message is queued, and is the task's id: however often the task runs,
it is one message. A worker that is killed loses what it had in hand; with `acks_late` and
`reject_on_worker_lost` another one runs it again, also where the server had the message already, and
portmail cannot know that. For mail that must not come twice, mark the Message-ID in your database
before it is sent and after: one that was begun and not finished is in doubt.
"""

from __future__ import annotations

import sys
from email.message import EmailMessage
from functools import cache
from typing import Any

from celery import Celery, Task
from celery.utils.log import get_task_logger

import portmail

app = Celery("celery_task")
log = get_task_logger(__name__)


@cache
def mail() -> portmail.Submitter:
    """One for each worker process. The queue tries again: the worker does not wait for it."""
    return portmail.Submitter.from_env(retry=None)


@app.task(bind=True, max_retries=10)
def deliver(self: Task[Any, Any], letter: portmail.Sealed) -> str:
    backoff = 60.0 * 2**self.request.retries
    try:
        receipt = mail().send(portmail.unsealed(letter))
    except portmail.PortmailError as error:
        if not error.temporary:  # InDoubt never is
            raise
        raise self.retry(exc=error, countdown=soon(error.retry_after or backoff)) from error
    for address, reply in receipt.refused.items():  # the others have it
        log.warning("%s: refused: %s: %s", receipt.message_id, address, reply)
    if later := [address for address, reply in receipt.refused.items() if reply.transient]:
        raise self.retry(args=({**letter, "recipients": later},), countdown=soon(backoff))
    return receipt.message_id


def soon(seconds: float) -> float:
    """Redis hands out again what nobody has finished for an hour: no pause may be that long."""
    return min(seconds, 3000)


def enqueue(message: EmailMessage) -> str:
    """Queue it as plain data, with a Message-ID. What cannot travel is told here."""
    letter = portmail.sealed(message)
    deliver.apply_async((letter,), task_id=letter["message_id"])
    return letter["message_id"]


if __name__ == "__main__":
    order = portmail.compose(
        to=sys.argv[1:],
        bcc="archive@example.com",
        subject="Your order",
        text="It is on its way.\n",
        sender="shop@example.com",
    )
    print(enqueue(order))
