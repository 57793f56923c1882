"""The examples are whole programs, and they work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from portmail.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str, sandbox: Sandbox) -> Sequence[str]:
    """Run an example as a person would; return the lines that it prints."""
    done = ended(name, *arguments, sandbox=sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def ended(name: str, *arguments: str, sandbox: Sandbox) -> subprocess.CompletedProcess[str]:
    ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        env={"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), **ours},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_account_is_set_up_with_nothing_but_an_address(sandbox: Sandbox) -> None:
    lines = run("set_up.py", "me@gmail.com", sandbox=sandbox)
    assert lines[0] == "me@gmail.com submits at smtp.gmail.com:465 implicit-tls"
    assert "app password" in lines[1]
    assert "takes no password" in run("set_up.py", "me@outlook.com", sandbox=sandbox)[1]
    assert "give username=" in run("set_up.py", "me@docomo.ne.jp", sandbox=sandbox)[1]
    done = ended("set_up.py", "me", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (
        1,
        "'me' has no @: an address comes first; a server is given as host=\n",
    )


def test_a_script_notifies(sandbox: Sandbox) -> None:
    (line,) = run("notify.py", "ops@example.org", "/", "0", sandbox=sandbox)
    assert line.startswith("told ops@example.org through 127.0.0.1:")
    assert "% full" in sandbox.messages[0].message["Subject"]
    (line,) = run("notify.py", "ops@example.org", "/", "101", sandbox=sandbox)
    assert line.endswith("no mail")
    assert len(sandbox.messages) == 1


def test_a_monitoring_system_hears_whether_mail_can_go_out(sandbox: Sandbox) -> None:
    line, *ways = run("can_it_mail.py", sandbox=sandbox)
    assert line == f"OK: Mail can go out: {sandbox.routes[0]} is open."
    assert all(str(way).startswith("  127.0.0.1:") for way in ways)
    assert sandbox.messages == ()
    assert "took the login" in run("can_it_mail.py", "--login", sandbox=sandbox)[0]
    sandbox.strip_starttls()
    done = ended("can_it_mail.py", sandbox=sandbox)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("CRITICAL: Mail cannot go out. ")


def test_an_async_application_welcomes_many_and_tells_of_each(sandbox: Sandbox) -> None:
    sandbox.reject("bob@example.org", code=450, text="4.2.1 mailbox busy")
    lines = run("async_app.py", "ann@example.org", "bob@example.org", "eve@", sandbox=sandbox)
    assert lines[0].startswith("ann@example.org: accepted as <")
    assert lines[1].startswith("bob@example.org: later: Not sent")
    assert lines[-1].startswith("eve@: To: 'eve@' ")
    (received,) = sandbox.messages
    assert received.message.get_content_type() == "multipart/alternative"


def test_a_relay_takes_mail_without_a_login(sandbox: Sandbox) -> None:
    (line,) = run("company_relay.py", sandbox.url_for(25), "ops@intranet", sandbox=sandbox)
    assert line == "handed to 127.0.0.1 over TLSv1.3"
    (received,) = sandbox.messages
    assert (received.service, received.username) == (25, None)


def test_an_explicit_envelope_is_used(sandbox: Sandbox) -> None:
    lines = run("explicit_envelope.py", "4711", "ann@example.org", "bob@example.org", sandbox=sandbox)
    assert lines[0] == "ann@example.org: 250, bounces to bounce+4711-0@example.com"
    assert [received.sender for received in sandbox.messages] == [
        "bounce+4711-0@example.com",
        "bounce+4711-1@example.com",
        "",
    ]
    assert [received.recipients for received in sandbox.messages[:2]] == [
        ("ann@example.org",),
        ("bob@example.org",),
    ]
    assert sandbox.messages[0].message["To"] == "Readers <list@example.com>"


def test_a_newsletter_goes_to_every_reader_in_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    readers, letter = tmp_path / "readers.csv", tmp_path / "letter.txt"
    letter.write_text("Dear {name},\nthere is news.\n", "utf-8")
    lines = [f"reader{number}@example.org,Reader {number}\n" for number in range(30)]
    readers.write_text("address,name\n" + "".join(lines), "utf-8")
    assert run("newsletter.py", str(readers), str(letter), sandbox=sandbox) == ["30 accepted"]
    bodies = {received.message.get_content() for received in sandbox.messages}
    assert bodies == {f"Dear Reader {number},\r\nthere is news.\r\n" for number in range(30)}


def test_a_newsletter_tells_of_readers_whom_it_did_not_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    readers, letter = tmp_path / "readers.csv", tmp_path / "letter.txt"
    letter.write_text("Dear {name}\n", "utf-8")
    readers.write_text("address,name\nann@example.org,Ann\ngone@example.org,Bob\neve,Eve\n", "utf-8")
    sandbox.reject("gone@example.org")
    done = ended("newsletter.py", str(readers), str(letter), sandbox=sandbox)
    assert done.returncode == 1
    assert sorted(done.stdout.strip().split(", ")) == ["1 accepted", "2 refused"]
    assert "gone@example.org: Not sent: the server refused the message." in done.stderr
    assert "eve: " in done.stderr


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    files = [path for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path.name for path in files if path.stem not in tests] == []
