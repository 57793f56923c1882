"""What if the server reads no more, and every buffer is full? "In doubt" by what the kernel had.

Small buffers on both sides, and messages of many sizes, so that each boundary falls into each place:
before, within and behind the octets that commit the message. When the client has given up, the
server reads on to the end: what it finds there is what the client had really written.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from unittest import mock

from portmail import Timeouts, dialing
from tests.proof.harness.clients import BODY, Async, Errand, Said, Told, by_portmail, letter
from tests.proof.harness.defects import anxious
from tests.proof.harness.judging import BLANK, Truth, faults
from tests.proof.harness.place import Place, Scene, on_a_jumping_clock
from tests.proof.harness.tally import PORTMAIL, Fault, Mutant, Tally, Task
from tests.proof.harness.tap import Action, Strike, Way
from tests.proof.offsets import COURSES, Course

TITLE = "full buffers"

_BUFFER = 4096
"""Octets asked of the kernel for each side; it takes some more."""

_SIZES = range(2_000, 42_000, 211)
"""Octets of the body: from what fits to what never does."""

_AT = 900
"""Octets that the server has read when it stops; all of the login, and the envelope or some of it."""

_SECONDS = 60.0
_ROUNDS = 400
"""Of the loop, until the server has read what there is."""


@contextmanager
def _small_buffers() -> Iterator[None]:
    original = dialing._connect

    async def connect(address: dialing.Address) -> socket.socket:
        sock = await original(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        return sock

    with mock.patch.object(dialing, "_connect", connect):
        yield


def sweep(course: Course, *, every: int, client: Async = by_portmail) -> Tally:
    """Messages of all sizes on one course."""
    tally = Tally(cases=len(_SIZES[::every]), blank=BLANK)

    async def work(place: Place) -> None:
        for size in _SIZES[::every]:
            for before_end in (False, True):
                await _run(place, course, size=size, before_end=before_end, client=client, tally=tally)

    with _small_buffers():
        on_a_jumping_clock(work, receive=_BUFFER)
    return tally


async def _run(
    place: Place, course: Course, *, size: int, before_end: bool, client: Async, tally: Tally
) -> None:
    """One message; the server stops where most of it is still to come, or shortly before its end."""
    # Records and commands add some octets to those of the body: which, need not be known.
    at = size if before_end else _AT
    scene = place.show(Scene([course.behaviour], strike=Strike(Way.OUT, at, Action.JAM)))
    errand = course.errand(place.ports[0], seconds=_SECONDS)
    errand = replace(errand, message=letter(("x" * 69 + "\n") * (size // 70) + BODY))
    told = await client(errand)
    delivered = any(tape.answered for tape in scene.tapes)  # later, nobody is there to read it
    for tape in scene.tapes:
        if tape.resume is not None and not tape.over:
            tape.resume()
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    tally.runs += 1
    committed = scene.record.ends > 0
    truth = Truth(committed, delivered, delivered, secret=course.security.encrypted)
    for fault, why in faults(told, errand=errand, scene=scene, truth=truth):
        tally.note(fault, f"{course}, {size} octets, stopped at {at}: {why}")


def tasks(client: str, *, quick: bool) -> list[Task]:
    """portmail alone says "in doubt"; with errors alone there is nothing to be exact about."""
    if client != PORTMAIL:
        return []
    return [partial(sweep, course, every=24 if quick else 3) for course in COURSES]


async def _careless(errand: Errand) -> Told:
    """Believes that what was not answered was not heard."""
    told = await by_portmail(errand)
    return told if told.said is Said.SENT else replace(told, said=Said.NOT_SENT)


async def _patient(errand: Errand) -> Told:
    return await by_portmail(replace(errand, timeouts=Timeouts(block=900.0, final=900.0, total=1800.0)))


def mutants() -> list[Mutant]:
    """Clients that are not exact."""
    defects = {
        "is in doubt of all that it began": (Fault.WRONG_CERTAINTY, anxious),
        "is never in doubt": (Fault.WRONG_CERTAINTY, _careless),
        "waits for the kernel for ever": (Fault.HANG, _patient),
    }
    course = Course(587, "PIPELINING")
    return [
        Mutant(name, fault, partial(sweep, course, every=12, client=by))
        for name, (fault, by) in defects.items()
    ]
