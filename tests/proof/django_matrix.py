"""Does it work with every Django that sites have, and with Flask?

python -m tests.proof.django_matrix

Each Django gets an environment of its own, of a Python that it runs on, with portmail as it is here and
with Flask, and runs the tests of both integrations: against the sandbox, and against a real Postfix where
there is one. Exit code 1 if one fails, or if fewer than two Djangos ran.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof.interpreters import ROOT, BrokenOff, environment, last_line, present, ran, version_of

DJANGOS: Mapping[str, tuple[str, Sequence[str], Callable[[Sequence[str]], str]]] = {
    "4.2": ("Django~=4.2.0", ("3.11", "3.12"), min),
    "5.2": ("Django~=5.2.0", ("3.11", "3.12", "3.13"), min),
    "6.0": ("Django~=6.0.0", ("3.12", "3.13"), min),
    "newest": ("Django", ("3.11", "3.12", "3.13"), max),
}
"""What to ask the index for, on which Pythons that runs, and which one of those is taken."""

FEWEST = 2

NEEDED = ("flask>=3,<4", "flask-mail", "hypothesis", "pytest", "pytest-timeout", "pytest-xdist", "rich")
"""Of the extra `test`, what these tests need; all of it takes a minute longer."""

TESTS = ("django_site", "test_flask*.py")


@dataclass(frozen=True, slots=True)
class Row:
    """How the tests went with one Django."""

    django: str
    python: str
    flask: str
    good: bool
    summary: str
    seconds: float

    def __str__(self) -> str:
        verdict = "passed" if self.good else "FAILED"
        where = f"Django {self.django:<8} Flask {self.flask:<7} Python {self.python:<5}"
        return f"{where} {verdict} {self.seconds:6.1f} s  {self.summary}"


def main() -> int:
    """Run the tests with each Django, and print a line for each."""
    pythons, rows = present(), dict[str, Row]()
    for name, (wanted, runs_on, choose) in DJANGOS.items():
        usable = [version for version in pythons if version in runs_on]
        if not usable:
            print(f"Django {name}: no Python for it is on this machine")
            continue
        python = choose(usable)
        row = row_of(name, wanted, python, pythons[python])
        if row.django in rows:
            continue  # this Python runs no newer one
        rows[row.django] = row
        print(row, flush=True)
    if len(rows) < FEWEST:
        print(f"{len(rows)} Djangos ran, {FEWEST} at least were to", file=sys.stderr)
    return 0 if len(rows) >= FEWEST and all(row.good for row in rows.values()) else 1


def row_of(name: str, wanted: str, python: str, interpreter: str) -> Row:
    """Install this Django and run the tests. What fails on the way is the row."""
    started = time.monotonic()
    django = flask = "?"
    try:
        with TemporaryDirectory(prefix="portmail-matrix-") as directory:
            inside = environment(interpreter, Path(directory), f"{ROOT}[sandbox]", *NEEDED, wanted)
            django, flask = version_of("django", python=inside), version_of("flask", python=inside)
            good, summary = tested(inside)
    except BrokenOff as exc:
        good, summary = False, str(exc)
    return Row(name if django == "?" else django, python, flask, good, summary, time.monotonic() - started)


def tested(python: str) -> tuple[bool, str]:
    """Whether tests ran and all passed, and pytest's last line."""
    files = [str(path) for pattern in TESTS for path in sorted((ROOT / "tests").glob(pattern))]
    asked = ["-p", "no:cacheprovider", "-m", "long or not long"]
    done = ran([python, "-m", "pytest", "-q", "--no-header", "--tb=short", *asked, *files])
    complaints = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    summary = last_line(done.stdout) or last_line(done.stderr)
    return done.returncode == 0 and " passed" in summary, summary


if __name__ == "__main__":
    sys.exit(main())
