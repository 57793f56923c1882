"""Which messages does a directory or an mbox file hold? Read one by one, each with a key of its own.

An mbox is a text file in which each message stands behind a line `From ADDRESS DATE` (RFC 4155);
a line of the message that begins with `From `, after any number of `>`, has one `>` more than it
should ("mboxrd"), which is taken off.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, BinaryIO, Protocol, Self, TypeAlias

from portmail.cli.exits import UsageError

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +"
    rb"(?:" + _MONTH + rb" +[0-9]{1,2} +[0-9]{1,2}:[0-9]{2}\b.* [0-9]{4}\b"  # as asctime(3) has it
    rb"|[0-9]{1,2} +" + _MONTH + rb" +[0-9]{4} +[0-9]{1,2}:[0-9]{2}\b)"  # as RFC 5322 has it
)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.MULTILINE | re.IGNORECASE)
_HEADER_END = re.compile(rb"\n\r?\n")
_EMPTY = (b"\n", b"\r\n")
_LONGEST = 1024
"""Octets of a line that are looked at to find out whether it begins a message."""


@dataclass(frozen=True, slots=True)
class FileLetter:
    """A message that is a file of its own; it is read when its turn has come."""

    key: str
    path: str
    weight: int = 1
    doubt: str = ""

    def __fspath__(self) -> str:
        return self.path


class OctetsLetter(bytes):
    """A message out of an mbox. `weight` is its octets there; `doubt`, if any, why it cannot be sent."""

    key: str
    weight: int
    doubt: str

    @classmethod
    def of(cls, stored: bytes, *, offset: int, weight: int, doubt: str) -> Self:
        """The message that is stored like this, without the line before and the empty line behind it."""
        letter = cls(_QUOTED.sub(rb"\1", stored))
        letter.key = f"{offset}-{hashlib.sha256(letter).hexdigest()[:12]}"
        letter.weight, letter.doubt = weight, doubt
        return letter


Letter: TypeAlias = FileLetter | OctetsLetter


def message_id_of(letter: Letter) -> str:
    """Its Message-ID, to look for it; empty where it has none or cannot be read."""
    try:
        octets = letter if isinstance(letter, bytes) else Path(letter).read_bytes()
    except OSError:
        return ""
    found = _MESSAGE_ID.search(_HEADER_END.split(octets, maxsplit=1)[0])
    return found[1].decode("utf-8", "replace") if found else ""


class Source(Protocol):
    """Where the messages are."""

    @property
    def name(self) -> str:
        """Its path, as it was given."""
        ...

    @property
    def total(self) -> int:
        """The sum of the weights of its messages: their number, or the octets of the mbox."""
        ...

    @property
    def counted(self) -> bool:
        """Whether the weight of a message is 1."""
        ...

    def __iter__(self) -> Iterator[Letter]: ...

    def identity(self) -> Mapping[str, Any]:
        """What a journal keeps, to know this source again."""
        ...

    def is_that_of(self, identity: Mapping[str, Any]) -> bool:
        """Whether a journal that kept this is about this source."""
        ...


def open_source(path: str) -> Source:
    """The source at this path.

    Raises:
        UsageError: there is none, it cannot be read, or it is no mbox.
    """
    try:
        mode = Path(path).stat().st_mode
        if S_ISDIR(mode):
            return Directory(path, letters=dict(_files(path)))
        if S_ISREG(mode):
            return Mbox.at(path)
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise UsageError(f"{path} cannot be read: {why}") from None
    raise UsageError(f"{path} is neither a directory nor a file")


@dataclass(frozen=True, slots=True)
class Directory:
    """The files of a directory that end in .eml, or those of a Maildir, sorted by key."""

    name: str
    letters: Mapping[str, str] = field(repr=False)
    """Paths by key."""
    counted: bool = True

    @property
    def total(self) -> int:
        """How many files there are."""
        return len(self.letters)

    def __iter__(self) -> Iterator[Letter]:
        return (FileLetter(key, self.letters[key]) for key in sorted(self.letters))

    def identity(self) -> Mapping[str, Any]:
        """Where it is."""
        return {"source": "directory", "name": os.path.realpath(self.name)}

    def is_that_of(self, identity: Mapping[str, Any]) -> bool:
        """Whether it is the same place."""
        return dict(identity) == self.identity()


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Keys and paths."""
    parts = [Path(path, part) for part in ("new", "cur")]
    if all(part.is_dir() for part in parts):
        for entry in itertools.chain.from_iterable(map(_entries, parts)):
            if entry.is_file() and not entry.name.startswith("."):
                # What stands behind the colon are flags, which change when somebody reads the message.
                yield entry.name.partition(":")[0], entry.path
    else:
        for entry in _entries(path):
            if entry.is_file() and entry.name.lower().endswith(".eml") and not entry.name.startswith("."):
                yield entry.name, entry.path


def _entries(path: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        yield from entries


@dataclass(frozen=True, slots=True)
class Mbox:
    """An mbox file, read as a stream: one message at a time is in memory."""

    name: str
    total: int
    counted: bool = False

    @classmethod
    def at(cls, path: str) -> Mbox:
        """The mbox at this path.

        Raises:
            UsageError: it does not begin like one.
            OSError: it cannot be read.
        """
        with Path(path).open("rb") as stream:
            first = stream.readline(_LONGEST)
            if first and not _begins_a_message(first):
                raise UsageError(
                    f"{path} is no mbox: its first line is not like "
                    "`From me@example.org Thu Jan  1 00:00:00 2026`."
                    " A single message is sent from a directory, as a file that ends in .eml"
                )
            return cls(path, os.fstat(stream.fileno()).st_size)

    def __iter__(self) -> Iterator[Letter]:
        with Path(self.name).open("rb") as stream:
            yield from _letters(stream)

    def identity(self) -> Mapping[str, Any]:
        """What it holds, as a digest: keys are places in it, so it must stay as it is."""
        kept = {"source": "mbox", "name": os.path.realpath(self.name), "octets": self.total}
        return {**kept, "sha256": _digest(self.name, octets=self.total)}

    def is_that_of(self, identity: Mapping[str, Any]) -> bool:
        """Whether it begins with all that it held then; more may have been appended since."""
        octets = identity.get("octets")
        if identity.get("source") != "mbox" or not isinstance(octets, int) or octets > self.total:
            return False
        return bool(identity.get("sha256") == _digest(self.name, octets=octets))


def _digest(path: str, *, octets: int) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while octets > 0 and (block := stream.read(min(octets, 1 << 20))):
            digest.update(block)
            octets -= len(block)
    return digest.hexdigest()


def _begins_a_message(line: bytes) -> bool:
    return line.startswith(b"From ") and _DATE.search(line[:_LONGEST]) is not None


def _letters(stream: BinaryIO) -> Iterator[OctetsLetter]:
    begin, doubt, after_empty = 0, "", False
    octets = bytearray(stream.readline())
    head = len(octets)
    for line in stream:
        if line.startswith(b"From "):
            begins = _begins_a_message(line)
            if begins and after_empty:
                yield _letter(octets, head=head, offset=begin, doubt=doubt)
                begin, doubt, head = begin + len(octets), "", len(line)
                octets.clear()
            elif begins or after_empty:
                doubt = doubt or _doubt(line, begins=begins)
        octets += line
        after_empty = line in _EMPTY
    if octets:
        yield _letter(octets, head=head, offset=begin, doubt=doubt)


def _letter(octets: bytearray, *, head: int, offset: int, doubt: str) -> OctetsLetter:
    end = next(
        (len(octets) - len(empty) for empty in reversed(_EMPTY) if octets.endswith(b"\n" + empty)), None
    )
    return OctetsLetter.of(bytes(octets[head:end]), offset=offset, weight=len(octets), doubt=doubt)


def _doubt(line: bytes, *, begins: bool) -> str:
    """Why nobody can say where the message ends. Sent in the wrong cut, it would hold somebody else's."""
    lacks = "no empty line is before it" if begins else "it has no date"
    shown = line[:60].decode("utf-8", "replace").rstrip()
    return f"{shown!r} could begin the next message, but {lacks}: if it belongs to the text, write '>From '"
