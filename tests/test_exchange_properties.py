"""Do client and server mean the same, whatever happens? Random dialogues with a strict, faulty server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.cause import Cause
from portmail.course import AT_ONCE
from portmail.exchange import Exchange
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import MalformedReply, Reply, ReplyReader
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction
from portmail.verdict import Verdict, judge
from tests.servers.model import Fault, Model

EXAMPLES = 100
LOST = Failure(Phase.WAITING, Cause.LOST)


class HeldBackError(Exception):
    """What a program raises when it does not want the message to be committed."""


@dataclass(frozen=True)
class Letter:
    """A message, before it has a number."""

    lines: tuple[bytes, ...] = ()
    size: int = 0
    recipients: int = 1
    held_back: bool = False


@lru_cache(maxsize=4096)
def submission(letter: Letter, number: int) -> Submission:
    """Message `number` is from number@example.org to number.0@example.org, number.1@..."""
    fields = f"From: {number}@example.org\r\nDate: 1\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
    octets = fields.encode() + b"".join(line + b"\r\n" for line in letter.lines)
    missing = letter.size - len(octets)
    if missing > 1:
        octets += (b"." * 97 + b"!\r\n." + b"x" * 97 + b"\r\n") * (missing // 200)
        missing = letter.size - len(octets)
        octets += b"y" * (missing - 2) + b"\r\n"
    return Submission.of(
        octets,
        sender=f"{number}@example.org",
        recipients=[f"{number}.{nth}@example.org" for nth in range(letter.recipients)],
    )


@dataclass(frozen=True)
class Plan:
    """What happens on one connection."""

    letters: Sequence[Letter]
    keywords: frozenset[str] = frozenset()
    faults: Mapping[int, Fault] = field(default_factory=dict)
    """By the number of the reply."""
    moves: Sequence[int] = ()
    """What comes next: 0 writes, another number lets so many octets of replies arrive. Then, all at once."""
    given_up: Mapping[int, int] = field(default_factory=dict)
    """By the number of the move: the message that is withdrawn, counted from the one begun last."""
    lost: float = math.inf
    """The move before which the connection breaks."""
    cut: tuple[int, float] | None = None
    """Of which write the server gets only a part."""


class Connection:
    """A client and a server, and what is on its way between them."""

    def __init__(self, plan: Plan) -> None:
        self.exchange = Exchange(
            Extensions.parse(Reply(250, None, "\n".join(("mail.example.com", *sorted(plan.keywords)))))
        )
        self.model = Model(plan.keywords, faults=plan.faults)
        self.letters = [submission(letter, number) for number, letter in enumerate(plan.letters)]
        self.transactions = [
            Transaction(it, deadline=Deadline(Timeouts()), anonymous=False, before_commit=self._hook(number))
            for number, it in enumerate(self.letters)
        ]
        self.waiting = deque(self.transactions)
        self.begun: list[Transaction] = []
        self.ended: list[Transaction] = []
        self.hooks: list[int] = []
        self.given_up: set[int] = set()
        self.turns = 0
        self._heard = True
        self._writes = 0
        self._plan = plan
        self._reader = ReplyReader()

    def _hook(self, number: int) -> Callable[[], None]:
        def hook() -> None:
            self.hooks.append(number)
            if self._plan.letters[number].held_back:
                raise HeldBackError

        return hook

    def run(self) -> None:
        """Until nothing happens any more."""
        moves = iter((*self._plan.moves, *repeat(0, 10_000)))
        for at, move in enumerate(moves):
            if at >= self._plan.lost:
                self._lose(LOST)
            if at in self._plan.given_up:
                self._withdraw(self._plan.given_up[at])
            if self.exchange.over is not None:
                break
            if not ((move and self._hear(move)) or self._write() or self._hear(10_000)):
                break
        if not self.exchange.idle:  # the server says nothing more
            assert self.model.closed
            self._lose(LOST)
        assert self.exchange.over is None or self.exchange.pull() == b""

    def _write(self) -> bool:
        exchange = self.exchange
        if exchange.hungry and self.waiting:
            self.begun.append(self.waiting.popleft())
            exchange.begin(self.begun[-1])
        try:
            octets = exchange.pull()
        except HeldBackError:
            assert exchange.awaited is not None
            exchange.awaited[1].failure = Failure(Phase.CONTENT, Cause.HELD_BACK)
            self._lose(LOST)
            return True
        some = bool(octets or exchange.ended)
        self._take()
        self._travel(octets)
        return some

    def _travel(self, octets: bytes) -> None:
        for number in self.given_up:
            assert f"<{number}@example.org>".encode() not in octets
        if octets:
            self.turns += self._heard
            self._heard = False
            self._writes += 1
        if self._plan.cut is not None and self._writes == self._plan.cut[0] and octets:
            self.model.feed(octets[: int(len(octets) * self._plan.cut[1])])
            self.model.close()
        else:
            self.model.feed(octets)

    def _hear(self, most: int) -> bool:
        octets = bytes(self.model.outbox[:most])
        del self.model.outbox[:most]
        try:
            for reply in self._reader.feed(octets) if octets else ():
                self._heard = True
                self.exchange.receive(reply)
                if self.exchange.over is not None:
                    self._lose(self.exchange.over)
                    return True
        except MalformedReply as exc:
            self._lose(Failure(Phase.WAITING, Cause.SURPRISE, str(exc)))
        self._take()
        return bool(octets)

    def _withdraw(self, back: int) -> None:
        transaction = self.begun[-1 - back] if back < len(self.begun) else None
        if transaction is not None and transaction not in self.ended:
            others = [it for it in self.begun if it not in self.ended and it is not transaction]
            if self.exchange.withdraw(transaction):
                assert Phase.FINAL_DOT not in [it.phase for it in others]
                self._lose(LOST)
            else:
                self.given_up.add(self.transactions.index(transaction))

    def _lose(self, failure: Failure) -> None:
        self.exchange.lost(failure)
        self.model.close()
        self._take()
        assert self.exchange.idle
        assert not self.exchange.hungry
        assert self.exchange.pull() == b""

    def _take(self) -> None:
        ended, self.exchange.ended = self.exchange.ended, []
        self.ended += ended


def check(connection: Connection) -> None:
    """What is true whatever has happened."""
    begun, model = connection.begun, connection.model
    assert sorted(map(id, connection.ended)) == sorted(map(id, begun))
    assert all(it.phase is Phase.WAITING and it.failure is None for it in connection.waiting)
    assert len(set(connection.hooks)) == len(connection.hooks)
    assert len([it for it in begun if in_doubt(it)]) <= 1
    for number, transaction in enumerate(begun):
        assert (transaction.failure is None) is (transaction.phase is Phase.DONE)
        assert (transaction.failure is None) is (transaction.reply is not None)
        if transaction.failure is None or in_doubt(transaction):
            assert number in connection.hooks
            assert transaction.accepted
        if not model.misled:
            check_agreement(connection, number, transaction)


def in_doubt(transaction: Transaction) -> bool:
    failure = transaction.failure
    if failure is None or judge(failure) is not Verdict.IN_DOUBT:
        return False
    assert transaction.phase is failure.phase is Phase.FINAL_DOT
    return True


def check_agreement(connection: Connection, number: int, transaction: Transaction) -> None:
    """What the client says of a message, and what the server knows of it."""
    sender = f"{number}@example.org"
    letter, model = connection.letters[number], connection.model
    records = [record for record in model.received if record.sender == sender]
    assert len(records) <= 1
    for record in records:
        assert record.content == letter.content.data
        assert list(record.recipients) == transaction.accepted
        assert (transaction.failure is None) <= record.accepted
        assert record.accepted <= (transaction.failure is None or in_doubt(transaction))
    assert records or transaction.failure is not None
    if not transaction.accepted:
        assert sender not in model.touched
    if transaction.failure is not None:
        told = set(transaction.refused) & set(transaction.accepted)
        assert not told
    assert {box.text for box in transaction.left} <= set(transaction.refused)


# Plans are read from octets: hypothesis makes and shrinks those quickly. Zeros are the simplest plan.


class Dice:
    """Octets as decisions; where there are none left, zeros."""

    def __init__(self, octets: bytes) -> None:
        self._octets = iter(octets)

    def below(self, bound: int) -> int:
        return next(self._octets, 0) % bound

    def one_in(self, chances: int) -> bool:
        return self.below(chances) == chances - 1

    def rest(self) -> Sequence[int]:
        return tuple(self._octets)


LINES = (
    b"Hello",
    b"",
    b".",
    b"..",
    b"...x",
    b"RSET",
    b"MAIL FROM:<0@example.org>",
    b"gr\xc3\xbc\xc3\x9f dich",
)
SIZES = (0, 0, AT_ONCE - 2, AT_ONCE, AT_ONCE + 2, 20_000, 65_536, 70_000, 140_000)
REFUSING = (Fault.LATER, Fault.NEVER, Fault.TOO_MANY, Fault.LENIENT)
FAULTS = (*Fault, *REFUSING, *REFUSING)


def letter(dice: Dice) -> Letter:
    return Letter(
        lines=(LINES[dice.below(8)], LINES[dice.below(8)]),
        size=SIZES[dice.below(9)] and SIZES[dice.below(9)],
        recipients=1 + dice.below(5),
    )


def offer(dice: Dice) -> frozenset[str]:
    """PIPELINING and the like three times out of four, 8BITMIME nearly always."""
    words = [word for word in ("PIPELINING", "CHUNKING", "SIZE", "SMTPUTF8") if dice.below(4)]
    return frozenset(words if dice.one_in(16) else (*words, "8BITMIME"))


def faults(dice: Dice, *, kinds: Sequence[Fault]) -> dict[int, Fault]:
    """A few, or now and then so many that all recipients are refused."""
    if dice.one_in(4):
        return {at: kinds[dice.below(len(kinds))] for at in range(30) if dice.below(2)}
    return {dice.below(30): kinds[dice.below(len(kinds))] for _ in range(dice.below(6))}


def moves(dice: Dice) -> Sequence[int]:
    return [max(0, octet - 128) for octet in dice.rest()]


def calm(octets: bytes) -> Plan:
    """A server that refuses, and does nothing worse."""
    dice = Dice(octets)
    return Plan(
        [letter(dice) for _ in range(1 + dice.below(6))],
        offer(dice),
        faults=faults(dice, kinds=REFUSING),
        moves=moves(dice),
    )


def wild(octets: bytes) -> Plan:
    """Anything may happen."""
    dice = Dice(octets)
    letters = [letter(dice) for _ in range(1 + dice.below(6))]
    return Plan(
        [replace(it, held_back=dice.one_in(25)) for it in letters],
        offer(dice),
        faults=faults(dice, kinds=FAULTS),
        given_up={dice.below(30): dice.below(2)} if dice.one_in(2) else {},
        lost=dice.below(40) if dice.one_in(4) else math.inf,
        cut=(1 + dice.below(15), dice.below(256) / 255) if dice.one_in(4) else None,
        moves=moves(dice),
    )


OCTETS = st.binary(min_size=150, max_size=150)
many = settings(max_examples=EXAMPLES, deadline=None)


@many
@given(OCTETS.map(wild))
def test_client_and_server_agree_whatever_happens(plan: Plan) -> None:
    connection = Connection(plan)
    connection.run()
    check(connection)


@many
@given(OCTETS.map(calm))
def test_a_server_that_only_refuses_is_served_to_the_end(plan: Plan) -> None:
    connection = Connection(plan)
    connection.run()
    check(connection)
    assert not [it for it in connection.begun if in_doubt(it)]
    if connection.exchange.over is None:
        assert not connection.waiting


@many
@given(OCTETS.map(calm))
def test_a_good_server_has_every_message_after_as_few_turns_as_can_be(plan: Plan) -> None:
    offered = plan.keywords | {"8BITMIME"}
    connection = Connection(replace(plan, keywords=offered, faults={}, moves=list(filter(None, plan.moves))))
    connection.run()
    check(connection)
    assert connection.ended == connection.transactions
    assert [it.failure for it in connection.ended] == [None] * len(plan.letters)
    assert [record.accepted for record in connection.model.received] == [True] * len(plan.letters)
    if "PIPELINING" in offered:
        # The server may answer before the envelope that is not written together with what commits.
        divided = sum(it.content.size > AT_ONCE for it in connection.letters)
        assert len(plan.letters) < connection.turns <= len(plan.letters) + 1 + divided
    else:
        content = 1 if "CHUNKING" in offered else 2
        assert connection.turns == sum(1 + it.recipients + content for it in plan.letters)
