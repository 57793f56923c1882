"""What comes of a URL? A real https server, that answers, leads astray, drips, lies, or cuts off."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portmail.candidate import Answer
from portmail.discovery.fetching import LONGEST, REDIRECTS, _place, fetch
from portmail.discovery.outside import Missed, Page
from portmail.discovery.world import World
from portmail.errors import CertificateFileError
from portmail.search import Discovery
from tests.servers import https
from tests.servers.https import Https, cut_off, drip, ended, flood, redirect, reply, silence
from tests.servers.knot import free_port

Said = tuple[Answer, str]


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Https]:
    with https.running(tmp_path_factory.mktemp("https")) as server:
        yield server


@pytest.fixture
def server(module_server: Https) -> Iterator[Https]:
    """The server, with nothing to say yet; no thread that reads from it is left."""
    module_server.answers.clear()
    module_server.requests.clear()
    yield module_server
    wait_for_threads()


def wait_for_threads() -> None:
    until = time.monotonic() + 2
    while left := [it for it in threading.enumerate() if it.name == "portmail-blocking"]:
        assert time.monotonic() < until, "a thread still reads"
        left[0].join(0.01)


def got(url: str, *, ca: Path | None, seconds: float = 5) -> Page:
    return asyncio.run(fetch(url, tls_ca=ca, seconds=seconds))


def missed(url: str, *, ca: Path | None, seconds: float = 5) -> Said:
    with pytest.raises(Missed) as info:
        got(url, ca=ca, seconds=seconds)
    return info.value.answer, info.value.said


def test_a_page_comes_with_its_url_and_is_asked_for_plainly(server: Https) -> None:
    server.answers["localhost/a?b=c@d"] = reply("<clientConfig/>")
    url = server.url("/a?b=c@d")
    assert got(f"{url}#fragment", ca=server.ca) == Page(b"<clientConfig/>", (url,))
    assert server.requests == [
        [
            "GET /a?b=c@d HTTP/1.1",
            f"Host: localhost:{server.port}",
            "User-Agent: portmail",
            "Accept-Encoding: identity",
            "Connection: close",
        ]
    ]


def test_the_world_fetches_with_the_certificates_that_it_was_given(server: Https) -> None:
    server.answers["localhost/"] = reply("page")
    page = asyncio.run(World(Discovery(), tls_ca=server.ca).fetch(server.url()))
    assert page == Page(b"page", (server.url(),))


def test_an_address_is_a_host_too(server: Https) -> None:
    server.answers["127.0.0.1/"] = reply("page")
    assert got(server.url(host="127.0.0.1"), ca=server.ca).body == b"page"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"
PAGES: dict[str, tuple[https.Answer, bytes]] = {
    "in chunks": (CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: x\r\n\r\n", b"abc"),
    "until the end of TLS": (ended(UNTIL_THE_END + b"abc"), b"abc"),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + reply("abc"), b"abc"),
    "empty": (reply(), b""),
    "as it is": (reply("abc", headers={"Content-Encoding": "Identity"}), b"abc"),
    "as long as can be": (reply(b"x" * LONGEST), b"x" * LONGEST),
    "cut off when all was said": (cut_off(reply("abc")), b"abc"),
    "with more behind it": (reply("abc") + b"more", b"abc"),
}


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_may_come(kind: str, server: Https) -> None:
    server.answers["localhost/"], body = PAGES[kind]
    assert got(server.url(), ca=server.ca).body == body


STATUSES: dict[int, Said] = {
    201: (Answer.UNUSABLE, "201: created"),
    204: (Answer.UNUSABLE, "204: no content"),
    206: (Answer.UNUSABLE, "206: partial content"),
    103: (Answer.UNUSABLE, "103: early hints"),
    300: (Answer.UNUSABLE, "300: multiple choices"),
    304: (Answer.UNUSABLE, "304: not modified"),
    400: (Answer.ABSENT, "400: bad request"),
    401: (Answer.ABSENT, "401: unauthorized"),
    403: (Answer.ABSENT, "403: forbidden"),
    404: (Answer.ABSENT, "404: nothing there"),
    410: (Answer.ABSENT, "410: nothing there"),
    499: (Answer.ABSENT, "status 499"),
    408: (Answer.UNANSWERED, "408: request timeout"),
    429: (Answer.UNANSWERED, "429: too many requests"),
    500: (Answer.UNANSWERED, "500: internal server error"),
    503: (Answer.UNANSWERED, "503: service unavailable"),
    599: (Answer.UNANSWERED, "status 599"),
    999: (Answer.UNUSABLE, "status 999"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_says_whether_it_is_for_good(status: int, server: Https) -> None:
    server.answers["localhost/"] = reply("<clientConfig/>", status=status)
    with pytest.raises(Missed) as info:
        got(server.url(), ca=server.ca)
    assert (info.value.answer, info.value.said, info.value.status) == (*STATUSES[status], status)


def test_where_no_server_said_anything_there_is_no_status() -> None:
    with pytest.raises(Missed) as info:
        got(f"https://127.0.0.1:{free_port()}/", ca=None)
    assert info.value.status is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status: int, server: Https) -> None:
    server.answers["localhost/a/b"] = redirect("c?d=e#f", status=status)
    server.answers["localhost/a/c?d=e"] = redirect(f"//localhost:{server.port}/é", status=status)
    server.answers["localhost/%C3%A9"] = reply("page")
    hops = (
        server.url("/a/b"),
        server.url("/a/c?d=e"),
        server.url("/%C3%A9"),
    )
    assert got(hops[0], ca=server.ca) == Page(b"page", hops)


def test_a_redirect_s_own_page_is_never_looked_at(server: Https) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: {10**9}\r\n\r\n".encode()
    server.answers["localhost/"] = flood(head, b"x" * 10_000)
    server.answers["localhost/b"] = reply("page")
    assert got(server.url(), ca=server.ca).body == b"page"


@pytest.mark.parametrize(("count", "followed"), [(REDIRECTS, True), (REDIRECTS + 1, False)])
def test_a_few_redirects_are_followed(count: int, followed: bool, server: Https) -> None:
    for number in range(count):
        server.answers[f"localhost/{number}"] = redirect(f"/{number + 1}")
    server.answers[f"localhost/{count}"] = reply("page")
    if followed:
        assert len(got(server.url("/0"), ca=server.ca).hops) == count + 1
    else:
        assert missed(server.url("/0"), ca=server.ca) == (Answer.UNUSABLE, "more than 5 redirects")
        assert len(server.requests) == REDIRECTS + 1


ASTRAY = {
    "http://localhost/": "localhost redirects to http, which is never used",
    "HTTP://localhost/": "localhost redirects to http, which is never used",
    "ftp://localhost/": "localhost redirects to something else than https, which is never used",
    "file:///etc/passwd": "localhost redirects to something else than https, which is never used",
    "javascript:alert(1)": "localhost redirects to something else than https, which is never used",
    "https://me:secret@localhost/": "localhost redirects to a place that wants a user name in the URL",
    "//me@localhost/": "localhost redirects to a place that wants a user name in the URL",
    "https://local_host:0/": "localhost redirects to what is no URL of a host",
    "https://localhost:99999/": "localhost redirects to what is no URL of a host",
    "https://local host/": "localhost redirects to what is no URL of a host",
    "https://[::1/": "localhost redirects to what is no URL of a host",
    "/" + "x" * 2050: "localhost redirects to what is no URL of a host",
    "https://127.0.0.1/": "localhost redirects to what is no host name",
    "https://[::1]:22/": "localhost redirects to what is no host name",
    "https://2130706433/": "localhost redirects to what is no host name",
    "https://intranet/": "localhost redirects to what is no host name",
    "/": "localhost redirects in a circle",
    "/b": "localhost redirects in a circle",
    "": "302: a redirect to nowhere",
}


@pytest.mark.parametrize("location", ASTRAY)
def test_a_redirect_leads_nowhere_else(location: str, server: Https) -> None:
    server.answers["localhost/"] = redirect("/b")
    server.answers["localhost/b"] = redirect(location)
    assert missed(server.url(), ca=server.ca) == (Answer.UNUSABLE, ASTRAY[location])
    assert len(server.requests) == 2


HEAD = b"HTTP/1.1 200 OK\r\n"
NOT_HTTP = "localhost answers, but not as HTTP has it"
TOO_LONG = "the answer is longer than 256 KiB"
UNUSABLE: dict[str, tuple[https.Answer, str]] = {
    "10 MB that are announced": (drip(reply(headers={"Content-Length": "10485760"})), TOO_LONG),
    "10 MB in chunks": (flood(CHUNKED, b"2710\r\n" + b"x" * 10_000 + b"\r\n"), TOO_LONG),
    "10 MB in tiny chunks": (flood(CHUNKED, b"1\r\nx\r\n" * 1000), TOO_LONG),
    "10 MB without a length": (flood(UNTIL_THE_END, b"x" * 10_000), TOO_LONG),
    "an octet too many": (reply(b"x" * (LONGEST + 1)), TOO_LONG),
    "interim answers without end": (flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), TOO_LONG),
    "trailers without end": (flood(CHUNKED + b"0\r\n", b"a: b\r\n" * 1000), TOO_LONG),
    "headers without end": (flood(HEAD, b"a: b\r\n" * 100), NOT_HTTP),
    "a header without end": (flood(HEAD + b"a: ", b"x" * 1000), NOT_HTTP),
    "a first line without end": (flood(b"HTTP/1.1 200 ", b"x" * 1000), NOT_HTTP),
    "a chunk's first line without end": (flood(CHUNKED, b"1" * 1000), NOT_HTTP),
    "something else": (ended(b"220 mail.example.com ESMTP\r\n"), NOT_HTTP),
    "a strange version": (ended(b"HTTP/7.0 200 OK\r\n\r\n"), NOT_HTTP),
    "no number": (ended(b"HTTP/1.1 two hundred\r\n\r\n"), NOT_HTTP),
    "HTTP/2": (ended(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"), NOT_HTTP),
    "what is compressed": (
        reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
        "the answer is compressed, though it was asked for as it is",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_is_read_no_further(kind: str, server: Https) -> None:
    server.answers["localhost/"], said = UNUSABLE[kind]
    assert missed(server.url(), ca=server.ca) == (Answer.UNUSABLE, said)


BROKEN: dict[str, https.Answer] = {
    "half a page": ended(reply("abc", headers={"Content-Length": "9"})),
    "half a page, cut off": cut_off(reply("abc", headers={"Content-Length": "9"})),
    "half a page in chunks": ended(CHUNKED + b"9\r\nabc"),
    "a page in chunks without its end": ended(CHUNKED + b"3\r\nabc\r\n"),
    "a page without a length, cut off": cut_off(UNTIL_THE_END + b"abc"),
    "half a header, cut off": cut_off(HEAD + b"Content-Le"),
    "half a first line, cut off": cut_off(b"HTT"),
    "nothing": ended(b""),
    "nothing, cut off": cut_off(b""),
    "a torn connection": https.reset,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_was_not_heard_to_its_end_is_no_answer(kind: str, server: Https) -> None:
    server.answers["localhost/"] = BROKEN[kind]
    assert missed(server.url(), ca=server.ca) == (Answer.UNANSWERED, "localhost: the connection was lost")


SLOW: dict[str, https.Answer] = {
    "says nothing": silence,
    "drips its first line": drip(b""),
    "drips its headers": drip(HEAD + b"a: "),
    "drips its page": drip(reply(headers={"Content-Length": "1000"})),
    "drips a page without a length": drip(UNTIL_THE_END),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_server_gets_no_more_than_its_time(kind: str, server: Https) -> None:
    server.answers["localhost/"] = SLOW[kind]
    began = time.monotonic()
    assert missed(server.url(), ca=server.ca, seconds=0.2) == (
        Answer.UNANSWERED,
        "localhost: no answer in time",
    )
    assert time.monotonic() - began < 1


def test_all_redirects_together_get_no_more_than_that_time(server: Https) -> None:
    waited: list[float] = []

    def slow(to: str) -> https.Act:
        def act(line: ssl.SSLSocket, over: threading.Event) -> None:
            waited.append(time.monotonic())
            over.wait(0.15)
            line.sendall(redirect(to))

        return act

    for number in range(4):
        server.answers[f"localhost/{number}"] = slow(f"/{number + 1}")
    began = time.monotonic()
    assert missed(server.url("/0"), ca=server.ca, seconds=0.25)[0] is Answer.UNANSWERED
    assert time.monotonic() - began < 1
    assert 0 < len(waited) <= 2


def test_a_dead_disk_gets_no_more_than_that_time(server: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = threading.Event()

    def read(**_: Any) -> ssl.SSLContext:
        alive.wait(3)
        raise CertificateFileError

    monkeypatch.setattr("portmail.discovery.fetching.verified_context", read)
    began = time.monotonic()
    assert missed(server.url(), ca=server.ca, seconds=0.1)[0] is Answer.UNANSWERED
    assert time.monotonic() - began < 1
    alive.set()


@pytest.mark.parametrize("kind", ["says nothing", "drips its page"])
def test_cancelling_works_at_once_and_ends_the_connection(kind: str, server: Https) -> None:
    while server.closed.acquire(blocking=False):
        pass
    server.answers["localhost/"] = SLOW[kind]

    async def cancelled() -> None:
        task = asyncio.ensure_future(fetch(server.url(), tls_ca=server.ca, seconds=30))
        while not server.requests:
            await asyncio.wait([task], timeout=0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(cancelled())
    assert server.closed.acquire(timeout=2)


class Plain:
    """A port that speaks no TLS: it says its piece to whoever connects, and then nothing."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> str:
        self._thread.start()
        return self.url

    def _run(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(1)
            connection.sendall(self._says)
            while connection.recv(1000):
                pass

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()


def test_a_port_without_tls_proves_nothing() -> None:
    with Plain(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        answer, said = missed(url, ca=None)
    assert answer is Answer.UNPROVEN
    assert said.startswith("127.0.0.1: TLS was spoken to a port that does not speak it")


def test_a_port_that_never_begins_tls_gets_no_more_than_its_time() -> None:
    with Plain(b"") as url:
        assert missed(url, ca=None, seconds=0.2) == (Answer.UNANSWERED, "127.0.0.1: no answer in time")


def test_a_port_where_nothing_listens_is_no_answer() -> None:
    url = f"https://127.0.0.1:{free_port()}/"
    assert missed(url, ca=None) == (Answer.REFUSED, "127.0.0.1: connection refused")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.EAI_NONAME, (Answer.ABSENT, "the name autoconfig.example.test does not exist")),
        (
            socket.EAI_AGAIN,
            (Answer.UNANSWERED, "autoconfig.example.test: the name could not be resolved just now"),
        ),
    ],
)
def test_a_name_that_does_not_exist_is_told_from_one_that_nobody_knows(
    error: int, told: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(error, "")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert missed("https://autoconfig.example.test/", ca=None) == told


def test_a_certificate_for_another_name_proves_nothing(tmp_path: Path) -> None:
    with https.running(tmp_path, names=["*.hoster.test"], answers={"localhost/": reply()}) as server:
        told = missed(server.url(), ca=server.ca)
        assert server.requests == []
    said = "the certificate is for another name: it is for *.hoster.test, not for localhost"
    assert told == (Answer.UNPROVEN, f"localhost: {said}")


def test_a_certificate_of_an_unknown_authority_proves_nothing(server: Https) -> None:
    answer, said = missed(server.url(), ca=None)
    assert (answer, server.requests) == (Answer.UNPROVEN, [])
    assert said.startswith("localhost: the certificate's issuer is not trusted: issued by 'trustme")


def test_a_redirect_to_a_server_that_cannot_prove_its_name_is_not_followed(
    server: Https, tmp_path: Path
) -> None:
    with https.running(tmp_path) as other:
        server.answers["localhost/"] = redirect(other.url())
        assert missed(server.url(), ca=server.ca)[0] is Answer.UNPROVEN
        assert other.requests == []


def test_a_file_of_certificates_that_is_not_there_is_told(server: Https, tmp_path: Path) -> None:
    answer, said = missed(server.url(), ca=tmp_path / "none.pem")
    assert (answer, server.requests) == (Answer.UNANSWERED, [])
    assert said.startswith(f"tls_ca: {tmp_path}/none.pem: ")


def test_ssl_cert_file_counts_by_itself(server: Https) -> None:
    server.answers["localhost/"] = reply("page")
    program = (
        "import asyncio, sys; from portmail.discovery.fetching import fetch; "
        "print(asyncio.run(fetch(sys.argv[1], tls_ca=None, seconds=10)).body)"
    )
    command = (sys.executable, "-c", program, server.url())
    environment = {**os.environ, "SSL_CERT_FILE": str(server.ca)}
    assert subprocess.check_output(command, env=environment, text=True, timeout=20) == "b'page'\n"


@pytest.mark.parametrize(
    "url", ["http://localhost/", "", "localhost", "https://me@localhost/", "https://ü ü/"]
)
def test_a_url_that_is_not_https_is_never_asked(url: str) -> None:
    assert missed(url, ca=None)[0] is Answer.UNUSABLE


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://Example.COM:443", "https://example.com/"),
        ("https://bücher.example./ü?ä=1 2#x", "https://xn--bcher-kva.example/%C3%BC?%C3%A4=1%202"),
        ("https://[::1]:8443/a%20b?c=%40", "https://[::1]:8443/a%20b?c=%40"),
        ("https://h/a\r\nHost: evil", "https://h/aHost:%20evil"),
        ("https://h/<\x7f\u2028>\\", "https://h/%3C%7F%E2%80%A8%3E%5C"),
    ],
)
def test_a_url_is_asked_for_in_visible_ascii(url: str, same: str) -> None:
    assert _place(url, base="").url == same
