"""What does another program's configuration say? `Found`: a frozen value, the same for every program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portmail.errors import ConfigurationError
from portmail.reply import printable
from portmail.security import Security


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be read: a file, module or URL, and which account in it; None is the program's usual."""

    source: str | None = field(default=None, repr=False)  # a URL may hold a password
    account: str | None = None
    host: str | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An account as another program has it. Printing it shows no password.

    `security` is what that program does, None where it says nothing of it; `port` is None where it
    is not said, and then `usual_port` is what that program takes. `notes` are a line each for what
    is not carried over as it is; `how_to_get_password` says where the password is, where it is not
    in the configuration. `settings` is what to write in that program's own settings.
    """

    where: str
    host: str
    port: int | None = None
    usual_port: int | None = None
    security: Security | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str | None = None
    tls_ca: str | None = None
    notes: tuple[str, ...] = ()
    how_to_get_password: str | None = None
    settings: str | None = None


class NothingFound(ConfigurationError):
    """There is no SMTP account in what was read. The text says what is there."""


def whole_number(value: object, *, name: str) -> int | None:
    """The port that a configuration names; None where it names none.

    Raises:
        ConfigurationError: it is no number. The value is not shown: it may be a part of a password.
    """
    if value in (None, "", 0, "0"):
        return None
    try:
        return int(str(value))
    except ValueError:
        raise ConfigurationError(f"{name} is no number: correct it there") from None


def left_behind(said: Mapping[str, object], why: Mapping[str, str]) -> Iterator[str]:
    """A note for each setting that says something and has no place here."""
    for name, reason in why.items():
        if said.get(name):
            aloud = "WARNING: " if reason.startswith("WARNING: ") else ""
            yield f"{aloud}{name}: {reason.removeprefix(aloud)}"


def one_line(text: object) -> str:
    """A text of somebody else's, fit for a comment and a terminal."""
    return printable(" ".join(str(text).split()))


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, sorted."""
    return one_line(", ".join(sorted(names)))


def absolute(path: str) -> str:
    """The path as it is wherever a program is started, and without the ~ that only a shell knows.

    Raises:
        ConfigurationError: ~ of somebody unknown.
    """
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:
        raise ConfigurationError(f"{one_line(path)}: there is no such user: write the whole path") from None


def read_text(path: str | Path, *, what: str) -> str:
    """What stands in a file, octets that are no UTF-8 as surrogates.

    Raises:
        ConfigurationError: it cannot be read.
    """
    with told_if_unreadable(path, what=what):
        return Path(path).expanduser().read_text("utf-8-sig", errors="surrogateescape")


@contextlib.contextmanager
def told_if_unreadable(path: str | Path, *, what: str) -> Iterator[None]:
    """What the system says of a file, in a sentence.

    Raises:
        ConfigurationError: it cannot be read, or is a pipe to which nobody may ever write.
    """
    try:
        # That of a shell's <(command) is open already.
        if Path(path).expanduser().is_fifo() and not str(path).startswith("/dev/"):
            raise OSError(None, "it is a pipe: name a file, or <(COMMAND)")
        yield
    except (OSError, ValueError, RuntimeError) as exc:  # RuntimeError: ~ of somebody unknown
        why = getattr(exc, "strerror", None) or "that is no path"
        raise ConfigurationError(f"{what}: {one_line(path)} cannot be read: {why}") from None
