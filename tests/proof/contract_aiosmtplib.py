"""Does the take-over still work with every aiosmtplib that an installation may get?

python -m tests.proof.contract_aiosmtplib

Each version of the package index that portmail allows gets an environment of its own, with portmail
as it is here, and runs the tests that talk to servers. Exit code 1 if one fails, or if there is none.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]

FIRST, END = (5, 1, 3), (6,)
"""The versions that pyproject.toml allows: from the first one on, before the end."""

CONTRACT = ("takeover", "dialogues", "attacks", "ports", "postfix")
"""The tests that go through aiosmtplib's connection to a server."""

_PATIENCE = 900
"""Seconds that an installation or a test run may take."""


class BrokenOff(Exception):
    """A command failed; the text is what it said last."""


@dataclass(frozen=True, slots=True)
class Result:
    """How the tests went with one version."""

    version: str
    good: bool
    summary: str
    seconds: float

    def __str__(self) -> str:
        verdict = "kept" if self.good else "BROKEN"
        return f"aiosmtplib {self.version:<8} {verdict:<7} {self.seconds:6.1f} s  {self.summary}"


def main() -> int:
    """Run the contract's tests with each version, and print a line for each."""
    try:
        versions = allowed(index_says())
    except BrokenOff as exc:
        print(f"the package index cannot be asked: {exc}", file=sys.stderr)
        return 1
    results: list[Result] = []
    for version in versions:
        results.append(contract_with(version))
        print(results[-1], flush=True)
    if not results:
        print("the package index has no aiosmtplib that portmail allows", file=sys.stderr)
    return 0 if results and all(result.good for result in results) else 1


def index_says() -> str:
    """What the configured package index says of aiosmtplib."""
    return told([sys.executable, "-m", "pip", "index", "versions", "aiosmtplib"])


def allowed(listing: str) -> list[str]:
    """The versions in pip's listing that portmail allows, oldest first."""
    found = re.search(r"^Available versions: (.*)$", listing, re.MULTILINE)
    versions = found[1].replace(",", " ").split() if found else []
    return sorted(filter(_is_allowed, versions), key=_numbers)


def _is_allowed(version: str) -> bool:
    final = re.fullmatch(r"\d+(?:\.\d+)*", version) is not None
    return final and FIRST <= _numbers(version) < END


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def contract_with(version: str) -> Result:
    """Install this version and run the tests. What fails on the way is the result."""
    started = time.monotonic()
    try:
        with TemporaryDirectory(prefix="portmail-contract-") as directory:
            python = _installed(version, Path(directory))
            good, summary = _tested(python)
    except BrokenOff as exc:
        good, summary = False, str(exc)
    return Result(version, good, summary, time.monotonic() - started)


def _installed(version: str, directory: Path) -> str:
    venv.create(directory, with_pip=True)
    python = str(directory / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    told([python, "-m", "pip", "install", "--quiet", f"{ROOT}[test]", f"aiosmtplib=={version}"])
    there = told([python, "-c", "import importlib.metadata as m; print(m.version('aiosmtplib'))"])
    if there.strip() != version:
        raise BrokenOff(f"aiosmtplib {there.strip()} is there in its place")
    return python


def _tested(python: str) -> tuple[bool, str]:
    """Whether tests ran and all passed, and pytest's last line."""
    files = [str(ROOT / "tests" / f"test_{name}.py") for name in CONTRACT]
    command = [python, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", *files]
    done = _run(command)
    complaints = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    summary = _last_line(done.stdout) or _last_line(done.stderr)
    return done.returncode == 0 and " passed" in summary, summary


def told(command: Sequence[str]) -> str:
    """What the command writes.

    Raises:
        BrokenOff: it fails.
    """
    done = _run(command)
    if done.returncode:
        raise BrokenOff(_last_line(done.stderr) or _last_line(done.stdout))
    return done.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BrokenOff(f"not finished after {_PATIENCE} s: {' '.join(command[:5])} ...") from exc


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(main())
