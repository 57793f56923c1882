"""A Django task that sends (Django 6.1): queued on commit, again later where that is right.

    PORTMAIL_URL=submission://me:secret@mail.example.com python django_task.py ann@example.org

In a project the settings go to settings.py, `deliver` and `mail_later` to tasks.py. Django itself has a
backend that runs a task at once; others (django-tasks-db, …) have workers and can wait, and may run a
task twice. The Message-ID is made when the mail is queued: for mail that must not come twice, mark it in
your database before it is sent and after: one that was begun and not finished is in doubt.
"""

import os
import sys
from datetime import timedelta
from email.utils import format_datetime, localtime, make_msgid
from functools import partial
from typing import Any

import django
from django.conf import settings

import portmail

settings.configure(
    MAILERS={
        "default": {
            "BACKEND": "portmail.django.EmailBackend",
            # The queue tries again: a worker does not wait for it.
            "OPTIONS": {"url": os.environ["PORTMAIL_URL"], "retry": None},
        }
    },
    TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
)
django.setup()

from django.core.mail import EmailMessage  # noqa: E402  # Django must be set up first
from django.db import transaction  # noqa: E402
from django.tasks import task  # noqa: E402
from django.utils.timezone import now  # noqa: E402


@task
def deliver(mail: dict[str, Any], attempt: int = 0) -> str:
    try:
        EmailMessage(**mail).send()
    except portmail.PortmailError as error:
        can_wait = deliver.get_backend().supports_defer
        if not (error.temporary and can_wait and attempt < 8):  # InDoubt is never temporary
            raise
        wait = timedelta(seconds=error.retry_after or 60 * 2**attempt)
        deliver.using(run_after=now() + wait).enqueue(mail, attempt + 1)
        return "later"
    return "accepted"


def mail_later(**mail: Any) -> str:
    """Queue what an `EmailMessage` is made of: nothing goes if the transaction is rolled back.

    One recipient each: then a mail is sent or not, and nothing in between.
    """
    headers = {"Message-ID": make_msgid(domain="example.com"), "Date": format_datetime(localtime())}
    transaction.on_commit(partial(deliver.enqueue, {**mail, "headers": headers}))
    return headers["Message-ID"]


if __name__ == "__main__":
    with transaction.atomic():
        for customer in sys.argv[1:]:  # store the order here
            told = mail_later(
                subject="Your order",
                body="It is on its way.\n",
                from_email="shop@example.com",
                to=[customer],
            )
            print(told)
