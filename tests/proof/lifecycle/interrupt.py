"""Is Ctrl-C heard at every moment of a submission, and is what the program is told of its message true?

The server interrupts the program: at the n-th thing that it hears or says, before its reply leaves, behind
it, or with a pause in between.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from threading import Timer
from typing import Any

from tests.proof.harness.recorder import After, Record, Say
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task
from tests.proof.lifecycle.running import (
    BLANK,
    GOOD,
    Ran,
    command,
    finished,
    judged,
    numbers,
    serving,
    started,
)

_FIRST = 1000
"""The number of the first message that is interrupted."""

_PAUSE = 0.05
"""Seconds for which the server holds its reply back."""

_PATIENCE = 20.0
"""Seconds in which a program has to answer; it gives itself five."""

_ENDED = 5.0
"""Seconds in which an interrupted program has to end."""

_HOWS = ("before", "behind", "held")


class Bell(list[Any]):
    """A list that says when something is put in."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def append(self, thing: Any, /) -> None:
        """Put it in, and say so."""
        super().append(thing)
        self._ring()


class Ringer:
    """Interrupts a process at the n-th ring. `heard` counts them all."""

    def __init__(self) -> None:
        self.heard = 0
        self._pid = self._left = 0
        self._how = ""

    def arm(self, pid: int, *, ring: int, how: str) -> None:
        """The next ring is the first; with 0 for `ring` none interrupts."""
        self.heard, self._pid, self._left, self._how = 0, pid, ring, how

    def ring(self) -> None:
        """Something was heard or said."""
        self.heard += 1
        self._left -= 1
        if self._left == 0:
            if self._how == "behind":
                Timer(0, self._strike).start()  # while the reply leaves
            else:
                self._strike()
            if self._how == "held":
                time.sleep(_PAUSE)  # the server's thread: nobody else is served meanwhile

    def _strike(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGINT)

    def record(self) -> Record:
        """A record that rings."""
        return Record(lines=Bell(self.ring), said=Bell(self.ring), stored=Bell(self.ring))


@dataclass(frozen=True, slots=True)
class Moment:
    """When a program is interrupted: at which ring, how, and on what connection."""

    ring: int
    how: str
    connection: str

    def __str__(self) -> str:
        return f"Ctrl-C at event {self.ring}, {self.how}, {self.connection} connection"


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Every moment on a new connection and, where there can be one, on a warm one."""
    connections = ("cold", "warm") if client == PORTMAIL else ("cold",)
    every = 7 if quick else 1 if client == PORTMAIL else 4  # prime to three: each of the hows
    shares: list[Task] = [partial(_swept, client, connection, every) for connection in connections]
    steps: Sequence[str] = ("greeting", "EHLO", "tls AUTH", "MAIL", "end")
    if quick or client != PORTMAIL:
        steps = steps[-1:]
    return [*shares, partial(_ends, client, steps)]


class _Driver:
    """One program that is interrupted again and again."""

    def __init__(self, client: str, port: int, ringer: Ringer) -> None:
        self.ran = Ran(client)
        self._ringer = ringer
        self._process = started(command("interrupted", client, port=port), stdin=subprocess.PIPE)
        self._number = _FIRST
        self._read()

    def _read(self) -> dict[str, Any]:
        """The next line of the program."""
        assert self._process.stdout is not None
        timer = Timer(_PATIENCE, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            self.ran.hung = True
            raise EOFError
        self.ran.take(line)
        fact: dict[str, Any] = json.loads(line)
        return fact

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def events(self, connection: str) -> int:
        """How many rings a submission has, up to its end."""
        self._send(Moment(0, "", connection))
        return self._ringer.heard

    def interrupt(self, moment: Moment) -> tuple[int, dict[str, Any]]:
        """Send once more, and be interrupted. Returns the number and what the program said."""
        return self._number, self._send(moment)

    def _send(self, moment: Moment) -> dict[str, Any]:
        self._number += 1
        self._write(f"{self._number} {moment.connection} {'wait' if moment.ring else 'go'}")
        while "ready" not in (fact := self._read()):
            pass
        self._ringer.arm(fact["ready"], ring=moment.ring, how=moment.how)
        self._write("")
        return self._read()

    def end(self) -> None:
        """Let it end."""
        finished(self._process, self.ran, seconds=_PATIENCE)


def _swept(client: str, connection: str, every: int) -> Tally:
    ringer = Ringer()
    mute = client in (SMTPLIB, AIOSMTPLIB)
    tally = Tally(blank=BLANK | ({Fault.WRONG_CERTAINTY} if mute else set()))
    said: list[tuple[Moment, dict[str, Any], bool]] = []
    with serving(GOOD, record=ringer.record()) as (place, scene):
        driver = _Driver(client, place.ports[0], ringer)
        with suppress(EOFError):
            events = driver.events(connection)
            for ring, how in list(product(range(1, events + 1), _HOWS))[::every]:
                moment = Moment(ring, how, connection)
                before = len(scene.record.said)
                _, line = driver.interrupt(moment)
                invited = any(octets.startswith(b"354") for octets in scene.record.said[before:])
                said.append((moment, line, invited))
        driver.end()
    accepted = numbers(scene.record)
    told = [line for line in driver.ran.lines if "interrupted" not in line]
    driver.ran.lines = told
    tally += judged(f"Ctrl-C, {connection}", driver.ran, accepted, sent=1)
    for moment, line, invited in said:
        tally.cases += 1
        tally.runs += 1
        count = accepted[line["number"]]
        for fault, what in judged_interrupt(line, count, invited=invited, mute=mute):
            tally.note(fault, f"{client}, {moment}: {what}: {line}")
    return tally


def judged_interrupt(
    line: dict[str, Any], accepted: int, *, invited: bool, mute: bool
) -> Iterator[tuple[Fault, str]]:
    """What is wrong with what an interrupted program was told. `mute` clients have no notes."""
    if not line["interrupted"]:
        yield Fault.WRONG_VERDICT, "the interrupt was lost"
    if accepted > 1:
        yield Fault.DUPLICATE, "accepted twice"
    if line["said"] == "sent" and not accepted:
        yield Fault.FALSE_SUCCESS, "not accepted"
    if mute or line["said"] == "sent":
        return
    yield from judged_note(" ".join(line["notes"]), accepted, invited=invited)


def judged_note(note: str, accepted: int, *, invited: bool) -> Iterator[tuple[Fault, str]]:
    """What is wrong with a note on an exception. `invited`: the server asked for the content."""
    doubt = "in doubt" in note
    if accepted and not doubt and "the message was accepted" not in note:
        yield Fault.WRONG_CERTAINTY, f"it was accepted, and the note is {note!r}"
    if "the message was accepted" in note and not accepted:
        yield Fault.FALSE_SUCCESS, f"it was not accepted, and the note is {note!r}"
    if doubt and not invited:
        yield Fault.WRONG_CERTAINTY, f"it cannot have been accepted, and the note is {note!r}"


def _ends(client: str, steps: Sequence[str]) -> Tally:
    """Nobody catches it: the program ends, though the server is silent from some step on."""
    tally = Tally(blank=BLANK)
    for step in steps:
        tally += _ended(client, step)
    return tally


def _ended(client: str, step: str) -> Tally:
    ringer = Ringer()
    ran = Ran(client)
    with serving(GOOD.saying(**{step: Say(b"", After.SILENCE)}), record=ringer.record()) as (place, scene):
        process = started(command("interrupted_once", client, port=place.ports[0]))
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + _PATIENCE
        while b"" not in scene.record.said and time.monotonic() < until:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        finished(process, ran, seconds=_PATIENCE, quiet=False)
        seconds = time.monotonic() - began
    if process.returncode != -signal.SIGINT:
        ran.complaints.append(f"it ended with {process.returncode}")
    if seconds > _ENDED:
        ran.hung = True
    return judged(f"Ctrl-C for good, {step} unanswered, {seconds:.1f} s", ran, Counter(), sent=0)


def mutants() -> Sequence[Mutant]:
    """Clients that lose an interrupt, or tell something wrong of it."""
    return [
        Mutant("loses Ctrl-C", Fault.WRONG_VERDICT, partial(_swept, "deaf", "cold", 10)),
        Mutant("has no word on it", Fault.WRONG_CERTAINTY, partial(_swept, "denier", "warm", 2)),
    ]
