"""Is an msmtprc read as msmtp reads it? With msmtp itself, and what it documents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound
from portmail.importing.msmtprc import accounts, is_on
from tests.importing.reading import Account, fed_back, translated, warnings
from tests.servers.requirements import require

H = "mail.example.com"

HOUSE = """\
# what counts for all
defaults
tls on
\tport 587
auth on

account freemail
host smtp.freemail.example
from joe@freemail.example
user "joe smith"
password " p#w\\"'$ "

account second : freemail
from joey@freemail.example
tls_starttls off
port 465

defaults
port 26
tls_trust_file ~/ca.pem

account third:second , freemail
user x "y"
password
tls_trust_file system

account "with space"
host   space.example.com\x20\x20
tls
auth plain
user "
password ""

account default : freemail
timeout 30
"""
NAMES = ("freemail", "second", "third", "with space", "default")


@pytest.fixture
def rc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    path = tmp_path / ".msmtprc"
    path.write_text(HOUSE)
    path.chmod(0o600)
    return path


def said_by_msmtp(path: Path, name: str) -> dict[str, str]:
    require(None if shutil.which("msmtp") else "there is no msmtp")
    told = subprocess.run(
        ["msmtp", "-C", str(path), "-P", "-a", name, "you@example.com"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.partition(" = ") for line in told.stdout.splitlines() if " = " in line)
    return {key: value for key, _, value in pairs if value != "(not set)"}


@pytest.mark.parametrize("name", NAMES)
def test_each_account_has_what_msmtp_says_it_has(rc: Path, name: str) -> None:
    theirs, ours = said_by_msmtp(rc, name), accounts(HOUSE, where="there")[name]
    assert ours["host"] == theirs["host"]
    assert ours["port"] == theirs["port"]
    for switch, default in (("tls", "off"), ("tls_starttls", "on"), ("tls_certcheck", "on")):
        assert is_on(ours, switch, default=default) == (theirs[switch] == "on")
    for command in ("user", "from"):
        assert (ours.get(command) or None) == theirs.get(command)
    assert bool(ours.get("password")) == ("password" in theirs)
    trust = ours.get("tls_trust_file", "system").replace("~", str(rc.parent))
    assert trust == theirs["tls_trust_file"]


def test_the_default_account_is_read_from_the_usual_file(rc: Path) -> None:
    translation = translated("msmtp")
    assert fed_back(translation) == Account(
        "smtp.freemail.example:26 starttls",
        ("joe smith", " p#w\\\"'$ "),
        "joe@freemail.example",
        f"{rc.parent}/ca.pem",
    )
    assert translation.notes == (
        "tls_trust_file: to msmtp it is all there is; PORTMAIL_CA adds to what the system trusts",
        "timeout 30: is no environment variable: give timeouts= in Python",
        "this is one account; the others: --account with freemail, second, third, with space",
    )


def test_an_account_is_named(rc: Path) -> None:
    second = translated("msmtp", str(rc), account="second")
    assert fed_back(second).routes == "smtp.freemail.example:465 implicit-tls"
    with pytest.raises(NothingFound, match="no account fifth; it has default, freemail, second"):
        translated("msmtp", account="fifth")


def test_the_file_of_xdg_is_the_second_choice(rc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rc.unlink()
    with pytest.raises(ConfigurationError, match=r"there is neither ~/\.msmtprc nor ~/\.config/msmtp/config"):
        translated("msmtp")
    (rc.parent / "msmtp").mkdir()
    (rc.parent / "msmtp" / "config").write_text(f"host {H}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(rc.parent))
    assert fed_back(translated("msmtp")).routes == f"{H}:25 opportunistic"


def of(rc: Path, *lines: str) -> Path:
    rc.write_text("\n".join((f"account only\nhost {H}", *lines)))
    return rc


LOGIN = ("auth on", "user me", "password pw")


@pytest.mark.parametrize(
    ("lines", "routes", "warned"),
    [
        (("tls on", "port 587"), f"{H}:587 starttls", 0),
        (("tls on",), f"{H}:587 starttls", 0),
        (("tls on", "tls_starttls off"), f"{H}:465 implicit-tls", 0),
        (("tls_starttls off",), f"{H}:587 starttls, {H}:465 implicit-tls", 1),
        (("port 587",), f"{H}:587 starttls", 1),
        (("tls on", "port 587", "tls_certcheck off", "tls_trust_file /x"), f"{H}:587 starttls", 1),
        (("tls on", "port 587", "tls_trust_file"), f"{H}:587 starttls", 1),
        (("tls on", "port 587", "tls_fingerprint 01:02"), f"{H}:587 starttls", 1),
    ],
)
def test_tls_is_what_msmtp_does_and_always_verified(
    rc: Path, lines: tuple[str, ...], routes: str, warned: int
) -> None:
    translation = translated("msmtp", str(of(rc, *LOGIN, *lines)))
    assert fed_back(translation) == Account(routes, ("me", "pw"))
    assert len(warnings(translation)) == warned


@pytest.mark.parametrize(
    "command",
    ["touch ran; echo s3cret", "curl -u me:s3cret https://vault", "PW=s3cret; pass show", "~/s3cret"],
)
def test_a_command_for_the_password_is_neither_run_nor_shown(
    rc: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rc.parent)
    path = of(rc, "tls on", "port 587", "auth on", "user me", f"passwordeval {command}")
    translation = translated("msmtp", str(path))
    assert translation.environment == {"PORTMAIL_URL": f"submission://me@{H}"}
    assert "(umask 077; THAT COMMAND > portmail-password)" in translation.notes[-1]
    assert "s3cret" not in f"{translation.notes}{[*translation.lines]}{translation.data}"
    assert not (rc.parent / "ran").exists()


@pytest.mark.parametrize("path", ["ca.pem", "./ca.pem", "~/ca.pem"])
def test_a_file_of_certificates_is_named_from_the_root(
    rc: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rc.parent)
    translation = translated("msmtp", str(of(rc, "tls on", "port 587", f"tls_trust_file {path}")))
    assert translation.environment["PORTMAIL_CA"] == f"{rc.parent}/ca.pem"
    with pytest.raises(ConfigurationError, match="~nobody9/x: there is no such user"):
        translated("msmtp", str(of(rc, "tls on", "tls_trust_file ~nobody9/x")))


def test_a_line_that_is_a_command_is_refused(rc: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 3: eval runs a command, which portmail does not"):
        translated("msmtp", str(of(rc, "eval echo host s3cret")))


@pytest.mark.parametrize(
    ("lines", "words", "login"),
    [
        (("auth on", "user me"), "msmtp asks the keyring", True),
        (
            ("auth xoauth2", "user me", "password s3cret"),
            "auth xoauth2 wants a token: in Python, give token=",
            True,
        ),
        (("auth off", "user me", "password pw"), "auth is off: msmtp does not log in", False),
        (("user me",), "auth is off: msmtp does not log in", False),
        (("auth gssapi", "user me"), "auth gssapi is not known to portmail: nobody logs in", False),
        (("auth on",), "auth without user: msmtp asks for it", False),
        (("auth cram-md5", *LOGIN[1:]), "auth cram-md5: portmail chooses the mechanism itself", True),
        (("from %U@%H",), "from %U@%H is a pattern: write an address into PORTMAIL_FROM", False),
        (("from *@example.com",), "is a pattern", False),
        (
            ("aliases /etc/aliases",),
            "aliases: `portmail sendmail` reads such a file where PORTMAIL_ALIASES",
            False,
        ),
        (("set_from_header on",), "set_from_header on: a From header that is there stays", False),
        (("proxy_host 127.0.0.1",), "proxy_host: a proxy is not known", False),
        (("s3cret",), "commands that are not known here, and not carried over: 1", False),
    ],
)
def test_what_is_not_carried_over_is_told(rc: Path, lines: tuple[str, ...], words: str, login: bool) -> None:
    translation = translated("msmtp", str(of(rc, "tls on", "port 587", *lines)))
    assert [note for note in translation.notes if words in note] != []
    assert ("//me" in translation.environment["PORTMAIL_URL"]) == login
    assert "s3cret" not in "".join(translation.lines)


def test_what_changes_nothing_needs_no_words(rc: Path) -> None:
    lines = (
        "timeout off",
        "set_from_header auto",
        "protocol smtp",
        "remove_bcc_headers on",
        "tls_certcheck on",
    )
    assert translated("msmtp", str(of(rc, "tls", "port 587", *lines))).notes == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no account default; it has none"),
        ("account a\nhost x\naccount b\nhost y\n", "has no account default; it has a, b: choose"),
        ("account a : b\n", "line 1: there is no account b before this line"),
        ("account a\naccount a\n", "line 2: account a was there already"),
        ("account\n", "line 1: an account has no name"),
        ("account a\nport 25\n", "account a names no host"),
        ("host x\nport s3cret\n", "account default: port is no number"),
        ("host x\nprotocol lmtp\n", "speaks lmtp, which is not for submission"),
        ("host x\nsocket /run/x\n", "goes to a socket of this machine"),
    ],
)
def test_what_cannot_be_used_is_told(rc: Path, text: str, words: str) -> None:
    rc.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as told:
        translated("msmtp", str(rc))
    assert "s3cret" not in str(told.value)
