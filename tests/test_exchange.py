"""What is said next on a connection? Whole dialogues of many messages, played without a socket.

`C:` is what must leave together: all that can be pulled before the next reply. `S:` is what the
server says to it. In both, `|` separates what stands on lines of its own, and these are short for:

| in a dialogue | on the wire                                                       |
|---------------|-------------------------------------------------------------------|
| `MAIL 1`      | `MAIL FROM:<1@example.org>`: message 1 is from 1@example.org      |
| `RCPT a`      | `RCPT TO:<a@example.org>`                                         |
| `BDAT 1`      | `BDAT n LAST` with the size of message 1                          |
| `content 1`   | the content of message 1, dot-stuffed unless it is behind BDAT    |

`=` is what became of the messages, and of the connection.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

import pytest

from portmail.cause import Cause
from portmail.content import Content
from portmail.course import AT_ONCE
from portmail.errors import ContentError
from portmail.exchange import Exchange
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply, ReplyReader
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction
from portmail.verdict import Verdict, judge

LOCKSTEP: tuple[str, ...] = ()
PIPE, CHUNK, BOTH = ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")
EVERY_SERVER = pytest.mark.parametrize("offered", [LOCKSTEP, PIPE, CHUNK, BOTH], ids="+".join)
GOES_ON = pytest.mark.parametrize("offered", [PIPE, BOTH], ids="+".join)
LOST = Failure(Phase.WAITING, Cause.LOST)

BIG = 150_000
"""Octets of content: three blocks."""


def offering(*keywords: str) -> Extensions:
    return Extensions.parse(Reply(250, None, "\n".join(("mail.example.com", *keywords))))


def filled(number: int, *, size: int) -> bytes:
    """Message `number`, of so many octets if that is more than it needs; some lines begin with a dot."""
    head = f"From: {number}@example.org\r\nDate: 1\r\nMessage-ID: <{number}@example.org>\r\n\r\n".encode()
    body = b"Hello\r\n.\r\n..dots\r\n"
    missing = max(0, size - len(head) - len(body))
    filling = (b".23456789 123456789 123456789 123456789 12345678\r\n" * (missing // 50 + 1))[-missing:]
    return head + body + (filling if missing > 1 else b"")


def mail(
    number: int, recipients: str = "a", *, size: int = 0, hook: Callable[[], None] | None = None
) -> Transaction:
    """Message `number`; every letter is a recipient."""
    submission = Submission.of(
        filled(number, size=size),
        sender=f"{number}@example.org",
        recipients=[f"{letter}@example.org" for letter in recipients],
    )
    return Transaction(submission, deadline=Deadline(Timeouts()), anonymous=False, before_commit=hook)


class Talk:
    """One connection, whose server says what it is told to.

    `written` is what left since it was last looked at, `room` how often something may leave
    before the kernel takes no more.
    """

    def __init__(self, *messages: Transaction, offered: Iterable[str] = (), proof: bool = False) -> None:
        self.exchange = Exchange(offering(*offered))
        self.messages = messages
        self.waiting = deque(messages)
        self.begun: list[Transaction] = []
        self.ended: list[Transaction] = []
        self.written = b""
        self.room: float = math.inf
        self._proof = proof
        self._reader = ReplyReader()
        self._chunking = "CHUNKING" in offered

    def go(self) -> None:
        while self.room > 0:
            if self.exchange.hungry and self.waiting:
                self.begun.append(self.waiting.popleft())
                self.exchange.begin(self.begun[-1], proof=self._proof)
            octets = self.exchange.pull()
            self.written += octets
            self.room -= 1
            if not octets and not self.exchange.ended:
                return
            self._take()

    def hear(self, *replies: str, split: Callable[[bytes], Iterable[bytes]] | None = None) -> None:
        octets = "".join(f"{reply}\r\n" for reply in replies).encode()
        for piece in split(octets) if split else (octets,):
            for reply in self._reader.feed(piece):
                self.exchange.receive(reply)
                if self.exchange.over is not None:
                    self.lose(self.exchange.over)
                    assert self.exchange.pull() == b""
                    return
            self._take()
            self.go()

    def lose(self, failure: Failure = LOST) -> None:
        self.exchange.lost(failure)
        self._take()

    def withdraw(self, number: int) -> bool:
        """As the owner of a connection does it; returns whether it was dropped."""
        drop = self.exchange.withdraw(self.messages[number - 1])
        if drop:
            self.lose()
        return drop

    def _take(self) -> None:
        ended, self.exchange.ended = self.exchange.ended, []
        self.ended += ended

    def play(self, dialogue: str, *, split: Callable[[bytes], Iterable[bytes]] | None = None) -> Talk:
        """Go on with a dialogue; fails where it is not followed."""
        self.go()
        for side, words in turns(dialogue):
            if side == "C":
                assert self.written == b"".join(map(self._octets, words))
                self.written = b""
            elif side == "S":
                self.hear(*words, split=split)
            else:
                assert self.outcome() == words
        assert self.written == b""
        return self

    def _octets(self, words: str) -> bytes:
        if match := re.fullmatch(r"MAIL (\d)|RCPT (\w)|BDAT (\d)|content (\d)", words):
            sender, recipient, size, content = match.groups()
            if content:
                return self._content(int(content))
            words = f"MAIL FROM:<{sender}@example.org>" if sender else f"RCPT TO:<{recipient}@example.org>"
            if size:
                words = f"BDAT {self.messages[int(size) - 1].submission.content.size} LAST"
        return words.encode() + b"\r\n"

    def _content(self, number: int) -> bytes:
        data = self.messages[number - 1].submission.content.data
        if self._chunking:
            return data
        lines = data.splitlines(keepends=True)
        return b"".join([b"." + line if line.startswith(b".") else line for line in lines])

    def outcome(self) -> list[str]:
        """What became of the messages that were begun, and of the connection."""
        assert len(set(map(id, self.ended))) == len(self.ended)
        states = [f"{number} {self._state(it)}" for number, it in enumerate(self.messages, 1)]
        states = states[: len(self.begun)]
        if self.exchange.over is not None:
            assert not self.exchange.hungry
            assert self.exchange.idle
            return [*states, "over"]
        return [*states, "idle" if self.exchange.idle else "busy"]

    def _state(self, transaction: Transaction) -> str:
        if transaction not in self.ended:
            return f"at {transaction.phase.value}"
        refused = {who[0]: reply.code for who, reply in transaction.refused.items()}
        words = [f"refused {who} {code}" for who, code in refused.items()]
        words += [f"left {box.text[0]}" for box in transaction.left]
        failure = transaction.failure
        if failure is None:
            assert transaction.phase is Phase.DONE
            assert transaction.reply is not None
            said = "done " + "".join(who[0] for who in transaction.accepted)
        else:
            assert transaction.phase is not Phase.DONE
            said = f"{failure.phase.value} {failure.reply.code if failure.reply else failure.cause.value}"
        return ", ".join((said, *words))


def turns(dialogue: str) -> Iterator[tuple[str, list[str]]]:
    """(side, what it says), with the lines of one side put together."""
    side, said = "", list[str]()
    for line in filter(None, map(str.strip, dialogue.splitlines())):
        speaker, words = line[0], line[2:].split("|")
        if speaker != side and side:
            yield side, said
            said = []
        side = speaker
        said += map(str.strip, words)
    yield side, said


def lines(octets: bytes) -> Iterable[bytes]:
    return octets.splitlines(keepends=True)


def single(octets: bytes) -> Iterable[bytes]:
    return (bytes([octet]) for octet in octets)


EVERY_SPLIT = pytest.mark.parametrize(
    "split", [None, lines, single], ids=["at once", "line by line", "octet by octet"]
)

GOOD = {
    "nothing offered": (
        LOCKSTEP,
        ("ab", "c"),
        """
        C: MAIL 1
        S: 250 2.1.0 ok
        C: RCPT a
        S: 250 2.1.5 ok
        C: RCPT b
        S: 251 2.1.5 will forward
        C: DATA
        S: 354 go on
        C: content 1 | .
        S: 250 2.0.0 queued
        C: MAIL 2
        S: 250-2.1.0 one
        S: 250 2.1.0 two
        C: RCPT c
        S: 252 will try
        C: DATA
        S: 354
        C: content 2 | .
        S: 250
        = 1 done ab | 2 done c | idle
        """,
    ),
    "PIPELINING, one message: two writes": (
        PIPE,
        ("ab",),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 250 ok | 250 ok | 250 ok | 354 go on
        C: content 1 | .
        S: 250 queued
        = 1 done ab | idle
        """,
    ),
    "PIPELINING, several: the next envelope rides behind the content": (
        PIPE,
        ("ab", "c", "a"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 250 ok | 250 ok | 250 ok | 354 go on
        C: content 1 | . | MAIL 2 | RCPT c | DATA
        S: 250 queued | 250 ok | 250 ok | 354 go on
        C: content 2 | . | MAIL 3 | RCPT a | DATA
        S: 250-queued | 250 as two | 250 ok | 250-o | 250 k | 354 go on
        C: content 3 | .
        S: 250 queued
        = 1 done ab | 2 done c | 3 done a | idle
        """,
    ),
    "CHUNKING": (
        CHUNK,
        ("ab", "c"),
        """
        C: MAIL 1
        S: 250 ok
        C: RCPT a
        S: 250 ok
        C: RCPT b
        S: 250 ok
        C: BDAT 1 | content 1
        S: 250 queued
        C: MAIL 2
        S: 250 ok
        C: RCPT c
        S: 250 ok
        C: BDAT 2 | content 2
        S: 250 queued
        = 1 done ab | 2 done c | idle
        """,
    ),
    "CHUNKING and PIPELINING": (
        BOTH,
        ("ab", "c", "a"),
        """
        C: MAIL 1 | RCPT a | RCPT b
        S: 250 ok | 250 ok | 250 ok
        C: BDAT 1 | content 1 | RSET | MAIL 2 | RCPT c
        S: 250 queued | 250 reset | 250 ok | 250 ok
        C: BDAT 2 | content 2 | RSET | MAIL 3 | RCPT a
        S: 250 queued | 250 reset | 250 ok | 250 ok
        C: BDAT 3 | content 3
        S: 250 queued
        = 1 done ab | 2 done c | 3 done a | idle
        """,
    ),
}

REFUSALS = {
    "MAIL refused in lock-step: nothing more of it, and no RSET": (
        LOCKSTEP,
        ("ab", "c"),
        """
        C: MAIL 1
        S: 501 5.1.7 no
        C: MAIL 2
        S: 250
        C: RCPT c
        = 1 MAIL 501 | 2 at RCPT | busy
        """,
    ),
    "MAIL refused for now, with CHUNKING": (
        CHUNK,
        ("ab", "c"),
        """
        C: MAIL 1
        S: 451 4.3.0 later
        C: MAIL 2
        S: 250
        C: RCPT c
        = 1 MAIL 451 | 2 at RCPT | busy
        """,
    ),
    "MAIL refused, PIPELINING": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 501 5.1.7 no | 503 no MAIL | 503 no MAIL | 503 no MAIL
        C: MAIL 2 | RCPT c | DATA
        S: 250 | 250 | 354
        C: content 2 | .
        S: 250
        = 1 MAIL 501 | 2 done c | idle
        """,
    ),
    "MAIL refused by Postfix": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 501 5.1.7 Bad sender address syntax
        S: 503 5.5.1 Error: need MAIL command | 503 5.5.1 Error: need MAIL command
        S: 554 5.5.1 Error: no valid recipients
        C: MAIL 2 | RCPT c | DATA
        S: 250 2.1.0 Ok | 250 2.1.5 Ok | 354 End data with <CR><LF>.<CR><LF>
        C: content 2 | .
        S: 250 2.0.0 Ok: queued as 4711
        = 1 MAIL 501 | 2 done c | idle
        """,
    ),
    "MAIL refused while it rides": (
        PIPE,
        ("a", "b", "c"),
        """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250 | 354
        C: content 1 | . | MAIL 2 | RCPT b | DATA
        S: 250 | 450 later | 503 | 503
        C: MAIL 3 | RCPT c | DATA
        S: 250 | 250 | 354
        C: content 3 | .
        S: 250
        = 1 done a | 2 MAIL 450 | 3 done c | idle
        """,
    ),
    "MAIL refused while it rides, CHUNKING": (
        BOTH,
        ("a", "b", "c"),
        """
        C: MAIL 1 | RCPT a
        S: 250 | 250
        C: BDAT 1 | content 1 | RSET | MAIL 2 | RCPT b
        S: 250 | 250 | 550 5.7.1 no | 503
        C: MAIL 3 | RCPT c
        S: 250 | 250
        C: BDAT 3 | content 3
        S: 250
        = 1 done a | 2 MAIL 550 | 3 done c | idle
        """,
    ),
    "one recipient refused": (
        PIPE,
        ("abc",),
        """
        C: MAIL 1 | RCPT a | RCPT b | RCPT c | DATA
        S: 250 | 550 5.1.1 no | 250 | 450 4.2.0 later | 354
        C: content 1 | .
        S: 250
        = 1 done b, refused a 550, refused c 450 | idle
        """,
    ),
    "all recipients refused in lock-step: RSET before the next MAIL": (
        LOCKSTEP,
        ("ab", "c"),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 550 5.1.1 no
        C: RCPT b
        S: 450 4.2.0 later
        C: RSET
        S: 250
        C: MAIL 2
        = 1 RCPT 450, refused a 550, refused b 450 | 2 at MAIL | busy
        """,
    ),
    "all recipients refused, and DATA too": (
        PIPE,
        ("ab", "c", "d"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 250 | 550 no | 551 no | 554 no valid recipients
        C: RSET | MAIL 2 | RCPT c | DATA
        S: 250 | 250 | 250 | 354
        C: content 2 | . | MAIL 3 | RCPT d | DATA
        S: 250 | 250 | 250 | 354
        C: content 3 | .
        S: 250
        = 1 RCPT 550, refused a 550, refused b 551 | 2 done c | 3 done d | idle
        """,
    ),
    "all recipients refused with CHUNKING": (
        BOTH,
        ("a", "b", "c"),
        """
        C: MAIL 1 | RCPT a
        S: 250 | 250
        C: BDAT 1 | content 1 | RSET | MAIL 2 | RCPT b
        S: 250 | 250 | 250 | 550 no
        C: RSET | MAIL 3 | RCPT c
        S: 250 | 250 | 250
        C: BDAT 3 | content 3
        S: 250
        = 1 done a | 2 RCPT 550, refused b 550 | 3 done c | idle
        """,
    ),
    "a content for nobody is awaited: a lone dot": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 250 | 550 no | 550 no | 354 go on
        C: .
        S: 554 5.5.1 no valid recipients
        C: RSET | MAIL 2 | RCPT c | DATA
        S: 250 | 250 | 250 | 354
        C: content 2 | .
        S: 250
        = 1 RCPT 550, refused a 550, refused b 550 | 2 done c | idle
        """,
    ),
    "a content for nobody is awaited although MAIL was refused: a lone dot, and whatever it says": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 451 later | 503 | 503 | 354 go on
        C: .
        S: 250 thank you
        C: MAIL 2 | RCPT c | DATA
        S: 250
        = 1 MAIL 451 | 2 at RCPT | busy
        """,
    ),
    "MAIL refused, a recipient accepted, and DATA: nobody knows whom a dot would reach": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 451 later | 503 | 250 | 354 go on
        = 1 MAIL 451 | over
        """,
    ),
    "DATA refused for now": (
        PIPE,
        ("ab", "c"),
        """
        C: MAIL 1 | RCPT a | RCPT b | DATA
        S: 250 | 250 | 550 | 451 4.3.1 later
        C: RSET | MAIL 2 | RCPT c | DATA
        S: 250
        = 1 DATA 451, refused b 550 | 2 at MAIL | busy
        """,
    ),
    "DATA refused for ever, in lock-step": (
        LOCKSTEP,
        ("a", "c"),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 250
        C: DATA
        S: 554 5.7.1 no
        C: RSET
        S: 250
        C: MAIL 2
        = 1 DATA 554 | 2 at MAIL | busy
        """,
    ),
    "the content refused: the next envelope comes to no harm": (
        PIPE,
        ("a", "b"),
        """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250 | 354
        C: content 1 | . | MAIL 2 | RCPT b | DATA
        S: 554 5.6.0 spam | 250 | 250 | 354
        C: content 2 | .
        S: 451 4.3.0 later
        = 1 final dot 554 | 2 final dot 451 | idle
        """,
    ),
    "the content refused in lock-step: no RSET, the dot ended it": (
        LOCKSTEP,
        ("a", "b"),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 250
        C: DATA
        S: 354
        C: content 1 | .
        S: 554 5.6.0 spam
        C: MAIL 2
        = 1 final dot 554 | 2 at MAIL | busy
        """,
    ),
    "BDAT refused with an envelope behind it, which brings its RSET": (
        BOTH,
        ("a", "b"),
        """
        C: MAIL 1 | RCPT a
        S: 250 | 250
        C: BDAT 1 | content 1 | RSET | MAIL 2 | RCPT b
        S: 554 5.6.0 spam | 250 | 250 | 250
        C: BDAT 2 | content 2
        S: 250
        = 1 final dot 554 | 2 done b | idle
        """,
    ),
    "BDAT refused with nothing behind it: RSET before the next MAIL": (
        CHUNK,
        ("a", "b"),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 250
        C: BDAT 1 | content 1
        S: 451 4.3.0 later
        C: RSET
        S: 250
        C: MAIL 2
        S: 250
        C: RCPT b
        = 1 final dot 451 | 2 at RCPT | busy
        """,
    ),
    "RSET refused": (
        BOTH,
        ("a", "b"),
        """
        C: MAIL 1 | RCPT a
        S: 250 | 550
        C: RSET | MAIL 2 | RCPT b
        S: 500 what?
        = 1 RCPT 550, refused a 550 | 2 MAIL unexpected-reply | over
        """,
    ),
    "452 4.5.3 leaves recipients for another transaction": (
        PIPE,
        ("abc",),
        """
        C: MAIL 1 | RCPT a | RCPT b | RCPT c | DATA
        S: 250 | 250 | 452 4.5.3 too many recipients | 452 4.2.2 mailbox full | 354
        C: content 1 | .
        S: 250
        = 1 done a, refused b 452, refused c 452, left b | idle
        """,
    ),
    "a bare 452, and 552 5.5.3, do as well; a bare 552 does not": (
        LOCKSTEP,
        ("abcd",),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 452 too many
        C: RCPT b
        S: 250
        C: RCPT c
        S: 552 5.5.3 too many
        C: RCPT d
        S: 552 mailbox full
        C: DATA
        S: 354
        C: content 1 | .
        S: 250
        = 1 done b, refused a 452, refused c 552, refused d 552, left a, left c | idle
        """,
    ),
    "nobody is left for another transaction where nobody was accepted": (
        BOTH,
        ("ab",),
        """
        C: MAIL 1 | RCPT a | RCPT b
        S: 250 | 452 4.5.3 too many | 552 5.5.3 too many
        = 1 RCPT 452, refused a 452, refused b 552 | idle
        """,
    ),
    "354 to MAIL": (
        PIPE,
        ("a",),
        """
        C: MAIL 1 | RCPT a | DATA
        S: 354 | 250 | 354
        = 1 MAIL 354 | over
        """,
    ),
    "354 to RCPT": (
        BOTH,
        ("ab",),
        """
        C: MAIL 1 | RCPT a | RCPT b
        S: 250 | 250 | 354
        = 1 RCPT 354 | over
        """,
    ),
    "250 to DATA": (
        PIPE,
        ("a",),
        """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250 | 250
        = 1 DATA 250 | over
        """,
    ),
    "334 to DATA": (
        LOCKSTEP,
        ("a",),
        """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 250
        C: DATA
        S: 334
        = 1 DATA 334 | over
        """,
    ),
    "354 to the final dot: in doubt; what rides behind it is not": (
        PIPE,
        ("a", "b"),
        """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250 | 354
        C: content 1 | . | MAIL 2 | RCPT b | DATA
        S: 354 once more
        = 1 final dot 354 | 2 MAIL 354 | over
        """,
    ),
}


def talk_of(offered: tuple[str, ...], recipients: Sequence[str], *, size: int = 0) -> Talk:
    messages = [mail(number, letters, size=size) for number, letters in enumerate(recipients, 1)]
    return Talk(*messages, offered=offered)


@EVERY_SPLIT
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
@pytest.mark.parametrize(("offered", "recipients", "dialogue"), GOOD.values(), ids=GOOD)
def test_messages_are_accepted(
    offered: tuple[str, ...],
    recipients: Sequence[str],
    dialogue: str,
    size: int,
    split: Callable[[bytes], Iterable[bytes]],
) -> None:
    talk = talk_of(offered, recipients, size=size).play(dialogue, split=split)
    assert talk.ended == list(talk.messages)


@EVERY_SPLIT
@pytest.mark.parametrize(("offered", "recipients", "dialogue"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_harms_nobody_else(
    offered: tuple[str, ...],
    recipients: Sequence[str],
    dialogue: str,
    split: Callable[[bytes], Iterable[bytes]],
) -> None:
    talk_of(offered, recipients).play(dialogue, split=split)


# What may happen at each moment of a dialogue that goes well.


class Moment:
    """So much of a dialogue has been heard: `so_far`; and `reply` is what would be heard now, if anything.

    `phases` says how far each message got that was begun, `unanswered` how many replies are due.
    """

    def __init__(self, offered: tuple[str, ...], recipients: Sequence[str]) -> None:
        self.offered, self.recipients = offered, recipients
        self.so_far = ""
        self.reply = ""
        self.phases: dict[int, Phase] = {}
        self._due: deque[tuple[int, Phase | None]] = deque()

    @property
    def unanswered(self) -> int:
        return len(self._due)

    def talk(self) -> Talk:
        return talk_of(self.offered, self.recipients).play(self.so_far)

    def with_reply(self) -> Moment:
        moment = Moment(self.offered, self.recipients)
        moment.so_far, moment.phases, moment._due = self.so_far, dict(self.phases), deque(self._due)
        moment.add("S", self.reply)
        return moment

    def add(self, side: str, words: str) -> None:
        self.so_far += f"{side}: {words}\n"
        if side == "S":
            number, phase = self._due.popleft()
            if phase is not None:
                self.phases[number] = phase
        elif words != ".":
            self._said(words)

    def _said(self, words: str) -> None:
        verb, _, argument = words.partition(" ")
        number = int(argument) if verb in ("MAIL", "content") else max(self.phases, default=1)
        ready = Phase.CONTENT if "CHUNKING" in self.offered else Phase.DATA
        if verb == "content":
            self.phases[number] = Phase.FINAL_DOT
        elif verb == "MAIL":
            self.phases[number] = Phase.MAIL
        last = argument == self.recipients[number - 1][-1]
        follows = {
            "RSET": None,
            "MAIL": Phase.RCPT,
            "RCPT": ready if last else Phase.RCPT,
            "DATA": Phase.CONTENT,
            "content": Phase.DONE,
        }
        if verb in follows:
            self._due.append((number, follows[verb]))


def moments(offered: tuple[str, ...], recipients: Sequence[str], dialogue: str) -> Iterator[Moment]:
    """Before each of the replies, and at the end."""
    moment = Moment(offered, recipients)
    for side, words in turns(dialogue):
        for word in words:
            if side == "S" and word[3:4] != "-":
                moment.reply = word
                yield moment
                moment = moment.with_reply()
            elif side == "C":
                moment.add(side, word)
    yield moment


MOMENTS = {f"{name}, {nth}": it for name, case in GOOD.items() for nth, it in enumerate(moments(*case))}
EVERY_MOMENT = pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
EVERY_REPLY = pytest.mark.parametrize(
    "moment",
    [pytest.param(moment, id=name) for name, moment in MOMENTS.items() if moment.reply],
)


def check_ends(talk: Talk, phases: dict[int, Phase]) -> list[Failure]:
    """Every message that was begun ended once, in its phase. Returns the failures."""
    begun = [talk.messages[number - 1] for number in phases]
    assert talk.begun == begun
    assert sorted(map(id, talk.ended)) == sorted(map(id, begun))
    failures = [it.failure for it in begun if it.failure is not None]
    assert [it.phase for it in failures] == [it for it in phases.values() if it is not Phase.DONE]
    assert [it.failure is None for it in begun] == [it is Phase.DONE for it in phases.values()]
    assert talk.exchange.idle
    assert not talk.exchange.hungry
    assert talk.exchange.pull() == b""
    assert talk.exchange.awaited is None
    return failures


@EVERY_MOMENT
def test_a_connection_that_is_lost_ends_everything_once_in_its_phase(moment: Moment) -> None:
    talk = moment.talk()
    assert [it.phase for it in talk.begun] == list(moment.phases.values())
    talk.lose()
    talk.lose(Failure(Phase.WAITING, Cause.NO_REPLY))  # what is told first counts
    for failure in check_ends(talk, moment.phases):
        assert failure.cause is Cause.LOST
        assert (judge(failure) is Verdict.IN_DOUBT) is (failure.phase is Phase.FINAL_DOT)


@EVERY_MOMENT
def test_a_421_ends_everything_at_every_moment(moment: Moment) -> None:
    talk = moment.talk()
    talk.hear("421 4.3.2 shutting down")
    for failure in check_ends(talk, moment.phases):
        assert failure == Failure.of_reply(failure.phase, Reply(421, "4.3.2", "shutting down"))
        assert judge(failure) is Verdict.RETRY_LATER


@EVERY_REPLY
def test_a_421_behind_a_reply_ends_everything_too(moment: Moment) -> None:
    talk = moment.talk()
    talk.hear(moment.reply, "421 4.3.2 shutting down")
    for failure in check_ends(talk, moment.with_reply().phases):
        assert failure == Failure.of_reply(failure.phase, Reply(421, "4.3.2", "shutting down"))
    assert talk.written == b""


@EVERY_REPLY
def test_what_fits_no_question_ends_everything(moment: Moment) -> None:
    talk = moment.talk()
    talk.hear("250 ok" if moment.reply.startswith("354") else "354 go on")
    for failure in check_ends(talk, moment.phases):
        assert failure.cause is Cause.SURPRISE
        assert (judge(failure) is Verdict.IN_DOUBT) is (failure.phase is Phase.FINAL_DOT)
    assert talk.written == b""


@pytest.mark.parametrize("surplus", ["250 ok", "354 go on", "550 no"])
@pytest.mark.parametrize(
    "moment",
    [pytest.param(moment, id=name) for name, moment in MOMENTS.items() if moment.unanswered == 1],
)
def test_one_reply_more_than_there_are_commands_ends_everything(moment: Moment, surplus: str) -> None:
    talk = moment.talk()
    talk.hear(moment.reply, surplus)
    for failure in check_ends(talk, moment.with_reply().phases):
        answers_content = failure.phase is Phase.CONTENT and surplus == "550 no"
        assert failure.cause is (Cause.REFUSED_PERMANENT if answers_content else Cause.SURPRISE)
    assert talk.written == b""


@EVERY_MOMENT
def test_a_message_is_given_up_and_the_others_come_to_no_harm(moment: Moment) -> None:
    under_way = {number: phase for number, phase in moment.phases.items() if phase is not Phase.DONE}
    for number, phase in under_way.items():
        talk = moment.talk()
        others = {other for other in under_way.items() if other[0] != number}
        waits = Phase.FINAL_DOT in dict(others).values()
        assert talk.withdraw(number) is not waits
        phases = moment.phases
        if waits:
            phases = moment.with_reply().phases
            talk.go()
            assert not talk.exchange.hungry
            talk.hear(moment.reply)
        failures = check_ends(talk, phases)
        assert [failure.phase for failure in failures if judge(failure) is Verdict.IN_DOUBT] == (
            [Phase.FINAL_DOT] if phase is Phase.FINAL_DOT else []
        )
        assert Failure(phase, Cause.LOST, "given up") in failures
        assert talk.written == b""


@GOES_ON
@pytest.mark.parametrize("reply", ["250 queued", "554 spam", "451 later", "421 bye", "354 hm"])
def test_whatever_becomes_of_the_committed_one_what_was_given_up_behind_it_is_not_sent(
    offered: tuple[str, ...], reply: str
) -> None:
    talk = talk_of(offered, ("a", "b", "c")).play(UP_TO_CONTENT[offered])
    assert not talk.withdraw(2)
    assert not talk.withdraw(2)
    talk.hear(reply, "250 ok", "250 ok")
    end = "done a" if reply.startswith("250") else f"final dot {reply[:3]}"
    assert talk.outcome() == [f"1 {end}", "2 MAIL connection-lost", "over"]
    assert talk.written == b""


UP_TO_CONTENT = {
    PIPE: """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250 | 354
        C: content 1 | . | MAIL 2 | RCPT b | DATA
    """,
    BOTH: """
        C: MAIL 1 | RCPT a
        S: 250 | 250
        C: BDAT 1 | content 1 | RSET | MAIL 2 | RCPT b
    """,
}
ENVELOPE = {
    LOCKSTEP: """
        C: MAIL 1
        S: 250
        C: RCPT a
        S: 250
        C: DATA
    """,
    PIPE: """
        C: MAIL 1 | RCPT a | DATA
        S: 250 | 250
    """,
    CHUNK: """
        C: MAIL 1
        S: 250
        C: RCPT a
    """,
    BOTH: """
        C: MAIL 1 | RCPT a
        S: 250
    """,
}
"""Up to the reply that lets the content leave."""


def go_ahead(offered: tuple[str, ...]) -> str:
    return "250 ok" if "CHUNKING" in offered else "354 go on"


@GOES_ON
def test_nothing_is_said_of_what_was_given_up_before_it_was_said(offered: tuple[str, ...]) -> None:
    """The next one is begun when the first is committed, and given up before anything was pulled."""
    talk = talk_of(offered, ("a",)).play(UP_TO_CONTENT[offered].split("| MAIL")[0].removesuffix("| RSET "))
    second = mail(2)
    assert talk.exchange.hungry
    talk.exchange.begin(second)
    assert not talk.exchange.withdraw(second)
    assert talk.exchange.pull() == b""
    talk.hear("250 queued")
    assert talk.ended == [talk.messages[0], second]
    assert talk.messages[0].failure is None


# Contents.


@EVERY_SERVER
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_content_that_is_small_enough_travels_with_what_commits_it(
    offered: tuple[str, ...], beyond: int
) -> None:
    talk = talk_of(offered, ("a",), size=AT_ONCE + beyond)
    assert talk.messages[0].submission.content.size == AT_ONCE + beyond
    talk.play(ENVELOPE[offered])
    talk.room = 0
    talk.hear(go_ahead(offered))
    first = talk.exchange.pull()
    divided = beyond > 0
    assert (talk.messages[0].phase is Phase.CONTENT) is divided
    assert first.endswith(b"\r\n") is not (divided and "CHUNKING" in offered)
    assert first.endswith(b"\r\n.\r\n") is not (divided or "CHUNKING" in offered)
    talk.written, talk.room = first, math.inf
    talk.go()
    talk.play(
        f"C: {'BDAT 1 | content 1' if 'CHUNKING' in offered else 'content 1 | .'}\nS: 250\n= 1 done a | idle"
    )


@EVERY_SERVER
def test_a_big_content_flows_block_by_block_and_nothing_else_before_its_end(offered: tuple[str, ...]) -> None:
    talk = talk_of(offered, ("a",), size=BIG).play(ENVELOPE[offered])
    talk.room = 0
    talk.hear(go_ahead(offered))
    message = talk.messages[0]
    pulled: list[bytes] = []
    while message.phase is Phase.CONTENT:
        assert talk.exchange.awaited == (Phase.CONTENT, message)
        assert talk.exchange.hungry is (sum(map(len, pulled)) >= BIG and "PIPELINING" in offered)
        pulled.append(talk.exchange.pull())
    assert talk.exchange.awaited == (Phase.FINAL_DOT, message)
    assert len(pulled) >= 4
    assert max(map(len, pulled)) < 80_000
    assert pulled[-1] == (b"\r\n" if "CHUNKING" in offered else b".\r\n")


@GOES_ON
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
def test_the_next_envelope_leaves_in_one_write_with_what_commits(offered: tuple[str, ...], size: int) -> None:
    talk = talk_of(offered, ("a", "b"), size=size).play(ENVELOPE[offered])
    talk.room = 0
    talk.hear(go_ahead(offered))
    while talk.messages[0].phase is Phase.CONTENT:
        talk.written, talk.room = b"", 1
        talk.go()
    if size:  # or in one of its own behind it: then it is known whether what commits has left
        commits, talk.room = talk.written, 1
        talk.go()
        assert commits == (b"\r\n" if "CHUNKING" in offered else b".\r\n")
    commit = "\r\n" if "CHUNKING" in offered else ".\r\n"
    envelope = "MAIL FROM:<2@example.org>\r\nRCPT TO:<b@example.org>\r\n"
    envelope = f"RSET\r\n{envelope}" if "CHUNKING" in offered else f"{envelope}DATA\r\n"
    assert talk.written.endswith((commit + envelope).encode())
    assert not size or talk.written == (commit + envelope).encode()


@EVERY_SERVER
@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize(
    ("reply", "end"),
    [("552 5.3.4 too big", "content 552"), ("451 4.3.1 no", "content 451"), ("250 ok", "content 250")],
)
def test_a_big_content_that_is_refused_before_its_end_is_not_committed(
    offered: tuple[str, ...], blocks: int, reply: str, end: str
) -> None:
    talk = talk_of(offered, ("a", "b"), size=BIG).play(ENVELOPE[offered])
    talk.room = blocks
    talk.hear(go_ahead(offered))
    written, talk.written, talk.room = talk.written, b"", math.inf
    assert len(written) < BIG
    talk.hear(reply)
    assert talk.outcome() == [f"1 {end}", "over"]
    assert talk.written == b""


@EVERY_SERVER
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
def test_the_hook_is_called_once_when_only_what_commits_is_left(offered: tuple[str, ...], size: int) -> None:
    calls: list[int] = []
    talk = Talk(mail(1, size=size, hook=lambda: calls.append(len(talk.written))), offered=offered)
    talk.play(ENVELOPE[offered])
    talk.hear(go_ahead(offered))
    commit = b"\r\n" if "CHUNKING" in offered else b".\r\n"
    assert calls == [len(talk.written) - len(commit) if size else 0]
    talk.hear("250")
    assert talk.outcome() == ["1 done a", "idle"]


@EVERY_SERVER
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
def test_nothing_that_commits_leaves_when_the_hook_says_no(offered: tuple[str, ...], size: int) -> None:
    def no() -> NoReturn:
        raise RuntimeError

    talk = Talk(mail(1, size=size, hook=no), mail(2), offered=offered)
    talk.play(ENVELOPE[offered])
    with pytest.raises(RuntimeError):
        talk.hear(go_ahead(offered))
    whole = b"".join(
        map(talk._octets, ["BDAT 1", "content 1"] if "CHUNKING" in offered else ["content 1", "."])
    )
    commit = b"\r\n" if "CHUNKING" in offered else b".\r\n"
    assert talk.written == (whole.removesuffix(commit) if size else b"")
    assert talk.exchange.awaited == (Phase.CONTENT, talk.messages[0])
    talk.lose()
    rode = ["2 MAIL connection-lost"] if "PIPELINING" in offered else []
    assert talk.outcome() == ["1 content connection-lost", *rode, "over"]
    assert talk.exchange.pull() == b""


@EVERY_SERVER
def test_nothing_that_commits_leaves_when_the_hook_drops_the_connection(offered: tuple[str, ...]) -> None:
    talk = Talk(mail(1, hook=lambda: talk.exchange.lost(LOST)), offered=offered)
    talk.play(ENVELOPE[offered])
    talk.hear(go_ahead(offered))
    assert talk.written == b""
    assert talk.outcome() == ["1 content connection-lost", "over"]


class Unreadable:
    """What was readable when the message was checked."""

    size, eight_bit, dotted = 100, False, True

    def blocks(self) -> Iterator[bytes]:
        raise ContentError("the file was changed")


@EVERY_SERVER
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
def test_a_content_that_cannot_be_read_any_more_is_not_committed(offered: tuple[str, ...], size: int) -> None:
    hooks: list[str] = []
    message = mail(1, size=size, hook=lambda: hooks.append("called"))
    whole = message.submission.content
    broken = Content(
        pieces=(*whole.pieces, Unreadable()),
        size=whole.size + Unreadable.size,
        message_id=whole.message_id,
        needs_smtputf8=False,
        needs_8bitmime=False,
    )
    message.submission = Submission(message.submission.envelope, broken)
    talk = Talk(message, offered=offered).play(ENVELOPE[offered])
    with pytest.raises(ContentError):
        talk.hear(go_ahead(offered))
    assert (len(talk.written) > 64 * 1024) if size else (talk.written == b"")
    assert talk.exchange.awaited == (Phase.CONTENT, message)
    talk.lose()
    assert talk.outcome() == ["1 content connection-lost", "over"]
    assert hooks == []


# What is found before anything is said, and what is said first.


@EVERY_SERVER
@pytest.mark.parametrize(
    ("submission", "cause"),
    [
        pytest.param(
            Submission.of(filled(1, size=2000), sender="1@example.org", recipients=["a@example.org"]),
            Cause.TOO_LARGE,
            id="SIZE",
        ),
        pytest.param(
            Submission.of(filled(1, size=0) + b"\xe4", sender="1@example.org", recipients=["a@example.org"]),
            Cause.EXTENSION_MISSING,
            id="8BITMIME",
        ),
        pytest.param(
            Submission.of(filled(1, size=0), sender="1@example.org", recipients=["\xe4@example.org"]),
            Cause.EXTENSION_MISSING,
            id="SMTPUTF8",
        ),
    ],
)
def test_what_the_server_cannot_carry_ends_before_anything_is_said_and_the_next_one_begins(
    offered: tuple[str, ...], submission: Submission, cause: Cause
) -> None:
    refused = Transaction(submission, deadline=Deadline(Timeouts()), anonymous=False)
    talk = Talk(refused, mail(2), offered=(*offered, "SIZE 1000"))
    talk.go()
    size = talk.messages[1].submission.content.size
    assert talk.written.startswith(f"MAIL FROM:<2@example.org> SIZE={size}\r\n".encode())
    assert refused.failure is not None
    assert (refused.failure.phase, refused.failure.cause) == (Phase.MAIL, cause)
    assert talk.ended == [refused]
    assert refused.phase is Phase.WAITING


@GOES_ON
def test_what_cannot_be_carried_does_not_ride(offered: tuple[str, ...]) -> None:
    talk = Talk(mail(1), mail(2, size=2000), mail(3, "b"), offered=(*offered, "SIZE 1000"))
    talk.play(ENVELOPE[offered].replace("MAIL 1", f"MAIL FROM:<1@example.org> SIZE={SMALL}"))
    talk.play(f"""
        S: {go_ahead(offered)}
        C: {"BDAT 1 | content 1 | RSET" if "CHUNKING" in offered else "content 1 | ."}
        C: MAIL FROM:<3@example.org> SIZE={SMALL} | RCPT b {"" if "CHUNKING" in offered else "| DATA"}
        = 1 at final dot | 2 MAIL too-large | 3 at MAIL | busy
    """)


SMALL = len(filled(1, size=0))


def test_a_server_that_only_knows_helo_is_served() -> None:
    talk = Talk(mail(1))
    talk.exchange = Exchange(Extensions())
    talk.play(ENVELOPE[LOCKSTEP] + "S: 354\nC: content 1 | .\nS: 250\n= 1 done a | idle")


@EVERY_SERVER
def test_the_null_reverse_path(offered: tuple[str, ...]) -> None:
    bounce = Submission.of(filled(1, size=0), sender="", recipients=["a@example.org"])
    talk = Talk(Transaction(bounce, deadline=Deadline(Timeouts()), anonymous=False), offered=offered)
    talk.play(ENVELOPE[offered].replace("MAIL 1", "MAIL FROM:<>"))


@EVERY_SERVER
def test_the_proof_that_the_server_is_there_is_a_reset(offered: tuple[str, ...]) -> None:
    talk = Talk(mail(1), offered=offered, proof=True)
    envelope = ENVELOPE[offered].strip()
    if "PIPELINING" in offered:
        talk.play(envelope.replace("MAIL 1", "RSET | MAIL 1").replace("S:", "S: 250 |"))
    else:
        talk.play(f"C: RSET\nS: 250\n{envelope}")
    assert talk.exchange.awaited == (Phase.RCPT if "CHUNKING" in offered else Phase.DATA, talk.messages[0])


@EVERY_SERVER
@pytest.mark.parametrize(
    ("reply", "end"), [("421 bye", "421"), ("500 what", "unexpected-reply"), ("354 hm", "unexpected-reply")]
)
def test_a_server_that_does_not_reset_is_left(offered: tuple[str, ...], reply: str, end: str) -> None:
    talk = Talk(mail(1), offered=offered, proof=True)
    talk.go()
    talk.written = b""
    talk.hear(reply)
    assert talk.outcome() == [f"1 MAIL {end}", "over"]
    assert talk.written == b""


@EVERY_SERVER
def test_nothing_is_said_between_a_421_and_the_end(offered: tuple[str, ...]) -> None:
    talk = Talk(mail(1), offered=offered, proof=True)
    talk.go()
    talk.exchange.receive(Reply(421, None, "bye"))
    assert talk.exchange.pull() == b""
    assert not talk.exchange.hungry
    talk.lose()  # the server was first
    assert talk.outcome() == ["1 MAIL 421", "over"]


def test_one_reset_is_enough() -> None:
    talk = Talk(mail(1), mail(2), offered=BOTH)
    talk.play("C: MAIL 1 | RCPT a\nS: 250")
    talk._proof = True
    talk.play("S: 550 no\nC: RSET | MAIL 2 | RCPT a")


@EVERY_SERVER
def test_a_connection_on_which_nothing_was_begun_has_nothing_to_say(offered: tuple[str, ...]) -> None:
    talk = Talk(offered=offered).play("= idle")
    assert talk.exchange.hungry
    assert talk.exchange.awaited is None
    talk.hear("421 4.4.2 idle for too long")
    assert talk.outcome() == ["over"]


@EVERY_SERVER
@pytest.mark.parametrize("size", [0, BIG], ids=["small", "big"])
@pytest.mark.parametrize("unsent", [False, True])
def test_a_message_is_in_doubt_only_if_what_commits_it_is_with_the_kernel(
    offered: tuple[str, ...], size: int, unsent: bool
) -> None:
    talk = talk_of(offered, ("a",), size=size).play(ENVELOPE[offered])
    talk.hear(go_ahead(offered))
    [message] = talk.begun
    assert message.phase is Phase.FINAL_DOT
    talk.exchange.committing = message  # as it is until the machine is asked for more
    talk.exchange.lost(Failure(Phase.WAITING, Cause.LOST), unsent=unsent)
    assert message.failure is not None
    assert (judge(message.failure) is Verdict.IN_DOUBT) is not unsent
