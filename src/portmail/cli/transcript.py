"""What was said to servers? `Transcript`: a check's dialogues in a file for a ticket, without secrets."""

from __future__ import annotations

import logging
import os
import platform
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from portmail import __version__
from portmail.cli.report import tell_aside
from portmail.errors import ConfigurationError
from portmail.log import DIALOGUE

if TYPE_CHECKING:
    from portmail.report import Report


class Transcript:
    """Writes what the log says of dialogues, in which secrets are masked by construction. None: nowhere.

    The file is made for its owner alone. One that is there is written anew, and keeps its mode; as
    elsewhere, links are followed. Where it cannot be written to the end, that is told, and stops nothing.

    Raises:
        ConfigurationError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._report: Report | None = None
        self._level = DIALOGUE.level
        self._handler: logging.Handler | None = None

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._file = open(  # closed below
                self._path, "w", encoding="utf-8", errors="backslashreplace", opener=_privately
            )
        except OSError as exc:
            raise ConfigurationError(f"--log: {self._path} cannot be written: {exc.strerror}") from None
        self._file.write(_heading())
        self._handler = _Handler(self._file)
        self._handler.setFormatter(_Formatter())
        DIALOGUE.addHandler(self._handler)
        DIALOGUE.setLevel(logging.DEBUG)
        return self

    def add(self, report: Report) -> None:
        """Put the report behind the dialogues."""
        self._report = report

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None or self._handler is None:
            return
        DIALOGUE.removeHandler(self._handler)
        DIALOGUE.setLevel(self._level)
        ending = str(self._report or f"{type(error).__name__}: {error}").removesuffix(": ")
        try:
            with self._file as file:
                file.write(f"\n{ending}\n")
        except OSError as exc:
            tell_aside(f"portmail: --log: {self._path} is not complete: {exc.strerror}")


class _Handler(logging.StreamHandler[TextIO]):
    """Is silent where it cannot write: that is told at the end."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Nothing is told here."""


class _Formatter(logging.Formatter):
    """A line: when, on which connection, and what was said."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d  %(portmail_connection)s  %(message)s", "%H:%M:%S")


def _heading() -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    system = f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {platform.system()}"
    return f"portmail {__version__} check, {when}, {system}\n\n"


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
