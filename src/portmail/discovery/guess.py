"""What might the server be called? `smtp.DOMAIN` and `mail.DOMAIN`, where the user wishes for guesses.

Made only when everybody else said for sure that they know nothing (`searching.py`): never after a
time-out, which an attacker can bring about. The hosts are within the domain, and must prove their name.
"""

from __future__ import annotations

from portmail.candidate import Answer, Candidate, Evidence, Finding, Source, Trust
from portmail.discovery.outside import Missed, Outside
from portmail.route import PORTS, SUBMISSION, SUBMISSIONS, Route

_NAMES = ("smtp", "mail")


async def find(domain: str, *, outside: Outside) -> Finding:
    """Guess, and leave out names that do not exist."""
    candidates: list[Candidate] = []
    evidence: list[Evidence] = []
    for name in _NAMES:
        host = f"{name}.{domain}"
        answer, said = await _exists(host, outside=outside)
        evidence.append(Evidence(Source.GUESS, host, answer, said, Trust.UNSIGNED))
        if answer is Answer.FOUND:
            candidates += (
                Candidate(Route(host, port, PORTS[port]), Source.GUESS, Trust.UNSIGNED)
                for port in (SUBMISSIONS, SUBMISSION)
            )
    return Finding(tuple(candidates), evidence=tuple(evidence))


async def _exists(host: str, *, outside: Outside) -> tuple[Answer, str]:
    try:
        await outside.alias(host)
    except Missed as missed:
        return missed.answer, missed.said
    return Answer.FOUND, "there is such a name"
