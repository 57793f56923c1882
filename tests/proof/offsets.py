"""What if the connection breaks at any octet? Every offset of a dialogue, both ways, struck in every way.

First an undisturbed run says how many octets go each way, and after which of them the message is
committed. Then each run has one strike at one offset. Ports are named by what is usual there:

| port | security                        | what the tap sees    |
|------|---------------------------------|----------------------|
| 587  | STARTTLS                        | a dialogue, then TLS |
| 465  | implicit TLS                    | TLS                  |
| 25   | none, and no credentials either | all                  |

Offsets within the TLS handshake are the same whatever EHLO offers: they are struck in lock-step alone.
A long letter, which is written in blocks, is struck in its content and behind it, at every 16th octet,
and at every one near its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import lru_cache, partial
from types import MappingProxyType
from unittest import mock

from portmail import Security, Timeouts
from tests.proof.harness.clients import (
    BODY,
    Async,
    Blocking,
    Errand,
    Said,
    Told,
    by_aiosmtplib,
    by_portmail,
    by_smtplib,
    letter,
)
from tests.proof.harness.defects import anxious, bare, hasty, raw, unaware
from tests.proof.harness.judging import BLANK, Truth, faults
from tests.proof.harness.place import Place, Scene, in_a_thread, on_a_jumping_clock
from tests.proof.harness.recorder import CHUNKING, LOCK_STEP, PIPELINING, Behaviour
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task
from tests.proof.harness.tap import Action, Strike, Tape, Way

TITLE = "every octet"

_UNSEEN = BLANK - {Fault.INJECTION}

_PORTS = MappingProxyType(
    {
        587: (Security.STARTTLS, Behaviour()),
        465: (Security.IMPLICIT_TLS, Behaviour(implicit_tls=True)),
        25: (Security.PLAINTEXT, Behaviour(starttls=(), auth_in_tls=())),
    }
)
_OFFERS = MappingProxyType({"lock-step": LOCK_STEP, "PIPELINING": PIPELINING, "CHUNKING": CHUNKING})

_ACTIONS = (Action.CLOSE, Action.RESET, Action.STALL, Action.GARBLE, Action.DRIP)

_ENDS = (Action.CLOSE, Action.RESET)
"""Those that can come right behind a reply."""

_DRIPPED = 8
"""A drip is of 64 octets: begun at every eighth, every octet comes alone, and in eight different ways."""

_LONGEST = 4.0
"""Seconds for a submission, on the clock that jumps."""

_STEPS = 10
"""Peers know a limit for each step only: in so many limits they must be through."""

_IMPATIENT = 1.0
"""Seconds of real time that a blocking client waits."""

_AT_ONCE = 24
"""Blocking clients at work in one process."""

_EVERY = MappingProxyType({PORTMAIL: 1, AIOSMTPLIB: 7, SMTPLIB: 11})
"""Peers are struck at every so many offsets only: their shares show."""

_SHARES = 4

_LONG = 13_000
"""Octets of a long body: more than the 12 KiB up to which a content is written at once."""

_BLOCKS, _NEAR, _NEAREST = 16, 200, 64
"""The distance between strikes in a long content; so many octets before its end it is one, and so many
before its end the ways to strike take turns no more."""

_UNASKED = (b"RSET", b"NOOP", b"QUIT")
"""What a client may say that it had no need to say in an undisturbed run."""


@lru_cache(maxsize=2)  # a cache: it is sent ten thousand times, and nobody changes it
def _letter(long: int) -> EmailMessage:
    return letter(("x" * 69 + "\n") * (long // 70) + BODY)


@dataclass(frozen=True, slots=True)
class Course:
    """A dialogue: on which port, with which extensions offered, about a letter of some length."""

    port: int
    offer: str
    long: int = 0

    @property
    def behaviour(self) -> Behaviour:
        """How the server behaves."""
        return _PORTS[self.port][1].but(extensions=_OFFERS[self.offer])

    @property
    def security(self) -> Security:
        """What the client is asked for."""
        return _PORTS[self.port][0]

    def errand(self, port: int, *, seconds: float) -> Errand:
        """Submit the letter there, with credentials where there is TLS."""
        errand = Errand([(port, self.security)], _letter(self.long), seconds=seconds)
        return errand if self.security.encrypted else errand.anonymous()

    def __str__(self) -> str:
        return f"{self.port} {self.offer}{', long' if self.long else ''}"


COURSES = tuple(Course(port, offer) for port in _PORTS for offer in _OFFERS)
LONG_COURSE = Course(587, "PIPELINING", _LONG)


@dataclass(frozen=True, slots=True)
class Plain:
    """An undisturbed run: octets each way, how many of them until TLS stands, and until committed.

    `answer` is how many octets came back with the answer to the content, `pauses` are those behind
    which the server waited, `lines` all commands.
    """

    out: int
    back: int
    shaken: tuple[int, int]
    committed: int
    answer: int = 0
    pauses: tuple[int, ...] = ()
    lines: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, scene: Scene) -> Plain:
        """Read it off the tape."""
        [tape] = scene.tapes
        assert tape.committed is not None, "the undisturbed run failed"
        assert tape.answer is not None
        lines = frozenset(line for _, line in scene.record.lines)
        size = len(tape.heard), len(tape.told)
        return cls(*size, tape.shaken, tape.committed, tape.answer, tuple(tape.pauses), lines)

    def offsets(self, way: Way, *, whole: bool) -> range:
        """Where to strike; not `whole` leaves out the handshake, and what comes before it."""
        first, end = (self.shaken[0], self.out) if way is Way.OUT else (self.shaken[1], self.back)
        return range(0 if whole else first, end)

    def near_the_end(self, way: Way) -> Sequence[int]:
        """Where to strike a long content, and what comes behind it."""
        if way is Way.IN:
            return range(max(it for it in (0, *self.pauses) if it < self.answer), self.back)
        near = self.committed - _NEAR
        return [*range(self.committed - _LONG, near, _BLOCKS), *range(near, self.out)]


def strikes(plain: Plain, *, course: Course, every: int, share: int) -> Iterator[Strike]:
    """One share of the strikes on this course."""
    whole = course.offer == "lock-step"
    for way in Way:
        offsets = plain.near_the_end(way) if course.long else plain.offsets(way, whole=whole)
        for turn, offset in enumerate(offsets[share * every :: every * _SHARES], share):
            far = course.long and way is Way.OUT and offset < plain.committed - _NEAREST
            due = (_ACTIONS[turn % len(_ACTIONS)],) if far else _due(offset)
            yield from (Strike(way, offset, action) for action in due)
    pieces = list(enumerate(plain.pauses, 1))
    for number, offset in pieces[share :: _SHARES * min(every, _SHARES - 1)]:
        # Elsewhere, there are octets left that the strike keeps back in the same turn.
        if whole or offset > plain.shaken[1]:
            yield from (Strike(Way.IN, number, action, behind=True) for action in _ENDS)


def _due(offset: int) -> Sequence[Action]:
    return [it for it in _ACTIONS if it is not Action.DRIP or offset % _DRIPPED == 0]


def truth(strike: Strike, *, scene: Scene, plain: Plain, course: Course) -> Truth:
    """What the tap knows of a run."""
    heard = max((len(tape.heard) for tape in scene.tapes), default=0)
    ended = any(tape.committed is not None for tape in scene.tapes)
    in_clear = not course.security.encrypted
    # What the server hears decides, where it hears all that was written; else the length does. A
    # connection that the server closed in order still takes what is written.
    unheard = strike.way is Way.OUT or strike.action is Action.CLOSE
    committed = ended or (unheard and heard >= plain.committed)
    refused = any(not said.startswith((b"2", b"3")) for said in scene.record.said)
    # What was garbled in clear is what the server was told: nobody can know better.
    garbled = in_clear and strike.action is Action.GARBLE
    delivered = any(tape.answered and _unhurt(tape, strike=strike) for tape in scene.tapes)
    return Truth(committed, refused, delivered, exact=not garbled, secret=not in_clear)


def _unhurt(tape: Tape, *, strike: Strike) -> bool:
    """Whether the client could read the answer that came: nothing was done to it, or to what led to it.

    A reset right behind it could destroy what is not read yet: Linux keeps it, but promises nothing.
    """
    if strike.way is Way.OUT or strike.action is Action.DRIP or tape.answer is None:
        return True
    struck = strike.offset if strike.action is Action.GARBLE else len(tape.told)
    return struck > tape.answer or (struck == tape.answer and strike.action is not Action.RESET)


def strays(scene: Scene, *, plain: Plain) -> list[bytes]:
    """Commands that no undisturbed run has."""
    return [line for _, line in scene.record.lines if line not in plain.lines and line not in _UNASKED]


def judge(
    told: Told, *, strike: Strike, scene: Scene, plain: Plain, course: Course, tally: Tally, limit: float
) -> None:
    """Count one run."""
    tally.runs += 1
    errand = course.errand(0, seconds=limit)
    so = truth(strike, scene=scene, plain=plain, course=course)
    for fault, why in faults(told, errand=errand, scene=scene, truth=so):
        tally.note(fault, f"{course}, {strike}: {why}")
    if strike.action is not Action.GARBLE and (said := strays(scene, plain=plain)):
        tally.note(Fault.INJECTION, f"{course}, {strike}: {said}")


def sweep(course: Course, *, every: int, share: int, client: Async, limit: float = _LONGEST) -> Tally:
    """One share of a course, on the clock that jumps."""
    tally = Tally(blank=_UNSEEN)

    async def work(place: Place) -> None:
        errand = course.errand(place.ports[0], seconds=_LONGEST)
        scene = place.show(Scene([course.behaviour]))
        await client(errand)
        plain = Plain.of(scene)
        tally.cases = len(
            {(it.way, it.offset, it.behind) for it in strikes(plain, course=course, every=every, share=share)}
        )
        for strike in strikes(plain, course=course, every=every, share=share):
            scene = place.show(Scene([course.behaviour], strike=strike))
            told = await client(errand)
            await place.settle()
            judge(told, strike=strike, scene=scene, plain=plain, course=course, tally=tally, limit=limit)

    on_a_jumping_clock(work)
    return tally


def sweep_blocking(course: Course, *, every: int, share: int, client: Blocking, limit: float) -> Tally:
    """One share of a course for a blocking client: many at once, since stalls cost it real time."""
    tally, lock = Tally(blank=_UNSEEN), threading.Lock()
    with ExitStack() as stack:
        free = [stack.enter_context(in_a_thread()) for _ in range(_AT_ONCE)]

        def run(strike: Strike | None) -> tuple[Told, Scene]:
            with lock:
                place = free.pop()
            scene = place.show(Scene([course.behaviour], strike=strike))
            told = client(course.errand(place.ports[0], seconds=_IMPATIENT))
            with lock:
                free.append(place)
            return told, scene

        plain = Plain.of(run(None)[1])
        planned = list(strikes(plain, course=course, every=every, share=share))
        tally.cases = len({(it.way, it.offset, it.behind) for it in planned})
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for strike, (told, scene) in zip(planned, pool.map(run, planned), strict=True):
                judge(told, strike=strike, scene=scene, plain=plain, course=course, tally=tally, limit=limit)
    return tally


def tasks(client: str, *, quick: bool) -> list[Task]:
    """The sweep of a client; peers know no more than lock-step."""
    every = _EVERY[client] * (40 if quick else 1)
    courses = [it for it in COURSES if client == PORTMAIL or it.offer == "lock-step"]
    work = {
        PORTMAIL: partial(sweep, client=by_portmail),
        AIOSMTPLIB: partial(sweep, client=by_aiosmtplib, limit=_LONGEST * _STEPS),
        SMTPLIB: partial(sweep_blocking, client=by_smtplib, limit=_IMPATIENT * _STEPS),
    }[client]
    courses += [LONG_COURSE] * (client == PORTMAIL)
    return [partial(work, course, every=every, share=share) for course in courses for share in range(_SHARES)]


@contextmanager
def without_limits() -> Iterator[None]:
    """A portmail that knows no deadline worth the name."""
    forever = Timeouts(**dict.fromkeys(("connect", "greeting", "command", "block", "final", "total"), 300.0))
    with mock.patch.object(Timeouts, "of", return_value=forever):
        yield


async def _patient(errand: Errand) -> Told:
    with without_limits():
        return await by_portmail(errand)


async def _sure(errand: Errand) -> Told:
    """Takes what is in doubt for sent."""
    told = await by_portmail(errand)
    return replace(told, said=Said.SENT) if told.said is Said.IN_DOUBT else told


async def _doubtful(errand: Errand) -> Told:
    """Is in doubt of all that was accepted."""
    told = await by_portmail(errand)
    return replace(told, said=Said.IN_DOUBT) if told.said is Said.SENT else told


async def _twice_known(errand: Errand) -> Told:
    """Logs in again where the connection broke."""
    told = await by_portmail(errand)
    return told if told.said is Said.SENT else await by_portmail(errand)


async def _astray(errand: Errand) -> Told:
    """Sends to somebody else where the connection broke."""
    told = await by_portmail(errand)
    if told.said is Said.SENT:
        return told
    message = deepcopy(errand.message)
    message.replace_header("To", "you@example.com")
    return await by_portmail(replace(errand, message=message))


def mutants() -> list[Mutant]:
    """Clients with one defect each."""
    defects = {
        "takes doubt for success": (Fault.FALSE_SUCCESS, _sure),
        "sends again after the dot": (Fault.DUPLICATE, hasty),
        "takes doubt for failure": (Fault.WRONG_CERTAINTY, unaware),
        "is always in doubt": (Fault.WRONG_CERTAINTY, anxious),
        "is in doubt of all that was accepted": (Fault.WRONG_CERTAINTY, _doubtful),
        "sends elsewhere when lost": (Fault.INJECTION, _astray),
        "logs in again when lost": (Fault.SECOND_LOGIN, _twice_known),
        "waits for ever": (Fault.HANG, _patient),
        "lets OSError through": (Fault.FOREIGN, raw),
        "needs no TLS": (Fault.LEAK, bare),
    }
    course = Course(587, "PIPELINING")
    return [
        Mutant(name, fault, partial(sweep, course, every=8, share=0, client=client))
        for name, (fault, client) in defects.items()
    ]
