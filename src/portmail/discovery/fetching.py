"""What does an https server say? One GET, a few redirects, all of it bounded in octets and in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import quote, urljoin, urlsplit

from portmail.candidate import Answer
from portmail.cause import FACTS, Cause
from portmail.dialing import dial
from portmail.discovery.foreign import Unfit, proper_host
from portmail.discovery.outside import Missed, Page
from portmail.discovery.tls_line import Line, TooMuch
from portmail.errors import CertificateFileError, InvalidRoute
from portmail.failure import RouteFailed
from portmail.offloading import in_a_daemon_thread, room_for_descriptors
from portmail.route import Route
from portmail.security import Security
from portmail.transports.tls import cause_of, verified_context

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 5.0
"""What a fetch may take, all redirects included."""

REDIRECTS = 5

LONGEST = 256 * 1024
"""Octets of a body that is taken."""

_HEADERS = 64 * 1024
"""Octets beside the body that are read: the headers, and how the body is cut into pieces."""

_MOVED = frozenset((301, 302, 303, 307, 308))

_GONE = frozenset((404, 410))

_LATER = frozenset((408, 425, 429))
"""Refusals that are not for good (RFC 9110, RFC 8470, RFC 6585)."""

_ANSWERS: Mapping[int, Answer] = {
    2: Answer.UNUSABLE,
    3: Answer.UNUSABLE,
    4: Answer.ABSENT,
    5: Answer.UNANSWERED,
}
"""What a status means by its first digit, where nothing else is said of it."""

_PATH = "%/:=&?~+!$,;'@()*[]"
"""Characters that stand as they are in the path and query of a URL (RFC 3986)."""

_LONGEST_URL = 2048


class _Place(NamedTuple):
    """What an https URL names; `target` is its path and query, in visible ASCII."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.authority}{self.target}"


class _Reply(NamedTuple):
    """A body, or where to go on."""

    body: bytes = b""
    location: str | None = None


async def fetch(url: str, *, tls_ca: Path | None, seconds: float) -> Page:
    """GET what is behind an https URL, from a server that proves its name, after at most 5 redirects.

    `tls_ca` is a PEM file or directory of certificates that count beside the system's (or those that
    SSL_CERT_FILE names). `seconds` is what everything may take.

    Raises:
        Missed: there is no such host or page, what is there cannot be used, the server could not prove
            its name, or nobody knows just now.
    """
    hops = [_place(url, base="")]
    try:
        async with asyncio.timeout(seconds):
            until = time.monotonic() + seconds
            while (reply := await _get(hops[-1], tls_ca=tls_ca, until=until)).location is not None:
                hops.append(_next(reply.location, hops=hops))
    except TimeoutError:
        raise _late(hops[-1].host) from None
    return Page(reply.body, tuple(hop.url for hop in hops))


def _next(location: str, *, hops: list[_Place]) -> _Place:
    """Where a redirect leads."""
    here = hops[-1]
    place = _place(location, base=here.url)
    if place.host != here.host:
        try:
            proper_host(place.host)
        except Unfit:  # nobody is to have us knock at the doors of this machine, or of its network
            raise Missed(Answer.UNUSABLE, f"{here.host} redirects to what is no host name") from None
    if place in hops:
        raise Missed(Answer.UNUSABLE, f"{here.host} redirects in a circle")
    if len(hops) > REDIRECTS:
        raise Missed(Answer.UNUSABLE, f"more than {REDIRECTS} redirects")
    return place


def _place(url: str, *, base: str) -> _Place:
    """What the URL names, seen from `base`: https alone, no fragment, never with a user or a password."""
    says = f"{urlsplit(base).hostname} redirects" if base else "the URL leads"
    try:
        if len(url) > _LONGEST_URL:
            raise ValueError
        parts = urlsplit(urljoin(base, url))
        if parts.scheme != "https":
            kind = "http" if parts.scheme == "http" else "something else than https"
            raise Missed(Answer.UNUSABLE, f"{says} to {kind}, which is never used")
        if "@" in parts.netloc:
            raise Missed(Answer.UNUSABLE, f"{says} to a place that wants a user name in the URL")
        port = 443 if parts.port is None else parts.port
        host = Route(parts.hostname or "", port, Security.IMPLICIT_TLS).host
        query = f"?{parts.query}" if parts.query else ""
        return _Place(host, port, quote(f"{parts.path or '/'}{query}", safe=_PATH))
    except (ValueError, InvalidRoute):
        raise Missed(Answer.UNUSABLE, f"{says} to what is no URL of a host") from None


async def _get(place: _Place, *, tls_ca: Path | None, until: float) -> _Reply:
    """Ask one server. Its TLS and its answer are read in a thread, which ends soon if nobody waits."""
    try:
        route = Route(place.host, place.port, Security.IMPLICIT_TLS)
        sock = await dial(route, seconds=until - time.monotonic())
    except RouteFailed as exc:
        raise _unreached(exc.failure.cause, host=place.host) from None
    except OSError:
        raise Missed(Answer.UNANSWERED, f"{place.host}: nothing can be connected just now") from None
    try:
        return await in_a_daemon_thread(lambda: _ask(place, sock=sock, tls_ca=tls_ca, until=until))
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):  # it is over already
            sock.shutdown(socket.SHUT_RDWR)
        raise


def _unreached(cause: Cause, *, host: str) -> Missed:
    if cause is Cause.NAME_NOT_FOUND:
        return Missed(Answer.ABSENT, f"the name {host} does not exist")
    answer = Answer.REFUSED if cause is Cause.REFUSED else Answer.UNANSWERED
    return Missed(answer, f"{host}: {FACTS[cause].words}")


def _ask(place: _Place, *, sock: socket.socket, tls_ca: Path | None, until: float) -> _Reply:
    """Put the question and hear the answer; the socket is closed then. For a thread of its own."""
    host = place.host
    try:
        with sock:
            room_for_descriptors()  # a trust store that cannot be read would be kept, and trust nobody
            context = verified_context(tls_ca=tls_ca)
            line = Line(sock, context=context, host=host, until=until, most=LONGEST + _HEADERS)
            line.write(_request(place))
            response = HTTPResponse(cast("socket.socket", line), method="GET")
            with response:
                response.begin()
                return _Reply(location=_location(response)) if _moves(response) else _body(response)
    except CertificateFileError as exc:
        raise Missed(Answer.UNANSWERED, str(exc)) from None
    except TooMuch:
        raise _too_long() from None
    except TimeoutError:
        raise _late(host) from None
    except (OSError, EOFError, IncompleteRead) as exc:
        raise _broken(exc, host=host) from None
    except (HTTPException, ValueError):
        raise Missed(Answer.UNUSABLE, f"{host} answers, but not as HTTP has it") from None


def _request(place: _Place) -> bytes:
    lines = (
        f"GET {place.target} HTTP/1.1",
        f"Host: {place.authority}",
        "User-Agent: portmail",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def _late(host: str) -> Missed:
    return Missed(Answer.UNANSWERED, f"{host}: no answer in time")


def _broken(exc: Exception, *, host: str) -> Missed:
    """TLS said no, or the connection ended too early."""
    told = cause_of(exc)
    if told is None:
        return Missed(Answer.UNANSWERED, f"{host}: {FACTS[Cause.LOST].words}")
    cause, words = told
    return Missed(Answer.UNPROVEN, f"{host}: {FACTS[cause].words}: {words}")


def _moves(response: HTTPResponse) -> bool:
    """Whether it is a redirect.

    Raises:
        Missed: it is neither that nor a page.
    """
    status = response.status
    if status == 200:
        return False
    if status in _MOVED:
        return True
    if status in _GONE:
        raise Missed(Answer.ABSENT, f"{status}: nothing there", status=status)
    answer = Answer.UNANSWERED if status in _LATER else _ANSWERS.get(status // 100, Answer.UNUSABLE)
    known = status in HTTPStatus.__members__.values()
    said = f"{status}: {HTTPStatus(status).phrase.lower()}" if known else f"status {status}"
    raise Missed(answer, said, status=status)


def _location(response: HTTPResponse) -> str:
    location = response.getheader("Location")
    if not location:
        raise Missed(Answer.UNUSABLE, f"{response.status}: a redirect to nowhere")
    # http.client reads octets as Latin-1; where they are not ASCII they are meant as UTF-8.
    return location.encode("latin-1", "replace").decode("utf-8", "replace")


def _body(response: HTTPResponse) -> _Reply:
    encoding = response.getheader("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Missed(Answer.UNUSABLE, "the answer is compressed, though it was asked for as it is")
    if (response.length or 0) > LONGEST:
        raise _too_long()
    body = response.read(LONGEST + 1)
    if len(body) > LONGEST:
        raise _too_long()
    if response.length:  # the server closed the connection before all of it was there
        raise EOFError
    return _Reply(body)


def _too_long() -> Missed:
    return Missed(Answer.UNUSABLE, f"the answer is longer than {LONGEST // 1024} KiB")
