"""What is the matter with mail from here, who stands in the way, and what is to be done? `diagnose`.

Decided from what each route came to, without a socket: for the probes of a check, and for the attempts
behind an error. What comes first in a table counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from portmail.case import ANYWHERE, Case, Surroundings, case_of
from portmail.cause import SHUT, Cause
from portmail.failure import Failure, Phase
from portmail.hints import hints_for
from portmail.noting import notes
from portmail.particulars import impostor, particulars, why
from portmail.phrase import Phrase, Value, ports_in_words
from portmail.route import SUBMISSIONS, Route
from portmail.seen import BLOCKED, Seen, are_of_one_kind, cause_of, is_blocked, is_insecure, rank
from portmail.situation import BY_CAUSE, MAIL_GOES_OUT, Blocker, Situation
from portmail.spelling import port_of, url_of
from portmail.story import ELSEWHERE, INSTEAD, STORIES, Note


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

_OWN = frozenset(BY_CAUSE.values()) | {Situation.LOGIN_REFUSED, Situation.LOGIN_FAILED, Situation.NO_SECRET}
"""Situations whose sentence says by itself what the cause's words say."""

_ATTACKS = (Situation.STRIPPED, Situation.INJECTED)
"""Situations whose advice comes before any other way that is open."""

_BESIDE_465 = (Situation.NO_STARTTLS, Situation.CLEAR_AUTH, Situation.PROXY)
"""Situations whose advice is port 465."""

_BY_OTHERS = (Blocker.NETWORK, Blocker.MACHINE)
"""Who takes the security away from a server that has it."""


class LoginOutcome(NamedTuple):
    """A login was tried on the open route; why it failed, if it did."""

    failure: Failure | None


def diagnose(
    seen: Sequence[Seen], *, surroundings: Surroundings = ANYWHERE, login: LoginOutcome | None = None
) -> Diagnosis:
    """The verdict over what was seen: never empty, in the order in which routes are preferred."""
    case = case_of(seen, around=surroundings)
    if case.open is None:
        return _told(case, _how_closed(case), about=case.worst)
    if login is not None and not _hides(login, case=case):
        return _told(case, _of_login(login.failure), about=case.open._replace(failure=login.failure))
    worst = min(case.closed, key=lambda it: (not is_insecure(it), rank(it)), default=case.open)
    return _told(case, _how_open(case.open, worst=worst), about=worst)


def _hides(login: LoginOutcome, *, case: Case) -> bool:
    """Whether a login that went well would hide that another way is not secure."""
    return login.failure is None and any(map(is_insecure, case.closed))


def _of_login(failure: Failure | None) -> Situation:
    if failure is None:
        return Situation.LOGGED_IN
    if failure.cause is Cause.NO_SECRET:
        return Situation.NO_SECRET
    refused = failure.phase is Phase.AUTH and failure.cause is Cause.REFUSED_PERMANENT
    return Situation.LOGIN_REFUSED if refused else Situation.LOGIN_FAILED


def _how(it: Seen) -> Situation:
    return BY_CAUSE.get(cause_of(it) or Cause.FAULT, Situation.OTHER)


def _how_open(way: Seen, *, worst: Seen) -> Situation:
    """How it is where mail goes by this way, and that is the worst of the others, if any is closed."""
    if is_insecure(worst):
        by_others = STORIES[_how(worst)].blocker in _BY_OTHERS
        return Situation.TAMPERED_IN_PART if by_others else Situation.INSECURE_IN_PART
    if not way.encrypted:
        return Situation.OPEN_UNENCRYPTED
    if worst is way:
        return Situation.OPEN
    return Situation.OPEN_IN_PART if way.route.security.encrypted else Situation.RELAY_OPEN


def _how_closed(case: Case) -> Situation:
    worst = case.worst
    cause = cause_of(worst)
    if not case.around.online and cause in _ALONE:
        return Situation.OFFLINE
    if cause is Cause.UNREACHABLE and case.around.alive:  # by another port there is a way
        return Situation.PROHIBITED
    if cause in BLOCKED:
        return _how_blocked(case, worst=worst)
    if cause is Cause.REFUSED and case.elsewhere is not None:
        return Situation.WRONG_PORT
    return _how(worst)


def _how_blocked(case: Case, *, worst: Seen) -> Situation:
    relay = case.is_of_the_relay and cause_of(worst) in SHUT
    if case.elsewhere is not None:
        return Situation.RELAY_BLOCKED if relay else Situation.OTHER_PORT_OPEN
    if not is_blocked(worst):  # it answered, and then no longer
        return Situation.OTHER
    if case.around.blocks.issuperset(it.route.port for it in case.closed if is_blocked(it)):
        return Situation.BLOCKED_BY_HOSTING
    if relay and case.answers(worst.route.host):
        return Situation.RELAY_BLOCKED
    return _how_silent(case, host=worst.route.host) if cause_of(worst) is Cause.TIMED_OUT else _how(worst)


def _how_silent(case: Case, *, host: str) -> Situation:
    """Who else answers shows whether the host is there; and whether it is one for mail."""
    first = host == case.host
    alive = case.answers(host) or (first and case.around.alive)
    if case.answers(host, for_submission=True) or (alive and first and case.around.known):
        return Situation.BLOCKED
    return Situation.NO_MAIL_PORT if alive else Situation.SILENT


def _told(case: Case, situation: Situation, *, about: Seen) -> Diagnosis:
    values = _values(case, situation, about=about)
    noted = list(notes(case, situation=situation, about=about))
    if case.elsewhere is not None and situation in _ATTACKS:
        noted.append(Phrase(Note.INSTEAD.value, values))
    if situation is Situation.LOGGED_IN and case.closed:
        noted.append(Phrase(Note.CLOSED.value, _values(case, situation, about=min(case.closed, key=rank))))
    advice = _advice(case, situation, about=about)
    return Diagnosis(
        situation,
        case.way.route if case.way else None,
        Phrase(STORIES[situation].headline, values),
        Phrase(advice, values) if advice else None,
        tuple(noted),
    )


def _advice(case: Case, situation: Situation, *, about: Seen) -> str:
    """What to do. Where a hint says why a login was refused, that the password may be wrong says less."""
    if situation is Situation.LOGIN_REFUSED and _is_explained(about):
        return ""
    if case.elsewhere is not None and situation not in _ATTACKS:
        return INSTEAD
    if situation in _BESIDE_465 and any(it.route.port == SUBMISSIONS for it in case.closed):
        return ELSEWHERE
    return case.around.policy if situation is Situation.BLOCKED_BY_HOSTING else STORIES[situation].advice


def _is_explained(it: Seen) -> bool:
    """Whether a hint says why, of this very server or reply."""
    return it.failure is not None and any(hint.special for hint in hints_for(it.failure, route=it.route))


def _values(case: Case, situation: Situation, *, about: Seen) -> Mapping[str, Value]:
    alike = [it.route.port for it in case.closed if are_of_one_kind(it, about)] or [about.route.port]
    in_detail = situation in _OWN
    way = case.way.route if case.way else None
    return {
        "host": about.route.host,
        "ports": ports_in_words(tuple(alike)),
        "open": str(way) if way else "",
        "port": port_of(way) if way else "",
        "url": url_of(way) if way else "",
        "why": particulars(about.failure, now=case.around.today) if in_detail else why(about.failure),
        "name": impostor(about.failure),
        "place": case.around.place,
        "username": case.around.username,
    }
