"""Whose connections does a framework use? One submitter a process for each account, whoever asks.

A framework makes a new mailer for every message. What is shared are not they but the submitter
behind them, so that a thousand mails go over a handful of connections. A submitter stands
threads and fork by itself: a child of this process opens connections of its own.
"""

from __future__ import annotations

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

D = TypeVar("D", Submitter, AsyncSubmitter)


class _Submitters:
    """A cache of submitters by what they were made of; it holds no secret in readable form."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[object, Any] = OrderedDict()

    def get(self, kind: type[D], options: Mapping[str, Any], make: Callable[[], D]) -> D:
        key = (kind, frozenset((name, _mark(value)) for name, value in options.items()))
        with self._lock:
            if key not in self._known:
                self._known[key] = make()
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            submitter: D = self._known[key]
        return submitter

    def forget(self) -> None:
        """Let all go."""
        with self._lock:
            known, self._known = self._known, OrderedDict()
        for submitter in known.values():
            if isinstance(submitter, Submitter):
                submitter.close()

    def forget_lock(self) -> None:
        """A child of this process was born, perhaps while another thread held it."""
        self._lock = threading.Lock()


_SUBMITTERS = _Submitters()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_SUBMITTERS.forget_lock)


def shared(options: Mapping[str, Any], *, make: Callable[[], Settings], door: type[D] = Submitter) -> D:  # type: ignore[assignment]  # the default is one of the two
    """The submitter for these options; `make` says what settings they mean, when it is a new one.

    Options are compared by their values; an object that cannot be hashed is equal to itself alone.

    Raises:
        ConfigurationError, AddressError, DiscoveryError: what `make` raises; nothing is remembered.
    """
    return _SUBMITTERS.get(door, options, lambda: door._with(make()))  # noqa: SLF001  # a door of ours


def forget() -> None:
    """Close and forget all submitters of this process: their connections say goodbye."""
    _SUBMITTERS.forget()


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
