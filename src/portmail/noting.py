"""What else is worth knowing of a case? Hints on what was seen, other ways, dead families, certificates."""

from __future__ import annotations

from collections.abc import Iterator

from portmail.case import Case
from portmail.cause import Cause
from portmail.hints import hints_for
from portmail.particulars import why
from portmail.phrase import Phrase, ports_in_words
from portmail.route import PORTS, RELAY
from portmail.seen import Seen, by_route, cause_of, gone_by, is_blocked, is_shut, rank
from portmail.situation import SAYS_ALL, Situation
from portmail.spelling import url_of
from portmail.story import Note

SOON = 14
"""Days before a certificate's end at which that is told."""

_IMPOSTURES = (Cause.CERTIFICATE_NAME, Cause.CERTIFICATE_UNTRUSTED)
"""What a server that is known never does."""

_DEAD = {6: Note.IPV6_DEAD, 4: Note.IPV4_DEAD}
_FAILS = {6: Note.IPV6_FAILS, 4: Note.IPV4_FAILS}


def notes(case: Case, *, situation: Situation, about: Seen) -> Iterator[Phrase]:
    """What to add to the story of this situation, which is about that failure."""
    if about.failure is not None and situation not in SAYS_ALL:
        for hint in hints_for(about.failure, route=about.route):
            yield Phrase(Note.HINT.value, {"hint": Phrase(hint.text)})
    yield from _of_first_families(case)
    if case.around.known and about.route.host == case.host and cause_of(about) in _IMPOSTURES:
        yield Phrase(Note.IMPOSTOR.value, {"host": case.host})
    if case.way is not None and any(_is_by_policy(it, case=case) for it in case.closed):
        yield Phrase(Note.POLICY.value, {"policy": Phrase(case.around.policy)})
    if case.open is None:
        yield from _of_weaker_ways(case)
        yield from _of_silence(about)
        if situation is Situation.PROHIBITED and not (case.around.alive or case.answers(about.route.host)):
            yield Phrase(Note.PERHAPS_OFF.value, {"host": about.route.host})
    else:
        yield from _of_families(case)
        yield from _of_certificates(case)
        yield from _of_the_relay(case)


def _is_by_policy(it: Seen, *, case: Case) -> bool:
    """Whether the place where this machine stands says that it blocks this."""
    return is_blocked(it) and it.route.port in case.around.blocks


def _of_weaker_ways(case: Case) -> Iterator[Phrase]:
    for it in case.seen:
        if it.used and not it.route.security.encrypted and cause_of(it) in (None, Cause.WEAKER):
            yield Phrase(Note.WEAKER.value, {"route": str(it.route), "url": url_of(it.route)})
            return


def _of_silence(about: Seen) -> Iterator[Phrase]:
    if cause_of(about) is Cause.SILENT and about.route.port not in PORTS:
        yield Phrase(Note.PERHAPS_TLS.value, {"ports": ports_in_words((about.route.port,))})


def _of_families(case: Case) -> Iterator[Phrase]:
    open_ones = {it.family for it in case.seen if it.failure is None} - {None}
    for family, note in _DEAD.items():
        its = [it for it in case.seen if it.family == family]
        if its and open_ones and all(map(is_shut, its)):
            yield Phrase(note.value, {"why": why(min(its, key=rank).failure)})


def _of_first_families(case: Case) -> Iterator[Phrase]:
    """What mail meets first fails, although there would be another way to the same port."""
    for its in by_route([it for it in case.seen if it.used]):
        way = gone_by(its)
        if way and way.failure and way.family and any(it.failure is None for it in its):
            yield Phrase(_FAILS[way.family].value, {"why": why(way.failure), "open": str(way.route)})
            return


def _of_certificates(case: Case) -> Iterator[Phrase]:
    for it in case.seen:
        shown = it.certificate if it.failure is None and it.used else None
        if shown is None or not it.route.security.encrypted:  # a relay's counts for nothing
            continue
        if shown.days_left(case.around.today) < SOON:
            date = str(shown.not_after.date())
            yield Phrase(Note.EXPIRES.value, {"host": it.route.host, "date": date})
            return


def _of_the_relay(case: Case) -> Iterator[Phrase]:
    relay = [it for it in case.seen if it.route.port == RELAY and cause_of(it) is not Cause.UNREACHABLE]
    if relay and all(map(is_blocked, relay)):
        yield Phrase(Note.RELAY_CLOSED.value)
