"""Can a person act on the first paragraph alone? What is printed for the most common situations."""

from __future__ import annotations

import pytest

from portmail.language import Language
from tests.diagnosis.golden_files import HERE, SITUATIONS, golden, rendered


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", SITUATIONS)
def test_this_is_what_a_person_reads(name: str, language: Language) -> None:
    """Otherwise: python -m tests.diagnosis.golden_files, and read what it wrote."""
    assert rendered(name, language) == golden(name, language).read_text("utf-8")


def test_every_file_is_of_a_situation() -> None:
    assert set(HERE.iterdir()) == {golden(name, language) for name in SITUATIONS for language in Language}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_first_words_say_whether_mail_goes_out_and_where_not_there_is_something_to_do(name: str) -> None:
    report = SITUATIONS[name]
    told = " ".join(rendered(name, Language.ENGLISH).split())
    assert told.startswith("✓ Mail can go out" if report.can_send else "✗ Mail cannot go out. ")
    assert ("What to do:" in told) != report.can_send


@pytest.mark.parametrize("name", SITUATIONS)
def test_japanese_has_no_blanks_between_sentences_and_none_of_them_is_english(name: str) -> None:
    told = rendered(name, Language.JAPANESE)
    paragraph = "".join(told.split("\n\n")[0].splitlines())
    assert "。 " not in told
    assert not any(sentence.isascii() for sentence in paragraph.split("。") if sentence.strip())
