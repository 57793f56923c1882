"""Does a message arrive with the headers that it has, and no other, whatever is put into them?

Payloads times ways of getting them into a message times kinds of messages. The header section of
what a server took is read again, to the letter, and those of all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from email.message import Message
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from unittest.mock import patch

from portmail import composing, folding, generating
from portmail.errors import HeaderError, PortmailError
from tests.proof.addresses import wire
from tests.proof.addresses.wire import Asked, Ear, Sender, Sent, sender_of, sent
from tests.proof.harness.tally import PORTMAIL, Fault, Mutant, Tally, Task
from tests.proof.headers.build import FREE, KINDS, NAME_WAYS, WAYS
from tests.proof.headers.corpus import NAMES, PAYLOADS
from tests.proof.headers.reader import Broken, Entity, decoded, leaves, parameters

TITLE = "headers"

BLANK = frozenset(Fault) - {Fault.INJECTION, Fault.FOREIGN, Fault.WRONG_VERDICT, Fault.HANG}

_HARMLESS = frozenset(
    ("plain text", "Gr\xfc\xdfe", "\u65e5\u672c\u8a9e", "\U0001f600", "x, y <evil@example.com>")
)
"""Payloads that must get through where any text may stand."""

Seen: TypeAlias = tuple[Fault, str]
Patched: TypeAlias = Callable[[], AbstractContextManager[object]]


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """One kind of message for every case, and the others by turns; for portmail also what it composes."""
    step = 10 if quick else 1 if client == PORTMAIL else 4  # peers by a sample
    shares: list[Task] = [partial(_put, client, step, start) for start in range(4 if step == 1 else 1)]
    return [*shares, partial(_composed, step)] if client == PORTMAIL else shares


def _put(client: str, step: int, start: int, patched: Patched = nullcontext) -> Tally:
    """Every payload in every way into messages of several kinds; a quarter of them unless by steps."""
    tally = Tally(blank=BLANK)
    with patched(), sender_of(client) as send:
        for number, (way, payload) in list(enumerate(_cases()))[start :: 4 if step == 1 else step]:
            tally.cases += 1
            for kind in _kinds(number):
                message = KINDS[kind]()
                try:
                    _ALL_WAYS[way](message, payload)
                    names = _names(message)
                except Exception:  # noqa: BLE001, S112  # the standard library lets nobody build it
                    continue
                _run(tally, client, send, message, names=names, case=(way, payload), kind=kind)
    return tally


def _kinds(number: int) -> Sequence[str]:
    new, *others = KINDS
    return new, others[number // 4 % len(others)]


_ALL_WAYS = {**WAYS, **NAME_WAYS}


def _cases() -> Sequence[tuple[str, str]]:
    cases = [(way, payload) for way in WAYS for payload in PAYLOADS]
    return [*cases, *((way, name) for way in NAME_WAYS for name in NAMES)]


def _names(message: Message) -> list[list[str]]:
    """The names of the headers of each part, as they were meant; but of Bcc, which never travels."""
    lower = [[name.lower() for name, _ in part.raw_items()] for part in message.walk()]
    return [sorted(name for name in names if name != "bcc") for names in lower]


def _run(
    tally: Tally,
    client: str,
    send: Sender,
    message: Message,
    *,
    names: list[list[str]],
    case: tuple[str, str],
    kind: str,
) -> None:
    tally.runs += 1
    run = sent(client, send, Asked(message))
    for fault, what in _judged(client, run, names, *case):
        tally.note(fault, f"{client} {case[0]} of {kind}: {case[1][:60]!a}: {what}")


def _judged(client: str, run: Sent, names: list[list[str]], way: str, payload: str) -> Iterator[Seen]:
    must = way in FREE and payload in _HARMLESS
    if run.foreign:
        yield Fault.FOREIGN, repr(run.error)[:200]
    if run.endless:
        yield Fault.HANG, str(run.error)
        return
    if run.error is not None:
        if must and not run.foreign:
            yield Fault.WRONG_VERDICT, f"refused: {str(run.error)[:200]}"
        if client == PORTMAIL and run.ear.lines:
            yield Fault.WRONG_VERDICT, f"refused when {run.ear.lines[:2]} had been said"
        return
    if run.ear.odd or run.ear.bare or len(run.ear.stored) != 1:
        yield Fault.INJECTION, f"a bare CR, LF or NUL, or more than a message: {run.ear.odd[:2]}"
        return
    try:
        parts = leaves(run.ear.stored[0])
    except Broken as exc:
        yield Fault.INJECTION, str(exc)
        return
    yield from _judged_parts(parts, names, way, payload)


def _judged_parts(parts: Sequence[Entity], names: list[list[str]], way: str, payload: str) -> Iterator[Seen]:
    found = [sorted(part.names) for part in parts]
    if found != names:
        odd = [one for one in (*found, *names) if (one in found) != (one in names)]
        yield Fault.INJECTION, f"the headers that left: {odd[:2]}"
        return
    if payload in _HARMLESS and way in ("Subject", "Comments", "X-Custom"):
        text = decoded(parts[0].get(way.lower()))
        if text.split() != payload.split():
            yield Fault.INJECTION, f"left as {text!r}"
    yield from _judged_parameters(parts[-1], way, payload)


def _judged_parameters(part: Entity, way: str, payload: str) -> Iterator[Seen]:
    """A parameter that the library wrote is one, and no more."""
    places = {
        "file name": ("content-disposition", "filename"),
        "add_attachment": ("content-disposition", "filename"),
        "parameter": ("content-type", "name"),
    }
    if way not in places or not payload:  # of an empty one, only the name is written
        return
    field, name = places[way]
    try:
        _, found = parameters(part.get(field))
    except Broken as exc:
        yield Fault.INJECTION, f"{field}: {exc}"
        return
    if found.keys() - {name}:
        yield Fault.INJECTION, f"{field} left with {sorted(found)}"
    elif payload in _HARMLESS and found.get(name) != payload:
        yield Fault.INJECTION, f"{name} left as {found.get(name)!r}"


def _composed(step: int) -> Tally:
    """What portmail makes of texts and files: a subject, a name, a file's name."""
    tally = Tally(blank=BLANK)
    with TemporaryDirectory() as directory, sender_of(PORTMAIL) as send:
        for payload in PAYLOADS[::step]:
            tally.cases += 1
            for way, made in _COMPOSED.items():
                try:
                    message = made(payload, Path(directory))
                except (HeaderError, OSError, UnicodeError):  # it has no file of this name
                    continue
                except Exception as exc:  # noqa: BLE001  # that is what is judged
                    _note_refusal(tally, exc, f"{way}: {payload[:60]!a}")
                    continue
                names = _names(message)
                names[0] = sorted([*names[0], "date", "message-id"])
                _run(tally, PORTMAIL, send, message, names=names, case=(way, payload), kind="compose")
    return tally


def _note_refusal(tally: Tally, exc: Exception, where: str) -> None:
    if not isinstance(exc, PortmailError):
        tally.note(Fault.FOREIGN, f"{PORTMAIL} compose {where}: {exc!r}")


def _of_subject(payload: str, _: Path) -> Message:
    return composing.compose(to="you@example.net", sender="me@example.net", subject=payload)


def _of_sender(payload: str, _: Path) -> Message:
    return composing.compose(to="you@example.net", sender=f"{payload} <me@example.net>", subject="x")


def _of_file(payload: str, directory: Path) -> Message:
    if not payload or "/" in payload or "\0" in payload or payload in (".", ".."):
        raise OSError(payload)
    path = directory / payload
    path.write_bytes(b"\x01\x02")
    return composing.compose(to="you@example.net", sender="me@example.net", subject="x", attachments=path)


_COMPOSED: dict[str, Callable[[str, Path], Message]] = {
    "Subject": _of_subject,
    "display name": _of_sender,
    "file name": _of_file,
}


def mutants() -> Sequence[Mutant]:
    """Checks taken out of portmail, one that crashes, and one that is too strict."""
    return [
        Mutant("lets line ends into headers", Fault.INJECTION, partial(_with_check, _unchecked)),
        Mutant("crashes on what has lines", Fault.FOREIGN, partial(_by, _crash, 40)),
        Mutant("takes nothing but ASCII", Fault.WRONG_VERDICT, partial(_with_check, _only_ascii)),
        Mutant("thinks for ever", Fault.HANG, partial(_by, _endless, 2_000)),
    ]


def _with_check(check: Callable[..., None]) -> Tally:
    def patched() -> AbstractContextManager[object]:
        stack = ExitStack()
        stack.enter_context(patch.object(folding, "check_header", check))
        stack.enter_context(patch.object(generating, "check_same_names", _unchecked))
        return stack

    return _put(PORTMAIL, 7, 0, patched)


def _unchecked(*_: object, **__: object) -> None:
    """Nothing is wrong."""


def _by(client: Sender, step: int) -> Tally:
    return _put(PORTMAIL, step, 0, lambda: patch.object(wire, "by_portmail", client))


def _crash(asked: Asked, _: Ear) -> None:
    raise IndexError(asked)


def _endless(_: Asked, __: Ear) -> None:
    while True:
        pass


def _only_ascii(name: str, *, value: str) -> None:
    if not f"{name}{value}".isascii() or not value.isprintable():
        raise HeaderError(name)
