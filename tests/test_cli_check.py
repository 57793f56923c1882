"""`portmail check`, as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, Verdict
from portmail.cli import checking as command
from portmail.cli import exits, main
from portmail.cli.check_codes import CODES, code_of
from portmail.cli.targets import submitter_for
from portmail.cli.transcript import Transcript
from portmail.diagnosis import Diagnosis
from portmail.errors import CredentialsUnusable
from portmail.language import Language
from portmail.phrase import Phrase
from portmail.report import OPEN, Report
from portmail.sandbox import Sandbox
from portmail.situation import Blocker, Situation
from tests.cases import cases
from tests.leaks import PASSWORD, USER, Scanner
from tests.servers.dialogue import play
from tests.terminals import shown, terminal

Run = Callable[..., tuple[int, str, str]]

SCHEMA: dict[str, Any] = json.loads(Path(command.__file__).with_name("check.schema.json").read_text("utf-8"))
OTHER = "another secret of somebody"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No usual ports are probed, and nothing is set but what a test sets."""
    monkeypatch.setattr("portmail.checking.routes_to_probe", tuple)
    for name in [name for name in os.environ if name.startswith(("PORTMAIL_", "LC_", "LANG"))]:
        if name != "PORTMAIL_CACHE":
            monkeypatch.delenv(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; the exit code, and what was told."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["check", *arguments])
        told = capsys.readouterr()
        assert not Scanner(PASSWORD, OTHER).text(told.out + told.err)
        return code, told.out, told.err

    return run


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    return sandbox


def logins(server: Sandbox) -> int:
    return sum(session.authentications for session in server.sessions)


# ------------------------------------------------------------------------------------------ what is checked


def test_the_account_of_the_environment_is_checked(account: Sandbox, run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith(f"✓ Mail can go out: 127.0.0.1:{account.port(587)} starttls is open.\n\n")
    assert "Nothing was sent, and no password was shown." in out
    assert logins(account) == 0


def test_an_account_url_is_checked(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    assert run(sandbox.url_for(465))[0] == 0
    assert [session.service for session in sandbox.sessions] == [465]


def test_a_url_without_a_password_is_enough(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    code, out, _ = run(f"submission://me@127.0.0.1:{sandbox.port(587)}")
    assert (code, out[:16]) == (0, "✓ Mail can go ou")


def test_a_url_without_a_password_is_not_enough_for_a_login(sandbox: Sandbox, run: Run) -> None:
    code, out, err = run("--login", f"submission://me@127.0.0.1:{sandbox.port(587)}")
    assert (code, out) == (78, "")
    assert "password" in err
    assert sandbox.sessions == ()


@pytest.mark.parametrize(
    ("target", "routes"),
    [
        ("mail.example.com", ["587 starttls", "465 implicit-tls", "25 opportunistic"]),
        ("192.0.2.1", ["587 starttls", "465 implicit-tls", "25 opportunistic"]),
        ("2001:db8::1", ["587 starttls", "465 implicit-tls", "25 opportunistic"]),
        ("[2001:db8::1]", ["587 starttls", "465 implicit-tls", "25 opportunistic"]),
        ("[2001:db8::1]:465", ["465 implicit-tls"]),
        ("mail.example.com:587", ["587 starttls"]),
        ("mail.example.com:2525", ["2525 opportunistic"]),
        ("submission://mail.example.com", ["587 starttls"]),
        ("submission://me@mail.example.com:2525", ["2525 starttls"]),
        ("submissions://me@mail.example.com", ["465 implicit-tls"]),
        ("smtp://me@mail.example.com", ["587 starttls", "465 implicit-tls"]),
        ("smtp://mail.example.com", ["587 starttls", "465 implicit-tls", "25 opportunistic"]),
        ("relay://mail.example.com?tls=require", ["25 starttls"]),
    ],
)
def test_a_host_with_or_without_a_port_and_any_url_is_understood(target: str, routes: list[str]) -> None:
    settings = submitter_for(target, {}).settings
    assert [str(route).rpartition(":")[2] for route in settings.routes] == routes
    assert {route.host for route in settings.routes} < {"mail.example.com", "192.0.2.1", "2001:db8::1"}
    assert settings.credentials is None


def test_for_an_address_its_server_is_looked_for() -> None:
    settings = submitter_for("me@example.com", {}).settings
    assert settings.search is not None
    assert (settings.search.address, settings.credentials) == ("me@example.com", None)


def test_a_percent_sign_in_an_address_stays_one() -> None:
    settings = submitter_for("a%40b@example.com", {}).settings
    assert settings.search is not None
    assert settings.search.address == "a%40b@example.com"


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("a b", 78, "is no host name"),
        ("", 78, "is no host name"),
        ("http://mail.example.com", 78, "unknown in the account URL"),
        ("me@", 64, "is no account"),
        ("me@localhost", 68, "no domain of which anybody could be asked"),
        ("mail.example.com:99999", 78, "is no port"),
        ("mail.example.com:0", 78, "is no port"),
        ("me:secret@mail.example.com", 64, "is no account"),
        (f"submission://me:{PASSWORD}@x y", 78, "URL"),
        (f"submission://me:{PASSWORD}/@mail.example.com", 78, "percent-encoded"),
    ],
)
def test_nonsense_is_told_in_a_sentence(target: str, code: int, words: str, run: Run) -> None:
    got, out, err = run("--", target)
    assert (got, out) == (code, "")
    assert err.startswith("portmail: ")
    assert words in err
    assert "Traceback" not in err
    assert "secret" not in err


def test_without_any_account_it_says_what_to_give(run: Run) -> None:
    code, _, err = run()
    assert code == 68
    assert "PORTMAIL_URL" in err


def test_two_targets_are_a_mistake(run: Run) -> None:
    assert run("one", "two")[0] == 64


# -------------------------------------------------------------------------- whose password it is


HOME = "submission://me%40example.org@mail.example.org"
MINE = {"PORTMAIL_URL": HOME, "PORTMAIL_PASSWORD": PASSWORD}
NAMED = {
    "PORTMAIL_URL": "submission://mail.example.org",
    "PORTMAIL_USERNAME": USER,
    "PORTMAIL_PASSWORD": PASSWORD,
}
LOOSE = {"PORTMAIL_USERNAME": USER, "PORTMAIL_PASSWORD": PASSWORD}
FOUND = {"PORTMAIL_URL": "auto://me%40example.org@", "PORTMAIL_PASSWORD": PASSWORD}


@pytest.mark.parametrize(
    ("target", "environ"),
    [
        (None, MINE),
        (HOME, MINE),
        ("submissions://me%40example.org@mail.example.org", MINE),
        ("submission://mail.example.org", NAMED),
        ("submission://me%40example.org@mail.example.org:2525", NAMED),
        ("submission://mail.example.com", LOOSE),
        ("submission://me%40example.org@mail.example.com", LOOSE),
        ("me@example.org", LOOSE),
        ("me@example.org", FOUND),
        (None, FOUND),
        ("me@example.org", {"PORTMAIL_PASSWORD": PASSWORD}),
        ("me@example.org", {"PORTMAIL_USERNAME": "d-account", "PORTMAIL_PASSWORD": PASSWORD}),
    ],
)
def test_the_password_of_the_environment_is_for_its_own_account(
    target: str | None, environ: dict[str, str]
) -> None:
    assert submitter_for(target, environ, login=True).settings.credentials is not None


@pytest.mark.parametrize(
    ("target", "environ"),
    [
        ("submission://me%40example.org@mail.example.com", MINE),
        ("submission://mail.example.com", MINE),
        ("submission://mail.example.org", MINE),
        ("submission://you@mail.example.org", MINE),
        ("submission://mail.example.com", NAMED),
        ("submission://you@mail.example.org", NAMED),
        ("submission://you@mail.example.com", LOOSE),
        ("me@example.org", MINE),
        ("you@example.com", MINE),
        ("you@example.com", LOOSE),
        ("you@example.com", FOUND),
        ("me@example.com", FOUND),
        ("mail.example.org", MINE),
        ("mail.example.com", LOOSE),
        ("mail.example.com:587", LOOSE),
        ("submission://me%40example.org@mail.example.com", {**MINE, "PORTMAIL_URL": "nonsense"}),
    ],
)
def test_it_is_not_shown_to_the_server_of_another(target: str, environ: dict[str, str]) -> None:
    with pytest.raises(CredentialsUnusable):
        submitter_for(target, environ, login=True)
    settings = submitter_for(target, environ).settings
    assert settings.credentials is None
    assert not Scanner(PASSWORD).shown(settings)


def test_a_password_in_the_target_counts_beside_another_account() -> None:
    target = "submission://you:sesame@mail.example.com"
    settings = submitter_for(target, MINE, login=True).settings
    assert settings.credentials is not None
    assert settings.credentials.username == "you"
    assert not Scanner(PASSWORD).walk([settings])


def test_a_login_does_not_show_the_password_of_another_account_on_the_wire(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", HOME)
    monkeypatch.setenv("PORTMAIL_PASSWORD", PASSWORD)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    code, _, err = run("--login", f"submission://me%40example.org@127.0.0.1:{sandbox.port(587)}")
    assert code == 78
    assert "password" in err
    assert sandbox.sessions == ()


def test_who_is_trusted_counts_for_every_server(sandbox: Sandbox) -> None:
    environ = {**MINE, "PORTMAIL_CA": str(sandbox.ca)}
    for target in ("mail.example.com", "you@example.com", "submission://mail.example.com", None):
        assert submitter_for(target, environ).settings.tls_ca == sandbox.ca


# ------------------------------------------------------------------------------------------ logins


def test_a_login_is_made_once_and_told(account: Sandbox, run: Run) -> None:
    code, out, _ = run("--login")
    assert code == 0
    assert f"is open and took the login of {USER}." in " ".join(out.split())
    assert "One login was made, over proven TLS." in out
    assert logins(account) == 1


def test_a_login_that_is_refused_has_an_exit_code_of_its_own(
    account: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", account.url.replace(":correct", ":wrong"))
    code, out, _ = run("--login")
    assert code == 77
    assert out.startswith("✗ Mail cannot go out. The way is open")
    assert "the server refused the login of me@example.org" in " ".join(out.split())
    assert logins(account) == 1


def test_for_a_host_alone_there_is_nothing_to_log_in_with(account: Sandbox, run: Run) -> None:
    code, _, err = run("--login", "127.0.0.1")
    assert (code, account.sessions) == (78, ())
    assert "--login needs" in err


def test_where_nothing_is_open_no_login_is_claimed(account: Sandbox, run: Run) -> None:
    account.close_port(587)
    code, out, _ = run("--login")
    assert code == 69
    assert "Nothing was sent, and no password was shown." in out


# ------------------------------------------------------------------------------------------ exit codes


EXITS = {
    Situation.OPEN: 0,
    Situation.OPEN_IN_PART: 0,
    Situation.TAMPERED_IN_PART: 0,
    Situation.INSECURE_IN_PART: 0,
    Situation.RELAY_OPEN: 0,
    Situation.OPEN_UNENCRYPTED: 0,
    Situation.LOGGED_IN: 0,
    Situation.LOGIN_REFUSED: 77,
    Situation.LOGIN_FAILED: 75,
    Situation.NO_SECRET: 75,
    Situation.OFFLINE: 69,
    Situation.RESOLVER_DOWN: 75,
    Situation.NO_SUCH_HOST: 68,
    Situation.UNREACHABLE: 69,
    Situation.PORTAL: 69,
    Situation.INTERCEPTED: 77,
    Situation.PROXY: 77,
    Situation.STRIPPED: 77,
    Situation.NO_STARTTLS: 77,
    Situation.CLEAR_AUTH: 77,
    Situation.INJECTED: 77,
    Situation.CERTIFICATE_EXPIRED: 77,
    Situation.CERTIFICATE_NAME: 77,
    Situation.CERTIFICATE_UNTRUSTED: 77,
    Situation.CERTIFICATE_INVALID: 77,
    Situation.CLIENT_CERTIFICATE: 77,
    Situation.TLS_ON_PLAIN_PORT: 78,
    Situation.PLAIN_ON_TLS_PORT: 78,
    Situation.TLS_FAILED: 77,
    Situation.TURNED_AWAY: 69,
    Situation.BUSY: 75,
    Situation.NO_MECHANISM: 77,
    Situation.NOT_SMTP: 69,
    Situation.RELAY_BLOCKED: 69,
    Situation.OTHER_PORT_OPEN: 69,
    Situation.WRONG_PORT: 78,
    Situation.BLOCKED_BY_HOSTING: 69,
    Situation.PROHIBITED: 69,
    Situation.PROHIBITED_HERE: 69,
    Situation.DROPPED: 69,
    Situation.MUTE: 69,
    Situation.BLOCKED: 69,
    Situation.NO_MAIL_PORT: 69,
    Situation.SILENT: 69,
    Situation.REFUSED: 69,
    Situation.OTHER: 69,
}


@pytest.mark.parametrize("situation", Situation, ids=lambda it: it.value)
def test_every_situation_has_an_exit_code(situation: Situation) -> None:
    report = Report((), Diagnosis(situation, None, Phrase("x"), None))
    assert code_of(report) == EXITS[situation]


def test_no_code_is_given_to_what_lets_mail_out() -> None:
    assert {it for it in CODES if EXITS[it] == exits.OK} == set()


# ------------------------------------------------------------------------------------------ JSON


def strict(schema: Any) -> Any:
    """The schema, by which nothing may be there that it does not describe."""
    if isinstance(schema, dict):
        closed = {"additionalProperties": False} if "properties" in schema else {}
        return {name: strict(part) for name, part in schema.items()} | closed
    return [strict(part) for part in schema] if isinstance(schema, list) else schema


def valid(text: str) -> dict[str, Any]:
    """One line of JSON, which is as the schema says and holds nothing else."""
    assert text.count("\n") == 1
    data: dict[str, Any] = json.loads(text)
    kind = "checked" if data["status"] == "checked" else "error"
    schema = {**SCHEMA, "$defs": strict(SCHEMA["$defs"])} if kind == "checked" else SCHEMA
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(data)
    return data


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).values()
        for part in schema.values():
            yield from parts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from parts(part)


def test_the_schema_is_one_and_describes_every_field_in_a_sentence() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    fields = [*SCHEMA["$defs"].values(), *parts(SCHEMA)]
    assert len(fields) > 50
    for field in fields:
        assert re.fullmatch(r"[A-Z][^\n]+\.", field["description"]), field
    assert all(set(it["required"]) <= set(it["properties"]) for it in SCHEMA["$defs"].values())


@pytest.mark.parametrize(
    ("where", "field", "values"),
    [
        ("checked", "kind", [it.value for it in Situation]),
        ("checked", "blocked_by", [it.value for it in Blocker]),
        ("checked", "language", [it.value for it in Language]),
        ("probe", "kind", [OPEN, *(it.value for it in Cause)]),
        ("probe", "phase", [it.value for it in Phase]),
        ("probe", "security", [it.value for it in Security]),
        ("probe", "family", ["ipv4", "ipv6", None]),
        ("login", "cause", [*(it.value for it in Cause), None]),
        ("login", "phase", [it.value for it in Phase]),
        ("login", "verdict", [it.value for it in Verdict]),
    ],
)
def test_its_words_are_those_of_the_program(where: str, field: str, values: list[str | None]) -> None:
    assert SCHEMA["$defs"][where]["properties"][field]["enum"] == values


def test_what_is_open_is_told_to_a_program(account: Sandbox, run: Run) -> None:
    code, out, _ = run("--json", "--login")
    data = valid(out)
    assert (code, data["exit_code"], data["can_send"], data["kind"]) == (0, 0, True, "logged-in")
    assert data["route"] == f"127.0.0.1:{account.port(587)} starttls"
    assert data["login"]["verdict"] == "accepted"
    [probe] = data["probes"]
    assert (probe["kind"], probe["family"], probe["used"]) == ("open", "ipv4", True)
    assert probe["tls"]["version"] == "TLSv1.3"
    assert probe["certificate"]["days_left"] > 1000
    assert probe["certificate"]["issuer"] == "portmail sandbox"
    assert "PLAIN" in probe["mechanisms"]
    assert probe["greeting"].startswith("220 ")


SCRIPTS = {
    "transient-reply": ("S: 421 4.3.2 busy\nCLOSE", "busy", 75),
    "permanent-reply": ("S: 554 5.7.1 no\nCLOSE", "turned-away", 69),
    "captive-portal": ('RAW "HTTP/1.1 302 Found\\r\\n\\r\\n"\nCLOSE', "captive-portal", 69),
    "auth-only-in-clear": (
        "S: 220 x\nC: EHLO *\nS: 250-localhost\nS: 250 AUTH PLAIN",
        "auth-only-in-clear",
        77,
    ),
    "dropped-after-connect": ("CLOSE", "dropped-after-connect", 69),
}


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_is_closed_is_told_to_a_program(kind: str, language: str, run: Run) -> None:
    script, situation, expected = SCRIPTS[kind]
    with play(script) as player:
        target = f"submission://me:{OTHER.replace(' ', '%20')}@127.0.0.1:{player.port}"
        code, out, _ = run("--json", "--lang", language, target)
    data = valid(out)
    assert (code, data["exit_code"], data["kind"]) == (expected, expected, situation)
    assert (data["can_send"], data["language"], data["login"]) == (False, language, None)
    assert data["probes"][0]["kind"] == kind
    assert bool(data["probes"][0]["reply"]) is kind.endswith("-reply")
    assert data["probes"][0]["advice"]


def test_a_host_that_cannot_be_found_is_told_to_a_program(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "x")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    code, out, _ = run("--json", "mail.example.invalid")
    data = valid(out)
    assert (code, data["kind"], data["blocked_by"]) == (68, "no-such-host", "settings")
    assert {(it["family"], it["address"], it["certificate"]) for it in data["probes"]} == {(None, None, None)}


@pytest.mark.parametrize("target", [["a b"], ["--login", "127.0.0.1"], [], ["https://x"]])
def test_an_error_is_told_to_a_program_too(target: list[str], run: Run) -> None:
    code, out, err = run("--json", *target)
    assert valid(out)["status"] == "error"
    assert code in (68, 78)
    assert err == ""


# ------------------------------------------------------------------------------------------ languages


@pytest.mark.parametrize("how", [("--lang", "ja"), ("--lang", "ja_JP.UTF-8")])
def test_japanese_can_be_asked_for(how: tuple[str, ...], run: Run) -> None:
    with play("RESET") as player:
        _, out, _ = run(*how, f"127.0.0.1:{player.port}")
    assert re.search("[ぁ-ん]", out)


@pytest.mark.parametrize("name", ["LANG", "LC_ALL", "LC_MESSAGES"])
def test_the_locale_says_the_language(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ja_JP.UTF-8")
    with play("RESET") as player:
        _, out, _ = run("--json", f"127.0.0.1:{player.port}")
        _, english, _ = run("--json", "--lang", "en", f"127.0.0.1:{player.port}")
    assert valid(out)["language"] == "ja"
    assert valid(english)["language"] == "en"


def test_a_language_that_we_do_not_have_is_a_mistake(run: Run) -> None:
    code, out, err = run("--lang", "tlh", "127.0.0.1")
    assert (code, out) == (64, "")
    assert "choose en or ja" in err


PLAIN = (
    {"PYTHONIOENCODING": "ascii", "LC_ALL": "ja_JP.UTF-8"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
"""Environments in which standard output carries ASCII alone."""


@pytest.mark.parametrize("environ", PLAIN, ids=["asked for", "of the locale"])
@pytest.mark.parametrize("form", ["--lang=ja", "--json"])
def test_who_cannot_see_japanese_letters_meets_none_and_no_traceback(
    environ: dict[str, str], form: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    log = tmp_path / "check.log"
    sandbox.close_port(587)
    done = subprocess.run(
        [sys.executable, "-m", "portmail", "check", form, "--lang=ja", "--log", str(log), *ports(sandbox)],
        env={"PATH": os.environ["PATH"], "PORTMAIL_CACHE": "off", **environ},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (69, b"")
    out = done.stdout.decode("ascii")
    if form == "--json":
        assert re.search("[ぁ-ん]", valid(out)["verdict"])
    else:
        assert out.startswith("no Mail cannot go out. ")
        assert "\\" not in out
    assert "Mail cannot go out. " in read(log)


def ports(sandbox: Sandbox) -> list[str]:
    return [f"submission://127.0.0.1:{sandbox.port(587)}"]


# ------------------------------------------------------------------------------------------ Ctrl-C


def test_whoever_stops_it_is_not_told_of_a_message(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        error = KeyboardInterrupt()
        error.add_note("portmail: the message was not sent")
        raise error

    monkeypatch.setattr("portmail.submitter.Submitter.check", stopped)
    log = tmp_path / "check.log"
    assert run("--log", str(log), "127.0.0.1") == (130, "", "portmail: stopped\n")
    assert read(log).endswith("\nKeyboardInterrupt\n")


# ------------------------------------------------------------------------------------------ the log


def read(path: Path) -> str:
    text = path.read_text("utf-8")
    assert not Scanner(PASSWORD, OTHER).text(text)
    return text


def test_the_log_has_what_was_said_and_the_report(account: Sandbox, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "check.log"
    assert run("--log", str(path))[0] == 0
    text = read(path)
    assert text.startswith(f"portmail {portmail.__version__} check, 20")
    lines = [line.split("  ", 2)[-1] for line in text.split("\n\n")[1].splitlines()]
    assert lines[0] == f"connecting to 127.0.0.1:{account.port(587)}"
    assert [line for line in lines if line.startswith("C: ")] == [
        "C: EHLO " + account.sessions[0].commands[0].partition(" ")[2],
        "C: STARTTLS",
        "C: EHLO " + account.sessions[0].commands[0].partition(" ")[2],
        "C: QUIT",
    ]
    assert "TLS 1.3, certificate of 127.0.0.1" in lines
    assert "S: 250 AUTH CRAM-MD5 PLAIN LOGIN" in lines
    assert text.rstrip().splitlines()[-2].startswith("Mail can go out: ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_no_secret_is_in_the_log_of_a_login(
    mechanism: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "check.log"
    with Sandbox(users={USER: PASSWORD}, mechanisms=(mechanism,)) as server:
        monkeypatch.setenv("PORTMAIL_URL", server.url)
        monkeypatch.setenv("PORTMAIL_CA", str(server.ca))
        assert run("--login", "--log", str(path))[0] == 0
        assert logins(server) == 1
        said = [command for session in server.sessions for command in session.commands]
    text = read(path)
    assert f"C: AUTH {mechanism}" in text
    assert "***" in text
    answers = [line.rpartition(" ")[2] for line in said if len(line.rpartition(" ")[2]) > 20]
    assert not [it for it in answers if it in text]


def test_no_token_is_in_the_log_of_a_login(tmp_path: Path) -> None:
    """The command line has no tokens; the log of a check is the same."""
    from portmail.cli.transcript import Transcript

    path = tmp_path / "check.log"
    with Sandbox(users={}, tokens={USER: OTHER}, mechanisms=("XOAUTH2",)) as server:
        routes = server.routes
        mail = portmail.Submitter(routes=routes, tls_ca=server.ca, username=USER, token=OTHER)
        with mail, Transcript(path) as transcript:
            report = mail.check(login=True)
            transcript.add(report)
    assert report.diagnosis.situation is Situation.LOGGED_IN
    assert "C: AUTH XOAUTH2 ***" in read(path)


def test_a_server_that_repeats_the_password_does_not_get_it_into_the_log(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portmail.sandbox.certificates import Authority

    authority = Authority(tmp_path)
    hello = "S: 220 x\nC: EHLO *\nS: 250-localhost\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n"
    ready = f"{hello}C: EHLO *\nS: 250-localhost\nS: 250 AUTH PLAIN\n"
    refusal = f"C: AUTH PLAIN *\nS: 535 5.7.8 {PASSWORD} is wrong\n"
    path = tmp_path / "check.log"
    with play([ready, ready + refusal], tls=authority.server_context("127.0.0.1")) as player:
        monkeypatch.setenv("PORTMAIL_CA", str(authority.ca_path))
        monkeypatch.setenv("PORTMAIL_PASSWORD", PASSWORD)
        target = f"submission://me%40example.org@127.0.0.1:{player.port}"
        assert run("--login", "--json", "--log", str(path), target)[0] == 77
        assert PASSWORD.encode() not in player.plaintext
    assert "535" in read(path)


@pytest.mark.parametrize("place", ["none/check.log", "."])
def test_a_log_that_cannot_be_written_is_told_before_anything_is_connected(
    place: str, account: Sandbox, run: Run, tmp_path: Path
) -> None:
    code, out, err = run("--log", str(tmp_path / place))
    assert (code, out, account.sessions) == (78, "", ())
    assert err.startswith("portmail: --log: ")
    assert "cannot be written: " in err


def test_a_log_that_is_there_is_written_anew_and_keeps_its_mode(
    account: Sandbox, run: Run, tmp_path: Path
) -> None:
    path, link = tmp_path / "check.log", tmp_path / "link"
    path.write_text("what was there before\n" * 1000)
    path.chmod(0o640)
    link.symlink_to(path)
    assert run("--log", str(link))[0] == 0
    text = read(path)
    assert text.startswith("portmail ")
    assert "before" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert account.sessions


def test_a_new_log_is_for_its_owner_alone_whatever_the_umask_is(
    account: Sandbox, run: Run, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        assert run("--log", str(tmp_path / "check.log"))[0] == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "check.log").stat().st_mode) == 0o600
    assert account.sessions


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is full")
def test_a_disk_that_is_full_costs_the_log_and_not_the_verdict(account: Sandbox, run: Run) -> None:
    code, out, err = run("--log", "/dev/full")
    assert code == 0
    assert out.startswith("✓ Mail can go out: ")
    assert err == "portmail: --log: /dev/full is not complete: No space left on device\n"
    assert account.sessions


def test_the_log_of_a_check_that_came_to_no_report_says_why(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(self: Any) -> None:
        raise portmail.DiscoveryError("no server was found")

    monkeypatch.setattr("portmail.pinning.Pinning.look", look)
    monkeypatch.setattr("portmail.checking.is_online", lambda: True)
    code, _, err = run("--log", str(tmp_path / "check.log"), "me@nowhere.example")
    assert code == 68
    assert "no server was found" in err
    assert read(tmp_path / "check.log").endswith("\nDiscoveryError: no server was found\n")


def test_what_is_no_text_is_in_the_log_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(portmail.ConfigurationError), Transcript(tmp_path / "check.log"):
        raise portmail.ConfigurationError("\udcff, 日本")
    assert read(tmp_path / "check.log").endswith("\nConfigurationError: \\udcff, 日本\n")


def test_afterwards_nobody_listens_to_dialogues_any_more(account: Sandbox, run: Run, tmp_path: Path) -> None:
    from portmail.log import DIALOGUE

    before = DIALOGUE.level, list(DIALOGUE.handlers)
    assert run("--log", str(tmp_path / "check.log"))[0] == 0
    assert (DIALOGUE.level, list(DIALOGUE.handlers)) == before
    assert account.sessions


# ------------------------------------------------------------------------------------------ looks


def test_what_is_told_has_short_lines_and_no_escapes(run: Run, sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("COLUMNS", "30")
        patch.setenv("TERM", "xterm-256color")
        code, out, _ = run(sandbox.url_for(587))
    assert code == 77
    assert "\x1b" not in out
    paragraph, table = out.split("\n\n")[:2]
    assert paragraph.startswith("✗ Mail cannot go out. 127.0.0.1 takes logins on port")
    assert " What to do: " in paragraph.replace("\n", " ")
    assert max(map(len, paragraph.splitlines())) <= 100
    assert len(paragraph.splitlines()) > 1
    assert table.splitlines()[0].split() == ["route", "IP", "s", "what", "became", "of", "it"]


def test_the_certificate_is_told_once_in_a_line(
    account: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = account.routes
    monkeypatch.setattr("portmail.checking.routes_to_probe", lambda _: both)
    _, out, _ = run()
    assert " ".join(out.split()).count("Certificate of 127.0.0.1: for localhost, 127.0.0.1, ") == 1
    assert "; issued by portmail sandbox; valid until 3000-01-01" in " ".join(out.split())
    assert max(map(len, out.rpartition("\n\n")[2].splitlines())) <= 100
    assert out.count("TLS 1.3, certificate valid for") == 2
    assert out.count(" *  IPv4") == 1
    assert "* a submission with these settings does not take this way" in out


def test_where_every_way_is_taken_there_is_no_footnote(account: Sandbox, run: Run) -> None:
    assert "*" not in run()[1]
    assert account.sessions


def test_what_a_server_says_does_not_reach_the_terminal_as_it_is(run: Run) -> None:
    with play('RAW "554 \\x1b]0;owned\\x07 \\x9b31m no\\r\\n"\nCLOSE') as player:
        code, out, _ = run(f"127.0.0.1:{player.port}")
    assert code == 69
    assert re.sub(r"\s", "", out).isprintable()


def test_a_way_without_encryption_is_told_as_that(run: Run) -> None:
    with play("S: 220 x\nC: EHLO *\nS: 250 localhost") as player:
        code, out, _ = run(f"relay://127.0.0.1:{player.port}?tls=none")
    assert code == 0
    assert "open; unencrypted; no login offered" in out


PROGRAM = """
import sys
from portmail.cli import main
sys.exit(main(["check", *sys.argv[1:]]))
"""


def started(server: Sandbox, *arguments: str, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    environ = {
        "PORTMAIL_URL": server.url,
        "PORTMAIL_CA": str(server.ca),
        "PORTMAIL_CACHE": "off",
        "PATH": os.environ["PATH"],
        "TERM": "xterm-256color",
        "PYTHONUTF8": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, *arguments], env=environ, stdout=stdout, stderr=stderr
    )


def test_on_a_terminal_it_is_a_table_with_colours(sandbox: Sandbox) -> None:
    ours, theirs = terminal(columns=80)
    with started(sandbox, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        text = shown(ours)
    assert program.returncode == 0, text
    assert "\x1b[32m" in text
    plain = re.sub("\x1b\\[[0-9;]*m", "", text)
    assert "─" in plain
    assert max(map(len, plain.splitlines()[:-3])) <= 80


@pytest.mark.parametrize("arguments", cases([((),), (("--json",),)], daily=[((),)]))
def test_a_pipe_that_nobody_reads_changes_nothing(arguments: tuple[str, ...], sandbox: Sandbox) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with started(sandbox, *arguments, stdout=theirs, stderr=subprocess.PIPE) as program:
        os.close(theirs)
        _, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, b"")
    assert len(sandbox.sessions) == 1


def test_the_usual_ports_are_probed_too_and_are_marked(
    account: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portmail.checking import PATIENCE

    monkeypatch.undo()
    environ = {"PORTMAIL_URL": account.url, "PORTMAIL_CA": str(account.ca)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("portmail.checking.PATIENCE", replace(PATIENCE, connect=0.5, greeting=0.5))
    data = valid(run("--json", "--lang", "en")[1])
    assert [(it["port"], it["used"]) for it in data["probes"]] == [
        (account.port(587), True),
        (587, False),
        (465, False),
        (25, False),
    ]


def test_impatience_of_the_account_is_none_of_the_command_line() -> None:
    assert submitter_for("mail.example.com", {}).settings.timeouts == Timeouts()
    assert (
        Route("mail.example.com", 587, Security.STARTTLS)
        in submitter_for("mail.example.com", {}).settings.routes
    )
