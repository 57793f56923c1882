"""An RQ job that sends: again later where that is right, and never what may have arrived.

    export PORTMAIL_URL=submission://me:secret@mail.example.com RQ_REDIS_URL=redis://localhost
    rq worker --with-scheduler
    python rq_job.py ann@example.org

`enqueue(…, retry=Retry(…))` would send again after every error, also where the message may have
arrived; a job that returns a `Retry` decides itself. A job whose worker was killed is among the failed
ones, and may have sent: the Message-ID, made when it was queued, says what to look for.

A worker forks a process for each job, so each has a submitter of its own. Where one process runs all
(`--worker-class rq.SimpleWorker`), keep one, as celery_task.py does.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage
from math import ceil

from redis import Redis
from rq import Queue, Retry

import portmail

JOB = "rq_job.deliver"
log = logging.getLogger(__name__)
BACKOFF = [60 * 2**n for n in range(8)]


def deliver(letter: portmail.Sealed) -> str | Retry:
    try:
        # The queue tries again: the worker does not wait for it. RQ ends a job after 180 seconds.
        with portmail.Submitter.from_env(retry=None, timeouts=150) as mail:
            receipt = mail.send(portmail.unsealed(letter))
    except portmail.PortmailError as error:
        if not error.temporary:  # InDoubt never is
            raise
        return Retry(max=len(BACKOFF), interval=ceil(error.retry_after) if error.retry_after else BACKOFF)
    for address, reply in receipt.refused.items():  # the others have it
        log.warning("%s: refused: %s: %s", receipt.message_id, address, reply)
    if later := [address for address, reply in receipt.refused.items() if reply.transient]:
        rest = {**letter, "recipients": later}
        with mails() as queue:
            queue.enqueue_in(timedelta(minutes=5), JOB, rest, description=f"the rest of {receipt.message_id}")
    return receipt.message_id


@contextmanager
def mails() -> Iterator[Queue]:
    with Redis.from_url(os.environ["RQ_REDIS_URL"]) as connection:
        yield Queue(connection=connection)


def enqueue(message: EmailMessage) -> str:
    """Queue it as plain data, with a Message-ID. What cannot travel is told here."""
    letter = portmail.sealed(message)
    with mails() as queue:
        queue.enqueue(JOB, letter, description=letter["message_id"])  # else RQ's log tells what is in it
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
