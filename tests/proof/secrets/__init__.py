"""Does a secret ever show? In what a program prints, logs, pickles, or sends to an error tracker.

The scanner of `tests.leaks` knows the secret in every encoding, and looks for it in every way to show
the client's objects; in logs at DEBUG, asyncio's in debug mode among them; in warnings and on stderr;
and in errors: texts, arguments, notes, causes, and the variables of all frames but the program's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import smtplib
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import aiosmtplib
import trustme

from portmail import AsyncSubmitter, Security
from tests.leaks import Scanner
from tests.proof.harness.clients import Errand, letter, verifying, wishes
from tests.proof.harness.place import HOST, Place, Scene, certified, in_a_thread, on_a_jumping_clock
from tests.proof.harness.recorder import USER
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task, blank_but
from tests.proof.secrets.failing import Path, derived, paths
from tests.proof.secrets.unmet import Wish
from tests.proof.secrets.unmet import wishes as unmet_wishes

TITLE = "secrets"

Kept: TypeAlias = list[object]
"""Objects that a program has in its hands."""

_TESTS = str(FilePath(__file__).parents[2])

_SHARES = 4

_BLANK = blank_but(Fault.LEAK)
"""Where a secret shows is all that is asked."""


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Every path; for portmail also wishes that cannot be met, callables, and faults of its own."""
    step = 12 if quick else 1
    if client != PORTMAIL:
        return [partial(peer, client, step)]
    shares = [partial(portmail, number, step) for number in range(1 if quick else _SHARES)]
    return [*shares, partial(before, step), partial(callables, step), partial(faults, step)]


def mutants() -> Sequence[Mutant]:
    """A defect for every kind of hiding place."""
    from tests.proof.secrets.defects import DEFECTS, defective

    return [Mutant(name, Fault.LEAK, partial(defective, name)) for name in DEFECTS]


def portmail(number: int, step: int) -> Tally:
    """A share of the paths."""
    share = islice(paths(), number, None, _SHARES * step if step == 1 else step)
    return played(share)


def played(share: Iterator[Path]) -> Tally:
    """Portmail on these paths."""
    tally = Tally(blank=_BLANK)
    for number, path in enumerate(share):
        work = partial(on_the_clock, path, by_portmail, debug=number % 3 == 0)
        judge(tally, str(path), scanner_of(path), work)
    return tally


def scanner_of(path: Path) -> Scanner:
    """Who knows what this path's login is about."""
    return Scanner(path.secret, derived=derived(path.mechanism), own=is_own)


def is_own(filename: str) -> bool:
    """Whether it is the program's file: here, the tests'."""
    return filename.startswith(_TESTS)


def judge(tally: Tally, name: str, scanner: Scanner, work: Callable[[Kept], object]) -> None:
    """Do the work, and look everywhere. What it raises is looked at, and that is all."""
    kept: Kept = []
    error: BaseException | None = None
    with overheard() as (texts, errors):
        try:
            kept.append(work(kept))
        except BaseException as exc:  # noqa: BLE001  # whatever it is
            error = exc
    found = [place for thing in kept for place in scanner.shown(thing)]
    found += [f"log, warning or stderr: {text:.300}" for text in texts if scanner.text(text)]
    for raised in filter(None, [error, *errors]):
        found += scanner.error(raised)
    tally.cases += 1
    tally.runs += 1
    if found:
        tally.note(Fault.LEAK, f"{name}: {'; '.join(dict.fromkeys(found))}")


@contextmanager
def overheard() -> Iterator[tuple[list[str], list[BaseException]]]:
    """All that is logged, warned of, or written to stderr meanwhile; and the errors in logs."""
    texts: list[str] = []
    errors: list[BaseException] = []
    stderr = io.StringIO()
    root, handler = logging.getLogger(), _Handler(texts, errors)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stderr(stderr), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield texts, errors
        texts += [str(warning.message) for warning in caught]
        texts.append(stderr.getvalue())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Handler(logging.Handler):
    """Keeps what records say, in every field."""

    def __init__(self, texts: list[str], errors: list[BaseException]) -> None:
        super().__init__(logging.DEBUG)
        self._texts, self._errors = texts, errors

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())
        self._texts += [repr(value) for name, value in vars(record).items() if name != "exc_info"]
        if record.exc_info and record.exc_info[1] is not None:
            self._errors.append(record.exc_info[1])


def on_the_clock(
    path: Path,
    client: Callable[[Errand, Kept], Awaitable[None]],
    kept: Kept,
    *,
    debug: bool = True,
    **changes: Any,
) -> None:
    """One submission by an asyncio client on this path; in debug mode asyncio tells all that it can tell."""

    async def work(place: Place) -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        loop.slow_callback_duration = 0  # every callback is told of
        place.show(_scene(path))
        way = asyncio.ensure_future(client(errand(path, place.ports[0], **changes), kept))
        if path.cancelled:
            loop.call_later(1, way.cancel)
        await way

    on_a_jumping_clock(work)


def _scene(path: Path) -> Scene:
    return Scene([path.behaviour], tls=None if path.trusted else [_stranger()])


def _stranger() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    return context


def errand(path: Path, port: int, **changes: Any) -> Errand:
    """What is asked for on this path."""
    security = Security.IMPLICIT_TLS if path.behaviour.implicit_tls else Security.STARTTLS
    login = {"token": path.secret} if path.mechanism == "XOAUTH2" else {"password": path.secret}
    routes = [(port if path.listening else _silent_port(), security)]
    return Errand(routes, letter(), **{"username": USER, **login, **changes})


def _silent_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


async def by_portmail(errand: Errand, kept: Kept) -> None:
    """`AsyncSubmitter`."""
    mail = AsyncSubmitter(**wishes(errand))  # type: ignore[arg-type]  # by their names
    kept += [mail, mail.settings, mail.settings.credentials]
    async with mail:
        kept.append(await mail.send(errand.message))


async def by_aiosmtplib(errand: Errand, kept: Kept) -> None:
    """`aiosmtplib.SMTP`, with TLS required."""
    port, security = errand.routes[0]
    mail = aiosmtplib.SMTP(
        hostname=HOST,
        port=port,
        username=errand.username,
        password=errand.password,
        use_tls=security is Security.IMPLICIT_TLS,
        start_tls=security is Security.STARTTLS,
        tls_context=verifying(certified().ca),
        timeout=errand.seconds,
    )
    kept.append(mail)
    async with mail:
        kept.append(await mail.send_message(errand.message))


def by_smtplib(path: Path, place: Place, kept: Kept) -> None:
    """`smtplib`, as its documentation shows it, with a context that verifies."""
    place.show(_scene(path))
    asked = errand(path, place.ports[0], seconds=0.3)
    port, security = asked.routes[0]
    context = verifying(certified().ca)
    if security is Security.IMPLICIT_TLS:
        mail: smtplib.SMTP = smtplib.SMTP_SSL(HOST, port, timeout=asked.seconds, context=context)
    else:
        mail = smtplib.SMTP(HOST, port, timeout=asked.seconds)
    kept.append(mail)
    with mail:
        if security is Security.STARTTLS:
            mail.starttls(context=context)
        mail.login(USER, path.secret)
        kept.append(mail.send_message(asked.message))


def peer(client: str, step: int) -> Tally:
    """A peer on the paths that it can go: those with a password, every third of them."""
    tally = Tally(blank=_BLANK)
    alike = (path for path in paths() if path.mechanism != "XOAUTH2")
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(in_a_thread()) if client == SMTPLIB else None
        for path in islice(alike, 0, None, 3 * step):
            if client == AIOSMTPLIB:
                work: Callable[[Kept], object] = partial(on_the_clock, path, by_aiosmtplib)
            elif path.cancelled or place is None:  # a blocking call cannot be
                continue
            else:
                work = partial(by_smtplib, path, place)
            judge(tally, str(path), scanner_of(path), work)
    return tally


def before(step: int) -> Tally:
    """Wishes that cannot be met."""
    tally = Tally(blank=_BLANK)
    scanner = scanner_of(next(paths()))
    for name, wish in islice(unmet_wishes(), 0, None, step):
        judge(tally, name, scanner, partial(_wished, wish))
    return tally


def _wished(wish: Wish, _kept: Kept) -> object:
    return wish()


class _OwnError(Exception):
    """What a program's callable raises: its text is the program's business."""


def callables(step: int) -> Tally:
    """Callables that return the secret, or something that holds it, or raise."""
    tally = Tally(blank=_BLANK)
    for path in islice(paths(), 0, 40, 3 * step):
        for source in _sources(path.secret):
            kind = "token" if path.mechanism == "XOAUTH2" else "password"
            changes: dict[str, Any] = {"password": None, "token": None, kind: source}
            work = partial(on_the_clock, path, by_portmail, **changes)
            name = f"{path}, {source.__name__}"
            judge(tally, name, scanner_of(path), work)
    return tally


def _sources(secret: str) -> list[Callable[[], Any]]:
    def returns_it() -> str:
        return secret

    def returns_more() -> str:
        return f"{secret}\0"

    def returns_octets() -> bytes:
        return secret.encode()

    def raises() -> str:
        raise _OwnError(secret)

    async def is_cancelled() -> str:
        raise asyncio.CancelledError

    async def returns_it_later() -> str:
        return secret

    async def returns_more_later() -> str:
        return f"{secret}\0"

    async def raises_later() -> str:
        raise _OwnError(secret)

    return [
        returns_it,
        returns_more,
        returns_octets,
        raises,
        is_cancelled,
        returns_it_later,
        returns_more_later,
        raises_later,
    ]


def faults(step: int, only: str = "") -> Tally:
    """Something of our own fails while the secret is in hand."""
    from tests.proof.secrets.defects import breakdowns

    tally = Tally(blank=_BLANK)
    with overheard() as (texts, errors):
        _fail(tally, islice(breakdowns(only), 0, None, step))
        gc.collect()  # then asyncio tells of tasks that nobody asked for
    scanner = scanner_of(next(paths()))
    judge(tally, "what asyncio told afterwards", scanner, lambda kept: kept.extend([texts, errors]))
    return tally


def _fail(tally: Tally, breakdowns: Iterator[Breakdown]) -> None:
    logins = [path for path in paths() if path.name == "accepted" and not path.behaviour.implicit_tls]
    for name, broken in breakdowns:
        for path in logins:
            work = partial(_within, broken, partial(on_the_clock, path, by_portmail, debug=False))
            judge(tally, f"{path}, {name}", scanner_of(path), work)


Breakdown: TypeAlias = tuple[str, Callable[[], AbstractContextManager[object]]]
"""A fault by its name, and what brings it about."""


def _within(
    broken: Callable[[], AbstractContextManager[object]], work: Callable[[Kept], None], kept: Kept
) -> None:
    with broken():
        work(kept)
