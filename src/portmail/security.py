"""May a credential travel here? The auditor's page: proof of encryption, and the only way to a secret.

Five rules, kept by types and by the socket, not by settings:

1. `SecureChannel` can be made only of a live transport whose TLS object itself says: TLS 1.2 or
   newer, certificate required, host name checked, common names not believed.
2. `Credentials.reveal` gives its secret for a `SecureChannel` only, and asks the transport again.
3. A `Secret` does not print, compare, copy or pickle.
4. No function takes a `PlainChannel` and `Credentials`.
5. What is said to a `SecureChannel` is `Confidential`: it says itself what a log may show in its
   place, and blots itself out of whatever the server says afterwards.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

from portmail.confidential import NO_COPY, Confidential
from portmail.errors import CredentialsUnusable, InsecureChannel, PortmailError
from portmail.reply import Reply

SecretSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A password or token, or a callable (sync or async) that returns it when it is needed.

A sync callable is called in a thread of its own, so that it may ask another server.
"""

_STRONG = ("TLSv1.2", "TLSv1.3")  # RFC 8314 section 4.1, RFC 8996


class Security(Enum):
    """How a connection is secured."""

    IMPLICIT_TLS = "implicit-tls"
    """TLS from the first octet: "submissions", RFC 8314 section 3.3."""
    STARTTLS = "starttls"
    """Upgraded in the dialogue (RFC 3207), and required: never "if offered"."""
    OPPORTUNISTIC = "opportunistic"
    """Encrypted if offered, proving nothing (RFC 7435). A relay's; never carries credentials."""
    PLAINTEXT = "plaintext"
    """Unencrypted, asked for by name. A relay's inside a trusted network; never carries credentials."""

    @property
    def encrypted(self) -> bool:
        """Whether the mode insists on verified TLS."""
        return self in (Security.IMPLICIT_TLS, Security.STARTTLS)


class LiveTransport(Protocol):
    """What of an asyncio transport is asked for proof."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The transport's own word about itself."""


class Line(Protocol):
    """A connection as a channel sees it: what can be said on it, and the transport that carries it."""

    @property
    @abstractmethod
    def transport(self) -> LiveTransport:
        """The transport that carries what is said now."""

    @abstractmethod
    async def command(self, line: Confidential, *, seconds: float) -> Reply:
        """Write a command, return its reply."""


@dataclass(frozen=True, slots=True)
class TlsEvidence:
    """What a finished handshake says. `peer_name` is the name that was verified, None if none was."""

    version: str
    cipher: str
    peer_name: str | None


def evidence_of(transport: LiveTransport) -> TlsEvidence | None:
    """What the transport's TLS object says; None where there is no TLS."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None or (version := tls.version()) is None:
        return None
    cipher = tls.cipher()
    return TlsEvidence(version, cipher[0] if cipher else "", tls.server_hostname if _verified(tls) else None)


def _verified(tls: ssl.SSLObject) -> bool:
    context = tls.context
    return (
        context.verify_mode is ssl.CERT_REQUIRED
        and context.check_hostname
        and not context.hostname_checks_common_name  # RFC 9525 section 6.3: SAN or nothing
        and bool(tls.getpeercert())
    )


class PlainChannel:
    """An open connection that has proved nothing. It can carry a relay's mail, never a credential."""

    __slots__ = ("line",)

    def __init__(self, line: Line) -> None:
        self.line = line

    @property
    def evidence(self) -> TlsEvidence | None:
        """What its TLS says, if it has any."""
        return evidence_of(self.line.transport)


class SecureChannel:
    """A connection that has proved its encryption and its peer's name.

    It holds the very line on which the proof was found, so that what is shown to the channel
    cannot be said anywhere else.

    Raises:
        InsecureChannel: the live transport cannot prove it.
    """

    __slots__ = ("host", "line")

    def __init__(self, line: Line, *, host: str) -> None:
        self.line = line
        self.host = host
        self.prove()

    @property
    def evidence(self) -> TlsEvidence:
        """The proof, read from the live transport."""
        return self.prove()

    def prove(self) -> TlsEvidence:
        """Ask the transport now. Raises `InsecureChannel` if it does not prove what is needed."""
        evidence = evidence_of(self.line.transport)
        if evidence is None:
            raise InsecureChannel("the connection is not encrypted")
        if evidence.version not in _STRONG:
            raise InsecureChannel(f"{evidence.version} is too old: TLS 1.2 is the least")
        if evidence.peer_name is None or evidence.peer_name.lower() != self.host.lower():
            raise InsecureChannel(f"nothing proves that the server is {self.host}")
        return evidence


Channel: TypeAlias = PlainChannel | SecureChannel


class SecretUnavailable(Exception):
    """The callable for a secret failed; `__cause__` says how. Becomes `CredentialsUnavailable`."""


E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """The error, and those that led to it, without frames: tracebacks are shown with variables.

    Those of the program's own callable for a secret stay.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        exc = waiting.pop()
        if exc is not None and id(exc) not in seen:
            seen.add(id(exc))
            exc.__traceback__ = None
            waiting += () if isinstance(exc, SecretUnavailable) else (exc.__cause__, exc.__context__)
    return error


class SecretKind(Enum):
    """What a secret is, since mechanisms differ."""

    PASSWORD = "password"  # noqa: S105
    TOKEN = "token"  # noqa: S105


class Secret:
    """A password or token that does not show itself."""

    __slots__ = ("_source",)

    def __init__(self, source: SecretSource) -> None:
        if isinstance(source, str):
            _check_secret(source)
        elif not callable(source):
            raise CredentialsUnusable("a password or token must be a str, or a callable that returns one")
        # In a function: whoever walks over attributes, as error trackers do, does not come to it.
        self._source: Callable[[], SecretSource] = lambda: source

    async def resolve(self) -> str:
        """The secret itself. Only `Credentials.reveal` calls this."""
        source = self._source()
        if isinstance(source, str):
            return source
        # A coroutine function only makes its coroutine; anything else may block.
        if inspect.iscoroutinefunction(source):
            answer: Any = source()
        else:
            from portmail.offloading import in_a_daemon_thread  # most secrets are a str

            answer = await in_a_daemon_thread(source)
        value = await answer if inspect.isawaitable(answer) else answer
        _check_secret(value)
        return str(value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(NO_COPY)


def _check_secret(value: object) -> None:
    # Says nothing of the value itself, in any error.
    if not isinstance(value, str):
        raise CredentialsUnusable(f"a password or token must be a str, not {type(value).__name__}")
    if not value or "\0" in value or not _has_octets(value):
        raise CredentialsUnusable("a password or token must not be empty, nor hold NUL or what has no octets")


def _has_octets(text: str) -> bool:
    """Whether it can be written in octets; half a surrogate pair cannot."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are and the proof (RFC 4422). The proof is had by `reveal`, for a `SecureChannel` only."""

    username: str
    secret: Secret
    kind: SecretKind

    def __post_init__(self) -> None:
        if not isinstance(self.username, str):
            raise CredentialsUnusable(f"the user name must be a str, not {type(self.username).__name__}")
        control = any(ord(char) < 32 or ord(char) == 127 for char in self.username)
        if not self.username or control or not _has_octets(self.username):
            raise CredentialsUnusable("the user name must not be empty nor hold control characters")

    async def reveal(self, channel: SecureChannel) -> bytes:
        """The secret's octets, after the channel has proved once more that it may have them.

        Raises:
            InsecureChannel: the channel cannot prove its encryption now.
            SecretUnavailable: the callable failed.
            CredentialsUnusable: it returned what cannot be carried.
        """
        if type(channel) is not SecureChannel:
            raise InsecureChannel("credentials are shown to a SecureChannel only")
        channel.prove()
        try:
            secret = await self.secret.resolve()
        except PortmailError:
            raise
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this: it is what the callable waited for, and to be told like any failure.
            raise SecretUnavailable(f"the callable for the {self.kind.value} was cancelled") from exc
        except Exception as exc:
            raise SecretUnavailable(f"the callable for the {self.kind.value}: {type(exc).__name__}") from exc
        channel.prove()  # fetching it may have taken a while
        # Octets that are no UTF-8 come from files, URLs and the environment as surrogates.
        return secret.encode("utf-8", "surrogateescape")


def credentials(
    *, username: str | None, password: SecretSource | None, token: SecretSource | None
) -> Credentials | None:
    """Credentials of what a user gave, None where nothing was given.

    Raises:
        CredentialsUnusable: half of them, or both a password and a token.
    """
    if password is not None and token is not None:
        raise CredentialsUnusable("give a password or a token, not both")
    kind = SecretKind.PASSWORD if token is None else SecretKind.TOKEN
    source = password if token is None else token
    if source is None and username is None:
        return None
    if source is None:
        raise CredentialsUnusable(
            "a user name without password or token: give password= or PORTMAIL_PASSWORD"
        )
    if username is None:
        raise CredentialsUnusable(
            "a password or token without a user name: give username= or PORTMAIL_USERNAME"
        )
    return Credentials(username, Secret(source), kind)
