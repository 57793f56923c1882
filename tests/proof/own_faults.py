"""What if the client itself has a fault? Every function that a transaction passes through fails in turn.

Each run breaks one function of portmail, at one of its calls, before or after it did its work. The
message must be told of in time, by an error of portmail's own, and as it is; then the connection must
have ended. What fails at every call must not be tried for ever.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from importlib import import_module
from types import FunctionType
from typing import Any, TypeAlias
from unittest import mock

import portmail
from portmail import Security
from portmail.guarding import guarded
from tests.proof.harness.clients import Errand, Said, Told, letter, wishes
from tests.proof.harness.judging import BLANK, Truth, faults
from tests.proof.harness.place import HOST, Place, Scene, on_a_jumping_clock
from tests.proof.harness.recorder import CHUNKING, PIPELINING, Behaviour
from tests.proof.harness.tally import PORTMAIL, Fault, Mutant, Tally, Task
from tests.proof.harness.tap import Tape

TITLE = "faults of its own"

_MODULES = (
    "conclusion",
    "course",
    "crew",
    "delivery",
    "exchange",
    "hearing",
    "job",
    "pace",
    "pool",
    "reply",
    "transaction",
    "transports.carrier",
    "transports.records",
    "transports.watch",
    "verdict",
    "waiting",
)
_ALWAYS = 0
_CALLS = (1, 2, _ALWAYS)
"""The n-th, or all of them."""

_MOST = 3
"""Connections that are made for a message, at most: more would be a loop."""

_BLANK = BLANK - {Fault.WRONG_VERDICT}
"""A wrong verdict is a connection that is left behind."""

_OUTSIDE = {
    ("delivery", "Delivery", "__init__"),
    ("delivery", "Delivery", "start"),
    ("delivery", "Delivery", "deliver"),
    ("delivery", None, "_settle"),
    ("pool", "Pool", "__init__"),
    ("crew", "Crew", "__init__"),
    ("pace", "Pace", "__init__"),
    ("waiting", "Waiting", "__init__"),
}
"""The first and the last steps of `send` itself, outside of any transaction: what they raise leaves as is."""

_UNKNOWABLE = {
    ("delivery", "Delivery", "_done"),  # it tells: if it never can, nobody does
    ("transports.carrier", "_Line", "write"),  # what raised while it wrote may have written
}
_SECONDS = 60.0
_SHARES = 2


class OwnFault(RuntimeError):
    """What the broken function raises."""


@dataclass(frozen=True, slots=True)
class Break:
    """One function that fails: at its n-th call or at all, when it has done its work or before."""

    module: str
    owner: str | None
    name: str
    call: int
    late: bool

    def __str__(self) -> str:
        when = "after" if self.late else "before"
        call = f"call {self.call}" if self.call else "every call"
        return f"{self.module}.{self.owner or ''}.{self.name} fails at {call}, {when} its work"

    def struck(self, calls: Sequence[int]) -> bool:
        """Whether it was called often enough to fail."""
        return len(calls) >= max(self.call, 1)

    @property
    def place(self) -> Any:
        """Where the function is looked up."""
        module = import_module(f"portmail.{self.module}")
        return getattr(module, self.owner) if self.owner else module

    @contextmanager
    def made(self) -> Iterator[list[int]]:
        """Break it; yields the numbers of its calls."""
        calls: list[int] = []
        static = inspect.getattr_static(self.place, self.name)
        broken: Any
        if isinstance(static, property):
            assert static.fget is not None
            broken = property(self._broken(static.fget, calls))
        elif isinstance(static, classmethod):
            broken = classmethod(self._broken(static.__func__, calls))
        elif hasattr(static, "__wrapped__"):  # the guard stands: it is what this is about
            broken = guarded(self._broken(static.__wrapped__, calls))
        else:
            broken = self._broken(static, calls)
        with mock.patch.object(self.place, self.name, broken):
            yield calls

    def _broken(self, function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
        def fail(*, late: bool) -> None:
            if not late:
                calls.append(len(calls) + 1)
            if self.call in (len(calls), _ALWAYS) and late is self.late:
                raise OwnFault(f"{self.name} is broken")

        @wraps(function)
        async def later(*args: Any, **named: Any) -> Any:
            fail(late=False)
            result = await function(*args, **named)
            fail(late=True)
            return result

        @wraps(function)
        def now(*args: Any, **named: Any) -> Any:
            fail(late=False)
            result = function(*args, **named)
            fail(late=True)
            return result

        return later if inspect.iscoroutinefunction(function) else now


def breaks() -> Iterator[Break]:
    """Every function of the modules, in every way."""
    for module in _MODULES:
        for owner, name in _functions(import_module(f"portmail.{module}")):
            for call in () if (module, owner, name) in _OUTSIDE | _UNKNOWABLE else _CALLS:
                for late in (False, True):
                    yield Break(module, owner, name, call, late)


def _functions(module: Any) -> Iterator[tuple[str | None, str]]:
    for name, value in vars(module).items():
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            yield None, name
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            own = {
                n: it
                for n, it in vars(value).items()
                if isinstance(it, FunctionType | property | classmethod)
            }
            yield from ((value.__name__, n) for n in own if n == "__init__" or not n.startswith("__"))


Look: TypeAlias = Callable[[], Awaitable[None]]
Client: TypeAlias = Callable[[Errand, Look], Awaitable[Told]]


async def send(errand: Errand, look: Look) -> Told:
    """Send, hear what is said of the message, and look; how the submitter closes is not asked."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    mail = portmail.AsyncSubmitter(**wishes(errand))  # type: ignore[arg-type]  # by their names
    try:
        async with asyncio.timeout(_SECONDS * 2):
            await mail.send(errand.message)
        told = Told(Said.SENT, None, loop.time() - began)
    except (portmail.PortmailError, OwnFault, TimeoutError) as exc:
        said = Said.IN_DOUBT if isinstance(exc, portmail.InDoubt) else Said.NOT_SENT
        told = Told(said, exc, loop.time() - began, not isinstance(exc, portmail.PortmailError))
    await look()
    try:
        async with asyncio.timeout(_SECONDS):
            await mail.aclose()
    except (OwnFault, TimeoutError):
        pass
    return told


def sweep(chosen: Sequence[Break], *, client: Client = send) -> Tally:
    """Break one after another."""
    tally = Tally(blank=_BLANK)

    async def work(place: Place) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the loop's own log of faults
        for broken in chosen:
            for offer in (PIPELINING, CHUNKING):
                scene = place.show(Scene([Behaviour(extensions=offer)]))
                errand = Errand([(place.ports[0], Security.STARTTLS)], letter(), seconds=_SECONDS)
                left: list[Tape] = []

                async def look(scene: Scene = scene, left: list[Tape] = left) -> None:
                    await place.settle()
                    left += [tape for tape in scene.tapes if not tape.over]

                with broken.made() as calls:
                    told = await client(errand, look)
                await place.settle()
                if broken.struck(calls):  # some have fewer calls
                    _count(tally, broken, told=told, scene=scene, errand=errand, left=len(left))

    on_a_jumping_clock(work)
    return tally


def _count(tally: Tally, broken: Break, *, told: Told, scene: Scene, errand: Errand, left: int) -> None:
    """Count one run; `left` is how many connections stood when the message was told of."""
    tally.runs += 1
    begun = any(line.upper().startswith(b"MAIL") for _, line in scene.record.lines)
    if left and begun and not scene.record.ends:  # amid the transaction
        tally.note(Fault.WRONG_VERDICT, f"{broken}: {left} connections are left, and told: {told}")
    if len(scene.tapes) > _MOST:
        tally.note(Fault.HANG, f"{broken}: {len(scene.tapes)} connections, {told.seconds:.1f} s")
    committed = any(tape.committed is not None for tape in scene.tapes)
    # Where the server answered, the fault may have come while portmail read it: then doubt is honest, and
    # so `answered` and `delivered` are not asked.
    for fault, why in faults(told, errand=errand, scene=scene, truth=Truth(committed, answered=False)):
        tally.note(fault, f"{broken}: {why}")


def tasks(client: str, *, quick: bool) -> list[Task]:
    """portmail's own functions: nobody else has them."""
    if client != PORTMAIL:
        return []
    chosen = list(breaks())[:: 12 if quick else 1]
    return [partial(_all, chosen[share::_SHARES]) for share in range(_SHARES)]


def _all(chosen: Sequence[Break]) -> Tally:
    tally = sweep(chosen)
    tally.cases = len({(it.module, it.owner, it.name) for it in chosen})
    return tally


async def _sure(errand: Errand, look: Look) -> Told:
    told = await send(errand, look)
    return replace(told, said=Said.SENT)


async def _deaf(errand: Errand, look: Look) -> Told:
    told = await send(errand, look)
    return replace(told, said=Said.NOT_SENT)


async def _raw(errand: Errand, look: Look) -> Told:
    told = await send(errand, look)
    return replace(told, foreign=told.error is not None)


async def _stubborn(errand: Errand, look: Look) -> Told:
    """Tries again whatever it was."""
    for _ in range(_MOST):
        await send(errand, look)
    return await send(errand, look)


async def _messy(errand: Errand, look: Look) -> Told:
    """Leaves connections behind."""
    _, writer = await asyncio.open_connection(HOST, errand.routes[0][0])
    told = await send(errand, look)
    writer.close()
    return told


def mutants() -> list[Mutant]:
    """Clients that take their own faults lightly."""
    some = [it for it in breaks() if it.module in ("exchange", "transports.carrier")]
    defects = {
        "goes on as if nothing were": (Fault.FALSE_SUCCESS, _sure),
        "takes every fault for not sent": (Fault.WRONG_CERTAINTY, _deaf),
        "tries again for ever": (Fault.HANG, _stubborn),
        "leaves connections behind": (Fault.WRONG_VERDICT, _messy),
        "lets its faults through": (Fault.FOREIGN, _raw),
    }
    return [Mutant(name, fault, partial(sweep, some, client=by)) for name, (fault, by) in defects.items()]
