"""Which Pythons are on this machine? And an environment of one of them, with what the index has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

VERSIONS = ("3.11", "3.12", "3.13")
"""The Pythons that this project supports, oldest first."""

_PATIENCE = 900
"""Seconds that an installation or a test run may take."""

_TELL = 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])'


class BrokenOff(Exception):
    """A command failed; the text is what it said last."""


def present() -> Mapping[str, str]:
    """The interpreters that are here, by version, oldest first."""
    found: dict[str, str] = {}
    for path in _candidates():
        done = subprocess.run([path, "-c", _TELL], capture_output=True, text=True, check=False)
        version = done.stdout.strip()
        if done.returncode == 0 and version in VERSIONS:
            found.setdefault(version, path)
    return {version: found[version] for version in VERSIONS if version in found}


def _candidates() -> Iterator[str]:
    yield sys.executable
    yield from filter(None, (shutil.which(f"python{version}") for version in VERSIONS))
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        yield from sorted(map(str, Path(root).glob("versions/*/bin/python")), reverse=True)


def environment(interpreter: str, directory: Path, *requirements: str) -> str:
    """An environment with these requirements; returns its interpreter.

    Raises:
        BrokenOff: they cannot be installed.
    """
    told([interpreter, "-m", "venv", "--without-pip", str(directory)])
    python = str(directory / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    pip(python, "install", "--no-compile", *requirements)
    return python


def pip(python: str, command: str, *arguments: str) -> None:
    """What our own pip does for another Python: to have one in each environment takes seconds.

    Raises:
        BrokenOff: it fails.
    """
    ours = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    told([*ours, command, "--quiet", *arguments])


def version_of(package: str, *, python: str) -> str:
    """The version of a package that this interpreter has."""
    return told([python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]).strip()


def told(command: Sequence[str], *, directory: Path = ROOT) -> str:
    """What the command writes.

    Raises:
        BrokenOff: it fails.
    """
    done = ran(command, directory=directory)
    if done.returncode:
        raise BrokenOff(f"{' '.join(command[:6])}: {last_line(done.stderr) or last_line(done.stdout)}")
    return done.stdout


def ran(command: Sequence[str], *, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """How the command ended.

    Raises:
        BrokenOff: it did not.
    """
    try:
        return subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BrokenOff(f"not finished after {_PATIENCE} s: {' '.join(command[:6])} ...") from exc


def last_line(text: str) -> str:
    """The last line that holds something; a bar of "=" around it is no part of it."""
    return re.sub(r"^=+ | =+$", "", (text.strip().splitlines() or [""])[-1])
