"""`portmail sandbox`: a mail server on loopback, for work by hand. It tells of each message that it takes."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from portmail.cli.exits import OK
from portmail.cli.reading import is_read, when_unread
from portmail.cli.report import in_json, tell_aside
from portmail.cli.stopping import Stop
from portmail.errors import ConfigurationError
from portmail.reply import printable
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS

if TYPE_CHECKING:
    from portmail.sandbox import Received, Sandbox

NAME = "sandbox"
HELP = "run a mail server on loopback that keeps what it is sent, and print its URL"

_SERVICES = (SUBMISSION, SUBMISSIONS, RELAY)
_USERS = (("me", "secret"),)
_LETTER = ("--from", "me@example.org", "--to", "you@example.org", "--subject", "Hello")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument(
        "--port",
        dest="ports",
        default=[],
        action="append",
        type=_port,
        metavar="SERVICE=PORT",
        help="where a service (587, 465, 25) listens, such as 587=2525; default: a free port",
    )
    parser.add_argument(
        "--block",
        default=[],
        action="append",
        type=int,
        choices=_SERVICES,
        help="drop what is sent to this service, as a firewall does",
    )
    parser.add_argument(
        "--reject", default=[], action="append", metavar="ADDRESS", help="refuse this recipient"
    )
    parser.add_argument("--greylist", action="store_true", help="refuse each recipient the first time")
    parser.add_argument("--strip-starttls", action="store_true", help="take STARTTLS and TLS away")
    users = parser.add_mutually_exclusive_group()
    users.add_argument(
        "--user",
        dest="users",
        action="append",
        type=_user,
        metavar="NAME:PASSWORD",
        help="who may log in; default: me:secret",
    )
    users.add_argument("--no-users", dest="users", action="store_const", const=(), help="ask for no login")
    parser.add_argument(
        "--ca", metavar="FILE", help="put its CA certificate there, new with each start (PORTMAIL_CA)"
    )
    parser.add_argument("--keep", metavar="DIRECTORY", help="keep each message there, as an .eml file")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes: Ctrl-C or SIGTERM, which is the way to end it; or its reader goes."""
    arrived: SimpleQueue[Received | None] = SimpleQueue()  # a signal's handler may put into it
    told = _AsData() if options.json else _InWords()
    kept = _Kept(options.keep) if options.keep else None
    with Stop(lambda: arrived.put(None)) as stop, _running(options, arrived) as sandbox:
        when_unread(lambda: arrived.put(None))
        read = is_read(told.beginning(sandbox, blocked=options.block))
        while read and not stop.asked and (received := arrived.get()) is not None:
            read = is_read(told.message(received, file=kept.write(received) if kept else None))
    return OK


@contextmanager
def _running(options: argparse.Namespace, arrived: SimpleQueue[Received | None]) -> Iterator[Sandbox]:
    """The server as it was ordered.

    Raises:
        ConfigurationError: trustme is missing, a port is taken, or a port cannot be blocked here.
    """
    try:
        from portmail.sandbox import Sandbox
    except ImportError as missing:
        raise ConfigurationError(str(missing)) from None
    ports: dict[int, int] = dict.fromkeys(_SERVICES, 0)
    ports.update(options.ports)
    users = dict(_USERS if options.users is None else options.users)
    with ExitStack() as stack:
        try:
            sandbox = stack.enter_context(Sandbox(users=users, ports=ports, arrived=arrived.put))
        except OSError as exc:
            wanted = ", ".join(str(port) for port in ports.values() if port)
            raise ConfigurationError(
                f"cannot listen on {wanted or 'any port'}: {exc.strerror}: give another --port"
            ) from None
        if options.ca:
            sandbox.ca = _copied(sandbox.ca, options.ca)
        _order(sandbox, options)
        yield sandbox


def _copied(ca: Path, place: str) -> Path:
    """The certificate where whoever trusts it finds it each time."""
    copy = Path(place).absolute()
    try:
        copy.write_bytes(ca.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"--ca {place}: {exc.strerror}") from None
    return copy


def _order(sandbox: Sandbox, options: argparse.Namespace) -> None:
    """Have it misbehave."""
    for address in options.reject:
        sandbox.reject(address)
    if options.greylist:
        sandbox.greylist()
    if options.strip_starttls:
        sandbox.strip_starttls()
    for service in options.block:
        try:
            sandbox.block(service)
        except RuntimeError as unable:
            raise ConfigurationError(f"--block {service}: {unable}") from None


class _Summary(NamedTuple):
    """What is told of a message."""

    subject: str
    octets: int

    @classmethod
    def of(cls, received: Received) -> _Summary:
        try:
            subject = str(received.message["Subject"] or "")
        except Exception:  # noqa: BLE001  # the standard library's header parser fails in many ways
            subject = "?"
        return cls(printable(subject).replace("\n", " "), len(received.content))


class _InWords:
    """For a person."""

    def beginning(self, sandbox: Sandbox, *, blocked: Sequence[int]) -> str:
        """What it is, and what to type."""
        open_ones = [service for service in _SERVICES if service not in blocked] or _SERVICES
        url, ca = sandbox.url_for(open_ones[0]), str(sandbox.ca)
        environment = f"PORTMAIL_URL={shlex.quote(url)} PORTMAIL_CA={shlex.quote(ca)}"
        return "\n".join(
            [
                *(
                    f"{service:<5}{sandbox.url_for(service)}{'  blocked' if service in blocked else ''}"
                    for service in _SERVICES
                ),
                f"CA   {ca}",
                "",
                "To send to it, in another terminal:",
                f"  echo Hello | {environment} portmail send {shlex.join(_LETTER)}",
                "Ctrl-C ends it. What arrives:",
            ]
        )

    def message(self, received: Received, *, file: Path | None) -> str:
        """One line."""
        summary = _Summary.of(received)
        envelope = f"{received.sender or '<>'} -> {', '.join(received.recipients)}"
        how = f"{received.service} {received.tls or 'unencrypted'}"
        kept = f"  {file}" if file else ""
        return printable(f"{envelope}  {summary.subject!r}  {how}  {summary.octets:,} octets{kept}")


class _AsData:
    """For a program: one JSON object a line."""

    def beginning(self, sandbox: Sandbox, *, blocked: Sequence[int]) -> str:
        """Where it is."""
        urls = {str(service): sandbox.url_for(service) for service in _SERVICES}
        return in_json({"url": sandbox.url, "ca": str(sandbox.ca), "urls": urls, "blocked": [*blocked]})

    def message(self, received: Received, *, file: Path | None) -> str:
        """What came."""
        return in_json(
            {
                "sender": received.sender,
                "recipients": received.recipients,
                "service": received.service,
                "tls": received.tls,
                "username": received.username,
                "file": str(file) if file else None,
                **_Summary.of(received)._asdict(),
            }
        )


class _Kept:
    """The directory for the messages; those of earlier runs stay.

    Raises:
        ConfigurationError: it cannot be made.
    """

    def __init__(self, name: str) -> None:
        self._directory = Path(name)
        self._number = 0
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(f"--keep {name}: {exc.strerror}: give another directory") from None

    def write(self, received: Received) -> Path | None:
        """Write a file of its own. None where that cannot be done, which is told."""
        while True:
            self._number += 1
            path = self._directory / f"{self._number:06}.eml"
            try:
                with path.open("xb") as file:
                    file.write(received.content)
            except FileExistsError:
                continue
            except OSError as exc:
                tell_aside(f"portmail: {path} cannot be written: {exc.strerror}")
                return None
            return path


def _port(text: str) -> tuple[int, int]:
    service, _, port = text.partition("=")
    if not (service in map(str, _SERVICES) and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r}: write it like 587=2525, for 587, 465 or 25")
    return int(service), int(port)


def _user(text: str) -> tuple[str, str]:
    name, _, password = text.partition(":")
    if not (name and password):
        raise argparse.ArgumentTypeError(f"{text!r}: write it like me:secret")
    return name, password
