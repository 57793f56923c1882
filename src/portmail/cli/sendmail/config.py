"""Where does `portmail sendmail` find its account? In a file, for cron's environment is empty."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portmail.cli.sendmail.access import check_access, check_access_to
from portmail.errors import ConfigurationError

PLACE = "/etc/portmail/sendmail.env"
"""Where the file is, unless PORTMAIL_SENDMAIL_CONFIG names another one."""

_NAMED_BY = "PORTMAIL_SENDMAIL_CONFIG"
_URL, _PASSWORD = "PORTMAIL_URL", "PORTMAIL_PASSWORD"
_ACCOUNT = (_URL, "PORTMAIL_USERNAME", _PASSWORD, "PORTMAIL_PASSWORD_FILE", "PORTMAIL_FROM", "PORTMAIL_CA")
_NAMES = ("PORTMAIL_MAILDOMAIN", "PORTMAIL_ALIASES")
_PATHS = {"PORTMAIL_PASSWORD_FILE": True, "PORTMAIL_CA": False, "PORTMAIL_ALIASES": False}
"""Settings that name a file, and whether it holds a secret."""
_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_QUOTED = re.compile(r"(['\"])(.*)\1", re.DOTALL)
_URL_WITH_PASSWORD = re.compile(r"://[^@]*:.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the file and the environment say.

    Attributes:
        account: what `Submitter.from_env` takes.
        maildomain: the domain of names without one; "" for none.
        aliases: the path of the alias map; "" for none.
        place: where to write what is missing.
    """

    account: Mapping[str, str] = field(repr=False)
    maildomain: str = ""
    aliases: str = ""
    place: str = PLACE

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Configuration:
        """What counts: the file's account, or the environment's if that has a PORTMAIL_URL, never a mixture.

        PORTMAIL_MAILDOMAIN and PORTMAIL_ALIASES of the environment win over those of the file.

        Raises:
            ConfigurationError: the file cannot be read or understood; or others may write it, or a file that
                it names, or read a password.
        """
        _check_user()
        named = environ.get(_NAMED_BY, "")
        place = named or PLACE
        said = _said(place, needed=bool(named)) if named or sys.platform != "win32" else {}
        # A password is not shown to the server of another account.
        source = environ if environ.get(_URL) else said
        account = {name: source[name] for name in _ACCOUNT if source.get(name)}
        maildomain, aliases = (environ.get(name) or said.get(name, "") for name in _NAMES)
        return cls(account, maildomain=maildomain, aliases=aliases, place=place)

    def check_account(self) -> None:
        """Raises ConfigurationError where no account is named."""
        if _URL not in self.account:
            raise ConfigurationError(
                f"there is no account to send with: write {_URL}=submission://me@mail.example.com "
                f"into {self.place}, or into the environment"
            )


def _check_user() -> None:
    """The environment and standard input are the user's: a program of two users would mix what is whose."""
    if sys.platform != "win32" and (os.getuid(), os.getgid()) != (os.geteuid(), os.getegid()):
        raise ConfigurationError(
            "portmail does not run setuid or setgid: put the users who may send into a group that may read "
            f"{PLACE}"
        )


def _said(place: str, *, needed: bool) -> dict[str, str]:
    try:
        with Path(place).open("rb") as stream:
            status = os.fstat(stream.fileno())
            octets = stream.read()
    except FileNotFoundError:
        if needed:
            raise ConfigurationError(f"{_NAMED_BY}: there is no file {place}") from None
        return {}
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ConfigurationError(
            f"{place} cannot be read: {why}: put the users who may send into a group that may read it"
        ) from None
    said = dict(_variables(octets.decode("utf-8-sig", "surrogateescape"), place=place))
    check_access(status, place=place, secret=_holds_secret(said))
    here = Path(place).absolute().parent
    paths = {name: str(here / said[name]) for name in _PATHS if said.get(name)}
    for name, path in paths.items():
        check_access_to(path, secret=_PATHS[name])
    return said | paths


def _variables(text: str, *, place: str) -> Iterator[tuple[str, str]]:
    """Lines like NAME=VALUE; the value may stand in quotes. No line is ever repeated: it may be a secret."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(
                f"{place}, line {number}: write it like {_URL}=...; a comment begins with #"
            )
        if match[1] not in (*_ACCOUNT, *_NAMES):
            known = ", ".join((*_ACCOUNT, *_NAMES))
            raise ConfigurationError(
                f"{place}, line {number}: there is no setting {match[1]}: there are {known}"
            )
        value = match[2].strip()
        quoted = _QUOTED.fullmatch(value)
        yield match[1], quoted[2] if quoted else value


def _holds_secret(said: Mapping[str, str]) -> bool:
    return bool(said.get(_PASSWORD)) or _URL_WITH_PASSWORD.search(said.get(_URL, "")) is not None
