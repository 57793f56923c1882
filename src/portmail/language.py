"""In which language is a person told? By what the environment says; translated with gettext's catalogs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from typing import TypeAlias

Words: TypeAlias = Callable[[str], str]
"""Turns an English sentence of ours, with its placeholders, into the same of another language."""

_PLAIN = ("C", "POSIX")
"""Locales in which nothing is translated."""

_CODE = re.compile(r"[A-Za-z]+(?=[-_.@]|$)")


class Language(Enum):
    """A language that our texts are in. The values are ISO 639-1 codes and stay as they are."""

    ENGLISH = "en"
    JAPANESE = "ja"


def language_of(environ: Mapping[str, str]) -> Language:
    """The language that a person asks for with LANGUAGE, LC_ALL, LC_MESSAGES and LANG, as gettext reads them.

    The first of the last three that is not empty is the locale. LANGUAGE is a list of languages
    parted by colons, the best first; the locale `C` has no use for it. Never fails: what
    nobody knows is English.
    """
    named = (environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, named), "C")
    if _is_plain(locale):
        return Language.ENGLISH
    return _best((environ.get("LANGUAGE") or locale).split(":"))


def language_named(text: str) -> Language:
    """The language of a code such as `ja`, or of a locale such as `ja_JP.UTF-8`.

    Raises:
        ValueError: we have no texts in it; says in which we have.
    """
    if language := _known(text):
        return language
    choices = " or ".join(it.value for it in Language)
    raise ValueError(f"there are no texts in the language {text!r}: choose {choices}")


def english(text: str) -> str:
    """The text as it is: `Words` of the language that all of our texts are written in."""
    return text


def words(language: Language) -> Words:
    """What translates into `language`. A text that has no translation stays English."""
    return english if language is Language.ENGLISH else _translations(language)


@cache  # a cache: a catalog is read once in a process
def _translations(language: Language) -> Words:
    import pkgutil
    from gettext import GNUTranslations  # whoever reads English does not pay for it
    from io import BytesIO

    try:
        octets = pkgutil.get_data("portmail", f"locale/{language.value}/LC_MESSAGES/portmail.mo")
    except OSError:  # whoever packed the program left it out: that must not cost the text
        return english
    if not octets:
        return english
    catalog = GNUTranslations(BytesIO(octets))
    return lambda text: catalog.gettext(text) if text else text  # the empty one would be its own header


def _best(locales: Iterable[str]) -> Language:
    """The first that we know; a locale that wants nothing translated ends the list."""
    for locale in locales:
        if _is_plain(locale):
            return Language.ENGLISH
        if language := _known(locale):
            return language
    return Language.ENGLISH


def _is_plain(locale: str) -> bool:
    return locale.partition(".")[0] in _PLAIN


def _known(locale: str) -> Language | None:
    code = _CODE.match(locale)
    return next((it for it in Language if code and it.value == code[0].lower()), None)
