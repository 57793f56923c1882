"""How would it look if a secret showed? Faults while it is in hand, and defects that show it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import product
from pkgutil import resolve_name
from typing import Any, TypeVar
from unittest.mock import patch

from portmail.confidential import Confidential, Mask
from portmail.security import Credentials, Secret
from tests.proof import secrets
from tests.proof.harness.tally import Tally
from tests.proof.secrets.failing import paths

T = TypeVar("T")

_PLACES = {
    "encoding": "portmail.transports.authentication.b64encode",
    "masking": "portmail.confidential._forms",
    "revealing": "portmail.security.Secret.resolve",
    "wrapping": "portmail.transports.authentication.Confidential",
    "writing": "portmail.transports.wire.Wire.write",
    "hearing": "portmail.transports.wire.Wire.reply",
    "judging": "portmail.transports.authentication._challenge",
    "the dialogue": "portmail.log.Dialogue.heard",
}
"""Where something may fail; "writing" and what follows only once a login was said."""


def breakdowns(only: str = "") -> Iterator[secrets.Breakdown]:
    """Places that fail, each by several errors; or the one of this name only."""
    errors = (RuntimeError, MemoryError, ValueError, OSError, KeyboardInterrupt)
    for (name, place), error in product(_PLACES.items(), errors):
        told = f"{error.__name__} in {name}"
        if only in ("", told):
            yield told, partial(_broken, place, error)


def _broken(place: str, error: type[BaseException]) -> AbstractContextManager[object]:
    """It fails there, as soon as a login was said on the wire, or would be."""
    told = []
    octets = Confidential.__init__

    def said(self: Confidential, *args: Any, **more: Any) -> None:
        told.append(True)
        octets(self, *args, **more)

    def failing(*args: Any, **more: Any) -> Any:
        if told or (".wire." not in place and ".log." not in place):
            raise error("injected")
        return real(*args, **more)

    owner, _, name = place.rpartition(".")
    stack = ExitStack()
    stack.enter_context(patch.object(Confidential, "__init__", said))
    real = getattr(resolve_name(owner), name)
    stack.enter_context(patch(place, failing))
    return stack


def _shown(self: Secret) -> str:
    return f"Secret({self._source()!r})"


def _reduced(self: Secret, _protocol: object) -> tuple[Any, ...]:
    return Secret, (self._source(),)


_INIT = Confidential.__init__


def _open_hearted(self: Confidential, line: bytes, *, shown: str, **told: Any) -> None:
    _INIT(self, line, shown=f"{shown} {line!r}", **told)


_MASK = Mask.__init__


def _whole_only(self: Mask, secret: bytes, *, said: Iterable[bytes]) -> None:
    _MASK(self, secret, said=said)
    self.beginning = self.text


_REVEAL = Credentials.reveal


async def _warning(self: Credentials, channel: Any) -> bytes:
    secret = await _REVEAL(self, channel)
    warnings.warn(f"using {secret!r}", stacklevel=1)
    return secret


async def _told_by_asyncio(work: Callable[[], T]) -> T:
    """As `run_in_executor` has it: the result is an argument of a callback."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    loop.call_soon(future.set_result, work())
    return await future


def _shouted(value: object) -> None:
    from portmail.errors import CredentialsUnusable

    if not isinstance(value, str) or "\0" in value:
        raise CredentialsUnusable(f"{value!r} is no password")


def _same(thing: T) -> T:
    return thing


def _answers(*names: str) -> Tally:
    return secrets.played(path for path in paths() if path.name in names)


DEFECTS: Mapping[str, tuple[Callable[[], AbstractContextManager[object]], Callable[[], Tally]]] = {
    "shows a secret in its repr": (
        lambda: patch.object(Secret, "__repr__", _shown),
        partial(_answers, "it is wrong"),
    ),
    "pickles a secret": (
        lambda: patch.object(Secret, "__reduce_ex__", _reduced),
        partial(_answers, "it is wrong"),
    ),
    "logs the line that logs in": (
        lambda: patch.object(Confidential, "__init__", _open_hearted),
        partial(_answers, "it is wrong"),
    ),
    "warns with the secret": (
        lambda: patch.object(Credentials, "reveal", _warning),
        partial(_answers, "it is wrong"),
    ),
    "leaves the secret in frames": (
        lambda: patch("portmail.transports.authentication.without_frames", _same),
        partial(secrets.faults, 1, "KeyboardInterrupt in hearing"),
    ),
    "leaves the wishes in frames": (
        lambda: patch("portmail.door.without_frames", _same),
        partial(secrets.before, 1),
    ),
    "names a bad password": (
        lambda: patch("portmail.security._check_secret", _shouted),
        partial(secrets.before, 1),
    ),
    "hands the secret to asyncio": (
        lambda: patch("portmail.offloading.in_a_daemon_thread", _told_by_asyncio),
        partial(secrets.callables, 10),
    ),
    "repeats what a server repeats": (
        lambda: patch.object(Mask, "reply", lambda _self, reply: reply),
        partial(_answers, "raw echoed in MAIL"),
    ),
    "repeats a cut echo": (
        lambda: patch.object(Mask, "__init__", _whole_only),
        partial(_answers, *(f"{form} echoed in no reply, cut off" for form in ("raw", "shifted", "hex"))),
    ),
}
"""A defect for every kind of hiding place, and where it shows."""


def defective(name: str) -> Tally:
    """Portmail with this defect."""
    defect, proof = DEFECTS[name]
    with defect():
        return proof()
