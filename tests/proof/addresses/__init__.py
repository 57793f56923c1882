"""Does every address that leaves stand for what was asked, and does no hostile one leave?

Hundreds of addresses in MAIL and RCPT, and in the From, To, Cc and Reply-To of messages that are
objects new, old and parsed, and octets. What is judged is what a server heard.
"""

from __future__ import annotations

import email
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, Message
from functools import partial
from typing import TypeAlias
from unittest.mock import patch

from portmail import Submitter, envelope
from portmail.errors import AddressError, PortmailError
from tests.proof.addresses.corpus import HOSTILE, VALID, Hostile, Valid
from tests.proof.addresses.wire import (
    EXTENSIONS,
    Asked,
    Sender,
    Sent,
    sender_of,
    sent,
)
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task
from tests.proof.headers.reader import Broken, decoded, entity

TITLE = "addresses"

BLANK = frozenset(Fault) - {Fault.INJECTION, Fault.FOREIGN, Fault.WRONG_VERDICT, Fault.HANG}

ME, YOU = "me@example.net", "you@example.net"
_PARAMETERS = re.compile(rb"( (SIZE=[0-9]+|BODY=8BITMIME|SMTPUTF8))*", re.IGNORECASE)
_PATH = re.compile(rb'<((?:"(?:[^"\\]|\\.)*"|[^>"])*)>', re.DOTALL)
_PATH_AT_LEAST = re.compile(rb"<([^>]*)>")

Address: TypeAlias = Hostile | Valid
Seen: TypeAlias = tuple[Fault, str]
Patched: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes a client defective for as long as it lasts."""

Form: TypeAlias = Callable[[str, str], "Message | bytes"]
"""Writes an address into a header of a message. Raises what the standard library raises."""

_BASE = {"From": ME, "To": YOU, "Cc": "cc@example.net", "Reply-To": "reply@example.net"}
_OTHERS = {"Subject": "x", "Date": "Mon, 1 Jan 2024 00:00:00 +0000", "Message-ID": "<1@example.net>"}
_NAMES = sorted(name.lower() for name in (*_BASE, *_OTHERS))
_VERBS = {"From": "MAIL", "To": "RCPT", "Cc": "RCPT"}
"""Where the server hears the addresses of a header; those of Reply-To nowhere."""


def _new(field: str, text: str) -> Message:
    return _filled(EmailMessage(), field, text)


def _for_smtp(field: str, text: str) -> Message:
    return _filled(EmailMessage(policy.SMTP), field, text)


def _old(field: str, text: str) -> Message:
    return _filled(Message(), field, text)


def _filled(message: Message, field: str, text: str) -> Message:
    for name, value in {**_BASE, **_OTHERS, field: text}.items():
        message[name] = value
    message.set_payload("Hello\n")
    return message


def _octets(field: str, text: str) -> bytes:
    if "\n" in text:
        raise ValueError("in octets, a line end is what it is")
    fields = {**_BASE, **_OTHERS, field: text}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\nHello\r\n".encode("utf-8", "surrogateescape")


def _parsed(field: str, text: str) -> Message:
    return email.message_from_bytes(_parseable(field, text), policy=policy.SMTP)


def _parsed_old(field: str, text: str) -> Message:
    return email.message_from_bytes(_parseable(field, text))


def _parseable(field: str, text: str) -> bytes:
    if "\r" in text:
        raise ValueError("the parser ends a line there: what it makes of it is another message")
    return _octets(field, text)


_OBJECTS: Mapping[str, Form] = {
    "EmailMessage": _new,
    "EmailMessage for SMTP": _for_smtp,
    "Message": _old,
    "parsed EmailMessage": _parsed,
    "parsed Message": _parsed_old,
}
FORMS: Mapping[str, Mapping[str, Form]] = {
    PORTMAIL: {**_OBJECTS, "octets": _octets},
    AIOSMTPLIB: _OBJECTS,
    SMTPLIB: _OBJECTS,
}
"""What each client takes: the others take no octets without an envelope."""


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Envelopes, and each header; for portmail also that nothing is connected."""
    step = 10 if quick else 1 if client == PORTMAIL else 4  # peers by a sample
    shares: list[Task] = [partial(_envelopes, client, step), partial(_headers, client, step)]
    return [*shares, partial(_doors, step)] if client == PORTMAIL else shares


def _addresses(step: int) -> Sequence[Address]:
    every: list[Address] = [*HOSTILE, *VALID]
    return every[::step]


@dataclass(frozen=True, slots=True)
class Wish:
    """What may become of an address at one place."""

    heard: Mapping[str, frozenset[bytes]]
    """Spellings that the server may hear, by the verb."""
    must: bool = False
    """It has to be sent."""
    must_not: bool = False
    """It has to be refused."""
    whole: bool = False
    """All of the spellings have to be heard, not one of them."""


def _in_envelope(client: str, address: Address, verb: str, *, utf8: bool) -> Wish:
    if isinstance(address, Valid):
        fits = utf8 or address.path.isascii()
        return Wish({verb: _spellings(client, address)}, must=fits, must_not=not fits)
    return Wish({verb: _spellings(client, address)}, must_not=client == PORTMAIL)


def _in_header(client: str, address: Address, field: str) -> Wish:
    verb = _VERBS.get(field)
    heard = {verb: _spellings(client, address)} if verb else {}
    if isinstance(address, Valid):
        return Wish(heard, must=True)
    if address.meant:
        meant = frozenset(map(str.encode, address.meant if verb == "RCPT" else address.meant[:1]))
        return Wish({verb: meant} if verb else {}, whole=True)
    # Nothing is sent to whom Reply-To names: it may also leave to the letter.
    return Wish(heard, must_not=client == PORTMAIL and verb is not None)


def _spellings(client: str, address: Address) -> frozenset[bytes]:
    if isinstance(address, Valid):
        texts = [address.path] if client == PORTMAIL else [address.path, address.text]
    else:
        texts = [address.text.strip(), *address.meant]
    return frozenset(text.encode("utf-8", "surrogatepass") for text in texts)


def _envelopes(client: str, step: int, patched: Patched = nullcontext) -> Tally:
    """Every address in MAIL and in RCPT; those in UTF-8 also where the server has no SMTPUTF8."""
    tally = Tally(blank=BLANK)
    octets = _octets("To", YOU)
    with patched(), sender_of(client) as send:
        for address in _addresses(step):
            tally.cases += 1
            for verb, asked in (
                ("MAIL", Asked(octets, address.text, (YOU,))),
                ("RCPT", Asked(octets, ME, (address.text,))),
            ):
                for offered in _servers(address):
                    run = _run(tally, client, send, asked, offered=offered)
                    wish = _in_envelope(client, address, verb, utf8="SMTPUTF8" in offered)
                    others = {"MAIL": [ME], "RCPT": [YOU]} | {verb: []}
                    _note(tally, _judged(client, run, wish, others), f"{client} {verb} {_shown(address)}")
    return tally


def _servers(address: Address) -> Iterable[tuple[str, ...]]:
    old = tuple(word for word in EXTENSIONS if word != "SMTPUTF8")
    wanted = isinstance(address, Valid) and not address.path.isascii()
    return (EXTENSIONS, old) if wanted else (EXTENSIONS,)


def _headers(client: str, step: int, patched: Patched = nullcontext) -> Tally:
    """Every address in every header, in every kind of message that can be made of it."""
    tally = Tally(blank=BLANK)
    with patched(), sender_of(client) as send:
        for address in _addresses(step):
            tally.cases += 1
            for field in _BASE:
                wish = _in_header(client, address, field)
                for kind, form in FORMS[client].items():
                    try:
                        message = form(field, address.text)
                    except Exception:  # noqa: BLE001, S112  # the standard library lets nobody build it
                        continue
                    run = _run(tally, client, send, Asked(message))
                    seen = [*_judged(client, run, wish, _other_headers(field)), *_field(address, run, field)]
                    _note(tally, seen, f"{client} {field} of {kind}: {_shown(address)}")
    return tally


def _other_headers(field: str) -> dict[str, list[str]]:
    others: dict[str, list[str]] = {"MAIL": [], "RCPT": []}
    for name, verb in _VERBS.items():
        if name != field:
            others[verb].append(_BASE[name])
    return others


def _run(
    tally: Tally, client: str, send: Sender, asked: Asked, *, offered: Iterable[str] = EXTENSIONS
) -> Sent:
    tally.runs += 1
    return sent(client, send, asked, offered=offered)


def _note(tally: Tally, seen: Iterable[Seen], where: str) -> None:
    for fault, what in seen:
        tally.note(fault, f"{where}: {what}")


def _shown(address: Address) -> str:
    return ascii(address.text if len(address.text) < 80 else f"{address.text[:70]}...")


def _judged(client: str, run: Sent, wish: Wish, others: Mapping[str, Sequence[str]]) -> Iterator[Seen]:
    """What is wrong with the envelope that the server heard; `others`: whom it heard of besides."""
    if run.foreign:
        yield Fault.FOREIGN, repr(run.error)[:200]
    if run.endless:
        yield Fault.HANG, str(run.error)
        return
    if run.ear.odd or run.ear.bare:
        yield Fault.INJECTION, f"the server heard {(run.ear.odd or run.ear.lines)[:3]}"
    elif run.error is None:
        yield from _judged_sent(run, wish, others)
    elif not run.foreign and wish.must:
        yield Fault.WRONG_VERDICT, f"refused: {str(run.error)[:200]}"
    elif client == PORTMAIL and run.ear.lines:
        yield Fault.WRONG_VERDICT, f"refused when {run.ear.lines[:2]} had been said"


def _judged_sent(run: Sent, wish: Wish, others: Mapping[str, Sequence[str]]) -> Iterator[Seen]:
    if wish.must_not:
        yield Fault.WRONG_VERDICT, f"taken: {[line[:80] for line in run.ear.lines]}"
    for verb, texts in others.items():
        heard = {_path(line) for line in run.ear.paths(verb)}
        known, wanted = {text.encode() for text in texts}, wish.heard.get(verb, frozenset())
        enough = heard - known == wanted if wish.whole else bool(heard - known) == bool(wanted)
        if not (known <= heard <= known | wanted and enough):
            yield Fault.INJECTION, f"the server heard {verb} {[line[:80] for line in run.ear.paths(verb)]}"


def _path(line: bytes) -> bytes | None:
    """What a strict server takes for the address (RFC 5321 section 4.1.2); None if it is none, or more."""
    match = _PATH.match(line) or _PATH_AT_LEAST.match(line)
    return match[1] if match and _PARAMETERS.fullmatch(line, match.end()) else None


def _field(address: Address, run: Sent, field: str) -> Iterator[Seen]:
    """What is wrong with the header that left."""
    if run.error is not None or not run.ear.stored:
        return
    try:
        message = entity(run.ear.stored[0])
    except Broken as exc:
        yield Fault.INJECTION, f"the header that left is broken: {exc}"
        return
    if sorted(message.names) != _NAMES:
        yield Fault.INJECTION, f"the header that left: {message.names}"
    text = message.get(field.lower())
    if isinstance(address, Valid):
        # No encoded word is decoded here: an address must not be written in one (RFC 2047 section 5).
        unaltered = text in (address.text, address.path)
    else:
        unaltered = decoded(text).split() == decoded(address.text).split()
    if not unaltered:
        yield Fault.INJECTION, f"{field} left as {text[:200]!r}"


def _doors(step: int) -> Tally:
    """Hostile addresses given to a submitter: they are refused before a connection is made."""
    tally = Tally(blank=BLANK)
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        host, port = door.getsockname()
        with Submitter(host=host, port=port, timeouts=2, retry=None) as mail:
            for address in HOSTILE[::step]:
                tally.cases += 1
                for sender, recipient in ((address.text, YOU), (ME, address.text)):
                    tally.runs += 1
                    _note(tally, _at_the_door(mail, sender, recipient), f"{PORTMAIL} {_shown(address)}")
        try:
            door.accept()[0].close()
            tally.note(Fault.WRONG_VERDICT, "somebody connected for a hostile address")
        except BlockingIOError:
            pass
    return tally


def _at_the_door(mail: Submitter, sender: str, recipient: str) -> Iterator[Seen]:
    try:
        mail.send(_octets("To", YOU), sender=sender, recipients=[recipient])
    except AddressError:
        return
    except PortmailError as exc:
        yield Fault.WRONG_VERDICT, f"not refused at once: {type(exc).__name__}"
    except Exception as exc:  # noqa: BLE001  # that is what is judged
        yield Fault.FOREIGN, repr(exc)[:200]
    else:
        yield Fault.WRONG_VERDICT, "it was sent"


def mutants() -> Sequence[Mutant]:
    """A gate that lets everything through, one that crashes, one that is too strict, one that is slow."""
    gates = {
        Fault.INJECTION: _through,
        Fault.FOREIGN: _crash,
        Fault.WRONG_VERDICT: _only_ascii,
    }
    names = {
        Fault.INJECTION: "sends every address as it is",
        Fault.FOREIGN: "crashes on what is no address",
        Fault.WRONG_VERDICT: "takes no address but plain ones",
    }
    return [
        *(Mutant(names[fault], fault, partial(_with_gate, gate)) for fault, gate in gates.items()),
        Mutant("thinks for ever about one", Fault.HANG, partial(_with_gate, _endless)),
    ]


def _with_gate(gate: Callable[[str], envelope.Mailbox]) -> Tally:
    return _envelopes(PORTMAIL, 10, lambda: patch.object(envelope, "_mailbox", gate))


def _through(address: str) -> envelope.Mailbox:
    return envelope.Mailbox(address, address.encode("utf-8", "replace").decode())


def _crash(address: str) -> envelope.Mailbox:
    local, domain = address.split("@")
    return envelope.Mailbox(address, f"{local}@{domain}")


def _only_ascii(address: str) -> envelope.Mailbox:
    if address.replace("@", "").replace(".", "").isalnum() and address.isascii():
        return envelope.Mailbox(address, address)
    raise AddressError(address)


def _endless(address: str) -> envelope.Mailbox:
    while address == _addresses(10)[-1].text:
        pass
    raise AddressError(address)
