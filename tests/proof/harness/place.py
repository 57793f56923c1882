"""Where is a client put to the proof? Recording servers on loopback, on a jumping clock or the real one."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import trustme

from tests.clock import ClockLoop
from tests.proof.harness.recorder import Behaviour, Record
from tests.proof.harness.tap import Strike, Tap, Tape

HOST = "127.0.0.1"

_TURNS = 12
"""Of the loop: one to read, one to answer, and some to spare."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate that clients believe if they trust `ca`."""

    ca: Path
    context: ssl.SSLContext


@lru_cache(maxsize=1)  # a cache: one for each process
def certified() -> Certified:
    """A good certificate for `HOST` and `localhost`."""
    authority = trustme.CA()
    folder = tempfile.mkdtemp(prefix="portmail-proof-")
    atexit.register(shutil.rmtree, folder)
    ca = Path(folder) / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost").configure_cert(context)
    return Certified(ca, context)


@dataclass(slots=True)
class Scene:
    """One run: how the servers behave, and what they and the tap saw. One server for each behaviour."""

    behaviours: Sequence[Behaviour]
    strike: Strike | None = None
    tls: Sequence[ssl.SSLContext] | None = None
    """Contexts of the servers, where they are not all `certified`."""
    record: Record = field(default_factory=Record)
    tapes: list[Tape] = field(default_factory=list)

    @property
    def heard(self) -> bytes:
        """All that clients wrote, as it was on the wire."""
        return b"".join(bytes(tape.heard) for tape in self.tapes)


class Place:
    """Servers that play one scene after another. `ports` are where they listen."""

    def __init__(self) -> None:
        self.ports: tuple[int, ...] = ()
        self._scene: Scene | None = None

    def show(self, scene: Scene) -> Scene:
        """Play this scene to whoever comes from now on."""
        self._scene = scene
        return scene

    @staticmethod
    async def settle() -> None:
        """Let the servers hear what is with the kernel."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    @asynccontextmanager
    async def open(self, *, servers: int, receive: int | None = None) -> AsyncIterator[Place]:
        """Listen on so many ports; `receive` is how many octets the kernel may keep for a server."""
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            for number in range(servers):
                server = await loop.create_server(partial(self._tap, number), HOST, 0)
                await stack.enter_async_context(server)
                if receive is not None:
                    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
                self.ports += (server.sockets[0].getsockname()[1],)
            yield self

    def _tap(self, number: int) -> asyncio.Protocol:
        scene = self._scene
        assert scene is not None, "somebody came before a scene was shown"
        tape = Tape(server=number)
        scene.tapes.append(tape)
        strike = scene.strike if len(scene.tapes) == 1 else None
        tls = certified().context if scene.tls is None else scene.tls[number]
        return Tap(behaviour=scene.behaviours[number], record=scene.record, tape=tape, tls=tls, strike=strike)


def on_a_jumping_clock(
    work: Callable[[Place], Awaitable[T]], *, servers: int = 1, receive: int | None = None
) -> T:
    """Do the work on a loop where waiting costs no time; servers and client share it. For async clients.

    The whole process tells that time meanwhile, so that deadlines agree with timers.
    """

    async def begin() -> T:
        async with Place().open(servers=servers, receive=receive) as place:
            return await work(place)

    with asyncio.Runner(loop_factory=ClockLoop) as runner, _time_of(runner.get_loop()):
        return runner.run(begin())


@contextmanager
def _time_of(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    real, time.monotonic = time.monotonic, loop.time
    try:
        yield
    finally:
        time.monotonic = real


@contextmanager
def in_a_thread(*, servers: int = 1) -> Iterator[Place]:
    """Servers in a thread of their own, on the real clock: for blocking clients."""
    place, ready, over = Place(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with place.open(servers=servers):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield place
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(10)
