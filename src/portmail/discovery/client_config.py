"""Which servers does an autoconfig file name? Its XML (draft-ietf-mailmaint-autoconfig-06) as candidates.

Nothing is fetched here. What comes in is foreign: no DOCTYPE is taken, so that no entity can be defined,
namespaces are not resolved, and a file that cannot be read is `Missed`, whatever is wrong with it.
A server without TLS, or on port 25, becomes no candidate itself: its host alone is worth trying, with TLS.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from portmail.candidate import (
    DOMAIN,
    FULL_ADDRESS,
    PLACEHOLDER,
    Answer,
    Candidate,
    Evidence,
    Finding,
    Login,
    Rejection,
    Source,
    Trust,
)
from portmail.discovery.foreign import LONGEST, Unfit, proper_host, shown
from portmail.discovery.outside import Missed, Page
from portmail.errors import InvalidRoute
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS, Route
from portmail.security import Security

MOST = 20
"""Servers that are looked at. The published files have three at most."""

_MODES: Mapping[str, Security] = MappingProxyType(
    {"ssl": Security.IMPLICIT_TLS, "starttls": Security.STARTTLS, "plain": Security.PLAINTEXT}
)
_LOGINS: Mapping[str, Login] = MappingProxyType(
    {
        "password-cleartext": Login.PASSWORD,
        "plain": Login.PASSWORD,
        "login": Login.PASSWORD,
        "password-encrypted": Login.PASSWORD,
        "secure": Login.PASSWORD,
        "cram-md5": Login.PASSWORD,
        "oauth2": Login.OAUTH2,
        "none": Login.NONE,
        "client-ip-address": Login.NONE,
    }
)
"""What the values of <authentication> come to, those of older files too; others are skipped."""

_WITH_TLS = ((SUBMISSIONS, Security.IMPLICIT_TLS), (SUBMISSION, Security.STARTTLS))


@dataclass(frozen=True, slots=True)
class Server:
    """An outgoing server as the file has it: texts, nothing of which has been checked."""

    hostname: str
    port: str
    socket: str
    username: str
    authentication: tuple[str, ...]

    def __str__(self) -> str:
        return shown(f"{self.hostname}:{self.port} {self.socket}".strip())


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a file says about sending. `domains` are in lower case; `left_out` counts servers beyond MOST."""

    domains: frozenset[str]
    servers: tuple[Server, ...]
    left_out: int = 0

    def names(self, domain: str) -> bool:
        """Whether it is about this domain (in A-labels), however it is written there."""
        try:
            unicode = domain.encode("ascii").decode("idna").lower()
        except UnicodeError:
            unicode = domain
        return not self.domains.isdisjoint((domain, unicode))


def read(body: bytes) -> ClientConfig:
    """The file as a value. A version is not asked for: every one has been readable so far.

    Raises:
        Missed: it is no such file, or names no outgoing server.
    """
    root = _tree(_as_xml(body))
    if root.tag != "clientConfig":
        web_page = root.tag.lower() == "html"
        raise Missed(Answer.UNUSABLE, _WEB_PAGE if web_page else f"its root is {shown(root.tag)}")
    outgoing = root.iterfind("emailProvider/outgoingServer")
    servers = [element for element in outgoing if element.get("type", "").lower() == "smtp"]
    if not servers:
        raise Missed(Answer.ABSENT, "a configuration that names no outgoing server")
    return ClientConfig(
        frozenset(_text(element).lower() for element in root.iterfind("emailProvider/domain")),
        tuple(_server(element) for element in servers[:MOST]),
        max(0, len(servers) - MOST),
    )


_WEB_PAGE = "a web page, not a configuration"


def _as_xml(body: bytes) -> bytes:
    """The file in an encoding that extends ASCII, from its first character on."""
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = body.decode("utf-16", "replace").lstrip()
        # What it says about its encoding is no longer true.
        body = re.sub(r"\A<\?xml[^>]*\?>", "<?xml version='1.0'?>", text, count=1).encode("utf-8", "replace")
    body = body.removeprefix(BOM_UTF8).lstrip()
    if not body.startswith((b"<?xml", b"<clientConfig")):
        raise Missed(Answer.UNUSABLE, _WEB_PAGE)
    # Seen here, since expat reads on to the end, and would expand, whatever a handler raises. It takes no
    # encoding but UTF-16 in which a DOCTYPE has other octets.
    if b"<!DOCTYPE" in body:
        _refuse_doctype()
    return body


def _refuse_doctype(*_: object) -> NoReturn:
    raise Missed(Answer.UNUSABLE, "it has a DOCTYPE, which is refused")


def _tree(body: bytes) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()  # with no separator: it resolves no namespaces, which could grow names
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)  # noqa: FBT003 - it takes no keywords
        return builder.close()
    except Missed:
        raise
    except (expat.ExpatError, ParseError) as exc:
        raise Missed(Answer.UNUSABLE, shown(f"no well-formed XML: {exc}")) from None
    except Exception as exc:  # unknown encodings fail in many ways
        raise Missed(Answer.UNUSABLE, f"no well-formed XML: {type(exc).__name__}") from exc


def _text(element: Element | None) -> str:
    return ((element.text if element is not None else None) or "").strip()


def _server(element: Element) -> Server:
    return Server(
        hostname=_text(element.find("hostname")),
        port=_text(element.find("port")),
        socket=_text(element.find("socketType")),
        username=_text(element.find("username")),
        authentication=tuple(filter(None, map(_text, element.iterfind("authentication")))),
    )


def offers(
    config: ClientConfig, *, domain: str, source: Source, trust: Trust
) -> tuple[tuple[Candidate, ...], tuple[Rejection, ...]]:
    """The candidates in the file's order, and what cannot be used.

    `domain` is that of the address, in A-labels. A server without TLS or on port 25 is rejected; its host
    comes as two derived candidates, unless the file lists it with TLS as well.
    """
    found: list[Candidate] = []
    rejected: list[Rejection] = []
    for server in config.servers:
        try:
            candidates = _candidates(server, domain=domain, source=source, trust=trust)
        except (Unfit, InvalidRoute) as exc:
            rejected.append(Rejection(str(server), source, str(exc)))
            continue
        found += candidates
        if why := candidates[0].derived:
            rejected.append(Rejection(str(server), source, why))
    if config.left_out:
        many = f"{config.left_out} more servers"
        rejected.append(Rejection(many, source, f"no more than {MOST} are looked at"))
    return tuple(_distinct(found)), tuple(rejected)


def _distinct(found: Sequence[Candidate]) -> Iterator[Candidate]:
    """Each route once, and hosts with derived ports only where none is listed."""
    listed = {candidate.route.host for candidate in found if not candidate.derived}
    seen: set[Route] = set()
    for candidate in found:
        if candidate.route not in seen and not (candidate.derived and candidate.route.host in listed):
            seen.add(candidate.route)
            yield candidate


def _candidates(server: Server, *, domain: str, source: Source, trust: Trust) -> list[Candidate]:
    """The one that the file lists, or those that are worth trying on its host."""
    security = _MODES.get(server.socket.lower())
    if security is None:
        raise Unfit(f"its socketType is {shown(server.socket) or 'missing'}")
    host = proper_host(server.hostname.replace(DOMAIN, domain))
    port = _port(server.port)
    username, logins = _username(server.username), _logins(server.authentication)
    derived = ""
    if not security.encrypted:
        derived = "listed without TLS"
    elif port == RELAY:
        derived = "listed on port 25, which is not for submission"
    return [
        Candidate(Route(host, at, mode), source, trust, username, logins, derived)
        for at, mode in (_WITH_TLS if derived else ((port, security),))
    ]


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise Unfit("its port is no number from 1 to 65535")
    return int(text)


def _username(text: str) -> str:
    if not text:
        return FULL_ADDRESS
    if len(text) > LONGEST or not text.isprintable():
        raise Unfit("its username is too long, or has control characters")
    if "%" in PLACEHOLDER.sub("", text):
        raise Unfit(f"its username is made of what is unknown: {shown(text)}")
    return text


def _logins(values: Sequence[str]) -> frozenset[Login]:
    logins = frozenset(_LOGINS[value.lower()] for value in values if value.lower() in _LOGINS)
    if values and not logins:
        raise Unfit(shown(f"it takes only {', '.join(values[:MOST])}"))
    return logins


def told(
    config: ClientConfig, *, page: Page, domain: str, source: Source, trust: Trust, asked: str
) -> Finding:
    """What came of asking for the file at the URL `asked`."""
    candidates, rejected = offers(config, domain=domain, source=source, trust=trust)
    hosts = dict.fromkeys(candidate.route.host for candidate in candidates)
    answer = Answer.FOUND if candidates else Answer.UNUSABLE
    said = shown(f"names {', '.join(hosts)}") if hosts else "names no server that can be used"
    if len(page.hops) > 1:
        said += f", redirected to {shown(urlsplit(page.hops[-1]).hostname or '')}"
    return Finding(candidates, rejected, (Evidence(source, asked, answer, said, trust),))


def missing(missed: Missed, *, source: Source, asked: str) -> Finding:
    """What came of a question that had no answer of use: anybody may have denied the name."""
    return Finding(evidence=(Evidence(source, asked, missed.answer, missed.said, Trust.UNSIGNED),))
