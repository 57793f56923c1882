"""`portmail send-many`: each message once, whatever happens, and all of it told."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portmail.cli import main
from portmail.cli.counting import Tally, in_words
from portmail.cli.outcomes import Known, Outcome, State
from portmail.cli.progress import Lines, progress_for
from portmail.cli.stopping import Stop
from portmail.language import Language, words
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, traces
from tests.servers.dialogue import play
from tests.terminals import shown, terminal

POSTMARK = "From me@example.org Thu Jan  1 00:00:00 2026\n"


def letter(name: object, *, to: str = "you@example.org", header: str = "From: me@example.org\n") -> str:
    return f"{header}To: {to}\nSubject: {name}\nMessage-ID: <{name}@example.org>\n\nHello.\n"


@dataclass(frozen=True)
class Told:
    """What one run said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def states(self) -> dict[str, str]:
        return {entry["key"]: entry["state"] for entry in self.data[:-1]}


class Desk:
    """A directory of messages, a journal, and a server."""

    def __init__(self, sandbox: Sandbox, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.sandbox = sandbox
        self.letters = path / "letters"
        self.letters.mkdir()
        self.journal = path / "journal"
        self._capsys = capsys

    def write(self, *names: object, **how: str) -> None:
        for name in names:
            (self.letters / f"{name}.eml").write_text(letter(name, **how))

    def run(self, *options: str, source: Path | None = None) -> Told:
        return self.command(str(source or self.letters), *options)

    def command(self, *arguments: str) -> Told:
        code = main(["send-many", *arguments])
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err
        assert traces((told.out + told.err).encode(), secrets=(PASSWORD,)) == []
        return Told(code, told.out, told.err)

    def resume(self, *options: str) -> Told:
        return self.run("--resume", str(self.journal), "--json", *options)

    @property
    def arrived(self) -> list[str]:
        return sorted(str(received.message["Subject"]) for received in self.sandbox.messages)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()[1:]]

    def states(self, key: str) -> list[str]:
        return [line["state"] for line in self.lines if line["key"] == key]


@pytest.fixture
def desk(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(sandbox.ca))  # the system's takes long to read
    monkeypatch.delenv("PORTMAIL_FROM", raising=False)
    return Desk(sandbox, tmp_path, capsys)


@pytest.fixture
def no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try of the library would only take its time."""
    monkeypatch.setattr("portmail.settings.DEFAULT_RETRY", None)


# What is sent, and what is told of it.


def test_a_directory_is_sent_and_summed_up(desk: Desk) -> None:
    desk.write(*range(1, 8))
    told = desk.run()
    assert (told.code, told.out) == (0, "")
    assert re.fullmatch(r"7 of 7 sent, 0 refused, 0 in doubt, in \d s\n", told.err)
    assert desk.arrived == list("1234567")


def test_an_mbox_is_sent_and_resumed(desk: Desk, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_text("".join(f"{POSTMARK}{letter(name)}\n" for name in range(5)))
    journal = ("--resume", str(desk.journal))
    told = desk.run(*journal, source=box)
    assert re.fullmatch(r"5 sent, 0 refused, 0 in doubt, in \d s\n", told.err)
    with box.open("a") as file:
        file.write(f"{POSTMARK}{letter('new')}\n>From me\n\n")
    told = desk.run(*journal, source=box)
    assert (told.code, desk.arrived) == (0, ["0", "1", "2", "3", "4", "new"])
    assert "5 of these were settled in earlier runs" in told.err
    assert desk.sandbox.messages[-1].content.endswith(b"\r\nFrom me\r\n")


def test_the_envelope_is_the_headers_and_bcc_does_not_travel(desk: Desk) -> None:
    header = "Cc: Ann <ann@example.org>\nBcc: secret@example.org\n"
    desk.write("own", header=f"From: other@example.org\n{header}")
    desk.write("none", header=header)
    assert desk.run("--from", "Me <me@example.org>").code == 0
    assert {received.sender for received in desk.sandbox.messages} == {"me@example.org", "other@example.org"}
    for received in desk.sandbox.messages:
        assert received.recipients == ("you@example.org", "ann@example.org", "secret@example.org")
        assert b"secret@" not in received.content
        assert received.message["From"] is not None


def test_json_tells_each_message_and_the_sum(desk: Desk) -> None:
    desk.write("good")
    desk.write("some", to="you@example.org, gone@example.org")
    desk.write("gone", to="gone@example.org")
    desk.write("bad", to="you@@example.org")
    desk.sandbox.reject("gone@example.org")
    told = desk.run("--json")
    assert told.code == 65
    entries = {entry["key"]: entry for entry in told.data[:-1]}
    assert entries["good.eml"] == {
        "key": "good.eml",
        "state": "accepted",
        "message_id": "<good@example.org>",
        "accepted": ["you@example.org"],
        "refused": {},
        "error": None,
        "text": None,
    }
    gone = {"gone@example.org": {"code": 550, "enhanced": "5.1.1", "text": "no such user"}}
    assert (entries["some.eml"]["state"], entries["some.eml"]["refused"]) == ("accepted", gone)
    assert (entries["gone.eml"]["state"], entries["gone.eml"]["refused"]) == ("refused", gone)
    assert entries["gone.eml"]["error"] == "Rejected"
    assert entries["bad.eml"]["error"] == "AddressError"
    assert "you@@example.org" in entries["bad.eml"]["text"]
    counts = {"accepted": 2, "refused": 2, "not-sent": 0, "in-doubt": 0}
    assert told.data[-1] == {
        "summary": counts,
        "earlier": 0,
        "partly_accepted": 1,
        "complete": True,
        "seconds": told.data[-1]["seconds"],
        "exit_code": 65,
    }


def test_failures_are_told_in_a_line_each_but_not_more_than_twenty(desk: Desk) -> None:
    desk.write(*range(25), to="gone@example.org")
    desk.write("some", to="you@example.org, gone@example.org")
    desk.sandbox.reject("gone@example.org")
    told = desk.run()
    assert told.code == 67
    *lines, summed, partly, more = told.err.splitlines()
    assert len(lines) == 20
    assert all(".eml: " in line and "550 5.1.1 no such user" in line for line in lines)
    assert re.fullmatch(r"1 of 26 sent, 25 refused, 0 in doubt, in \d s", summed)
    assert partly == "  1 of those sent were refused for some of their recipients"
    assert more == "  6 more did not go well: see --json"


def test_a_message_whose_end_is_doubtful_is_not_sent(desk: Desk, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_text(f"{POSTMARK}{letter(1)}{POSTMARK}{letter(2)}\n{POSTMARK}{letter(3)}\n")
    told = desk.run("--resume", str(desk.journal), source=box)
    assert (told.code, desk.arrived) == (65, ["3"])
    assert "0-" in told.err
    assert "no empty line is before it" in told.err
    assert [line["state"] for line in desk.lines] == ["refused", "begun", "accepted"]


def test_nothing_to_send_is_no_failure(desk: Desk) -> None:
    told = desk.run()
    assert (told.code, told.err) == (0, "there is nothing to send\n")
    assert desk.run("--json").data[-1]["summary"]["accepted"] == 0
    assert desk.sandbox.sessions == ()


def test_a_control_character_in_a_name_never_reaches_the_terminal(desk: Desk) -> None:
    (desk.letters / "\x1b[2J\n.eml").write_text(letter(1, to="nobody"))
    told = desk.run("--resume", str(desk.journal))
    assert told.err.startswith("?[2J .eml: ")
    assert "\x1b" not in told.err + desk.journal.read_text()
    assert desk.lines[0]["key"] == "\x1b[2J\n.eml"


def test_it_says_so_where_nobody_listens(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(1, 2)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        monkeypatch.setattr("sys.stdout", full)
        assert main(["send-many", str(desk.letters), "--json"]) == 0
        monkeypatch.undo()
    assert desk.arrived == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["/nowhere"], 64, "/nowhere cannot be read: No such file"),
        ([], 64, "MBOX_OR_DIRECTORY"),
        ([".", "--connections", "0"], 64, "'0' is no number from 1"),
        ([".", "--from", "a b"], 65, "a b"),
        ([".", "--url", "mailto://x"], 78, "submission://"),
        ([".", "--url", ""], 0, ""),
        ([".", "--resume", "/nowhere/journal"], 78, "/nowhere/journal cannot be written: No such file"),
        ([".", "--resume", "."], 78, "Is a directory"),
        ([".", "--resume", "/dev/full"], 64, "/dev/full is no file"),
        ([__file__], 64, "is no mbox"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_connected(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(desk.letters)
    told = desk.command(*options)
    assert told.code == code
    assert words in told.err
    assert desk.sandbox.sessions == ()


def test_no_account_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTMAIL_URL")
    told = desk.run("--resume", str(desk.journal))
    assert told.code == 68
    assert not desk.journal.exists()


# The journal: nothing is sent twice, and what nobody knows is told.


def test_what_is_settled_is_not_sent_again(desk: Desk) -> None:
    desk.write(1, 2)
    desk.write("gone", to="gone@example.org")
    desk.write("some", to="you@example.org, gone@example.org")
    desk.sandbox.reject("gone@example.org")
    assert desk.resume().code == 67
    assert desk.states("1.eml") == ["begun", "accepted"]
    assert desk.states("gone.eml") == ["refused"]
    [kept] = [line for line in desk.lines if line["key"] == "some.eml" and line["state"] == "accepted"]
    assert kept["refused"] == {"gone@example.org": "550 5.1.1 no such user"}
    assert kept["message_id"] == "<some@example.org>"
    assert desk.journal.stat().st_mode & 0o777 == 0o600
    before = desk.journal.read_bytes()
    desk.sandbox.behave()
    told = desk.resume()
    assert (told.code, len(told.data)) == (67, 1)
    assert told.data[0]["summary"] == {"accepted": 3, "refused": 1, "not-sent": 0, "in-doubt": 0}
    assert (told.data[0]["earlier"], told.data[0]["partly_accepted"]) == (4, 1)
    assert desk.journal.read_bytes() == before
    assert desk.arrived == ["1", "2", "some"]


@pytest.mark.usefixtures("no_retry")
def test_what_may_be_accepted_later_is_sent_again(desk: Desk) -> None:
    desk.write(1)
    desk.write("later", to="later@example.org")
    desk.sandbox.reject("later@example.org", code=451, text="4.2.0 later")
    told = desk.resume()
    assert (told.code, told.states) == (75, {"1.eml": "accepted", "later.eml": "not-sent"})
    assert "To go on run the same command again" in told.err
    desk.sandbox.behave()
    assert desk.resume().code == 0
    assert desk.states("later.eml") == ["not-sent", "begun", "accepted"]
    assert desk.arrived == ["1", "later"]


def test_what_is_in_doubt_is_not_sent_again_until_its_lines_are_taken_out(desk: Desk) -> None:
    desk.write(1)
    desk.sandbox.drop_after_dot(times=1)
    told = desk.resume()
    assert (told.code, told.states) == (76, {"1.eml": "in-doubt"})
    assert desk.states("1.eml") == ["begun", "in-doubt"]
    again = desk.resume()
    assert (again.code, again.states) == (76, {"1.eml": "in-doubt"})
    assert again.data[0]["message_id"] == "<1@example.org>"
    assert "1.eml: in doubt since an earlier run" in again.err
    assert f"unless their lines are taken out of {desk.journal}" in again.err
    assert desk.arrived == ["1"]
    desk.journal.write_text("".join(desk.journal.read_text().splitlines(keepends=True)[:1]))
    assert desk.resume().code == 0
    assert desk.arrived == ["1", "1"]


def test_a_file_that_cannot_be_read_now_may_be_read_later(desk: Desk) -> None:
    desk.write(1)
    os.mkfifo(desk.letters / "fifo.eml")
    (desk.letters / "2.eml").symlink_to("1.eml")
    taken = desk.letters / "1.eml"
    read = Path.open

    def unreadable(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "1.eml":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", unreadable)
        told = desk.resume()
    assert (told.code, told.states) == (75, {"1.eml": "not-sent", "2.eml": "accepted"})
    assert taken.exists()
    assert desk.resume().code == 0


def write_journal(desk: Desk, *lines: dict[str, object], end: str = "\n") -> None:
    """A journal of this desk that ends like this."""
    about = {"source": "directory", "name": str(desk.letters)}
    title = {"portmail": "journal of send-many", "version": 1, "about": about}
    desk.journal.write_text("\n".join(map(json.dumps, (title, *lines))) + end)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ("\n", "in-doubt"),
        ("", "in-doubt"),
        ('\n{"key": "1.eml", "state": "acc', "in-doubt"),
        ('\n{"key": "1.eml", "state": "accepted", "code": 0}', "accepted"),
    ],
    ids=["whole", "no line end", "torn", "whole but no line end"],
)
def test_a_last_line_that_is_torn_is_mended(desk: Desk, end: str, state: str) -> None:
    desk.write(1, 2)
    write_journal(desk, {"key": "1.eml", "state": "begun"}, end=end)
    told = desk.resume()
    assert told.states == {"2.eml": "accepted"} | ({"1.eml": state} if state == "in-doubt" else {})
    assert desk.states("2.eml") == ["begun", "accepted"]
    assert desk.arrived == ["2"]


def test_a_title_that_is_torn_is_written_again(desk: Desk) -> None:
    desk.write(1)
    for length in (1, 20, 60):
        desk.journal.write_bytes(b'{"portmail": "journal of send-many", "version": 1, "about": {"'[:length])
        assert desk.resume().code == 0
        assert desk.states("1.eml") == ["begun", "accepted"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("my precious notes", "is no journal of send-many"),
        ("\0" * 100_000, "is no journal of send-many"),
        ('{"portmail": "journal of send-many", "version": 2, "about": {}}\n', "of another version"),
        ('{"portmail": "journal of send-many", "vers\n', "of another version"),
        (
            '{"portmail": "journal of send-many", "version": 1, "about": {"source": "mbox", "name": "/x"}}\n',
            "is the journal of /x as it was then, not of",
        ),
    ],
    ids=["notes", "binary", "version", "broken", "source"],
)
def test_a_file_that_is_no_journal_of_this_source_is_refused_and_stays(
    desk: Desk, text: str, words: str
) -> None:
    desk.write(1)
    desk.journal.write_text(text)
    told = desk.run("--resume", str(desk.journal))
    assert told.code == 64
    assert words in told.err
    assert desk.journal.read_text() == text
    assert desk.arrived == []


@pytest.mark.parametrize("line", ["not json", "[]", '{"key": "1.eml"}', '{"key": 1, "state": "begun"}'])
def test_a_line_that_is_none_is_told_with_its_number(desk: Desk, line: str) -> None:
    desk.write(1)
    write_journal(desk, {"key": "1.eml", "state": "begun"}, end=f"\n{line}\n\n")
    told = desk.run("--resume", str(desk.journal))
    assert told.code == 64
    assert "line 3 is no line of a journal" in told.err
    assert desk.arrived == []


def test_an_mbox_that_was_changed_is_another_source(desk: Desk, tmp_path: Path) -> None:
    box, moved = tmp_path / "box", tmp_path / "moved"
    box.write_text("".join(f"{POSTMARK}{letter(name)}\n" for name in (1, 2, 3)))
    assert desk.run("--resume", str(desk.journal), source=box).code == 0
    box.rename(moved)
    assert desk.run("--resume", str(desk.journal), source=moved).code == 0
    moved.write_text("".join(f"{POSTMARK}{letter(name)}\n" for name in (1, 4, 3)))
    assert desk.run("--resume", str(desk.journal), source=moved).code == 64
    moved.write_text("".join(f"{POSTMARK}{letter(name)}\n" for name in (2, 3)))
    assert desk.run("--resume", str(desk.journal), source=moved).code == 64
    assert desk.run("--resume", str(desk.journal)).code == 64
    assert desk.arrived == ["1", "2", "3"]


def test_two_runs_with_one_journal_are_one_too_many(desk: Desk) -> None:
    desk.write(1)
    desk.journal.touch()
    with desk.journal.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        told = desk.run("--resume", str(desk.journal))
    assert told.code == 75
    assert "another run is using the journal" in told.err
    assert desk.arrived == []


# What would be the same for every other message ends the run.


def test_a_refused_login_ends_the_run_after_one_try(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(*range(100))
    right = os.environ["PORTMAIL_URL"]
    monkeypatch.setenv("PORTMAIL_URL", right.replace("%20", "-"))
    told = desk.resume("--connections", "1")
    assert told.code == 77
    assert set(told.states.values()) == {"not-sent"}
    assert 0 < len(told.states) < 100
    assert told.err.count(".eml: Not sent: the server refused the login.") == 1
    assert "ended early: every other message would meet the same." in told.err
    assert "more did not go well" not in told.err
    assert "What to do: check the user name and the password" in told.err
    assert sum(session.authentications for session in desk.sandbox.sessions) == 1
    monkeypatch.setenv("PORTMAIL_URL", right)
    assert desk.resume().code == 0
    assert desk.arrived == sorted(map(str, range(100)))


def test_an_insecure_channel_ends_the_run(desk: Desk) -> None:
    desk.write(*range(50))
    desk.sandbox.strip_starttls()
    told = desk.run("--connections", "1")
    assert told.code == 77
    assert "Without --resume FILE there is no list of what was sent" in told.err
    assert desk.arrived == []


def test_why_is_told_in_the_language_of_a_person_and_in_english_to_programs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write(*range(3))
    monkeypatch.setenv("PORTMAIL_URL", os.environ["PORTMAIL_URL"].replace("%20", "-"))
    told = desk.resume("--connections", "1", "--lang", "ja")
    assert told.code == 77
    refused = words(Language.JAPANESE)("the server said")
    assert refused != "the server said"
    first, *_ = told.err.splitlines()
    assert first.startswith("0.eml: ")
    assert refused in first
    assert told.err.count(refused) == 2, "of the message, and of the run's end"
    assert "Not sent: the server refused the login." in told.data[0]["text"]
    assert refused not in told.out + desk.journal.read_text()


@pytest.mark.usefixtures("no_retry")
def test_a_server_that_is_not_there_is_not_asked_for_ever(desk: Desk) -> None:
    desk.write(*range(100))
    desk.sandbox.close_port(587)
    told = desk.resume("--connections", "1")
    assert told.code == 75
    assert 20 <= len(told.states) < 100
    assert "ended early: so it went 20 times in a row." in told.err
    desk.sandbox.open_port(587)
    assert desk.resume().code == 0
    assert len(desk.arrived) == 100


def test_a_server_that_answers_nothing_does_not_get_all_of_it_into_doubt(desk: Desk) -> None:
    desk.write(*range(60))
    desk.sandbox.drop_after_dot()
    told = desk.resume("--connections", "1")
    assert told.code == 76
    doubtful = [key for key, state in told.states.items() if state == "in-doubt"]
    assert 20 <= len(doubtful) < 60
    assert len(desk.arrived) == len(set(desk.arrived)) == len(doubtful)


# Where the journal cannot be written, nothing is sent.


PROGRAM = """
import sys
from portmail.cli import main
code = main()
assert sys.stderr.isatty() or "rich" not in sys.modules, "rich was loaded where there is no bar"
sys.exit(code)
"""


class Command:
    """`portmail send-many` in a process of its own."""

    def __init__(
        self,
        desk: Desk,
        *options: str,
        warnings: str = "error",
        limit: str = "unlimited",
        stderr: int = subprocess.PIPE,
    ) -> None:
        names = ("PORTMAIL_URL", "PORTMAIL_CA", "SSL_CERT_FILE", "PATH")
        # Octets that are cached by a process that may not write large files would be broken ones.
        environment = {name: os.environ[name] for name in names} | {"PYTHONDONTWRITEBYTECODE": "1"}
        python = [sys.executable, "-W", warnings, "-c", PROGRAM, "send-many", str(desk.letters)]
        self.process = subprocess.Popen(
            ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", *python, *options],
            env={**environment, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            pipesize=4096,  # what nobody reads soon makes it wait
        )

    def result(self) -> Told:
        out, err = self.process.communicate(timeout=30)
        assert b"Traceback" not in (err or b"")
        return Told(self.process.returncode, out.decode(), (err or b"").decode())

    def read_lines(self, count: int) -> list[bytes]:
        assert self.process.stdout
        return [self.process.stdout.readline() for _ in range(count)]


def test_a_full_disk_ends_the_run_and_no_message_goes_without_a_line(desk: Desk) -> None:
    desk.write(*range(30))
    options = ("--resume", str(desk.journal), "--json", "--connections", "1")
    told = Command(desk, *options, limit="2").result()
    assert told.code == 78
    assert f"the journal {desk.journal} cannot be written" in told.err
    assert desk.journal.stat().st_size == 2048
    arrived, kept = desk.arrived, desk.journal.read_text()
    assert all(f'"{name}.eml"' in kept for name in arrived)
    assert sorted(key for key, state in told.states.items() if state == "accepted") == [
        f"{name}.eml" for name in arrived
    ]
    again = desk.resume()
    assert again.code in (0, 76)
    assert Counter(desk.arrived) == Counter(set(desk.arrived))
    doubtful = {key.removesuffix(".eml") for key, state in again.states.items() if state == "in-doubt"}
    assert {*desk.arrived, *doubtful} == set(map(str, range(30)))


# Stopped, killed, and gone on.


@pytest.fixture
def heard() -> Iterator[None]:
    """What we start hears SIGINT also where whoever started us had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.usefixtures("heard")
def test_the_first_signal_finishes_what_is_begun(desk: Desk) -> None:
    desk.write(*range(80))
    command = Command(desk, "--resume", str(desk.journal), "--json", "--connections", "1")
    command.read_lines(1)
    command.process.send_signal(signal.SIGINT)
    told = command.result()
    assert told.code == 130
    assert "stopping: what is under way is finished first" in told.err
    assert "To go on run the same command again" in told.err
    assert 0 < len(desk.arrived) < 80
    assert told.data[-1]["summary"]["accepted"] == len(desk.arrived)
    assert not told.data[-1]["complete"]
    assert f"  {80 - len(desk.arrived)} were not tried\n" in told.err
    assert Counter(line["state"] for line in desk.lines) == dict.fromkeys(
        ("begun", "accepted"), len(desk.arrived)
    )
    assert desk.resume().code == 0
    assert desk.arrived == sorted(map(str, range(80)))


@pytest.mark.usefixtures("heard")
def test_the_second_signal_ends_it_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(1)
    greeting, envelope = "S: 220 hi\nC: EHLO *\nS: 250 hi", "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok"
    with play(f"{greeting}\n{envelope}\nC: DATA\nS: 354 go\nBODY\nSILENCE") as player:
        monkeypatch.setenv("PORTMAIL_URL", f"relay://127.0.0.1:{player.port}?tls=none")
        # The connection that is waited for no longer ends with the process.
        command = Command(desk, "--resume", str(desk.journal), warnings="ignore")
        assert command.process.stderr
        wait_until(lambda: desk.journal.exists() and '"begun"' in desk.journal.read_text())
        command.process.send_signal(signal.SIGINT)
        assert command.process.stderr.readline().startswith(b"stopping: ")
        command.process.send_signal(signal.SIGINT)
        assert b"To go on run the same command again" in command.process.stderr.readline()
    told = command.result()
    assert (told.code, told.err) == (130, "portmail: stopped\n")
    assert desk.states("1.eml") == ["begun"]
    again = desk.resume()
    assert (again.code, again.states) == (76, {"1.eml": "in-doubt"})


def test_a_signal_that_was_ignored_stays_so_and_all_are_given_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        kept = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        heard: list[bool] = []
        with Stop(lambda: heard.append(True)) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert heard == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert (heard, stop.asked) == ([True], True)
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == kept
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("rounds", [[5], pytest.param([1, 10], marks=pytest.mark.long)], ids=len)
def test_killed_again_and_again_it_sends_nothing_twice(rounds: list[int], desk: Desk) -> None:
    desk.write(*range(150))
    begun = 0
    for lines in rounds:
        command = Command(desk, "--resume", str(desk.journal), "--json", "--connections", "1")
        command.read_lines(begun + lines)  # those in doubt are told each time
        command.process.kill()
        assert command.process.wait(10) == -signal.SIGKILL
        command.result()
        states = Counter(line["state"] for line in desk.lines)
        begun = states["begun"] - states["accepted"]
    told = desk.resume()
    doubtful = {key.removesuffix(".eml") for key, state in told.states.items() if state == "in-doubt"}
    assert told.code == (76 if doubtful else 0)
    assert told.data[-1]["summary"]["accepted"] + len(doubtful) == 150
    assert Counter(desk.arrived) == Counter(set(desk.arrived))
    assert {*desk.arrived, *doubtful} == set(map(str, range(150)))


def test_it_runs_in_a_thread_that_hears_no_signals(desk: Desk) -> None:
    desk.write(1)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["send-many", str(desk.letters)])))
    thread.start()
    thread.join(10)
    assert (codes, desk.arrived) == ([0], ["1"])


# Progress.


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def outcome(state: State) -> Outcome:
    return Outcome("1.eml", state, 0)


def test_progress_is_told_in_words() -> None:
    clock = Clock()
    tally = Tally(5000, counted=True, clock=clock)
    assert in_words(tally) == "0 of 5,000 sent, 0 refused, 0 in doubt, 0.0/s"
    for _ in range(100):
        tally.settled_earlier(Known(State.ACCEPTED, 0), weight=1)
    for _ in range(1197):
        tally.settled(outcome(State.ACCEPTED), weight=1)
    for _ in range(3):
        tally.settled(outcome(State.REFUSED), weight=1)
    clock.seconds += 4
    assert in_words(tally) == "1,297 of 5,000 sent, 3 refused, 0 in doubt, 300/s, 12 s left"
    clock.seconds += 996
    tally.settled(outcome(State.NOT_SENT), weight=1)
    tally.settled(outcome(State.IN_DOUBT), weight=1)
    assert (
        in_words(tally) == "1,297 of 5,000 sent, 3 refused, 1 not sent, 1 in doubt, 1.2/s, 51 min 17 s left"
    )


def test_of_an_mbox_the_octets_tell_how_long_it_takes() -> None:
    clock = Clock()
    tally = Tally(1_000_000, counted=False, clock=clock)
    tally.settled(outcome(State.ACCEPTED), weight=100)
    clock.seconds += 1
    assert in_words(tally) == "1 sent, 0 refused, 0 in doubt, 1.0/s, 2 h 46 min left"


def test_a_plain_line_comes_every_two_seconds_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    tally = Tally(100, counted=True, clock=clock)
    lines = Lines(tally)
    for _ in range(100):
        clock.seconds += 0.125
        tally.settled(outcome(State.ACCEPTED), weight=1)
        lines.moved(tally)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 6
    assert told[0] == "16 of 100 sent, 0 refused, 0 in doubt, 8.0/s, 10 s left"


def on_a_terminal(desk: Desk, *options: str) -> tuple[Told, str]:
    """Run with standard error on a terminal of 100 columns; return what is on it.

    What comes on standard output meanwhile must be little: nobody reads it.
    """
    ours, theirs = terminal(columns=100)
    command = Command(desk, *options, stderr=theirs)
    os.close(theirs)
    text = shown(ours)
    return command.result(), text


def test_on_a_terminal_there_is_a_bar_and_json_goes_past_it(desk: Desk) -> None:
    desk.write(*range(9))
    desk.write("gone", to="gone@example.org")
    desk.sandbox.reject("gone@example.org")
    told, shown = on_a_terminal(desk, "--json")
    assert (told.code, len(told.states)) == (67, 10)
    assert "\u2501" in shown
    assert "0 of 10 sent, 0 refused, 0 in doubt" in shown
    assert "gone.eml: Not sent: the server refused the message." in shown
    assert "accepted" not in shown
    summed, _, took = shown.rpartition(", in ")  # a busy machine needs more than a second
    assert summed.endswith("9 of 10 sent, 1 refused, 0 in doubt")
    assert took.endswith(" s\r\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_there_is_no_bar_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally(1, counted=True)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_for(tally, stdout_is_read=False), Lines)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert not isinstance(progress_for(tally, stdout_is_read=False), Lines)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert isinstance(progress_for(tally, stdout_is_read=True), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_for(tally, stdout_is_read=False), Lines)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "portmail.cli.terminal")
    assert isinstance(progress_for(tally, stdout_is_read=False), Lines)
