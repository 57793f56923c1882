"""What was found before, and for how long may it be used? Pins, approvals, and what is known to be nowhere.

A pin keeps discovery from running again, and an attacker who comes later from having a say. What is
trusted is decided elsewhere; here it is only remembered, in the program and in the user's cache directory.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from portmail.candidate import FULL_ADDRESS, Candidate, Login, Source, Trust
from portmail.errors import ApprovalRequired, DiscoveryError
from portmail.route import Route
from portmail.search import Discovery, Validation
from portmail.security import Security
from portmail.store import Key, Store

V = TypeVar("V")

_HOUR, _DAY = 3600.0, 86400.0

USUAL_LIFETIME = 7 * _DAY
"""Seconds until it is time to look again, where the source says nothing else."""

_SHORTEST, _LONGEST = 300.0, _DAY
"""Seconds between which a source may choose: a record of DNS may live for no time at all."""

_KEPT = 180 * _DAY
"""Seconds after which a pin that nobody could refresh is dropped."""

_NOTHING = _HOUR
"""Seconds for which a definite no is believed."""

_BOUND = 1024
"""Entries of a cache. A program that sends for more accounts looks some of them up again."""

_ROUTES, _APPROVALS = "routes", "approvals"
_VERSION = 1

_OWN_NAME = (FULL_ADDRESS, "%EMAILLOCALPART%")
_OWN_TABLE = (Source.BUNDLED, Source.MX)


@dataclass(frozen=True, slots=True)
class Pin:
    """What was found, when, and from when on it should be looked for again (Unix times).

    All its candidates are of one source and trust, and insist on verified TLS.

    Raises:
        ValueError: they are not, there are none, or the times make no sense.
    """

    candidates: tuple[Candidate, ...]
    found: float
    due: float

    def __post_init__(self) -> None:
        if len({(candidate.source, candidate.trust) for candidate in self.candidates}) != 1:
            raise ValueError("the candidates of a pin are of one source and trust")
        if not all(candidate.route.security.encrypted for candidate in self.candidates):
            raise ValueError("a pin holds no route that does not insist on TLS")
        if not 0 <= self.found <= self.due <= self.found + USUAL_LIFETIME < math.inf:
            raise ValueError("a pin is due after it was found, and within a week")

    @classmethod
    def of(cls, candidates: Collection[Candidate], *, now: float, lifetime: float | None = None) -> Pin:
        """A pin of what was found now. `lifetime` is what its source says, in seconds, as in `Finding`."""
        seconds = USUAL_LIFETIME if lifetime is None else min(max(_SHORTEST, lifetime), _LONGEST)
        return cls(tuple(candidates), now, now + seconds)

    @property
    def source(self) -> Source:
        """Who said so."""
        return self.candidates[0].source

    @property
    def trust(self) -> Trust:
        """How far that can be trusted."""
        return self.candidates[0].trust

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that it leads to."""
        return frozenset(candidate.route.host for candidate in self.candidates)

    def is_due(self, now: float) -> bool:
        """Whether it is time to look again. Also where the clock went back: nobody knows how old it is."""
        return not self.found <= now < self.due

    def has_ended(self, now: float) -> bool:
        """Whether it is too old to be used at all."""
        return abs(now - self.found) > _KEPT


def may_replace(
    old: Pin, candidates: Collection[Candidate], *, approved: Collection[str] = frozenset()
) -> bool:
    """Whether what is found now may take the place of a pin.

    Each candidate must be trusted as much, or lead to a host that is approved: who blocks the way to a
    good source does not get a worse one believed, not even step by step.
    """
    return bool(candidates) and all(
        not candidate.trust < old.trust or candidate.route.host in approved for candidate in candidates
    )


def pin_key(domain: str, *, discovery: Discovery, tls_ca: Path | None = None) -> Key:
    """What a pin is about: a domain, as it is looked for with these options."""
    return (
        domain,
        " ".join(sorted(source.value for source in discovery.asked)),
        discovery.resolver or "",
        Validation(discovery.validation).value,
        discovery.ispdb,
        _place(tls_ca) if tls_ca else "",
    )


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
        elif pin := _pin_in(self._store.read(_ROUTES, key)):
            pin = self._pins.setdefault(key, pin)
            _limit(self._pins)
        if pin and pin.has_ended(self.clock()):
            self.forget(key)
            return None
        return pin

    def keep(self, key: Key, pin: Pin) -> None:
        """Remember what was found. What names a person is not written to the store."""
        _put(self._pins, key, pin)
        self._nothing.pop(key, None)
        if _names_nobody(pin):
            self._store.write(_ROUTES, key, _of_pin(pin))
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
        return here | _hosts_in(self._store.read(_APPROVALS, (domain,)))

    def approve(self, domain: str, host: str) -> None:
        """A person approved a host for a domain. It counts without end, whatever the options are."""
        self._approvals.setdefault(domain, {})[host.lower().removesuffix(".")] = None
        _limit(self._approvals)
        hosts = sorted(self.approved(domain))
        self._store.write(_APPROVALS, (domain,), {"version": _VERSION, "hosts": hosts})

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


def _place(path: Path) -> str:
    try:
        return str(path.absolute())
    except OSError:  # the current directory is gone
        return str(path)


def _names_nobody(pin: Pin) -> bool:
    """Whether no user name in it can be a person's: each is a template, or of portmail's own table."""
    names = [candidate.username for candidate in pin.candidates if candidate.source not in _OWN_TABLE]
    return all(name is None or any(own in name for own in _OWN_NAME) for name in names)


def _of_pin(pin: Pin) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "source": pin.source.value,
        "trust": pin.trust.value,
        "found": float(pin.found),
        "due": float(pin.due),
        "candidates": [_of_candidate(candidate) for candidate in pin.candidates],
    }


def _of_candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "host": candidate.route.host,
        "port": candidate.route.port,
        "security": candidate.route.security.value,
        "username": candidate.username,
        "logins": sorted(login.value for login in candidate.logins),
        "derived": candidate.derived,
        "note": candidate.note,
    }


_Known: TypeAlias = Mapping[str, type | tuple[type, ...]]
"""The fields of an object, with their types."""

_PIN_FIELDS: _Known = {
    "version": int,
    "source": str,
    "trust": str,
    "found": float,
    "due": float,
    "candidates": list,
}
_CANDIDATE_FIELDS: _Known = {
    "host": str,
    "port": int,
    "security": str,
    "username": (str, type(None)),
    "logins": list,
    "derived": str,
    "note": str,
}
_APPROVAL_FIELDS: _Known = {"version": int, "hosts": list}


def _pin_in(value: Any) -> Pin | None:
    """The pin that was written so; None if anything about it is odd."""
    try:
        fields = _versioned(value, _PIN_FIELDS)
        source, trust = Source(fields["source"]), Trust(fields["trust"])
        candidates = [_candidate_in(entry, source=source, trust=trust) for entry in fields["candidates"]]
        return Pin(tuple(candidates), fields["found"], fields["due"])
    except ValueError:
        return None


def _candidate_in(value: Any, *, source: Source, trust: Trust) -> Candidate:
    fields = _fields(value, _CANDIDATE_FIELDS)
    route = Route(fields["host"], fields["port"], Security(fields["security"]))
    logins = frozenset(Login(login) for login in fields["logins"])
    rest = {name: fields[name] for name in ("username", "derived", "note")}
    candidate = Candidate(route, source, trust, logins=logins, **rest)
    if _of_candidate(candidate) != value:
        raise ValueError("it is not as it would be written")
    return candidate


def _hosts_in(value: Any) -> frozenset[str]:
    try:
        hosts = _versioned(value, _APPROVAL_FIELDS)["hosts"]
    except ValueError:
        return frozenset()
    return frozenset(hosts) if all(isinstance(host, str) for host in hosts) else frozenset()


def _fields(value: Any, known: _Known) -> dict[str, Any]:
    """The fields of an object that has exactly those that are known.

    Raises:
        ValueError: it is anything else.
    """
    if not (isinstance(value, dict) and value.keys() == known.keys()):
        raise ValueError("these are other fields")
    if not all(isinstance(value[name], known[name]) and not isinstance(value[name], bool) for name in known):
        raise ValueError("a field is of another type")
    return value


def _versioned(value: Any, known: _Known) -> dict[str, Any]:
    fields = _fields(value, known)
    if fields["version"] != _VERSION:
        raise ValueError("it is of another version")
    return fields
