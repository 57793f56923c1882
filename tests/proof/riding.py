"""What if a connection breaks that carries two messages? Each is told of as it is, by its Message-ID.

Two messages go over one connection, the second right behind the first; the strike comes when the
client is logged in. What was not begun may go over another connection, and need not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import partial
from typing import TypeAlias

import portmail
from portmail import Security
from tests.proof.harness.clients import Errand, Said, Told, letter, wishes
from tests.proof.harness.place import Place, Scene, on_a_jumping_clock
from tests.proof.harness.recorder import CHUNKING, PIPELINING, Behaviour
from tests.proof.harness.tally import PORTMAIL, Fault, Mutant, Tally, Task, blank_but
from tests.proof.harness.tap import Action, Strike, Way

TITLE = "two at a time"

_BLANK = blank_but(
    Fault.HANG, Fault.FALSE_SUCCESS, Fault.DUPLICATE, Fault.WRONG_CERTAINTY, Fault.SECOND_LOGIN, Fault.FOREIGN
)
_OFFERS = (PIPELINING, CHUNKING)
_ACTIONS = (Action.CLOSE, Action.RESET, Action.STALL, Action.GARBLE)
_BEHIND = (Action.CLOSE, Action.RESET)
_NUMBERS = (1, 2)

_LONGEST, _GRACE = 10.0, 0.5
"""Seconds for both, on the clock that jumps, and those in which they may still be ending."""

_EVERY = 10
"""The distance between strikes; the ways to strike take turns, so that one of them has every second."""

Words: TypeAlias = Mapping[int, Told]
"""What was told of each message, by its number."""

Client: TypeAlias = Callable[[Errand], Awaitable[Words]]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """Octets that go each way, up to the login's end and in all; and up to the end of each content."""

    login: Mapping[Way, int]
    size: Mapping[Way, int]
    commits: tuple[int, ...]
    pauses: tuple[int, ...]

    @classmethod
    def of(cls, scene: Scene) -> Undisturbed:
        """Read it off the tape."""
        [tape] = scene.tapes
        assert len(scene.record.stored) == len(tape.commits) == len(_NUMBERS), "the undisturbed run failed"
        out, back = tape.welcomed
        welcome = min(it for it in tape.pauses if it > back)
        size = {Way.OUT: len(tape.heard), Way.IN: len(tape.told)}
        return cls({Way.OUT: out, Way.IN: welcome}, size, tuple(tape.commits), tuple(tape.pauses))

    def strikes(self, *, every: int) -> Iterator[Strike]:
        """Where to strike, and how."""
        for way in Way:
            for number, action in enumerate(_ACTIONS):
                octets = range(self.login[way] + number * every // len(_ACTIONS), self.size[way], every)
                yield from (Strike(way, octet, action) for octet in octets)
        for number, pause in enumerate(self.pauses, 1):
            if pause >= self.login[Way.IN]:
                yield from (Strike(Way.IN, number, action, behind=True) for action in _BEHIND)


def _letters() -> Iterator[EmailMessage]:
    for number in _NUMBERS:
        message = deepcopy(letter())
        message.replace_header("Message-ID", _id(number))
        yield message


def _id(number: int) -> str:
    return f"<{number}@example.org>"


async def submit(errand: Errand) -> Words:
    """Both, by one submitter with one connection."""
    began, told = time.monotonic(), dict[int, Told]()
    numbers = {_id(number): number for number in _NUMBERS}
    async with portmail.AsyncSubmitter(**wishes(errand), pool_size=1) as mail:  # type: ignore[arg-type]  # by their names
        async for said, message, error in _said(mail):
            foreign = error is not None and not isinstance(error, portmail.PortmailError)
            told[numbers[message["Message-ID"]]] = Told(said, error, time.monotonic() - began, foreign)
    return told


async def _said(
    mail: portmail.AsyncSubmitter,
) -> AsyncIterator[tuple[Said, EmailMessage, BaseException | None]]:
    async for result in mail.send_many(_letters()):
        doubt = isinstance(result.error, portmail.InDoubt)
        said = Said.SENT if result.error is None else Said.IN_DOUBT if doubt else Said.NOT_SENT
        yield said, result.message, result.error


def sweep(offer: tuple[str, ...], *, every: int, client: Client = submit) -> Tally:
    """All strikes, where this is offered."""
    tally = Tally(blank=_BLANK)

    async def work(place: Place) -> None:
        errand = Errand([(place.ports[0], Security.STARTTLS)], letter(), seconds=_LONGEST)
        behaviour = Behaviour(extensions=offer)
        scene = place.show(Scene([behaviour]))
        await submit(errand)  # without any defect
        undisturbed = Undisturbed.of(scene)
        planned = list(undisturbed.strikes(every=every))
        tally.cases = len({(it.way, it.offset, it.behind) for it in planned})
        for strike in planned:
            scene = place.show(Scene([behaviour], strike=strike))
            try:
                async with asyncio.timeout(2 * _LONGEST):
                    told = await client(errand)
            except TimeoutError:
                tally.note(Fault.HANG, f"{strike}: not over after {2 * _LONGEST:.0f} s")
                continue
            await place.settle()
            _judge(told, strike=strike, scene=scene, plain=undisturbed, tally=tally)

    on_a_jumping_clock(work)
    return tally


def _judge(told: Words, *, strike: Strike, scene: Scene, plain: Undisturbed, tally: Tally) -> None:
    """Count one run."""
    tally.runs += 1
    for fault, why in _faults(told, scene=scene, plain=plain):
        tally.note(fault, f"{strike}: {why}")


def _faults(told: Words, *, scene: Scene, plain: Undisturbed) -> Iterator[tuple[Fault, str]]:
    had = Counter(
        number for number in _NUMBERS for it in scene.record.stored if _id(number).encode() in it.content
    )
    heard = len(scene.tapes[0].heard)
    if doubts := [number for number in told if told[number].said is Said.IN_DOUBT][1:]:
        yield Fault.WRONG_CERTAINTY, f"in doubt of more than one: {doubts}"
    if scene.record.repeated or len(scene.record.logins) > len(_NUMBERS):
        yield Fault.SECOND_LOGIN, f"{len(scene.record.logins)} logins"
    for number in _NUMBERS:
        it = told.get(number)
        if it is None:
            yield Fault.WRONG_CERTAINTY, f"nothing is told of {number}"
            continue
        may_be = bool(had[number]) or heard >= plain.commits[number - 1]
        yield from ((fault, f"{number}: {why}") for fault, why in _of_one(it, had=had[number], may_be=may_be))


def _of_one(told: Told, *, had: int, may_be: bool) -> Iterator[tuple[Fault, str]]:
    """What is wrong with what was told of one; `may_be` is whether all that commits it was written."""
    if had > 1:
        yield Fault.DUPLICATE, f"{had} accepted"
    if told.foreign:
        yield Fault.FOREIGN, repr(told.error)
    if told.seconds > _LONGEST + _GRACE:
        yield Fault.HANG, f"{told.seconds:.1f} s"
    if told.said is Said.SENT and not had:
        yield Fault.FALSE_SUCCESS, "nothing was accepted"
    if told.said is Said.NOT_SENT and had:
        yield Fault.WRONG_CERTAINTY, f"accepted, and told: {told}"
    elif told.said is Said.NOT_SENT and may_be:  # this server refuses nothing
        yield Fault.WRONG_CERTAINTY, f"committed without an answer, and told: {told}"
    if told.said is Said.IN_DOUBT and not may_be:
        yield Fault.WRONG_CERTAINTY, f"never committed, and told: {told}"


def tasks(client: str, *, quick: bool) -> list[Task]:
    """portmail alone has messages ride behind one another."""
    if client != PORTMAIL:
        return []
    return [partial(sweep, offer, every=_EVERY * (10 if quick else 1)) for offer in _OFFERS]


async def _changed(errand: Errand, **changes: object) -> Words:
    """Tells something else of what was not sent."""
    told = await submit(errand)
    return {
        number: it if it.said is Said.SENT else replace(it, **changes)  # type: ignore[arg-type]  # by their names
        for number, it in told.items()
    }


async def _as_the_first(errand: Errand) -> Words:
    """What becomes of one becomes of all."""
    told = await submit(errand)
    return dict.fromkeys(told, next(iter(told.values())))


async def _again(errand: Errand) -> Words:
    """Sends both again if one was lost, and once more."""
    told = await submit(errand)
    for _ in _NUMBERS:
        if any(it.said is not Said.SENT for it in told.values()):
            await submit(errand)
    return told


def mutants() -> list[Mutant]:
    """Clients that say something else than what they know, or make up for it."""
    defects: Mapping[str, tuple[Fault, Client]] = {
        "believes that what is written is sent": (Fault.FALSE_SUCCESS, partial(_changed, said=Said.SENT)),
        "is in doubt of all that was lost": (Fault.WRONG_CERTAINTY, partial(_changed, said=Said.IN_DOUBT)),
        "takes what was lost for not sent": (Fault.WRONG_CERTAINTY, partial(_changed, said=Said.NOT_SENT)),
        "tells of all what it tells of one": (Fault.WRONG_CERTAINTY, _as_the_first),
        "tells of it too late": (Fault.HANG, partial(_changed, seconds=2 * _LONGEST)),
        "sends both again": (Fault.DUPLICATE, _again),
        "logs in again and again": (Fault.SECOND_LOGIN, _again),
        "raises what the socket raises": (Fault.FOREIGN, partial(_changed, foreign=True)),
    }
    return [
        Mutant(name, fault, partial(sweep, PIPELINING, every=80, client=client))
        for name, (fault, client) in defects.items()
    ]
