"""Is a cancel heard at every step of a submission, and is what is told of the message true?

Client and server share a loop whose clock jumps; the cancel comes at the n-th turn of that loop, for n = 1,
2, 3 and so on, until the submission is over before it comes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product
from types import MappingProxyType
from typing import Any, TypeAlias
from unittest.mock import patch

import portmail
from portmail import Security
from portmail.delivery import Delivery
from tests.proof.harness.clients import Errand, by_aiosmtplib, letter, wishes
from tests.proof.harness.place import Place, Scene, on_a_jumping_clock
from tests.proof.harness.recorder import CHUNKING, LOCK_STEP, PASSWORD, PIPELINING, USER, Behaviour
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, Fault, Mutant, Tally, Task
from tests.proof.lifecycle.interrupt import judged_note
from tests.proof.lifecycle.running import BLANK

_STEPS = 5000
"""Turns of a loop in which a submission is over."""

_LONG = 4000.0
"""Seconds of the loop's time in which everything has ended."""

_MODES: Mapping[str, Security] = MappingProxyType(
    {"implicit TLS": Security.IMPLICIT_TLS, "STARTTLS": Security.STARTTLS, "plaintext": Security.PLAINTEXT}
)
_OFFERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {"lock-step": LOCK_STEP, "PIPELINING": PIPELINING, "CHUNKING": CHUNKING}
)


@dataclass(frozen=True, slots=True)
class Way:
    """How it is submitted, and what happens to it: `act` is one of `_ACTS`."""

    act: str
    mode: str
    offer: str
    warm: bool = False

    def __str__(self) -> str:
        return f"{self.act}, {self.mode}, {self.offer}, {'warm' if self.warm else 'cold'}"


@dataclass(slots=True)
class Run:
    """What came of one submission that was disturbed at some turn of the loop."""

    scene: Scene
    over: bool = False
    """Whether it was over before."""
    error: BaseException | None = None
    results: list[str] = field(default_factory=list)
    """Message-IDs of which it was told that they were sent."""
    left: str = ""

    @property
    def stored(self) -> list[str]:
        """Message-IDs of what the server accepted."""
        return [
            stored.content.partition(b"Message-ID: ")[2].partition(b"\r\n")[0].decode()
            for stored in self.scene.record.stored
        ]

    @property
    def invited(self) -> bool:
        """Whether the server asked for the content, or had it without asking."""
        record = self.scene.record
        asked = sum(octets.startswith(b"354") for octets in record.said)
        given = sum(line.upper().startswith(b"BDAT") for _, line in record.lines)
        return asked + given > 0

    def faults(self, *, cancelled: bool, mute: bool) -> Iterator[tuple[Fault, str]]:
        """What is wrong with that."""
        if self.left:
            yield Fault.WRONG_VERDICT, self.left
        if len(self.stored) > len(set(self.stored)):
            yield Fault.DUPLICATE, f"accepted: {self.stored}"
        if any(name not in self.stored for name in self.results):
            yield Fault.FALSE_SUCCESS, f"told {self.results}, accepted {self.stored}"
        if isinstance(self.error, TimeoutError):
            yield Fault.HANG, "it did not end"
        elif cancelled and not isinstance(self.error, asyncio.CancelledError):
            yield Fault.WRONG_VERDICT, f"the cancel was lost: {self.error!r}"
        elif not cancelled and not isinstance(self.error, portmail.PortmailError | None):
            yield Fault.FOREIGN, repr(self.error)
        if mute or self.error is None:
            return
        note = " ".join([*getattr(self.error, "__notes__", ()), *self._told()])
        yield from judged_note(note, ONE in self.stored, invited=self.invited)

    def _told(self) -> list[str]:
        return ["in doubt"] if isinstance(self.error, portmail.InDoubt) else []


ONE = "<1@proof.example>"
"""The message that is disturbed."""

Act: TypeAlias = Callable[..., Awaitable[None]]


def _numbered(number: int) -> Any:
    message = deepcopy(letter())
    message.replace_header("Message-ID", f"<{number}@proof.example>")
    return message


async def _cancel(task: asyncio.Task[object], *, close: Callable[[], Awaitable[None]]) -> None:
    task.cancel()


async def _cancel_twice(task: asyncio.Task[object], *, close: Callable[[], Awaitable[None]]) -> None:
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()


async def _close(_task: asyncio.Task[object], *, close: Callable[[], Awaitable[None]]) -> None:
    await close()


_ACTS: Mapping[str, Act] = MappingProxyType(
    {"cancel": _cancel, "cancel twice": _cancel_twice, "close": _close, "cancel of many": _cancel}
)


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Every turn, in every way. Only who has an asynchronous door can be cancelled."""
    if client == AIOSMTPLIB:
        modes = ("implicit TLS",) if quick else ("implicit TLS", "STARTTLS")
        return [
            partial(_swept, Way("cancel", mode, "PIPELINING"), 5 if quick else 1, client) for mode in modes
        ]
    if client != PORTMAIL:
        return []
    if quick:
        ways = [Way("cancel", "STARTTLS", "CHUNKING"), Way("close", "plaintext", "PIPELINING", warm=True)]
        return [partial(_swept, way, 3, client) for way in ways]
    kinds = product(("cancel", "close"), _MODES, _OFFERS, (False, True))
    ways = [Way(act, mode, offer, warm) for act, mode, offer, warm in kinds]
    ways += [Way("cancel twice", mode, "PIPELINING", warm) for mode, warm in product(_MODES, (False, True))]
    ways += [Way("cancel of many", "plaintext", offer) for offer in _OFFERS]
    return [partial(_swept_all, ways[n::3], client) for n in range(3)]


def _swept_all(ways: Sequence[Way], client: str) -> Tally:
    return sum((_swept(way, 1, client) for way in ways), Tally())


def _swept(way: Way, every: int, client: str) -> Tally:
    tally = Tally(cases=1, blank=BLANK | (set() if client == PORTMAIL else {Fault.WRONG_CERTAINTY}))
    play = _play_portmail if client == PORTMAIL else _play_aiosmtplib

    async def work(place: Place) -> None:
        for turn in count(0, every):
            run = await play(place, way, turn)
            tally.runs += 1
            if run.over or turn > _STEPS:
                break
            mute = client != PORTMAIL or way.act == "cancel of many"
            for fault, what in run.faults(cancelled=way.act != "close", mute=mute):
                tally.note(fault, f"{client}, {way}, turn {turn}: {what}")

    on_a_jumping_clock(work)
    return tally


def _errand(place: Place, way: Way) -> tuple[Scene, Errand]:
    mode = _MODES[way.mode]
    behaviour = Behaviour(
        implicit_tls=mode is Security.IMPLICIT_TLS, extensions=_OFFERS[way.offer], auth_in_tls=("PLAIN",)
    )
    user, password = (USER, PASSWORD) if mode.encrypted else (None, None)
    scene = place.show(Scene([behaviour]))
    return scene, Errand([(place.ports[0], mode)], _numbered(1), username=user, password=password)


async def _play_portmail(place: Place, way: Way, turn: int) -> Run:
    scene, errand = _errand(place, way)
    before = _descriptors()
    mail = portmail.AsyncSubmitter(**wishes(errand))  # type: ignore[arg-type]  # by their names
    if way.warm:
        await mail.send(_numbered(0))
    run = Run(scene)
    many = way.act == "cancel of many"
    scene.record.said.clear()
    scene.record.lines.clear()
    work = _many(mail, run) if many else _one(mail, errand, run)
    await _disturbed(work, run, turn=turn, act=partial(_ACTS[way.act], close=mail.aclose))
    await mail.aclose()
    await _look(run, before)
    return run


async def _one(mail: portmail.AsyncSubmitter, errand: Errand, run: Run) -> None:
    await mail.send(errand.message)
    run.results.append(ONE)


async def _many(mail: portmail.AsyncSubmitter, run: Run) -> None:
    async for result in mail.send_many(_numbered(number) for number in range(8)):
        if result.receipt is not None:
            run.results.append(result.receipt.message_id)


async def _play_aiosmtplib(place: Place, way: Way, turn: int) -> Run:
    scene, errand = _errand(place, way)
    before = _descriptors()
    run = Run(scene)

    async def nothing() -> None: ...

    await _disturbed(_raised(errand), run, turn=turn, act=partial(_ACTS[way.act], close=nothing))
    await _look(run, before)
    return run


async def _raised(errand: Errand) -> None:
    told = await by_aiosmtplib(errand)
    if told.error is not None:
        raise told.error


async def _disturbed(
    work: Awaitable[object], run: Run, *, turn: int, act: Callable[..., Awaitable[None]]
) -> None:
    """Let it go on for so many turns of the loop, and then do that to it."""
    task = asyncio.ensure_future(work)
    for _ in range(turn):
        if task.done():
            break
        await asyncio.sleep(0)
    run.over = task.done()
    assert isinstance(task, asyncio.Task)
    await act(task)
    _, late = await asyncio.wait({task}, timeout=_LONG)
    if late:
        run.error = TimeoutError()
        return
    try:
        task.result()
    except BaseException as exc:  # noqa: BLE001  # it is judged
        run.error = exc


async def _look(run: Run, before: int) -> None:
    """What is left, when everything had the time to end."""
    await asyncio.sleep(30)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        run.left += f"tasks are left: {tasks}"
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("portmail")]
    if names:
        run.left += f"threads are left: {names}"
    if _descriptors() > before:
        gc.collect()
        run.left += f"{_descriptors() - before} descriptors are left"


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # nothing else may be opened for it


def mutants() -> Sequence[Mutant]:
    """Clients that lose a cancel, deny what was accepted, send again, or leave something open."""
    way = Way("cancel", "plaintext", "PIPELINING", warm=True)
    return [
        Mutant(name, fault, partial(_mutant, name, way))
        for name, fault in (
            ("swallows a cancel", Fault.WRONG_VERDICT),
            ("leaves its connections open", Fault.WRONG_VERDICT),
            ("denies what it was cancelled in", Fault.WRONG_CERTAINTY),
            ("sends again when it is cancelled", Fault.DUPLICATE),
        )
    ]


_send, _give_up = portmail.AsyncSubmitter.send, Delivery.give_up


async def _swallowing(mail: portmail.AsyncSubmitter, message: Any) -> None:
    with suppress(asyncio.CancelledError):
        await _send(mail, message)


async def _again(mail: portmail.AsyncSubmitter, message: Any) -> None:
    try:
        await _send(mail, message)
    except asyncio.CancelledError:
        await _send(mail, message)
        raise


async def _stays_open(_mail: portmail.AsyncSubmitter) -> None: ...


def _denying(delivery: Delivery) -> str:
    _give_up(delivery)
    return "portmail: the message was not sent"


def _defect(name: str) -> AbstractContextManager[object, None]:
    door = portmail.AsyncSubmitter
    places: Mapping[str, tuple[type, str, object]] = {
        "swallows a cancel": (door, "send", _swallowing),
        "leaves its connections open": (door, "aclose", _stays_open),
        "denies what it was cancelled in": (Delivery, "give_up", _denying),
        "sends again when it is cancelled": (door, "send", _again),
    }
    kind, method, defect = places[name]
    return patch.object(kind, method, defect)


def _mutant(name: str, way: Way) -> Tally:
    with _defect(name):
        return _swept(way, 1, PORTMAIL)
