"""How are many attacks played to one client? On the jumping clock, or one after another on the real one."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from tests.proof.attacks.running import Run, judge
from tests.proof.harness.clients import Async, Blocking, Told
from tests.proof.harness.place import Place, Scene, in_a_thread, on_a_jumping_clock
from tests.proof.harness.tally import Fault, Tally

Judge: TypeAlias = Callable[..., None]

SECONDS = 60.0
"""What a submission may take, where waiting costs no time."""

_SHORT = 0.95
"""The same on the real clock, where there is nothing to do but to wait."""

_BELATED = 50
"""Milliseconds in which a server hears of what a client wrote last."""

_SERVERS = 3

BLANK = frozenset({Fault.INJECTION})
"""What cannot be judged here."""


def on_the_clock(runs: Iterable[Run], *, by: Async, judged: Judge = judge) -> Tally:
    """Play to an async client, in one loop with the servers."""
    tally = Tally(blank=BLANK)

    async def work(place: Place) -> None:
        for run in runs:
            scene = place.show(run.scene())
            try:
                async with asyncio.timeout(10 * SECONDS):
                    told = await by(run.errand(place, seconds=SECONDS))
            except TimeoutError:
                tally.note(Fault.HANG, f"{run}: not over after {10 * SECONDS:.0f} s")
                continue
            for _ in _until_over(scene):
                await asyncio.sleep(0.001)
            judged(run, told, scene, seconds=SECONDS, tally=tally)

    on_a_jumping_clock(work, servers=_SERVERS)
    return tally


def one_after_another(runs: Iterable[Run], *, by: Blocking, judged: Judge = judge, seconds: float) -> Tally:
    """Play to a blocking client, with the servers in a thread; `seconds` are for each submission."""
    tally = Tally(blank=BLANK)
    with in_a_thread(servers=_SERVERS) as place:
        for run in runs:
            given = _SHORT if run.case.waits else seconds
            scene = place.show(run.scene())
            told: Told = by(run.errand(place, seconds=given))
            for _ in _until_over(scene):
                time.sleep(0.001)
            judged(run, told, scene, seconds=given, tally=tally)
    return tally


@contextmanager
def untidy() -> Iterator[None]:
    """What a client of others leaves unclosed is not complained of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def _until_over(scene: Scene) -> Iterator[None]:
    for _ in range(_BELATED):
        if all(tape.over for tape in scene.tapes):
            return
        yield
