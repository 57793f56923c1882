"""Which fields does a header section have, and can it travel? Checked on the octets that would leave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from portmail.errors import HeaderError

MAX_LINE = 998
"""Octets in a line without its CRLF (RFC 5322 section 2.1.1)."""

_FIELD = re.compile(rb"([!-9;-~]+):")
_NAME = re.compile(r"[!-9;-~]+")


_ODD = {
    b"From ": "an mbox begins like this; take the line out, or send the mailbox with send-many",
    b"\xef\xbb\xbf": "it begins with a byte order mark; save the file without it",
}
"""What else than a field a line may be, and what to do about it."""


class Field(NamedTuple):
    """One header field: its name in lower case, and its octets with folding and the last CRLF."""

    name: str
    octets: bytes


def split_header(data: bytes) -> tuple[tuple[Field, ...], bytes]:
    """Split a canonical message into its header fields and the rest, which begins with the empty line.

    Raises:
        HeaderError: a line that is neither a field nor a continuation, or too long.
    """
    end = 0 if data.startswith(b"\r\n") else data.find(b"\r\n\r\n") + 2
    head = data[:end] if end >= 2 or data.startswith(b"\r\n") else data
    rest = data[len(head) :] or b"\r\n"
    return tuple(_fields(head)), rest


def _fields(head: bytes) -> Iterable[Field]:
    field: list[bytes] = []
    for line in head.splitlines(keepends=True):
        if len(line) > MAX_LINE + 2:
            raise HeaderError(f"a header line has {len(line)} octets, {MAX_LINE} is the limit: fold it")
        if line[:1] in (b" ", b"\t") and field:
            field.append(line)
            continue
        if field:
            yield _field(field)
        field = [line]
    if field:
        yield _field(field)


def _field(lines: Sequence[bytes]) -> Field:
    match = _FIELD.match(lines[0])
    if match is None:
        odd = next((why for beginning, why in _ODD.items() if lines[0].startswith(beginning)), "")
        raise HeaderError(f"{_shown(lines[0])} is no header field: {odd or 'it needs a name and a colon'}")
    octets = b"".join(lines)
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        raise HeaderError(f"the header field {_shown(match[1])} is neither ASCII nor UTF-8") from None
    return Field(match[1].decode("ascii").lower(), octets)


def check_same_names(fields: Sequence[Field], *, intended: Sequence[str]) -> None:
    """The fields that would leave must be the fields that were meant, one for one.

    The standard library lets an encoded word become a line end on some patch levels
    (CVE-2024-6923): the inputs look harmless, the output has a field more.

    Raises:
        HeaderError: a field too many, too few, or of another name.
    """
    leaving = [field.name for field in fields]
    meant = [name.lower() for name in intended]
    if leaving != meant:
        odd = next((name for name in leaving if name not in meant), "a repeated field")
        raise HeaderError(f"a header value would end its line and add {odd!r}: take the line break out")


def check_header(name: str, *, value: str) -> None:
    """A name must be a field name, and a value must not hold a line end or a NUL.

    Raises:
        HeaderError: naming the header.
    """
    if not is_name(name):
        raise HeaderError(f"{name!r} is no header name: use letters, digits and hyphens")
    # All that Python takes for a line end: some patch levels write it out as one.
    if "\0" in value or len(f"{value}.".splitlines()) > 1:
        raise HeaderError(f"the {name} header holds a line break or NUL: take it out of {value[:60]!r}")


@lru_cache(maxsize=256)  # a cache: few names make most headers
def is_name(name: str) -> bool:
    """Whether it is a field name (RFC 5322 section 3.6.8)."""
    return _NAME.fullmatch(name) is not None


def is_boundary(boundary: str) -> bool:
    """Whether it can be written in quotes, and into a body, as it is."""
    return boundary != "" and boundary.isprintable() and not {'"', "\\"} & set(boundary)


def _shown(octets: bytes) -> str:
    return repr(octets[:60].decode("utf-8", "replace").rstrip())
