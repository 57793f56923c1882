"""How does a header field travel that cannot as it was written? Folded or encoded, with as little else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.header import Header

from portmail.addresses import holds_addresses
from portmail.cli.sendmail.message import name_of, travels, value_of
from portmail.cli.sendmail.names import readable, spaced
from portmail.header import MAX_LINE

_PROGRAMS_READ = re.compile(
    r"(?!x-)(?:(?:.*-)?(?:to|from|cc|bcc|sender|path)|date|received|message-id|references|mime-version"
    r"|(?:content|resent|list|dkim|arc)-.*)"
)
"""Addresses, identifiers, MIME, lists, traces: an encoded word would be a wrong one. Others are free text."""

_BREAK = re.compile(rb"[ \t](?=[^ \t\r\n])")
"""Where a line may end: the next one has more than blanks."""

_LONE_CR = re.compile(rb"\r(?!\n)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def mended_field(field: bytes) -> bytes:
    """The same field if it travels; if not, as little of it is changed as can be.

    Lines of more than 998 octets are folded at blanks, or between addresses. Free text that does not
    travel so, or is not in ASCII, is encoded (RFC 2047). Where programs read it, octets that are not in
    UTF-8 are taken for Latin-1. What does not travel even so, whoever sends it will refuse.
    """
    name = name_of(field)
    if _PROGRAMS_READ.fullmatch(name):
        return _readable(field, name=name)
    folded = _folded(field)
    plain = folded.isascii() and travels(folded) and not _LONE_CR.search(folded)
    return folded if plain else _encoded(field)


def _readable(field: bytes, *, name: str) -> bytes:
    written, text = field.partition(b":")[0], readable(value_of(field))
    folded = _folded(b"%b:%b" % (written, text.encode()))
    if travels(folded) or not holds_addresses(name):
        return folded
    return _folded(b"%b:%b" % (written, spaced(text).encode()))


def _encoded(field: bytes) -> bytes:
    written = field.partition(b":")[0].decode("ascii")
    text = _CONTROL.sub(" ", readable(value_of(field))).strip()
    coded = Header(text, charset="utf-8", header_name=written).encode(linesep="\r\n")
    return f"{written}: {coded}\r\n".encode("ascii")


def _folded(field: bytes) -> bytes:
    """With lines of 998 octets at most, where blanks allow it (RFC 5322 section 2.2.3)."""
    if len(field) <= MAX_LINE:
        return field
    # A lone CR is no line end: it must not become one.
    lines = field.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    return b"\r\n".join(piece for line in lines for piece in _pieces(line)) + b"\r\n"


def _pieces(line: bytes) -> Iterator[bytes]:
    at = 0
    while len(line) - at > MAX_LINE:
        # Behind a break stands one octet that belongs to it.
        within = _BREAK.finditer(line, at + 1, at + MAX_LINE + 2)
        end = max((found.start() for found in within), default=len(line))
        yield line[at:end]
        at = end
    if line[at:]:
        yield line[at:]
