"""Time: who is waited for, for how long, and what becomes of those who are late. On a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from portmail.candidate import Answer, Candidate, Finding, Findings, Source
from portmail.discovery import searching
from portmail.discovery.outside import Mx, Outside, Page, Records, Srv
from portmail.discovery.registry import finders
from portmail.discovery.searching import GRACE, find_server
from portmail.errors import DiscoveryError, DiscoveryIncomplete
from portmail.search import BUDGET, Discovery, Search, search_of
from tests.clock import run_fast
from tests.discovery.outside import Fake
from tests.discovery.test_decision import (
    AT_GOOGLE,
    AUTOCONFIG,
    ISPDB,
    MX,
    OWN,
    SUBMISSIONS,
    WELL_KNOWN,
    at,
)

NEVER = 3600.0


class Slow(Fake):
    """Takes so many seconds for each question; 0.01 where nothing is said."""

    def __init__(self, says: Mapping[Any, Any], *, seconds: Mapping[Any, float]) -> None:
        super().__init__(says)
        self.seconds = seconds

    async def _late(self, question: Any) -> None:
        await asyncio.sleep(self.seconds.get(question, 0.01))

    async def srv(self, name: str) -> Records[Srv]:
        await self._late(("srv", name))
        return await super().srv(name)

    async def mx(self, domain: str) -> Records[Mx]:
        await self._late(("mx", domain))
        return await super().mx(domain)

    async def fetch(self, url: str) -> Page:
        await self._late(url)
        return await super().fetch(url)


def search(**wishes: Any) -> Search:
    return search_of("me@example.com", discovery=Discovery(**wishes))


def found(outside: Outside, **wishes: Any) -> tuple[Findings | DiscoveryError, float]:
    """What came of it, and the seconds that it took."""

    async def hunt() -> tuple[Findings | DiscoveryError, float]:
        loop = asyncio.get_running_loop()
        result: Findings | DiscoveryError
        try:
            result = await find_server(search(**wishes), outside=outside)
        except DiscoveryError as error:
            result = error
        seconds = loop.time()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on behind"
        return result, seconds

    return run_fast(hunt())


def source(result: Findings | DiscoveryError) -> Source:
    assert isinstance(result, Findings)
    return result.candidates[0].source


def test_nobody_is_waited_for_whose_word_would_not_count() -> None:
    outside = Slow(
        {AUTOCONFIG: OWN}, seconds={WELL_KNOWN: NEVER, ISPDB: NEVER, MX: NEVER, SUBMISSIONS: NEVER}
    )
    result, seconds = found(outside)
    assert source(result) is Source.AUTOCONFIG
    assert seconds < 0.1
    assert isinstance(result, Findings)
    late = {it.source: it.answer for it in result.evidence}
    assert late[Source.MX] is Answer.NOT_AWAITED


def test_who_is_trusted_more_is_waited_for_though_another_answers_at_once() -> None:
    outside = Slow({AUTOCONFIG: OWN, MX: AT_GOOGLE}, seconds={AUTOCONFIG: 4.0})
    result, seconds = found(outside)
    assert source(result) is Source.AUTOCONFIG
    assert seconds == pytest.approx(4.0, abs=0.1)


def test_who_is_trusted_no_more_has_a_moment_of_grace() -> None:
    outside = Slow({AUTOCONFIG: OWN, WELL_KNOWN: OWN}, seconds={AUTOCONFIG: 0.2})
    assert source(found(outside)[0]) is Source.AUTOCONFIG
    outside = Slow({AUTOCONFIG: OWN, WELL_KNOWN: OWN}, seconds={AUTOCONFIG: 4.0})
    result, seconds = found(outside)
    assert source(result) is Source.WELL_KNOWN
    assert seconds == pytest.approx(GRACE, abs=0.1)


def test_after_the_whole_time_what_there_is_is_used() -> None:
    outside = Slow({MX: AT_GOOGLE}, seconds={AUTOCONFIG: NEVER})
    result, seconds = found(outside)
    assert source(result) is Source.MX
    assert seconds == pytest.approx(BUDGET, abs=0.1)


def test_after_the_whole_time_without_an_answer_it_is_a_temporary_error() -> None:
    result, seconds = found(Slow({}, seconds={AUTOCONFIG: NEVER}), seconds=3)
    assert isinstance(result, DiscoveryIncomplete)
    assert result.temporary
    assert seconds == pytest.approx(3, abs=0.1)
    assert "autoconfig did not answer" in str(result)


def test_all_are_asked_at_the_same_time() -> None:
    slow = dict.fromkeys((AUTOCONFIG, WELL_KNOWN, ISPDB, MX, SUBMISSIONS), 2.0)
    result, seconds = found(Slow({ISPDB: OWN}, seconds=slow))
    assert source(result) is Source.ISPDB
    assert seconds == pytest.approx(2.0, abs=0.1)


def test_for_a_domain_in_the_table_nobody_is_asked() -> None:
    outside = Fake()
    findings = run_fast(find_server(search_of("me@gmail.com"), outside=outside))
    assert findings.candidates[0].source is Source.BUNDLED
    assert outside.asked == []


def test_what_breaks_in_one_finder_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(domain: str, *, outside: Outside) -> Finding:
        raise ZeroDivisionError(f"{domain} {outside}")

    monkeypatch.setattr(searching, "finders", lambda wish: finders(wish) | {Source.ISPDB: broken})
    result, _ = found(Slow({SUBMISSIONS: at("mail.example.com")}, seconds={}))
    assert isinstance(result, Findings)
    assert source(result) is Source.SRV
    [told] = [it for it in result.evidence if it.source is Source.ISPDB]
    assert told.answer is Answer.UNANSWERED
    assert "portmail itself failed: ZeroDivisionError" in told.said


def test_every_question_says_how_long_it_took() -> None:
    result, _ = found(Slow({MX: AT_GOOGLE}, seconds={AUTOCONFIG: 2.0}))
    assert isinstance(result, Findings)
    seconds = {it.source: it.seconds for it in result.evidence}
    assert seconds[Source.AUTOCONFIG] == pytest.approx(2.0, abs=0.1)
    assert seconds[Source.MX] < 0.1


def test_a_function_that_approves_is_asked_once_and_only_when_all_have_answered() -> None:
    asked: list[tuple[Candidate, float]] = []

    def approve(candidate: Candidate) -> bool:
        asked.append((candidate, asyncio.get_running_loop().time()))
        return True

    outside = Slow({SUBMISSIONS: at("mail.hoster.net")}, seconds={AUTOCONFIG: 2.0})
    run_fast(find_server(search_of("me@example.com", approve=approve), outside=outside))
    [(candidate, when)] = asked
    assert candidate.route.host == "mail.hoster.net"
    assert when >= 2.0


def test_who_gives_up_leaves_nothing_behind() -> None:
    async def hunt() -> None:
        slow = dict.fromkeys((AUTOCONFIG, WELL_KNOWN, ISPDB, MX, SUBMISSIONS), NEVER)
        task = asyncio.ensure_future(find_server(search(), outside=Slow({}, seconds=slow)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_fast(hunt())
