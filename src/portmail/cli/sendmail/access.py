"""Who else may write or read a file that says where mail goes, and with which password?"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from portmail.errors import ConfigurationError


def check_access(status: os.stat_result, *, place: str, secret: bool) -> None:
    """Whoever writes the file says where mail and passwords go; whoever reads a secret has it.

    Raises:
        ConfigurationError: others may do so. The text says how to keep them out.
    """
    if sys.platform == "win32":
        return
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"{place} is not used, for it belongs to another user: chown root {place}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            f"{place} is not used, for others than its owner may write it: chmod go-w {place}"
        )
    if secret and status.st_mode & stat.S_IROTH:
        raise ConfigurationError(
            f"{place} is not used, for it holds a password and everybody may read it: chmod o-r {place}; "
            "put the users who may send into a group that may read it"
        )


def check_access_to(path: str, *, secret: bool) -> None:
    """The same of a file that is read later. One that is not there is told by who reads it.

    Raises:
        ConfigurationError: as `check_access`.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return
    check_access(status, place=path, secret=secret)
