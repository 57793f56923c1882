"""What is printed of what was found? Environment lines that portmail itself has read, and comments.

The lines need no quotes: they are the same for `set -a; . FILE` in a shell, for systemd's
EnvironmentFile, and for Docker's --env-file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from portmail.errors import AddressError, ConfigurationError
from portmail.importing.account_url import account_url, escaped, notes_on_way
from portmail.importing.found import Found, absolute, one_line
from portmail.settings import Settings, from_environment

_PLAIN = re.compile(r"[\w./@:+-]+", re.ASCII)
"""What stands for itself in an environment line, whoever reads it."""

_STAND_IN = "no password"
"""For the trial: portmail takes no user name without a password."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What was found, in portmail's words. `environment` holds a password only if that was asked for."""

    found: Found
    environment: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    settings: Settings

    @property
    def lines(self) -> Iterator[str]:
        """What is printed."""
        yield f"# portmail: from {self.found.where}"
        yield from (f"# {note}" for note in self.notes)
        yield from (f"{name}={value}" for name, value in self.environment.items())
        if self.found.settings:
            yield from ("#", *(f"#   {line}".rstrip() for line in self.found.settings.splitlines()))

    @property
    def data(self) -> dict[str, Any]:
        """The same, as JSON-ready data."""
        return {
            "status": "found",
            "from": self.found.where,
            "environment": dict(self.environment),
            "routes": [str(route) for route in self.settings.routes],
            "username": self.found.username,
            "sender": self.settings.sender,
            "notes": list(self.notes),
            "settings": self.found.settings,
        }


def translate(found: Found, *, show_password: bool = False, password_file: str | None = None) -> Translation:
    """What was found as environment variables, which `portmail.settings.from_environment` takes.

    Raises:
        ConfigurationError: portmail cannot use it; the text says why.
    """
    notes = [*notes_on_way(found), *map(one_line, found.notes)]
    sender = _sender(found, notes=notes)
    option, environment = "", {}
    for variable, name, value in (("PORTMAIL_FROM", "from", sender), ("PORTMAIL_CA", "ca", found.tls_ca)):
        if value and _PLAIN.fullmatch(value):
            environment[variable] = value
        elif value and not option:
            option = f"?{name}={escaped(value)}"
        elif value:  # a second option would stand behind a &, which ends a command in a shell
            notes.append(f"{variable} cannot be written without quotes: set it yourself to {one_line(value)}")
    shown = found.password if show_password and found.username is not None else None
    environment = {"PORTMAIL_URL": account_url(found, password=shown, option=option)} | environment
    if password_file is not None:
        environment["PORTMAIL_PASSWORD_FILE"] = password_file
    elif shown is None and found.username is not None:
        notes.append(found.how_to_get_password or _NOT_SHOWN)
    notes.sort(key=lambda note: not note.startswith("WARNING"))
    return Translation(found, environment, tuple(notes), _tried(environment, found=found))


_NOT_SHOWN = (
    "the password is not shown: the same command with --password-file FILE writes it into FILE (0600) "
    "and prints PORTMAIL_PASSWORD_FILE=FILE"
)


def _sender(found: Found, *, notes: list[str]) -> str | None:
    """The sender, if portmail can use it."""
    try:
        from_environment({"PORTMAIL_URL": "relay://localhost", "PORTMAIL_FROM": found.sender or ""})
    except AddressError:
        notes.append(f"the sender {one_line(found.sender)!r} is no address: it is left out")
        return None
    return found.sender


def _tried(environment: Mapping[str, str], *, found: Found) -> Settings:
    """The settings that these lines come to: what is printed has been read once by portmail itself."""
    password = found.password or _STAND_IN if found.username is not None else ""
    trial = {name: value for name, value in environment.items() if name != "PORTMAIL_PASSWORD_FILE"}
    return from_environment({"PORTMAIL_PASSWORD": password} | trial)


def password_path(path: str) -> str:
    """The path as it is printed: from the root, for a program may be started anywhere.

    Raises:
        ConfigurationError: it has characters that would need quotes.
    """
    full = absolute(path)
    if not _PLAIN.fullmatch(full):
        raise ConfigurationError(
            f"{one_line(full)}: take a path of letters, digits, dots, dashes and slashes"
        )
    return full


def password_text(found: Found) -> str:
    """What is to stand in the password's file.

    Raises:
        ConfigurationError: there is no password, or none that a file could hold.
    """
    if found.password is None or found.username is None:
        why = f": {found.how_to_get_password}" if found.how_to_get_password else ""
        raise ConfigurationError(f"{found.where} has no password to write{why}")
    if found.password.endswith(("\n", "\r")):
        raise ConfigurationError(
            "the password ends with a line end, which a file cannot show: use --show-password"
        )
    return found.password + "\n"


def write_private(*texts: tuple[str, str]) -> None:
    """Write new files that only their owner can read, each a path and its text: all of them, or none.

    Raises:
        ConfigurationError: one exists, or cannot be written.
    """
    with ExitStack() as opened:
        files = [opened.enter_context(_new(path)) for path, _ in texts]
        for file, (path, text) in zip(files, texts, strict=True):
            with _told(path):
                file.write(text)
                file.flush()


@contextmanager
def _new(path: str) -> Iterator[TextIO]:
    """A new file, which is gone again after an error."""
    with _told(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                yield file
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except ConfigurationError:  # that is told already
        raise
    except FileExistsError:
        raise ConfigurationError(
            f"{one_line(path)} exists, and is left as it is: name another file"
        ) from None
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or "that is no path"
        raise ConfigurationError(f"{one_line(path)} cannot be written: {why}") from None
