"""What do we say, and in which words of Japanese? Run as `python -m tests.catalog`, it compiles the catalog.

The program reads `portmail.mo`, which is made of `portmail.po`. What yields the texts of another table
of the program goes into `TABLES`: from then on the tests ask for their translations.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from string import Formatter

from babel.messages import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po

import portmail
from portmail import conclusion, hints, hosting, particulars, phrase, report
from portmail.cause import FACTS, TURNED_AWAY
from portmail.cli import check_report
from portmail.cli.report import in_a_shell
from portmail.failure import Phase
from portmail.receipt import ACCEPTED
from portmail.story import ELSEWHERE, STORIES, Note

SOURCE = Path(portmail.__file__).parent / "locale/ja/LC_MESSAGES/portmail.po"
COMPILED = SOURCE.with_suffix(".mo")


def causes() -> Iterator[str]:
    """Words and advice of every cause, and how far an attempt got."""
    yield TURNED_AWAY
    for fact in FACTS.values():
        yield from (fact.words, fact.advice)
    yield ACCEPTED
    yield from (phase.value for phase in Phase if not phase.value.isupper())  # no keyword of SMTP


def situations() -> Iterator[str]:
    """What the matter is with all routes together, and what else is worth knowing."""
    for story in STORIES.values():
        yield from (story.headline, story.advice)
    yield ELSEWHERE
    yield from (note.value for note in Note)
    yield from (particulars.VALID, particulars.FOR, particulars.ISSUED, particulars.NAMELESS)


def pieces() -> Iterator[str]:
    """What sentences and lists are put together with."""
    yield from (phrase.SENTENCES, phrase.HALVES, phrase.WHOLE)
    yield from (phrase.ONE_PORT, phrase.SOME_PORTS, phrase.PORT_LIST)


def conclusions() -> Iterator[str]:
    """What frames an error's text."""
    yield from conclusion.SUMMARY.values()
    yield from conclusion.UNCONNECTED.values()
    yield from conclusion.ADVICE.values()
    yield from (conclusion.TURNED_AWAY, conclusion.AGAIN, conclusion.ACCEPTED_BEFORE, conclusion.CHECK)


def reports() -> Iterator[str]:
    """What frames a check's report."""
    yield from (report.NEGATIVE, report.TO_DO, report.OPEN)
    yield from (check_report.ROUTE, check_report.OUTCOME, check_report.SECONDS)
    yield from (check_report.ENCRYPTED, check_report.UNPROVEN, check_report.UNENCRYPTED)
    yield from (check_report.LOGINS, check_report.NO_LOGIN, check_report.CERTIFICATE)
    yield from (check_report.NOTHING_SENT, check_report.LOGGED_IN, check_report.TAKEN_LAST)


def known_of_others() -> Iterator[str]:
    """What is known of providers."""
    yield from (line.hint.text for line in hints.lines())
    yield from (line.hosting.words for line in hosting.lines())


TABLES: tuple[Callable[[], Iterable[str]], ...] = (
    causes,
    situations,
    pieces,
    conclusions,
    reports,
    known_of_others,
)
"""Where the texts are that the program shows in the reader's language."""


def texts() -> set[str]:
    """All that is to be translated: as a program shows it, and in words of the command line."""
    shown = {text for table in TABLES for text in table() if not re.fullmatch(r"\{\w+\}|", text)}
    return shown | {in_a_shell(text) for text in shown}


def placeholders(text: str) -> set[str]:
    """The fields of a template, such as `{host}`. A translation may need one twice."""
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


def source() -> Catalog:
    """The catalog that people write."""
    with SOURCE.open("rb") as file:
        return read_po(file, locale="ja", abort_invalid=True)


def compiled() -> dict[str, str]:
    """The catalog that the program reads."""
    with COMPILED.open("rb") as file:
        return translations(read_mo(file))


def translations(catalog: Catalog) -> dict[str, str]:
    """Every text of a catalog with its translation."""
    return {str(it.id): str(it.string) for it in messages(catalog)}


def messages(catalog: Catalog) -> Iterator[Message]:
    """What is in a catalog, but for its header."""
    return (message for message in catalog if message.id)


def main() -> None:
    """Compile the catalog, and tell what it lacks."""
    catalog = source()
    with COMPILED.open("wb") as file:
        write_mo(file, catalog)
    known = set(translations(catalog))
    for text in sorted(texts() - known):
        sys.stdout.write(f"not translated: {text}\n")
    for text in sorted(known - texts()):
        sys.stdout.write(f"nowhere shown:  {text}\n")


if __name__ == "__main__":
    main()
