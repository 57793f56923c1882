"""`portmail sandbox`, as a person meets it: started, sent to, and ended by a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from portmail.cli import main

# Whoever starts the tests in the background has them ignore Ctrl-C, and so would the command.
START = (
    "import signal, sys; from portmail.cli import main; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)

Start = Callable[..., "Running"]


class Running:
    """The command in a process of its own; `told` are the lines up to the first message."""

    def __init__(self, *options: str, program: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, "sandbox", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.told: list[str] = []

    def line(self) -> str:
        """The next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def begin(self) -> str:
        """Read up to the first message; return the line that is to be pasted."""
        while not (self.told and self.told[-1].startswith("Ctrl-C")):
            self.told.append(self.line())
            assert self.told[-1] or self.process.poll() is None
        [pasted] = [line for line in self.told if "portmail send" in line]
        return pasted

    def leave(self) -> None:
        """Read no more."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return the exit code, and what it complained of."""
        assert self.process.stderr is not None
        return self.process.wait(timeout=20), self.process.stderr.read()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return the exit code, and what was written after that."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command with these options."""
    with ExitStack() as stack:

        def begin(*options: str, program: str = START) -> Running:
            running = Running(*options, program=program)
            stack.enter_context(running.process)
            stack.callback(running.process.kill)
            return running

        yield begin


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], **more}


def paste(line: str) -> subprocess.CompletedProcess[str]:
    """Run the line as it is."""
    return subprocess.run(
        line, shell=True, env=environment(), capture_output=True, text=True, timeout=20, check=False
    )


def send(url: str, ca: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portmail", "send", "--from", "me@example.org", "--subject", "Grüße"]
    return subprocess.run(
        [*command, "--to", "you@example.org", *options],
        env=environment(PORTMAIL_URL=url, PORTMAIL_CA=ca),
        input="Hello",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def relayed(beginning: dict[str, Any], *recipients: str) -> dict[str, tuple[int, bytes]]:
    """Send through the relay without portmail, which would try again; return who is refused."""
    port = urlsplit(beginning["urls"]["25"]).port or 0
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=5) as client:
        try:
            return client.sendmail("me@example.org", recipients, b"Subject: Hello\r\n\r\n")
        except smtplib.SMTPRecipientsRefused as refusal:
            return refusal.recipients


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_line_that_it_tells_can_be_pasted_and_what_arrives_is_told(
    number: int, start: Start, tmp_path: Path
) -> None:
    running = start("--keep", str(tmp_path / "kept" / "here"))
    done = paste(running.begin())
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path / "kept" / "here" / "000001.eml"
    told = r"me@example\.org -> you@example\.org  'Hello'  587 TLSv1\.3  (\d+) octets  " + re.escape(
        str(file)
    )
    match = re.fullmatch(told, running.line())
    assert match
    assert file.stat().st_size == int(match[1])
    assert file.read_bytes().endswith(b"\r\n\r\nHello\r\n")
    [ca] = [line.split()[1] for line in running.told if line.startswith("CA ")]
    assert Path(ca).exists()
    assert running.end(number) == (0, "", "")
    assert not Path(ca).exists()


def test_a_program_reads_one_object_a_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = start("--json", "--port", f"465={port}", "--user", "a@b:c d", "--user", "other:word")
    beginning: dict[str, Any] = json.loads(running.line())
    assert beginning["urls"]["465"] == f"submissions://a%40b:c%20d@127.0.0.1:{port}"
    assert beginning["url"] == beginning["urls"]["587"]
    assert beginning["urls"]["25"].startswith("relay://127.0.0.1:")
    done = send(
        beginning["urls"]["465"].replace("a%40b:c%20d", "other:word"),
        beginning["ca"],
        "--bcc",
        "b@example.org",
    )
    assert done.returncode == 0, done.stderr
    message: dict[str, Any] = json.loads(running.line())
    assert message.pop("octets") > 100
    assert message == {
        "sender": "me@example.org",
        "recipients": ["you@example.org", "b@example.org"],
        "service": 465,
        "tls": "TLSv1.3",
        "username": "other",
        "file": None,
        "subject": "Grüße",
    }
    assert running.end() == (0, "", "")


def test_it_misbehaves_as_ordered(start: Start) -> None:
    running = start("--json", "--no-users", "--greylist", "--reject", "gone@example.org", "--block", "587")
    beginning: dict[str, Any] = json.loads(running.line())
    assert "@" not in beginning["urls"]["465"]
    assert beginning["blocked"] == [587]
    later, unknown = (450, b"4.2.0 greylisted, try again later"), (550, b"5.1.1 no such user")
    refused = relayed(beginning, "you@example.org", "gone@example.org")
    assert refused == {"you@example.org": later, "gone@example.org": unknown}
    assert relayed(beginning, "you@example.org", "gone@example.org") == {"gone@example.org": unknown}
    assert json.loads(running.line())["recipients"] == ["you@example.org"]
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", urlsplit(beginning["url"]).port or 0), timeout=0.05)
    assert running.end() == (0, "", "")


def test_the_line_to_paste_avoids_what_is_blocked_and_tls_can_be_taken_away(start: Start) -> None:
    running = start("--strip-starttls", "--block", "587")
    line = running.begin()
    assert "PORTMAIL_URL=submissions://" in line
    assert running.told[0].endswith("  blocked")
    done = paste(line)
    assert done.returncode == 77, done.stderr
    assert running.end() == (0, "", "")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_it_ends_when_its_reader_goes(options: tuple[str, ...], start: Start) -> None:
    running = start(*options)
    running.line()
    running.leave()
    assert running.ended() == (0, "")


def test_where_the_system_does_not_tell_of_that_it_ends_with_the_next_message(start: Start) -> None:
    running = start("--json", program=f"import select; del select.poll; {START}")
    beginning: dict[str, Any] = json.loads(running.line())
    running.leave()
    assert relayed(beginning, "you@example.org") == {}
    assert running.ended() == (0, "")


def test_messages_of_earlier_runs_are_kept(start: Start, tmp_path: Path) -> None:
    (tmp_path / "000001.eml").write_text("earlier")
    running = start("--keep", str(tmp_path), "--json")
    beginning: dict[str, Any] = json.loads(running.line())
    for number in (2, 3):
        assert relayed(beginning, "you@example.org") == {}
        assert json.loads(running.line())["file"] == str(tmp_path / f"{number:06}.eml")
    running.end()
    assert (tmp_path / "000001.eml").read_text() == "earlier"


def test_a_directory_that_cannot_be_written_to_is_told_and_nothing_else_is_lost(
    start: Start, tmp_path: Path
) -> None:
    directory = tmp_path / "kept"
    running = start("--keep", str(directory), "--json")
    beginning: dict[str, Any] = json.loads(running.line())
    directory.rmdir()
    assert relayed(beginning, "you@example.org") == {}
    assert json.loads(running.line())["file"] is None
    code, out, err = running.end()
    assert (code, out) == (0, "")
    assert err == f"portmail: {directory / '000001.eml'} cannot be written: No such file or directory\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--port", "2525=587"), "'2525=587': write it like 587=2525"),
        (("--port", "587=99999"), "write it like 587=2525"),
        (("--block", "2525"), "invalid choice"),
        (("--user", "me"), "'me': write it like me:secret"),
        (("--user", "me:x", "--no-users"), "not allowed with"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake_in_usage(
    options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", *options]) == 64
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["sandbox", "--port", f"587={port}"]) == 78
    err = capsys.readouterr().err
    assert err == f"portmail: cannot listen on {port}: Address already in use: give another --port\n"


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["sandbox", "--keep", str(file)]) == 78
    assert capsys.readouterr().err == f"portmail: --keep {file}: File exists: give another directory\n"


def test_a_port_that_cannot_be_blocked_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from portmail.sandbox import listeners

    monkeypatch.setattr(listeners, "_MOST_FILLERS", 1)
    assert main(["sandbox", "--block", "587"]) == 78
    assert "portmail: --block 587: this kernel answers" in capsys.readouterr().err


def test_without_trustme_it_says_what_to_install() -> None:
    program = f"import sys; sys.modules['trustme'] = None; {START}"
    done = subprocess.run(
        [sys.executable, "-c", program, "sandbox"], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert 'pip install "portmail[sandbox]"' in done.stderr


def test_its_certificate_is_where_it_is_wished_each_time(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    texts = set()
    for _ in range(2):
        running = start("--ca", str(file))
        assert f"PORTMAIL_CA={file} portmail send" in running.begin()
        texts.add(file.read_text("ascii"))
        running.end()
    assert len(texts) == 2


def test_a_place_for_it_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sandbox", "--ca", str(tmp_path / "no" / "ca.pem")]) == 78
    assert "--ca" in capsys.readouterr().err
