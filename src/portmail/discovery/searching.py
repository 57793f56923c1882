"""How is a server found in time? All sources at once, until nobody's word could count more, or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from portmail.candidate import Answer, Candidate, Evidence, Finding, Findings, Source, Trust
from portmail.discovery.choosing import best, better, decide, may_guess, rank
from portmail.discovery.outside import Outside
from portmail.discovery.registry import Finder, finders
from portmail.search import Search

GRACE = 0.3
"""Seconds in which a source that is trusted no more, but comes first, may still answer."""


async def find_server(search: Search, *, outside: Outside) -> Findings:
    """Ask the table, then all the others at once, then guess if that is wished.

    An answer that could be overruled by somebody who is trusted more is not used before he has
    answered, or the time is up: who answers fast must not decide whom we believe.

    Raises:
        ApprovalRequired: all that was found needs the user's word.
        DiscoveryIncomplete: somebody who would know did not answer.
        DiscoveryError: there is nothing.
    """
    wished = finders(search.discovery)
    hunt = _Hunt(search.domain, outside=outside)
    until = _now() + search.discovery.seconds
    rounds: tuple[Collection[Source], ...] = (
        {Source.BUNDLED},
        wished.keys() - {Source.BUNDLED, Source.GUESS},
        {Source.GUESS},
    )
    for sources in rounds:
        asked = {source: finder for source, finder in wished.items() if source in sources}
        if Source.GUESS in asked and not may_guess(hunt.findings):
            break
        await hunt.ask(asked, until=until)
        if hunt.best:
            break
    return decide(hunt.findings, search=search)


class _Hunt:
    """What was answered so far."""

    def __init__(self, domain: str, *, outside: Outside) -> None:
        self.findings: dict[Source, Finding] = {}
        self._domain = domain
        self._outside = outside

    @property
    def best(self) -> tuple[Candidate, ...]:
        return best(self.findings, domain=self._domain)

    async def ask(self, asked: Mapping[Source, Finder], *, until: float) -> None:
        """Ask them at once, and wait for as long as somebody's answer could change what is used."""
        tasks = {source: asyncio.ensure_future(self._ask(source, asked[source])) for source in asked}
        try:
            while pending := {source: task for source, task in tasks.items() if not task.done()}:
                seconds = self._patience(pending, left=until - _now())
                if seconds <= 0:
                    break
                waited_for = [pending[source] for source in better(pending, self.best)]
                done, _ = await asyncio.wait(waited_for, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
        finally:
            late = {source: task for source, task in tasks.items() if not task.done()}
            for task in late.values():
                task.cancel()
            if late:
                await asyncio.wait(late.values())
        for source in late:
            self._not_waited_for(source)

    def _patience(self, pending: Collection[Source], *, left: float) -> float:
        """Seconds to wait for the next answer; 0 when no more is wanted."""
        used = self.best
        counting_more = better(pending, used)
        if not counting_more:
            return 0
        trusted_more = not used or any(rank(it).trust < rank(it, used[0].trust).trust for it in counting_more)
        return left if trusted_more else min(left, GRACE)

    async def _ask(self, source: Source, finder: Finder) -> None:
        started = _now()
        try:
            finding = await finder(self._domain, outside=self._outside)
        except Exception as exc:  # noqa: BLE001  # one source's fault is not the end of the others
            finding = _of(source, Answer.UNANSWERED, f"portmail itself failed: {exc!r}")
        seconds = _now() - started
        evidence = tuple(replace(it, seconds=seconds) for it in finding.evidence)
        self.findings[source] = replace(finding, evidence=evidence)

    def _not_waited_for(self, source: Source) -> None:
        said = "not waited for" if self.best else "no answer in time"
        answer = Answer.NOT_AWAITED if self.best else Answer.UNANSWERED
        self.findings.setdefault(source, _of(source, answer, said))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _of(source: Source, answer: Answer, said: str) -> Finding:
    return Finding(evidence=(Evidence(source, source.value, answer, said, Trust.UNSIGNED),))
