"""What became of each message in earlier runs? The journal, for which nothing is sent twice.

The first line says which source it is about. Then, for each message, `begun` is written before the
octets that commit it, and what became of it afterwards. A message that is begun and has no other
line is in doubt. Lines are written at once and whole; a program that is killed loses none, a
machine that loses its power may lose the last ones.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from stat import S_ISREG
from types import TracebackType
from typing import Any, Self

from portmail.cli import exits
from portmail.cli.exits import Busy, UsageError
from portmail.cli.mailboxes import Source
from portmail.cli.outcomes import Known, Outcome, State
from portmail.errors import ConfigurationError

_TITLE: Mapping[str, Any] = {"portmail": "journal of send-many", "version": 1}
_HEAD = b'{"portmail": "journal of send-many"'
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class JournalFailed(ConfigurationError):
    """The journal cannot be written: from here on nothing is sent."""


class Journal:
    """The journal at a path, for as long as the `with` block lasts.

    Attributes:
        past: by key, what earlier runs settled.
        failure: why it can be written no longer; None as long as it can.

    Raises:
        UsageError: the file is no journal, or that of another source.
        Busy: another run has it open.
        JournalFailed: it cannot be opened or written.
    """

    def __init__(self, path: str, *, source: Source) -> None:
        self.path = path
        self.past: dict[str, Known] = {}
        self.failure: JournalFailed | None = None
        try:
            self._file = os.open(path, _FLAGS, 0o600)
        except (OSError, ValueError) as exc:
            raise self._failed(exc) from None
        try:
            self._lock()
            self._read(source)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.failure = self.failure or JournalFailed(f"the journal {self.path} is closed")
        os.close(self._file)

    def begun(self, key: str) -> None:
        """The message is about to be committed.

        Raises:
            JournalFailed: this could not be written, so the message must not be sent.
        """
        self._append({"key": key, "state": State.BEGUN})

    def ended(self, outcome: Outcome) -> None:
        """What became of a message.

        Raises:
            JournalFailed: this could not be written. If it was begun, the next run has it in doubt.
        """
        self._append(
            {
                "key": outcome.key,
                "state": outcome.state,
                "message_id": outcome.message_id,
                "refused": {who: str(reply) for who, reply in outcome.refused.items()},
                "code": outcome.code,
            }
        )

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self.failure:
            raise JournalFailed(str(self.failure))
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({**entry, "time": time}).encode() + b"\n"
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, "only the beginning of a line found room")
        except OSError as exc:
            raise self._failed(exc) from None

    def _failed(self, exc: OSError | ValueError) -> JournalFailed:
        why = getattr(exc, "strerror", None) or exc
        self.failure = JournalFailed(
            f"the journal {self.path} cannot be written: {why}. Without it nothing is sent"
        )
        return self.failure

    def _lock(self) -> None:
        if not S_ISREG(os.fstat(self._file).st_mode):
            raise UsageError(f"{self.path} is no file, and cannot be a journal")
        if sys.platform == "win32":  # there, nothing keeps two runs apart
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another run is using the journal {self.path}: wait until it ends") from None
        except OSError as exc:
            raise self._failed(exc) from None

    def _read(self, source: Source) -> None:
        """Take in what is there and mend its end, or begin."""
        intact, ended = 0, True
        with open(self._file, "rb", closefd=False) as stream:
            begin = stream.peek(len(_HEAD))[: len(_HEAD)]
            if not _HEAD.startswith(begin):
                raise UsageError(f"{self.path} is no journal of send-many: give another file")
            for number, line in enumerate(stream, 1):
                entry, ended = _parsed(line), line.endswith(b"\n")
                if entry is None and not ended:
                    break  # the last one, of a program that died in the middle of it
                self._take(entry or {}, number=number, source=source)
                intact += len(line)
        self._mend(intact, ended=ended)
        if not intact:
            self._append({**_TITLE, "about": source.identity()})

    def _take(self, entry: Mapping[str, Any], *, number: int, source: Source) -> None:
        if number == 1:
            self._check_title(entry, source=source)
            return
        key, known = entry.get("key"), _known(entry)
        if not isinstance(key, str) or known is None:
            raise UsageError(f"{self.path}: line {number} is no line of a journal: mend it, or take it out")
        if known.state is State.NOT_SENT:
            self.past.pop(key, None)
        else:
            self.past[key] = known

    def _check_title(self, entry: Mapping[str, Any], *, source: Source) -> None:
        about = entry.get("about")
        if not (_TITLE.items() <= entry.items() and isinstance(about, dict)):
            raise UsageError(f"{self.path} is the journal of another version: give another file")
        if not source.is_that_of(about):
            raise UsageError(
                f"{self.path} is the journal of {about.get('name')} as it was then, not of {source.name} "
                "as it is now: give another file, which sends all of it"
            )

    def _mend(self, intact: int, *, ended: bool) -> None:
        try:
            if os.fstat(self._file).st_size > intact:
                os.ftruncate(self._file, intact)
            elif not ended:
                os.write(self._file, b"\n")
        except OSError as exc:
            raise self._failed(exc) from None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _known(entry: Mapping[str, Any]) -> Known | None:
    """What the line says of its message; the same object for the same words, as there may be many."""
    return _knowledge(str(entry.get("state")), str(entry.get("code", "")))


@lru_cache(maxsize=64)
def _knowledge(state: str, code: str) -> Known | None:
    if state in (State.BEGUN, State.IN_DOUBT):
        return Known(State.IN_DOUBT, exits.IN_DOUBT)
    if state in (State.ACCEPTED, State.REFUSED, State.NOT_SENT) and code.isdecimal():
        return Known(State(state), int(code))
    return None
