"""What do tests of `portmail init` share? From what was found to what portmail makes of the lines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from portmail.importing.found import Asked
from portmail.importing.reading import read
from portmail.importing.writing import Translation, translate
from portmail.settings import Settings, from_environment


@dataclass(frozen=True)
class Account:
    """What portmail would use."""

    routes: str
    login: tuple[str, str] | None
    sender: str | None = None
    tls_ca: str | None = None


def account(settings: Settings) -> Account:
    login = None
    if settings.credentials:
        login = (settings.credentials.username, asyncio.run(settings.credentials.secret.resolve()))
    ca = str(settings.tls_ca) if settings.tls_ca else None
    return Account(", ".join(map(str, settings.routes)), login, settings.sender, ca)


def translated(program: str, source: str | None = None, **asked: str | None) -> Translation:
    """The translation, with the password shown."""
    return translate(read(program, Asked(source=source, **asked)), show_password=True)


def fed_back(translation: Translation, **more: str) -> Account:
    """What portmail makes of the lines, as they are printed."""
    lines = [line for line in translation.lines if not line.startswith("#")]
    environ = dict(line.split("=", 1) for line in lines)
    return account(from_environment(environ | more))


def warnings(translation: Translation) -> list[str]:
    return [note for note in translation.notes if note.startswith("WARNING")]
