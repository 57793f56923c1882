"""How far away is the server? A proxy process that delivers everything half a round trip later.

    python -m tests.benchmarks.delay PORT --rtt 0.1

It says its own port on standard output, and ends with its standard input. There is no limit to
bandwidth, no loss, no slow start.

The kernel completes the client's handshake at once, so the proxy makes up for that round trip: what the
client sends counts as sent one round trip after the connection came, at the earliest, and what the
server sends one and a half, when the client's ACK would have reached it. So a greeting arrives
after two round trips, and the answer to a client that speaks first, too, as on a real path.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections import deque

LOOPBACK = "127.0.0.1"


class End(asyncio.Protocol):
    """One end of a proxied connection; what arrives at it leaves at the other, later."""

    def __init__(self, *, delay: float, held_back: float = 0.0) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._open_from = self._loop.time() + held_back
        self._waiting: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_at_once()

    def data_received(self, data: bytes) -> None:
        self._acknowledge_at_once()
        self._later(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        self._later(b"")

    def _acknowledge_at_once(self) -> None:
        quick = getattr(socket, "TCP_QUICKACK", None)
        if quick is not None and self.transport is not None:
            # Not sticky: the kernel forgets it as it likes.
            self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, quick, 1)

    def _later(self, data: bytes) -> None:
        self._waiting.append(data)
        due = max(self._loop.time(), self._open_from) + self._delay
        self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        # Always the oldest: timers that are due together may fire in any order.
        data = self._waiting.popleft()
        if self.other is None or self.other.transport is None or self.other.transport.is_closing():
            return
        if data:
            self.other.transport.write(data)
        else:
            self.other.transport.close()  # which still sends what was written


async def serve(*, port: int, rtt: float) -> None:
    """Stand between clients and that port until standard input ends."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def arrived() -> End:
        near = End(delay=rtt / 2, held_back=rtt)
        tasks.add(task := loop.create_task(_connect(near, port=port, rtt=rtt)))
        task.add_done_callback(tasks.discard)
        return near

    server = await loop.create_server(arrived, LOOPBACK, 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


async def _connect(near: End, *, port: int, rtt: float) -> None:
    far = End(delay=rtt / 2, held_back=1.5 * rtt)
    near.other, far.other = far, near
    try:
        await asyncio.get_running_loop().create_connection(lambda: far, LOOPBACK, port)
    except OSError:
        far.connection_lost(None)


def main() -> None:
    """Read the command line, and stand between."""
    parser = argparse.ArgumentParser(prog="delay")
    parser.add_argument("port", type=int, help="where the server listens")
    parser.add_argument("--rtt", type=float, required=True, help="seconds there and back")
    options = parser.parse_args()
    asyncio.run(serve(port=options.port, rtt=options.rtt))


if __name__ == "__main__":
    main()
