"""The example is a whole site, and it sends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from portmail.sandbox import Sandbox
from tests.django_site.site import GONE, TO

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_settings.py"


def run(*arguments: str, sandbox: Sandbox) -> list[str]:
    """Run it as a person would; return the lines that it prints."""
    ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *arguments],
        env={"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), **ours},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_it_welcomes_and_tells_of_each(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    accepted, refused = run(TO, GONE, sandbox=sandbox)
    assert accepted.startswith(f"accepted for {TO} through 127.0.0.1:")
    assert refused.startswith(f"not for {GONE}: 550")
    [received] = sandbox.messages
    assert received.message["From"] == "Example <hello@example.com>"


@pytest.mark.long
def test_its_command_looks_and_sends_nothing(sandbox: Sandbox) -> None:
    said = run("portmail", "check", sandbox=sandbox)
    assert said[0].startswith("submits to 127.0.0.1:")
    assert said[1].startswith("✓ Mail can go out: 127.0.0.1:")
    assert said[-1].startswith("Nothing was sent")
    assert sandbox.messages == ()
