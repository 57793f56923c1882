"""How is a project's own code run, for the settings in it? In this process, and leaving nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from portmail.errors import ConfigurationError
from portmail.importing.found import one_line


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
