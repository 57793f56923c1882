"""Which of the answers counts? The decision, without I/O: how sources rank, and what may be used unasked.

| trust     | sources                                                       | used without asking        |
|-----------|---------------------------------------------------------------|----------------------------|
| owner     | the table by the very domain, https from it, PACC, signed SRV | whatever the host          |
| directory | MX that leads into the table, the ISP database over https     | whatever the host          |
| unsigned  | SRV without DNSSEC, guesses                                   | hosts within the domain    |

All that is used is of one source and one trust, the best that answered. Others are named, and not used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from portmail.candidate import Answer, Candidate, Evidence, Finding, Findings, Rejection, Source, Trust
from portmail.discovery.expanding import expanded
from portmail.discovery.explaining import absent, incomplete, unapproved
from portmail.errors import DiscoveryError
from portmail.search import Search

_ORDER = (
    Source.BUNDLED,
    Source.AUTOCONFIG,
    Source.WELL_KNOWN,
    Source.PACC,
    Source.SRV,
    Source.MX,
    Source.ISPDB,
    Source.GUESS,
)
"""Of what is equally trusted, whose word counts first."""

_AT_BEST = {Source.MX: Trust.DIRECTORY, Source.ISPDB: Trust.DIRECTORY, Source.GUESS: Trust.UNSIGNED}
"""The most that an answer of these can be trusted; of all others, the owner's word."""

_OWNERS = (Source.AUTOCONFIG, Source.WELL_KNOWN, Source.PACC)
"""What the owner says over https, which somebody on the way can hold up, but not change."""

_MOST = 6
"""Routes that are tried."""

_APPROVAL = "a host in another domain, which only unsigned DNS names: it needs approval"


class Rank(NamedTuple):
    """The place of an answer; the least is the best."""

    trust: int
    source: int


def rank(source: Source, trust: Trust | None = None) -> Rank:
    """The place of a source's answer that is trusted so far, or of the best that it may give."""
    trust = trust or _AT_BEST.get(source, Trust.OWNER)
    return Rank(list(Trust).index(trust), _ORDER.index(source))


def routes_of(finding: Finding) -> tuple[Candidate, ...]:
    """All that a finding's source leads to, in order."""
    complete = any(it.answer is Answer.NOT_OFFERED for it in finding.evidence)
    return expanded(finding.candidates, complete=complete)


def may_be_used(candidate: Candidate, *, domain: str) -> bool:
    """Whether it may be connected to without asking (RFC 6186 section 6, RFC 8314 section 5.1)."""
    return candidate.trust is not Trust.UNSIGNED or candidate.within(domain)


def best(findings: Mapping[Source, Finding], *, domain: str) -> tuple[Candidate, ...]:
    """What may be used without asking, of the best source that has some."""
    usable: dict[Rank, list[Candidate]] = {}
    for finding in findings.values():
        for it in routes_of(finding):
            if may_be_used(it, domain=domain):
                usable.setdefault(rank(it.source, it.trust), []).append(it)
    return tuple(usable[min(usable)]) if usable else ()


def foreign(findings: Mapping[Source, Finding], *, domain: str) -> tuple[Candidate, ...]:
    """What may be used only if the user approves of its host."""
    routes = (it for finding in findings.values() for it in routes_of(finding))
    return tuple(it for it in routes if not may_be_used(it, domain=domain))


def better(pending: Collection[Source], than: Sequence[Candidate]) -> frozenset[Source]:
    """The sources that did not answer yet, and whose word would count more."""
    if not than:
        return frozenset(pending)
    return frozenset(it for it in pending if rank(it) < rank(than[0].source, than[0].trust))


def may_guess(findings: Mapping[Source, Finding]) -> bool:
    """Whether everybody said for sure that they know nothing, and nobody that there is nothing."""
    evidence = [it for finding in findings.values() for it in finding.evidence]
    return bool(evidence) and all(it.answer.definite for it in evidence)


def decide(findings: Mapping[Source, Finding], *, search: Search) -> Findings:
    """What is used, of all that was answered.

    Raises:
        ApprovalRequired: all that was found needs the user's word.
        DiscoveryIncomplete: somebody who would know did not answer.
        DiscoveryError: there is nothing.
    """
    domain = search.domain
    strange = foreign(findings, domain=domain)
    used = best(findings, domain=domain)
    if not used or _owner_silent(findings, instead=used[0]):
        used = tuple(it for it in (*used, *strange) if search.approves(it))
    evidence = tuple(it for source in _ORDER if source in findings for it in findings[source].evidence)
    if not used:
        raise _nothing(findings, search=search, evidence=evidence)
    rejected = _rejected(findings, used=used, domain=domain)
    rejected += (_unused(it, f"more than {_MOST} routes") for it in used[_MOST:])
    lifetime = findings[used[0].source].lifetime
    return Findings(domain, used[:_MOST], tuple(rejected), evidence, lifetime)


def _owner_silent(findings: Mapping[Source, Finding], *, instead: Candidate) -> bool:
    """Whether unsigned DNS would be believed where the owner's own word did not come: it may be held up."""
    owner = [it for source in _OWNERS if source in findings for it in findings[source].evidence]
    return instead.trust is Trust.UNSIGNED and any(it.answer is Answer.UNANSWERED for it in owner)


def _rejected(
    findings: Mapping[Source, Finding], *, used: Sequence[Candidate], domain: str
) -> list[Rejection]:
    """What was named and is not used, with the reason."""
    rejected = [it for finding in findings.values() for it in finding.rejected]
    for finding in findings.values():
        for it in routes_of(finding):
            if not may_be_used(it, domain=domain) and it not in used:
                rejected.append(_unused(it, _APPROVAL))
            elif it not in used:
                rejected.append(_unused(it, f"{used[0].source.value} counts more"))
    return rejected


def _unused(candidate: Candidate, reason: str) -> Rejection:
    return Rejection(str(candidate.route), candidate.source, reason)


def _nothing(
    findings: Mapping[Source, Finding], *, search: Search, evidence: tuple[Evidence, ...]
) -> DiscoveryError:
    """The error for what was answered."""
    strange = foreign(findings, domain=search.domain) or best(findings, domain=search.domain)
    rejected = [it for finding in findings.values() for it in finding.rejected]
    if any(it.answer is Answer.UNANSWERED for it in evidence):
        return incomplete(search, evidence, rejected=rejected, candidates=strange)
    if strange:
        return unapproved(search, evidence, rejected=rejected, candidate=strange[0])
    return absent(search, evidence, rejected=rejected)


def in_place_of(findings: Findings, *, used: Sequence[Candidate]) -> Findings:
    """What is told where what is remembered is trusted more than what was found, and stays in use."""
    reason = f"trusted less than what is remembered of {used[0].source.value}"
    rejected = (*findings.rejected, *(_unused(it, reason) for it in findings.candidates if it not in used))
    return replace(findings, candidates=tuple(used), rejected=rejected)
