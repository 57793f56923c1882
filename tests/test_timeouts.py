"""How long may a wait last? Finite times, and a deadline over all of them."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest

from portmail import timeouts
from portmail.errors import ConfigurationError
from portmail.failure import Phase
from portmail.timeouts import Deadline, Timeouts

NAMES = [field.name for field in fields(Timeouts)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still; `clock.now` is its time."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(timeouts, "time", clock)
    return clock


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, "5", None])
def test_a_wait_that_is_not_finite_is_refused_by_its_name(name: str, seconds: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^timeouts: {name}="):
        Timeouts(**{name: seconds})  # type: ignore[arg-type]


def test_the_waits_after_commands_are_as_long_as_rfc_5321_asks() -> None:
    usual = Timeouts()
    assert usual.command >= 5 * 60
    assert usual.block >= 3 * 60
    assert usual.final >= 10 * 60
    assert usual.connect <= 10


@pytest.mark.parametrize(
    ("wish", "meant"),
    [
        pytest.param(None, Timeouts(), id="nothing"),
        pytest.param(20, Timeouts(total=20), id="a number is for the whole submission"),
        pytest.param(Timeouts(command=7), Timeouts(command=7), id="all of them"),
    ],
)
def test_a_users_timeouts_mean_these(wish: float | Timeouts | None, meant: Timeouts) -> None:
    assert Timeouts.of(wish) == meant


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [
        (Phase.CONNECT, 1),
        (Phase.TLS, 1),
        (Phase.GREETING, 2),
        (Phase.EHLO, 3),
        (Phase.AUTH, 3),
        (Phase.MAIL, 3),
        (Phase.RCPT, 3),
        (Phase.DATA, 3),
        (Phase.CONTENT, 4),
        (Phase.FINAL_DOT, 5),
    ],
    ids=lambda value: getattr(value, "value", str(value)),
)
def test_each_phase_waits_for_its_own_time(clock: SimpleNamespace, phase: Phase, seconds: float) -> None:
    deadline = Deadline(Timeouts(connect=1, greeting=2, command=3, block=4, final=5, total=100))
    assert deadline.seconds(phase) == seconds
    clock.now += 99.5
    assert deadline.seconds(phase) == 0.5


def test_no_wait_goes_beyond_the_whole_submission(clock: SimpleNamespace) -> None:
    deadline = Deadline(Timeouts(total=10))
    assert (deadline.remaining, deadline.seconds(Phase.FINAL_DOT)) == (10, 10)
    clock.now += 4
    assert (deadline.remaining, deadline.seconds(Phase.FINAL_DOT)) == (6, 6)
    clock.now += 60
    assert (deadline.remaining, deadline.seconds(Phase.FINAL_DOT)) == (0, 0)
