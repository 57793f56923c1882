"""Whose connections does a framework use? One submitter a process for each account, whoever asks.

A framework makes a new mailer for every message. What is shared are not they but the submitter
behind them, so that a thousand mails go over a handful of connections. A submitter stands
threads and fork by itself: a child of this process opens connections of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from portmail.settings import Settings
from portmail.submitter import AsyncSubmitter, Submitter

_MOST = 32
"""Accounts that are remembered. One that is forgotten closes its connections when its last user goes."""

_SALT = os.urandom(16)

_FILES = frozenset(
    {"PORTMAIL_PASSWORD_FILE", "PORTMAIL_CA", "tls_ca", "client_cert", "client_key"}
    | {"ssl_certfile", "ssl_keyfile"}
)
"""Options that are paths of files."""

D = TypeVar("D", Submitter, AsyncSubmitter)


class _Submitters:
    """A cache of submitters by what they were made of; it holds no secret in readable form."""

    def __init__(self) -> None:
        # Reentrant: a signal's handler may mail, too.
        self._lock = threading.RLock()
        self._known: OrderedDict[object, Any] = OrderedDict()

    def get(self, kind: type[D], options: Mapping[str, Any], make: Callable[[], D]) -> D:
        key = (kind, frozenset((name, _mark(value), _state(name, value)) for name, value in options.items()))
        with self._lock:
            found: D | None = self._known.get(key)
        # Outside of the lock: what it takes to make one may log, and the log may be mailed.
        return self._used(key, found or make())

    def _used(self, key: object, submitter: D) -> D:
        with self._lock:
            kept: D = self._known.setdefault(key, submitter)
            self._known.move_to_end(key)
            forgotten = [self._known.popitem(last=False)[1]] if len(self._known) > _MOST else []
        if forgotten:
            _let_go(forgotten)
        return kept

    def forget(self) -> None:
        """Let all go."""
        with self._lock:
            known, self._known = self._known, OrderedDict()
        for submitter in known.values():
            if isinstance(submitter, Submitter):
                submitter.close()

    def forget_lock(self) -> None:
        """A child of this process was born, perhaps while another thread held it."""
        self._lock = threading.RLock()


def _let_go(last: list[Any]) -> None:
    """Drop the list's reference, the last one, where nobody waits: a submitter says goodbye when it goes."""
    with contextlib.suppress(RuntimeError):  # the interpreter goes down, and all of them with it
        threading.Thread(target=last.clear, name="portmail-forgotten", daemon=True).start()


_SUBMITTERS = _Submitters()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_SUBMITTERS.forget_lock)


def shared(options: Mapping[str, Any], *, make: Callable[[], Settings], door: type[D] = Submitter) -> D:  # type: ignore[assignment]  # the default is one of the two
    """The submitter for these options; `make` says what settings they mean, when it is a new one.

    Options are compared by their values, files also by when they were written: secrets are rotated and
    certificates renewed while a site runs. An object that cannot be hashed is equal to itself alone.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: what `make` raises; nothing is remembered.
    """
    return _SUBMITTERS.get(door, options, lambda: door._with(make()))  # noqa: SLF001  # a door of ours


def forget() -> None:
    """Close and forget all submitters of this process: their connections say goodbye."""
    _SUBMITTERS.forget()


def _state(name: str, value: object) -> object:
    """What changes when the option's file is written."""
    if name not in _FILES or not isinstance(value, (str, os.PathLike)):
        return None
    try:
        stat = os.stat(value)  # noqa: PTH116  # a path may be of any kind
    except (OSError, ValueError):  # told when it is read
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _mark(value: object) -> object:
    """What stands for a value: never a text itself, for it may be a secret."""
    if isinstance(value, str):
        return str, hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=_SALT).digest()
    if isinstance(value, (bytes, bytearray)):
        return bytes, hashlib.blake2b(value, key=_SALT).digest()
    if isinstance(value, Mapping):
        return Mapping, frozenset((_mark(name), _mark(entry)) for name, entry in value.items())
    if isinstance(value, (Sequence, AbstractSet)):
        marks = map(_mark, value)
        return type(value), frozenset(marks) if isinstance(value, AbstractSet) else tuple(marks)
    return type(value), value if _hashable(value) else _Itself(value)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


class _Itself:
    """Equal to nothing but the same object, which it keeps: no other can come to be in its place."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)
