"""What stands in an msmtprc? Accounts, each with its settings, as msmtp(1) reads the file.

Nothing in the file is run: a line `eval COMMAND` is an error here, and `passwordeval` a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound, listed, one_line

DEFAULT = "default"


@dataclass(slots=True)
class _Reading:
    """What is known so far, while the file is read line by line."""

    defaults: dict[str, str] = field(default_factory=dict, repr=False)
    own: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """What each account says itself or inherits."""
    filled_in: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """The defaults as they were where an account began."""
    current: dict[str, str] | None = field(default=None, repr=False)

    def line(self, command: str, argument: str) -> None:
        if command == "defaults":
            self.current = self.defaults
        elif command == "account":
            self._begin(argument)
        elif command == "eval":
            raise ValueError("eval runs a command, which portmail does not: put in what it says")
        else:
            if self.current is None:  # lines before any account are of the one that is the default
                self._begin(DEFAULT)
            assert self.current is not None
            self.current[command] = argument

    def _begin(self, argument: str) -> None:
        name, _, parents = argument.partition(":")
        name = _unquoted(name.strip())
        if not name or name in self.own:
            raise ValueError(
                f"account {one_line(name)} was there already" if name else "an account has no name"
            )
        self.current = {}
        for parent in filter(None, map(str.strip, parents.split(","))):
            if parent not in self.own:
                raise ValueError(f"there is no account {one_line(parent)} before this line")
            self.current |= self.own[parent]
        self.own[name] = self.current
        self.filled_in[name] = dict(self.defaults)


def accounts(text: str, *, where: str) -> Mapping[str, Mapping[str, str]]:
    """Every account of the file with its settings; what it does not say is not there.

    Raises:
        ConfigurationError: a line that cannot be understood; it is not shown, for it may hold a password.
    """
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), start=1):
        command, argument = _split(line)
        if not command:
            continue
        try:
            reading.line(command, argument)
        except ValueError as exc:
            raise ConfigurationError(f"{where}, line {number}: {exc}") from None
    effective = {name: reading.filled_in[name] | own for name, own in reading.own.items()}
    return MappingProxyType(effective)


def _split(line: str) -> tuple[str, str]:
    """Command and argument of a line; both empty for a comment."""
    line = line.strip()
    if line.startswith("#"):
        return "", ""
    command, *rest = line.split(None, 1)[:2] or [""]
    argument = rest[0] if rest else ""
    return command, _unquoted(argument)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def chosen(known: Mapping[str, Mapping[str, str]], *, name: str | None, where: str) -> str:
    """The name of the account that is meant: the one named, the default, or the only one.

    Raises:
        ConfigurationError: there is none, or none of that name.
    """
    if name is None:
        name = DEFAULT if DEFAULT in known or len(known) != 1 else next(iter(known))
    if name in known:
        return name
    there = f"it has {listed(known)}: choose with --account" if known else "it has none"
    raise NothingFound(f"{where} has no account {one_line(name)}; {there}")


def others(known: Mapping[str, object], *, name: str) -> Iterator[str]:
    """A note on the accounts that were not chosen."""
    if names := set(known) - {name}:
        yield f"this is one account; the others: --account with {listed(names)}"


def is_on(said: Mapping[str, str], command: str, *, default: str) -> bool:
    """Whether a switch is on; an empty argument means on."""
    return said.get(command, default) in ("on", "")
