"""How do servers run in networks of their own? As one process beside the tests, and its children.

It has mounts and processes of its own, too: when it ends, for whatever reason, the kernel ends them all.
It says what it is as a line of JSON, answers a line each time that it is asked, and ends with its input.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.requirements import home, logs

TOP = Path(__file__).parents[2]
PRIVATE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


class Done(NamedTuple):
    """How a program ended."""

    code: int
    out: str
    err: str


class World(NamedTuple):
    """What runs there: in which directory, as which process, and what it said first."""

    root: Path
    process: subprocess.Popen[str]
    there: Any


def refused(*command: str, rules: str) -> str:
    """Why the kernel lets nobody have networks of his own, with these rules; empty where it does."""
    tried = subprocess.run((*PRIVATE, *command), input=rules.encode(), capture_output=True, check=False)
    said = tried.stderr.decode("utf-8", "replace").strip()
    return f"the kernel lets nobody have a network of his own: {said}" if tried.returncode else ""


@contextmanager
def world(package: str, *, root: Path) -> Iterator[World]:
    """Run a package in a directory of its own: see `home`. Nothing of it is alive afterwards."""
    command = (*PRIVATE, sys.executable, "-m", package)
    with home(root) as path, (path / f"{package.rpartition('.')[2]}.log").open("ab") as log:
        with subprocess.Popen(
            (*command, str(path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=TOP,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield World(path, process, _answer(process, path))
            finally:
                _end(process)


def ask(process: subprocess.Popen[str], what: str, *, root: Path) -> Any:
    """Ask, and return the answer."""
    assert process.stdin
    print(what, file=process.stdin, flush=True)
    return _answer(process, root)


def _answer(process: subprocess.Popen[str], root: Path) -> Any:
    """Read one line of what is said there."""
    assert process.stdout
    if line := process.stdout.readline():
        return json.loads(line)
    raise RuntimeError(f"nobody is there any more\n{logs(root)}")


def _end(process: subprocess.Popen[str]) -> None:
    """Close its standard input, which ends it in good order; else have the kernel end it."""
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
