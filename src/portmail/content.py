"""What travels? A message as canonical CRLF octets, checked, with its size known beforehand."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage, Message
from email.utils import formatdate, make_msgid
from functools import lru_cache
from typing import TypeAlias

from portmail.addresses import Headers, by_name, in_ascii, read_addresses
from portmail.canonical import (
    BLOCK,
    Piece,
    blocks_of,
    canonical,
    is_eight_bit,
    octets_of,
    size_of,
    stuffed_blocks_of,
    whole_lines,
)
from portmail.envelope import Mailbox
from portmail.errors import HeaderError
from portmail.flattening import HIDDEN, Flat, written
from portmail.folding import address_field
from portmail.generating import generated
from portmail.header import split_header
from portmail.reply import printable

AnyMessage: TypeAlias = EmailMessage | Message | bytes | os.PathLike[str]
"""What can be sent: an `EmailMessage`, an old `Message`, a whole message in octets, or its file's path."""


@dataclass(frozen=True, slots=True)
class Enveloped:
    """A message with an envelope of its own, for `send_many`: what `sender=` and `recipients=` are to `send`.

    `sender=""` is the null reverse-path; None takes what the header says.
    """

    message: AnyMessage
    sender: str | Mailbox | None = None
    recipients: Iterable[str | Mailbox] | None = None


_NEEDED = {"date", "from", "message-id"}
_EMPTY_LINE = re.compile(rb"^\r?\n|(?<=\n)\r?\n")
_LONE_CR = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Content:
    """The header section and body, as they travel: CRLF line ends, no Bcc, no line over 998 octets.

    A small content is one `bytes`. In a big one, texts and files are encoded while it is read.
    """

    pieces: Sequence[Piece]
    size: int
    """Octets, without dot-stuffing and the final dot (RFC 1870 section 3)."""
    message_id: str
    needs_smtputf8: bool
    """Octets above 127 in the header section (RFC 6531 section 3.1)."""
    needs_8bitmime: bool
    """Octets above 127 anywhere (RFC 6152)."""

    @property
    def data(self) -> bytes:
        """All octets."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The octets in blocks of whole lines, about 64 KiB at most; every call begins at the start.

        Raises:
            ContentError: the file of an attachment was changed, or cannot be read any more.
        """
        return blocks_of(self.pieces)

    def stuffed_blocks(self) -> Iterator[bytes]:
        """The octets after DATA, dot-stuffed (RFC 5321 section 4.5.2), without the final dot.

        Raises:
            ContentError: as `blocks`.
        """
        return stuffed_blocks_of(self.pieces)


def content_of(message: Message | bytes | Flat, *, sender: str, domain: str = "") -> Content:
    """The content of a message object, which stays as it is, or of octets.

    Date, Message-ID (of `domain`, or of the sender's) and From (`sender`) are added where they are
    missing, and Bcc is taken out.

    Raises:
        HeaderError: a header that would not arrive as the one header that it is.
        ContentError: a body that no server could take, or one that cannot be serialized.
    """
    if isinstance(message, Flat):
        return _finished(message, sender=sender, domain=domain)
    flat = opened(message) if isinstance(message, bytes) else written(message) or generated(message)
    return _finished(flat, sender=sender, domain=domain)


def opened(data: bytes) -> Flat:
    """A message that is octets already, with all its fields.

    Raises:
        HeaderError, ContentError: as `content_of`.
    """
    empty_line = _EMPTY_LINE.search(data)
    end, start = empty_line.span() if empty_line else (len(data), len(data))
    head = data[:end]
    if _LONE_CR.search(head):
        raise HeaderError("a header holds a carriage return without line feed: take it out")
    head = canonical(head) if head else b""
    fields, _ = split_header(head)
    rest = _body(data, start=start, before=head.count(b"\n") + 1)
    return Flat([(field.name, field.octets.decode("ascii", "surrogateescape")) for field in fields], rest)


def _body(data: bytes, *, start: int, before: int) -> Sequence[Piece]:
    """The empty line, and what follows it from `start`."""
    lines = whole_lines(data, start=start) if len(data) - start > BLOCK else None
    if lines is None:
        body = data[start:]
        return (b"\r\n" + canonical(body, before=before) if body else b"\r\n",)
    tail = data[lines.end :]
    return (b"\r\n", lines, tail + b"\r\n") if tail else (b"\r\n", lines)


def headers_of(message: Message | bytes | Flat) -> Headers:
    """The header, to read addresses from.

    Raises:
        HeaderError, ContentError: octets that cannot travel.
    """
    if isinstance(message, Message):
        return by_name(message.raw_items())
    fields = (opened(message) if isinstance(message, bytes) else message).fields
    values = [(name, octets_of(text.partition(":")[2]).decode("utf-8")) for name, text in fields]
    return by_name((name, value.rstrip("\r\n")) for name, value in values)


_TOLD = 250
"""Characters of a Message-ID that are told."""


def _finished(flat: Flat, *, sender: str, domain: str) -> Content:
    fields = [text for name, text in flat.fields if name not in HIDDEN]
    texts = dict(flat.fields[::-1])  # where a name is repeated, the first counts
    if not texts.keys() >= _NEEDED:
        made = _missing(texts, sender=sender, domain=domain)
        fields += made.values()
        texts.update(made)
    head = octets_of("".join(fields))
    first, *others = flat.rest
    pieces: Sequence[Piece] = (head, *flat.rest)
    if isinstance(first, bytes) and len(first) <= BLOCK:  # a small content is one piece
        pieces = (head + first, *others)
    return Content(
        pieces,
        sum(map(size_of, pieces)),
        _one_word(octets_of(texts["message-id"].partition(":")[2])),
        not head.isascii(),
        any(map(is_eight_bit, pieces)),
    )


def _one_word(octets: bytes) -> str:
    """A Message-ID as it is told: one word, whatever was written there and wherever it was folded."""
    words = octets.decode("utf-8", "replace").split(maxsplit=1)
    return printable(words[0])[:_TOLD] if words else ""


def _missing(present: Container[str], *, sender: str, domain: str) -> dict[str, str]:
    """The fields that every message must have, and has not."""
    made = {"date": _date(int(time.time()))}
    if "from" not in present:
        made["from"] = _author(sender)[0]
    if "message-id" not in present:
        named = domain or (_author(sender)[1] if "@" in sender else "localhost")
        made["message-id"] = f"Message-ID: {make_msgid(domain=named)}\r\n"
    return {name: text for name, text in made.items() if text and name not in present}


@lru_cache(maxsize=1)  # a cache: many messages are sent within a second
def _date(seconds: int) -> str:
    return f"Date: {formatdate(seconds, localtime=True)}\r\n"


@lru_cache(maxsize=64)  # a cache: few senders send most messages
def _author(sender: str) -> tuple[str, str]:
    """The From field of a message without one, and the domain of its Message-ID."""
    if not sender:
        return "", "localhost"
    header = read_addresses("From", text=sender)
    header = in_ascii("From", value=header) or header
    domain = header.addresses[0].domain.strip("[]")
    field = address_field("From", header=header).encode("utf-8").decode("ascii", "surrogateescape")
    return field, domain if domain and domain.isascii() else "localhost"
