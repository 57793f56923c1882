"""What was found before, and for how long may it be used? Pins, approvals, and what is known to be nowhere.

A pin keeps discovery from running again, and an attacker who comes later from having a say. What is
trusted is decided elsewhere; here it is only remembered, in the program and in the user's cache directory.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from portmail.discovery.pin import Pin, as_data, hosts_as_data, hosts_in, names_nobody, pin_in
from portmail.errors import ApprovalRequired, DiscoveryError
from portmail.store import Key, Store

V = TypeVar("V")

_NOTHING = 3600.0
"""Seconds for which a definite no is believed."""

_BOUND = 1024
"""Entries of a cache. A program that sends for more accounts looks some of them up again."""

_ROUTES, _APPROVALS = "routes", "approvals"


class Memory:
    """What is remembered, in this program and in a store. `clock` tells the Unix time.

    It is safe for many threads, and after fork: dicts, files, and no locks. A store that cannot be
    written costs nothing but a search in the next run.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self.clock = clock
        # Caches, each of them bounded. A pin that is None was forgotten, whatever the store still says.
        self._pins: dict[Key, Pin | None] = {}
        self._approvals: dict[str, dict[str, None]] = {}
        self._nothing: dict[Key, tuple[float, DiscoveryError]] = {}

    def pin(self, key: Key) -> Pin | None:
        """What was found before, due or not; None where nothing is known that may still be used."""
        if key in self._pins:
            pin = self._pins.get(key)
        elif pin := pin_in(self._store.read(_ROUTES, key)):
            pin = self._pins.setdefault(key, pin)
            _limit(self._pins)
        if pin and pin.has_ended(self.clock()):
            self.forget(key)
            return None
        return pin

    def newest(self, key: Key) -> Pin | None:
        """The same, with what other programs found meanwhile, if it is trusted as much."""
        here = self.pin(key)
        if here is None and key in self._pins:
            return None
        stored = pin_in(self._store.read(_ROUTES, key))
        if stored is None or stored.has_ended(self.clock()) or (here and stored.trust < here.trust):
            return here
        _put(self._pins, key, stored)
        return stored

    def keep(self, key: Key, pin: Pin) -> None:
        """Remember what was found. What names a person is not written to the store."""
        _put(self._pins, key, pin)
        self._nothing.pop(key, None)
        if names_nobody(pin):
            self._store.write(_ROUTES, key, as_data(pin))
        else:
            self._store.forget(_ROUTES, key)

    def forget(self, key: Key) -> None:
        """What was found there, or that nothing was, counts no longer. Approvals stay."""
        _put(self._pins, key, None)
        self._nothing.pop(key, None)
        self._store.forget(_ROUTES, key)

    def approved(self, domain: str) -> frozenset[str]:
        """The hosts that a person approved for a domain, also in another program meanwhile."""
        here = frozenset(tuple(self._approvals.get(domain, ())))
        return here | hosts_in(self._store.read(_APPROVALS, (domain,)))

    def approve(self, domain: str, host: str) -> bool:
        """A person approved a host for a domain. It counts without end, whatever the options are.

        Returns whether other programs will know.
        """
        self._approvals.setdefault(domain, {})[host.lower().removesuffix(".")] = None
        _limit(self._approvals)
        return self._store.write(_APPROVALS, (domain,), hosts_as_data(self.approved(domain)))

    def nothing(self, key: Key) -> DiscoveryError | None:
        """The error to raise where this program found within the last hour that there is nothing."""
        since, error = self._nothing.get(key, (-math.inf, None))
        return copy.copy(error) if 0 <= self.clock() - since < _NOTHING else None

    def keep_nothing(self, key: Key, error: DiscoveryError) -> None:
        """Remember that there is nothing, if that is certain: not where an answer or approval is missing."""
        if not error.temporary and not isinstance(error, ApprovalRequired):
            # A copy has no traceback: no frames are kept alive, and each who raises it has their own.
            _put(self._nothing, key, (self.clock(), copy.copy(error)))


def memory() -> Memory:
    """That of this program, with the user's store. PORTMAIL_CACHE is looked at each time."""
    return _memory(os.environ.get("PORTMAIL_CACHE"))


@lru_cache(maxsize=8)  # a cache: what is found for one submitter is there for the next
def _memory(_wish: str | None) -> Memory:
    return Memory(Store.usual())


def _put(cache: dict[Key, V], key: Key, value: V) -> None:
    cache[key] = value
    _limit(cache)


def _limit(cache: dict[Any, Any]) -> None:
    """Let go what has been there longest."""
    if len(cache) > _BOUND:
        for oldest in tuple(cache)[:-_BOUND]:
            cache.pop(oldest, None)
