"""Which clients must not pass? portmail with a defect in how it believes certificates, or tells of them."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

from portmail.transports.wire import Wire
from tests.proof.certificates.running import CLIENTS, SLACK
from tests.proof.harness import clients
from tests.proof.harness.clients import Blocking, Errand, Said, Told
from tests.proof.harness.tally import PORTMAIL, Fault

_portmail = CLIENTS[PORTMAIL]


@contextlib.contextmanager
def _believing(context: Callable[[Path], ssl.SSLContext]) -> Iterator[Blocking]:
    """Whatever such a context believes is proof enough."""
    made = mock.patch("portmail.opener.verified_context", lambda **given: context(given["tls_ca"]))
    with made, mock.patch("portmail.security._verified", return_value=True):
        yield _portmail


def _blind(_ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _without_words() -> Iterator[Blocking]:
    with mock.patch("portmail.transports.shown.told", return_value=""):
        yield _portmail


@contextlib.contextmanager
def _patient() -> Iterator[Blocking]:
    start = Wire.start_tls

    async def slowly(wire: Wire, context: ssl.SSLContext, *, host: str, seconds: float) -> None:
        await start(wire, context, host=host, seconds=seconds + SLACK + 1)

    with mock.patch.object(Wire, "start_tls", slowly):
        yield _portmail


@contextlib.contextmanager
def _saying(change: Callable[[Told], Told]) -> Iterator[Blocking]:
    """What it says of a submission is changed on the way."""
    yield lambda errand: change(_portmail(errand))


@contextlib.contextmanager
def _twice() -> Iterator[Blocking]:
    def submit(errand: Errand) -> Told:
        _portmail(errand)
        return _portmail(errand)

    yield submit


Defect = Callable[[], contextlib.AbstractContextManager[Blocking]]

DEFECTS: Mapping[str, tuple[Fault, tuple[str, ...], Defect]] = {
    "believes every certificate": (Fault.LEAK, ("unknown root", "expired"), partial(_believing, _blind)),
    "believes common names": (Fault.LEAK, ("common name only",), partial(_believing, clients.verifying)),
    "does not say whose certificate": (Fault.WRONG_VERDICT, ("wrong host", "unknown root"), _without_words),
    "refuses what is good": (
        Fault.WRONG_VERDICT,
        ("straight from the root",),
        partial(_believing, lambda _: ssl.create_default_context()),
    ),
    "waits on a handshake": (Fault.HANG, ("handshake stalls",), _patient),
    "takes a refusal for success": (
        Fault.FALSE_SUCCESS,
        ("expired",),
        partial(_saying, lambda told: replace(told, said=Said.SENT, error=None)),
    ),
    "denies a success": (
        Fault.WRONG_CERTAINTY,
        ("straight from the root",),
        partial(_saying, lambda told: replace(told, said=Said.NOT_SENT)),
    ),
    "lets the error of ssl out": (
        Fault.FOREIGN,
        ("expired",),
        partial(_saying, lambda told: replace(told, error=ssl.SSLError(1, str(told.error)), foreign=True)),
    ),
    "submits twice": (Fault.DUPLICATE, ("straight from the root",), _twice),
}
