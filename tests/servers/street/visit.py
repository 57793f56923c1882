"""Who is at the middlebox? One connection that was meant for another, and what it said."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.servers.street.trick import Trick

# linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h; for Python's socket they have no name.
_ORIGINAL_DESTINATION = 80
_LEVEL = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}


@dataclass(frozen=True, slots=True)
class Heard:
    """A line that a client said, to whom it meant to say it. TLS's own records look like anything."""

    trick: str
    address: str
    port: int
    tls: bool
    line: str

    def as_json(self) -> dict[str, object]:
        """Return what `Heard(**...)` takes."""
        return asdict(self)


class Visit:
    """A connection to the middlebox."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        trick: Trick,
        heard: list[Heard],
    ) -> None:
        self.reader, self.writer, self.trick, self.heard = reader, writer, trick, heard
        self.address, self.port = _meant(writer.get_extra_info("socket"))

    @property
    def tls(self) -> bool:
        """Tell whether it is encrypted."""
        return self.writer.get_extra_info("ssl_object") is not None

    async def say(self, *lines: str) -> None:
        """Send lines."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def hear(self) -> str | None:
        """Return the next line, or None if there is none."""
        raw = await self.reader.readline()
        return self.note(raw) if raw else None

    def note(self, raw: bytes) -> str:
        """Keep a line that was said."""
        line = raw.decode("latin-1").rstrip("\r\n")
        self.heard.append(Heard(self.trick.value, self.address, self.port, self.tls, line))
        return line

    async def lines(self) -> AsyncIterator[str]:
        """Go through all that is said, until the client goes."""
        while (line := await self.hear()) is not None:
            yield line

    async def listen(self) -> None:
        """Say nothing more, until the client goes."""
        while raw := await self.reader.read(65536):
            self.note(raw)

    async def secure(self, context: ssl.SSLContext) -> None:
        """Say that TLS may begin, and begin it."""
        self.writer.write(b"220 2.0.0 go ahead\r\n")
        # Nothing may come between: what is read before TLS is there would not be read by it.
        await self.writer.start_tls(context)

    def reset(self) -> None:
        """Tear the connection down."""
        line = self.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _meant(line: Any) -> tuple[str, int]:
    """Return the address and port that the client dialed."""
    raw = line.getsockopt(_LEVEL[line.family], _ORIGINAL_DESTINATION, 28)
    [port] = struct.unpack_from("!H", raw, 2)
    packed = raw[4:8] if line.family == socket.AF_INET else raw[8:24]
    return socket.inet_ntop(line.family, packed), port
