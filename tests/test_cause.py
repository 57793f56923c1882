"""What can go wrong on a route? Every cause in the table, in words for a person and for a program."""

from __future__ import annotations

import re

import pytest

from portmail.cause import FACTS, Cause, Nature
from portmail.failure import Failure, Phase
from portmail.reply import Reply

EVERY_CAUSE = pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)


@EVERY_CAUSE
def test_a_cause_has_a_nature_and_words_in_lower_case_without_a_full_stop(cause: Cause) -> None:
    fact = FACTS[cause]
    assert isinstance(fact.nature, Nature)
    for words in (fact.words, *([fact.advice] if fact.advice else [])):
        assert words == words.strip()
        assert len(words.split()) > 1
        assert words[:1].islower() or words.startswith("TLS")
        assert not words.endswith(".")


@EVERY_CAUSE
def test_a_cause_says_what_to_do_unless_it_only_lost_a_race(cause: Cause) -> None:
    assert bool(FACTS[cause].advice) is (cause is not Cause.OVERTAKEN)


def test_nothing_but_causes_is_in_the_table() -> None:
    assert set(FACTS) == set(Cause)


def test_the_values_that_programs_read_are_unique_and_plain() -> None:
    assert len({cause.value for cause in Cause}) == len(Cause.__members__)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", cause.value) for cause in Cause)


def test_whatever_touches_encryption_is_a_matter_of_security() -> None:
    about_tls = re.compile("TLS(?!_PORT)|CERTIFICATE|PROOF|WEAKER|CLEAR_AUTH|PROXY")
    expected = {cause for cause in Cause if about_tls.search(cause.name)}
    assert {cause for cause in Cause if FACTS[cause].nature is Nature.INSECURE} == expected


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(Phase.CONNECT, Cause.TIMED_OUT), "connect: no answer: the port is silent"),
        (
            Failure(Phase.CONNECT, Cause.REFUSED, "192.0.2.1 refused"),
            "connect: connection refused: 192.0.2.1 refused",
        ),
        (
            Failure.of_reply(Phase.MAIL, Reply(550, "5.7.1", "go away")),
            "MAIL: the server said: 550 5.7.1 go away",
        ),
        (
            Failure.of_reply(Phase.DATA, Reply(250, None, "ok")),
            "DATA: the server said what cannot be understood: 250 ok",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failure_prints_as_phase_words_and_detail(failure: Failure, words: str) -> None:
    assert str(failure) == words


@pytest.mark.parametrize(
    ("code", "cause", "nature"),
    [
        (450, Cause.REFUSED_TRANSIENT, Nature.TRANSIENT),
        (421, Cause.REFUSED_TRANSIENT, Nature.TRANSIENT),
        (550, Cause.REFUSED_PERMANENT, Nature.PERMANENT),
        (250, Cause.SURPRISE, Nature.NO_ANSWER),
        (354, Cause.SURPRISE, Nature.NO_ANSWER),
    ],
)
def test_a_reply_is_a_cause_by_its_first_digit(code: int, cause: Cause, nature: Nature) -> None:
    failure = Failure.of_reply(Phase.MAIL, Reply(code))
    assert (failure.cause, failure.nature) == (cause, nature)
