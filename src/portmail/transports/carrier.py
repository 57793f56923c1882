"""How do mail transactions travel? The asyncio protocol of a connection that is logged in.

It asks its owner for transactions whenever it can begin one, writes what `exchange.py` says as
fast as the server takes it, and gives them back when they are over. No task belongs to it: each
step is taken when octets come, or the kernel has taken those before.

Deadlines are for progress: a timer runs from the last octet that moved, as long as the step
that is awaited may take. Timeout, surprise, cancel: `transport.abort()`, and never used again.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from functools import partial
from typing import Protocol

from portmail.cause import Cause
from portmail.exchange import Exchange
from portmail.failure import Failure, Phase, RouteFailed
from portmail.guarding import guarded
from portmail.log import Before, Dialogue
from portmail.reply import MalformedReply, Reply, ReplyReader
from portmail.transaction import Transaction
from portmail.transports.session import Session
from portmail.transports.watch import Watch
from portmail.transports.wire import Wire

_TURN = 512 * 1024
"""Octets written before others have their turn in the loop."""

_STALE = 5.0
"""Seconds of rest, after which a connection has to prove that it is still there."""

_PROOF = 10.0
"""Seconds that it has for that."""


class Owner(Protocol):
    """Who has the transactions."""

    @abstractmethod
    def next(self, carrier: Carrier) -> Transaction | None:
        """One to begin now, or None."""

    @abstractmethod
    def ended(self, carrier: Carrier, transaction: Transaction) -> None:
        """This one is over."""

    @abstractmethod
    def resting(self, carrier: Carrier) -> None:
        """Nothing is under way, and there was nothing to begin."""

    @abstractmethod
    def rested(self, carrier: Carrier) -> None:
        """It has rested for as long as it may."""

    @abstractmethod
    def gone(self, carrier: Carrier, fault: Exception | None = None) -> None:
        """The connection is over; all its transactions have ended, unless a fault of ours prevented that."""


class Carrier:
    """One connection on its way with mail. `rest` is for how many seconds it may stay open unused.

    Attributes:
        first: the transaction that was begun as soon as the connection was open, until it is over.
        carried: how many messages the server accepted here.

    Raises:
        WireFailed: the connection is lost already, or the server said what nobody asked for.
    """

    def __init__(self, session: Session, *, owner: Owner, rest: float) -> None:
        self.session = session
        self.first: Transaction | None = None
        self.carried = 0
        self._owner = owner
        self._rest = rest
        self._exchange = Exchange(session.extensions)
        self._reader = ReplyReader()
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._loop, ring=self._ring)
        self._fresh = True
        self._resting = self._proving = self._gone = False
        self._again: asyncio.Handle | None = None
        self._mask = session.wire.mask
        dialogue = session.wire.dialogue
        self._pull = partial(_pulled, self._exchange, dialogue) if dialogue else self._exchange.pull
        self._heed = partial(_heeded, self._exchange, dialogue) if dialogue else self._exchange.receive
        session.wire.check_silence()
        self._transport = session.wire.transport  # taken over: the wire hears nothing more
        self._line = _Line(self, exchange=self._exchange, transport=self._transport)
        self._transport.set_protocol(self._line)

    @guarded
    def go(self) -> None:
        """Write as much as may be written now, beginning transactions where there are any."""
        self._again = None
        exchange, budget = self._exchange, _TURN
        while not (self._line.paused or self._gone):
            if exchange.hungry:
                self._begin()
            before = exchange.committed
            try:
                octets = self._pull()
            except BaseException as exc:  # of the program's own: `before_commit`, an attachment
                _hold_back(exchange, exc, before=before)
                self.abort()
                if isinstance(exc, KeyboardInterrupt):
                    raise
                return
            if octets and not self._line.write(octets):
                break
            if not (octets or exchange.ended):
                break
            budget -= len(octets)
            if exchange.ended:
                self._report()
            if budget < 0:
                self._again = self._again or self._loop.call_soon(self.go)
                break
        if not self._gone:
            self._wait()

    def _begin(self) -> None:
        transaction = self._owner.next(self)
        if transaction is None:
            return
        exchange = self._exchange
        self._proving = self._resting and self._watch.elapsed > _STALE
        if self._fresh:
            self.first = transaction
        self._fresh = self._resting = False
        exchange.begin(transaction, proof=self._proving)

    def failed(self, exc: Exception) -> None:
        """A fault of ours: the connection is dropped, and the owner tells of its messages."""
        try:
            self._transport.abort()
            self._stop()
        finally:
            self._owner.gone(self, exc)

    @guarded
    def hear(self, data: bytes) -> None:
        """Octets came."""
        exchange = self._exchange
        self._proving = False
        malformed, some = None, False
        try:
            for reply in self._reader.feed(data):
                some = True
                self._heed(self._mask.reply(reply) if self._mask else reply)
                if exchange.over is not None:
                    break
        except MalformedReply as exc:
            malformed = str(exc)
        if malformed is not None:  # told here, not there: errors keep those behind which they came
            said = self._mask.beginning(malformed) if self._mask else malformed
            self._reader = ReplyReader()
            del data, malformed
            self.end(Failure(Phase.WAITING, Cause.SURPRISE, said))
            return
        if exchange.over is not None:
            self.end(exchange.over)
            return
        if exchange.ended:
            self._report()
        if self._reader.broken or (not exchange.unanswered and self._reader.amid):
            self.end(Failure(Phase.WAITING, Cause.SURPRISE, "behind a reply came what nobody asked for"))
        elif some:  # a piece of a reply is no progress: the time that it may take runs on
            self.go()

    @guarded
    def withdraw(self, transaction: Transaction) -> None:
        """Give up a transaction of this connection; the others come to no harm."""
        if self._exchange.withdraw(transaction):
            self.abort()

    def abort(self, detail: str = "dropped by us") -> None:
        """Drop the connection; nothing that is still in a buffer leaves."""
        self.end(Failure(Phase.WAITING, Cause.LOST, detail))

    @guarded
    def end(self, failure: Failure) -> None:
        """The connection is over, once; what was under way ends with it."""
        if self._gone:
            return
        self._stop()
        self._exchange.lost(failure, unsent=self._line.paused)
        self._transport.abort()
        self._report()
        self._owner.gone(self)

    async def leave(self) -> None:
        """Say goodbye; for a connection that rests."""
        if not self._gone:
            self._stop()
            wire = Wire(self._transport)
            wire.mask = self._mask
            await wire.leave()

    def _stop(self) -> None:
        self._gone = True
        self._watch.stop()
        if self._again is not None:
            self._again.cancel()

    def _report(self) -> None:
        exchange = self._exchange
        ended, exchange.ended = exchange.ended, []
        for transaction in ended:
            self.carried += transaction.failure is None
            self._owner.ended(self, transaction)
            if transaction is self.first:
                self.first = None

    def _wait(self) -> None:
        """Nothing can be done before something comes."""
        awaited = self._exchange.awaited
        if awaited is not None:
            phase, transaction = awaited
            seconds = transaction.deadline.seconds(phase)
            self._watch.set(min(seconds, _PROOF) if self._proving else seconds)
        elif not self._resting:
            self._fresh, self._resting = False, True
            self._watch.set(self._rest)
            self._owner.resting(self)

    @guarded
    def _ring(self) -> None:
        """It took too long."""
        awaited = self._exchange.awaited
        if awaited is None:
            self._owner.rested(self)
            return
        phase, transaction = awaited
        if phase is Phase.FINAL_DOT and self._line.paused:
            self._exchange.unsent()
            phase = transaction.phase
        failure = Failure(phase, Cause.OUT_OF_TIME)
        if transaction.deadline.remaining > 0:
            failure = Failure(phase, Cause.NO_REPLY, f"nothing for {self._watch.elapsed:.0f} s")
        transaction.failure = transaction.failure or failure
        self.abort()


def _hold_back(exchange: Exchange, exc: BaseException, *, before: Transaction | None) -> None:
    """The content's transaction ends by what the program's own code raised, or for want of time.

    `before` is what was committed before it was tried.
    """
    if exchange.committed is not before:  # nothing of that was written
        exchange.committing = exchange.committed
        exchange.uncommit()
    awaited = exchange.awaited
    if awaited is None or awaited[0] is not Phase.CONTENT:
        raise exc  # not of the program's own
    if isinstance(exc, RouteFailed):
        awaited[1].failure = exc.failure
    else:
        awaited[1].failure = Failure(Phase.CONTENT, Cause.HELD_BACK, f"{type(exc).__name__}: {exc}")
        awaited[1].because = exc


def _pulled(exchange: Exchange, dialogue: Dialogue) -> bytes:
    """Pull, and write down what was said."""
    before = Before.of(exchange)
    octets = exchange.pull()
    dialogue.pulled(exchange, octets, was=before)
    return octets


def _heeded(exchange: Exchange, dialogue: Dialogue, reply: Reply) -> None:
    """Receive, and write down what was heard."""
    dialogue.heard(reply)
    exchange.receive(reply)


class _Line(asyncio.Protocol):
    """What asyncio tells of the connection, and what it is given to write."""

    def __init__(self, carrier: Carrier, *, exchange: Exchange, transport: asyncio.Transport) -> None:
        self.paused = False
        self._carrier, self._exchange, self._transport = carrier, exchange, transport

    def write(self, octets: bytes) -> bool:
        """Write. Returns whether the connection is still there; if not, nothing of that has left."""
        self._transport.write(octets)
        if self._transport.is_closing():
            self._exchange.uncommit()
            return False
        if not self.paused:
            self._exchange.committing = None
        return True

    def data_received(self, data: bytes) -> None:
        self._carrier.hear(data)

    def eof_received(self) -> None:
        self._carrier.end(Failure(Phase.WAITING, Cause.LOST, "closed by the server"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._carrier.end(Failure(Phase.WAITING, Cause.LOST, str(exc or "closed by the server")))

    def pause_writing(self) -> None:
        """The kernel has not taken all of it."""
        self.paused = True

    def resume_writing(self) -> None:
        """Now it has."""
        self.paused = False
        self._exchange.committing = None
        # asyncio does not expect that the connection is dropped in here.
        asyncio.get_running_loop().call_soon(self._carrier.go)
