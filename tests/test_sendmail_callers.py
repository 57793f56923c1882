"""Programs that know sendmail(1) get their mail out: the real cron, git send-email, PHP and mailx."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from portmail.sandbox import Sandbox
from portmail.sandbox.records import Received
from tests.servers.requirements import require

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[1] / "examples"
CRONTABS = "/var/spool/cron/crontabs"
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


@pytest.fixture
def program(sandbox: Sandbox, tmp_path: Path) -> Path:
    """portmail under the name sendmail, with the files of the examples, and nothing of the environment."""
    account = tmp_path / "sendmail.env"
    text = (EXAMPLES / "sendmail.env").read_text("utf-8")
    lines = [
        line for line in text.splitlines() if not line.startswith(("PORTMAIL_URL=", "PORTMAIL_PASSWORD"))
    ]
    account.write_text(
        "\n".join([*lines, f"PORTMAIL_URL={sandbox.url}", f"PORTMAIL_CA={sandbox.ca}\n"]), "utf-8"
    )
    shutil.copy(EXAMPLES / "aliases", tmp_path)
    for file in (account, tmp_path / "aliases", sandbox.ca):
        file.chmod(0o640)
    path = tmp_path / "bin" / "sendmail"
    path.parent.mkdir()
    # What is installed as `portmail`; the place of the file is all that a test cannot take over.
    path.write_text(
        f"#!{sys.executable} -Werror\nimport os, sys\n"
        f"os.environ |= {{'PORTMAIL_SENDMAIL_CONFIG': {str(account)!r}, 'PORTMAIL_CACHE': 'off'}}\n"
        "from portmail.cli import main\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    return path


Ended = subprocess.CompletedProcess[bytes]


def run(
    *command: str,
    text: bytes = b"",
    home: Path | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run a program with no environment to speak of."""
    path = f"{home}/bin:{os.defpath}" if home else os.defpath
    ours = {"PATH": path, "HOME": str(home or "/"), **environ}
    return subprocess.run(
        command, input=text, env=ours, cwd=home, capture_output=True, timeout=30, check=False
    )


def missing(*programs: str) -> str | None:
    absent = [
        program for program in programs if shutil.which(program, path=os.defpath + ":/usr/sbin") is None
    ]
    return f"not installed: {', '.join(absent)}" if absent else None


def only(sandbox: Sandbox) -> tuple[Received, Any]:
    (received,) = sandbox.messages
    return received, received.message


# Each as it is in the source, or in the binary; with the header that belongs to it.
CRONS = {
    "cron of Debian": ("-FCronDaemon -i -B8BITMIME -oem root", b"From: root (Cron Daemon)\nTo: root\n"),
    "cronie": (
        "-FCronDaemon -i -odi -oem -oi -t -f root",
        b'From: "(Cron Daemon)" <root>\nTo: root\n',
    ),
    "cron of Vixie": ("-FCronDaemon -odi -oem -oi -t", b"From: root (Cron Daemon)\nTo: root\n"),
    "bcron": ("-FCronDaemon -i -odi -oem -oi -or0s root", b"To: <root>\nFrom: <root>\n"),
    "systemd-cron": ("-i -B 8BITMIME root", b"From: root (systemd-cron)\nTo: root\n"),
}
REST = b"""\
Subject: Cron <root@host> echo hi
Content-Type: text/plain; charset=UTF-8
X-Cron-Env: <HOME=/root>

"""


@pytest.mark.parametrize("cron", CRONS)
def test_the_line_of_a_cron_delivers_to_whom_root_stands_for(
    cron: str, program: Path, sandbox: Sandbox
) -> None:
    flags, head = CRONS[cron]
    done = run("/bin/sh", "-c", f"{program} {flags}", text=head + REST + b"hi\n.\nmore\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    received, message = only(sandbox)
    assert (received.sender, received.recipients) == ("root@example.com", ("ops@example.com",))
    assert message["From"].addresses[0].addr_spec == "root@example.com"
    assert message["To"].addresses[0].addr_spec == "root@example.com"
    assert message["Subject"] == "Cron <root@host> echo hi"
    assert message["X-Cron-Env"] == "<HOME=/root>"
    assert received.content.endswith(b"\r\n\r\nhi\r\n.\r\nmore\r\n")


@contextmanager
def at_reboot(job: str, *, sendmail: Path, directory: Path) -> Iterator[None]:
    """Debian's cron with nothing but this job, in a namespace of its own where sendmail is ours."""
    crontabs, nothing = directory / "crontabs", directory / "nothing"
    crontabs.mkdir()
    nothing.mkdir()
    (directory / "crontab").touch()
    (crontabs / "root").write_text(f"@reboot {job}\n")
    (crontabs / "root").chmod(0o600)
    places = {crontabs: CRONTABS, nothing: "/etc/cron.d", directory / "crontab": "/etc/crontab"}
    mounts = [
        f"mount --bind {ours} {theirs}" for ours, theirs in {**places, sendmail: "/usr/sbin/sendmail"}.items()
    ]
    script = " && ".join([*mounts, "mount -t tmpfs none /run", "exec cron -f"])
    process = subprocess.Popen([*UNSHARE, "sh", "-c", script], start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(5)


def test_debians_cron_mails_what_a_job_prints(program: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    require(missing("cron", "unshare", "sendmail"))
    able = (
        os.geteuid() == 0
        and not subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode
    )
    require(None if able else "only root can give cron a sendmail of its own")
    told = tmp_path / "told"
    os.mkfifo(told)
    end = os.open(told, os.O_RDWR)
    script = program.read_text().replace("sys.exit(main())", f"open({str(told)!r}, 'w').write(str(main()))")
    program.write_text(script)
    with at_reboot("printf 'Gr\\303\\274\\303\\237e'", sendmail=program, directory=tmp_path):
        assert select.select([end], [], [], 20)[0], "cron started no sendmail"
        assert os.read(end, 10) == b"0"
    os.close(end)
    received, message = only(sandbox)
    assert (received.sender, received.recipients) == ("root@example.com", ("ops@example.com",))
    assert message["Subject"].startswith("Cron <root@")
    assert received.content.endswith("\r\n\r\nGrüße\r\n".encode())


@pytest.fixture
def git(tmp_path: Path, program: Path) -> Callable[..., Ended]:
    """Send the last commit by `git send-email`."""
    require(missing("git", "perl") or _without("git", "send-email", "-h"))
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in {"NAME": "Jöe Dev", "EMAIL": "joe@example.com"}.items()}  # fmt: skip
    settings = {"GIT_CONFIG_NOSYSTEM": "1", **who}

    def git(*arguments: str) -> Ended:
        return run("git", *arguments, home=tmp_path, environ=settings)

    assert git("init", "-q").returncode == 0
    assert (
        git("commit", "-q", "--allow-empty", "-m", "Add ümlauts\n\n.\n\nA dot stands alone.").returncode == 0
    )
    return git


def _without(*command: str) -> str | None:
    done = run(*command)
    return f"{' '.join(command)} does not work here" if b"is not a git command" in done.stderr else None


GIT: dict[str, tuple[Sequence[str], str]] = {
    "as a command": (("--sendmail-cmd={}",), "joe@example.com"),
    "as a command with an envelope sender": (
        ("--sendmail-cmd={}", "--envelope-sender=bounces@example.com"),
        "bounces@example.com",
    ),
    "as a server": (("--smtp-server={}", "--envelope-sender=auto"), "joe@example.com"),
    "as a setting, found in PATH": ((), "joe@example.com"),
}


@pytest.mark.parametrize("way", GIT)
def test_git_sends_a_patch(
    way: str, git: Callable[..., Ended], program: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    flags, sender = GIT[way]
    if not flags:
        git("config", "sendemail.sendmailCmd", "sendmail")
    patch = tmp_path / "0001.patch"
    patch.write_bytes(git("format-patch", "--stdout", "--root", "--always", "HEAD").stdout)
    people = ("--to=list@example.org", "--cc=Ann <ann@example.org>", "--bcc=eve@example.org")
    done = git("send-email", "--confirm=never", "--quiet", "--suppress-cc=all", *people,
               *(flag.format(program) for flag in flags), str(patch))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    received, message = only(sandbox)
    assert received.sender == sender
    assert set(received.recipients) == {"list@example.org", "ann@example.org", "eve@example.org"}
    assert message["Subject"] == "[PATCH] Add ümlauts"
    assert b"eve" not in received.content
    assert b"\r\n.\r\n\r\nA dot stands alone.\r\n" in received.content


def test_git_is_told_what_went_wrong(
    git: Callable[..., Ended], program: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.reject("list@example.org")
    patch = tmp_path / "0001.patch"
    patch.write_bytes(git("format-patch", "--stdout", "--root", "--always", "HEAD").stdout)
    done = git(
        "send-email", "--confirm=never", "--to=list@example.org", f"--sendmail-cmd={program}", str(patch)
    )
    assert done.returncode != 0
    assert b"550 5.1.1 no such user" in done.stderr


def php(program: Path, code: str) -> Ended:
    require(missing("php"))
    return run("php", "-d", f"sendmail_path={program} -t -i", "-r", code, home=program.parents[1])


def test_php_mails(program: Path, sandbox: Sandbox) -> None:
    code = """var_dump(mail("Ann <ann@example.org>, bob@example.org", "Gr\\u{fc}\\u{df}e", "hi\\n.\\n\\u{e4}",
        ["From" => "Shop <shop@example.com>", "Bcc" => "eve@example.org"], "-fbounces@example.com"));"""
    done = php(program, code)
    assert (done.stdout, done.stderr) == (b"bool(true)\n", b"")
    received, message = only(sandbox)
    assert received.sender == "bounces@example.com"
    assert received.recipients == ("ann@example.org", "bob@example.org", "eve@example.org")
    assert (message["From"], message["Subject"]) == ("Shop <shop@example.com>", "Grüße")
    assert received.content.endswith("\r\n\r\nhi\r\n.\r\nä\r\n".encode())
    assert b"eve" not in received.content


LARGE = """
$to = array_map(fn($number) => "user$number@example.org", range(1, 80));
var_dump(mail(implode(", ", $to), "x", "hi"));
$page = "--x\\r\\nContent-Type: text/html\\r\\n\\r\\n" . str_repeat("<td>x</td>", 200);
$header = ["From" => "J\\xf6 <a@example.org>", "Organization" => "f\\xfcr", "MIME-Version" => "1.0"];
$header["Content-Type"] = "multipart/mixed; boundary=x";
var_dump(mail("b@example.org", "x", "$page\\r\\n--x--", $header));
"""


def test_php_mails_to_many_and_in_long_lines(program: Path, sandbox: Sandbox) -> None:
    done = php(program, LARGE)
    assert (done.stdout, done.stderr) == (b"bool(true)\nbool(true)\n", b"")
    many, long = sandbox.messages
    assert many.recipients == tuple(f"user{number}@example.org" for number in range(1, 81))
    assert [it.addr_spec for it in many.message["To"].addresses] == list(many.recipients)
    [part] = long.message.iter_parts()
    assert part.get_content().strip() == "<td>x</td>" * 200
    assert (long.message["From"], long.message["Organization"]) == ("Jö <a@example.org>", "für")


def test_php_mails_without_a_sender(program: Path, sandbox: Sandbox) -> None:
    assert php(program, 'var_dump(mail("root", "x", "hi"));').stdout == b"bool(true)\n"
    received, message = only(sandbox)
    assert received.sender.endswith("@example.com")
    assert message["From"].addresses[0].addr_spec == received.sender
    assert received.recipients == ("ops@example.com",)


def test_php_is_told_when_it_is_not_sent(program: Path, sandbox: Sandbox) -> None:
    sandbox.reject("ann@example.org")
    done = php(program, 'var_dump(mail("ann@example.org", "x", "hi"));')
    assert b"bool(false)" in done.stdout
    assert b"no such user" in done.stdout + done.stderr


def mailx(program: Path, *arguments: str, text: bytes) -> Ended:
    require(missing("bsd-mailx"))
    home = program.parents[1]
    (home / ".mailrc").write_text(f"set sendmail={program}\nset sendwait\n")
    return run("bsd-mailx", *arguments, text=text, home=home, environ={"LC_ALL": "C.UTF-8"})


def test_mailx_mails(program: Path, sandbox: Sandbox) -> None:
    done = mailx(
        program, "-s", "Grüße", "-b", "eve@example.org", "root", "you@example.org", text="hi ä\n".encode()
    )
    assert (done.returncode, done.stderr) == (0, b"")
    received, message = only(sandbox)
    assert set(received.recipients) == {"ops@example.com", "you@example.org", "eve@example.org"}
    assert received.sender.endswith("@example.com")
    assert message["Subject"] == "Grüße"
    assert {it.addr_spec for it in message["To"].addresses} == {"you@example.org", "root@example.com"}
    assert received.content.endswith("\r\n\r\nhi ä\r\n".encode())
    assert b"eve" not in received.content


def test_mailx_mails_for_somebody(program: Path, sandbox: Sandbox) -> None:
    assert mailx(program, "-s", "x", "-r", "me@example.net", "you@example.org", text=b"hi\n").returncode == 0
    received, message = only(sandbox)
    assert (received.sender, message["From"]) == ("me@example.net", "me@example.net")


def test_what_is_installed_knows_its_name(program: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    installed = Path(sys.executable).parent / "portmail"
    require(None if installed.exists() else "portmail is not installed")
    link = tmp_path / "sendmail"
    link.symlink_to(installed)
    file = str(tmp_path / "sendmail.env")
    done = run(str(link), "-ti", text=b"To: root\n\nhi\n", environ={"PORTMAIL_SENDMAIL_CONFIG": file})
    assert (done.returncode, done.stderr) == (0, b"")
    assert only(sandbox)[0].recipients == ("ops@example.com",)
    assert run(str(link), "-bp").stdout == b"Mail queue is empty\n"


def test_smtp_is_spoken_on_a_pipe_line_by_line(program: Path, sandbox: Sandbox) -> None:
    """As programs do that wait for each reply."""
    said = [
        "EHLO me",
        "MAIL FROM:<me@example.org>",
        "RCPT TO:<root>",
        "DATA",
        "Subject: x\r\n\r\nhi\r\n.",
        "QUIT",
    ]
    with subprocess.Popen([program, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        replies = [process.stdout.readline()]
        for line in said:
            process.stdin.write(line.encode() + b"\r\n")
            process.stdin.flush()
            while (reply := process.stdout.readline())[3:4] == b"-":
                pass
            replies.append(reply)
            assert len(sandbox.messages) == (len(replies) > 5)
    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert process.returncode == 0
