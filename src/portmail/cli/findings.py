"""How is told what was found for an address? As lines for a person, or as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portmail.candidate import Candidate, Evidence, Findings, Login, Rejection

_TRUST = {
    "owner": "as good as the word of the domain's owner",
    "directory": "somebody whom we know says so",
    "unsigned": "unsigned DNS says so",
}

NO_PASSWORDS = "a password will not work here: the server takes OAuth 2 tokens alone"


def lines(findings: Findings, *, username: str | None) -> Iterator[str]:
    """What was found, for a person. `username` is None where it does not follow from the address."""
    width = max(len(str(it.route)) for it in findings.candidates)
    for it in findings.candidates:
        yield f"  {it.route!s:{width}}  {it.derived}".rstrip()
    first = findings.candidates[0]
    yield f"known by: {first.source.value} ({_TRUST[first.trust.value]})"
    yield f"user name: {username or 'none that follows from the address: give it'}"
    if logins := _logins(first):
        yield f"login: {logins}"
    if no_passwords(findings):
        yield NO_PASSWORDS
    if first.note:
        yield f"note: {first.note}"
    yield "asked:"
    yield from (f"  {evidence_in_words(it)}" for it in findings.evidence)
    if findings.rejected:
        yield "not used:"
        yield from (f"  {it.what} ({it.source.value}): {it.reason}" for it in findings.rejected)


def evidence_in_words(evidence: Evidence) -> str:
    """One question, and what came of it."""
    asked = "" if evidence.asked == evidence.source.value else f"{evidence.asked}: "
    return f"{evidence.source.value}: {asked}{evidence.said} ({evidence.seconds:.1f} s)"


def no_passwords(findings: Findings) -> bool:
    """Whether all that was found takes tokens alone."""
    return all(Login.OAUTH2 in it.logins and Login.PASSWORD not in it.logins for it in findings.candidates)


def findings_as_data(findings: Findings, *, address: str, username: str | None) -> dict[str, Any]:
    """What was found, as JSON-ready data."""
    return {
        "status": "found",
        "address": address,
        "domain": findings.domain,
        "username": username,
        "password": "refused" if no_passwords(findings) else "possible",
        "candidates": [candidate_as_data(it) for it in findings.candidates],
        "rejected": [_rejection_as_data(it) for it in findings.rejected],
        "evidence": [evidence_as_data(it) for it in findings.evidence],
    }


def candidate_as_data(candidate: Candidate) -> dict[str, Any]:
    """A candidate, as JSON-ready data."""
    return {
        "route": str(candidate.route),
        "host": candidate.route.host,
        "port": candidate.route.port,
        "security": candidate.route.security.value,
        "source": candidate.source.value,
        "trust": candidate.trust.value,
        "username": candidate.username,
        "logins": sorted(it.value for it in candidate.logins),
        "derived": candidate.derived,
        "note": candidate.note,
    }


def evidence_as_data(evidence: Evidence) -> dict[str, Any]:
    """A question and its answer, as JSON-ready data."""
    return {
        "source": evidence.source.value,
        "asked": evidence.asked,
        "answer": evidence.answer.value,
        "said": evidence.said,
        "trust": evidence.trust.value,
        "seconds": round(evidence.seconds, 3),
    }


def _rejection_as_data(rejection: Rejection) -> dict[str, str]:
    return {"what": rejection.what, "source": rejection.source.value, "reason": rejection.reason}


def _logins(candidate: Candidate) -> str:
    words = {Login.PASSWORD: "password", Login.OAUTH2: "OAuth 2 token", Login.NONE: "none"}
    return " or ".join(words[it] for it in Login if it in candidate.logins)
