"""In what shapes can a server say the same, and what is none? Octets for a code, its enhanced one, a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tests.proof.harness.recorder import After, Say
from tests.proof.replies.table import Sense

Octets: TypeAlias = Callable[[bytes, bytes, bytes], bytes]
"""(code, enhanced code with a space, text) -> what is on the wire."""


class Shape(NamedTuple):
    """A way of answering. `sense` is None where it is a reply like any other, and the code decides."""

    octets: Octets
    sense: Sense | None = None
    after: After = After.GO_ON


def _line(separator: bytes, *, end: bytes = b"\r\n") -> Octets:
    return lambda code, enhanced, text: code + separator + enhanced + text + end


def _long(octets: int) -> Octets:
    """One line of so many octets, without its end."""
    return lambda code, enhanced, text: (code + b" " + enhanced + text).ljust(octets, b"A") + b"\r\n"


def _lines(code: bytes, enhanced: bytes, text: bytes) -> bytes:
    return b"%b-%b%b\r\n%b-%bmore\r\n%b %bend\r\n" % (code, enhanced, text, code, enhanced, code, enhanced)


def _codes_differ(code: bytes, enhanced: bytes, text: bytes) -> bytes:
    return b"%b-%b%b\r\n%b %bend\r\n" % (
        code,
        enhanced,
        text,
        b"550" if code[:1] == b"2" else b"250",
        enhanced,
    )


def _with(octets: bytes) -> Octets:
    return lambda code, enhanced, text: code + b" " + enhanced + text + octets + b"\r\n"


def _only(octets: bytes) -> Octets:
    return lambda *_: octets


def _and(octets: bytes) -> Octets:
    return lambda code, enhanced, text: _line(b" ")(code, enhanced, text) + octets


_NONE, _NOTHING = Sense.NONE, Sense.NOTHING

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "a line": Shape(_line(b" ")),
        "lines": Shape(_lines),
        "codes that differ": Shape(_codes_differ, _NONE),
        "no text": Shape(lambda code, enhanced, _: code + b" " + enhanced.strip() + b"\r\n"),
        "no separator": Shape(lambda code, *_: code + b"\r\n"),
        "_ for a separator": Shape(_line(b"_"), _NONE),
        "a tab for a separator": Shape(_line(b"\t"), _NONE),
        "a colon for a separator": Shape(_line(b":"), _NONE),
        "a fourth digit": Shape(_line(b"0 "), _NONE),
        "a space in front": Shape(lambda *said: b" " + _line(b" ")(*said), _NONE),
        "8-bit": Shape(_with(b" Gr\xfc\xdfe \xc3\xa9 \xff")),
        "NUL in the text": Shape(_with(b" a\0b")),
        "NUL in the code": Shape(lambda code, *_: code[:2] + b"\0" + code[2:] + b" text\r\n", _NONE),
        "an escape sequence": Shape(_with(b" \x1b[2J\x07")),
        "LF alone": Shape(_line(b" ", end=b"\n")),
        "CR in the text": Shape(_with(b" a\rb")),
        "CR alone": Shape(_line(b" ", end=b"\r"), _NOTHING),
        "600 octets": Shape(_long(600)),
        "8 KiB": Shape(_long(8192)),
        "8 KiB and one": Shape(_long(8193), _NONE),
        "32 KiB": Shape(_long(32768), _NONE),
        "50 KiB of lines": Shape(lambda code, *_: (code + b"-more\r\n") * 5000, _NONE),
        "a line a second for ever": Shape(lambda code, *_: code + b"-more\r\n", _NOTHING, After.AGAIN),
        "an empty line": Shape(_only(b"\r\n"), _NONE),
        "words": Shape(_only(b"hello there\r\n"), _NONE),
        "another protocol": Shape(_only(b"HTTP/1.1 400 Bad Request\r\n\r\n"), _NONE),
        "half a line, and closed": Shape(_line(b" ", end=b""), _NOTHING, After.CLOSE),
        "half a reply, and closed": Shape(_line(b"-"), _NOTHING, After.CLOSE),
        "closed": Shape(_only(b""), _NOTHING, After.CLOSE),
        "reset": Shape(_only(b""), _NOTHING, After.RESET),
        "silence": Shape(_only(b""), _NOTHING, After.SILENCE),
        "another reply behind": Shape(_and(b"250 2.0.0 unasked\r\n"), Sense.BEHIND),
        "a refusal behind": Shape(_and(b"550 5.0.0 unasked\r\n"), Sense.BEHIND),
        "half a reply behind": Shape(_and(b"250 2.0.0 unas"), Sense.BEHIND),
        "421 behind": Shape(_and(b"421 4.3.2 bye\r\n"), Sense.CLOSING),
    }
)
"""All that is put in the place of a reply. What stands behind one is there before the next question."""


def say(shape: str, *, code: int, enhanced: str, text: bytes) -> Say:
    """What the server says."""
    made = SHAPES[shape]
    return Say(made.octets(b"%03d" % code, enhanced.encode(), text), made.after)
