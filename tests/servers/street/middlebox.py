"""What does a box in the middle do with a connection that is not meant for it? It plays a trick."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from tests.servers.street.between import between, masked, stripped
from tests.servers.street.impostor import answer
from tests.servers.street.trick import BEARINGS, Trick, listeners
from tests.servers.street.visit import Heard, Visit

_PORTAL = (
    b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/?from=mail\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
# From the kernel to a visit, a connection goes through a few rounds of the event loop.
_ROUNDS = 10


class Middlebox:
    """A running box. `heard` is what clients said, in order."""

    def __init__(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        self.contexts = contexts
        self.heard: list[Heard] = []
        self.visits: set[asyncio.Task[None]] = set()

    async def play(self, trick: Trick, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do with a connection what the trick is."""
        task = asyncio.current_task()
        assert task
        self.visits.add(task)
        task.add_done_callback(self.visits.discard)
        # The client may go at any time, and may not like the certificate.
        with suppress(OSError, EOFError):
            await self._visited(Visit(reader, writer, trick=trick, heard=self.heard))
        writer.close()

    async def over(self, *, seconds: float = 1) -> None:
        """Wait until all who came have gone; those who stay are not waited for long."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        if self.visits:
            await asyncio.wait(self.visits, timeout=seconds)

    async def _visited(self, visit: Visit) -> None:
        if bearing := BEARINGS.get(visit.trick):
            await answer(visit, bearing=bearing, context=self.contexts[bearing.pem])
        else:
            await _TRICKS[visit.trick](visit)


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[Middlebox]:
    """Listen for every trick, over both families; the certificates are those in `root`."""
    box = Middlebox({it.pem: _context(root / f"{it.pem}.pem") for it in BEARINGS.values()})
    async with AsyncExitStack() as stack:
        for port, trick, pem in listeners():
            context = box.contexts[pem] if pem else None
            server = await asyncio.start_server(partial(box.play, trick), None, port, ssl=context)
            stack.callback(server.close)
        yield box


def _context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def _portal(visit: Visit) -> None:
    visit.writer.write(_PORTAL)
    await _close(visit)


async def _close(visit: Visit) -> None:
    """End it in order: what is left unread would make it a reset."""
    visit.writer.write_eof()
    await visit.listen()


async def _reset(visit: Visit) -> None:
    # Not so early that the client's connect(2) would fail.
    await asyncio.sleep(0.02)
    visit.reset()


_TRICKS: Mapping[Trick, Callable[[Visit], Awaitable[None]]] = {
    Trick.STRIP: partial(between, altered=stripped),
    Trick.MASK: partial(between, altered=masked),
    Trick.PORTAL: _portal,
    Trick.RESET: _reset,
    Trick.CLOSE: _close,
    Trick.SILENT: Visit.listen,
}
