"""What does an msmtprc say of its account? Read as msmtp(1) documents it; no command of it is run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from portmail.errors import ConfigurationError
from portmail.importing.found import (
    Asked,
    Found,
    NothingFound,
    absolute,
    left_behind,
    one_line,
    read_text,
    whole_number,
)
from portmail.importing.msmtprc import accounts, chosen, is_on, others
from portmail.route import RELAY, SUBMISSIONS
from portmail.security import Security

_TOKENS = ("oauthbearer", "xoauth2")

_NO_PASSWORD = ("external", "gssapi")

_ELSEWHERE = "is not known to portmail: not carried over"

_OWN_CHOICE = "portmail chooses this itself: not carried over"

_LEFT = {
    "source_ip": _ELSEWHERE,
    "proxy_host": "a proxy is not known to portmail: without it this server may be out of reach",
    "domain": "is what is said in EHLO: give local_hostname= in Python",
    "maildomain": "write whole addresses, or set PORTMAIL_ALIASES for `portmail sendmail`",
    "ntlmdomain": "NTLM is not known to portmail: not carried over",
    "tls_crl_file": _ELSEWHERE,
    "tls_fingerprint": "WARNING: portmail trusts no fingerprint, but authorities: if the certificate is "
    "signed by itself, set PORTMAIL_CA to a file with it",
    "tls_key_file": "goes with client_cert= in Python",
    "tls_cert_file": "a client certificate is no environment variable: give client_cert= in Python",
    "tls_priorities": _OWN_CHOICE,
    "tls_min_dh_prime_bits": _OWN_CHOICE,
    "tls_host_override": "the certificate is verified for the host's own name: not carried over",
    "auto_from": "write the sender into PORTMAIL_FROM",
    "dsn_notify": _ELSEWHERE,
    "dsn_return": _ELSEWHERE,
    "undisclosed_recipients": "the header stays as it is written: not carried over",
    "logfile": "see portmail's log",
    "logfile_time_format": "see portmail's log",
    "syslog": "see portmail's log",
    "aliases": "`portmail sendmail` reads such a file where PORTMAIL_ALIASES names it",
}

_USUAL_VALUES = {
    "timeout": ("off", ""),
    "set_from_header": ("auto", "off"),
    "add_missing_from_header": ("on", "off", ""),
    "set_date_header": ("auto",),
    "add_missing_date_header": ("on", ""),
    "set_msgid_header": ("auto",),
    "remove_bcc_headers": ("on", ""),
    "allow_from_override": ("on",),
    "protocol": ("smtp",),
    "keepbcc": ("off",),
}
"""What changes nothing; another value is told."""

_CARRIED = (
    *("host", "port", "socket", "proxy_port", "from"),
    *("tls", "tls_starttls", "tls_trust_file", "tls_certcheck"),
    *("auth", "user", "password", "passwordeval"),
)


def read(asked: Asked) -> Found:
    """The account of an msmtprc: `account`, the default one, or the only one.

    Raises:
        ConfigurationError: the file cannot be read or understood, or has no such account.
    """
    path = asked.source or _usual_file()
    known = accounts(read_text(path, what="msmtp"), where=one_line(path))
    name = chosen(known, name=asked.account, where=one_line(path))
    said = known[name]
    where = f"{one_line(path)}, account {one_line(name)}"
    _refuse_other_ways(said, where=where)
    tls = is_on(said, "tls", default="off")
    implicit = tls and not is_on(said, "tls_starttls", default="on")
    security = Security.IMPLICIT_TLS if implicit else Security.STARTTLS if tls else Security.PLAINTEXT
    auth = said.get("auth", "off")
    logs_in = auth not in ("off", *_NO_PASSWORD) and bool(said.get("user"))
    password = said.get("password") if logs_in and auth not in _TOKENS else None
    return Found(
        where=where,
        host=said["host"],
        port=whole_number(said.get("port"), name=f"{where}: port"),
        usual_port=SUBMISSIONS if implicit else RELAY,
        security=security,
        username=said.get("user") if logs_in else None,
        password=password or None,
        sender=_sender(said),
        tls_ca=_file_of_certificates(said) if tls else None,
        notes=(*_notes(said, tls=tls, auth=auth), *others(known, name=name)),
        how_to_get_password=None if password else _how_to_get_password(said, auth=auth),
    )


def _usual_file() -> str:
    """The file that msmtp itself would read for this user."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    paths = ("~/.msmtprc", f"{config}/msmtp/config")
    for path in paths:
        if Path(path).expanduser().exists():
            return path
    raise ConfigurationError(f"there is neither {paths[0]} nor {one_line(paths[1])}: name the file")


def _refuse_other_ways(said: Mapping[str, str], *, where: str) -> None:
    if said.get("protocol", "smtp") != "smtp":
        raise NothingFound(f"{where} speaks {one_line(said['protocol'])}, which is not for submission")
    if said.get("socket"):
        raise NothingFound(f"{where} goes to a socket of this machine: portmail goes to a host and a port")
    if not said.get("host"):
        raise NothingFound(f"{where} names no host")


def _sender(said: Mapping[str, str]) -> str | None:
    sender = said.get("from")
    return None if not sender or _pattern(sender) else sender


def _pattern(sender: str) -> bool:
    """Whether it has to be filled in by msmtp: %U, %H and such, or the * of a pattern."""
    return bool(re.search(r"%[UHCM]|[?*\[]", sender))


def _file_of_certificates(said: Mapping[str, str]) -> str | None:
    path = said.get("tls_trust_file", "system")
    if path in ("system", "") or not is_on(said, "tls_certcheck", default="on"):
        return None
    return absolute(path)


def _notes(said: Mapping[str, str], *, tls: bool, auth: str) -> Iterator[str]:
    if not is_on(said, "tls_certcheck", default="on"):
        yield "WARNING: tls_certcheck is off: msmtp does not verify the server. portmail always does"
    elif said.get("tls_trust_file") == "" and tls:
        yield "WARNING: tls_trust_file is empty: msmtp trusts no authority. portmail trusts the system's"
    elif tls and _file_of_certificates(said):
        yield "tls_trust_file: to msmtp it is all there is; PORTMAIL_CA adds to what the system trusts"
    yield from _notes_on_login(said, auth=auth)
    if _pattern(said.get("from", "")):
        yield f"from {said['from']} is a pattern: write an address into PORTMAIL_FROM"
    yield from left_behind(said, _LEFT)
    for command, harmless in _USUAL_VALUES.items():
        if said.get(command, harmless[0]) not in harmless:
            yield f"{command} {said[command]}: {_INSTEAD.get(command, 'is not carried over')}"
    if unknown := set(said) - {*_CARRIED, *_LEFT, *_USUAL_VALUES}:  # not named: it may be a stray password
        yield f"commands that are not known here, and not carried over: {len(unknown)}"


_INSTEAD = {
    "timeout": "is no environment variable: give timeouts= in Python",
    "set_from_header": "a From header that is there stays as it is",
}


def _notes_on_login(said: Mapping[str, str], *, auth: str) -> Iterator[str]:
    if auth == "off" and said.get("user"):
        yield "auth is off: msmtp does not log in, so user and password are left out"
    elif auth in _NO_PASSWORD:
        yield f"WARNING: auth {auth} is not known to portmail: nobody logs in"
    elif auth != "off" and not said.get("user"):
        yield "WARNING: auth without user: msmtp asks for it. Write it into the URL, before the host and an @"
    elif auth not in ("on", "", "off", *_TOKENS):
        yield f"auth {auth}: portmail chooses the mechanism itself, on verified TLS only"


def _how_to_get_password(said: Mapping[str, str], *, auth: str) -> str:
    if auth in _TOKENS:
        return (
            f"auth {auth} wants a token: in Python, give token= with what fetches it (no variable holds one)"
        )
    if not said.get("passwordeval"):
        return (
            "the password is not in the file (msmtp asks the keyring, ~/.netrc, or you): put it into a file "
            "that only you can read, and its path into PORTMAIL_PASSWORD_FILE"
        )
    # Which is not shown: many a command has the password in itself.
    return (
        "the password comes from the command of passwordeval, which portmail does not run. To write it into "
        "a file: (umask 077; THAT COMMAND > portmail-password), then PORTMAIL_PASSWORD_FILE with its path"
    )
