"""How does a file travel without being read whole? As base64, block by block, while its message is sent."""

from __future__ import annotations

import copy
import os
import stat
import struct
from binascii import b2a_base64
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from portmail.errors import ContentError

_LINE, _COLUMNS = 57, 76
"""Octets of a file in one line of base64, and the columns that they take (RFC 2045 section 6.8)."""

_LINES = 512
"""Lines of base64 made at a time: few enough to stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class FileLines:
    """A file as lines of base64. The file must stay as it was when this was made."""

    path: Path
    length: int
    modified: int
    eight_bit: bool = False
    dotted: bool = False

    @classmethod
    def of(cls, path: Path) -> FileLines:
        """Look at the file; nothing is read.

        Raises:
            ContentError: it is no regular file, or it cannot be read.
        """
        with open_file(path) as file:
            status = os.fstat(file.fileno())
        return cls(path, status.st_size, status.st_mtime_ns)

    @property
    def size(self) -> int:
        """Octets of base64, with the line ends."""
        return -(-self.length // 3) * 4 + -(-self.length // _LINE) * 2

    def blocks(self) -> Iterator[bytes]:
        """The lines, read and encoded block by block.

        Raises:
            ContentError: the file has changed, or it cannot be read any more.
        """
        left = self.length
        with open_file(self.path) as file:
            self._check(file)
            while left > 0:
                wanted = min(left, _LINES * _LINE)
                octets = _read(file, path=self.path, limit=wanted)
                left -= wanted
                if not left or len(octets) < wanted:  # before the last block is out of our hands
                    self._check(file)
                yield base64_lines(octets)

    def _check(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.length, self.modified):
            raise ContentError(
                f"the file {self.path} was changed while its message was on the way: send again"
            )


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read it.

    Raises:
        ContentError: it is none, or it cannot be opened.
    """
    try:
        # Asked before it is opened: opening a FIFO would wait until somebody writes into it.
        if stat.S_ISREG(path.stat().st_mode):
            return path.open("rb")
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc=exc) from exc
    raise ContentError(f"the file {path} cannot be read: it is not a regular file")


def read_file(path: Path) -> bytes:
    """All that stands in a regular file.

    Raises:
        ContentError: it cannot be read.
    """
    with open_file(path) as file:
        return _read(file, path=path, limit=-1)


def _read(file: BinaryIO, *, path: Path, limit: int) -> bytes:
    try:
        return file.read(limit)
    except OSError as exc:
        raise _unreadable(path, exc=exc) from exc


def _unreadable(path: Path, *, exc: Exception) -> ContentError:
    return ContentError(f"the file {path} cannot be read: {getattr(exc, 'strerror', None) or exc}")


def base64_lines(octets: bytes) -> bytes:
    """Lines of 76 columns, each with CRLF; what is not at the end must be a multiple of 57 octets."""
    encoded = b2a_base64(octets, newline=False)
    full, rest = divmod(len(encoded), _COLUMNS)
    lines = [*_rows(full).unpack_from(encoded), encoded[-rest:]] if rest else _rows(full).unpack(encoded)
    # Joining slices cut by `struct` is the fastest way that Python has to put a line end into every row.
    return b"\r\n".join((*lines, b""))


@lru_cache(maxsize=8)  # a cache: nearly all blocks have the same number of lines
def _rows(count: int) -> struct.Struct:
    return struct.Struct(f"{_COLUMNS}s" * count)


class FilePart(EmailMessage):
    """A part of a message whose content is read from its file whenever somebody asks for it.

    It is what `EmailMessage.add_attachment` would make of the file's octets. A pickle holds the
    octets, for it may be read where the file is not.
    """

    file: Path | None = None
    """None as soon as the part was given a content of its own."""
    _own: Any = None

    @classmethod
    def of(cls, path: Path, *, maintype: str, subtype: str) -> FilePart:
        """A part for the file, with the file's name.

        Raises:
            ContentError: it is no regular file, or it cannot be read.
        """
        open_file(path).close()
        part = cls()
        part.set_content(
            b"", maintype=maintype, subtype=subtype, disposition="attachment", filename=path.name
        )
        part.file = path.absolute()
        return part

    def is_multipart(self) -> bool:
        """False for a file; known without reading it."""
        return self.file is None and super().is_multipart()

    @property
    def _payload(self) -> Any:
        if self.file is None:
            return self._own
        return base64_lines(read_file(self.file)).decode("ascii").replace("\r\n", "\n")

    @_payload.setter
    def _payload(self, payload: Any) -> None:
        self.file, self._own = None, payload

    def __copy__(self) -> FilePart:
        return self._with(self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> FilePart:
        return self._with(copy.deepcopy(self.__dict__, memo))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "file": None, "_own": self._payload}

    def _with(self, state: dict[str, Any]) -> FilePart:
        made = type(self).__new__(type(self))
        made.__dict__.update(state)
        return made
