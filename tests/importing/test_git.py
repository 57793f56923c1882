"""Is `git send-email`'s configuration read as git reads it? With git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound
from tests.importing.reading import Account, fed_back, translated, warnings
from tests.servers.requirements import require

H = "mail.example.com"


@pytest.fixture(autouse=True)
def _git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with nothing in it but what a test puts there."""
    require(None if shutil.which("git") else "there is no git")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def config(**settings: str) -> None:
    for name, value in settings.items():
        key = f"sendemail.{name.replace('__', '.')}"
        subprocess.run(["git", "config", "--global", "--add", key, value], check=True)


@pytest.mark.parametrize(
    ("encryption", "port", "routes"),
    [
        ("tls", "587", f"{H}:587 starttls"),
        ("tls", None, f"{H}:587 starttls"),
        ("ssl", None, f"{H}:465 implicit-tls"),
        ("ssl", "465", f"{H}:465 implicit-tls"),
        (None, None, f"{H}:587 starttls, {H}:465 implicit-tls"),
        ("TLS", "25", f"{H}:25 starttls"),
    ],
)
def test_each_encryption_means_what_git_means(encryption: str | None, port: str | None, routes: str) -> None:
    said = {"smtpServer": H, "smtpUser": "me@x", "smtpPass": "a b\nc", "from": "Me <me@example.com>"}
    said |= {"smtpEncryption": encryption} if encryption else {}
    config(**said, **({"smtpServerPort": port} if port else {}))
    translation = translated("git")
    assert fed_back(translation) == Account(routes, ("me@x", "a b\nc"), "Me <me@example.com>")
    assert len(warnings(translation)) == {"tls": 0, "ssl": 0, None: 1, "TLS": 2}[encryption]


def test_without_credentials_it_is_a_relay() -> None:
    config(smtpServer="localhost", smtpPass="alone")
    translation = translated("git")
    assert fed_back(translation).routes == "localhost:25 opportunistic"
    assert "smtpPass without smtpUser is not used by git: left out" in translation.notes


def test_an_identity_wins_over_what_is_said_for_all() -> None:
    config(smtpServer=H, smtpEncryption="tls", smtpUser="me", smtpPass="all", smtpServerPort="587")
    config(
        **{"work__smtpUser": "we", "work__smtpPass": "ours", "work.at.home__smtpServer": "home.example.com"}
    )
    assert fed_back(translated("git")).login == ("me", "all")
    work = translated("git", account="work")
    assert fed_back(work) == Account(f"{H}:587 starttls", ("we", "ours"))
    assert "this is one identity; the others: --account with work.at.home" in work.notes
    assert fed_back(translated("git", account="work.at.home")).routes == "home.example.com:587 starttls"
    config(identity="work")
    assert fed_back(translated("git")).login == ("we", "ours")
    with pytest.raises(NothingFound, match=r"no identity nobody: work, work\.at\.home"):
        translated("git", account="nobody")


def test_the_repository_and_includes_count_as_for_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "config", "sendemail.smtpServer", "repository.example.com"], check=True)
    config(smtpServer=H)
    assert fed_back(translated("git")).routes == "repository.example.com:25 opportunistic"
    (tmp_path / "included").write_text("[sendemail]\nsmtpserver = included.example.com\n")
    (tmp_path / "file").write_text("[include]\npath = included\n")
    assert fed_back(translated("git", "file")).routes == "included.example.com:25 opportunistic"


def test_a_password_that_git_asks_for_is_told() -> None:
    config(smtpServer=H, smtpEncryption="tls", smtpServerPort="587", smtpUser="me")
    translation = translated("git")
    assert translation.environment == {"PORTMAIL_URL": f"submission://me@{H}"}
    assert fed_back(translation, PORTMAIL_PASSWORD="x").login == ("me", "x")
    assert "asks its credential helper" in translation.notes[-1]


def test_certificates_are_carried_over_or_told(tmp_path: Path) -> None:
    config(smtpServer=H, smtpSSLCertPath=str(tmp_path))
    assert "is the directory" in translated("git").notes[1]
    config(smtpSSLCertPath="/etc/ca.pem")
    assert translated("git").environment["PORTMAIL_CA"] == "/etc/ca.pem"
    for path in ("ca.pem", "~/ca.pem"):
        config(smtpSSLCertPath=path)
        assert translated("git").environment["PORTMAIL_CA"] == f"{tmp_path}/ca.pem"
    config(smtpSSLCertPath="~")
    assert "is the directory" in translated("git").notes[1]
    config(smtpSSLCertPath="")
    assert warnings(translated("git")) == [
        "WARNING: smtpSSLCertPath is empty: git does not verify the server. portmail always does"
    ]


def test_everything_else_is_told() -> None:
    config(smtpServer=H, smtpServerPort="587", smtpEncryption="tls", confirm="auto", suppresscc="self")
    config(
        smtpDomain="x", smtpAuth="PLAIN", smtpServerOption="-v", envelopeSender="auto", smtpReloginDelay="1"
    )
    assert [note.partition(":")[0] for note in translated("git").notes] == [
        "smtpserveroption",
        "smtpdomain",
        "smtpauth",
        "smtprelogindelay",
        "envelopesender",
        "these are about git send-email itself and stay there",
    ]
    assert translated("git").notes[-1].endswith(": confirm, suppresscc")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "says nothing of sendemail"),
        ({"confirm": "never"}, "has no smtpServer: git uses the sendmail program"),
        ({"smtpServer": "/usr/bin/msmtp"}, r"names a program to send with \(/usr/bin/msmtp\), and no server"),
        ({"sendmailCmd": "sshpass -p s3cret ssh x"}, r"names a program to send with \(sendmailCmd\)"),
    ],
)
def test_where_there_is_no_server_it_is_told(said: dict[str, str], words: str) -> None:
    config(**said)
    with pytest.raises(NothingFound, match=words) as told:
        translated("git")
    assert "s3cret" not in str(told.value)


def test_what_git_cannot_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").write_text("[sendemail\n")
    with pytest.raises(ConfigurationError, match=r"git config did not work: .*bad config"):
        translated("git", "broken")
    with pytest.raises(ConfigurationError):
        translated("git", "missing")
    config(smtpServer=H, smtpServerPort="s3cret")
    with pytest.raises(ConfigurationError, match=r"sendemail\.smtpServerPort is no number"):
        translated("git")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="there is no program git"):
        translated("git")
