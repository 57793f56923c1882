"""What is the matter with mail from here, who stands in the way, and what is to be done? `diagnose`.

Decided from what each route came to, without a socket: for the probes of a check, and for the attempts
behind an error. What comes first in a table counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from portmail.cause import Cause
from portmail.failure import Failure, Phase
from portmail.hints import hints_for
from portmail.particulars import impostor, particulars, why
from portmail.phrase import Phrase, Value, ports_in_words
from portmail.route import PORTS, RELAY, Route
from portmail.security import Security
from portmail.seen import (
    BLOCKED,
    SHUT,
    Seen,
    answers,
    are_of_one_kind,
    cause_of,
    closed_ways,
    is_a_last_resort,
    is_a_way_out,
    is_blocked,
    is_insecure,
    rank,
    reread,
    taken,
)
from portmail.situation import BY_CAUSE, MAIL_GOES_OUT, SAYS_ALL, STORIES, Blocker, Note, Situation

SOON = 14
"""Days before a certificate's end at which that is told."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the routes.

    Attributes:
        online: whether this machine has any network.
        alive: whether the host answers on other ports; None where nobody asked.
        place, blocks, policy: the hosting provider, the ports that it blocks, and what it says of that.
        username: who would log in, empty for nobody.
        now: for the dates of certificates.
    """

    online: bool = True
    alive: bool | None = None
    place: str = ""
    blocks: frozenset[int] = frozenset()
    policy: str = ""
    username: str = ""
    now: datetime | None = None

    @property
    def today(self) -> datetime:
        """What time it is."""
        return self.now or datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict over all routes.

    Attributes:
        situation: what is the matter, for programs.
        open: the route that mail takes, or could take with other settings; None where none is open.
        headline, advice: what is the matter, and what to do (None where nothing needs to be done).
        notes: what else is worth knowing.
    """

    situation: Situation
    open: Route | None
    headline: Phrase
    advice: Phrase | None
    notes: tuple[Phrase, ...] = ()

    @property
    def blocker(self) -> Blocker:
        """Who stands in the way, most likely."""
        return STORIES[self.situation].blocker

    @property
    def can_send(self) -> bool:
        """Whether mail can go out with the settings as they are."""
        return self.situation in MAIL_GOES_OUT


_ALONE = (Cause.UNREACHABLE, Cause.RESOLVER_FAILED, Cause.NAME_NOT_FOUND, Cause.PROHIBITED)
"""How everything looks without a network."""

_OWN = frozenset(BY_CAUSE.values()) | {Situation.LOGIN_REFUSED, Situation.LOGIN_FAILED}
"""Situations whose sentence says by itself what the cause's words say."""


class LoginOutcome(NamedTuple):
    """A login was tried on the open route; why it failed, if it did."""

    failure: Failure | None


def diagnose(
    seen: Sequence[Seen], *, surroundings: Surroundings = Surroundings(), login: LoginOutcome | None = None
) -> Diagnosis:
    """The verdict over what was seen: never empty, in the order in which routes are preferred."""
    return _Case(seen, surroundings=surroundings).diagnosis(login)


class _Case:
    """One set of routes, looked at from all sides."""

    def __init__(self, seen: Sequence[Seen], *, surroundings: Surroundings) -> None:
        there = {
            (it.route.host, it.family) for it in seen if answers(it) and cause_of(it) is not Cause.REFUSED
        }
        self._seen = [it._replace(failure=reread(it, there=there)) for it in seen]
        self._around = surroundings
        used = [it for it in self._seen if it.used]
        closed = closed_ways(used)
        self._open = taken(used, closed=closed)
        self._closed = [it for it in closed if not is_a_last_resort(it, beside=self._open)]
        self._elsewhere = next((it for it in self._seen if it.failure is None and is_a_way_out(it)), None)

    def diagnosis(self, login: LoginOutcome | None) -> Diagnosis:
        if login is not None and self._open is not None and not self._hides(login):
            return self._story(_of_login(login.failure), about=self._open._replace(failure=login.failure))
        if self._open is not None:
            worst = min(self._closed, key=lambda it: (not is_insecure(it), rank(it)), default=self._open)
            return self._story(self._how_open(self._open), about=worst)
        worst = min(self._closed, key=rank)
        return self._story(self._how_closed(worst), about=worst)

    def _hides(self, login: LoginOutcome) -> bool:
        """Whether a login that went well would hide that another way is not secure."""
        return login.failure is None and any(map(is_insecure, self._closed))

    def _how_open(self, way: Seen) -> Situation:
        if any(map(is_insecure, self._closed)):
            return Situation.TAMPERED_IN_PART
        if not way.encrypted:
            return Situation.OPEN_UNENCRYPTED
        return Situation.OPEN_IN_PART if self._closed else Situation.OPEN

    def _how_closed(self, worst: Seen) -> Situation:
        cause = cause_of(worst) or Cause.FAULT
        if not self._around.online and cause in _ALONE:
            return Situation.OFFLINE
        if cause is Cause.UNREACHABLE and self._around.alive:  # by another port there is a way
            return Situation.FORBIDDEN
        if cause in BLOCKED:
            return self._how_blocked(worst, cause=cause)
        if self._elsewhere is not None and cause is Cause.REFUSED:
            return Situation.OTHER_PORT_OPEN
        return BY_CAUSE.get(cause, Situation.OTHER)

    def _how_blocked(self, worst: Seen, *, cause: Cause) -> Situation:
        if self._elsewhere is not None:
            relay = {it.route.port for it in self._closed} == {RELAY} and cause in SHUT
            return Situation.RELAY_BLOCKED if relay else Situation.OTHER_PORT_OPEN
        if not is_blocked(worst):  # it answered, and then no longer
            return Situation.OTHER
        if self._around.blocks.issuperset(it.route.port for it in self._closed if is_blocked(it)):
            return Situation.BLOCKED_BY_HOSTING
        if cause is Cause.TIMED_OUT and self._is_alive(worst.route.host):
            return Situation.BLOCKED
        return BY_CAUSE[cause]

    def _is_alive(self, host: str) -> bool:
        """Whether anything of the host answered."""
        return bool(self._around.alive) or any(answers(it) for it in self._seen if it.route.host == host)

    def _story(self, situation: Situation, *, about: Seen) -> Diagnosis:
        story = STORIES[situation]
        way = self._open or self._elsewhere
        values = self._values(situation, about=about, way=way)
        advice = Phrase(self._around.policy) if story.advice == "{policy}" else Phrase(story.advice, values)
        return Diagnosis(
            situation,
            way.route if way else None,
            Phrase(story.headline, values),
            advice if advice.text else None,
            tuple(self._notes(situation, about=about)),
        )

    def _values(self, situation: Situation, *, about: Seen, way: Seen | None) -> Mapping[str, Value]:
        alike = [it.route.port for it in self._closed if are_of_one_kind(it, about)] or [about.route.port]
        return {
            "host": about.route.host,
            "ports": ports_in_words(tuple(alike)),
            "open": str(way.route) if way else "",
            "port": _port(way.route) if way else "",
            "url": _url(way.route) if way else "",
            "why": particulars(about.failure, now=self._around.today)
            if situation in _OWN
            else why(about.failure),
            "name": impostor(about.failure),
            "place": self._around.place,
            "username": self._around.username,
        }

    def _notes(self, situation: Situation, *, about: Seen) -> Iterable[Phrase]:
        if about.failure is not None and situation not in SAYS_ALL:
            found = hints_for(about.failure, route=about.route)
            yield from (Phrase(Note.HINT.value, {"hint": Phrase(hint.text)}) for hint in found)
        if self._open is not None:
            yield from self._of_families()
            yield from self._of_certificates()
            yield from self._of_the_relay()

    def _of_the_relay(self) -> Iterable[Phrase]:
        relay = [it for it in self._seen if it.route.port == RELAY and cause_of(it) is not Cause.UNREACHABLE]
        if relay and all(map(is_blocked, relay)):
            yield Phrase(Note.RELAY_CLOSED.value)

    def _of_families(self) -> Iterable[Phrase]:
        for family, note in ((6, Note.IPV6_DEAD), (4, Note.IPV4_DEAD)):
            its = [it for it in self._seen if it.family == family]
            dead = [it for it in its if is_blocked(it)]
            other = [it for it in self._seen if it.family not in (family, None) and it.failure is None]
            if its and len(dead) == len(its) and other:
                yield Phrase(note.value, {"why": why(min(dead, key=rank).failure)})

    def _of_certificates(self) -> Iterable[Phrase]:
        for it in self._seen:
            certificate = it.certificate if it.failure is None and it.used else None
            if certificate is None or not it.route.security.encrypted:  # a relay's counts for nothing
                continue
            if (days := certificate.days_left(self._around.today)) < SOON:
                yield Phrase(Note.EXPIRES.value, {"host": it.route.host, "days": str(days)})
                return


def _of_login(failure: Failure | None) -> Situation:
    if failure is None:
        return Situation.LOGGED_IN
    refused = failure.phase is Phase.AUTH and failure.cause is Cause.REFUSED_PERMANENT
    return Situation.LOGIN_REFUSED if refused else Situation.LOGIN_FAILED


def _url(route: Route) -> str:
    """An account URL for a route, with a user name to be filled in."""
    scheme = "submissions" if route.security is Security.IMPLICIT_TLS else "submission"
    port = "" if PORTS.get(route.port) is route.security else f":{route.port}"
    host = f"[{route.host}]" if ":" in route.host else route.host
    return f"{scheme}://user@{host}{port}"


def _port(route: Route) -> str:
    """What follows `port=` in the settings, so that they mean this route."""
    usual = PORTS.get(route.port, Security.STARTTLS)  # what a port of no meaning is, with a login
    return str(route.port) if usual is route.security else f"{route.port}, security={route.security.value!r}"
