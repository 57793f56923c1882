"""How fast may it go? What a pool makes of refusals, on a clock that is given."""

from __future__ import annotations

import pytest

from portmail.cause import Cause
from portmail.failure import Failure, Phase
from portmail.pace import Pace
from portmail.reply import Reply
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction
from tests.messages import message

SUBMISSION = Submission.of(message())
POLICY = "450 4.7.1 too fast"


def ended(reply: str | None = None, *, phase: Phase = Phase.MAIL, cause: Cause = Cause.LOST) -> Transaction:
    """A transaction that was refused, lost (no reply), or went well (an empty one)."""
    transaction = Transaction(SUBMISSION, deadline=Deadline(Timeouts()), anonymous=False)
    if reply is None:
        transaction.failure = Failure(phase, cause)
    elif reply:
        code, _, text = reply.partition(" ")
        transaction.failure = Failure.of_reply(phase, Reply.from_lines(int(code), [text]))
    return transaction


def hear(
    pace: Pace, told: Transaction, *, carried: int = 0, connections: int = 4, now: float = 100.0
) -> Pace:
    pace.hear(told, carried=carried, connections=connections, now=now)
    return pace


SLOWER = [
    (POLICY, Phase.MAIL, 7),
    ("450 4.7.1 too fast", Phase.DATA, 7),
    ("421 4.7.0 too fast", Phase.MAIL, 7),
    ("421 4.7.28 too fast", Phase.RCPT, 7),
    ("421 4.3.2 not now", Phase.MAIL, 7),
    ("451 4.3.2 not now", Phase.MAIL, 0),
    ("421 bye", Phase.MAIL, 0),
    ("421 4.4.2 bye", Phase.MAIL, 0),
]
AS_BEFORE = [
    ("", Phase.MAIL, 0),
    (None, Phase.MAIL, 0),
    (None, Phase.FINAL_DOT, 7),
    ("421 too many messages", Phase.MAIL, 7),
    ("421 4.4.2 idle for too long", Phase.MAIL, 1),
    ("451 4.3.0 try again", Phase.MAIL, 0),
    ("450 4.2.1 mailbox busy", Phase.RCPT, 0),
    ("450 4.7.1 greylisted", Phase.RCPT, 0),
    ("550 5.7.1 no", Phase.MAIL, 0),
    ("552 5.3.4 too big", Phase.FINAL_DOT, 0),
    ("450", Phase.MAIL, 0),
]


@pytest.mark.parametrize(("reply", "phase", "carried"), SLOWER)
def test_what_means_less_halves_the_connections_and_pauses(reply: str, phase: Phase, carried: int) -> None:
    pace = hear(Pace(5), ended(reply, phase=phase), carried=carried)
    assert pace.bound == 2
    assert 0 < pace.wait(100.0) <= 1.0
    assert pace.wait(100.5) == pytest.approx(pace.wait(100.0) - 0.5)
    assert pace.wait(101.0) == 0


@pytest.mark.parametrize(("reply", "phase", "carried"), AS_BEFORE)
def test_what_does_not_mean_less_changes_nothing(reply: str | None, phase: Phase, carried: int) -> None:
    pace = hear(Pace(5), ended(reply, phase=phase), carried=carried)
    assert (pace.bound, pace.wait(100.0)) == (5, 0)


def test_what_all_connections_are_told_at_the_same_time_counts_once() -> None:
    pace = Pace(8)
    for step in range(8):
        hear(pace, ended(POLICY), connections=8, now=100 + step * 0.1)
    assert (pace.bound, pace.wait(100.0)) == (4, 1.0)


def test_pauses_double_up_to_half_a_minute_and_there_is_always_one_connection() -> None:
    pace, now, pauses = Pace(8), 100.0, []
    for _ in range(8):
        hear(pace, ended(POLICY), connections=pace.bound, now=now)
        pauses.append(pace.wait(now))
        now += pace.wait(now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pace.bound == 1


def test_where_no_connection_is_left_there_may_be_one_again() -> None:
    pace = hear(Pace(3), ended("421 bye"), connections=0)
    assert pace.bound == 1
    pace.limit(0)
    assert pace.bound == 1
    assert pace.worth_another(waiting=1, waited=0, connections=0)


def test_it_recovers_by_one_connection_for_twenty_messages_that_go_well() -> None:
    pace = Pace(4)
    hear(pace, ended(POLICY), connections=4)
    bounds = []
    for _ in range(60):
        hear(pace, ended(""), carried=1, now=200.0)
        bounds.append(pace.bound)
    assert bounds == [2] * 19 + [3] * 20 + [4] * 21


def test_a_refusal_makes_it_count_anew() -> None:
    pace = Pace(4)
    hear(pace, ended(POLICY), connections=4)
    for _ in range(19):
        hear(pace, ended(""), carried=1, now=200.0)
    hear(pace, ended(POLICY), connections=2, now=200.0)
    hear(pace, ended(""), carried=1, now=300.0)
    assert pace.bound == 1


def test_the_pause_that_comes_next_is_forgotten_when_it_goes_well_for_long() -> None:
    pace = Pace(2)
    hear(pace, ended(POLICY), connections=2)
    hear(pace, ended(POLICY), connections=1, now=200.0)
    assert pace.wait(200.0) == 2.0
    for _ in range(80):
        hear(pace, ended(""), carried=1, now=300.0)
    hear(pace, ended(POLICY), connections=2, now=400.0)
    assert pace.wait(400.0) == 1.0


def test_what_was_in_vain_is_tried_again_after_twice_as_many_messages() -> None:
    pace = Pace(3)
    tried = []
    for _ in range(10):
        pace.limit(2)
        tried.append(0)
        while pace.bound == 2:
            hear(pace, ended(""), carried=1)
            tried[-1] += 1
    assert tried == [20, 40, 80, 160, 320, 640, 1280, 1280, 1280, 1280]


def test_a_limit_is_kept_until_it_goes_well() -> None:
    pace = Pace(5)
    pace.limit(2)
    assert (pace.bound, pace.wait(0.0)) == (2, 0.0)
    assert not pace.worth_another(waiting=100, waited=100, connections=2)
    for _ in range(20):
        hear(pace, ended(""), carried=1)
    assert pace.bound == 3


@pytest.mark.parametrize(
    ("waiting", "waited", "connections", "worth"),
    [
        (1, 0.0, 0, True),
        (1, 0.0, 1, False),
        (4, 0.0, 1, False),
        (5, 0.0, 1, True),
        (8, 0.0, 2, False),
        (9, 0.0, 2, True),
        (1, 2.0, 1, True),
        (1, 2.0, 2, True),
        (99, 99.0, 3, False),
    ],
)
def test_another_connection_is_worth_opening_where_many_wait_or_one_waits_long(
    waiting: int, waited: float, connections: int, worth: bool
) -> None:
    assert Pace(3).worth_another(waiting=waiting, waited=waited, connections=connections) is worth
