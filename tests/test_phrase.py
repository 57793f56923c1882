"""How is a sentence told in another language? Each part in its own right, and what others said as it is."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict
from types import MappingProxyType

import pytest

from portmail.language import english
from portmail.phrase import HALVES, ONE_PORT, PORT_LIST, SOME_PORTS, Phrase, joined, ports_in_words, quoted


def marked(text: str) -> str:
    """Another language: every text of ours in guillemets."""
    return f"«{text}»"


def test_a_text_without_values_is_said_as_it_is() -> None:
    assert Phrase("Mail can go out.").said(english) == "Mail can go out."


def test_values_come_into_their_places() -> None:
    assert Phrase("{a}, {b}, {a}", {"a": "x", "b": "y", "unused": "z"}).said(english) == "x, y, x"


def test_what_is_a_phrase_is_translated_and_what_is_a_word_is_not() -> None:
    phrase = Phrase("{host} is closed: {why}", {"host": "a.example", "why": Phrase("the port is silent")})
    assert phrase.said(marked) == "«a.example is closed: «the port is silent»»"


def test_phrases_are_nested_as_deep_as_they_are() -> None:
    deep = Phrase("({it})", {"it": Phrase("[{it}]", {"it": Phrase("<{it}>", {"it": "x"})})})
    assert deep.said(english) == "([<x>])"
    assert deep.said(marked) == "«(«[«<x>»]»)»"


def test_a_translation_may_turn_the_order_round() -> None:
    phrase = Phrase("{one} of {two}", {"one": "port 25", "two": "a.example"})
    assert phrase.said(lambda _: "{two}の{one}") == "a.exampleのport 25"


def test_braces_in_what_was_said_do_no_harm() -> None:
    said = "550 {0} {host} {{}} {x.__class__}"
    assert Phrase("it said {said}", {"said": said, "host": "no"}).said(english) == f"it said {said}"


def test_it_is_a_value() -> None:
    phrase = Phrase("{why}", {"why": Phrase("x")})
    assert phrase == Phrase("{why}", {"why": Phrase("x")})
    again = pickle.loads(pickle.dumps((phrase, Phrase("bare", {}))))  # noqa: S301  # our own
    assert again == (phrase, Phrase("bare", {}))
    assert copy.deepcopy(phrase) == phrase
    assert {phrase, Phrase("{why}", {"why": Phrase("x")}), Phrase("{why}")} == {phrase, Phrase("{why}")}
    assert asdict(phrase) == {"text": "{why}", "values": {"why": {"text": "x", "values": {}}}}


def test_its_values_are_its_own_whatever_becomes_of_those_that_were_given() -> None:
    values = {"a": "x"}
    phrase = Phrase("{a}", MappingProxyType(values))
    values["a"] = "y"
    assert phrase.said(english) == "x"
    assert pickle.loads(pickle.dumps(phrase)) == phrase  # noqa: S301  # our own
    assert asdict(phrase) == {"text": "{a}", "values": {"a": "x"}}


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ((587,), "port 587"),
        ((587, 587), "port 587"),
        ((587, 465), "ports 587 and 465"),
        ((587, 465, 587), "ports 587 and 465"),
        ((587, 465, 25), "ports 587, 465 and 25"),
        ((25, 465, 587), "ports 25, 465 and 587"),
        ((587, 465, 25, 2525), "ports 587, 465, 25 and 2525"),
        ((587, 465, 25, 465, 2525, 443), "ports 587, 465, 25, 2525 and 443"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_ports_are_listed_once_each_in_their_order(ports: tuple[int, ...], words: str) -> None:
    assert ports_in_words(ports).said(english) == words


def test_a_list_of_ports_is_put_together_by_the_language() -> None:
    japanese = {ONE_PORT: "{port}番", SOME_PORTS: "{some}と{last}番", PORT_LIST: "{one}、{other}"}
    assert ports_in_words((587,)).said(japanese.__getitem__) == "587番"
    assert ports_in_words((587, 465, 25, 2525)).said(japanese.__getitem__) == "587、465、25と2525番"


def test_texts_stand_one_behind_the_other_and_empty_ones_are_left_out() -> None:
    assert joined(["A.", "", "B.", "C."], english) == "A. B. C."
    assert joined(["a", "b"], english, by=HALVES) == "a; b"
    assert joined(["A."], english) == "A."
    assert joined(["", ""], english) == joined([], english) == ""
    assert joined(["{a}", "{b}"], lambda _: "{one}{other}") == "{a}{b}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("554 no", "554 no"),
        ("554 Go away.", "554 Go away"),
        ("421 try later...", "421 try later"),
        ("554 see {url}", "554 see {url}"),
        ("", ""),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
    ],
    ids=["short", "a full stop", "dots", "braces", "nothing", "200", "more than 200"],
)
def test_what_somebody_said_fits_into_a_sentence_and_is_not_translated(text: str, said: str) -> None:
    assert Phrase("It said: {it}.", {"it": quoted(text)}).said(english) == f"It said: {said}."
    assert quoted(text).said(lambda template: template) == said
