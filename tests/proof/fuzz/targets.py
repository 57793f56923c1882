"""What is fuzzed? Every reader of what others wrote, as `name -> function of octets`: one registry.

A target takes any octets, hands them to portmail in the way of its reader, and returns when all that
must be true was true. It raises `Broken` where it was not; anything else that leaves it is foreign.
"""

from __future__ import annotations

import os
import re
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import quote

from portmail import errors, extensions, reply, route, settings, url
from portmail.security import Security

Target: TypeAlias = Callable[[bytes], None]

_GROWTH = 64 * 1024
"""Octets that a reader may keep, whatever a server says."""

_LONG = 1000
"""Octets of a stream that are too many to come one by one."""

_OURS = (errors.ConfigurationError, errors.DiscoveryError, errors.AddressError)
"""What a wish that cannot be met may raise; `AddressError` where a sender is among the wishes."""

_ENCRYPTED = (Security.IMPLICIT_TLS, Security.STARTTLS)


class Broken(Exception):
    """Something is not as it must be."""


def must(claim: str, *, holds: bool) -> None:
    """Say what has to be true.

    Raises:
        Broken: it is not.
    """
    if not holds:
        raise Broken(claim)


def text(octets: bytes) -> str:
    """The octets as the environment and the command line bring them."""
    return octets.decode("utf-8", "surrogateescape")


def fields(octets: bytes, count: int) -> list[str]:
    """So many texts, divided by NUL, as far as there are any."""
    found = [text(field) for field in octets.split(b"\0", count - 1)]
    return found + [""] * (count - len(found))


# --- replies


def replies(octets: bytes) -> None:
    """Any octets in any pieces: the same replies, and nothing but replies, or the one complaint."""
    steps, stream = octets[:4], octets[4:]
    whole = _read([stream])
    must("the replies are those of RFC 5321 section 4.2", holds=whole == _as_the_rfc_reads(stream))
    must("octet by octet it is the same", holds=_read(_octets(stream)) == whole)
    must("line by line it is the same", holds=_read(stream.splitlines(keepends=True)) == whole)
    must("in any pieces it is the same", holds=_read(_pieces(stream, steps=steps)) == whole)


Read: TypeAlias = tuple[list[tuple[int, int]], str]
"""Codes with numbers of lines, and what stands behind them: nothing, the beginning of a reply, or none."""


def _read(pieces: list[bytes]) -> Read:
    reader, found = reply.ReplyReader(), list[reply.Reply]()
    with suppress(reply.MalformedReply):
        for piece in pieces:
            found += reader.feed(piece)
    for one in found:
        _check(one)
    state = "broken" if reader.broken else "amid" if reader.amid else "between"
    return [(one.code, one.text.count("\n") + 1) for one in found], state


def _check(one: reply.Reply) -> None:
    must(
        "no control character is in the text", holds=not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", one.text)
    )
    must("it prints as one line", holds=len(str(one).splitlines()) == 1)
    if one.enhanced is not None:
        form = rf"{one.code // 100}\.[0-9]{{1,3}}\.[0-9]{{1,3}}"
        must("the enhanced code has the form and the class", holds=bool(re.fullmatch(form, one.enhanced)))


def _octets(stream: bytes) -> list[bytes]:
    """Octets one by one; of what is long, those around its line ends, where limits are."""
    cuts: Sequence[int] = range(len(stream))
    if len(stream) > _LONG:
        ends = [match.start() for match in re.finditer(rb"\n|\Z", stream)]
        cuts = sorted({cut for end in ends for cut in range(max(0, end - 3), end + 2)})
    return [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]


def _pieces(stream: bytes, *, steps: bytes) -> list[bytes]:
    longest = 40 if len(stream) <= _LONG else 4000
    sizes, pieces = [step * longest // 256 + 1 for step in steps] or [1], list[bytes]()
    while stream:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[:size])
        stream = stream[size:]
    return pieces


def _as_the_rfc_reads(stream: bytes) -> Read:
    """The same by other means: line after line against the grammar, and the limits that we announce."""
    *lines, rest = stream.split(b"\n")
    found, codes, size = list[tuple[int, int]](), list[bytes](), 0
    for line in (line.removesuffix(b"\r") for line in lines):
        match = re.fullmatch(rb"([2-5][0-9]{2})(?:([ -]).*)?", line, re.DOTALL)
        size += len(line)
        if match is None or len(line) > reply.MAX_LINE or size > reply.MAX_REPLY:
            return found, "broken"
        codes.append(match[1])
        if len(set(codes)) > 1:
            return found, "broken"
        if match[2] != b"-":
            found.append((int(match[1]), len(codes)))
            codes, size = [], 0
    if len(rest.removesuffix(b"\r")) > reply.MAX_LINE:
        return found, "broken"
    return found, "amid" if codes or rest else "between"


def memory(octets: bytes) -> None:
    """The octets again and again, 96 KiB of them: what is kept of them is little."""
    piece = (octets or b"2") * (12 * 1024 // len(octets or b"2") + 1)
    reader = reply.ReplyReader()
    tracemalloc.start()
    try:
        for _ in range(8):
            try:
                reader.feed(bytes(bytearray(piece)))  # octets of its own, as those from a socket are
            except reply.MalformedReply:
                break
            finally:
                kept, _peak = tracemalloc.get_traced_memory()
            must(f"{kept:,} octets are kept", holds=kept <= _GROWTH)
        kept, _peak = tracemalloc.get_traced_memory()
        must(f"{kept:,} octets are kept", holds=kept <= _GROWTH)
    finally:
        tracemalloc.stop()


# --- EHLO


def ehlo(octets: bytes) -> None:
    """Any lines behind the first: keywords as the octets have them, and sizes that are numbers."""
    lines = [line[:1000] for line in octets.replace(b"\r", b"\n").split(b"\n")][:30]
    wire = b"250-server\r\n" + b"".join(b"250-" + line + b"\r\n" for line in lines) + b"250 HELP\r\n"
    [said] = reply.ReplyReader().feed(wire)
    found = extensions.Extensions.parse(said)
    must("HELP is offered", holds="HELP" in found)
    upper = wire.upper()  # of octets: ASCII letters, and no others
    for keyword in ("STARTTLS", "AUTH", "PIPELINING", "CHUNKING", "SIZE", "SMTPUTF8", "8BITMIME"):
        offered = re.search(rb"[- \t]%s\b" % keyword.encode(), upper) is not None
        must(f"{keyword} was said", holds=offered or keyword not in found)
    limit = found.size_limit
    must("a limit is a number above 0", holds=limit is None or 0 < limit < 10**20)
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"):
        said_so = mechanism.encode() in upper
        must(f"{mechanism} was said", holds=said_so or mechanism not in found.mechanisms)
    must("what is masked is said to be", holds=(found.masked is None) or "XXXXXX" in found.masked)


# --- URL, settings, route


def account_url(octets: bytes) -> None:
    """Any text as an account URL: an account, or one of our own errors that shows no password."""
    wish = text(octets)
    try:
        parsed = url.parse_url(wish)
    except _OURS as exc:
        _hidden(wish, said=str(exc))
        return
    must("the password does not print", holds=_shown(parsed.password or "", parsed=parsed) is False)


def _shown(password: str, *, parsed: url.ParsedURL) -> bool:
    others = f"{parsed.username} {parsed.route} {parsed.tls_ca} {parsed.sender} {parsed.scheme}"
    return len(password) > 5 and password not in others and password in repr(parsed)


def _hidden(wish: str, *, said: str) -> None:
    if login := re.search(r"://[^:/?#@]*:([A-Za-z0-9!$*]{8,})@", wish):
        known = login[1] in wish.replace(login[0], "", 1)
        must("no error shows the password", holds=known or login[1] not in said)


_HOSTS = ("mail.example.com", "192.0.2.1", "[2001:db8::1]", "smart_host", "xn--bcher-kva.example")
_SCHEMES = ("submission", "submissions", "smtps", "smtp", "SMTP", "Submission")


def url_round_trip(octets: bytes) -> None:
    """Any login, written into a URL as it should be, is read as it was."""
    head, (username, password) = octets[:3].ljust(3, b"\0"), fields(octets[3:], 2)
    host, scheme = _HOSTS[head[0] % len(_HOSTS)], _SCHEMES[head[1] % len(_SCHEMES)]
    login = f"{_quoted(username)}:{_quoted(password)}"
    parsed = url.parse_url(f"{scheme}://{login}@{host}:{head[2] + 1}")
    must("the user name is the same", holds=(parsed.username or "") == username)
    must("the password is the same", holds=parsed.password == password)
    must("so is where it goes", holds=(parsed.route["host"], parsed.route["port"]) == (host, head[2] + 1))


def _quoted(part: str) -> str:
    return quote(part.encode("utf-8", "surrogateescape"), safe="")


_VARIABLES = ("URL", "USERNAME", "PASSWORD", "FROM", "CA")


def environment(octets: bytes) -> None:
    """Any environment, with any arguments: settings that show no secret, or one of our own errors."""
    *said, host, sender = fields(octets, len(_VARIABLES) + 2)
    environ = {f"PORTMAIL_{name}": value for name, value in zip(_VARIABLES, said, strict=True) if value}
    wishes = {name: value for name, value in {"host": host, "sender": sender}.items() if value}
    try:
        made = settings.from_environment(environ, **wishes)  # type: ignore[arg-type]  # any text
    except _OURS as exc:
        must("an address is wrong only where there is one", holds=_excused(exc, said=octets))
        return
    weak = [route for route in made.routes if route.security not in _ENCRYPTED]
    must("no credential is for a route without TLS", holds=made.credentials is None or not weak)
    secret = environ.get("PORTMAIL_PASSWORD", "")
    if len(secret) > 5 and octets.count(secret.encode("utf-8", "surrogateescape")) == 1:
        must("the password does not print", holds=secret not in repr(made))


def _excused(error: Exception, *, said: bytes) -> bool:
    return not isinstance(error, errors.AddressError) or bool(said.strip(b"\0"))


_SCRATCH = Path(tempfile.gettempdir()) / f"portmail-fuzz-{os.getpid()}"
"""The file that holds the password; another for each process."""


def password_file(octets: bytes) -> None:
    """Any file as a password's: its octets, or one of our own errors."""
    _SCRATCH.write_bytes(octets)
    variables = {"URL": "submission://host.example", "USERNAME": "me", "PASSWORD_FILE": str(_SCRATCH)}
    try:
        made = settings.from_environment({f"PORTMAIL_{name}": value for name, value in variables.items()})
    except _OURS as exc:
        must("no error shows the password", holds=len(octets) < 8 or text(octets) not in str(exc))
    else:
        must("there are credentials", holds=made.credentials is not None)
    finally:
        _SCRATCH.unlink()
    with suppress(*_OURS):
        settings.from_environment(
            {"PORTMAIL_URL": "smtp://me@host.example", "PORTMAIL_PASSWORD_FILE": "/nowhere/" + text(octets)}
        )


def routes(octets: bytes) -> None:
    """Any text as a host: a name that can be dialled and printed and is kept as it is, or our error."""
    host, port, security = fields(octets, 3)
    with suppress(errors.InvalidRoute):
        made = route.Route(host, int(port) if re.fullmatch("[0-9]{1,6}", port) else 587, Security.STARTTLS)
        must(
            "it is of a host's characters",
            holds=bool(re.fullmatch(r"[0-9a-z._:%-]+", made.host, re.IGNORECASE)),
        )
        must("it is the same again", holds=route.Route(made.host, made.port, made.security) == made)
        must("it prints as one line", holds=str(made).isprintable())
    with suppress(errors.InvalidRoute):
        found = route.routes_to(host, port=None, security=security or None, authenticated=True)
        weak = [one for one in found if one.security not in _ENCRYPTED]
        must("a weak route is asked for by name", holds=not weak or bool(security))


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "replies": replies,
        "memory": memory,
        "ehlo": ehlo,
        "url": account_url,
        "url-round-trip": url_round_trip,
        "environment": environment,
        "password-file": password_file,
        "route": routes,
    }
)
"""Everything that is fuzzed, by hypothesis (here) and by atheris (`atheris.py`)."""
