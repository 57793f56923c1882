"""Did a program come to its end, and does what it was told agree with the server?"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.proof.harness.place import Place, Scene, certified, in_a_thread
from tests.proof.harness.recorder import PIPELINING, Behaviour, Record
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Tally
from tests.proof.lifecycle.programs.clients import HOST
from tests.servers.requirements import free_ports

BLANK = frozenset({Fault.LEAK, Fault.SECOND_LOGIN, Fault.INJECTION})
"""What is judged elsewhere."""

ROOT = Path(__file__).parents[3]

SERVER = "PORTMAIL_PROOF_SERVER"
"""The variable in which a WSGI application finds what programs have as an argument."""

GOOD = Behaviour(extensions=PIPELINING, auth_in_tls=("PLAIN",))
"""A server on which nothing is odd."""

FREE = 100
"""From this number on messages may fail, by an error of the client's own; those below must be sent."""

_OWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        PORTMAIL: frozenset({"portmail.errors.PortmailError"}),
        SMTPLIB: frozenset({"smtplib.SMTPException", "builtins.OSError", "builtins.ValueError"}),
        AIOSMTPLIB: frozenset(
            {"aiosmtplib.errors.SMTPException", "builtins.ValueError", "builtins.TimeoutError"}
        ),
    }
)

_STRICT = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""A warning would be an error, but for the one that Python has for programs that fork with threads."""


@dataclass(slots=True)
class Ran:
    """What is known of a program that ran: lines that it printed, and how it ended."""

    client: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    hung: bool = False

    def take(self, output: str) -> None:
        """Take what it printed."""
        for line in output.splitlines():
            fact = json.loads(line)
            if "complaint" in fact:
                self.complaints.append(fact["complaint"])
            elif "number" in fact:
                self.lines.append(fact)


@contextmanager
def serving(behaviour: Behaviour, record: Record | None = None) -> Iterator[tuple[Place, Scene]]:
    """A recording server in a thread, which goes on until what has come is heard."""
    with in_a_thread() as place:
        scene = place.show(Scene([behaviour], record=record or Record()))
        yield place, scene
        until = time.monotonic() + 1  # what is still on its way
        heard = -1
        while time.monotonic() < until and heard != (heard := len(scene.heard)):
            time.sleep(0.05)


def command(program: str, client: str, *, port: int, gevent: bool = False) -> list[str]:
    """How a program is started."""
    where = [program, json.dumps([client, port, str(certified().ca)])]
    if gevent:
        first = "from gevent import monkey; monkey.patch_all(); "
        first += "from tests.proof.lifecycle.programs.__main__ import main; main()"
        return [sys.executable, "-c", first, *where]
    strict = () if client in (SMTPLIB, AIOSMTPLIB) else _STRICT
    return [sys.executable, *strict, "-m", "tests.proof.lifecycle.programs", *where]


def started(words: Sequence[str], **more: Any) -> subprocess.Popen[str]:
    """A program in a process group of its own, with its words in pipes."""
    return subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def finished(process: subprocess.Popen[str], ran: Ran, *, seconds: float, quiet: bool = True) -> None:
    """Wait for the end of a program and its children, and take what they said."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        ran.hung = True
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
    ran.take(output)
    if quiet and not ran.hung and (process.returncode or errors):
        ran.complaints.append(f"exit code {process.returncode}, and said: {errors[-300:]!r}")


def run(
    program: str, client: str, *, behaviour: Behaviour, seconds: float, gevent: bool = False
) -> tuple[Ran, Scene]:
    """Run a program to its end."""
    ran = Ran(client)
    with serving(behaviour) as (place, scene):
        process = started(command(program, client, port=place.ports[0], gevent=gevent))
        finished(process, ran, seconds=seconds)
    return ran, scene


def run_gunicorn(client: str, *options: str, seconds: float) -> tuple[Ran, Scene]:
    """Run a WSGI server that loads the application before it forks, and ask both of its workers."""
    ran = Ran(client)
    [port] = free_ports(1)
    with serving(GOOD) as (place, scene):
        words = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"{HOST}:{port}"]
        where = json.dumps([client, place.ports[0], str(certified().ca)])
        application = "tests.proof.lifecycle.programs.wsgi:application"
        process = started([*words, *options, application], env={**os.environ, SERVER: where})
        try:
            _ask_both(port, ran, until=time.monotonic() + seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            finished(process, ran, seconds=seconds, quiet=False)
        if process.returncode:
            ran.complaints.append(f"gunicorn ended with {process.returncode}")
    return ran, scene


def _ask_both(port: int, ran: Ran, *, until: float) -> None:
    """Ask until each worker has had at least three requests."""
    workers = Counter[bytes]()
    number = 1
    while len(workers) < 2 or min(workers.values()) < 3:
        if time.monotonic() > until:
            ran.hung = True
            return
        connection = http.client.HTTPConnection(HOST, port, timeout=max(0.1, until - time.monotonic()))
        try:
            connection.request("GET", f"/{number + 1}")
            workers[connection.getresponse().read()] += 1
            number += 1
        except ConnectionError:  # it is not there yet
            time.sleep(0.05)
        except TimeoutError:
            ran.hung = True
            return
        finally:
            connection.close()


def numbers(record: Record) -> Counter[int]:
    """How often the server accepted the message of each number."""
    found = [
        re.search(rb"^Message-ID: <(\d+)@proof", stored.content, re.MULTILINE) for stored in record.stored
    ]
    return Counter(int(match[1]) for match in found if match)


def judged(name: str, ran: Ran, accepted: Counter[int], *, sent: int) -> Tally:
    """What was told, held against what the server has. `sent` messages with small numbers must be."""
    tally = Tally(cases=1, runs=max(1, len(ran.lines)), blank=BLANK)

    def fault(kind: Fault, what: object) -> None:
        tally.note(kind, f"{ran.client}, {name}: {what}")

    if ran.hung:
        fault(Fault.HANG, "it did not end")
    for complaint in ran.complaints:
        fault(Fault.WRONG_VERDICT, complaint)
    for number, count in accepted.items():
        if count > 1:
            fault(Fault.DUPLICATE, f"message {number} was accepted {count} times")
    for line in ran.lines:
        for kind in judged_line(line, accepted[line["number"]], own=_OWN.get(ran.client, _OWN[PORTMAIL])):
            fault(kind, line)
    good = {line["number"] for line in ran.lines if line["said"] == "sent" and line["number"] < FREE}
    if len(good) < sent and not ran.hung:
        fault(Fault.WRONG_VERDICT, f"{len(good)} of {sent} were sent")
    return tally


def judged_line(line: Mapping[str, Any], accepted: int, *, own: frozenset[str]) -> Iterator[Fault]:
    """What is wrong with what was told of one message."""
    if line["said"] == "sent" and not accepted:
        yield Fault.FALSE_SUCCESS
    if line["said"] == "not sent" and accepted:
        yield Fault.WRONG_CERTAINTY
    if "kinds" in line and own.isdisjoint(line["kinds"]):
        yield Fault.FOREIGN
