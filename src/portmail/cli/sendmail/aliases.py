"""Who gets the mail of a name without a domain? A map in the form of aliases(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from portmail.errors import ConfigurationError

_WILD = ("*", "default")
"""Names for all that have no line of their own."""

_LINE = re.compile(r'\s*("[^"]*"|[^\s:"]+)\s*:(.*)', re.DOTALL)
_TARGET = re.compile(r'(?:"[^"]*"|[^,"])+')
_NO_ADDRESSES = {
    "|": "mail is not piped into programs here",
    "/": "mail is not written into files here",
    ":include:": "lists are not read from other files here",
}
"""What aliases(5) allows besides addresses, and no submission can do."""


class Aliases:
    """Which addresses a name stands for. Names are the same in any case (RFC 2142)."""

    def __init__(self, entries: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._entries = dict(entries or {})

    @classmethod
    def read(cls, path: str) -> Aliases:
        """The map in a file.

        Raises:
            ConfigurationError: it cannot be read or understood; the text names the line.
        """
        try:
            text = Path(path).read_text("utf-8-sig")
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise ConfigurationError(f"PORTMAIL_ALIASES: {path!r} cannot be read: {why}") from None
        return cls.of(text, place=path)

    @classmethod
    def of(cls, text: str, *, place: str = "aliases") -> Aliases:
        """The map in a text: `name: address, other name`. A line that begins with a blank goes on.

        What `\\name` stands for is that name, whatever line it has itself.

        Raises:
            ConfigurationError: a line that is none of these.
        """
        entries: dict[str, tuple[str, ...]] = {}
        for number, line in _logical_lines(text.splitlines()):
            name, targets = _entry(line, where=f"{place}, line {number}")
            if name in entries:
                raise ConfigurationError(f"{place}, line {number}: {name!r} has a line already")
            entries[name] = targets
        return cls(entries)

    def of_name(self, name: str) -> tuple[str, ...]:
        """All that the name stands for, in the end: addresses, and names that stand for themselves."""
        return tuple(dict.fromkeys(self._followed(name, before=frozenset())))

    def _followed(self, name: str, *, before: frozenset[str]) -> Iterator[str]:
        if name.startswith("\\"):
            yield name[1:]
            return
        key = name.strip('"').lower()
        targets = () if "@" in name or key in before else self._targets(key)
        if not targets:
            yield name
        for target in targets:
            yield from self._followed(target, before=before | {key})

    def _targets(self, key: str) -> tuple[str, ...]:
        found = (self._entries[name] for name in (key, *_WILD) if name in self._entries)
        return next(found, ())


def _logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, and the number of the first; without comments and empty ones."""
    number, said = 0, ""
    for at, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and said:
            said += line
            continue
        if said:
            yield number, said
        number, said = at, line
    if said:
        yield number, said


def _entry(line: str, *, where: str) -> tuple[str, tuple[str, ...]]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ConfigurationError(f"{where}: write it like root: you@example.org")
    targets = [found.strip() for found in _TARGET.findall(match[2])]
    targets = [target for target in targets if target]
    for target in targets:
        for beginning, why in _NO_ADDRESSES.items():
            if target.strip('"').startswith(beginning):
                raise ConfigurationError(f"{where}: {target} is no address: {why}")
    if not targets:
        raise ConfigurationError(f"{where}: {match[1]} has no address: write it like root: you@example.org")
    return match[1].strip('"').lower(), tuple(targets)
