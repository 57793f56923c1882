"""What does a server offer? The extensions of its EHLO reply (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase, ascii_uppercase
from types import MappingProxyType

from portmail.reply import Reply

_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)
"""Of ASCII alone: there are other letters that are an S or an I in upper case, and no keyword has them."""


class Extensions:
    """The extension keywords of one EHLO reply with their parameters, keywords in upper case.

    `size_limit` is the largest message in octets that the server takes, None for no fixed limit (RFC 1870).
    """

    __slots__ = ("keywords", "size_limit")

    def __init__(self, keywords: Mapping[str, tuple[str, ...]] = MappingProxyType({})) -> None:
        self.keywords = keywords
        first = (*keywords.get("SIZE", ()), "0")[0]
        is_number = first.isascii() and first.isdecimal() and len(first) <= 20
        self.size_limit = (int(first) or None) if is_number else None

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """Read the lines after the first, which is the server's name and greeting."""
        found: dict[str, list[str]] = {}
        for line in reply.text.split("\n")[1:]:
            # Servers of the last century wrote "AUTH=LOGIN"; some offer it beside "AUTH LOGIN".
            words = line.translate(_UPPER).replace("AUTH=", "AUTH ", 1).split(" ")
            keyword, *parameters = filter(None, words) if any(words) else [""]
            found.setdefault(keyword, []).extend(parameters)
        return cls(MappingProxyType({keyword: tuple(words) for keyword, words in found.items()}))

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered by AUTH (RFC 4954 section 3)."""
        return self.keywords.get("AUTH", ())

    @property
    def masked(self) -> str | None:
        """A keyword that something on the way blotted out, such as `XXXXXXXA` for STARTTLS."""
        return next((word for word in self.keywords if "XXXXXX" in word), None)
