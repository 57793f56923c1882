"""The examples of a systemd unit and a container send with a password that only they see."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from portmail.cli import exits
from portmail.sandbox import Sandbox
from tests.servers.requirements import require

EXAMPLES = Path(__file__).parents[1] / "examples"
UNIT = EXAMPLES / "systemd" / "portmail-report.service"
DOCKERFILE = (EXAMPLES / "docker" / "Dockerfile").read_text("utf-8")
COMPOSE = (EXAMPLES / "docker" / "compose.yaml").read_text("utf-8")

USERS = {"reports@example.com": "of systemd", "web1@example.com": "of Docker"}


@pytest.fixture
def house() -> Iterator[Sandbox]:
    """The mail server of both."""
    with Sandbox(users=USERS) as sandbox:
        yield sandbox


def started(
    command: Sequence[str], house: Sandbox, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run it as systemd or Docker would; the mail server that it names is the sandbox."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    here = f"@127.0.0.1:{house.port(587)}"
    return subprocess.run(
        command,
        env={"PATH": path, "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], "PORTMAIL_CA": str(house.ca)}
        | {name: value.replace("@mail.example.com", here) for name, value in environment.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def settings(name: str) -> list[str]:
    """What the unit says under that name."""
    return re.findall(rf"^{name}=(.+)$", UNIT.read_text("utf-8"), re.MULTILINE)


def report(house: Sandbox, credentials: Path) -> subprocess.CompletedProcess[str]:
    """Do what systemd does: load the credentials, expand the specifiers, start it."""
    [credential] = settings("LoadCredential")
    (credentials / credential.partition(":")[0]).write_text("of systemd\n", "utf-8")
    specifiers = {"%%": "%", "%d": str(credentials), "%H": "web1"}

    def expanded(text: str) -> str:
        return re.sub(r"%.", lambda found: specifiers[found[0]], text)

    [command] = settings("ExecStart")
    environment = dict(expanded(line).split("=", 1) for line in settings("Environment"))
    return started(shlex.split(expanded(command)), house, environment)


def test_a_unit_sends_with_a_credential_of_its_own(house: Sandbox, tmp_path: Path) -> None:
    done = report(house, tmp_path)
    assert (done.returncode, USERS["reports@example.com"] in done.stdout + done.stderr) == (0, False)
    [received] = house.messages
    assert (received.username, received.recipients) == ("reports@example.com", ("ops@example.com",))
    assert received.message["Subject"] == "Warnings of web1"


def test_a_unit_is_started_again_where_nothing_was_sent_and_never_where_it_may_have_been(
    house: Sandbox, tmp_path: Path
) -> None:
    again = {int(code) for code in settings("RestartForceExitStatus")[0].split()}
    assert again == {exits.UNAVAILABLE, exits.TEMPORARY}
    house.reject("ops@example.com", code=450, text="4.2.0 wait for 30 minutes")
    assert report(house, tmp_path).returncode in again
    house.behave()
    house.drop_after_dot()
    assert report(house, tmp_path).returncode not in again
    assert len(house.messages) == 1


@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_understands_the_unit(kind: str) -> None:
    program = shutil.which("systemd-analyze")
    require(None if program else "systemd is not installed")
    unit = str(UNIT.with_suffix(f".{kind}"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def composed(pattern: str) -> list[str]:
    """What the compose file says there."""
    return re.findall(rf"^ *{pattern}$", COMPOSE, re.MULTILINE)


def test_a_container_sends_with_a_secret(house: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of Docker\n", "utf-8")
    [name] = composed("- ([a-z-]+)")
    environment = dict(line.split(": ", 1) for line in composed("(PORTMAIL_[A-Z_]+: .+)"))
    assert environment["PORTMAIL_PASSWORD_FILE"] == f"/run/secrets/{name}"
    assert composed(f"{name}:") == [f"  {name}:"]
    [program, script] = json.loads(DOCKERFILE.partition("ENTRYPOINT ")[2])
    [(source, target)] = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert (program, script) == ("python", target)
    [arguments] = map(json.loads, composed("command: (.+)"))
    arguments = [*arguments[:-1], "0"]  # the limit: no disk here has to be full
    done = started(
        [program, str(EXAMPLES / source), *arguments],
        house,
        environment | {"PORTMAIL_PASSWORD_FILE": str(secret)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    [received] = house.messages
    assert (received.username, received.recipients) == ("web1@example.com", ("ops@example.org",))


def test_no_password_is_in_what_is_shown_or_built() -> None:
    for text in (UNIT.read_text("utf-8"), DOCKERFILE, COMPOSE):
        for url in re.findall(r"\w+://\S+", text):
            assert ":" not in url.partition("://")[2]
