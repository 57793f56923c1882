"""In which language is it told, and is all of it translated?"""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from portmail import language
from portmail.cause import FACTS, Cause
from portmail.language import Language, english, language_named, language_of, words
from tests import catalog

EVERY_TRANSLATION = pytest.mark.parametrize(
    ("text", "translation"), sorted(catalog.translations(catalog.source()).items())
)


@pytest.fixture
def unread() -> Iterator[None]:
    """The catalog is read anew, also by the next test."""
    language._translations.cache_clear()
    yield
    language._translations.cache_clear()


# ------------------------------------------------------------------------------------------ which language


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ("", "en"),
        ("LANG=ja_JP.UTF-8", "ja"),
        ("LANG=ja", "ja"),
        ("LANG=ja_JP", "ja"),
        ("LANG=ja.UTF-8", "ja"),
        ("LANG=ja_JP.eucJP", "ja"),
        ("LANG=ja_JP.UTF-8@cjkwide", "ja"),
        ("LANG=ja@x", "ja"),
        ("LANG=JA_jp", "ja"),
        ("LANG=en_GB.UTF-8", "en"),
        ("LANG=C", "en"),
        ("LANG=POSIX", "en"),
        ("LANG=C.UTF-8", "en"),
        ("LANG=jam_JM", "en"),
        ("LANG=j", "en"),
        ("LANG=_ja", "en"),
        ("LANG=ja/../../etc", "en"),
        ("LANG=tlh", "en"),
        ("LC_MESSAGES=ja_JP LANG=en_US", "ja"),
        ("LC_MESSAGES=en_US LANG=ja_JP", "en"),
        ("LC_ALL=en_US LC_MESSAGES=ja_JP LANG=ja_JP", "en"),
        ("LC_ALL=ja_JP LC_MESSAGES=en_US LANG=en_US", "ja"),
        ("LC_ALL=C LANG=ja_JP", "en"),
        ("LC_ALL= LC_MESSAGES= LANG=ja_JP", "ja"),
        ("LC_CTYPE=ja_JP.UTF-8 LANG=en_US", "en"),
        ("LANGUAGE=ja LANG=en_US", "ja"),
        ("LANGUAGE=ja LC_ALL=en_US", "ja"),
        ("LANGUAGE=ja LC_ALL=C LANG=ja_JP", "en"),
        ("LANGUAGE=ja LANG=C.UTF-8", "en"),
        ("LANGUAGE=ja LANG=POSIX", "en"),
        ("LANGUAGE=ja", "en"),
        ("LANGUAGE=en:ja LANG=ja_JP", "en"),
        ("LANGUAGE=fr:ja:en LANG=en_US", "ja"),
        ("LANGUAGE=:ja_JP LANG=en_US", "ja"),
        ("LANGUAGE=C:ja LANG=ja_JP", "en"),
        ("LANGUAGE=fr LANG=ja_JP", "en"),
        ("LANGUAGE= LANG=ja_JP", "ja"),
    ],
)
def test_the_environment_is_read_as_gettext_reads_it(environ: str, expected: str) -> None:
    pairs = (pair.partition("=") for pair in environ.split())
    assert language_of({name: value for name, _, value in pairs}).value == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("en", "en"), ("ja", "ja"), ("JA", "ja"), ("ja_JP.UTF-8", "ja"), ("ja-JP", "ja")]
)
def test_a_language_can_be_named(text: str, expected: str) -> None:
    assert language_named(text).value == expected


@pytest.mark.parametrize("text", ["", "fr", "japanese", "C", " ja", "日本語"])
def test_a_language_that_we_do_not_have_is_told_with_those_that_we_have(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text)) + ": choose en or ja$"):
        language_named(text)


# ------------------------------------------------------------------------------------------ which words


def test_english_is_as_it_is() -> None:
    assert words(Language.ENGLISH) is english
    assert english("connection refused") == "connection refused"


def test_japanese_comes_out_of_the_catalog() -> None:
    told = words(Language.JAPANESE)
    assert told(FACTS[Cause.REFUSED].words) == "接続が拒否されました"
    assert words(Language.JAPANESE) is told


@pytest.mark.parametrize("text", ["", "nobody translated this", "connection refused "])
def test_what_has_no_translation_stays_as_it_is(text: str) -> None:
    assert words(Language.JAPANESE)(text) == text


@pytest.mark.usefixtures("unread")
def test_a_catalog_that_was_left_out_costs_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_out(*_: str) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(pkgutil, "get_data", left_out)
    assert words(Language.JAPANESE)("connection refused") == "connection refused"


@pytest.mark.usefixtures("unread")
def test_a_loader_that_has_no_files_costs_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkgutil, "get_data", lambda *_: None)
    assert words(Language.JAPANESE)("connection refused") == "connection refused"


def loaded_by(program: str) -> set[str]:
    """The modules that a program has loaded at its end."""
    told = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_english_costs_no_gettext() -> None:
    program = "from portmail.language import *; words(Language.ENGLISH)('x'); language_of({'LANG': 'ja'})"
    assert not {"gettext", "pkgutil", "babel"} & loaded_by(program)
    assert "gettext" in loaded_by(program.replace("ENGLISH", "JAPANESE"))


def test_the_command_line_is_loaded_without_rich_and_without_the_catalog() -> None:
    program = "import portmail.cli, portmail.language as it; assert not it._translations.cache_info().misses"
    loaded = loaded_by(f"{program}; import portmail.cli.columns")
    assert not {"rich", "portmail.cli.terminal", "pkgutil", "babel"} & loaded


# ------------------------------------------------------------------------------------------ the catalog


def test_what_the_program_reads_is_what_people_wrote() -> None:
    """Otherwise: python -m tests.catalog."""
    assert catalog.compiled() == catalog.translations(catalog.source())


def test_every_text_that_the_program_shows_is_translated() -> None:
    assert catalog.texts() - set(catalog.translations(catalog.source())) == set()


def test_every_translation_is_of_a_text_that_the_program_has() -> None:
    assert set(catalog.translations(catalog.source())) - catalog.texts() == set()


def test_no_translation_is_a_guess_or_left_from_former_times() -> None:
    source = catalog.source()
    assert [it.id for it in catalog.messages(source) if it.fuzzy or it.pluralizable or it.context] == []
    assert list(source.obsolete) == []


def test_no_text_is_translated_twice() -> None:
    """Of two the compiler keeps one, and says nothing."""
    count = catalog.SOURCE.read_text("utf-8").count("\nmsgid ") - 1  # the header's
    assert count == len(catalog.translations(catalog.source()))


@EVERY_TRANSLATION
def test_a_translation_has_the_placeholders_of_its_text(text: str, translation: str) -> None:
    assert catalog.placeholders(translation) == catalog.placeholders(text)


@EVERY_TRANSLATION
def test_a_translation_is_japanese_and_stands_where_the_text_stood(text: str, translation: str) -> None:
    has_words = re.search("[a-z]", re.sub(r"\{\w+\}", "", text))
    assert not has_words or re.search("[\u3001-\u30ff\u4e00-\u9fff]", translation)
    assert translation == translation.strip()
    assert translation.isprintable()
    assert translation.endswith(("。", ".")) == text.endswith(".")


@EVERY_TRANSLATION
def test_what_is_typed_stays_as_it_is(text: str, translation: str) -> None:
    """Names of options, of variables, URLs, ports, numbers of RFCs."""
    typed = re.compile(r"[\w.]+=(?:[\w.]*\w)?|\w*_\w+|\w+://\w*|--[a-z]+|`[^`]+`|[0-9]+(?=\D|$)")
    assert set(typed.findall(text)) - set(typed.findall(translation)) == set()


def test_the_header_says_what_the_reader_needs() -> None:
    source = catalog.source()
    assert (source.charset, source.num_plurals, source.fuzzy) == ("utf-8", 1, False)


def test_a_template_s_placeholders_are_found() -> None:
    assert catalog.placeholders("{port} of {host} is {{closed}}, {host}") == {"host", "port"}
