"""What does a server offer? The extensions of its EHLO reply (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from portmail.reply import Reply


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
        found: dict[str, tuple[str, ...]] = {}
        for line in reply.text.split("\n")[1:]:
            # Servers of the last century wrote "AUTH=LOGIN"; some offer it beside "AUTH LOGIN".
            keyword, *parameters = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
            found[keyword] = found.get(keyword, ()) + tuple(parameters)
        return cls(MappingProxyType(found))

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
