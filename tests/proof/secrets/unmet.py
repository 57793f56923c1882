"""Where may a secret come to light before anything is connected? Wishes that cannot be met, in every door."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from unittest.mock import patch
from urllib.parse import quote

import portmail
from portmail import AsyncSubmitter, Retry, Submitter
from tests.proof.harness.place import HOST, certified
from tests.proof.harness.recorder import PASSWORD, USER

Wish: TypeAlias = Callable[[], object]

_SECRET = quote(PASSWORD, safe="")

_UNMET: Mapping[str, dict[str, Any]] = {
    "no host": {"host": None},
    "a bad host": {"host": "a b"},
    "an address for a host": {"host": f"{USER}:{PASSWORD}@{HOST}"},
    "a bad port": {"port": 99999},
    "a bad security": {"security": "strong"},
    "a weak security": {"security": "plaintext"},
    "routes that are none": {"host": None, "routes": [HOST]},
    "no routes": {"host": None, "routes": []},
    "a password and a token": {"token": PASSWORD},
    "no user name": {"username": None},
    "a bad user name": {"username": "me\0"},
    "a bad sender": {"sender": "me@"},
    "no CA file": {"tls_ca": "/nowhere/ca.pem"},
    "no client certificate": {"client_cert": "/nowhere/me.pem"},
    "a bad name": {"local_hostname": "a b"},
    "bad timeouts": {"timeouts": -1},
    "a bad retry": {"retry": 5},
    "an empty pool": {"pool_size": 0},
    "an unknown wish": {"passwort": PASSWORD},
    "a NUL in the password": {"password": f"{PASSWORD}\0"},
    "octets for a password": {"password": PASSWORD.encode()},
    "half a surrogate": {"password": f"{PASSWORD}\ud800"},
    "nothing wrong": {},
}

_URLS = (
    "submission://me:{}@host:port",
    "submission://me:{}@host:99999",
    "submission://me:{}@",
    "submission://me:{}@a%20b",
    "submission://me:{}@host/path",
    "submission://me:{}@host?what=is",
    "submission://me:{}@host?tls=none",
    "submission://me:{}@host?from=nobody",
    "submission://me:{}@host?ca=/nowhere/ca.pem",
    "submission://me:{}@host#",
    "submission://me:{}@@host",
    "submission://me:%{}@host",
    "submission://:{}@host",
    "submission://me:a/{}@host",
    "submission://me:a#{}@host",
    "submission://me:a?{}@host",
    "submission://me@host:{}",
    "submission://{}",
    "submission://{}/",
    "submission://me:{}",
    "relay://me:{}@host",
    "relay://host?tls={}",
    "smtp+ssl://me:{}@host",
    "http://me:{}@host",
    "auto://me:{}@host",
    "me:{}@host",
    "{}",
    "{}://host",
    "",
    "smtp://me:{}@host",
)

_FILES: Mapping[str, bytes | None] = {
    "no password file": None,
    "an empty password file": b"",
    "a NUL in the password file": f"{PASSWORD}\0\n".encode(),
    "two lines in the password file": f"{PASSWORD}\n\0".encode(),
    "a password file": f"{PASSWORD}\n".encode(),
}


def wishes() -> Iterator[tuple[str, Wish]]:
    """All of them."""
    for door in (AsyncSubmitter, Submitter):
        for name, unmet in _UNMET.items():
            yield f"{door.__name__}: {name}", _made(door, unmet)
            yield f"{door.__name__}: {name}, from the environment", _from_env(door, unmet)
        for url in _URLS:
            yield f"{door.__name__}: {url}", _from_url(door, url)
    for url in _URLS:
        yield f"PORTMAIL_URL: {url}", _from_env(Submitter, {}, PORTMAIL_URL=url.format(_SECRET))
    for name, content in _FILES.items():
        yield name, _with_file(content)
    yield from _sent()


def _made(door: type[AsyncSubmitter | Submitter], unmet: dict[str, Any]) -> Wish:
    good: dict[str, Any] = {"host": HOST, "username": USER, "password": PASSWORD, "retry": Retry()}
    return lambda: door(**(good | unmet))


def _from_url(door: type[AsyncSubmitter | Submitter], url: str) -> Wish:
    def wish() -> object:
        try:
            return door.from_url(url.format(_SECRET))
        finally:
            # As it is where somebody forgot to quote it.
            door.from_url(url.format(PASSWORD))

    return wish


def _from_env(door: type[AsyncSubmitter | Submitter], unmet: dict[str, Any], **environ: str) -> Wish:
    told = {"PORTMAIL_USERNAME": USER, "PORTMAIL_PASSWORD": PASSWORD} | environ

    def wish() -> object:
        given: dict[str, Any] = {} if environ else {"host": HOST}
        with patch.dict(os.environ, told):
            return door.from_env(**(given | unmet))

    return wish


def _with_file(content: bytes | None) -> Wish:
    def wish() -> object:
        with _file(content) as path, patch.dict(os.environ, PORTMAIL_PASSWORD_FILE=str(path)):
            return Submitter.from_env(host=HOST, username=USER)

    return wish


@contextmanager
def _file(content: bytes | None) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "password"
        if content is not None:
            path.write_bytes(content)
        yield path


def _sent() -> Iterator[tuple[str, Wish]]:
    """`portmail.send`, which has the account in its arguments."""
    url = f"submission://me:{_SECRET}@{HOST}:1"
    accounts: Mapping[str, dict[str, Any]] = {
        "by URL": {"url": url, "tls_ca": certified().ca},
        "by arguments": {"host": HOST, "port": 1, "username": USER, "password": PASSWORD},
        "by a bad URL": {"url": f"{url}:port"},
    }
    for name, account in accounts.items():
        for to in ("you@example.net", "nobody", ""):
            yield f"send {name} to {to!r}", _send(account, to)


def _send(account: dict[str, Any], to: str) -> Wish:
    return lambda: portmail.send(to=to, subject="proof", sender=USER, retry=None, timeouts=5, **account)
