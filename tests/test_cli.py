"""`portmail send` and `portmail demo`, as a person and as a program meet them."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import portmail
from portmail.cause import FACTS
from portmail.cli import main, report
from portmail.cli.demo import play as play_demo
from portmail.cli.exits import exit_code
from portmail.cli.report import print_error
from portmail.discovery import account
from portmail.discovery.choosing import decide
from portmail.errors import DiscoveryError, PortmailError
from portmail.sandbox import Sandbox
from portmail.search import search_of
from tests.cases import cases
from tests.leaks import PASSWORD, USER, traces
from tests.servers.dialogue import play

Run = Callable[..., int]


@pytest.fixture
def run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the sandbox, with this on standard input."""
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    monkeypatch.setenv("PORTMAIL_FROM", "me@example.org")

    def run(*arguments: str, text: bytes = b"Hello.\n") -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        return main(arguments)

    return run


SEND = ("send", "--to", "you@example.org", "--subject", "Hello")


def test_a_message_is_sent_and_told(run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SEND) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"accepted by 127.0.0.1:{sandbox.port(587)} starttls, TLS 1.3")
    assert "for you@example.org" in told.out
    assert told.err == ""
    assert sandbox.messages[0].content.endswith(b"\r\n\r\nHello.\r\n")


def test_html_attachments_and_many_recipients(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>Grüße</p>", "utf-8")
    (tmp_path / "räport.bin").write_bytes(bytes(range(256)))
    options = ("--cc", "Cäsar <c@example.org>", "--bcc", "b@example.org", "--from", "Me <me@example.org>")
    files = ("--html", str(tmp_path / "page.html"), "--attach", str(tmp_path / "räport.bin"))
    assert run(*SEND, *options, *files, text="Grüße\n".encode("latin-1")) == 0
    (received,) = sandbox.messages
    assert received.recipients == ("you@example.org", "c@example.org", "b@example.org")
    assert b"b@example.org" not in received.content
    parts = [part.get_content_type() for part in received.message.walk()]
    assert parts == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/octet-stream",
    ]
    (attachment,) = received.message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("räport.bin", bytes(range(256)))
    body = received.message.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "Grüße"


def test_json_tells_the_same_to_a_program(
    run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SEND, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "accepted"
    assert told["accepted"] == ["you@example.org"]
    assert told["tls"]["version"] == "TLSv1.3"
    assert [attempt["verdict"] for attempt in told["attempts"]] == ["accepted"]


def test_some_recipients_refused_has_a_code_of_its_own(
    run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject("gone@example.org")
    assert run(*SEND, "--to", "gone@example.org") == 67
    told = capsys.readouterr()
    assert "for you@example.org" in told.out
    assert "refused: gone@example.org: 550 5.1.1 no such user" in told.err
    assert len(sandbox.messages) == 1


# What is wrong, what stands in the way of it, and the exit code.
WRONG: dict[str, tuple[tuple[str, ...], dict[str, str], int, str]] = {
    "no subject": (("send", "--to", "you@example.org"), {}, 64, "--subject"),
    "no command": ((), {}, 64, "COMMAND"),
    "an address with a space": (
        ("send", "--to", "a b@example.org", "--subject", "x"),
        {},
        65,
        "a b@example.org",
    ),
    "an address with two @": (
        ("send", "--to", "a@b@example.org", "--subject", "x"),
        {},
        65,
        "a@b@example.org",
    ),
    "an address with a line break": (
        ("send", "--to", "a@example.org\r\nBcc: e@x", "--subject", "x"),
        {},
        65,
        "To",
    ),
    "a header smuggled in": (
        ("send", "--to", "a@example.org", "--subject", "x\nBcc: e@x"),
        {},
        65,
        "Subject",
    ),
    "an attachment that is not there": ((*SEND, "--attach", "/nowhere/x"), {}, 65, "/nowhere/x"),
    "no account": (SEND, {"PORTMAIL_URL": ""}, 68, "PORTMAIL_URL"),
    "an unknown scheme": ((*SEND, "--url", "mailto://x"), {}, 78, "submission://"),
    "a port that is no number": ((*SEND, "--url", "smtp://mail.example.com:smtp"), {}, 78, "no number"),
    "a raw @ in the password": ((*SEND, "--url", "smtp://me:se@cret@host"), {}, 78, "%40"),
    "credentials on a relay": ((*SEND, "--url", "relay://me:secret@host"), {}, 78, "no credentials"),
    "a CA file that is not there": (SEND, {"PORTMAIL_CA": "/nowhere/ca.pem"}, 78, "/nowhere/ca.pem"),
    "a password file that is not there": (
        SEND,
        {"PORTMAIL_URL": "smtp://me@host", "PORTMAIL_PASSWORD_FILE": "/nowhere/pw"},
        78,
        "/nowhere/pw",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_in_words_with_its_exit_code(
    wrong: str,
    run: Run,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, environment, code, words = WRONG[wrong]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(*arguments) == code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert "secret" not in told
    assert sandbox.sessions == ()


def test_the_other_exit_codes(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.reject("you@example.org")
    assert run(*SEND) == 67
    sandbox.reject("you@example.org", code=451, text="4.2.0 later")
    assert run(*SEND) == 75
    sandbox.behave()
    sandbox.drop_after_dot()
    assert run(*SEND) == 76
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url.replace("%20", "-"))
    assert run(*SEND) == 77
    monkeypatch.setenv("PORTMAIL_CA", "")
    assert run(*SEND) == 77


def test_an_error_is_told_in_the_language_of_a_person_and_in_english_to_programs(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.close_port(587)
    monkeypatch.setattr("portmail.settings.DEFAULT_RETRY", None)
    assert run(*SEND, "--lang", "ja") == 69
    assert "接続が拒否されました" in capsys.readouterr().err
    assert run(*SEND, "--lang", "ja", "--json") == 69
    told = capsys.readouterr()
    assert "connection refused" in json.loads(told.out)["text"]
    assert told.err == ""
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    monkeypatch.delenv("LANGUAGE", raising=False)
    assert run(*SEND) == 69
    assert "接続が拒否されました" in capsys.readouterr().err
    assert run(*SEND, "--lang", "en") == 69
    assert "connection refused" in capsys.readouterr().err


def test_a_message_too_large_is_refused_data(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with play("S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 SIZE 100") as player:
        monkeypatch.setenv("PORTMAIL_URL", f"relay://127.0.0.1:{player.port}?tls=none")
        assert run(*SEND) == 65


def test_every_error_has_an_exit_code_of_sysexits() -> None:
    def family(kind: type[portmail.PortmailError]) -> set[type[portmail.PortmailError]]:
        return {kind}.union(*(family(sub) for sub in kind.__subclasses__()))

    for kind in family(portmail.PortmailError) - {portmail.PortmailError}:
        assert exit_code(kind("text")) in range(64, 79), kind


def test_no_secret_is_printed_even_when_the_server_repeats_it(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", f"submission://127.0.0.1:{sandbox.port(587)}")
    monkeypatch.setenv("PORTMAIL_USERNAME", USER)
    monkeypatch.setenv("PORTMAIL_PASSWORD", f"{PASSWORD}, but wrong")
    assert run(*SEND, "--json") == 77
    told = capsys.readouterr()
    assert traces((told.out + told.err).encode(), secrets=(PASSWORD,)) == []


def test_a_fault_of_ours_is_told_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("portmail.cli.sending.send", broken)
    assert run(*SEND) == 70
    assert capsys.readouterr().err == "portmail: this should not happen: RuntimeError: a fault\n"


@pytest.mark.parametrize("where", cases(["> /dev/full", "| head -c 0", ">&-"], daily=("> /dev/full",)))
def test_a_mail_that_is_sent_is_sent_although_nobody_reads_of_it(where: str, sandbox: Sandbox) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    sending = f"{sys.executable} -m portmail send --to you@example.org --subject x {where}"
    command = f"set -o pipefail; echo Hello | {sending}"
    environ = {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), "PORTMAIL_FROM": "me@example.org"}
    done = subprocess.run(
        ["bash", "-c", command],
        env={**environ, "PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(sandbox.messages) == 1


def test_both_names_of_the_command_are_the_same() -> None:
    for command in ([sys.executable, "-m", "portmail"], [str(Path(sys.executable).parent / "portmail")]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"portmail {portmail.__version__}\n"


# The demo: its claims, against what the sandbox recorded.


def test_the_demo_tells_the_truth() -> None:
    with Sandbox(users={"me@example.com": "correct horse battery staple"}) as server:
        story = play_demo(server)
        ports = {server.port(service): service for service in (587, 465, 25)}
        received, sessions = server.messages, server.sessions
    assert all(story.claims.values()), story.claims
    assert [ports[attempt.route.port] for attempt in story.receipt.attempts] == [587, 465]
    assert [(one.service, one.tls, one.recipients) for one in received] == [
        (465, "TLSv1.3", ("you@example.org", "archive@example.org"))
    ]
    assert sum(session.authentications for session in sessions) == 1
    assert isinstance(story.attack, portmail.InsecureChannel)
    attacked = b"".join(session.plaintext for session in sessions[1:])
    assert story.in_clear == attacked
    assert traces(attacked, secrets=("correct horse battery staple", "me@example.com")) == []


def test_the_demo_exits_with_0_only_if_every_claim_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(users={"me@example.com": "correct horse battery staple"}) as server:
        true = play_demo(server)
    for claim in true.claims:
        false = replace(true, claims={**true.claims, claim: False})
        monkeypatch.setattr("portmail.cli.demo.play", lambda _, story=false: story)
        monkeypatch.setattr("portmail.cli.demo._told", lambda *_, **__: [])
        assert main(["demo"]) == 70


def test_the_demo_as_a_person_starts_it() -> None:
    command = [sys.executable, "-W", "error", "-m", "portmail", "demo"]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"587 starttls      no answer after \d\.\d s", done.stdout)
    assert "465 implicit-tls  TLS 1.3, certificate verified" in done.stdout
    assert "Not sent: no secure route" in done.stdout
    assert "  NO " not in done.stdout
    assert "correct horse" not in done.stdout


def test_advice_is_in_words_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Not sent: no.\n  mail.example.com: 550 give username and password\nWhat to do: "
    error = PortmailError(f"{text}try security=Security.IMPLICIT_TLS; give username and password.")
    print_error(error, as_json=False)
    told = capsys.readouterr().err
    assert text in told
    assert "try submissions:// in the account URL; give a user name in the account URL" in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_an_error_has_lines_that_fit_and_elsewhere_those_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (
        "Not sent: no.\n  mail.example.com:587 starttls: connect: no answer: the port is silent\nWhat to do: "
    )
    error = PortmailError(text + "try another network, such as a mobile phone's")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    for stream in (screen := Terminal(), file := io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        print_error(error, as_json=False)
    assert file.getvalue() == f"portmail: {error}\n"
    assert screen.getvalue().splitlines() == [
        "portmail: Not sent: no.",
        "  mail.example.com:587 starttls:",
        "    connect: no answer: the port is",
        "    silent",
        "What to do: try another network, such as",
        "a mobile phone's",
    ]


def test_data_is_json_whatever_letters_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"text": "é日本\U0001f4e7\udcff"}
    for letters in ("ascii", "latin-1", "cp932", "utf-8"):
        octets = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(octets, letters, errors="backslashreplace"))
        report.tell(report.in_json(data))
        assert json.loads(octets.getvalue().decode(letters)) == data
    monkeypatch.undo()


def test_advice_for_a_program_is_what_is_translated() -> None:
    advice = "; ".join(fact.advice for fact in FACTS.values())
    with pytest.raises(DiscoveryError) as raised:
        decide({}, search=search_of("me@example.com"))
    told = f"{advice} {raised.value} {inspect.getsource(account)}"
    assert all(in_python in told for in_python in report.IN_A_SHELL)
