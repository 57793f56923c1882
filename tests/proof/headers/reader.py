"""Which header fields, parts and parameters does a message have? Read from octets, to the letter.

It is written for the proof and shares nothing with what it judges: no module of `email`, none of portmail.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_NAME = re.compile(rb"([!-9;-~]+):")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_TOKEN = r"[^\s\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+"  # RFC 2045 section 5.1
_PARAMETER = re.compile(rf"\s*;\s*({_TOKEN})(?:=(?:({_TOKEN})|\"((?:[^\"\\]|\\.)*)\"))?", re.DOTALL)
_WORD = re.compile(r"=\?([^?\s]+?)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")


class Broken(Exception):
    """The octets are no message; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A message or a part of one (RFC 2045 section 2.4)."""

    fields: Sequence[tuple[str, str]]
    """Names in lower case, and values unfolded."""
    body: bytes

    @property
    def names(self) -> list[str]:
        """In order."""
        return [name for name, _ in self.fields]

    def get(self, name: str) -> str:
        """The value of the first field of this name, "" if there is none."""
        return next((value for key, value in self.fields if key == name), "")


def entity(octets: bytes) -> Entity:
    """Read a header section and what follows it.

    Raises:
        Broken: a line that is neither a field nor a continuation, or a bare CR, LF or NUL.
    """
    if octets.startswith(b"\r\n"):
        return Entity((), octets[2:])
    head, _, body = octets.partition(b"\r\n\r\n")
    if _BARE.search(head):
        raise Broken("a bare CR, LF or NUL in the header")
    return Entity(tuple(_fields(head.removesuffix(b"\r\n").split(b"\r\n"))), body)


def _fields(lines: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    name, value = "", b""
    for line in lines:
        if line[:1] in (b" ", b"\t") and name:
            value += line
            continue
        if name:
            yield name, _text(value)
        match = _NAME.match(line)
        if match is None:
            raise Broken(f"no header field: {line[:60]!r}")
        name, value = match[1].decode("ascii").lower(), line[match.end() :]
    if name:
        yield name, _text(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip(" \t")


def leaves(octets: bytes) -> list[Entity]:
    """The message itself, and all its parts, in order.

    Raises:
        Broken: as `entity`, or a multipart without its boundary.
    """
    whole = entity(octets)
    found = [whole]
    kind = whole.get("content-type")
    if kind.lower().startswith("multipart/"):
        _, given = parameters(kind)
        for part in _parts(whole.body, boundary=given.get("boundary", "")):
            found += leaves(part)
    return found


def _parts(body: bytes, *, boundary: str) -> list[bytes]:
    dashes = b"--" + boundary.encode()
    pieces = re.split(rb"(?:\A|\r\n)" + re.escape(dashes) + rb"(--)?[ \t]*(?=\r\n|\Z)", body)
    if not boundary or b"--" not in pieces[1::2]:
        raise Broken(f"a multipart without its boundary {boundary!r}")
    last = pieces[1::2].index(b"--")
    return [piece.removeprefix(b"\r\n") for piece in pieces[2 : 2 * last + 1 : 2]]


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """The value before the parameters, in lower case, and the parameters (RFC 2045, RFC 2231).

    Raises:
        Broken: what follows is no list of parameters, or one is there twice.
    """
    main, semicolon, _ = value.partition(";")
    rest = value[len(main) :]
    found: dict[str, str] = {}
    at = 0
    while semicolon and at < len(rest.rstrip("; \t")):
        match = _PARAMETER.match(rest, at)
        if match is None:
            raise Broken(f"no parameter: {rest[at:]!r}")
        name, at = match[1].lower(), match.end()
        if name in found:
            raise Broken(f"the parameter {name} is there twice")
        found[name] = match[2] or "" if match[3] is None else re.sub(r"\\(.)", r"\1", match[3])
    return main.strip().lower(), _joined(found)


def _joined(found: dict[str, str]) -> dict[str, str]:
    """Continuations and codings of RFC 2231 put together."""
    joined: dict[str, str] = {}
    for name, value in found.items():
        base, star, section = name.partition("*")
        if not star or section.strip("*0"):
            joined.setdefault(base, value)
            if star:
                joined[base] += _decoded(value) if name.endswith("*") else value
            continue
        _, quote, coded = value.partition("'")
        text = coded.partition("'")[2] if quote and name.endswith("*") else value
        joined[base] = _decoded(text) if name.endswith("*") else value
    return joined


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def decoded(text: str) -> str:
    """A header's text with its encoded words decoded (RFC 2047), for comparing."""
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", text))


def _word(match: re.Match[str]) -> str:
    charset, coding, word = match.groups()
    if coding in "bB":
        octets = b64decode(word + "=" * (-len(word) % 4))
    else:
        octets = unquote_to_bytes(word.replace("%", "=25").replace("_", "=20").replace("=", "%"))
    try:
        return octets.decode(charset, "replace")
    except LookupError:
        return match[0]
