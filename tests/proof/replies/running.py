"""How is a client put to the cases, and what was wrong in a run? By the table, the servers and the tap."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import portmail
from tests.leaks import traces
from tests.proof.harness.clients import (
    BODY,
    Async,
    Blocking,
    Errand,
    Said,
    Told,
    by_portmail,
    letter,
    wishes,
)
from tests.proof.harness.place import Place, Scene, certified, in_a_thread, on_a_jumping_clock
from tests.proof.harness.recorder import PASSWORD, USER, Behaviour
from tests.proof.harness.tally import Fault, Tally
from tests.proof.replies.cases import OFFERS, Case, cases, errand
from tests.proof.replies.pieces import CUTS, in_pieces
from tests.proof.replies.table import Outcome, Sense

_LONGEST, _GRACE = 60.0, 0.5
"""Seconds for a submission, on the clock that jumps, and those in which it may still be ending."""

_IMPATIENT = 1.0
"""Seconds of real time that a blocking client waits for each reply."""

_STEPS = 14
"""Peers have a time for each step, no time for all."""

SHARES = 4
_IN_ANY_PIECES = ("a line", "lines", "codes that differ", "LF alone", "words", "600 octets", "silence")
_PIECES_EVERY = 23
"""Which of the cases come in pieces too: not those where another reply stands behind, of which the
client cannot know when it was said."""

_AT_ONCE = 16
"""Blocking clients at work in one process."""

_BLANK = frozenset({Fault.INJECTION})
"""Of one letter and two servers' replies, nothing could be altered."""

_PEERS_BLANK = _BLANK | {Fault.WRONG_VERDICT, Fault.SECOND_LOGIN}
"""Peers promise no such verdicts."""


def chosen(*, every: int, share: int, peer: bool) -> list[Case]:
    """A share of the cases."""
    # Peers know no second message on a connection, and no second route.
    playable = [case for case in cases() if not (peer and (case.step == "RSET" or case.second))]
    return playable[share * every :: every * SHARES]


def play(*, client: Async, every: int, share: int, peer: bool = False) -> Tally:
    """A share of the cases on the clock that jumps."""
    return put(chosen(every=every, share=share, peer=peer), client=client, peer=peer)


def put(planned: Sequence[Case], *, client: Async, peer: bool = False) -> Tally:
    """These cases, on the clock that jumps."""
    tally = _new(planned, peer=peer)

    async def work(place: Place) -> None:
        for case in planned:
            scene = place.show(_scene(case))
            asked = errand(case, place.ports, seconds=_LONGEST)
            told = await (_twice(asked) if case.step == "RSET" else client(asked))
            judge(told, case=case, scene=scene, tally=tally, peer=peer)

    on_a_jumping_clock(work, servers=2)
    return tally


def play_in_pieces(how: str, *, every: int) -> Tally:
    """Some of the cases, in pieces: what becomes of them is the same."""
    alike = [case for case in cases() if case.shape in _IN_ANY_PIECES and not case.second]
    with in_pieces(CUTS[how]):
        return put(alike[:: _PIECES_EVERY * every], client=by_portmail)


def play_blocking(*, client: Blocking, every: int, share: int) -> Tally:
    """A share of the cases for a blocking client: many at once, since silence costs it real time."""
    planned = chosen(every=every, share=share, peer=True)
    tally, lock = _new(planned, peer=True), threading.Lock()
    certified()  # one for all threads
    with ExitStack() as stack:
        free = [stack.enter_context(in_a_thread(servers=2)) for _ in range(_AT_ONCE)]

        def run(case: Case) -> tuple[Told, Scene]:
            with lock:
                place = free.pop()
            scene = place.show(_scene(case))
            told = client(errand(case, place.ports, seconds=_IMPATIENT))
            with lock:
                free.append(place)
            return told, scene

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for case, (told, scene) in zip(planned, pool.map(run, planned), strict=True):
                judge(told, case=case, scene=scene, tally=tally, peer=True, limit=_IMPATIENT * _STEPS)
    return tally


def _new(planned: Sequence[Case], *, peer: bool) -> Tally:
    return Tally(cases=len(set(planned)), blank=_PEERS_BLANK if peer else _BLANK)


def _scene(case: Case) -> Scene:
    good = Behaviour(extensions=OFFERS[case.offer])
    if case.anonymous:
        good = good.but(starttls=(), auth_in_tls=())
    good = good.but(implicit_tls=case.implicit)
    return Scene([case.behaviour(), good if case.second else case.behaviour()])


async def _twice(asked: Errand) -> Told:
    """A message that is refused, then the letter on the same connection, which RSET has to make ready."""
    began = time.monotonic()
    times = portmail.Timeouts(command=10, total=asked.seconds)
    async with portmail.AsyncSubmitter(**(wishes(asked) | {"timeouts": times})) as mail:  # type: ignore[arg-type]
        try:
            with_one = letter()
            await mail.send(with_one)
        except portmail.Rejected:
            pass
        else:
            raise AssertionError("the first message should have been refused")
        try:
            await mail.send(asked.message)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it is judged
            foreign = not isinstance(exc, portmail.PortmailError)
            said = Said.IN_DOUBT if isinstance(exc, portmail.InDoubt) else Said.NOT_SENT
            return Told(said, exc, time.monotonic() - began, foreign)
    return Told(Said.SENT, None, time.monotonic() - began)


def judge(
    told: Told, *, case: Case, scene: Scene, tally: Tally, peer: bool, limit: float | None = None
) -> None:
    """Count one run."""
    tally.runs += 1
    limit = limit or (_LONGEST * _STEPS if peer else _LONGEST)
    for fault, why in _facts(told, case=case, scene=scene, limit=limit, peer=peer):
        tally.note(fault, f"{case}: {why}")
    if not peer and (wrong := _wrong(told, case=case, scene=scene)):
        tally.note(Fault.WRONG_VERDICT, f"{case}: {wrong}")
    if not peer and len(scene.record.logins) > 1 and case.step != "RSET":
        tally.note(Fault.SECOND_LOGIN, f"{case}: {len(scene.record.logins)} logins")


def _facts(told: Told, *, case: Case, scene: Scene, limit: float, peer: bool) -> Iterator[tuple[Fault, str]]:
    """What is wrong whatever the table says, by what the servers stored and the tap heard."""
    had = Counter(who for stored in scene.record.stored for who in stored.recipients)
    twice = [who for who, times in had.items() if times > 1]
    if not case.anonymous and (leaked := traces(scene.heard, secrets=(USER, PASSWORD, BODY[:20]))):
        yield Fault.LEAK, f"{leaked[0]!r} in clear"
    if told.foreign:
        yield Fault.FOREIGN, repr(told.error)
    if told.seconds > limit + _GRACE:
        yield Fault.HANG, f"{told.seconds:.1f} s"
    if twice:
        yield Fault.DUPLICATE, f"{twice} have it twice"
    if told.said is Said.SENT and not had and not (peer and case.shape == "codes that differ"):
        yield Fault.FALSE_SUCCESS, "nobody has it"
    in_doubt = case.step in ("end", "BDAT") and case.outcome.said is Said.IN_DOUBT
    if peer and case.sense is not Sense.NOTHING:
        # Of an answer that means nothing, an error that repeats it says enough: unless it was accepted.
        unclear = case.sense is Sense.OTHER or case.shape == "codes that differ"
        in_doubt, had = False, Counter() if unclear else had
    if told.said is Said.NOT_SENT and (in_doubt or had):
        yield Fault.WRONG_CERTAINTY, f"{dict(had)} have it, or may: {told}"
    elif told.said is Said.IN_DOUBT and not in_doubt:
        yield Fault.WRONG_CERTAINTY, f"there is no doubt: {told}"


def _wrong(told: Told, *, case: Case, scene: Scene) -> str | None:
    """What is not as the table has it, None where all is."""
    must = case.outcome
    if must.next_route and case.second:
        must = Outcome(Said.SENT, next_route=True)
    said = (told.said, _kind(told.error), getattr(told.error, "temporary", False))
    wanted = (must.said, must.error and must.error.__name__, must.temporary)
    if said != wanted:
        return f"{said}, not {wanted}: {told}"
    tried = any(tape.server == 1 for tape in scene.tapes)
    if tried is not must.next_route:
        return f"another route was {'tried' if tried else 'not tried'}: {told}"
    had = {who for stored in scene.record.stored for who in stored.recipients}
    if must.said is Said.SENT and not (case.second and must.next_route) and had != set(case.recipients):
        return f"{had} have it, not {case.recipients}"
    if isinstance(told.error, portmail.Rejected):
        return _misread(told.error, case=case)
    return None


def _kind(error: BaseException | None) -> str | None:
    return type(error).__name__ if error is not None else None


def _misread(error: portmail.Rejected, *, case: Case) -> str | None:
    """Whether the reply in the error is the one that was given."""
    reply = error.reply
    if reply is None:
        return "the error has no reply"
    if case.sense is Sense.CLOSING or case.shape in ("a refusal behind", "codes that differ"):
        last = reply.code in (421, 550, case.code)
        return None if last else f"its reply is {reply}"
    right = (reply.code, reply.enhanced) == (case.code, case.read)
    return None if right else f"its reply is {reply}, not {case.code} {case.read}"
