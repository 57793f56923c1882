"""The staggered race, as rows of what each runner does and when; on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from portmail.racing import Runner, race
from tests.clock import run_fast

PATIENCE = 0.3


async def first(runners: Sequence[Runner[str]]) -> str | None:
    return await race(runners)


@dataclass
class Course:
    """Runs a race of (name, seconds until it ends, how it ends) and keeps what happened when."""

    events: list[tuple[float, str]] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def runner(self, name: str, seconds: float, *, wins: bool) -> Runner[str]:
        async def run() -> str:
            self._note(f"{name} starts")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self._note(f"{name} cancelled")
                raise
            self._note(f"{name} {'wins' if wins else 'fails'}")
            if not wins:
                raise ConnectionRefusedError
            return name

        return Runner(run, lambda: asyncio.sleep(PATIENCE), self.discarded.append)

    def _note(self, event: str) -> None:
        self.events.append((round(asyncio.get_running_loop().time(), 3), event))


@pytest.mark.parametrize(
    ("rows", "winner", "story"),
    [
        pytest.param(
            [("a", 0.1, True), ("b", 0.1, True)],
            "a",
            [(0, "a starts"), (0.1, "a wins")],
            id="a quick first one leaves the second unstarted",
        ),
        pytest.param(
            [("a", 9, True), ("b", 0.1, True)],
            "b",
            [(0, "a starts"), (0.3, "b starts"), (0.4, "b wins"), (0.4, "a cancelled")],
            id="a slow first one is joined after its patience, and cancelled when the second wins",
        ),
        pytest.param(
            [("a", 0.05, False), ("b", 0.1, True)],
            "b",
            [(0, "a starts"), (0.05, "a fails"), (0.05, "b starts"), (0.15, "b wins")],
            id="a failure starts the next at once",
        ),
        pytest.param(
            [("a", 0.5, True), ("b", 9, True)],
            "a",
            [(0, "a starts"), (0.3, "b starts"), (0.5, "a wins"), (0.5, "b cancelled")],
            id="a slow first one still wins if it is ready first",
        ),
        pytest.param(
            [("a", 0.4, False), ("b", 0.4, False)],
            None,
            [(0, "a starts"), (0.3, "b starts"), (0.4, "a fails"), (0.7, "b fails")],
            id="when all fail nobody wins",
        ),
        pytest.param(
            [("a", 9, True), ("b", 9, False), ("c", 0.1, True)],
            "c",
            [(0, "a starts"), (0.3, "b starts"), (0.6, "c starts"), (0.7, "c wins")],
            id="each one waits for the patience of the one before",
        ),
    ],
)
def test_the_race(
    rows: Sequence[tuple[str, float, bool]], winner: str | None, story: list[tuple[float, str]]
) -> None:
    course = Course()
    runners = [course.runner(name, seconds, wins=wins) for name, seconds, wins in rows]

    assert run_fast(first(runners)) == winner
    assert course.events[: len(story)] == story
    assert course.discarded == []


def test_of_two_that_finish_together_the_preferred_one_wins_and_the_other_is_given_back() -> None:
    course = Course()
    runners = [course.runner("a", 0.4, wins=True), course.runner("b", 0.1, wins=True)]

    assert run_fast(first(runners)) == "a"
    assert course.discarded == ["b"]


def test_a_cancelled_race_leaves_nobody_running() -> None:
    course = Course()

    async def scenario() -> set[str]:
        task = asyncio.create_task(first([course.runner(name, 9, wins=True) for name in "ab"]))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return {other.get_name() for other in asyncio.all_tasks() - {asyncio.current_task()}}

    assert run_fast(scenario()) == set()
    assert [event for _, event in course.events] == ["a starts", "b starts", "a cancelled", "b cancelled"]
