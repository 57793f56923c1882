"""TLS on a transport of our own: what is written is with the kernel or in one buffer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from portmail.transports.records import CutOff, HandshakeFailed, TlsTransport, handshake
from portmail.transports.tls import verified_context
from tests.proof.harness.place import HOST, certified


class Raw(asyncio.Transport):
    """A transport whose other end is a server's TLS, in memory. `sent` are octets on their way to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closing = False
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = certified().context.wrap_bio(self.into, self.out, server_side=True)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return 0

    def serve(self) -> bytes:
        """Let the server read what was sent and say what it has to; returns what it read."""
        self.into.write(bytes(self.sent))
        self.sent.clear()
        read = b""
        try:
            self.server.do_handshake()
            read = self.server.read(65536)
        except ssl.SSLWantReadError:
            pass
        if self.out.pending:
            self.protocol.data_received(self.out.read())
        return read

    def say(self, data: bytes) -> bytes:
        """The server writes; returns the records."""
        self.server.write(data)
        return self.out.read()


class Above(asyncio.Protocol):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append(type(exc))

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")


def secured(then: Callable[[Raw, TlsTransport, Above], None]) -> list[object]:
    """Shake hands, do something, and return what the protocol above heard."""

    async def work() -> list[object]:
        raw, above = Raw(), Above()
        shaking = asyncio.ensure_future(handshake(raw, verified_context(tls_ca=certified().ca), host=HOST))
        while not shaking.done():
            await asyncio.sleep(0)
            raw.serve()
        transport = shaking.result()
        transport.set_protocol(above)
        await asyncio.sleep(0)
        then(raw, transport, above)
        return above.heard

    return asyncio.run(work())


def test_what_is_written_arrives_and_what_arrives_is_heard() -> None:
    def talk(raw: Raw, transport: TlsTransport, _above: Above) -> None:
        transport.write(b"EHLO a\r\n")
        assert raw.serve() == b"EHLO a\r\n"
        records = raw.say(b"250 hi\r\n")
        for n in range(len(records)):
            raw.protocol.data_received(records[n : n + 1])

    assert secured(talk) == [b"250 hi\r\n"]


def test_a_goodbye_of_tls_is_the_end_once() -> None:
    def leave(raw: Raw, _transport: TlsTransport, _above: Above) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            raw.server.unwrap()
        raw.protocol.data_received(raw.out.read())
        assert raw.closing
        raw.protocol.connection_lost(None)

    assert secured(leave) == ["eof", type(None)]


def test_a_record_that_was_changed_ends_the_connection_and_nothing_of_it_is_heard() -> None:
    def garble(raw: Raw, transport: TlsTransport, _above: Above) -> None:
        records = bytearray(raw.say(b"250 hi\r\n"))
        records[-1] ^= 1
        raw.protocol.data_received(bytes(records))
        assert raw.closing
        raw.sent.clear()
        transport.write(b"never")
        assert raw.sent == b""
        raw.protocol.connection_lost(None)

    assert secured(garble) == [ssl.SSLError]


def test_back_pressure_is_that_of_the_kernel() -> None:
    def press(raw: Raw, _transport: TlsTransport, _above: Above) -> None:
        raw.protocol.pause_writing()
        raw.protocol.resume_writing()

    assert secured(press) == ["pause", "resume"]


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_handshake_that_meets_other_words_keeps_their_beginning(piece: int) -> None:
    words = b"HTTP/1.1 400 Bad Request\r\n" * 50

    async def work() -> bytes:
        raw = Raw()
        shaking = asyncio.ensure_future(handshake(raw, verified_context(tls_ca=certified().ca), host=HOST))
        await asyncio.sleep(0)
        for at in range(0, len(words), piece):
            raw.protocol.data_received(words[at : at + piece])
        with pytest.raises(HandshakeFailed) as caught:
            await shaking
        assert isinstance(caught.value.error, ssl.SSLError)
        return caught.value.heard

    heard = asyncio.run(work())
    assert heard == words[: len(heard)]
    assert len(heard) == {1: 5, 7: 7, 1000: 256}[piece]


@pytest.mark.parametrize("end", ["eof_received", "connection_lost"])
def test_a_handshake_that_is_cut_off_says_so(end: str) -> None:
    async def work() -> None:
        raw = Raw()
        shaking = asyncio.ensure_future(handshake(raw, verified_context(tls_ca=certified().ca), host=HOST))
        await asyncio.sleep(0)
        getattr(raw.protocol, end)(*([None] if end == "connection_lost" else []))
        with pytest.raises(CutOff):
            await shaking

    asyncio.run(work())
