"""How is it told that no server may be used? Errors that say who was asked, who said what, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from portmail.candidate import Answer, Candidate, Evidence, Findings, Rejection, Source
from portmail.errors import ApprovalRequired, DiscoveryError, DiscoveryIncomplete
from portmail.search import Search


def absent(
    search: Search, evidence: tuple[Evidence, ...], *, rejected: Sequence[Rejection] = ()
) -> DiscoveryError:
    """Nobody knows a server."""
    if not evidence:
        return DiscoveryError(
            f"No server found for {search.domain}: nobody was asked. Guesses come only where others say no.\n"
            "What to do: ask more sources, or give host="
        )
    told = _lines(evidence, rejected)
    return DiscoveryError(
        f"No server found for {search.domain}: nobody who was asked knows one.\n{told}\n"
        f"What to do: check the spelling of {search.address}; else ask the provider for the name of the "
        "submission server, and give host=",
        evidence=evidence,
    )


def incomplete(
    search: Search,
    evidence: tuple[Evidence, ...],
    *,
    rejected: Sequence[Rejection],
    candidates: Sequence[Candidate],
) -> DiscoveryIncomplete:
    """Somebody who would know did not answer; these candidates are not trusted enough without."""
    silent = dict.fromkeys(it.source.value for it in evidence if it.answer is Answer.UNANSWERED)
    hosts = [it.route.host for it in candidates]
    approve = f", or approve {hosts[0]} if you know that it is right" if hosts else ""
    whom, told = ", ".join(silent), _lines(evidence, rejected)
    return DiscoveryIncomplete(
        f"No server found for {search.domain} yet: {whom} did not answer, and nothing is guessed instead."
        f"\n{told}\nWhat to do: try again later, or give host={approve}",
        evidence=evidence,
    )


def unapproved(
    search: Search, evidence: tuple[Evidence, ...], *, rejected: Sequence[Rejection], candidate: Candidate
) -> ApprovalRequired:
    """What was found needs the user's word."""
    host, source = candidate.route.host, candidate.source.value
    text = (
        f"{host} needs your approval: only unsigned DNS ({source}) says that it submits for {search.domain}, "
        "and whoever is on the way to the resolver may have said so. Nothing was connected to it.\n"
        f"{_lines(evidence, rejected)}\nWhat to do: {_approve(host, search=search)}"
    )
    return ApprovalRequired(text, candidate=candidate, evidence=evidence)


def trusted_less(findings: Findings, *, search: Search) -> ApprovalRequired:
    """A server is gone, and what is found in its place has less behind it."""
    candidate = findings.candidates[0]
    host, source = candidate.route.host, candidate.source.value
    text = (
        f"{host} needs your approval: the server that was used for {search.domain} before is gone, and what "
        f"names another one ({source}) is trusted less. Nothing was connected to it.\n"
        f"{_lines(findings.evidence, ())}\nWhat to do: {_approve(host, search=search)}"
    )
    return ApprovalRequired(text, candidate=candidate, evidence=findings.evidence)


def _approve(host: str, *, search: Search) -> str:
    beside = "" if Source.BUNDLED in search.discovery.asked else " --without bundled"
    command = f"portmail discover {search.address} --approve {host}{beside}"
    return f"if {host} is your provider's, run this once: {command} (or give approve={host!r} in the program)"


def _lines(evidence: Sequence[Evidence], rejected: Sequence[Rejection]) -> str:
    asked = [f"  {it.asked}: {it.said}" for it in evidence]
    return "\n".join([*asked, *(f"  {it.what} ({it.source.value}): {it.reason}" for it in rejected)])
