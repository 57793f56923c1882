"""Where is remembered what was learnt, from one run to the next? Small files in the user's cache directory.

One JSON file for each thing, in a directory for each kind of memory. Its name is a hash of its key
with a salt that never leaves the directory: nobody sees from outside what is remembered, nor of whom.

Nothing here raises for the state of a disk. What cannot be read was never learnt, what cannot be
written is not remembered. And as it decides where passwords go, nothing is believed that somebody else
could have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import ntpath
import os
import posixpath
import re
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

Key: TypeAlias = tuple[str, ...]
"""What a memory is about. It is hashed and never written."""

_LARGEST = 64 * 1024
"""Octets of a file. A larger one is not ours."""

_MOST = 200
"""Files of one kind. Beyond it the oldest go."""

_LEFT_BEHIND = 3600.0
"""Seconds after which a half-written file is that of a program that died."""

_SALT = 32
"""Octets."""

_KIND = re.compile(r"[a-z][a-z-]{0,30}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.json")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}")

# A link is not followed, and what is no file is not waited for. Windows has neither.
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_UNREADABLE = (OSError, ValueError, RecursionError)
_UNWRITABLE = (*_UNREADABLE, TypeError)


class Store:
    """A directory of what was learnt. Safe for many threads and processes: the last to write wins.

    A `kind` is a word in lower case, such as `routes`. Another one is a ValueError, the only error here.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @staticmethod
    def usual(environ: Mapping[str, str] | None = None) -> Store:
        """That of the user, as the environment says it now."""
        directory = usual_directory(os.environ if environ is None else environ)
        return Store(Path(directory)) if directory else Nowhere()

    def read(self, kind: str, key: Key) -> dict[str, Any] | None:
        """What was written last; None where there is nothing, or nothing that can be believed."""
        directory = self._directory(kind)
        try:
            octets = _octets(_entry(directory, key=key, salt=self._salt())) if _is_ours(directory) else None
            return None if octets is None else _parsed(octets)
        except _UNREADABLE:
            return None

    def write(self, kind: str, key: Key, value: Mapping[str, Any]) -> bool:
        """Remember it in place of what was there. Whether that succeeded."""
        directory = self._directory(kind)
        try:
            octets = json.dumps(dict(value), allow_nan=False).encode()
            if len(octets) > _LARGEST:
                return False
            salt = self._salt_or_new()
            _make(directory)
            entry = _entry(directory, key=key, salt=salt)
            _put(entry, octets)
        except _UNWRITABLE:
            return False
        _tidy(directory, newest=entry)
        return True

    def forget(self, kind: str, key: Key) -> None:
        """Remember it no longer."""
        directory = self._directory(kind)
        with contextlib.suppress(*_UNREADABLE):
            if _is_ours(directory):
                _entry(directory, key=key, salt=self._salt()).unlink()

    def _directory(self, kind: str) -> Path:
        if not _KIND.fullmatch(kind):
            raise ValueError(f"{kind!r} is no kind of memory")
        return self._root / kind

    def _salt(self) -> bytes:
        """Raises FileNotFoundError where there is none of use."""
        salt = _octets(self._root / "salt") if _is_ours(self._root) else None
        if salt is None or len(salt) != _SALT:
            raise FileNotFoundError("there is no salt")
        return salt

    def _salt_or_new(self) -> bytes:
        # A home that is not there is not made: the directory and the one around it are enough.
        for directory in (self._root.parent, self._root):
            if not directory.is_dir():
                _make(directory)
        # Of those who find none, one wins. One that is damaged is replaced, and all that went with it.
        for place in (_link, os.replace):
            with contextlib.suppress(FileNotFoundError):
                return self._salt()
            if _is_ours(self._root):
                _put(self._root / "salt", os.urandom(_SALT), place=place)
        return self._salt()


class Nowhere(Store):
    """Where nothing is remembered."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def read(self, kind: str, key: Key) -> dict[str, Any] | None:  # noqa: ARG002
        """Nothing."""
        return None

    def write(self, kind: str, key: Key, value: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Not remembered."""
        return False

    def forget(self, kind: str, key: Key) -> None:
        """There is nothing to forget."""


def usual_directory(environ: Mapping[str, str], *, platform: str = sys.platform) -> str | None:
    """Where a user's store is; None for nowhere.

    PORTMAIL_CACHE is an absolute path; anything else there, such as `off`, means nowhere. Then comes
    XDG_CACHE_HOME (which counts only if it is absolute), then what is usual on the platform.
    """
    paths = ntpath if platform == "win32" else posixpath
    if wish := environ.get("PORTMAIL_CACHE"):
        return wish if paths.isabs(wish) else None
    for variable, within in _PLACES.get(platform, _PLACES["linux"]):
        if paths.isabs(base := environ.get(variable, "")):
            place: str = paths.join(base, *within)
            return place
    return None


_XDG = ("XDG_CACHE_HOME", ("portmail",))

_PLACES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "linux": (_XDG, ("HOME", (".cache", "portmail"))),
    "darwin": (_XDG, ("HOME", ("Library", "Caches", "portmail"))),
    "win32": (("LOCALAPPDATA", ("portmail", "Cache")),),
}


def _entry(directory: Path, *, key: Key, salt: bytes) -> Path:
    # As JSON, so that no two keys read the same.
    octets = json.dumps([directory.name, *key]).encode()
    return directory / f"{hashlib.sha256(salt + octets).hexdigest()}.json"


def _belongs_to_us(status: os.stat_result) -> bool:
    """Whether nobody else can have written it. Windows keeps others out of a user's directories itself."""
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_ours(directory: Path) -> bool:
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and _belongs_to_us(status)


def _is_our_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and _belongs_to_us(status) and status.st_size <= _LARGEST


def _octets(path: Path) -> bytes | None:
    """What is in the file; None where there is none, or none of ours."""
    with contextlib.suppress(FileNotFoundError):
        if _is_our_file(path.lstat()):
            with open(path, "rb", buffering=0, opener=_open_carefully) as stream:
                # Asked again, of what was opened: it may be another one by now.
                return stream.read(_LARGEST) if _is_our_file(os.fstat(stream.fileno())) else None
    return None


def _open_carefully(path: str, flags: int) -> int:
    return os.open(path, flags | _CAREFULLY)


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _parsed(octets: bytes) -> dict[str, Any] | None:
    value = json.loads(octets.decode(), parse_constant=_refuse)
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _make(directory: Path) -> None:
    """Have a directory of ours.

    Raises:
        OSError: it cannot be made, or it is there and not ours.
    """
    if not _may_be_built_in(directory.parent.stat()):
        raise PermissionError("it would be in the directory of another user")
    directory.mkdir(0o700, exist_ok=True)
    if not _is_ours(directory):
        raise PermissionError("it belongs to somebody else")


def _may_be_built_in(status: os.stat_result) -> bool:
    # Root, with the HOME of a user, would leave there what the user could never use.
    return sys.platform == "win32" or status.st_uid in (0, os.geteuid())


def _put(path: Path, octets: bytes, *, place: Callable[[Path, Path], None] = os.replace) -> None:
    """Write a file so that nobody ever sees half of it. What a power failure spoils is not read."""
    temporary = path.with_name(f".{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb", opener=_open_privately) as stream:
            stream.write(octets)
        place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _link(temporary: Path, path: Path) -> None:
    """Place it only where nothing is."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # another one was first
    except OSError:  # a file system without links
        temporary.replace(path)


def _tidy(directory: Path, *, newest: Path) -> None:
    """Remove what is too much, the oldest first, and what programs that died left behind."""
    with contextlib.suppress(OSError):
        paths = tuple(directory.iterdir())
        others = [path for path in paths if _ENTRY.fullmatch(path.name) and path != newest]
        if len(others) >= _MOST:
            others.sort(key=_written, reverse=True)
        halves = [path for path in paths if _TEMPORARY.fullmatch(path.name)]
        dead = time.time() - _LEFT_BEHIND
        for path in (*others[_MOST - 1 :], *(half for half in halves if _written(half) < dead)):
            with contextlib.suppress(OSError):
                path.unlink()


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:  # somebody else removed it
        return 0.0
