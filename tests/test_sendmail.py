"""`portmail sendmail`: flags, configuration, what is done to a message and what is not, SMTP on a pipe."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from portmail.cli import main
from portmail.cli.exits import UsageError
from portmail.cli.sendmail import command as sendmail
from portmail.cli.sendmail import desk as front
from portmail.cli.sendmail.config import PLACE, Configuration
from portmail.cli.sendmail.flags import FLAGS, Invocation, Mode, Value, parse
from portmail.cli.sendmail.names import with_domains
from portmail.errors import ConfigurationError
from portmail.sandbox import Sandbox
from portmail.sandbox.records import Received
from tests.leaks import PASSWORD, traces
from tests.servers.requirements import LOOPBACK, free_ports, require

Run = Callable[..., int]
DOMAIN = {"PORTMAIL_MAILDOMAIN": "example.com"}


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """What tests write is written by its owner alone, whoever runs them."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run sendmail as jane (Jane Doe), with a configuration of this and the sandbox's account."""
    for name in [name for name in os.environ if name.startswith("PORTMAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(front, "_login", lambda: ("jane", "Jane Doe"))
    monkeypatch.setattr("portmail.repeating._pause", lambda _state: 0.0)
    sandbox.ca.chmod(0o644)

    def run(*arguments: str, text: bytes = b"Subject: x\n\nHello.\n", **settings: str) -> int:
        said = {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), **DOMAIN, **settings}
        monkeypatch.setenv("PORTMAIL_SENDMAIL_CONFIG", str(configuration(tmp_path, said)))
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        return main(["sendmail", *arguments])

    return run


def configuration(directory: Path, said: Mapping[str, str]) -> Path:
    path = directory / "sendmail.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in said.items()), "utf-8")
    path.chmod(0o640)
    return path


def header_and_body(received: Received) -> tuple[list[str], bytes]:
    """The header's lines but Date and Message-ID, which are there; and the body."""
    head, _, body = received.content.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert sum(line.startswith(("Date: ", "Message-ID: <")) for line in lines) == 2
    return [line for line in lines if not line.startswith(("Date: ", "Message-ID: "))], body


# ---------------------------------------------------------------------------------------------- flags

PARSED: dict[str, Invocation] = {
    "": Invocation(),
    "root": Invocation(recipients=("root",)),
    "-FCronDaemon -i -B8BITMIME -oem root": Invocation(
        recipients=("root",), full_name="CronDaemon", dots_are_text=True
    ),
    "-FCronDaemon -i -odi -oem -oi -t -f root": Invocation(
        full_name="CronDaemon", dots_are_text=True, from_header=True, sender="root"
    ),
    "-t -i": Invocation(from_header=True, dots_are_text=True),
    "-ti": Invocation(from_header=True, dots_are_text=True),
    "-tif me@x": Invocation(from_header=True, dots_are_text=True, sender="me@x"),
    "-itfme@x": Invocation(from_header=True, dots_are_text=True, sender="me@x"),
    "-f me@x -i -- a@x -b@x": Invocation(sender="me@x", dots_are_text=True, recipients=("a@x", "-b@x")),
    "-r me@x a@x": Invocation(sender="me@x", recipients=("a@x",)),
    "-f -t a@x": Invocation(sender="-t", recipients=("a@x",)),
    "-o7 -o i -v a@x": Invocation(dots_are_text=True, verbose=True, recipients=("a@x",)),
    "-bm a@x": Invocation(recipients=("a@x",)),
    "-bs": Invocation(mode=Mode.SMTP),
    "-bv a@x": Invocation(mode=Mode.VERIFY, recipients=("a@x",)),
    "-bp": Invocation(mode=Mode.LIST),
    "-bi": Invocation(mode=Mode.NOTHING),
    "-I": Invocation(mode=Mode.NOTHING),
    "-q": Invocation(mode=Mode.NOTHING),
    "-q30m a@x": Invocation(recipients=("a@x",)),
    "-qRexample.com": Invocation(mode=Mode.NOTHING),
    "-d0.1 a@x": Invocation(recipients=("a@x",)),
    "-d a@x": Invocation(recipients=("a@x",)),
    "--help": Invocation(mode=Mode.HELP),
}


@pytest.mark.parametrize("line", PARSED)
def test_a_command_line_is_understood_as_getopt_would(line: str) -> None:
    assert parse(line.split()) == PARSED[line]


def test_an_empty_sender_is_a_value() -> None:
    assert parse(["-f", "", "a@x"]) == Invocation(sender="", recipients=("a@x",))


WRONG = ("-Z", "-tZ a@x", "--unknown", "-f", "-tf", "-", "a@x -i", "-bd", "-bz", "-D", "a@x --")


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_flag_is_told_with_the_usage(line: str) -> None:
    with pytest.raises(UsageError, match="usage: sendmail"):
        parse(line.split())


# The flags of Postfix's sendmail(1): "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx" for getopt(3).
WITH_VALUE, WITHOUT = "ABCFLNORVXefhoprb", "GIUcimntvx"


@pytest.mark.parametrize("letter", WITH_VALUE + WITHOUT)
def test_each_flag_of_postfix_takes_as_many_values_as_there(letter: str) -> None:
    assert (FLAGS[letter].value is Value.NONE) == (letter in WITHOUT)
    value = "m" if letter == "b" else "value"
    words = [f"-{letter}"] if letter in WITHOUT else [f"-{letter}", value]
    assert parse([*words, "a@x"]).recipients == ("a@x",)
    assert parse(["".join(words), "a@x"]).recipients == ("a@x",)


def test_each_flag_in_postfixs_manual_is_known() -> None:
    require(None if shutil.which("man") else "not installed: man")
    done = subprocess.run(
        ["man", "sendmail"], env={**os.environ, "MANWIDTH": "80"}, capture_output=True, check=False
    )
    require(None if b"Postfix" in done.stdout else "the manual of Postfix is not here")
    told = re.findall(r"^ {7}-(\S)(\S*)", re.sub(r".\x08", "", done.stdout.decode()), re.MULTILINE)
    assert len({letter for letter, _ in told}) > 20
    daemon = {("b", "d"), ("b", "l")}
    for letter, rest in told:
        if (letter, rest) in daemon:
            continue
        assert letter in FLAGS
        assert parse([f"-{letter}{rest}", "value", "a@x"]).recipients[-1:] == ("a@x",)


def test_the_help_has_all_flags_and_says_where_the_account_is(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--help") == 0
    told = capsys.readouterr().out
    assert set(FLAGS) == set(re.findall(r"^-(\w) ", told, re.MULTILINE))
    assert PLACE in told
    assert "250\nsays that it was accepted for one at least" in told
    assert max(map(len, told.splitlines())) < 110
    assert main(["--help"]) == 0
    assert "sendmail" in capsys.readouterr().out


NAMES = {
    "/usr/sbin/sendmail": ("sendmail",),
    "sendmail": ("sendmail",),
    "/usr/lib/sendmail.exe": ("sendmail",),
    "/usr/bin/mailq": ("sendmail", "-bp"),
    "/usr/bin/newaliases": ("sendmail", "-bi"),
    "/usr/bin/portmail": (),
    "/lib/portmail/__main__.py": (),
    "sendmail.py": (),
    "": (),
}


@pytest.mark.parametrize("program", NAMES)
def test_the_name_of_the_program_says_what_it_does(program: str) -> None:
    assert sendmail.called_as(program) == NAMES[program]


def test_under_its_name_it_takes_its_own_flags(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/mailq"])
    assert main() == 0
    assert capsys.readouterr().out == "Mail queue is empty\n"
    monkeypatch.setattr("sys.argv", ["/usr/sbin/sendmail", "-bi"])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["/usr/bin/portmail", "-bi"])
    assert main() == 64


@pytest.mark.parametrize("flags", [("-bp",), ("-bi",), ("-q",), ("-I",), ("-bh",)])
def test_what_portmail_has_not_needs_no_account_and_no_input(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["sendmail", *flags]) == 0


# ---------------------------------------------------------------------------------------- the message


def test_a_message_travels_as_it_is_with_what_is_missing(run: Run, sandbox: Sandbox) -> None:
    text = b"Subject:  two   blanks\nX-Odd:\tfolded\n\t here\n\n8-bit: \xc3\xa4\n trailing \n\n"
    assert run("-i", "you@example.org", text=text) == 0
    (received,) = sandbox.messages
    lines, body = header_and_body(received)
    assert lines == [
        "From: Jane Doe <jane@example.com>",
        "Subject:  two   blanks",
        "X-Odd:\tfolded",
        "\t here",
    ]
    assert body == b"8-bit: \xc3\xa4\r\n trailing \r\n\r\n"
    assert (received.sender, received.recipients) == ("jane@example.com", ("you@example.org",))


def test_what_is_there_is_not_added_and_success_is_silent(
    run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"From: A <a@example.org>\nDate: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <1@x>\n\nhi\n"
    assert run("you@example.org", text=text) == 0
    assert sandbox.messages[0].content == text.replace(b"\n", b"\r\n")
    assert sandbox.messages[0].sender == "a@example.org"
    assert capsys.readouterr() == ("", "")


def test_verbose_tells_who_took_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-v", "you@example.org") == 0
    assert "accepted by 127.0.0.1" in capsys.readouterr().out


FORMS: dict[str, tuple[bytes, list[str], bytes]] = {
    "header and body": (b"Subject: x\n\nhi\n", ["Subject: x"], b"hi\r\n"),
    "lines with CRLF": (b"Subject: x\r\n\r\nhi\r\n", ["Subject: x"], b"hi\r\n"),
    "a header alone": (b"Subject: x", ["Subject: x"], b""),
    "a body alone": (b"hi\n", [], b"hi\r\n"),
    "a body behind an empty line": (b"\nSubject: x\n", [], b"Subject: x\r\n"),
    "no empty line between": (b"Subject: x\nhi, you\n", ["Subject: x"], b"hi, you\r\n"),
    "nothing at all": (b"", [], b""),
    "an mbox": (b"From me@x Mon Nov  2 10:00:00 2026\nSubject: x\n\nhi\n", ["Subject: x"], b"hi\r\n"),
    "an mbox in an mbox": (b">From me@x\nSubject: x\n\nFrom you\n", ["Subject: x"], b"From you\r\n"),
    "a byte order mark": (b"\xef\xbb\xbfSubject: x\n\nhi\n", ["Subject: x"], b"hi\r\n"),
    "a lone dot": (b"Subject: x\n\nhi\n.\nmore\n", ["Subject: x"], b"hi\r\n"),
    "a lone dot with CR": (b"Subject: x\r\n\r\nhi\r\n.\r\nmore\r\n", ["Subject: x"], b"hi\r\n"),
    "dots in lines": (b"Subject: x\n\n..\n.a\n", ["Subject: x"], b"..\r\n.a\r\n"),
    "a dot and a blank": (b"Subject: x\n\n. \n.\t\n", ["Subject: x"], b". \r\n.\t\r\n"),
    "blanks before the colon": (b"Bcc : eve@x.org\nSubject\t : x\n\nhi\n", ["Subject: x"], b"hi\r\n"),
    "Bcc": (b"Bcc: eve@example.org\nSubject: x\n\nhi\n", ["Subject: x"], b"hi\r\n"),
    "a Subject in UTF-8": (
        "Subject: Grüße\n\nhi\n".encode(),
        ["Subject: =?utf-8?b?R3LDvMOfZQ==?="],
        b"hi\r\n",
    ),
    "a Subject in Latin-1": (b"Subject: \xfc\n\nhi\n", ["Subject: =?utf-8?b?w7w=?="], b"hi\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_message_is_taken(form: str, run: Run, sandbox: Sandbox) -> None:
    text, expected, expected_body = FORMS[form]
    assert run("you@example.org", text=text) == 0
    assert sandbox.messages[0].recipients == ("you@example.org",)
    lines, body = header_and_body(sandbox.messages[0])
    assert (lines[1:], body) == (expected, expected_body)


@pytest.mark.parametrize("flag", ["-i", "-oi"])
def test_a_lone_dot_is_text_if_it_is_said(flag: str, run: Run, sandbox: Sandbox) -> None:
    assert run(flag, "you@example.org", text=b"\nhi\n.\nmore\n") == 0
    assert sandbox.messages[0].content.endswith(b"\r\n\r\nhi\r\n.\r\nmore\r\n")


def test_a_big_message_arrives_whole(run: Run, sandbox: Sandbox) -> None:
    body = b"x" * 70 + b"\n"
    assert run("you@example.org", text=b"Subject: x\n\n" + body * 10_000) == 0
    assert len(sandbox.messages[0].content.partition(b"\r\n\r\n")[2]) == 72 * 10_000


def test_no_standard_input_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["sendmail", "a@example.org"]) == 65


# ------------------------------------------------------------------------------ senders and recipients

SENDERS: dict[str, tuple[tuple[str, ...], bytes, dict[str, str], str, str]] = {
    "of the login": ((), b"", {}, "jane@example.com", "Jane Doe <jane@example.com>"),
    "a given name": (("-FCron Daemon",), b"", {}, "jane@example.com", "Cron Daemon <jane@example.com>"),
    "a given address": (("-f", "me@example.net"), b"", {}, "me@example.net", "me@example.net"),
    "a given address and name": (("-fme@x.net", "-F", "Me"), b"", {}, "me@x.net", "Me <me@x.net>"),
    "a given local name": (("-f", "root"), b"", {}, "root@example.com", "root@example.com"),
    "a given address in brackets": (("-f", "<me@example.net>"), b"", {}, "me@example.net", "me@example.net"),
    "nobody": (("-f", ""), b"", {}, "", "Jane Doe <jane@example.com>"),
    "nobody in brackets": (("-f", "<>"), b"", {}, "", "Jane Doe <jane@example.com>"),
    "in From": ((), b"From: A B <a@example.net>\n", {}, "a@example.net", "A B <a@example.net>"),
    "in Sender": ((), b"Sender: s@example.net\nFrom: a@example.net\n", {}, "s@example.net", "a@example.net"),
    "local in From": ((), b"From: root\n", {}, "root@example.com", "root@example.com"),
    "given besides From": (("-fb@x.net",), b"From: a@x.net\n", {}, "b@x.net", "a@x.net"),
    "of cron in Debian": (
        (),
        b"From: root (Cron Daemon)\n",
        {},
        "root@example.com",
        "root@example.com (Cron Daemon)",
    ),
    "of cronie": (
        ("-f", "root"),
        b'From: "(Cron Daemon)" <root>\n',
        {},
        "root@example.com",
        '"(Cron Daemon)" <root@example.com>',
    ),
    "the account's, for local ones": (
        ("-f", "root"),
        b'From: "(Cron Daemon)" <root>\n',
        {"PORTMAIL_FROM": "Us <us@example.net>"},
        "us@example.net",
        '"(Cron Daemon)" <us@example.net>',
    ),
    "the account's": (
        (),
        b"",
        {"PORTMAIL_FROM": "Us <us@example.net>", "PORTMAIL_MAILDOMAIN": ""},
        "us@example.net",
        "Us <us@example.net>",
    ),
    "the account's is not for others": (
        (),
        b"From: a@example.net\n",
        {"PORTMAIL_FROM": "us@example.net"},
        "a@example.net",
        "a@example.net",
    ),
    "of one who sent it again": (
        (),
        b"Resent-From: bob\nFrom: a@x.net\n",
        {},
        "bob@example.com",
        "a@x.net",
    ),
    "a name in Latin-1": (
        ("-F", "J\udcfcrgen"),
        b"",
        {},
        "jane@example.com",
        "=?utf-8?q?J=C3=BCrgen?= <jane@example.com>",
    ),
}


@pytest.mark.parametrize("case", SENDERS)
def test_the_sender_is(case: str, run: Run, sandbox: Sandbox) -> None:
    flags, head, settings, sender, author = SENDERS[case]
    assert run(*flags, "you@example.org", text=head + b"\nhi\n", **settings) == 0
    assert sandbox.messages[0].sender == sender
    lines, _ = header_and_body(sandbox.messages[0])
    assert f"From: {author}" in lines


RECIPIENTS: dict[str, tuple[tuple[str, ...], bytes, tuple[str, ...]]] = {
    "arguments": (("a@x.org", "b@x.org"), b"To: c@x.org\n", ("a@x.org", "b@x.org")),
    "a list in an argument": (("a@x.org, B <b@x.org>",), b"", ("a@x.org", "b@x.org")),
    "a local name": (("bob",), b"", ("bob@example.com",)),
    "an alias": (("root",), b"", ("ops@example.net", "ann@example.net")),
    "an alias of an alias": (("www-data",), b"", ("ops@example.net", "ann@example.net")),
    "an address is no alias": (("root@x.org",), b"", ("root@x.org",)),
    "the header": (("-t",), b"To: a@x.org\nCc: b@x.org\nBcc: c@x.org\n", ("a@x.org", "b@x.org", "c@x.org")),
    "the header besides arguments": (("-t", "b@x.org"), b"To: a@x.org\n", ("b@x.org", "a@x.org")),
    "each once": (("-t", "a@x.org"), b"To: a@x.org, a@X.ORG\n", ("a@x.org",)),
    "names in the header": (("-t",), b'To: root, "x, y" <bob>, (c) ann\n', (
        "ops@example.net", "ann@example.net", "bob@example.com", "ann@example.com",
    )),
    "two fields of a name": (("-t",), b"To: a@x.org\nTo: b@x.org\n", ("a@x.org", "b@x.org")),
    "folded": (("-t",), b"To: a@x.org,\n\tb@x.org\n", ("a@x.org", "b@x.org")),
    "a group": (("-t", "a@x.org"), b"To: undisclosed-recipients:;\n", ("a@x.org",)),
    "blanks before the colon": (("-t",), b"To : a@x.org\nBcc\t: c@x.org\n", ("a@x.org", "c@x.org")),
    "those of a message sent again": (("-t",), b"Resent-To: a@x.org\nResent-Bcc: c@x.org\nTo: b@x.org\n", (
        "a@x.org", "c@x.org",
    )),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPIENTS)
def test_the_recipients_are(case: str, run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    flags, head, recipients = RECIPIENTS[case]
    (tmp_path / "aliases").write_text("root: ops@example.net, ann@example.net\nwww-data: root\n")
    # A path in the file begins where the file is.
    assert run(*flags, text=head + b"\nhi\n", PORTMAIL_ALIASES="aliases") == 0
    assert sandbox.messages[0].recipients == recipients
    assert b"bcc" not in sandbox.messages[0].content.lower()


NAMED = {
    "root": "root@x",
    "a@b": "a@b",
    "root, a@b, ann": "root@x, a@b, ann@x",
    "Root Of All <root>": "Root Of All <root@x>",
    '"a, b" <root>,\n\tc@d': '"a, b" <root@x>,\n\tc@d',
    "root (Cron <Daemon>, yes)": "root@x (Cron <Daemon>, yes)",
    "(a) root (b (c) d)": "(a) root@x (b (c) d)",
    "team: ann, bob@c;, eve": "team: ann@x, bob@c;, eve@x",
    "undisclosed-recipients:;": "undisclosed-recipients:;",
    '"john doe"@y, "jd"': '"john doe"@y, "jd"@x',
    "two words": "two words",
    "<>": "<>",
    " < root > ": " <root@x> ",
    '"open': '"open@x',
    "(open root": "(open root",
    "<open": "<open@x>",
    "": "",
    "Jörg Ä <a@b>, Ann <root>": "=?utf-8?b?SsO2cmcgw4Q=?= <a@b>, Ann <root@x>",
    '"Ö, \\"x\\"" <root>': "=?utf-8?b?w5YsICJ4Ig==?= <root@x>",
    "J\udcfcrgen <a@b>": "=?utf-8?q?J=C3=BCrgen?= <a@b>",
    "Jörg (yes) Ä <a@b>": "Jörg (yes) Ä <a@b>",
    "root (J\udcfcrgen)": "root@x (Jürgen)",
    "J\udcfcrgen": "J\udcfcrgen@x",
    "jörg": "jörg@x",
}


@pytest.mark.parametrize("text", NAMED)
def test_a_name_in_a_header_gets_a_domain_and_nothing_else_changes(text: str) -> None:
    # In ASCII, for a failure has to be printed.
    assert ascii(with_domains(text, lambda name: f"{name}@x")) == ascii(NAMED[text])


def test_a_header_shows_the_alias_where_there_is_no_domain(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "aliases").write_text("root: ops@example.net\nteam: a@x.org, b@x.org\n")
    settings = {
        "PORTMAIL_MAILDOMAIN": "",
        "PORTMAIL_FROM": "us@example.net",
        "PORTMAIL_ALIASES": str(tmp_path / "aliases"),
    }
    head = b"From: root\nTo: root\nCc: team\nReply-To: root\n"
    assert run("-t", text=head + b"\nhi\n", **settings) == 0
    lines, _ = header_and_body(sandbox.messages[0])
    assert lines == ["From: us@example.net", "To: ops@example.net", "Cc: team", "Reply-To: ops@example.net"]
    assert sandbox.messages[0].recipients == ("ops@example.net", "a@x.org", "b@x.org")


def test_a_name_that_is_only_shown_needs_no_domain(run: Run, sandbox: Sandbox) -> None:
    settings = {"PORTMAIL_MAILDOMAIN": "", "PORTMAIL_FROM": "us@example.net"}
    assert run("a@x.org", text=b"To: team\n\nhi\n", **settings) == 0
    assert sandbox.messages[0].message["To"] == "team"


def test_replies_to_a_name_go_to_its_domain(run: Run, sandbox: Sandbox) -> None:
    assert run("a@x.org", text=b"Reply-To: bob\n\nhi\n", PORTMAIL_FROM="us@example.net") == 0
    assert sandbox.messages[0].message["Reply-To"] == "bob@example.com"


def test_the_recipients_can_be_asked_for(
    run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-bv", "root", "a@x.org") == 0
    assert capsys.readouterr().out == "root: root@example.com\na@x.org: a@x.org\n"
    assert sandbox.sessions == ()


# ------------------------------------------------------------------------------------- what goes wrong

FAILURES: dict[str, tuple[tuple[str, ...], bytes, dict[str, str], int, str]] = {
    "nobody to send to": ((), b"\nhi\n", {}, 64, "nobody to send to"),
    "nobody in the header": (("-t",), b"Subject: x\n\nhi\n", {}, 64, "nobody to send to"),
    "nothing, with -t": (("-t",), b"", {}, 64, "nobody to send to"),
    "no domain for a recipient": (
        ("bob",),
        b"From: a@x.org\n\n",
        {"PORTMAIL_MAILDOMAIN": ""},
        78,
        "'bob' has no",
    ),
    "no domain for the sender": (("a@x.org",), b"\nhi\n", {"PORTMAIL_MAILDOMAIN": ""}, 78, "PORTMAIL_FROM="),
    "no account": (("a@x.org",), b"\nhi\n", {"PORTMAIL_URL": ""}, 78, "PORTMAIL_URL=submission://"),
    "no such setting": (("a@x.org",), b"\nhi\n", {"PORTMAIL_HOST": "secret"}, 78, "no setting PORTMAIL_HOST"),
    "a domain that is none": (
        ("a@x.org",),
        b"\nhi\n",
        {"PORTMAIL_MAILDOMAIN": "a b"},
        78,
        "PORTMAIL_MAILDOMAIN",
    ),
    "no such alias map": (("a@x.org",), b"\nhi\n", {"PORTMAIL_ALIASES": "/nowhere"}, 78, "PORTMAIL_ALIASES"),
    "two senders": (("-f", "a@x.org, b@x.org", "c@x.org"), b"\nhi\n", {}, 65, "not one address"),
    "a sender with a line break": (
        ("-f", "a@x.org\r\nRCPT TO:<e@x>", "c@x.org"),
        b"\nhi\n",
        {},
        65,
        "a@x.org",
    ),
    "a name with a line break": (("-F", "a\nBcc: e@x.org", "c@x.org"), b"\nhi\n", {}, 65, "a line break"),
    "a name with a carriage return": (("-F", "a\rBcc: e@x.org", "c@x.org"), b"\nhi\n", {}, 65, "From"),
    "a recipient with a line break": (("c@x.org\nBcc: e@x.org",), b"\nhi\n", {}, 65, "c@x.org"),
    "a recipient that is none": (("a b c",), b"\nhi\n", {}, 65, "a b c"),
    "a To that is none": (("-t",), b"To: a b c\n\nhi\n", {}, 65, "To: 'a b c' does not"),
    "a name in Latin-1, which is a guess": (("-t",), b"To: J\xfcrgen\n\nhi\n", {}, 65, "To: "),
    "a signed line that is too long": (
        ("a@x.org",),
        b"Content-Type: multipart/signed; boundary=b\n\n" + b"x" * 1_000,
        {},
        65,
        "998",
    ),
    "recipients refused": (("gone@example.org",), b"\nhi\n", {}, 67, "no such user"),
    "greylisting": (("busy@example.org",), b"\nhi\n", {}, 75, "busy"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_goes_wrong_is_told_and_nothing_is_sent(
    case: str, run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, text, settings, code, told = FAILURES[case]
    sandbox.reject("gone@example.org")
    sandbox.reject("busy@example.org", code=450, text="4.2.1 mailbox busy")
    assert run(*flags, text=text, **settings) == code
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""
    assert err.startswith("portmail: ")
    assert "name.invalid" not in err
    assert not traces(err.encode(), secrets=(PASSWORD,))
    assert sandbox.messages == ()


def test_some_recipients_refused_is_told(
    run: Run, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject("gone@example.org")
    assert run("gone@example.org", "you@example.org") == 67
    assert capsys.readouterr().err == "portmail: refused: gone@example.org: 550 5.1.1 no such user\n"
    assert len(sandbox.messages) == 1


def test_an_unreachable_server_is_a_reason_to_try_again(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    assert run("you@example.org", PORTMAIL_URL=f"relay://{LOOPBACK}:{port}", PORTMAIL_CA="") == 75
    assert "refused" in capsys.readouterr().err


def test_doubt_is_no_reason_to_try_again(run: Run, sandbox: Sandbox) -> None:
    sandbox.drop_after_dot()
    assert run("you@example.org") == 76


# --------------------------------------------------------------------------------------- configuration


def read(path: Path | None, **environ: str) -> Configuration:
    named = {"PORTMAIL_SENDMAIL_CONFIG": str(path)} if path else {}
    return Configuration.read({**named, **environ})


def test_the_file_has_comments_quotes_and_relative_paths(tmp_path: Path) -> None:
    path = tmp_path / "sendmail.env"
    path.write_text(
        "# The account.\n\n  # Another.\nPORTMAIL_URL = 'submission://me@mail.example.com'\n"
        'PORTMAIL_PASSWORD_FILE=password\nPORTMAIL_CA="/etc/ca.pem"\nPORTMAIL_MAILDOMAIN=example.com\r\n'
    )
    said = read(path)
    assert said.account == {
        "PORTMAIL_URL": "submission://me@mail.example.com",
        "PORTMAIL_PASSWORD_FILE": str(tmp_path / "password"),
        "PORTMAIL_CA": "/etc/ca.pem",
    }
    assert (said.maildomain, said.aliases, said.place) == ("example.com", "", str(path))


def test_the_account_is_never_a_mixture(tmp_path: Path) -> None:
    said = {"PORTMAIL_URL": "relay://a", "PORTMAIL_PASSWORD": "secret", "PORTMAIL_MAILDOMAIN": "a.example"}
    path = configuration(tmp_path, said)
    ours = read(path, PORTMAIL_URL="relay://b", PORTMAIL_MAILDOMAIN="b.example")
    assert (ours.account, ours.maildomain) == ({"PORTMAIL_URL": "relay://b"}, "b.example")
    theirs = read(path, PORTMAIL_PASSWORD="mine", PORTMAIL_FROM="me@b.example")
    assert theirs.account == {"PORTMAIL_URL": "relay://a", "PORTMAIL_PASSWORD": "secret"}
    assert "secret" not in repr(theirs)


ACCESS: dict[str, tuple[dict[str, str], int, str]] = {
    "a password for all to read": ({"PORTMAIL_PASSWORD": "geheim"}, 0o644, "chmod o-r"),
    "a password in the URL for all to read": (
        {"PORTMAIL_URL": "submission://me:geheim@host"},
        0o604,
        "chmod o-r",
    ),
    "a file for all to write": ({"PORTMAIL_URL": "submission://me@host:587"}, 0o642, "chmod go-w"),
    "a file for its group to write": ({"PORTMAIL_URL": "submission://me@host:587"}, 0o660, "chmod go-w"),
}


@pytest.mark.parametrize("case", ACCESS)
def test_a_file_that_others_may_read_or_write_is_not_used(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, mode, remedy = ACCESS[case]
    path = configuration(tmp_path, said)
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as raised:
        read(path)
    assert remedy in str(raised.value)
    assert "geheim" not in str(raised.value)
    path.chmod(0o640)
    assert read(path).account == said


NAMED_FILES: dict[str, tuple[str, int, int, str]] = {
    # a file that the first one names, with this mode and a better one
    "a password for all to read": ("PORTMAIL_PASSWORD_FILE", 0o644, 0o640, "chmod o-r"),
    "a password for its group to write": ("PORTMAIL_PASSWORD_FILE", 0o660, 0o600, "chmod go-w"),
    "aliases for all to write": ("PORTMAIL_ALIASES", 0o666, 0o644, "chmod go-w"),
    "aliases for their group to write": ("PORTMAIL_ALIASES", 0o664, 0o644, "chmod go-w"),
    "authorities for all to write": ("PORTMAIL_CA", 0o646, 0o644, "chmod go-w"),
}


@pytest.mark.parametrize("case", NAMED_FILES)
def test_a_file_that_is_named_there_is_no_more_open_to_others(case: str, tmp_path: Path) -> None:
    name, mode, better, remedy = NAMED_FILES[case]
    path = configuration(tmp_path, {"PORTMAIL_URL": "relay://a", name: "named"})
    (tmp_path / "named").write_text("geheim")
    (tmp_path / "named").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/named is not used, .*{remedy}"):
        read(path)
    (tmp_path / "named").chmod(better)
    assert read(path)
    require(None if os.geteuid() == 0 else "only root can give a file away")
    os.chown(tmp_path / "named", 65534, -1)
    with pytest.raises(ConfigurationError, match="named is not used, for it belongs to another user"):
        read(path)


def test_a_file_without_a_password_may_be_read_by_all(tmp_path: Path) -> None:
    said = {"PORTMAIL_URL": "submission://me@host:587", "PORTMAIL_PASSWORD_FILE": "/run/secret"}
    path = configuration(tmp_path, said)
    path.chmod(0o644)
    assert read(path).account == said


def test_a_file_of_another_user_is_not_used(tmp_path: Path) -> None:
    path = configuration(tmp_path, {"PORTMAIL_URL": "relay://a"})
    require(None if os.geteuid() == 0 else "only root can give a file away")
    os.chown(path, 65534, -1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read(path)


def test_no_program_of_two_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="setuid"):
        read(None)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PORTMAIL_SENDMAIL_CONFIG: there is no file"):
        read(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path)


def test_a_line_that_is_none_is_told_by_its_number_alone(tmp_path: Path) -> None:
    path = tmp_path / "sendmail.env"
    path.write_text("PORTMAIL_URL=relay://a\nthe secret\n")
    with pytest.raises(ConfigurationError, match="line 2: write it like") as raised:
        read(path)
    assert "secret" not in str(raised.value)


# ------------------------------------------------------------------------------- SMTP on standard input


@pytest.fixture
def smtp(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Say these lines, and return the replies."""

    def smtp(*lines: str, end: str = "\r\n", code: int = 0, **settings: str) -> list[str]:
        sink = io.BytesIO()
        monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=sink))
        said = "".join(line + end for line in lines).encode()
        assert run("-bs", text=said, **settings) == code
        return sink.getvalue().decode().split("\r\n")[:-1]

    return smtp


Smtp = Callable[..., list[str]]
MESSAGE = ("Subject: x", "", "..dot", "hi", ".")


def test_a_message_in_smtp_is_submitted_before_it_is_acknowledged(smtp: Smtp, sandbox: Sandbox) -> None:
    told = smtp(
        "EHLO me",
        "MAIL FROM:<root> BODY=8BITMIME",
        "RCPT TO:<bob>",
        "RCPT TO:<a@x.org>",
        "DATA",
        *MESSAGE,
        "QUIT",
    )
    assert told[0].startswith("220 ")
    assert [line[:4] for line in told[1:6]] == ["250-", "250-", "250-", "250-", "250 "]
    assert [line[:3] for line in told[6:]] == ["250", "250", "250", "354", "250", "221"]
    (received,) = sandbox.messages
    assert (received.sender, received.recipients) == ("root@example.com", ("bob@example.com", "a@x.org"))
    lines, body = header_and_body(received)
    assert (lines, body) == (["From: root@example.com", "Subject: x"], b".dot\r\nhi\r\n")


def test_a_person_is_told_why_in_their_language_and_a_protocol_in_its_own(
    run: Run,
    smtp: Smtp,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sandbox.close_port(587)
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    monkeypatch.setenv("LANGUAGE", "ja")
    assert run("bob") == 75
    assert "接続が拒否されました" in capsys.readouterr().err
    replies = smtp("EHLO me", "MAIL FROM:<>", "RCPT TO:<a@x.org>", "DATA", *MESSAGE, "QUIT")
    assert replies[-2].startswith("451 ")
    assert all(line.isascii() for line in replies)


def test_one_dialogue_may_carry_many_messages_and_lines_may_end_in_lf(smtp: Smtp, sandbox: Sandbox) -> None:
    one = ("MAIL FROM:<>", "RCPT TO:<a@x.org>", "DATA", *MESSAGE)
    told = smtp("HELO me", *one, *one, "RSET", "NOOP", "VRFY bob", "quit", end="\n")
    codes = ["220", "250", *["250", "250", "354", "250"] * 2, "250", "250", "252", "221"]
    assert [line[:3] for line in told] == codes
    assert [received.sender for received in sandbox.messages] == ["", ""]


def test_the_reply_to_the_final_dot_is_what_became_of_it(
    smtp: Smtp, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject("gone@x.org")
    sandbox.reject("busy@x.org", code=450, text="4.2.1 mailbox busy")
    for names, reply, code in ((("gone",), "554", 0), (("busy",), "451", 0), (("gone", "here"), "250", 67)):
        paths = [f"RCPT TO:<{name}@x.org>" for name in names]
        told = smtp("HELO me", "MAIL FROM:<me@x.org>", *paths, "DATA", *MESSAGE, "QUIT", code=code)
        assert told[-2][:3] == reply
    assert "refused: gone@x.org: 550" in told[-2]
    assert "refused: gone@x.org: 550" in capsys.readouterr().err
    assert len(sandbox.messages) == 1


def test_the_exit_code_remembers_who_was_refused_in_any_message(smtp: Smtp, sandbox: Sandbox) -> None:
    sandbox.reject("gone@x.org")
    one = ("MAIL FROM:<me@x.org>", "RCPT TO:<gone@x.org>", "RCPT TO:<a@x.org>", "DATA", *MESSAGE)
    two = ("MAIL FROM:<me@x.org>", "RCPT TO:<a@x.org>", "DATA", *MESSAGE)
    smtp("HELO me", *one, *two, "QUIT", code=67)
    assert [received.recipients for received in sandbox.messages] == [("a@x.org",), ("a@x.org",)]


def test_in_smtp_the_header_names_no_recipients(smtp: Smtp, sandbox: Sandbox) -> None:
    head = ("To: other@x.org", "Bcc: eve@x.org")
    smtp("HELO me", "MAIL FROM:<b@x.org>", "RCPT TO:<b@x.org>", "DATA", *head, *MESSAGE, "QUIT")
    (received,) = sandbox.messages
    assert (received.sender, received.recipients) == ("b@x.org", ("b@x.org",))
    assert b"eve" not in received.content


@pytest.mark.parametrize("octets", [4_096, 4_097, 10_000])
def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_not(
    octets: int, smtp: Smtp, sandbox: Sandbox
) -> None:
    told = smtp("HELO me", "MAIL FROM:<me@x.org>", "RCPT TO:<" + "a" * octets + "@x.org>",
                "RCPT TO:<a@x.org>", "DATA", *MESSAGE, "QUIT")  # fmt: skip
    assert [line[:3] for line in told] == ["220", "250", "250", "500", "250", "354", "250", "221"]
    assert told[3] == "500 5.5.2 line too long"
    assert sandbox.messages[0].recipients == ("a@x.org",)


def test_doubt_is_no_reason_to_send_again_in_smtp_either(smtp: Smtp, sandbox: Sandbox) -> None:
    sandbox.drop_after_dot()
    told = smtp("HELO me", "MAIL FROM:<me@x.org>", "RCPT TO:<a@x.org>", "DATA", *MESSAGE, "QUIT")
    assert told[-2][:3] == "554"
    assert told[-1][:3] == "221"


REFUSED_COMMANDS = {
    "HELO": "501",
    "NONSENSE": "500",
    "RCPT TO:<a@x.org>": "503",
    "DATA": "554",
    "MAIL a@x.org": "501",
    "MAIL FROM:<a b c>": "554",
}


@pytest.mark.parametrize("line", REFUSED_COMMANDS)
def test_a_command_out_of_place_is_refused(line: str, smtp: Smtp, sandbox: Sandbox) -> None:
    assert [told[:3] for told in smtp(line, "QUIT")] == ["220", REFUSED_COMMANDS[line], "221"]
    assert sandbox.messages == ()


def test_a_recipient_that_is_none_is_refused_and_the_others_are_not(smtp: Smtp, sandbox: Sandbox) -> None:
    told = smtp("HELO me", "MAIL FROM:<me@x.org>", "MAIL FROM:<me@x.org>", "RCPT TO:<>", "RCPT TO:<a@>",
                "RCPT TO:<a@x.org>", "DATA", *MESSAGE, "QUIT")  # fmt: skip
    assert [line[:3] for line in told[2:]] == ["250", "503", "554", "554", "250", "354", "250", "221"]
    assert sandbox.messages[0].recipients == ("a@x.org",)


@pytest.mark.parametrize("dot", ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r"])
def test_a_dot_that_somebody_wrote_into_a_text_ends_nothing(dot: str, smtp: Smtp, sandbox: Sandbox) -> None:
    text = f"hi{dot}MAIL FROM:<eve@x.org>"
    told = smtp("HELO me", "MAIL FROM:<me@x.org>", "RCPT TO:<a@x.org>", "DATA", "", text, ".", "QUIT")
    assert [line[:3] for line in told] == ["220", "250", "250", "250", "354", "250", "221"]
    assert b"MAIL FROM:<eve@x.org>" in sandbox.messages[0].content


@pytest.mark.parametrize("lines", [(), ("Subject: x", "", "hi")])
def test_what_was_not_finished_is_not_sent_and_told(
    lines: tuple[str, ...], smtp: Smtp, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    told = smtp("HELO me", "MAIL FROM:<me@x.org>", "RCPT TO:<a@x.org>", "DATA", *lines, code=65)
    assert told[-1][:3] == "354"
    assert capsys.readouterr().err == "portmail: the input ended within a message: not sent\n"
    assert sandbox.messages == ()


# ----------------------------------------------------------------------------------------------- cheap


def test_other_commands_do_not_pay_for_it() -> None:
    files = ("access", "aliases", "config", "desk", "fields", "mending", "message", "names", "smtp")
    names = [f"portmail.cli.sendmail.{file}" for file in files]
    code = f"import sys, portmail.cli; print(sorted(set(sys.modules).intersection({names})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
