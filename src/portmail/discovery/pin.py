"""What is remembered of an account's server? `Pin`: candidates, for how long, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from portmail.candidate import FULL_ADDRESS, LOCAL_PART, Candidate, Login, Source, Trust
from portmail.route import Route
from portmail.search import Discovery, Validation
from portmail.security import Security
from portmail.store import Key

_DAY = 86400.0

USUAL_LIFETIME = 7 * _DAY
"""Seconds until it is time to look again, where the source says nothing else."""

_SHORTEST, _LONGEST = 300.0, _DAY
"""Seconds between which a source may choose: a record of DNS may live for no time at all."""

_KEPT = 180 * _DAY
"""Seconds after which a pin that nobody could refresh is dropped."""

_VERSION = 1

_OWN_NAME = (FULL_ADDRESS, LOCAL_PART)
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


def _place(path: Path) -> str:
    try:
        return str(path.absolute())
    except OSError:  # the current directory is gone
        return str(path)


def names_nobody(pin: Pin) -> bool:
    """Whether no user name in it can be a person's: each is a template, or of portmail's own table."""
    names = [candidate.username for candidate in pin.candidates if candidate.source not in _OWN_TABLE]
    return all(name is None or any(own in name for own in _OWN_NAME) for name in names)


def as_data(pin: Pin) -> dict[str, Any]:
    """The pin, to be written."""
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


def pin_in(value: Any) -> Pin | None:
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


def hosts_as_data(hosts: Collection[str]) -> dict[str, Any]:
    """Approved hosts, to be written."""
    return {"version": _VERSION, "hosts": sorted(hosts)}


def hosts_in(value: Any) -> frozenset[str]:
    """The hosts that were written so; none if anything about it is odd."""
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
