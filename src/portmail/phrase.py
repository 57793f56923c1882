"""How is a sentence told in another language? `Phrase`: an English text, and what belongs in its places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeAlias

from portmail.language import Words, english

SENTENCES, HALVES, WHOLE = "{one} {other}", "{one}; {other}", "{half}."
"""How sentences stand together: some languages have no blank between them, and another full stop."""

ONE_PORT, SOME_PORTS, PORT_LIST = "port {port}", "ports {some} and {last}", "{one}, {other}"

_LONGEST = 200
"""Characters that are told of what somebody says; the whole of it stands with its route."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text of ours with its values, not yet in anybody's language. Values may be phrases themselves."""

    text: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A dict of its own: nothing else can be pickled, and be told as data.
        object.__setattr__(self, "values", dict(self.values))

    def __hash__(self) -> int:
        return hash((self.text, frozenset(self.values.items())))

    def __str__(self) -> str:
        return self.said(english)

    def said(self, words: Words) -> str:
        """In the language of `words`. What was taken from servers stays as it is."""
        values = {
            name: value.said(words) if isinstance(value, Phrase) else value
            for name, value in self.values.items()
        }
        return words(self.text).format_map(values)


Value: TypeAlias = "str | Phrase"


def ports_in_words(ports: tuple[int, ...]) -> Phrase:
    """`port 587`, or `ports 587, 465 and 25`."""
    *some, last = (str(port) for port in dict.fromkeys(ports))
    if not some:
        return Phrase(ONE_PORT, {"port": last})
    listed: Value = some[0]
    for port in some[1:]:
        listed = Phrase(PORT_LIST, {"one": listed, "other": port})
    return Phrase(SOME_PORTS, {"some": listed, "last": last})


def joined(texts: Iterable[str], into: Words, *, by: str = SENTENCES) -> str:
    """Texts of a language, one behind the other in its way; empty ones are left out."""
    pattern, told = into(by), [text for text in texts if text]
    return reduce(lambda one, other: pattern.format(one=one, other=other), told) if told else ""


def quoted(text: str) -> Phrase:
    """What somebody else said, in no language of ours."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return Phrase("{said}", {"said": short.rstrip(" .") if short is text else short})
