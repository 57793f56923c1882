"""Does a server store the message that was given, whatever dots and line ends are in it?

All texts of up to seven dots, CRs, LFs, CRLFs and letters, through DATA and through BDAT, and in every
division into two; and the ends of data with which mail is smuggled. The server takes CRLF.CRLF for the
end and nothing else, and the canonical text is worked out here, letter by letter.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeAlias
from unittest.mock import patch

from portmail import canonical
from portmail.canonical import Lines, Piece, blocks_of, octets_of, stuffed_blocks_of, whole_lines
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction
from tests.proof.addresses.wire import OWN, Aiosmtplib, Ear, is_bare, smtplib_at, spoken, unstuffed
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task

TITLE = "end of data"

BLANK = frozenset(Fault) - {Fault.INJECTION, Fault.FALSE_SUCCESS, Fault.FOREIGN, Fault.WRONG_VERDICT}

SYMBOLS = (b".", b"\r", b"\n", b"\r\n", b"a")
_LONGEST, _LONGEST_DIVIDED, _LONGEST_QUICK = 7, 6, 5
"""Symbols; 97,656 texts have seven or fewer, 3,906 five or fewer."""

SMUGGLED = (
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\n\n.\r\n",
)
"""What some server or other has taken for the end of data."""

_EVIL = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<you@example.net>\r\nDATA\r\nX: smuggled\r\n\r\nx\r\n.\r\n"
_HEAD = b"From: me@example.net\r\nTo: you@example.net\r\nDate: 1\r\nMessage-ID: <1@example.net>\r\n\r\n"

Given: TypeAlias = "bytes | str"
Patched: TypeAlias = Callable[[], AbstractContextManager[object]]
Writer: TypeAlias = Callable[[Given, Ear], None]
"""Has a client send a content to a server."""


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Shares by the first symbol of the texts."""
    longest = _LONGEST_QUICK if quick else _LONGEST
    shares: list[Task] = []
    for first in range(len(SYMBOLS)):
        if client == PORTMAIL:
            shares += [partial(_functions, longest, first), partial(_machine, longest - 1, first)]
        else:
            shares.append(partial(_peer, client, longest - 1, first))  # a fifth of them
    return [*shares, partial(_smuggled, client)]


def texts(longest: int, first: int) -> Iterator[bytes]:
    """All texts of so many symbols at most that begin with this one; the empty text is with the first."""
    if first == 0:
        yield b""
    for length in range(longest):
        for symbols in itertools.product(SYMBOLS, repeat=length):
            yield SYMBOLS[first] + b"".join(symbols)


def canonical_form(text: bytes) -> bytes:
    """The text with CRLF for every line end, letter by letter, and with one at its end."""
    made, at = bytearray(), 0
    while at < len(text):
        if text[at : at + 2] == b"\r\n":
            made += b"\r\n"
            at += 2
            continue
        made += b"\r\n" if text[at] in b"\r\n" else text[at : at + 1]
        at += 1
    return bytes(made if made.endswith(b"\r\n") else made + b"\r\n")


def _functions(longest: int, first: int, patched: Patched = nullcontext) -> Tally:
    """What makes contents canonical, divides and stuffs them, put to every text."""
    tally = Tally(blank=BLANK)
    with patched():
        for text in texts(longest, first):
            tally.cases += 1
            wanted = canonical_form(text)
            _judge_whole(tally, text, wanted)
            if len(text) <= _LONGEST_DIVIDED:
                _judge_divided(tally, text, wanted)
    return tally


def _judge_whole(tally: Tally, text: bytes, wanted: bytes) -> None:
    """Through DATA and through BDAT, and as a big text would go: what has whole lines, and the rest."""
    octets = canonical.canonical(text)
    _judge_pieces(tally, (octets,), wanted, repr(text))
    for source in (text, text.decode()):
        lines = whole_lines(source)
        if lines is not None:
            rest = octets_of(source[lines.end :])
            pieces: list[Piece] = [lines, rest + b"\r\n"] if rest else [lines]
            if lines.size or rest:
                _judge_pieces(tally, pieces, wanted, f"{text!r} as {type(source).__name__}, big")


def _judge_pieces(tally: Tally, pieces: Sequence[Piece], wanted: bytes, where: str) -> None:
    tally.runs += 2
    _judge_data(tally, b"".join(stuffed_blocks_of(pieces)) + b".\r\n", wanted, where)
    chunk = b"".join(blocks_of(pieces))
    if is_bare(chunk):
        tally.note(Fault.INJECTION, f"BDAT {where}: {chunk!r}")
    elif chunk != wanted:
        tally.note(Fault.FALSE_SUCCESS, f"BDAT {where}: {chunk!r}")


def _judge_data(tally: Tally, wire: bytes, wanted: bytes, where: str) -> None:
    stored = unstuffed(wire)
    if is_bare(wire) or stored is None or stored[1] != len(wire):
        tally.note(Fault.INJECTION, f"DATA {where}: {wire!r}")
    elif stored[0] != wanted:
        tally.note(Fault.FALSE_SUCCESS, f"DATA {where}: stored {stored[0]!r}")


def _judge_divided(tally: Tally, text: bytes, wanted: bytes) -> None:
    """In two pieces, and in two blocks, at every line's end."""
    for at in range(2, len(wanted), 1):
        if wanted[at - 2 : at] == b"\r\n":
            _judge_pieces(tally, (wanted[:at], wanted[at:]), wanted, f"{text!r} divided at {at}")
            blocks: list[Piece] = [Lines(wanted, 0, at, b"\r\n", at, eight_bit=False), wanted[at:]]
            _judge_pieces(tally, blocks, wanted, f"{text!r} in blocks, divided at {at}")
    wire = b"".join(stuffed_blocks_of((wanted,))) + b".\r\n"
    for at in range(1, len(wire)):
        _judge_heard(tally, wire, at, wanted)


def _judge_heard(tally: Tally, wire: bytes, at: int, wanted: bytes) -> None:
    """The server hears it in two segments."""
    tally.runs += 1
    ear = Ear()
    ear.hear(b"DATA\r\n")
    ear.hear(wire[:at])
    early = bool(ear.stored)
    ear.hear(wire[at:])
    if early or ear.lines != [b"DATA"]:
        tally.note(Fault.INJECTION, f"{wire!r} heard in two at {at}")
    elif ear.stored != [wanted]:
        tally.note(Fault.FALSE_SUCCESS, f"{wire!r} heard in two at {at}: {ear.stored}")


_SERVERS = (("PIPELINING",), ("CHUNKING",))


def _machine(longest: int, first: int) -> Tally:
    """Texts as the bodies of messages, through all that stands between `send` and the wire."""
    tally = Tally(blank=BLANK)
    for text in texts(longest, first):
        tally.cases += 1
        submission = Submission.of(_HEAD + text)
        for offered in _SERVERS:
            wanted = _HEAD + (canonical_form(text) if text else b"")
            _judge_client(
                tally, PORTMAIL, partial(_spoken, submission), text, wanted=wanted, ear=Ear(offered)
            )
    return tally


def _spoken(submission: Submission, _: Given, ear: Ear) -> None:
    spoken(Transaction(submission, deadline=Deadline(Timeouts()), anonymous=True), ear)


def _judge_client(
    tally: Tally, client: str, write: Writer, given: Given, *, wanted: bytes, ear: Ear, refused: bool = False
) -> None:
    tally.runs += 1
    where = f"{client} {given!r} at {'+'.join(ear.offered)}"
    before = len(ear.stored)
    try:
        write(given, ear)
    except OWN[client] as exc:
        if not refused:
            tally.note(Fault.WRONG_VERDICT, f"{where}: refused: {exc}")
        return
    except Exception as exc:  # noqa: BLE001  # that is what is judged
        tally.note(Fault.FOREIGN, f"{where}: {exc!r}")
        return
    if ear.bare or ear.odd or len(ear.stored) != before + 1:
        tally.note(Fault.INJECTION, f"{where}: stored {ear.stored[before:]}, heard {ear.odd[:2]}")
    elif ear.stored[-1] != wanted:
        tally.note(Fault.FALSE_SUCCESS, f"{where}: stored {ear.stored[-1]!r}")


def _peer(client: str, longest: int, first: int) -> Tally:
    """Texts as contents, as `sendmail` hands them to `data`: octets, and for smtplib also text."""
    tally = Tally(blank=BLANK)
    kinds: tuple[Callable[[bytes], Given], ...] = (bytes,) if client == AIOSMTPLIB else (bytes, bytes.decode)
    with _Writers() as writers:
        write = writers.of(client)
        for text in texts(longest, first):
            tally.cases += 1
            for kind in kinds:
                _judge_client(tally, client, write, kind(text), wanted=canonical_form(text), ear=Ear())
    return tally


class _Writers(Aiosmtplib):
    """The peers' ways to write a content."""

    def of(self, client: str) -> Writer:
        return {AIOSMTPLIB: self._by_aiosmtplib, SMTPLIB: _by_smtplib}[client]

    def _by_aiosmtplib(self, given: Given, ear: Ear) -> None:
        self.loop.run_until_complete(self._data(given, ear))

    async def _data(self, given: Given, ear: Ear) -> None:
        client = await self.at(ear)
        await client.data(given)
        await asyncio.sleep(0)


def _by_smtplib(given: Given, ear: Ear) -> None:
    smtplib_at(ear).data(given)


def _smuggled(client: str) -> Tally:
    """Ends that are none, with a transaction behind them. A NUL may be refused, but not sent."""
    tally = Tally(blank=BLANK)
    with _Writers() as writers:
        for end in SMUGGLED:
            tally.cases += 1
            for text in (b"Hello" + end + _EVIL, b"Hello" + end, end + _EVIL, end * 3):
                wanted, refused = canonical_form(text), b"\0" in text
                if client != PORTMAIL:
                    for given in (text,) if client == AIOSMTPLIB else (text, text.decode()):
                        write = writers.of(client)
                        _judge_client(tally, client, write, given, wanted=wanted, ear=Ear(), refused=refused)
                    continue
                for offered in (*_SERVERS, (), ("PIPELINING", "CHUNKING")):
                    write = partial(_submitted, _HEAD + text)
                    ear = Ear(offered)
                    _judge_client(tally, client, write, text, wanted=_HEAD + wanted, ear=ear, refused=refused)
    return tally


def _submitted(octets: bytes, _: Given, ear: Ear) -> None:
    _spoken(Submission.of(octets), b"", ear)


def mutants() -> Sequence[Mutant]:
    """Without stuffing; with line ends as they are; too many dots; one that crashes; one that refuses."""
    return [
        Mutant("stuffs no dots", Fault.INJECTION, partial(_mutated, "_stuffed", bytes)),
        Mutant("leaves line ends alone", Fault.INJECTION, partial(_mutated, "with_line_ends", bytes)),
        Mutant("stuffs every dot", Fault.FALSE_SUCCESS, partial(_mutated, "_stuffed", _every_dot)),
        Mutant("crashes at a dot", Fault.FOREIGN, partial(_sent_by, _crash)),
        Mutant("refuses a dot", Fault.WRONG_VERDICT, partial(_sent_by, _refuse)),
    ]


def _mutated(name: str, replacement: Callable[[bytes], bytes]) -> Tally:
    return _functions(4, 0, lambda: patch.object(canonical, name, replacement)) + _functions(
        4, 3, lambda: patch.object(canonical, name, replacement)
    )


def _every_dot(block: bytes) -> bytes:
    return block.replace(b".", b"..")


def _sent_by(write: Writer) -> Tally:
    tally = Tally(blank=BLANK)
    for text in texts(3, 0):
        _judge_client(tally, PORTMAIL, write, text, wanted=canonical_form(text), ear=Ear())
    return tally


def _crash(given: Given, _: Ear) -> None:
    raise IndexError(given)


def _refuse(given: Given, _: Ear) -> None:
    raise OWN[PORTMAIL][0](given)
