"""What do a domain's SRV records say? `_submissions` and `_submission` (RFC 6186, RFC 8314 section 5.1)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from portmail.candidate import Answer, Candidate, Evidence, Finding, Rejection, Source, Trust
from portmail.discovery.foreign import Unfit, proper_host, shown
from portmail.discovery.outside import Missed, Outside, Records, Srv
from portmail.route import RELAY, Route
from portmail.security import Security

_LABELS = {"_submissions._tcp": Security.IMPLICIT_TLS, "_submission._tcp": Security.STARTTLS}
"""What each label means, on whichever port."""

_MOST = 8
"""Records of a label that are looked at."""


async def find(domain: str, *, outside: Outside) -> Finding:
    """Ask for both services. Signed by DNSSEC it is the owner's word, else anybody's."""
    parts = await asyncio.gather(*(_ask(label, domain, outside=outside) for label in _LABELS))
    lifetimes = [part.lifetime for part in parts if part.lifetime is not None]
    return Finding(
        candidates=tuple(candidate for part in parts for candidate in part.candidates),
        rejected=tuple(rejection for part in parts for rejection in part.rejected),
        evidence=tuple(evidence for part in parts for evidence in part.evidence),
        lifetime=min(lifetimes, default=None),
    )


async def _ask(label: str, domain: str, *, outside: Outside) -> Finding:
    asked = f"SRV {label}.{domain}"
    try:
        found = await outside.srv(f"{label}.{domain}")
    except Missed as missed:
        return Finding(evidence=(Evidence(Source.SRV, asked, missed.answer, missed.said, Trust.UNSIGNED),))
    trust = Trust.OWNER if found.signed else Trust.UNSIGNED
    if {record.target for record in found.records} == {""}:
        evidence = Evidence(Source.SRV, asked, Answer.NOT_OFFERED, "decidedly not offered", trust)
        return Finding(evidence=(evidence,), lifetime=found.lifetime)
    records = in_order(found.records)[:_MOST]
    reasons = await asyncio.gather(*(_reason_against(record, outside=outside) for record in records))
    pairs = list(zip(records, reasons, strict=True))
    return Finding(
        candidates=tuple(
            Candidate(Route(record.target, record.port, _LABELS[label]), Source.SRV, trust)
            for record, reason in pairs
            if not reason
        ),
        rejected=tuple(Rejection(_place(record), Source.SRV, reason) for record, reason in pairs if reason),
        evidence=(Evidence(Source.SRV, asked, Answer.FOUND, _said(found), trust),),
        lifetime=found.lifetime,
    )


def in_order(records: Sequence[Srv], *, draw: Callable[[int, int], int] = random.randint) -> list[Srv]:
    """The order in which targets are tried: by priority, then by lot with the weights (RFC 2782).

    `draw(low, high)` returns a number from `low` to `high`, both included.
    """
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        rest = sorted((record for record in records if record.priority == priority), key=_weight)
        while rest:
            ordered.append(rest.pop(_place_of(draw(0, sum(map(_weight, rest))), rest)))
    return ordered


def _weight(record: Srv) -> int:
    return record.weight


def _place_of(drawn: int, records: Sequence[Srv]) -> int:
    """The first whose running sum of weights is not below the number; those of no weight come first."""
    total = 0
    for place, record in enumerate(records):
        total += record.weight
        if total >= drawn:
            return place
    raise AssertionError("a number beyond the sum of the weights")


async def _reason_against(record: Srv, *, outside: Outside) -> str:
    """Why it is not used; empty where nothing speaks against it."""
    if reason := _malformed(record):
        return reason
    try:
        alias = await outside.alias(record.target)
    except Missed as missed:  # that nobody answers says nothing against it
        return "the host does not exist" if missed.answer is Answer.ABSENT else ""
    return f"an alias of {shown(alias)}: RFC 2782 wants the host itself" if alias else ""


def _malformed(record: Srv) -> str:
    if not record.target:
        return "a dot among other targets"
    if record.port == RELAY:
        return "port 25 is for relays, not for submission (RFC 6409)"
    if not record.port:
        return "0 is no port"
    try:
        proper_host(record.target)
    except Unfit as unfit:
        return str(unfit)
    return ""


def _place(record: Srv) -> str:
    return shown(f"{record.target or '.'}:{record.port}")


def _said(found: Records[Srv]) -> str:
    some = ", ".join(_place(record) for record in found.records[:3])
    more = f" and {len(found.records) - 3} more" if len(found.records) > 3 else ""
    return f"{shown(some)}{more}{', validated by DNSSEC' if found.signed else ''}"
