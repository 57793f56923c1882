"""Who is the client? The server's half of the SASL mechanisms (RFC 4954, RFC 4422).

A mechanism is a generator: it yields challenges, is sent responses, and returns the name of the
user who proved to be one, or None.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Exchange = Generator[bytes, bytes, str | None]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who may log in: passwords and OAuth 2 tokens by user name, looked up at every AUTH."""

    users: Mapping[str, str]
    tokens: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.users or self.tokens)

    def password_fits(self, username: str, *, password: bytes) -> bool:
        """Whether these octets are the user's password."""
        return _same(self.users.get(username), password)

    def token_fits(self, username: str, *, token: bytes) -> bool:
        """Whether these octets are the user's token."""
        return _same(self.tokens.get(username), token)


def plain(accounts: Accounts, initial: bytes | None) -> Exchange:
    """PLAIN, RFC 4616: authorization identity, NUL, user name, NUL, password."""
    message = initial if initial is not None else (yield b"")
    identity, _, rest = message.partition(b"\0")
    name, _, password = rest.partition(b"\0")
    fits = accounts.password_fits(_text(name), password=password)
    return _text(name) if fits and identity in {b"", name} else None


def login(accounts: Accounts, initial: bytes | None) -> Exchange:
    """LOGIN, never a standard: two questions. Some clients answer the first one in advance."""
    name = initial if initial is not None else (yield b"Username:")
    password = yield b"Password:"
    return _text(name) if accounts.password_fits(_text(name), password=password) else None


def cram_md5(accounts: Accounts, _initial: bytes | None) -> Exchange:
    """CRAM-MD5, RFC 2195: a keyed digest of our challenge."""
    challenge = f"<{secrets.token_hex(8)}@localhost>".encode()
    response = yield challenge
    name, _, digest = response.rpartition(b" ")
    password = accounts.users.get(_text(name))
    if password is None:
        return None
    expected = hmac.new(_octets(password), challenge, "md5").hexdigest()
    return _text(name) if hmac.compare_digest(expected.encode(), digest) else None


def xoauth2(accounts: Accounts, initial: bytes | None) -> Exchange:
    """XOAUTH2, as the large providers speak it: user and bearer token, set apart by Control-A."""
    message = initial if initial is not None else (yield b"")
    parts = (field.partition(b"=") for field in message.split(b"\x01"))
    fields = {key: value for key, _, value in parts}
    name, token = _text(fields.get(b"user", b"")), fields.get(b"auth", b"")
    if token.startswith(b"Bearer ") and accounts.token_fits(name, token=token[7:]):
        return name
    # The refusal comes as a challenge; the client answers it with nothing.
    yield json.dumps({"status": "401", "schemes": "bearer", "scope": "sandbox"}).encode()
    return None


MECHANISMS: Mapping[str, Callable[[Accounts, bytes | None], Exchange]] = MappingProxyType(
    {"CRAM-MD5": cram_md5, "PLAIN": plain, "LOGIN": login, "XOAUTH2": xoauth2}
)
"""All that the sandbox speaks, in the order in which it offers them."""

SERVER_FIRST = frozenset({"CRAM-MD5"})
"""Mechanisms without an initial response: RFC 4954 section 4 wants 501 when one is sent."""


def offered(mechanisms: tuple[str, ...], accounts: Accounts) -> tuple[str, ...]:
    """The mechanisms by which somebody could log in."""
    served = {"XOAUTH2": bool(accounts.tokens)}
    return tuple(name for name in mechanisms if served.get(name, bool(accounts.users)))


def decoded(line: bytes) -> bytes:
    """The octets that a base64 line stands for; `=` is none at all (RFC 4954 section 4).

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode(line if line != b"=" else b"", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _same(expected: str | None, given: bytes) -> bool:
    return expected is not None and hmac.compare_digest(_octets(expected), given)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
