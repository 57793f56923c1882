"""The example of a Django task sends on commit, later where that is right, and never what is in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django
import pytest

from portmail.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(django.VERSION < (6, 1), reason="no MAILERS; django.tasks is of 6.0")


def python(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a program said that ran with the sandbox as its account."""
    ours = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    account = {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca)}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=ours | account | {"PYTHONPATH": str(EXAMPLES), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_django_task_sends(sandbox: Sandbox) -> None:
    done = python(sandbox, str(EXAMPLES / "django_task.py"), "ann@example.org", "bob@example.org")
    assert (done.returncode, done.stderr) == (0, "")
    sent = [received.message["Message-ID"] for received in sandbox.messages]
    assert done.stdout.split() == sent
    assert [received.recipients for received in sandbox.messages] == [
        ("ann@example.org",),
        ("bob@example.org",),
    ]


MAIL = {"subject": "Your order", "from_email": "shop@example.com", "to": ["ann@example.org"]}

ROLLED_BACK = f"""
from django_task import *
try:
    with transaction.atomic():
        mail_later(**{MAIL})
        raise LookupError
except LookupError:
    print("rolled back")
"""

WAITING = f"""
from django_task import *
from django.tasks import default_task_backend
from django.test import override_settings
with override_settings(TASKS={{"default": {{"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}}}):
    mail = {MAIL} | {{"headers": {{"Message-ID": "<one@example.com>"}}}}
    print(deliver.call(mail, attempt=2))
    [result] = default_task_backend.results
    wait = result.task.run_after - now()
    print(result.args == [mail, 3], round(wait.total_seconds() / 60))
"""

AT_ONCE = f"""
from django_task import *
print(deliver.enqueue({MAIL}).errors[0].exception_class.__mro__[1].__name__)
"""


def test_a_django_task_is_not_queued_where_nothing_is_committed(sandbox: Sandbox) -> None:
    done = python(sandbox, "-c", ROLLED_BACK)
    assert (done.stdout, done.stderr) == ("rolled back\n", "")
    assert sandbox.messages == ()


@pytest.mark.parametrize(("text", "minutes"), [("4.2.1 mailbox busy", 4), ("4.2.0 wait for 5 minutes", 5)])
def test_a_django_task_is_queued_for_later_where_that_is_right(
    sandbox: Sandbox, text: str, minutes: int
) -> None:
    sandbox.reject("ann@example.org", code=450, text=text)
    done = python(sandbox, "-c", WAITING)
    assert (done.stdout, done.stderr) == (f"later\nTrue {minutes}\n", "")


def test_a_django_task_is_never_queued_again_where_it_is_in_doubt(sandbox: Sandbox) -> None:
    sandbox.drop_after_dot()
    done = python(sandbox, "-c", WAITING)
    assert "portmail.integrations.smtplib_errors.InDoubt: In doubt" in done.stderr
    assert len(sandbox.messages) == 1


def test_a_django_task_fails_where_its_backend_cannot_wait(sandbox: Sandbox) -> None:
    sandbox.reject("ann@example.org", code=450, text="4.2.1 mailbox busy")
    assert python(sandbox, "-c", AT_ONCE).stdout == "Rejected\n"
