"""What does git know of mail? `sendemail.*` of its configuration, as `git send-email` reads it.

git is run once, with `git config`, in the current directory: so its own includes and conditions count.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from portmail.errors import ConfigurationError
from portmail.importing.found import (
    Asked,
    Found,
    NothingFound,
    absolute,
    left_behind,
    listed,
    one_line,
    told_if_unreadable,
    whole_number,
)
from portmail.route import RELAY, SUBMISSIONS
from portmail.security import Security

_SECONDS = 30.0

_CARRIED = (
    "smtpserver",
    "smtpserverport",
    "smtpencryption",
    "smtpuser",
    "smtppass",
    "smtpsslcertpath",
    "from",
    "identity",
)

_SECURITY = {"tls": Security.STARTTLS, "ssl": Security.IMPLICIT_TLS}
"""Anything else is no TLS at all."""

_LEFT = {
    "smtpserveroption": "is for a sendmail program: not carried over",
    "smtpdomain": "is what is said in EHLO: give local_hostname= in Python",
    "smtpauth": "portmail chooses the mechanism itself, on verified TLS only",
    "smtpssl": "is not known to git any more: write smtpEncryption = ssl there",
    "smtpbatchsize": "connections are kept and renewed by themselves",
    "smtprelogindelay": "connections are kept and renewed by themselves",
    "envelopesender": "give the envelope's sender with each message: send(message, sender=...)",
}


def read(asked: Asked) -> Found:
    """The account of `git send-email`; `account` is an identity of it, `source` a file for `git config`.

    Raises:
        ConfigurationError: git is not there, or says nothing of a server.
    """
    everything = list(_asked_git(asked.source))
    identity = asked.account or dict(everything).get("sendemail.identity")
    said = _of_identity(everything, identity=identity)
    where = f"git's configuration{f' {one_line(asked.source)}' if asked.source else ''}"
    where += f", identity {one_line(identity)}" if identity else ""
    server = said.get("smtpserver", "")
    _refuse_program(server, command=said.get("sendmailcmd"), where=where)
    security = _SECURITY.get(said.get("smtpencryption", ""), Security.PLAINTEXT)
    username = said.get("smtpuser") or None
    return Found(
        where=where,
        host=server,
        port=whole_number(said.get("smtpserverport"), name="sendemail.smtpServerPort"),
        usual_port=SUBMISSIONS if security is Security.IMPLICIT_TLS else RELAY,
        security=security,
        username=username,
        password=said.get("smtppass") or None,
        sender=said.get("from"),
        tls_ca=_file_of_certificates(said),
        notes=(*_notes(said), *_others(everything, identity=identity)),
        how_to_get_password=None if said.get("smtppass") else _ASK_HELPER,
    )


_ASK_HELPER = (
    "git has no password there and asks its credential helper, or you: put it into a file that only you can "
    "read, and its path into PORTMAIL_PASSWORD_FILE"
)


def _asked_git(file: str | None) -> Iterator[tuple[str, str]]:
    """Keys (section and last part in small letters) and values, in git's order: the last one wins."""
    which = ["--includes", "--file", file] if file else []
    if file:
        with told_if_unreadable(file, what="git"):
            Path(file).stat()
    try:
        told = subprocess.run(  # noqa: S603
            ["git", "config", *which, "-z", "--get-regexp", r"^sendemail\."],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigurationError("there is no program git here") from None
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        raise ConfigurationError(f"git config did not work: {type(exc).__name__}") from None
    if told.returncode == 1 and not told.stderr:
        raise NothingFound("git's configuration says nothing of sendemail")
    if told.returncode:
        raise ConfigurationError(
            f"git config did not work: {one_line(told.stderr.decode('utf-8', 'replace'))}"
        )
    for entry in filter(None, told.stdout.decode("utf-8", "surrogateescape").split("\0")):
        key, newline, value = entry.partition("\n")
        yield key, value if newline else "true"


def _of_identity(everything: list[tuple[str, str]], *, identity: str | None) -> Mapping[str, str]:
    """What counts: an identity's own settings, then those for all."""
    common = {key.split(".", 1)[1]: value for key, value in everything if key.count(".") == 1}
    if identity is None:
        return common
    head = f"sendemail.{identity}"
    own = {key[len(head) + 1 :]: value for key, value in everything if key.rpartition(".")[0] == head}
    if not own:
        raise NothingFound(f"git knows no identity {one_line(identity)}: {_identities(everything) or 'none'}")
    return common | own


def _identities(everything: list[tuple[str, str]]) -> str:
    return listed({key.split(".", 1)[1].rpartition(".")[0] for key, _ in everything if key.count(".") > 1})


def _others(everything: list[tuple[str, str]], *, identity: str | None) -> Iterator[str]:
    own = f"sendemail.{identity}"
    if names := _identities([(key, value) for key, value in everything if key.rpartition(".")[0] != own]):
        yield f"this is one identity; the others: --account with {names}"


def _refuse_program(server: str, *, command: str | None, where: str) -> None:
    if command or server.startswith("/"):
        name = "sendmailCmd" if command else one_line(server)  # a command may have a password in itself
        raise NothingFound(
            f"{where} names a program to send with ({name}), and no server: "
            "read the settings of that program (--from msmtp, if it is msmtp)"
        )
    if not server:
        raise NothingFound(f"{where} has no smtpServer: git uses the sendmail program of this machine")


def _file_of_certificates(said: Mapping[str, str]) -> str | None:
    path = said.get("smtpsslcertpath")
    full = absolute(path) if path else ""
    return full if full and not Path(full).is_dir() else None


def _notes(said: Mapping[str, str]) -> Iterator[str]:
    path = said.get("smtpsslcertpath")
    if path == "":
        yield "WARNING: smtpSSLCertPath is empty: git does not verify the server. portmail always does"
    elif path and _file_of_certificates(said) is None:
        yield f"smtpSSLCertPath is the directory {path}: portmail takes one file (PORTMAIL_CA)"
    if (mode := said.get("smtpencryption", "")) not in (*_SECURITY, "", "none"):
        yield f"WARNING: smtpEncryption is {mode!r}, which means no TLS to git: it knows tls and ssl"
    if said.get("smtppass") and not said.get("smtpuser"):
        yield "smtpPass without smtpUser is not used by git: left out"
    yield from left_behind(said, _LEFT)
    rest = set(said) - {*_CARRIED, *_LEFT}
    if rest:
        yield f"these are about git send-email itself and stay there: {listed(rest)}"
