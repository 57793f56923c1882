"""Does a short program start quickly? What is loaded for one message, and what only where it is needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest

import portmail.retry
from portmail.errors import CertificateFileError, Rejected, Unreachable
from portmail.retry import Retry, retrying
from portmail.sandbox import Sandbox
from portmail.transports import tls
from tests.leaks import PASSWORD, USER

FOUNDATIONS = "aiosmtplib, email.message, email.headerregistry, email.generator, email.utils"
"""What every program loads that sends an `EmailMessage` through aiosmtplib."""

RARE = (
    "email_validator",
    "idna",
    "tenacity",
    "difflib",
    "portmail.url",
    "portmail.conclusion",
    "portmail.repeating",
    "portmail.bulk",
    "portmail.batches",
    "portmail.composing",
    "portmail.checking",
    "portmail.probing",
    "portmail.report",
    "portmail.diagnosis",
    "portmail.situation",
    "portmail.surroundings",
    "portmail.hints",
    "portmail.hosting",
    "portmail.language",
    "portmail.phrase",
    "portmail.certificate",
    "portmail.route_memory",
    "portmail.store",
    "portmail.cli",
    "portmail.sandbox",
)
"""What a message does not need that this very machine accepts at once."""

PATHLIB = {"pathlib", "fnmatch", "glob", "grp", "nt", "ntpath", "pwd", "_winapi"}
LOOKING_UP = {"encodings", "stringprep", "unicodedata"}
OURS = {"portmail", "dataclasses", "__future__"} | PATHLIB | LOOKING_UP
"""What portmail loads beyond the foundations: itself, the standard library for files and hosts."""

SENDING = f"""
import sys
import {FOUNDATIONS}
before = set(sys.modules)
import portmail
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "me@example.org", "you@example.org", "Hello"
message.set_content("Hello, you.")
host, port, ca, password = sys.argv[1:]
wishes = dict(password=password, host=host, port=int(port), security="implicit-tls", tls_ca=ca)
with portmail.Submitter({USER!r}, **wishes) as mail:
    mail.send(message)
print(*sorted(set(sys.modules) - before))
"""


def loaded_for_one_message(sandbox: Sandbox) -> set[str]:
    """The modules that a program loads which sends one, beyond the foundations."""
    account = [sandbox.host, str(sandbox.port(465)), str(sandbox.ca), PASSWORD]
    done = subprocess.run(
        [sys.executable, "-c", SENDING, *account], check=True, capture_output=True, text=True, timeout=30
    )
    return set(done.stdout.split())


def test_one_message_loads_what_it_needs_and_no_more(sandbox: Sandbox) -> None:
    loaded = loaded_for_one_message(sandbox)
    assert len(sandbox.messages) == 1
    assert loaded & set(RARE) == set()
    assert {name.partition(".")[0] for name in loaded} - OURS == set()


def test_the_memory_of_routes_is_loaded_with_a_submitter_that_will_need_it() -> None:
    program(
        "import sys, portmail\n"
        "for host in ('127.0.0.1', '::1', 'localhost', 'mail.example.com'):\n"
        "    assert 'portmail.route_memory' not in sys.modules, host\n"
        "    portmail.Submitter(host=host, port=587)\n"
        "assert 'portmail.route_memory' in sys.modules\n"
    )


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which contexts were made, in a process that has made none yet."""
    threads: list[str] = []
    make = tls._verified_context.__wrapped__

    @lru_cache
    def making(*arguments: object) -> object:
        threads.append(threading.current_thread().name)
        return make(*arguments)

    monkeypatch.setattr(tls, "_verified_context", making)
    return threads


def test_the_first_context_is_made_in_a_thread_beside_what_is_imported(makers: list[str]) -> None:
    with pytest.raises(KeyError), tls.verifying(tls_ca=None, client_cert=None):
        raise KeyError
    assert makers == ["portmail-tls"]
    assert not [thread for thread in threading.enumerate() if thread.name == "portmail-tls"]
    with tls.verifying(tls_ca=Path(__file__), client_cert=None):
        pass
    assert makers == ["portmail-tls"]


def test_what_goes_wrong_beside_is_told_to_whoever_asks(makers: list[str]) -> None:
    with tls.verifying(tls_ca=Path(__file__), client_cert=None):
        pass
    with pytest.raises(CertificateFileError, match="PEM"):
        tls.verified_context(tls_ca=Path(__file__))
    assert makers == ["portmail-tls", threading.current_thread().name]


def test_where_no_thread_starts_nothing_is_made_beside(
    makers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    with tls.verifying(tls_ca=None, client_cert=None):
        pass
    assert makers == []


def program(text: str) -> None:
    subprocess.run([sys.executable, "-c", text], check=True, timeout=30)


def test_tenacity_is_loaded_when_something_is_tried_again() -> None:
    program(
        "import asyncio, sys\n"
        "from portmail.errors import Unreachable\n"
        "from portmail.retry import Retry, retrying\n"
        "left = [None, Unreachable(), Unreachable(temporary=True), None]\n"
        "async def operation():\n"
        "    if error := left.pop(0): raise error\n"
        "async def sleep(seconds): pass\n"
        "def run(): asyncio.run(retrying(operation, policy=Retry(), seconds=9, sleep=sleep))\n"
        "run()\n"
        "try: run()\n"
        "except Unreachable: pass\n"
        "assert 'tenacity' not in sys.modules\n"
        "run()\n"
        "assert 'tenacity' in sys.modules and not left\n"
    )


def test_the_time_of_the_first_attempt_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter([0.0, 27.0]).__next__)
    monkeypatch.setattr(portmail.retry, "time", clock)
    greylisted = Rejected(temporary=True, retry_after=4.0)

    async def operation() -> None:
        raise greylisted

    async def sleep(_: float) -> None:
        raise AssertionError

    with pytest.raises(Rejected) as caught:
        asyncio.run(retrying(operation, policy=Retry(total=30), seconds=3600, sleep=sleep))
    assert caught.value is greylisted


def test_an_error_that_is_raised_again_is_not_its_own_cause() -> None:
    first, last = Unreachable("one", temporary=True), Unreachable("two", temporary=True)
    left = [first, last]

    async def operation() -> None:
        raise left.pop(0)

    async def sleep(_: float) -> None:
        pass

    with pytest.raises(Unreachable, match="two") as caught:
        asyncio.run(retrying(operation, policy=Retry(), seconds=3600, sleep=sleep))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_wrong_argument_is_told_with_the_one_that_was_meant() -> None:
    program(
        "import sys, portmail\n"
        "try: portmail.Submitter(hots='mail.example.com')\n"
        "except TypeError as exc: assert str(exc).endswith('did you mean host?'), exc\n"
        "assert 'difflib' in sys.modules\n"
    )
