"""Does a provider that portmail knows take the domain's mail? Then that provider's own entry is the answer.

DNS names a provider here, and never a host: those are in the table that comes with portmail. So the
answer is trusted as a directory's even where DNS is unsigned. Who lies about it can only choose among
providers that are in the table, each of which must prove by its certificate who it is.

The hosts that take mail are themselves never asked for anything, and never become candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

from portmail.candidate import Answer, Evidence, Finding, Rejection, Source, Trust
from portmail.discovery.outside import Missed, Mx, Outside
from portmail.discovery.providers import Provider, by_mx
from portmail.reply import printable

_SHOWN = 80
"""Characters of a foreign name."""


async def find(domain: str, *, outside: Outside) -> Finding:
    """The entry of the one provider to which the domain's most preferred MX hosts belong, all of them."""
    try:
        hosts = _preferred((await outside.mx(domain)).records)
    except Missed as missed:
        return _nothing(domain, missed.answer, missed.said)
    if not hosts:
        return _nothing(domain, Answer.ABSENT, "the domain takes no mail")
    takers = {by_mx(host) for host in hosts}
    if takers == {()}:
        return _nothing(domain, Answer.ABSENT, f"{_shown(hosts)}: no provider in the table")
    if why := _objection(takers):
        return _rejected(domain, _shown(hosts), why)
    provider = takers.pop()[0]
    return Finding(
        candidates=provider.candidates(Source.MX, trust=Trust.DIRECTORY),
        evidence=(_evidence(domain, Answer.FOUND, f"{_shown(hosts)}: {provider.name}"),),
    )


def _preferred(records: Sequence[Mx]) -> tuple[str, ...]:
    """The hosts of the lowest preference, by name; none if the domain takes no mail (RFC 7505 section 3)."""
    real = [record for record in records if record.host]
    best = min((record.preference for record in real), default=0)
    return tuple(sorted({record.host for record in real if record.preference == best}))


def _objection(takers: set[tuple[Provider, ...]]) -> str:
    """Why it is not known where to submit; empty if it is."""
    if len(takers) > 1:
        return "the most preferred hosts are not all one provider's"
    (owners,) = takers
    if len(owners) != 1:
        return f"several providers take mail there: {', '.join(owner.name for owner in owners)}"
    owner = owners[0]
    differs = f"this is {owner.name}, whose host differs by customer: give host= ({owner.note})"
    return "" if owner.routes else differs


def _rejected(domain: str, what: str, why: str) -> Finding:
    return Finding(
        rejected=(Rejection(what, Source.MX, why),),
        evidence=(_evidence(domain, Answer.UNUSABLE, f"{what}: {why}"),),
    )


def _nothing(domain: str, answer: Answer, said: str) -> Finding:
    return Finding(evidence=(_evidence(domain, answer, said),))


def _evidence(domain: str, answer: Answer, said: str) -> Evidence:
    return Evidence(Source.MX, f"MX {domain}", answer, said, Trust.DIRECTORY)


def _shown(hosts: Sequence[str]) -> str:
    """The first host, cut, and how many there are besides."""
    first = printable(hosts[0])
    cut = first if len(first) <= _SHOWN else f"{first[: _SHOWN - 3]}..."
    return cut if len(hosts) == 1 else f"{cut} and {len(hosts) - 1} more"
