"""What did a program write to sendmail(1)? A header and a body, which travel as they are if they can."""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Callable
from email.header import Header
from typing import BinaryIO, NamedTuple

from portmail.canonical import canonical, whole_lines
from portmail.cli.sendmail.names import readable
from portmail.errors import ContentError

_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_MBOX_LINES = re.compile(rb"(?:\xef\xbb\xbf)?(?:>*From [^\n]*(?:\n|\Z))*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONE_CR = re.compile(rb"\r(?!\n)")
_PLAIN = ("", "7bit", "8bit", "binary")
"""Encodings (RFC 2045 section 6.2) that leave a text as it is."""


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
        """The header ends at the first line that is none of it. The `From ` line of an mbox is left out."""
        found = _MBOX_LINES.match(data)
        at = found.end() if found else 0
        fields: list[list[bytes]] = []  # lines, put together at the end
        while at < len(data):
            end = data.find(b"\n", at) + 1 or len(data)
            line = data[at:end]
            if _FIELD.match(line):
                fields.append([line])
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

    def mended(self) -> Draft:
        """The same, encoded where it could not travel otherwise, as what commands print often cannot.

        That is a Subject, or another field of free text, with octets above 127 (RFC 2047); and a text with
        NUL or with lines of more than 998 octets (quoted-printable, RFC 2045 section 6.7).
        """
        draft = self._replace(fields=tuple(map(_mended_field, self.fields)))
        if _travels(self.body):
            return draft
        kind, coding = (_first(draft, f"content-{it}") for it in ("type", "transfer-encoding"))
        return _quoted(draft) if coding in _PLAIN and (not kind or kind.startswith("text/")) else draft


def name_of(field: bytes) -> str:
    """The name of a field, in lower case."""
    return field.partition(b":")[0].strip().lower().decode("ascii")


def _text(field: bytes) -> str:
    text = field.partition(b":")[2].decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\n", "").strip()


def _changed(field: bytes, names: frozenset[str], change: Callable[[str], str]) -> bytes:
    if name_of(field) not in names:
        return field
    written, colon, value = field.partition(b":")
    text = change(value.decode("utf-8", "surrogateescape"))
    return written + colon + text.encode("utf-8", "surrogateescape")


def _first(draft: Draft, name: str) -> str:
    return next(iter(draft.texts(name)), "").strip().lower()


def _travels(lines: bytes) -> bool:
    """Whether they are without NUL and too long lines."""
    if whole_lines(lines) is not None:  # which is quick where nothing is odd
        return True
    try:
        canonical(lines)
    except ContentError:
        return False
    return True


def _is_free_text(name: str) -> bool:
    return name in ("subject", "comments") or name.startswith("x-")


def _mended_field(field: bytes) -> bytes:
    travels = field.isascii() and not _LONE_CR.search(field) and _travels(field)
    if travels or not _is_free_text(name_of(field)):
        return field
    written = field.partition(b":")[0].decode("ascii").strip()
    text = readable(field.partition(b":")[2].decode("utf-8", "surrogateescape"))
    text = _CONTROL.sub(" ", text).strip()
    coded = Header(text, charset="utf-8", header_name=written).encode(linesep="\r\n")
    return f"{written}: {coded}\r\n".encode("ascii")


_OF_ENCODING = ("content-transfer-encoding", "mime-version")


def _quoted(draft: Draft) -> Draft:
    """A plain text in quoted-printable."""
    text = draft.body.replace(b"\r\n", b"\n").removeprefix(b"\n")
    fields = [field for field in draft.fields if name_of(field) not in _OF_ENCODING]
    fields += [b"MIME-Version: 1.0\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"]
    if not draft.has("content-type"):
        fields.append(b"Content-Type: text/plain; charset=utf-8\r\n")
    return Draft(tuple(fields), b"\n" + b2a_qp(text, istext=True))
