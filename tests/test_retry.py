"""When is a submission tried again? What may be, what never is, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portmail.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ContentError,
    CredentialsUnusable,
    DeliveryError,
    ExtensionMissing,
    InDoubt,
    InsecureChannel,
    MessageTooLarge,
    NoMechanism,
    Rejected,
    Unreachable,
)
from portmail.reply import Reply
from portmail.retry import Retry, retrying, worth_retrying

LATER = Unreachable("no answer", temporary=True)


def tried(
    *outcomes: str | BaseException, policy: Retry | None, seconds: float = 3600
) -> tuple[Any, list[float]]:
    """What came out of operations that end like this, and the pauses that were slept."""
    left = list(outcomes)
    pauses: list[float] = []

    async def operation() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def sleep(pause: float) -> None:
        pauses.append(pause)

    try:
        return asyncio.run(retrying(operation, policy=policy, seconds=seconds, sleep=sleep)), pauses
    except DeliveryError as error:
        return error, pauses


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(Unreachable(temporary=True), True, id="no answer"),
        pytest.param(Unreachable(temporary=False), False, id="a name that does not exist"),
        pytest.param(Rejected(reply=Reply(450), temporary=True), True, id="4yz"),
        pytest.param(Rejected(reply=Reply(550)), False, id="5yz"),
        pytest.param(AuthenticationFailed(temporary=True), True, id="no login just now"),
        pytest.param(AuthenticationFailed(), False, id="a wrong password"),
        pytest.param(NoMechanism(), False, id="no mechanism"),
        pytest.param(MessageTooLarge(), False, id="too large"),
        pytest.param(ExtensionMissing(), False, id="an extension missing"),
        pytest.param(InDoubt(), False, id="in doubt"),
        pytest.param(InDoubt(temporary=True), False, id="in doubt, whatever else it says"),
        pytest.param(InsecureChannel(temporary=True), False, id="not secure, whatever else it says"),
        pytest.param(CredentialsUnusable(), False, id="no credentials"),
        pytest.param(ContentError(), False, id="a wrong message"),
        pytest.param(OSError(), False, id="not ours"),
        pytest.param(asyncio.CancelledError(), False, id="cancelled"),
    ],
)
def test_only_what_is_provably_not_sent_and_may_pass_is_tried_again(
    error: BaseException, again: bool
) -> None:
    assert worth_retrying(error, policy=Retry()) is again


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(Rejected(reply=Reply(554)), True, id="its code"),
        pytest.param(Rejected(reply=Reply(550)), False, id="another code"),
        pytest.param(Rejected(reply=None), False, id="no code"),
        pytest.param(AuthenticationFailed(), False, id="a wrong password"),
        pytest.param(InDoubt(), False, id="in doubt"),
    ],
)
def test_a_5yz_reply_is_tried_again_where_its_code_is_in_also(error: BaseException, again: bool) -> None:
    assert worth_retrying(error, policy=Retry(also=(554,))) is again


def test_what_succeeds_is_not_repeated() -> None:
    assert tried("done", policy=Retry(attempts=5)) == ("done", [])


def test_what_may_pass_is_tried_again_after_a_pause() -> None:
    result, pauses = tried(LATER, "done", policy=Retry())
    assert (result, len(pauses)) == ("done", 1)
    assert 1 <= pauses[0] <= 2


def test_the_last_error_is_raised_as_it_is_when_the_attempts_are_used_up() -> None:
    last = Unreachable("the last", temporary=True)
    result, pauses = tried(LATER, LATER, last, "never reached", policy=Retry(attempts=3))
    assert result is last
    assert len(pauses) == 2


def test_what_never_is_tried_again_ends_it_at_once() -> None:
    doubt = InDoubt("in doubt")
    assert tried(LATER, doubt, "never reached", policy=Retry(attempts=9))[0] is doubt


def test_without_a_policy_nothing_is_tried_again() -> None:
    assert tried(LATER, "never reached", policy=None) == (LATER, [])


def test_pauses_grow_and_stay_bounded() -> None:
    _, pauses = tried(*[LATER] * 9, policy=Retry(attempts=9, total=1000))
    assert len(pauses) == 8
    assert pauses[0] < pauses[2] < pauses[4]
    assert max(pauses) <= 31


def test_the_pause_is_what_the_server_asked_for() -> None:
    greylisted = Rejected(reply=Reply(450), temporary=True, retry_after=7.0)
    assert tried(greylisted, "done", policy=Retry()) == ("done", [7.0])


@pytest.mark.parametrize(
    ("total", "seconds"), [(5, 3600), (30, 5)], ids=["the policy's limit", "the submission's deadline"]
)
def test_no_retry_begins_after_the_limit(total: float, seconds: float) -> None:
    greylisted = Rejected(reply=Reply(450), temporary=True, retry_after=6.0)
    assert tried(greylisted, "never reached", policy=Retry(total=total), seconds=seconds) == (greylisted, [])


@pytest.mark.parametrize(
    "wish",
    [
        {"attempts": 0},
        {"attempts": "3"},
        {"total": 0},
        {"total": float("nan")},
        {"also": (450,)},
        {"also": ("554",)},
        {"also": (600,)},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^retry: "):
        Retry(**wish)
