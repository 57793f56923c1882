"""Does the rig of the benchmarks still run? Counts, of a few messages; never times."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

if sys.platform == "win32":
    pytest.skip("the rig reads what only Unix tells of a process", allow_module_level=True)

from tests.benchmarks.places import PIPELINING, Place, Sink, away, certified, sink
from tests.benchmarks.rounds import turns
from tests.benchmarks.rows import Goal, Row, Samples, aligned, markdown
from tests.benchmarks.worker import Job
from tests.proof.million import measured

RTT = 0.02


@pytest.fixture
def rig() -> Iterator[tuple[Sink, Place]]:
    """A sink, and the place from which it is far away."""
    with (
        certified() as directory,
        sink(directory, extensions=PIPELINING, rtt=RTT) as server,
        away(server.implicit, rtt=RTT) as place,
    ):
        yield server, place


@pytest.mark.long
def test_the_sink_counts_the_round_trips_of_one_by_one(rig: tuple[Sink, Place]) -> None:
    server, place = rig
    assert turns(server, Job("aiosmtplib", "single", place)) == 4


def test_the_sink_counts_the_round_trips_of_many(rig: tuple[Sink, Place]) -> None:
    server, place = rig
    assert turns(server, Job("portmail", "many", place, count=10)) <= 1.1


def test_small_messages_are_counted_on_both_sides() -> None:
    found = measured(100, connections=2)
    assert (found.results, found.accepted, found.at_the_server) == (100, 100, 100)


def test_a_table_says_what_was_met() -> None:
    figures = {"portmail": Samples((1.0, 2.0, 3.0)).told("/s")}
    row = Row("work", Goal(">=", 1.5, "x"), 2.0, figures)
    assert markdown([row]).splitlines()[-1] == "| work | >= 1.5 x | 2 | met | portmail 2 /s (100 %) |"
    missed = Row("work", Goal("<=", 1), 1234.5, {})
    assert aligned([missed]).split()[-6:] == ["work", "<=", "1", "1,234", "not", "met"]
