"""`portmail init`, as a person and a program meet it; and nothing is read that was not asked for."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

import portmail
from portmail.cli import main
from portmail.importing.env_url import DIALECTS
from portmail.importing.reading import READERS
from portmail.sandbox import Sandbox
from portmail.settings import from_environment
from tests.importing.reading import account
from tests.leaks import PASSWORD

H = "mail.example.com"
URL = f"submission://me%40x:{PASSWORD}@{H}"

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EMAIL_URL", URL)

    def run(*arguments: str) -> int:
        return main(("init", "--from", *arguments))

    return run


def printed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


def test_lines_are_printed_and_notes_told_twice(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env-url") == 0
    told = capsys.readouterr()
    assert printed(told.out) == {"PORTMAIL_URL": f"submission://me%40x@{H}"}
    assert told.out.startswith("# portmail: from EMAIL_URL, as django-environ and dj-email-url read it\n")
    [note] = [line.removeprefix("# ") for line in told.out.splitlines()[1:] if line.startswith("#")]
    assert told.err == f"portmail: {note}\n"
    assert "--password-file FILE" in note
    assert PASSWORD not in told.out + told.err


def test_the_password_is_printed_on_request(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env-url", "--show-password") == 0
    told = capsys.readouterr()
    assert account(from_environment(printed(told.out))).login == ("me@x", PASSWORD)
    assert told.err == ""


def test_the_password_is_written_into_a_file_of_its_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.umask(0)
    try:
        assert run("env-url", "--password-file", "secret", "--output", "env") == 0
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "secret": 0o600,
        "env": 0o600,
    }
    told = capsys.readouterr()
    assert told.out == ""
    assert PASSWORD not in told.err + (tmp_path / "env").read_text()
    lines = printed((tmp_path / "env").read_text())
    assert lines["PORTMAIL_PASSWORD_FILE"] == str(tmp_path / "secret")
    assert account(from_environment(lines)).login == ("me@x", PASSWORD)


def test_nothing_is_written_that_was_not_asked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"MAIL_SERVER = '{H}'\n")
    assert run("env-url") == run("env-url", "--show-password") == run("flask", "config.py") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.py"]


@pytest.mark.parametrize("option", ["--output", "--password-file"])
def test_a_file_that_is_there_is_left_and_nothing_read(
    run: Run, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "config.py").write_text("raise SystemExit")
    assert run("flask", "config.py", option, "there") == 64
    assert "there exists, and is left as it is" in capsys.readouterr().err
    assert (tmp_path / "there").read_text() == "mine"


def test_as_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env-url", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert PASSWORD not in str(told)
    assert told["environment"] == {"PORTMAIL_URL": f"submission://me%40x@{H}"}
    assert (told["status"], told["routes"], told["username"]) == ("found", [f"{H}:587 starttls"], "me@x")
    assert len(told["notes"]) == 1
    assert run("env-url", "--json", "--show-password") == 0
    assert json.loads(capsys.readouterr().out)["environment"] == {
        "PORTMAIL_URL": f"submission://me%40x:{quote(PASSWORD)}@{H}"
    }


@pytest.mark.parametrize(
    ("arguments", "told_as"),
    [
        (("git", "--host", H), (64, "--host says nothing to --from git")),
        (("netrc",), (64, "--from netrc needs --host")),
        (("netrc", "--host", H, "--account", "a"), (64, "--account says nothing")),
        (("msmtp", "--dialect", "django"), (64, "--dialect says nothing")),
        (("outlook",), (64, "invalid choice")),
        (("env-url", "--show-password", "--password-file", "x"), (64, "not allowed with")),
        (("env-url", "--password-file", "not plain"), (78, "take a path of letters")),
        (("env-url", "--output", "missing/x"), (78, "missing/x cannot be written: No such file")),
        (("env-url", "--password-file", "x", "--output", "missing/x"), (78, "missing/x cannot be written")),
        (("env-url", "--password-file", "x", "--output", "x"), (78, "x exists, and is left as it is")),
        (("env-url", "--password-file", "x", "--output", "/dev/full"), (64, "/dev/full exists")),
        (("env-url", "NOT_THERE"), (78, "NOT_THERE is not set")),
        (("env-url", f"smtp://{H}", "--password-file", "x"), (78, "has no password to write")),
        (("msmtp", "missing"), (78, "missing cannot be read: No such file")),
        (("netrc", "missing", "--host", H), (78, "missing cannot be read: No such file")),
        (("flask", "missing.py"), (78, "missing.py cannot be read: No such file")),
        (("django", "missing"), (78, "there is no module missing")),
    ],
)
def test_what_cannot_be_done_is_told(
    run: Run,
    arguments: Sequence[str],
    told_as: tuple[int, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, words = told_as
    assert run(*arguments) == code
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_to_the_end_is_gone_and_the_other_file_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setenv("EMAIL_URL", URL.replace(PASSWORD, "x"))
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (len("x\n"), usual[1])
    )  # the password fits, the settings do not
    try:
        code = run("env-url", "--password-file", "secret", "--output", "env")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, before)
    assert code == 78
    assert "env cannot be written: File too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", ["msmtp", "netrc", "git", "flask"])
def test_a_pipe_that_nobody_writes_to_is_told(
    run: Run, program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    options = ("--host", H) if program == "netrc" else ()
    assert run(program, "pipe.py", *options) == 78
    assert "pipe.py cannot be read: it is a pipe: name a file, or <(COMMAND)" in capsys.readouterr().err


def test_the_pipe_of_a_shell_is_read(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    end, writer = os.pipe()
    os.write(writer, f"host {H}\n".encode())
    os.close(writer)
    assert run("msmtp", f"/dev/fd/{end}") == 0
    os.close(end)
    assert printed(capsys.readouterr().out) == {"PORTMAIL_URL": f"relay://{H}"}


def test_every_program_and_dialect_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("init", "--help")) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"--from {{{','.join(READERS)}}}" in told
    assert f"--dialect {{{','.join(sorted(DIALECTS))}}}" in told
    assert "~/.msmtprc" in told


README_CONSOLE = """\
$ export EMAIL_URL='smtps://me%40example.com:s3cret@mail.example.com:465'
$ portmail init --from env-url --password-file portmail-password 2>/dev/null
# portmail: from EMAIL_URL, as django-environ and dj-email-url read it
# WARNING: smtps:// is STARTTLS to django-environ and dj-email-url, and implicit TLS to portmail. \
Port 465 is for implicit TLS: so it is submissions:// (there it is STARTTLS on 465)
PORTMAIL_URL=submissions://me%40example.com@mail.example.com
PORTMAIL_PASSWORD_FILE=/srv/app/portmail-password
"""


def test_what_readme_shows_is_what_is_printed(tmp_path: Path) -> None:
    assert README_CONSOLE in (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    export, command, *shown = README_CONSOLE.splitlines()
    program = f"{export.removeprefix('$ ')}\n{command.removeprefix('$ ')}"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    told = subprocess.run(
        ["sh", "-c", program], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert told.stdout.replace(str(tmp_path), "/srv/app").splitlines() == shown
    assert (tmp_path / "portmail-password").read_text() == "s3cret\n"


WATCHED = """\
import io, json, os, sys, threading
seen = []
def hook(event, arguments):
    if event == "open" or event.startswith(("subprocess", "os.exec", "os.posix", "os.system", "os.fork")):
        seen.append(f"{event} {arguments[0]}")
sys.addaudithook(hook)
from portmail.cli import main
codes = []
for command in json.loads(sys.argv[1]):
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"Hello.\\n"))
    codes.append(main(command))
loaded = [name for name in sys.modules if name.startswith(("portmail.importing.", "netrc"))]
print(*codes, *loaded, *seen, sep="\\n", file=sys.stderr)
"""

TRAPS = {
    ".netrc": f"machine {H} login me password pw\n",
    ".msmtprc": f"host {H}\n",
    ".config/msmtp/config": f"host {H}\n",
    ".gitconfig": f"[sendemail]\nsmtpserver = {H}\n",
    ".git/config": f"[sendemail]\nsmtpserver = {H}\n",
    ".env": f"EMAIL_URL=smtp://{H}\n",
    "settings.py": "print('run')\n",
    "config.py": "print('run')\n",
    ".mailrc": "x\n",
    ".muttrc": "x\n",
}


def watched(home: Path, *commands: Sequence[str], **environ: str) -> tuple[list[str], list[str]]:
    """Run commands in a home that is full of other programs' settings; their codes, and what they opened."""
    for name, text in TRAPS.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    paths = os.pathsep.join([str(Path(portmail.__file__).parents[1]), str(home)])
    others = {"EMAIL_URL": f"smtp://{H}", "DJANGO_SETTINGS_MODULE": "settings"}
    ours = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED, json.dumps(commands)],
        cwd=home,
        env=ours | others | environ,
        capture_output=True,
        check=True,
    )
    lines = told.stderr.decode().splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith(("portmail.importing.", "netrc")))
    return lines[at - len(commands) : at], lines[at:]


COMMANDS = (
    ("send", "--to", "you@example.org", "--subject", "Hello", "--from", "me@example.org"),
    ("send-many", "messages"),
    ("sendmail", "-i", "-f", "me@example.org", "you@example.org"),
    ("demo",),
    ("--help",),
)


def test_no_other_command_reads_other_programs_settings(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "1.eml").write_text("From: me@example.org\nTo: you@example.org\n\nHello.\n")
    codes, events = watched(tmp_path, *COMMANDS, PORTMAIL_URL=sandbox.url, PORTMAIL_CA=str(sandbox.ca))
    assert codes == ["0"] * len(COMMANDS)
    assert len(sandbox.messages) == 3
    assert any(event.startswith("open ") for event in events)
    opened = [event.removeprefix("open ") for event in events if event.startswith("open ")]
    names = [Path(name) for name in opened if not name.isdecimal()]
    touched = [trap for trap in TRAPS if any(name == tmp_path / trap or str(name) == trap for name in names)]
    assert touched == []
    assert [event for event in events if event.startswith(("subprocess", "os."))] == []
    assert [event for event in events if event.startswith(("portmail.importing.", "netrc"))] == [
        "portmail.importing.reading"
    ]


def test_the_watch_sees_what_init_reads_and_that_is_all_it_reads(tmp_path: Path) -> None:
    codes, events = watched(tmp_path, ("init", "--from", "netrc", "--host", H), ("init", "--from", "git"))
    opened = {event for event in events for trap in TRAPS if event == f"open {tmp_path / trap}"}
    assert (codes, opened) == (["0", "0"], {f"open {tmp_path / '.netrc'}"})
    assert [event for event in events if event.startswith("subprocess")] == ["subprocess.Popen git"]
