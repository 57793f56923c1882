"""Does it matter in which pieces a dialogue comes? Whole, line by line, octet by octet: it must not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TypeAlias
from unittest import mock
from weakref import WeakKeyDictionary

from tests.proof.harness.tap import Tap

Cut: TypeAlias = Callable[[bytes], list[bytes]]

_DROPS = 100
"""Octets of each piece of dialogue that come one by one; the rest of a long one comes at once."""

_TURNS = 3
"""Turns of the loop from piece to piece, in which the client reads what came."""


def _lines(octets: bytes) -> list[bytes]:
    lines = octets.splitlines(keepends=True)
    return [*lines[:_DROPS], b"".join(lines[_DROPS:])]


def _octets(octets: bytes) -> list[bytes]:
    return [octets[n : n + 1] for n in range(min(_DROPS, len(octets)))] + [octets[_DROPS:]]


CUTS: Mapping[str, Cut] = MappingProxyType({"lines": _lines, "octets": _octets})


@contextmanager
def in_pieces(cut: Cut) -> Iterator[None]:
    """Every server gives what it says in such pieces; within TLS each is a record of its own."""
    whole, waiting = Tap._speak, WeakKeyDictionary[Tap, deque[bytes]]()

    def speak(tap: Tap) -> None:
        said = bytes(tap._recorder.outbox)
        tap._recorder.outbox.clear()
        queue = waiting.setdefault(tap, deque())
        idle = not queue
        queue.extend(filter(None, cut(said)))
        if idle:
            give(tap)

    def give(tap: Tap) -> None:
        queue, recorder = waiting[tap], tap._recorder
        if tap._gone:
            return
        recorder.outbox += queue.popleft() if queue else b""
        if not queue:
            whole(tap)
            return
        # What follows from a reply follows when all of it is said.
        then = recorder.upgrading, recorder.closing, recorder.last
        recorder.upgrading, recorder.closing, recorder.last = False, False, None
        whole(tap)
        recorder.upgrading, recorder.closing, recorder.last = then
        later(tap, _TURNS)

    def later(tap: Tap, turns: int) -> None:
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(later, tap, turns - 1)
        else:
            loop.call_soon(give, tap)

    with mock.patch.object(Tap, "_speak", speak):
        yield
