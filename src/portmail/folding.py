"""What does one header field look like when it leaves? As its message's policy folds it, only sooner.

Most fields are plain ASCII and fit one line. The standard library writes those as they are, at the
end of a long walk over what it once parsed; here they are written at once. The policy folds the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email import headerregistry
from email.headerregistry import BaseHeader
from email.policy import SMTP, SMTPUTF8, Compat32, EmailPolicy
from functools import lru_cache
from typing import Any

from portmail.errors import HeaderError
from portmail.header import MAX_LINE, check_header, is_name

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_MOST_KNOWN = 256
_USUAL_WIDTH = 78
_CHROME = 27
"""Columns that a section of a folded parameter needs beside its name (RFC 2231), with one character of
the value. Where there are fewer, the standard library's folding never ends."""
_UNSTRUCTURED = (headerregistry.UnstructuredHeader, headerregistry.UniqueUnstructuredHeader)
_BREAK = re.compile(r"[\r\n\0]")


class Uncommon(Exception):
    """Something that is left to the standard library's generator. It never leaves this floor."""


class Folding:
    """A policy that writes header fields with CRLF, and with nothing but ASCII of its own."""

    old = False
    """Whether it is the policy of old, which knows no structured headers."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self._limit = min(policy.max_line_length or MAX_LINE, MAX_LINE) + len("\r\n")
        self._known: dict[tuple[str, str], str] = {}  # a cache: in bulk mail, all have the same subject

    def line(self, name: str, value: Any, *, reader: Any) -> str | None:
        """The field with its line end if it is plain and fits one line; None if it needs `folded`.

        `reader`: the policy of the part whose header it is.
        """
        text = self._text(name, value)
        if not text or not text.isascii() or not text.isprintable() or not is_name(name):
            return None
        if type(value) is str and _hides(text, reader=reader):
            return None
        line = f"{name}: {text}\r\n"
        return line if len(line) <= self._limit else None

    def _text(self, name: str, value: Any) -> str | None:
        """What follows the colon where it is plain; None if that is not known."""
        text_of = _TEXTS.get(type(value).__bases__)
        if text_of is not None:
            return text_of(value) if value.name == name else None
        return value if type(value) is str and self.policy.refold_source != "all" else None

    def folded(self, name: str, value: Any, *, reader: Any) -> str:
        """The field as the policy folds it, sure to be one field of this name.

        Raises:
            HeaderError: the name or value can be no header.
            Uncommon: the policy writes something odd. What else it raises is the standard library's.
        """
        key = _key(name, value)
        known = self._known.get(key) if key else None
        if known is not None:
            return known
        check_kept(name, value, reader=reader)
        field = self._checked(name, value)
        if key is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = field
        return field

    def _checked(self, name: str, value: Any) -> str:
        field: str = self.policy.fold_binary(name, value).decode("ascii", "surrogateescape")
        whole = field.lower().startswith(f"{name.lower()}:") and field.endswith("\r\n")
        lines = field[:-2].replace("\r\n\t", "\r\n ").split("\r\n ")
        if not whole or _BREAK.search("".join(lines)) or max(map(len, lines)) >= MAX_LINE:
            raise Uncommon(name)
        return field


class _OldFolding(Folding):
    old = True

    def _text(self, name: str, value: Any) -> str | None:  # noqa: ARG002  # nothing else is known by its name
        # Spaces at the ends have rules of their own.
        return str(value) if isinstance(value, str) and value.strip() == value else None


@lru_cache(maxsize=32)  # a cache: a program has few policies
def folding(policy: Any) -> Folding:
    """How this policy writes header fields.

    Raises:
        Uncommon: it is none of the standard library's own.
    """
    if type(policy) is Compat32:
        return _OldFolding(policy.clone(linesep="\r\n"))
    if type(policy) is EmailPolicy:
        return Folding(policy.clone(linesep="\r\n", utf8=False))
    raise Uncommon(policy)


def shown(name: str, value: Any, *, reader: Any) -> str:
    """A value as `message.items()` gives it, in one line."""
    text = str(reader.header_fetch_parse(name, value))
    # The old policy keeps the folding of what it parsed, which is harmless.
    return _FOLD.sub("", text) if isinstance(reader, Compat32) else text


def check_kept(name: str, value: Any, *, reader: Any) -> None:
    """A header must be one header, as it is read and as it is kept: reading may drop its line ends.

    Raises:
        HeaderError: naming the header.
    """
    check_header(name, value=shown(name, value, reader=reader))
    if type(value) is str:
        check_header(name, value=_FOLD.sub("", value))
    parameters = getattr(reader.header_fetch_parse(name, value), "params", ())
    longest = min(reader.max_line_length or _USUAL_WIDTH, _USUAL_WIDTH) - _CHROME
    if any(len(parameter) > longest for parameter in parameters):
        raise HeaderError(
            f"the {name} header has a parameter whose name is too long: at most {longest} letters"
        )


def address_field(name: str, *, header: Any) -> str:
    """A structured address header as a field; in UTF-8 where an address cannot be written without."""
    ascii_only = all(address.username.isascii() for address in header.addresses)
    field: str = (SMTP if ascii_only else SMTPUTF8).fold(name, header)
    return field


def _hides(text: str, *, reader: Any) -> bool:
    """Whether reading the text may decode something that is not seen in it (RFC 2047, RFC 2231)."""
    return ("=?" in text or "%" in text) and not isinstance(reader, Compat32)


def _key(name: str, value: Any) -> tuple[str, str] | None:
    """What decides how an unstructured header is folded; None if there is more to it than its text."""
    if type(value).__bases__[0] not in _UNSTRUCTURED or value.name != name or len(value) > MAX_LINE:
        return None
    # No encoded word was decoded, and no octet replaced: parsing the text gives the same again.
    whole = all(isinstance(token, str) for token in getattr(value, "_parse_tree", (None,)))
    return (name, str(value)) if whole and "=?" not in value and "\ufffd" not in value else None


def _date_text(value: Any) -> str | None:
    return str(value) if value.datetime else None  # an invalid date is written as nothing


def address_text(value: Any) -> str:
    """What was parsed, with its comments and quotes: `str(value)` is without."""
    return _texts_of(_Same(value))[0]


def undecoded_text(value: Any) -> str:
    """The same with `=?` for each encoded word: what stood in it is in no address (RFC 2047 section 5)."""
    return _texts_of(_Same(value))[1]


class _Same:
    """This very header; others may have the same text and another tree."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


@lru_cache(maxsize=16)  # a cache: a header is read for its addresses, and soon after written
def _texts_of(header: _Same) -> tuple[str, str]:
    decoded: list[str] = []
    undecoded: list[str] = []
    _collect(getattr(header.value, "_parse_tree", ()), decoded, undecoded)
    return "".join(decoded), "".join(undecoded)


# Undocumented: where they are not found, nothing is but slower.
_PARSER: Any = getattr(headerregistry, "parser", None)
_TOKENS: Any = getattr(_PARSER, "TokenList", None)
_NESTED = frozenset(
    kind
    for kind in (vars(_PARSER).values() if _TOKENS else ())
    if isinstance(kind, type) and issubclass(kind, _TOKENS) and kind.__str__ is _TOKENS.__str__
    if kind.__name__ != "EncodedWord"
)
"""Tokens whose text is the texts of their tokens, one after the other; encoded words are told apart."""
_ENCODED_WORD: Any = getattr(_PARSER, "EncodedWord", None)


def _collect(tokens: Any, decoded: list[str], undecoded: list[str]) -> None:
    # As `str(tokens)`, whose nested generators take most of the time that folding takes.
    while len(tokens) == 1 and type(tokens[0]) in _NESTED:  # most hold one that holds one
        tokens = tokens[0]
    for token in tokens:
        kind = type(token)
        if kind in _NESTED:
            _collect(token, decoded, undecoded)
        else:
            text = str(token)
            decoded.append(text)
            undecoded.append("=?" if kind is _ENCODED_WORD else text)


_KINDS: dict[Callable[[Any], str | None], tuple[type, ...]] = {
    str: (
        *_UNSTRUCTURED,
        headerregistry.MIMEVersionHeader,
        headerregistry.ContentTypeHeader,
        headerregistry.ContentDispositionHeader,
        headerregistry.ContentTransferEncodingHeader,
        headerregistry.MessageIDHeader,
    ),
    _date_text: (headerregistry.DateHeader, headerregistry.UniqueDateHeader),
    address_text: (
        headerregistry.AddressHeader,
        headerregistry.UniqueAddressHeader,
        headerregistry.SingleAddressHeader,
        headerregistry.UniqueSingleAddressHeader,
    ),
}
_TEXTS: dict[tuple[type, ...], Callable[[Any], str | None]] = {
    (kind, BaseHeader): text_of for text_of, kinds in _KINDS.items() for kind in kinds
}
"""How the text of a parsed header is known, by the two classes from which the registry makes its class."""
