"""Has every situation its story, and is each one short, whole, and made of places that are filled?"""

from __future__ import annotations

from string import Formatter

import pytest

from portmail.cause import Cause
from portmail.situation import BY_CAUSE, MAIL_GOES_OUT, SAYS_ALL, Blocker, Situation
from portmail.story import STORIES, Note

PLACES = {"host", "ports", "open", "port", "url", "why", "name", "place", "username"}
"""What `diagnosis.py` fills in, into headlines and advice."""

IN_NOTES = {
    Note.RELAY_CLOSED: set[str](),
    Note.IPV6_DEAD: {"why"},
    Note.IPV4_DEAD: {"why"},
    Note.INSTEAD: {"open", "url", "port"},
    Note.IPV6_FAILS: {"open", "why"},
    Note.IPV4_FAILS: {"open", "why"},
    Note.CLOSED: {"host", "ports", "why"},
    Note.PERHAPS_OFF: {"host"},
    Note.IMPOSTOR: {"host"},
    Note.POLICY: {"policy"},
    Note.WEAKER: {"route", "url"},
    Note.PERHAPS_TLS: {"ports"},
    Note.EXPIRES: {"host", "date"},
    Note.HINT: {"hint"},
}

LIKELY = {
    "host": "smtp.mail.example.co.jp",
    "ports": "ports 587 and 465",
    "open": "smtp.mail.example.co.jp:465 implicit-tls",
    "port": "465",
    "url": "submissions://user@smtp.mail.example.co.jp",
    "why": "no answer: the port is silent",
    "name": "relay.isp.example",
    "place": "DigitalOcean",
    "username": "me@example.co.jp",
}
"""Values of the usual length."""

MOST = 420
"""Characters of headline and advice together: what one reads before one acts."""


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_situation_has_a_story() -> None:
    assert set(STORIES) == set(Situation)


def test_every_blocker_blocks_something() -> None:
    assert {story.blocker for story in STORIES.values()} == set(Blocker)


@pytest.mark.parametrize("situation", Situation, ids=lambda it: it.value)
def test_a_story_has_only_places_that_are_filled(situation: Situation) -> None:
    story = STORIES[situation]
    assert places(story.headline) <= PLACES
    assert places(story.advice) <= PLACES


@pytest.mark.parametrize("situation", Situation, ids=lambda it: it.value)
def test_a_story_is_told_in_whole_sentences(situation: Situation) -> None:
    story = STORIES[situation]
    assert story.headline.endswith(".")
    assert story.headline[0].isupper() or story.headline.startswith("{")
    assert not story.advice or (story.advice.endswith(".") and story.advice[0].isupper())
    for text in (story.headline, story.advice):
        assert "  " not in text
        assert text == text.strip()


@pytest.mark.parametrize("situation", Situation, ids=lambda it: it.value)
def test_a_story_is_short_enough_to_be_read(situation: Situation) -> None:
    story = STORIES[situation]
    headline = story.headline.format(**LIKELY)
    assert len(headline) + len(story.advice.format(**LIKELY)) <= MOST


def test_only_who_can_send_needs_no_advice() -> None:
    without = {it for it, story in STORIES.items() if not story.advice}
    policy = Situation.BLOCKED_BY_HOSTING  # whose advice is that of the place
    assert without - {policy} == {Situation.OPEN, Situation.LOGGED_IN} <= MAIL_GOES_OUT
    assert policy in without


def test_nobody_blocks_where_mail_goes_out_but_for_who_tampers() -> None:
    nobody = {it for it, story in STORIES.items() if story.blocker is Blocker.NOBODY}
    assert nobody == MAIL_GOES_OUT - {Situation.TAMPERED_IN_PART, Situation.INSECURE_IN_PART}


def test_a_way_that_is_open_is_named_where_it_is_of_use() -> None:
    named = {it for it, story in STORIES.items() if "open" in places(story.headline)}
    assert named >= MAIL_GOES_OUT
    assert named >= {Situation.LOGIN_REFUSED, Situation.LOGIN_FAILED, Situation.NO_SECRET}
    advised = {it for it, story in STORIES.items() if "url" in places(story.advice)}
    assert advised == {Situation.WRONG_PORT, Situation.OTHER_PORT_OPEN}


def test_words_for_programs_are_words() -> None:
    for value in (*(it.value for it in Situation), *(it.value for it in Blocker)):
        assert value.replace("-", "").isalnum()
        assert value == value.lower()


def test_a_situation_that_has_its_own_cause_bears_its_name() -> None:
    same = {cause for cause in BY_CAUSE if cause.value in {it.value for it in Situation}}
    differing = {cause: BY_CAUSE[cause] for cause in same if BY_CAUSE[cause].value != cause.value}
    assert differing == {}


def test_causes_that_end_before_a_message_mean_something() -> None:
    """The others need a message, or were not tried to their end, or say nothing that helps."""
    assert set(Cause) - set(BY_CAUSE) == {
        Cause.LOST,
        Cause.SURPRISE,
        Cause.OVERTAKEN,
        Cause.OUT_OF_TIME,
        Cause.WEAKER,
        Cause.LOGIN_UNCLEAR,
        Cause.NO_SECRET,
        Cause.LOGIN_WANTED,
        Cause.DENIED,
        Cause.TOO_LARGE,
        Cause.EXTENSION_MISSING,
        Cause.HELD_BACK,
        Cause.FAULT,
    }


def test_hints_are_left_out_only_where_a_story_says_it_all() -> None:
    assert SAYS_ALL.isdisjoint({Situation.LOGIN_REFUSED, Situation.NO_STARTTLS, Situation.OPEN_IN_PART})


@pytest.mark.parametrize("note", Note, ids=lambda it: it.name)
def test_a_note_is_a_sentence_with_its_own_places(note: Note) -> None:
    assert places(note.value) == IN_NOTES[note]
    assert note in (Note.HINT, Note.POLICY) or note.value.endswith(".")
