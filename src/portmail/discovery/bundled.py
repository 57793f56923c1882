"""Is the domain a provider's own that portmail knows? Its table, by the very domain; nobody is asked."""

from __future__ import annotations

from portmail.candidate import Answer, Evidence, Finding, Source, Trust
from portmail.discovery.outside import Outside
from portmail.discovery.providers import by_domain


def known(domain: str) -> Finding:
    """What the table has for this domain (A-labels, lower case)."""
    provider = by_domain(domain)
    if provider is None:
        return Finding(evidence=(_evidence(domain, Answer.ABSENT, "not in the table of this version"),))
    return Finding(
        candidates=provider.candidates(Source.BUNDLED, trust=Trust.OWNER),
        evidence=(_evidence(domain, Answer.FOUND, provider.name),),
    )


async def find(domain: str, *, outside: Outside) -> Finding:
    """What the table has for this domain. Asks nobody."""
    del outside
    return known(domain)


def _evidence(domain: str, answer: Answer, said: str) -> Evidence:
    return Evidence(Source.BUNDLED, domain, answer, said, Trust.OWNER)
