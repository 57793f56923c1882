"""Whose turn is it? The queue of a pool."""

from __future__ import annotations

import asyncio
import time

import pytest

from portmail.cause import Cause
from portmail.failure import Failure, Phase
from portmail.job import Job
from portmail.reaching import Reached
from portmail.receipt import Attempt
from portmail.route import Route
from portmail.security import Security
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.verdict import Verdict
from portmail.waiting import Waiting
from tests.messages import message

SUBMISSION = Submission.of(message())
ONE, TWO = (Route("mail.example.com", port, Security.PLAINTEXT) for port in (25, 26))


class Times(Deadline):
    """A deadline that says what it is told to."""

    def __init__(self, remaining: float) -> None:
        super().__init__(Timeouts())
        self.left = remaining

    @property
    def remaining(self) -> float:
        return self.left


def job(*excluded: Route, remaining: float = 60.0) -> Job:
    made = Job(SUBMISSION, deadline=Times(remaining), danger=asyncio.Event(), done=lambda _job: None)
    made.excluded.update(excluded)
    return made


def queue(*jobs: Job) -> Waiting:
    waiting = Waiting()
    for one in jobs:
        waiting.put(one)
    return waiting


def take(waiting: Waiting, route: Route) -> Job | None:
    found = waiting.first(route)
    if found is not None:
        waiting.remove(found)
    return found


def test_first_come_first_served() -> None:
    jobs = [job() for _ in range(3)]
    waiting = queue(*jobs)
    assert (len(waiting), waiting.head) == (3, jobs[0])
    assert [take(waiting, ONE) for _ in range(4)] == [*jobs, None]
    assert not waiting


def test_one_that_comes_back_goes_first() -> None:
    first, second = job(), job()
    waiting = queue(first, second)
    taken = take(waiting, ONE)
    assert taken is first
    waiting.put_back(first)
    assert waiting.head is first


def test_a_route_gets_the_first_for_which_it_is_not_excluded() -> None:
    not_one, neither, any_route = job(ONE), job(ONE, TWO), job()
    waiting = queue(neither, not_one, any_route)
    assert take(waiting, ONE) is any_route
    assert take(waiting, ONE) is None
    assert take(waiting, TWO) is not_one
    assert take(waiting, TWO) is None
    assert len(waiting) == 1


def test_one_that_is_not_there_may_be_taken_out_all_the_same() -> None:
    here, elsewhere = job(), job()
    waiting = queue(here)
    waiting.remove(elsewhere)
    waiting.remove(here)
    waiting.remove(here)
    assert len(waiting) == 0


def test_those_whose_time_is_over_are_told_so() -> None:
    over, in_time, over_too, walks = job(remaining=0), job(), job(remaining=0), job(remaining=0)
    waiting = queue(over, in_time, walks, over_too)
    failure = Failure(Phase.WAITING, Cause.OUT_OF_TIME)
    waiting.expire(failure, route=ONE, but=(walks,))
    assert [[it.error for it in one.attempts] for one in (over, over_too)] == [[failure], [failure]]
    assert (take(waiting, ONE), take(waiting, ONE)) == (in_time, walks)


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("most", [None, 1])
def test_those_that_would_go_the_same_way_share_its_end(expired: bool, most: int | None) -> None:
    head = job(ONE, remaining=0 if expired else 60)
    alike, late, other = job(ONE), job(ONE, remaining=0), job()
    waiting = queue(head, alike, late, other)
    attempt = Attempt(TWO, Phase.CONNECT, Failure(Phase.CONNECT, Cause.REFUSED), Verdict.NEXT_ROUTE, 0.1)
    waiting.tell_unreached(Reached(attempts=(attempt,)), head, most=most)
    told = [one for one in (head, alike, late, other) if one.attempts == [attempt]]
    assert told == ([head, late] if expired else [head, alike, late])[:most]
    assert len(waiting) == 4 - len(told)


def test_a_weaker_route_is_not_for_one_whose_secure_route_failed_to_be_secure() -> None:
    warned, other = job(), job()
    warned.danger.set()
    waiting = queue(warned, other)
    relay = Route("mail.example.com", 25, Security.OPPORTUNISTIC)
    assert take(waiting, relay) is other
    assert take(waiting, relay) is None
    assert take(waiting, Route("mail.example.com", 465, Security.IMPLICIT_TLS)) is warned


def test_a_refused_login_is_told_to_those_who_were_on_their_way_already() -> None:
    before = job()
    refusal = Reached(when=time.monotonic() + 0.001)
    while time.monotonic() <= refusal.when:
        pass
    after = job()
    waiting = queue(before, after)
    waiting.tell_older(refusal)
    assert len(waiting) == 1
    assert waiting.head is after


def test_all_that_wait_are_told_of_attempts() -> None:
    jobs = [job(), job(ONE)]
    failure = Failure(Phase.CONNECT, Cause.REFUSED)
    attempt = Attempt(ONE, Phase.CONNECT, failure, Verdict.NEXT_ROUTE, 0.1)
    queue(*jobs).tell([attempt])
    assert [one.attempts for one in jobs] == [[attempt], [attempt]]
    assert jobs[0].attempts is not jobs[1].attempts
