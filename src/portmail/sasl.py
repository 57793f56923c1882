"""How are credentials put into words? The SASL mechanisms as data, without I/O (RFC 4422, RFC 4954)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from portmail.security import SecretKind

Step: TypeAlias = Callable[[bytes, bytes, bytes], bytes]
"""(user name, secret, challenge) -> response, all before base64."""


class Mechanism(NamedTuple):
    """A mechanism: what it carries, and the responses it gives, one a step.

    Where `speaks_first`, the first response goes with the AUTH command (RFC 4954 section 4).
    """

    name: str
    kind: SecretKind
    speaks_first: bool
    steps: tuple[Step, ...]


def _plain(username: bytes, secret: bytes, _: bytes) -> bytes:  # RFC 4616
    return b"\0" + username + b"\0" + secret


def _username(username: bytes, _: bytes, __: bytes) -> bytes:
    return username


def _secret(_: bytes, secret: bytes, __: bytes) -> bytes:
    return secret


def _cram_md5(username: bytes, secret: bytes, challenge: bytes) -> bytes:  # RFC 2195
    return username + b" " + hmac.new(secret, challenge, "md5").hexdigest().encode()


def _bearer(username: bytes, secret: bytes, _: bytes) -> bytes:
    return b"user=" + username + b"\x01auth=Bearer " + secret + b"\x01\x01"


def _nothing(_: bytes, __: bytes, ___: bytes) -> bytes:
    # A refused token comes as a challenge that holds the reason; the empty response asks for the reply.
    return b""


MECHANISMS = (
    # Under proven TLS, PLAIN is best: servers can store the password hashed, which CRAM-MD5 forbids.
    Mechanism("PLAIN", SecretKind.PASSWORD, speaks_first=True, steps=(_plain,)),
    Mechanism("LOGIN", SecretKind.PASSWORD, speaks_first=False, steps=(_username, _secret)),
    Mechanism("CRAM-MD5", SecretKind.PASSWORD, speaks_first=False, steps=(_cram_md5,)),
    Mechanism("XOAUTH2", SecretKind.TOKEN, speaks_first=True, steps=(_bearer, _nothing)),
)
"""What portmail speaks, in order of preference."""


def choose(offered: Iterable[str], *, kind: SecretKind) -> Mechanism | None:
    """The one mechanism for this kind of secret; None where nothing offered fits.

    There is no second choice after a refusal: each try is a failed login on the server's count.
    """
    names = {name.upper() for name in offered}
    return next((m for m in MECHANISMS if m.kind is kind and m.name in names), None)
