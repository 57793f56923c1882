"""What was on the wire, octet by octet, and what happened to it there? A tap that can also strike.

It sits between a client's socket and a `Recorder`, below TLS: what it heard in clear was in clear.

    client  --heard-->  tap (strikes here)  --TLS-->  recorder
    client  <--told---  tap (and here)      <--TLS--
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from tests.proof.harness.recorder import After, Behaviour, Record, Recorder, Say

_DRIPS = 64
"""Octets that come one at a time, before the rest comes at once."""


class Way(Enum):
    """In which direction octets go."""

    OUT = "client to server"
    IN = "server to client"


class Action(Enum):
    """What happens at an octet, once that many have passed."""

    CLOSE = "close"
    """The connection is closed in order, for both."""
    RESET = "reset"
    STALL = "stall"
    """Nothing passes any more in that direction."""
    GARBLE = "garble"
    """The octet's highest bit is turned over."""
    DRIP = "drip"
    """Octets come one at a time."""
    JAM = "jam"
    """The server reads no more, until `Tape.resume` is called: buffers fill, up to the client's own."""


@dataclass(frozen=True, slots=True)
class Strike:
    """An action when `offset` octets have passed in that direction on the first connection.

    It is taken when the next octet comes, which does not pass. `behind` is another way to count: of what
    the server says at once, the `offset`-th is followed by the action in the same turn, before the
    client can say anything more. Octets would not do: those of a TLS handshake are not always as many.
    """

    way: Way
    offset: int
    action: Action
    behind: bool = False

    def __str__(self) -> str:
        where = "behind piece" if self.behind else "at octet"
        return f"{self.action.value} {where} {self.offset} from {self.way.value}"


@dataclass(slots=True)
class Tape:
    """What one connection carried, as the client wrote it, and as the client got it.

    Attributes:
        heard: octets that the client wrote, also those that went no further.
        told: octets on their way to the client.
        commits: how many octets were heard each time that the server had a whole content.
        answer: how many octets the client must have got to have the whole reply to the last of those.
        pauses: how many octets had been said to the client each time that there was nothing more to say.
        welcomed: how many octets had gone out and back when a login was accepted; the reply is not counted.
        understood: octets that reached the server in clear, whether they came so or were decrypted.
        server: which of the servers it was. `over`: whether the client is gone.
        shaken: how many octets had gone out and back when TLS stood.
        resume: has a jammed server read on.
    """

    heard: bytearray = field(default_factory=bytearray)
    told: bytearray = field(default_factory=bytearray)
    commits: list[int] = field(default_factory=list)
    answer: int | None = None
    pauses: list[int] = field(default_factory=list)
    welcomed: tuple[int, int] = (0, 0)
    understood: bytearray = field(default_factory=bytearray)
    shaken: tuple[int, int] = (0, 0)
    resume: Callable[[], None] | None = None
    server: int = 0
    over: bool = False

    @property
    def committed(self) -> int | None:
        """How many octets were heard when the server had a whole content last, None if it never had."""
        return self.commits[-1] if self.commits else None

    @property
    def answered(self) -> bool:
        """Whether the whole reply to the last content was handed to the client's socket."""
        return self.answer is not None and len(self.told) >= self.answer


class Tap(asyncio.Protocol):
    """One connection of a client."""

    def __init__(
        self, *, behaviour: Behaviour, record: Record, tape: Tape, tls: ssl.SSLContext, strike: Strike | None
    ) -> None:
        self._recorder = Recorder(behaviour, record)
        self._record, self._tape, self._context, self._strike = record, tape, tls, strike
        self._passed = {Way.OUT: 0, Way.IN: 0}
        self._stalled: set[Way] = set()
        self._queues: dict[Way, deque[bytes]] = {Way.OUT: deque(), Way.IN: deque()}
        self._tls: ssl.SSLObject | None = None
        self._shaken = False
        self._gone = False
        self._held: list[bytes] | None = None
        self._amid = behaviour.amid_tls
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        first = self._recorder.behaviour.replies.get("connect")
        if isinstance(first, Say) and not self._below(first):
            return
        if self._recorder.tls:
            self._begin_tls()
        else:
            self._recorder.greet()
            self._speak()

    def data_received(self, data: bytes) -> None:
        """The client wrote."""
        self._tape.heard += data
        self._pass(Way.OUT, data)

    def eof_received(self) -> bool:
        """The client says that it will write no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        """The client is gone."""
        self._gone = self._tape.over = True

    def _pass(self, way: Way, data: bytes) -> None:
        """Let octets through, up to where the strike is."""
        if way is Way.IN and self._held is not None:
            self._held.append(data)
            return
        strike, passed = self._strike, self._passed[way]
        self._passed[way] = passed + len(data)
        if way is Way.IN:
            self._tape.pauses.append(self._passed[way])
        at = strike.offset - passed if strike is not None and strike.way is way else -1
        if strike is not None and strike.behind:
            at = len(data) if way is Way.IN and len(self._tape.pauses) == strike.offset else -1
        reach = len(data) + (strike is not None and strike.behind)
        if strike is None or not 0 <= at < reach or way in self._stalled or self._queues[way]:
            self._hand_on(way, data)
            return
        before, rest = data[:at], data[at:]
        if before:
            self._hand_on(way, before)
        if strike.action is Action.GARBLE:
            self._hand_on(way, bytes([rest[0] ^ 0x80]) + rest[1:])
        elif strike.action is Action.JAM:
            self._transport.pause_reading()
            self._tape.resume = self._transport.resume_reading
            self._hand_on(way, rest)
        elif strike.action is Action.DRIP:
            self._drip(way, rest)
        else:
            self._stalled.add(way)
            if strike.action is not Action.STALL:
                self._break(reset=strike.action is Action.RESET)

    def _hand_on(self, way: Way, data: bytes) -> None:
        if way in self._stalled:
            return
        if self._queues[way]:  # behind what drips
            self._queues[way].append(data)
        elif way is Way.OUT:
            self._arrive(data)
        else:
            self._tape.told += data
            self._transport.write(data)

    def _drip(self, way: Way, data: bytes) -> None:
        drops = [data[n : n + 1] for n in range(min(_DRIPS, len(data)))]
        self._queues[way].extend([*drops, data[_DRIPS:]])
        self._loop.call_soon(self._next_drop, way, _DRIPS - len(drops))

    def _next_drop(self, way: Way, more: int) -> None:
        """`more` is how many octets of what comes later are to drip too."""
        queue = self._queues[way]
        data = queue.popleft()
        if way is Way.OUT:
            self._arrive(data)
        elif not self._transport.is_closing():
            self._tape.told += data
            self._transport.write(data)
        if queue:
            self._loop.call_soon(self._next_drop, way, more)

    def _break(self, *, reset: bool) -> None:
        self._stalled |= set(Way)
        if reset:
            sock = self._transport.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()  # and go on to listen: what the client wrote belongs on the tape

    def _begin_tls(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _arrive(self, data: bytes) -> None:
        """Octets have come as far as the server."""
        if not data:
            return
        if self._tls is None:
            self._hear(data)
        elif (instead := self._recorder.behaviour.instead_of_tls) is not None:
            self._tls, self._recorder.tls, self._recorder.upgrading = None, False, False
            if not self._below(instead):
                return
        else:
            self._incoming.write(data)
            self._decrypt(self._tls)
        self._speak()

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        try:
            if not self._shaken:
                tls.do_handshake()
                self._shaken = True
                self._tape.shaken = len(self._tape.heard), len(self._tape.told)
                self._recorder.secured()
                if self._recorder.behaviour.implicit_tls:
                    self._recorder.greet()
            while data := tls.read(65536):
                self._hear(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # an alert may be on its way out
            self._flush()
            self._break(reset=False)

    def _hear(self, data: bytes) -> None:
        record, tape = self._record, self._tape
        ends, welcomes = record.ends, record.welcomes
        tape.understood += data
        self._recorder.hear(data)
        if record.ends > ends:
            tape.commits.append(len(tape.heard))
            self._answering = True
        if record.welcomes > welcomes:
            tape.welcomed = len(tape.heard), len(tape.told)

    def _speak(self) -> None:
        """Give the client what the server says."""
        recorder = self._recorder
        said = bytes(recorder.outbox)
        recorder.outbox.clear()
        if self._tls is None:
            if said:
                self._pass(Way.IN, said)
            if recorder.upgrading:
                self._begin_tls()
        else:
            if said:
                with suppress(ssl.SSLError):
                    self._tls.write(said)
            self._flush()
        if self._answering and said:
            self._answering, self._tape.answer = False, self._passed[Way.IN]
        if recorder.last is not None:
            last, recorder.last = recorder.last, None
            self._go_further(last)
        if recorder.closing and not self._queues[Way.IN] and self._held is None:
            self._close()

    def _go_further(self, last: Say) -> None:
        """What this reply brings with it, beside what every server does."""
        if last.after is After.UNWRAP and self._tls is not None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
            self._tls, self._recorder.tls = None, False
        if last.later:
            self._held = []
            self._loop.call_later(last.later[0][0], self._inject, list(last.later))
        elif last.after is After.RESET:
            self._break(reset=True)
        elif last.after is After.AGAIN:
            self._loop.call_later(1.0, self._say_again, last)

    def _inject(self, segments: list[tuple[float, bytes]]) -> None:
        """Octets come in clear, whatever the layer above is; what was held back follows the last."""
        _, octets = segments.pop(0)
        if not self._transport.is_closing():
            self._tape.told += octets
            self._transport.write(octets)
        if segments:
            self._loop.call_later(segments[0][0], self._inject, segments)
            return
        held, self._held = self._held or [], None
        for data in held:
            self._pass(Way.IN, data)
        self._speak()

    def _say_again(self, last: Say) -> None:
        if not self._gone:
            self._recorder.outbox += last.octets
            self._recorder.last = last
            self._speak()

    def _below(self, said: Say) -> bool:
        """Say this below TLS. Returns whether the connection goes on."""
        if said.octets:
            self._pass(Way.IN, said.octets)
        if said.after is After.SILENCE:
            self._stalled.add(Way.IN)
        elif said.after is not After.GO_ON:
            self._break(reset=said.after is After.RESET)
        return said.after is After.GO_ON

    def _flush(self) -> None:
        if self._tls is None or not (data := self._outgoing.read()):
            return
        if self._amid is None:
            self._pass(Way.IN, data)
            return
        left, said = self._amid
        self._pass(Way.IN, data[:left])
        if len(data) < left:
            self._amid = left - len(data), said
            return
        self._amid = None
        if self._below(said):
            self._pass(Way.IN, data[left:])

    def _close(self) -> None:
        if not self._transport.is_closing() and Way.IN not in self._stalled:
            self._transport.close()
