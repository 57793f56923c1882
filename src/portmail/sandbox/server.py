"""How does a test get a mail server? `with Sandbox() as sandbox:`, and it is there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from portmail.route import Route, submission_routes
from portmail.sandbox.authentication import MECHANISMS, Accounts
from portmail.sandbox.certificates import Authority
from portmail.sandbox.dialogue import AUTHENTICATING, SCHEMES, House
from portmail.sandbox.faults import Orders
from portmail.sandbox.listeners import Listener
from portmail.sandbox.records import Ledger, Received, Session
from portmail.sandbox.service import serve
from portmail.sandbox.visits import Visits

USERS: Mapping[str, str] = MappingProxyType({"me": "secret"})
TOKENS: Mapping[str, str] = MappingProxyType({})
PORTS: Mapping[int, int] = MappingProxyType({587: 0, 465: 0, 25: 0})
EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING")
"""What EHLO offers besides STARTTLS and AUTH, which depend on the state of the connection."""


class Sandbox(Orders):
    """A mail server on loopback, for as long as the `with` block lasts.

    Args:
        host: the address to listen on.
        names: host names besides `localhost` that its certificate is for.
        users: passwords by user name, for PLAIN, LOGIN and CRAM-MD5.
        tokens: OAuth 2 tokens by user name, for XOAUTH2.
        ports: the port to listen on by service (587, 465, 25); 0 is any that is free.
        size_limit: octets of the largest content that is accepted.
        extensions: what EHLO offers besides STARTTLS and AUTH.
        mechanisms: what AUTH offers, in this order, as far as there are users or tokens for it.
        arrived: called with each message that is accepted, in the thread of its connection.

    Without users and tokens the submission services take mail from everybody. `ca` is the PEM
    file to trust; like the ports it is there only inside the block.

    Raises:
        ValueError: a service or a mechanism that the sandbox does not know.
    """

    ca: Path

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        names: Sequence[str] = (),
        users: Mapping[str, str] = USERS,
        tokens: Mapping[str, str] = TOKENS,
        ports: Mapping[int, int] = PORTS,
        size_limit: int = 10_485_760,
        extensions: tuple[str, ...] = EXTENSIONS,
        mechanisms: tuple[str, ...] = tuple(MECHANISMS),
        arrived: Callable[[Received], None] | None = None,
    ) -> None:
        super().__init__()
        _check_known(ports, known=SCHEMES, what="service")
        _check_known(mechanisms, known=MECHANISMS, what="mechanism")
        self.host = host
        self._names = ("localhost", "127.0.0.1", "::1", host, *names)
        self._wanted = ports
        self._users = users
        self._ledger = Ledger(arrived)
        self._house = partial(
            House,
            accounts=Accounts(users, tokens),
            extensions=tuple(extensions),
            mechanisms=tuple(mechanisms),
            size_limit=size_limit,
            faults=self._faults,
            ledger=self._ledger,
        )
        self._listeners: dict[int, Listener] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="portmail-sandbox-"))
            authority = Authority(Path(directory))
            house = self._house(context=authority.server_context(*dict.fromkeys(self._names)))
            visits = Visits()
            stack.callback(visits.end)
            for service, port in self._wanted.items():
                answer = partial(visits.receive, serve=partial(serve, house=house, service=service))
                self._listeners[service] = listener = Listener(self.host, port, accept=answer)
                stack.callback(listener.stop)
                listener.open()
            self.ca = authority.ca_path
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @property
    def messages(self) -> tuple[Received, ...]:
        """The messages accepted so far, in order; also after the block."""
        return self._ledger.messages

    @property
    def sessions(self) -> tuple[Session, ...]:
        """What every connection has done so far, in order; also after the block."""
        return self._ledger.sessions

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes for credentials, 587 before 465, as far as there are such services here."""
        usual = submission_routes(self.host)
        return tuple(
            Route(route.host, self.port(route.port), route.security)
            for route in usual
            if route.port in self._wanted
        )

    @property
    def url(self) -> str:
        """The URL of the best service: submission, or submissions, or relay."""
        return self.url_for(next(service for service in SCHEMES if service in self._wanted))

    def url_for(self, service: int) -> str:
        """The URL of a service, with the first user's credentials unless it is the relay."""
        user = next(iter(self._users.items()), None) if service in AUTHENTICATING else None
        login = f"{_quoted(user[0])}:{_quoted(user[1])}@" if user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEMES[service]}://{login}{host}:{self.port(service)}"

    def port(self, service: int) -> int:
        """The port on which this service (587, 465 or 25) really listens.

        Raises:
            ValueError: it is not one of this sandbox's services, or the block is not entered.
        """
        return self._listener(service).port

    def block(self, service: int) -> None:
        """From now on drop all SYNs to the service's port, as a firewall does. Connections stay.

        Raises:
            RuntimeError: this system's kernel answers all the same (Linux does not).
        """
        self._listener(service).block()

    def close_port(self, service: int) -> None:
        """From now on refuse connections to the service's port. Those there are stay."""
        self._listener(service).refuse()

    def open_port(self, service: int) -> None:
        """From now on accept connections again, at the same port."""
        self._listener(service).open()

    def _listener(self, service: int) -> Listener:
        if service not in self._listeners:
            there = ", ".join(map(str, self._listeners)) or "no service outside its `with` block"
            raise ValueError(f"this sandbox has no service {service}; it has {there}")
        return self._listeners[service]


def _check_known(given: Iterable[object], *, known: Container[object], what: str) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{name!r} is no {what} that the sandbox knows")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")
