"""Does any input break what reads it? The targets of `targets.py`, a fixed number of examples each.

The examples are hypothesis's, the same in every run of one version of it: pieces that such inputs are
made of, in any order, with any octets between them. A fuzzer that follows coverage goes further
with the same targets: `atheris.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import MappingProxyType
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portmail import extensions, reply, route, url
from tests.proof.fuzz.targets import TARGETS, Broken
from tests.proof.harness.tally import PORTMAIL, Fault, Mutant, Tally, Task, blank_but

TITLE = "fuzz"

_EXAMPLES = 2500
_FEWER: Mapping[str, int] = MappingProxyType({"memory": 60})
"""Examples for each target, in full; fewer where one takes long."""

_SHARE = 10
"""What part of them a quick run has."""

_ENOUGH: Mapping[str, int] = MappingProxyType({"ehlo": 25, "memory": 40})
"""Examples for a reader with a defect, where one takes long."""

_SLOW, _TIMES = 0.5, 3
"""Seconds of processor time (ten times what an input should take at most), and in how many tries."""

_ITSELF = 208
"""From here on, an octet of a plan stands for itself; below, for a piece."""

_UNTIMED = ("memory",)
"""What is watched by tracemalloc says nothing of its speed; `replies` reads the same."""

_LINES = (
    *(
        b"250 ok\r\n",
        b"250-one\r\n",
        b"250 \r\n",
        b"250\r\n",
        b"354 go\r\n",
        b"235 2.7.0 in\r\n",
        b"\r\n",
        b"\n",
    ),
    *(
        b"550 5.1.1 no\r\n",
        b"421 4.3.2 bye\r\n",
        b"550-4.0.0 no\r\n",
        b"\r",
        b"2",
        b"250",
        b"-",
        b" ",
        b"\xff",
    ),
    *(b"250-ab\r\n", b"150 ok\r\n", b"999 ok\r\n", b"250_ok\r\n", b"250\tok\r\n", b"\0", b"\xe2\x80\xa8"),
    *(b"5.\xd9\xa1.\xd9\xa1 ", b"250 " + b"x" * 8188, b"250 " + b"x" * 8189, b"250-" + b"y" * 8000 + b"\r\n"),
)
_KEYWORDS = (
    *(
        b"STARTTLS\n",
        b"starttls",
        b"\xc5\xbfTARTTLS\n",
        b"\xef\xac\x85ARTTLS\n",
        b"XSTARTTLS\n",
        b" STARTTLS\n",
    ),
    *(
        b"AUTH PLAIN LOGIN\n",
        b"AUTH=PLAIN\n",
        b"AUTH",
        b"=",
        b"CRAM-MD5",
        b"XXXXXXXA\n",
        b"SIZE 1000\n",
        b"SIZE ",
    ),
    *(
        b"SIZE -1\n",
        b"SIZE 99999999999999999999999\n",
        b"SIZE \xd9\xa1\n",
        b"PIPELINING\n",
        b"CHUNKING\n",
        b"\n",
    ),
    *(b"\xc2\xa0", b"\xe2\x80\xa8", b"\t", b"8BITMIME\n", b"SMTPUTF8\n", b"\xc5\xbf", b"XOAUTH2 ", b"5.7.1 "),
)
_URLS = (
    *(
        b"submission://",
        b"smtp://",
        b"smtps://",
        b"relay://",
        b"auto://",
        b"SMTP://",
        b"://",
        b"http://",
        b"me",
    ),
    *(
        b"me:secret12@",
        b":",
        b"@",
        b"/",
        b"?",
        b"#",
        b"&",
        b"=",
        b"%",
        b"%40",
        b"%00",
        b"%zz",
        b"%C3",
        b"[",
        b"]",
    ),
    *(b"mail.example.com", b"[::1]", b"192.0.2.1", b":587", b":0", b":99999", b"?tls=none", b"?tls=require"),
    *(
        b"ca=/ca.pem",
        b"from=me@example.com",
        b"tls=",
        b" ",
        b"\r\n",
        b"\xc3\xbc",
        b"\xff",
        b"\0",
        b"..",
        b"-",
    ),
)
_HOSTS = (
    *(
        b"mail.example.com",
        b"192.0.2.1",
        b"::1",
        b"[::1]",
        b"%eth0",
        b"%",
        b"fe80::1%\r\nX",
        b".",
        b"..",
        b"-",
    ),
    *(b"\0", b"587", b"0", b"starttls", b"plaintext", b"implicit-tls", b"b\xc3\xbccher", b"xn--", b"a" * 64),
    *(
        b"a." * 127,
        b"\xe3\x80\x82",
        b"\xef\xbd\x81",
        b"\xff",
        b"@",
        b"://",
        b" ",
        b"_",
        b"\xe2\x80\x8d",
        b"1.2",
    ),
)
_PIECES: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "replies": _LINES,
        "memory": _LINES,
        "ehlo": _KEYWORDS,
        "url": _URLS,
        "url-round-trip": _URLS,
        "environment": (*_URLS, b"\0\0", b"\0\0\0", b"me@example.com", b"long enough password", *_HOSTS[:3]),
        "password-file": _URLS,
        "route": _HOSTS,
    }
)
"""What the inputs of each target are made of."""


def tasks(client: str, *, quick: bool) -> list[Task]:
    """One for each target; the peers have no such readers of their own to be asked."""
    if client != PORTMAIL:
        return []
    return [partial(fuzzed, name, examples=_examples(name, quick=quick)) for name in TARGETS]


def _examples(name: str, *, quick: bool) -> int:
    examples = _FEWER.get(name, _EXAMPLES)
    return examples // _SHARE if quick else examples


def fuzzed(name: str, *, examples: int) -> Tally:
    """Put so many inputs to a target."""
    tally = Tally(cases=1, blank=blank_but(Fault.FOREIGN, Fault.HANG, Fault.WRONG_VERDICT))

    @settings(
        max_examples=examples,
        derandomize=True,  # so that it is the same every time
        database=None,
        deadline=None,
        phases=[Phase.generate],  # what is found is noted, and the next one is tried
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.binary(max_size=24))
    def put(plan: bytes) -> None:
        tally.runs += 1
        _put(name, octets=_made(plan, pieces=_PIECES[name]), tally=tally)

    put()
    return tally


def _made(plan: bytes, *, pieces: Sequence[bytes]) -> bytes:
    """An input of these pieces, and of octets. Plans of octets are made much sooner than lists."""
    return b"".join(pieces[octet % len(pieces)] if octet < _ITSELF else bytes([octet]) for octet in plan)


def _put(name: str, *, octets: bytes, tally: Tally) -> None:
    example = f"{name} {octets[:200]!r}"
    for _ in range(_TIMES):
        started = time.process_time()
        try:
            TARGETS[name](octets)
        except Broken as exc:
            tally.note(Fault.WRONG_VERDICT, f"{example}: not so: {exc}")
        except Exception as exc:  # noqa: BLE001  # which one it is, is the question
            tally.note(Fault.FOREIGN, f"{example}: {exc!r}")
        if time.process_time() - started <= _SLOW or name in _UNTIMED:
            return
    tally.note(Fault.HANG, f"{example}: more than {_SLOW} s, {_TIMES} times")


# --- readers with a defect


def mutants() -> list[Mutant]:
    """A reader for each kind of fault, and some that are nearly right."""
    return [
        Mutant(f"{name}: {why}", fault, partial(_defective, name, why))
        for (name, why), (fault, _) in _DEFECTS.items()
    ]


def _defective(name: str, why: str) -> Tally:
    with _DEFECTS[name, why][1]():
        return fuzzed(name, examples=_ENOUGH.get(name, 300))


@contextmanager
def _foreign_exception() -> Iterator[None]:
    """A line that is no reply is complained of in Python's words."""
    feed = reply.ReplyReader.feed

    def defective(self: reply.ReplyReader, data: bytes) -> list[reply.Reply]:
        try:
            return feed(self, data)
        except reply.MalformedReply:
            raise ValueError(data) from None

    with mock.patch.object(reply.ReplyReader, "feed", defective):
        yield


@contextmanager
def _forgetful() -> Iterator[None]:
    """What came in another piece is forgotten."""
    read = reply.ReplyReader._read

    def defective(self: reply.ReplyReader, data: bytes) -> list[reply.Reply]:
        self._tail = b""
        return read(self, data)

    with mock.patch.object(reply.ReplyReader, "_read", defective):
        yield


@contextmanager
def _hoarder() -> Iterator[None]:
    """All that ever came is kept."""
    kept: list[bytes] = []
    read = reply.ReplyReader._read

    def defective(self: reply.ReplyReader, data: bytes) -> list[reply.Reply]:
        kept.append(data)
        return read(self, data)

    with mock.patch.object(reply.ReplyReader, "_read", defective):
        yield


@contextmanager
def _slow() -> Iterator[None]:
    """It takes long over some words."""
    parse = extensions.Extensions.parse

    def defective(said: reply.Reply) -> extensions.Extensions:
        until = time.process_time() + 1.1 * _SLOW
        while "XXXX" in said.text and len(said.text) < 200 and time.process_time() < until:
            pass
        return parse(said)

    with mock.patch.object(extensions.Extensions, "parse", defective):
        yield


@contextmanager
def _believes_anything() -> Iterator[None]:
    """A host is not looked at."""
    with mock.patch.object(route, "host_name", str):
        yield


@contextmanager
def _half_decoded() -> Iterator[None]:
    """A URL's login is not decoded."""
    with mock.patch.object(url, "unquote", lambda octets, **_: octets):
        yield


_DEFECTS: Mapping[tuple[str, str], tuple[Fault, Callable[[], AbstractContextManager[None]]]] = (
    MappingProxyType(
        {
            ("replies", "complains in Python's words"): (Fault.FOREIGN, _foreign_exception),
            ("replies", "forgets the piece before"): (Fault.WRONG_VERDICT, _forgetful),
            ("memory", "keeps all that ever came"): (Fault.WRONG_VERDICT, _hoarder),
            ("ehlo", "takes long over some words"): (Fault.HANG, _slow),
            ("route", "takes anything for a host"): (Fault.WRONG_VERDICT, _believes_anything),
            ("url-round-trip", "does not decode the login"): (Fault.WRONG_VERDICT, _half_decoded),
        }
    )
)
