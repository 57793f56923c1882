"""README is true: what it shows is run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portmail.cli import exits
from portmail.sandbox import Sandbox
from portmail.url import AUTO, SCHEMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COPIED = re.findall(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
"""Pieces of files, which run where those do."""
OWN = re.sub(r"^<!-- \S+ -->\n```\w+\n.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", OWN, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def environment(sandbox: Sandbox) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {"PATH": path, "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    return {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), **ours}


@pytest.mark.parametrize("program", blocks("python"), ids=range(len(blocks("python"))))
def test_each_python_block_runs(program: str, sandbox: Sandbox) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment(sandbox),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    sends = (
        0
        if "Sandbox" in program or "outlook.com" in program
        else program.count(".send(") + 2 * program.count("send_many(")
    )
    assert len(sandbox.messages) == sends


def test_the_first_two_shell_blocks_are_one_line_each_and_make_their_own_environment() -> None:
    for line, extra in zip(blocks("sh")[:2], ("sandbox", "test"), strict=True):
        assert line.count("\n") == 1
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert f'-e ".[{extra}]"' in line


def test_the_shell_line_that_sends_sends(sandbox: Sandbox) -> None:
    line = blocks("sh")[2]
    done = subprocess.run(
        line,
        shell=True,
        env=environment(sandbox),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (received,) = sandbox.messages
    assert received.message["Subject"] == "Backup finished"
    assert received.content.endswith(b"\r\n\r\nAll volumes are copied.\r\n")


def test_the_exit_codes_are_those_of_the_cli() -> None:
    told = {int(code) for code in re.findall(r"\b(6[4-9]|7[0-8])\b", README.split("sysexits(3)")[1][:300])}
    known = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert told == known - {exits.OK, exits.SOFTWARE, exits.INTERRUPTED}


def test_what_discover_prints_is_what_it_prints(sandbox: Sandbox) -> None:
    [block] = [text for text in blocks("console") if "portmail discover" in text]
    command, *shown = block.splitlines()
    done = subprocess.run(
        command.removeprefix("$ ").split(),
        env=environment(sandbox),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[: len(shown)] == shown


@pytest.mark.parametrize(("path", "piece"), COPIED, ids=[path for path, _ in COPIED])
def test_each_piece_of_a_file_stands_in_it(path: str, piece: str) -> None:
    """Line by line and in order; what is left out between two paragraphs is left out."""
    lines = iter((ROOT / path).read_text("utf-8").splitlines())
    missing = [line for line in piece.splitlines() if line not in lines]  # each search begins behind the last
    assert missing == []
    assert len(piece.splitlines()) < 10


def test_every_scheme_is_in_the_table() -> None:
    for scheme in (*SCHEMES, AUTO):
        assert f"`{scheme}://" in README


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link
