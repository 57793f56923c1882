"""How does somebody at home check, and send? Real programs, and what they told."""

from __future__ import annotations

import base64
import itertools
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

import portmail.cli
from tests.servers.street import Street
from tests.servers.street.plan import HOST, MAIL, USERS

[USER] = USERS
PASSWORD = USERS[USER]
LOGIN: Mapping[str, str] = {"PORTMAIL_PASSWORD": PASSWORD}

RECIPIENT = "you@example.org"
SCHEMA = Draft202012Validator(
    json.loads(Path(portmail.cli.__file__).with_name("check.schema.json").read_text("utf-8"))
)

LETTER = ("--from", USER, "--to", RECIPIENT, "--subject", "out")


def url(scheme: str = "smtp", *, user: str = USER, host: str = HOST, port: int | None = None) -> str:
    """An account without its password."""
    return f"{scheme}://{user.replace('@', '%40')}@{host}{f':{port}' if port else ''}"


class Told(NamedTuple):
    """What a program told, and how long it took, as seen from outside."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def data(self) -> dict[str, Any]:
        """Its JSON."""
        assert self.out, self.err
        data: dict[str, Any] = json.loads(self.out)
        return data

    @property
    def verdict(self) -> tuple[str, str, str | None, int]:
        """The situation, who is behind it, the open route, and the exit code."""
        data = self.data
        SCHEMA.validate(data)
        assert data["exit_code"] == self.code
        assert data["can_send"] == (self.code == 0)
        return data["kind"], data["blocked_by"], data["route"], self.code

    @property
    def kinds(self) -> dict[tuple[int, int], str]:
        """Of each port and family, what became of it."""
        return {(it["port"], int(it["family"][-1])): it["kind"] for it in self.data["probes"]}

    @property
    def lines(self) -> list[str]:
        """What it complained of."""
        return self.err.splitlines()


class Running:
    """A program on its way: several may be."""

    def __init__(self, process: subprocess.Popen[str], *, stdin: str = "") -> None:
        self._process, self._started = process, time.monotonic()
        assert process.stdin
        process.stdin.write(stdin)
        process.stdin.close()  # it is not to wait for its turn
        process.stdin = None

    def told(self, *, seconds: float = 50) -> Told:
        """Wait for its end."""
        with self._process as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Told(process.returncode, out, err, time.monotonic() - self._started)


def begin(
    road: Street, command: str, *arguments: str, env: Mapping[str, str] = LOGIN, stdin: str = ""
) -> Running:
    """Start one of portmail's commands at home. The password is known to it, whether it needs one or not."""
    process = road.start(sys.executable, "-m", "portmail", command, *arguments, env=env)
    return Running(process, stdin=stdin)


def check(road: Street, target: str, *arguments: str, env: Mapping[str, str] = LOGIN) -> Told:
    """Check, and tell it as JSON."""
    return begin(road, "check", target, "--json", *arguments, env=env).told()


def begin_send(road: Street, account: str, *arguments: str, env: Mapping[str, str] = LOGIN) -> Running:
    """Start to send a letter."""
    return begin(road, "send", *LETTER, "--url", account, *arguments, env=env, stdin="Hello.\n")


def send(road: Street, account: str, *arguments: str, env: Mapping[str, str] = LOGIN) -> Told:
    """Send a letter."""
    return begin_send(road, account, *arguments, env=env).told()


_PROGRAM = """
import sys
from email.message import EmailMessage
import portmail
seconds, sender, recipient = sys.argv[1:]
letter = EmailMessage()
letter["From"], letter["To"], letter["Subject"] = sender, recipient, "out"
letter.set_content("Hello.")
try:
    with portmail.Submitter.from_env(timeouts=float(seconds)) as mail:
        mail.send(letter)
except portmail.PortmailError as error:
    print(error)
"""


def begin_program(road: Street, account: str, *, seconds: float) -> Running:
    """Start a program of somebody's own that sends, and prints the error."""
    command = (sys.executable, "-c", _PROGRAM, str(seconds), USER, RECIPIENT)
    return Running(road.start(*command, env={**LOGIN, "PORTMAIL_URL": account}))


class Log:
    """What the real server says of its visitors since then."""

    _marks = itertools.count()

    def __init__(self, road: Street) -> None:
        self._root = road.mail.root
        self._since = len(self._written())

    def visits(self, *, seconds: float = 20) -> list[dict[str, str]]:
        """Of each visit that is over, how often which command came; nobody must be there any more."""
        until = time.monotonic() + seconds
        while True:
            text = self._written()[self._since :]
            over = re.findall(r": disconnect from \S+ (.*)", text)
            if len(over) == len(re.findall(r": connect from ", text)):
                return [dict(word.split("=") for word in line.split()) for line in over]
            assert time.monotonic() < until, text
            time.sleep(0.02)

    def logins(self) -> list[dict[str, str]]:
        """The visits in which there was a login."""
        return [it for it in self.visits() if "auth" in it]

    def _written(self) -> str:
        """All of it: what is logged is written later, but in order, so a line of ours is waited for."""
        mark = f"mark {next(self._marks)} of the tests\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as writer:
            writer.sendto(mark.encode(), str(self._root / "queue/public/postlog"))
        until = time.monotonic() + 10
        while mark not in (text := (self._root / "mail.log").read_text()):
            assert time.monotonic() < until, text
            time.sleep(0.005)
        return text


def dialed(road: Street) -> dict[int, int]:
    """SYNs by port of the mail server."""
    counts: dict[int, int] = dict.fromkeys((587, 465, 25), 0)
    for (address, port), count in road.syns().items():
        if address in MAIL.values():
            counts[port] = counts.get(port, 0) + count
    return counts


def secrets() -> Sequence[str]:
    """The password, in every form that a login has for it."""
    plain = f"\0{USER}\0{PASSWORD}"
    return [PASSWORD, *(base64.b64encode(it.encode()).decode() for it in (plain, PASSWORD))]


def assert_nothing_given_away(road: Street) -> None:
    """The box in the middle heard no login, no message and no secret."""
    heard = [it.line for it in road.heard()]
    assert [line for line in heard if line.upper().startswith(("AUTH", "MAIL", "RCPT", "DATA"))] == []
    assert [line for line in heard if any(secret in line for secret in secrets())] == []
