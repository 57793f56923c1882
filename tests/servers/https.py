"""What does a real https server say? One for many names, with what each path answers written by a test."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias, cast

import trustme

from tests.servers.requirements import LOOPBACK

Act: TypeAlias = Callable[[ssl.SSLSocket, threading.Event], object]
"""What is done with a connection whose request was read; the event is set when the server ends."""

Answer: TypeAlias = bytes | Act


@dataclass(slots=True)
class Https:
    """A running server. `answers` maps host and path ("localhost/a?b") to what it says; all else is 404.

    The port is part of neither. `requests` are all that were heard, the lines of each header as they came.
    """

    address: str
    port: int
    ca: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[list[str]] = field(default_factory=list)
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Can be acquired once for each connection that is over."""

    def url(self, path: str = "/", *, host: str = "localhost") -> str:
        """The URL of a path, with the port."""
        return f"https://{host}:{self.port}{path}"


def reply(body: bytes | str = b"", *, status: int = 200, headers: Mapping[str, str] = {}) -> bytes:
    """A whole answer of HTTP."""
    octets = body.encode() if isinstance(body, str) else body
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Whatever"
    told = {"Content-Type": "text/xml", "Content-Length": str(len(octets)), **headers}
    lines = (f"HTTP/1.1 {status} {phrase}", *(f"{name}: {text}" for name, text in told.items()), "", "")
    return "\r\n".join(lines).encode() + octets


def redirect(location: str, *, status: int = 302) -> bytes:
    """The way to somewhere else."""
    return reply(status=status, headers={"Location": location})


def silence(line: ssl.SSLSocket, over: threading.Event) -> None:
    """Say nothing, until the client goes."""
    line.recv(1)


def drip(first: bytes) -> Act:
    """Say this, and then an octet now and then, for ever."""

    def act(line: ssl.SSLSocket, over: threading.Event) -> None:
        line.sendall(first)
        while not over.wait(0.02):
            line.sendall(b"x")

    return act


def flood(first: bytes, again: bytes) -> Act:
    """Say this, and then the other over and over, as fast as the client reads."""

    def act(line: ssl.SSLSocket, over: threading.Event) -> None:
        line.sendall(first)
        while not over.is_set():
            line.sendall(again)

    return act


def cut_off(first: bytes) -> Act:
    """Say this, and end the connection without TLS's own end."""

    def act(line: ssl.SSLSocket, over: threading.Event) -> None:
        line.sendall(first)
        line.shutdown(socket.SHUT_RDWR)

    return act


def ended(first: bytes) -> Act:
    """Say this, and end the connection as TLS has it."""

    def act(line: ssl.SSLSocket, over: threading.Event) -> None:
        line.sendall(first)
        line.unwrap()

    return act


def reset(line: ssl.SSLSocket, over: threading.Event) -> None:
    """Tear the connection down."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket(fileno=line.detach()).close()


@contextmanager
def running(
    root: Path,
    *,
    names: Collection[str] = ("localhost", LOOPBACK),
    answers: Mapping[str, Answer] = {},
    authority: trustme.CA | None = None,
    address: str = LOOPBACK,
    port: int | None = None,
) -> Iterator[Https]:
    """Run the server in threads of this process; `ca.pem` in `root` is the authority's certificate.

    Each of `names` (a host, a wildcard such as "*.example.test", or an address) has a certificate of its own,
    which is chosen by the name that the client says (SNI); the first is for those who say none, or another.
    """
    authority = authority or trustme.CA()
    ca = root / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    contexts = {name: _context(authority, name) for name in names}
    first = next(iter(contexts.values()))

    def choose(line: Any, name: str | None, _context: ssl.SSLContext) -> None:
        said = (name or "").lower()
        said = said or line.getsockname()[0]  # for an address there is no SNI
        line.context = contexts.get(said) or contexts.get(f"*.{said.partition('.')[2]}") or first

    first.sni_callback = choose
    with _Server(address, port or 0, context=first) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            server.https = Https(address, server.server_address[1], ca, dict(answers))
            yield server.https
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def _context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: str, port: int, *, context: ssl.SSLContext) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.context = context
        self.over = threading.Event()
        self.https: Https
        super().__init__((address, port), _Visit)


class _Visit(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Hear one request and answer it."""
        server = cast("_Server", self.server)
        try:
            # The client may go at any time, and may not like the certificate.
            with contextlib.suppress(OSError):
                self.request.settimeout(10)
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with server.context.wrap_socket(self.request, server_side=True) as line:
                    _answer(line, server=server)
        finally:
            server.https.closed.release()


def _answer(line: ssl.SSLSocket, *, server: _Server) -> None:
    https = server.https
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += (octet := line.recv(1))
        if not octet:
            return
    lines = head.decode("latin-1").split("\r\n")[:-2]
    https.requests.append(lines)
    [host] = [it.partition(": ")[2] for it in lines if it.lower().startswith("host: ")]
    key = host.removesuffix(f":{https.port}") + lines[0].split(" ")[1]
    answer = https.answers.get(key, reply(status=404))
    if callable(answer):
        answer(line, server.over)
    else:
        line.sendall(answer)
        line.unwrap()
