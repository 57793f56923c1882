"""What does https://ua-auto-config.DOMAIN say? PACC, draft-ietf-mailmaint-pacc: a draft, asked only on wish.

As revisions -01 to -03 have it: a JSON file at a well-known URL, which counts only if a TXT record of
_ua-auto-config.DOMAIN has the SHA-256 of its very octets. The host for submission is `smtp` up to -02 and
`submit` in -03; both are read. It is spoken to by implicit TLS on port 465, the only mode there is.
`authentication` says whether passwords are taken, or OAuth 2 for public clients.

Not certain: whether -04 changes any of it, and the user name, of which the file says nothing; the full
address is used. Redirects are followed as for every https source.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterable, Mapping
from typing import Any

from portmail.candidate import (
    FULL_ADDRESS,
    Answer,
    Candidate,
    Evidence,
    Finding,
    Login,
    Rejection,
    Source,
    Trust,
)
from portmail.discovery.client_config import missing
from portmail.discovery.foreign import Unfit, proper_host, shown
from portmail.discovery.outside import Missed, Outside
from portmail.route import SUBMISSIONS, Route
from portmail.security import Security

_SERVICES = ("submit", "smtp")
"""What sending is called, the newer revision first."""


async def find(domain: str, *, outside: Outside) -> Finding:
    """The servers that the file names. `domain` is in A-labels, lower case."""
    url = f"https://ua-auto-config.{domain}/.well-known/user-agent-configuration.json"
    name = f"_ua-auto-config.{domain}"
    asked = url
    try:
        body = (await outside.fetch(url)).body
        asked = f"TXT {name}"
        _prove(body, records=(await outside.txt(name)).records)
        asked = url
        return _finding(read(body), asked=(url, f"TXT {name}"))
    except Missed as missed:
        return missing(missed, source=Source.PACC, asked=asked)


def _prove(body: bytes, *, records: Iterable[bytes]) -> None:
    digest = hashlib.sha256(body).digest()
    if not any(digest == _digest(record) for record in records):
        raise Missed(Answer.UNUSABLE, "no record with the digest of the configuration")


def _digest(record: bytes) -> bytes | None:
    """What a record like `v=UAAC1; a=sha256; d=...` says, None where it is another."""
    pairs = (tag.partition("=") for tag in record.decode("ascii", "replace").split(";"))
    tags = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if (tags.get("v", "").upper(), tags.get("a", "").lower()) != ("UAAC1", "sha256"):
        return None
    try:
        return b64decode(tags.get("d", ""), validate=True)
    except (NoBase64, ValueError):
        return None


def read(body: bytes) -> Mapping[str, Any]:
    """The JSON object. Numbers in it are None: nothing that is read here is one.

    Raises:
        Missed: it is none, or has a name twice, of which each reader would see another.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_nothing,
            parse_float=_nothing,
            parse_constant=_nothing,
        )
    except (ValueError, RecursionError) as exc:
        twice = isinstance(exc, _Twice)
        said = "a name is in it twice" if twice else "no well-formed JSON"
        raise Missed(Answer.UNUSABLE, said) from None
    if not isinstance(value, dict) or not isinstance(value.get("protocols"), dict):
        raise Missed(Answer.UNUSABLE, "not a configuration: it has no protocols")
    return value


class _Twice(ValueError):
    """A name is in an object twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _Twice
    return value


def _nothing(_: str) -> None:
    """A number may have more digits than can be read in short time."""


def _finding(config: Mapping[str, Any], *, asked: tuple[str, str]) -> Finding:
    named = {key: config["protocols"][key] for key in _SERVICES if key in config["protocols"]}
    if not named:
        raise Missed(Answer.ABSENT, "a configuration that names no outgoing server")
    found: dict[Route, Candidate] = {}
    rejected: list[Rejection] = []
    for server in named.values():
        text = server.get("host") if isinstance(server, dict) else None
        try:
            candidate = _candidate(text, authentication=config.get("authentication"))
            found.setdefault(candidate.route, candidate)
        except Unfit as exc:
            rejected.append(Rejection(shown(str(text)), Source.PACC, str(exc)))
    hosts = ", ".join(route.host for route in found)
    answer = Answer.FOUND if found else Answer.UNUSABLE
    said = shown(f"names {hosts}") if found else "names no server that can be used"
    evidence = (
        Evidence(Source.PACC, asked[0], answer, said, Trust.OWNER),
        Evidence(Source.PACC, asked[1], Answer.FOUND, "the digest of the configuration", Trust.OWNER),
    )
    return Finding(tuple(found.values()), tuple(rejected), evidence)


def _candidate(host: object, *, authentication: object) -> Candidate:
    if not isinstance(host, str):
        raise Unfit("its host is no text")
    route = Route(proper_host(host), SUBMISSIONS, Security.IMPLICIT_TLS)
    return Candidate(route, Source.PACC, Trust.OWNER, FULL_ADDRESS, _logins(authentication))


def _logins(authentication: object) -> frozenset[Login]:
    if not isinstance(authentication, dict):
        return frozenset()
    logins = {Login.PASSWORD} if authentication.get("password") is True else set()
    if isinstance(authentication.get("oauth-public"), dict):
        logins.add(Login.OAUTH2)
    if not logins and authentication.get("password") is False:
        raise Unfit("it takes neither a password nor OAuth 2")
    return frozenset(logins)
