"""What did a program write to sendmail(1)? A header and a body, which travel as they are if they can."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from portmail.canonical import canonical, whole_lines
from portmail.errors import ContentError

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MBOX_LINES = re.compile(rb"(?:\xef\xbb\xbf)?(?:>*From [^\n]*(?:\n|\Z))*")


def message_in(stream: BinaryIO, *, dots_are_text: bool) -> bytes:
    """All that is to be read; up to a line with only a dot, unless dots are text.

    Raises:
        ContentError: it cannot be read.
    """
    try:
        return stream.read() if dots_are_text else b"".join(iter(lambda: _line(stream), b""))
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ContentError(f"standard input cannot be read: {why}") from None


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    return b"" if line.rstrip(b"\r\n") == b"." else line


class Draft(NamedTuple):
    """A message as it was written: its fields with folding and line ends, and all that follows them."""

    fields: tuple[bytes, ...]
    body: bytes
    """Begins with the empty line; or is empty."""

    @classmethod
    def of(cls, data: bytes) -> Draft:
        """A whole message. The `From ` line of an mbox is left out."""
        found = _MBOX_LINES.match(data)
        return cls.entity(data[found.end() :] if found else data)

    @classmethod
    def entity(cls, data: bytes) -> Draft:
        """A message, or a part of one. The header ends at the first line that is none of it.

        Blanks between a field's name and its colon (RFC 5322 section 4.5) are left out.
        """
        at = 0
        fields: list[list[bytes]] = []  # lines, put together at the end
        while at < len(data):
            end = data.find(b"\n", at) + 1 or len(data)
            line = data[at:end]
            if _FIELD.match(line):
                fields.append([_FIELD.sub(rb"\1:", line, count=1)])
            elif fields and line[:1] in (b" ", b"\t"):
                fields[-1].append(line)
            else:
                break
            at = end
        if fields and not fields[-1][-1].endswith(b"\n"):  # the last line of all
            fields[-1].append(b"\n")
        body = data[at:]
        return cls(
            tuple(map(b"".join, fields)),
            body if body.startswith((b"\n", b"\r\n")) or not body else b"\n" + body,
        )

    @property
    def octets(self) -> bytes:
        """The message."""
        return b"".join(self.fields) + self.body

    def texts(self, name: str) -> list[str]:
        """What the fields of this name say; the name is in lower case."""
        return [_text(field) for field in self.fields if name_of(field) == name]

    def with_field(self, field: bytes) -> Draft:
        """The same with a field before all others."""
        return self._replace(fields=(field, *self.fields))

    def has(self, name: str) -> bool:
        """Whether there is a field of this name, in lower case."""
        return any(name_of(field) == name for field in self.fields)

    def with_texts(self, names: frozenset[str], change: Callable[[str], str]) -> Draft:
        """The same, with what fields of these names say changed."""
        return self._replace(fields=tuple(_changed(field, names, change) for field in self.fields))


def name_of(field: bytes) -> str:
    """The name of a field, in lower case."""
    return field.partition(b":")[0].strip().lower().decode("ascii")


def _text(field: bytes) -> str:
    return value_of(field).replace("\r\n", "\n").replace("\n", "").strip()


def value_of(field: bytes) -> str:
    """What stands behind the colon, with folding and line ends."""
    return field.partition(b":")[2].decode("utf-8", "surrogateescape")


def _changed(field: bytes, names: frozenset[str], change: Callable[[str], str]) -> bytes:
    if name_of(field) not in names:
        return field
    text = change(value_of(field))
    return field.partition(b":")[0] + b":" + text.encode("utf-8", "surrogateescape")


def travels(lines: bytes) -> bool:
    """Whether they are without NUL and too long lines."""
    if whole_lines(lines) is not None:  # which is quick where nothing is odd
        return True
    try:
        canonical(lines)
    except ContentError:
        return False
    return True
