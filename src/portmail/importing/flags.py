"""What do the settings of smtplib's users mean? `use_tls` is STARTTLS, `use_ssl` is implicit TLS."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

from portmail.errors import ConfigurationError
from portmail.importing.found import one_line
from portmail.security import Security


def security_of_flags(said: Mapping[str, object], *, starttls: str, implicit: str) -> Security:
    """The security that two flags come to.

    Raises:
        ConfigurationError: both are set.
    """
    if said.get(starttls) and said.get(implicit):
        raise ConfigurationError(
            f"{starttls} (STARTTLS) and {implicit} (implicit TLS) are both set: take one"
        )
    if said.get(implicit):
        return Security.IMPLICIT_TLS
    return Security.STARTTLS if said.get(starttls) else Security.PLAINTEXT


def text_of(said: Mapping[str, object], name: str) -> str | None:
    """A text, None where it is not said or empty."""
    value = said.get(name)
    return str(value) if value else None


def password_missing(said: Mapping[str, object], *, names: tuple[str, str]) -> str | None:
    """What to do where there is a user name and no password; `names` are those of the two settings."""
    username, password = names
    if not said.get(username) or said.get(password):
        return None
    return (
        f"{password} is empty here: if it is set where the program runs, put it into a file and its path "
        "into PORTMAIL_PASSWORD_FILE; if not, nobody logs in today: take the user name out of the URL"
    )


@contextmanager
def foreign_code(what: str) -> Iterator[None]:
    """Run what is somebody else's: as `python FILE` would, in the current directory, leaving no cache files.

    What it prints goes to standard error.

    Raises:
        ConfigurationError: it fails. Only the kind of its error is told: the text may hold a secret.
    """
    path, caching = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, "")
    sys.dont_write_bytecode = True
    try:
        with redirect_stdout(sys.stderr):
            yield
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as exc:  # noqa: BLE001  # it is somebody else's
        raise ConfigurationError(f"{one_line(what)} cannot be loaded: {_told(exc)}") from None
    finally:
        sys.path[:], sys.dont_write_bytecode = path, caching


def _told(exc: BaseException) -> str:
    if isinstance(exc, ModuleNotFoundError):
        return f"there is no module {exc.name}"
    if isinstance(exc, KeyError):  # the way to say that a variable is not set
        return f"KeyError: {exc}: run it where its variables are set"
    where = f", line {exc.lineno}" if isinstance(exc, SyntaxError) else ""
    return type(exc).__name__ + where
