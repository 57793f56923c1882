"""Do Django's own tests of its SMTP backend pass with ours in its place?

python -m tests.proof.django_own

They are taken from Django's source distribution on the package index, for 5.2 and for the newest that a
Python of this machine runs. What cannot pass is in a table, with its reason. Exit code 1 if another one
fails, or if too few ran.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof.interpreters import ROOT, BrokenOff, environment, last_line, pip, present, ran, version_of

LEAST = 52
"""How many tests there are at least. Without aiosmtpd they would be skipped, and nobody would know."""

_MOCKED = "replaces a part of smtplib, which nothing goes through here"

_HALF_OPEN = "wants a socket kept half open, without a login"

_OF_5_2: Mapping[str, str] = {
    "test_email_msg_uses_crlf": f"{_MOCKED}: SMTP.send",
    "test_reopen_replaces_partial_connection": _HALF_OPEN,
}
_OF_MAILERS: Mapping[str, str] = {
    "test_auth_attempted": f"{_MOCKED}: SMTP.login; and wants a password shown to a server without TLS",
    "test_direct_construction_deprecated": "wants a deprecation that is Django's own class's",
    "test_prep_address_without_force_ascii": "calls a method of Django's own class, meant for its subclasses",
    "test_rejects_non_ascii_local_part": "wants an address refused that travels here, by SMTPUTF8",
    "test_reopen_replaces_partial_connection": _HALF_OPEN,
    "test_serialized_message_uses_crlf_line_ending": f"{_MOCKED}: SMTP.sendmail",
    "test_smtp_connection_uses_host_and_port": f"{_MOCKED}: SMTP itself",
    "test_ssl_context_uses_ssl_certfile_and_keyfile": "wants a context that trusts no authority",
}
"""Tests that do not pass, and why."""

_RUNNER = """
import atexit, json, runpy, sys, unittest
import django.core.mail.backends.smtp as smtp
from portmail.django import EmailBackend

smtp.EmailBackend = EmailBackend  # before the tests import it
report, labels = sys.argv[1], sys.argv[2:]
ran, bad = set(), {}

def name(test):
    return getattr(test, "_testMethodName", str(test))

class Told(unittest.TextTestResult):
    def startTest(self, test):
        ran.add(name(test))
        super().startTest(test)
    def addError(self, test, err):
        bad[name(test)] = repr(err[1])
        super().addError(test, err)
    def addFailure(self, test, err):
        bad[name(test)] = repr(err[1])
        super().addFailure(test, err)
    def addSubTest(self, test, subtest, err):
        if err:
            bad[name(test)] = repr(err[1])
        super().addSubTest(test, subtest, err)
    def addSkip(self, test, reason):
        bad[name(test)] = f"skipped: {reason}"
        super().addSkip(test, reason)

unittest.TextTestRunner.resultclass = Told

@atexit.register
def write():
    with open(report, "w") as file:
        json.dump({"ran": sorted(ran), "bad": bad}, file)

sys.path.insert(0, ".")
sys.argv = ["runtests.py", "--parallel", "1", *labels]
runpy.run_path("runtests.py", run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Report:
    """How the tests of one Django went. `bad` says why, by test."""

    version: str
    python: str
    ran: Sequence[str]
    bad: Mapping[str, str]

    @property
    def exceptions(self) -> Mapping[str, str]:
        """The table for this version."""
        return _OF_5_2 if self.version.startswith("5.2.") else _OF_MAILERS

    @property
    def broken(self) -> Mapping[str, str]:
        """Those that should have passed."""
        return {test: why for test, why in self.bad.items() if test not in self.exceptions}

    @property
    def mended(self) -> Sequence[str]:
        """Those that pass though the table says otherwise."""
        return [test for test in self.ran if test in self.exceptions and test not in self.bad]

    @property
    def good(self) -> bool:
        """Whether enough ran, and none failed but for a reason that is named."""
        return len(self.ran) >= LEAST and not self.broken

    def __str__(self) -> str:
        passed = len(set(self.ran) - self.bad.keys())
        lines = [f"Django {self.version}, Python {self.python}: {passed} of {len(self.ran)} pass"]
        lines += [f"  not {test}: {self.exceptions[test]}" for test in self.bad if test in self.exceptions]
        lines += [f"  {test} passes, though the table says otherwise" for test in self.mended]
        lines += [f"  BROKEN {test}: {why}" for test, why in self.broken.items()]
        lines += [f"  BROKEN: {LEAST} tests at least were to run"] if len(self.ran) < LEAST else []
        return "\n".join(lines)


def main() -> int:
    """Run the tests of each Django, and print what became of them."""
    reports: list[Report] = []
    pythons = present()
    oldest, *_, newest = [*pythons, *pythons]
    for python, wanted in ((oldest, "Django~=5.2.0"), (newest, "Django")):
        try:
            with TemporaryDirectory(prefix="portmail-django-") as directory:
                reports.append(report_of(wanted, python, pythons[python], Path(directory)))
        except BrokenOff as exc:
            print(f"{wanted}, Python {python}: {exc}", file=sys.stderr)
            return 1
        print(reports[-1], flush=True)
    return 0 if all(report.good for report in reports) else 1


def report_of(wanted: str, python: str, interpreter: str, directory: Path) -> Report:
    """Install this Django, take its tests, and run those of its SMTP backend."""
    inside = environment(interpreter, directory / "venv", str(ROOT), "aiosmtpd", "trustme", wanted)
    version = version_of("django", python=inside)
    tests = _source(version, python=inside, directory=directory) / "tests"
    labels = [
        f"mail.{file.stem}.{found}"
        for file in sorted(tests.glob("mail/test*.py"))
        for found in re.findall(r"^class (SMTPBackend\w*Tests)\b", file.read_text("utf-8"), re.MULTILINE)
    ]
    report = directory / "report.json"
    done = ran([inside, "-c", _RUNNER, str(report), *labels], directory=tests)
    if not report.exists():
        raise BrokenOff(last_line(done.stderr) or last_line(done.stdout))
    said = json.loads(report.read_text("utf-8"))
    return Report(version, python, said["ran"], said["bad"])


def _source(version: str, *, python: str, directory: Path) -> Path:
    """Django's source distribution, unpacked."""
    from_source = ("--no-deps", "--no-binary", ":all:", "--dest", str(directory))
    pip(python, "download", *from_source, f"Django=={version}")
    [archive] = directory.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory / "source", filter="data")
    [unpacked] = (directory / "source").iterdir()
    return unpacked


if __name__ == "__main__":
    sys.exit(main())
