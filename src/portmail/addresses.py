"""Which addresses does a message's header hold? Read strictly: what is doubtful is refused."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.errors import InvalidHeaderDefect, NonPrintableDefect, ObsoleteHeaderDefect
from email.headerregistry import Address, AddressHeader, Group, HeaderRegistry
from email.utils import formataddr
from functools import lru_cache
from typing import Any, TypeAlias

from portmail.envelope import mailbox
from portmail.errors import AddressError, HeaderError
from portmail.folding import undecoded_text

Headers: TypeAlias = Mapping[str, Sequence[tuple[str, Any]]]
"""The fields that are read here, found by the name in lower case: the name and value as they are kept.

A value is a structured header, or text as it was parsed or written.
"""

_REGISTRY = HeaderRegistry()
_DOUBTFUL = (InvalidHeaderDefect, NonPrintableDefect)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_USUAL_LENGTH = 512
_LONGEST = 2_000
"""Characters between two commas. The standard library's parser takes time in their square."""

_BEFORE, _AFTER = " \t<,:;)", " \t>,;("
"""What may stand around an address."""

_NAMED = re.compile(r'([^"<>]*[^"<>\s])\s*<([^<>\s]+)>')
"""A display name, and an address."""

_SENDERS, _RECIPIENTS = ("sender", "from"), ("to", "cc", "bcc")
_READ = {
    "resent-date",
    "reply-to",
    *(f"{block}{name}" for block in ("", "resent-") for name in _SENDERS + _RECIPIENTS),
}


def by_name(fields: Iterable[tuple[str, Any]]) -> Headers:
    """Those of the fields that are read here, for looking up."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for field in fields:
        name = field[0].lower()
        if name in _READ:
            found.setdefault(name, []).append(field)
    return found


def sender_in(headers: Headers) -> str:
    """The address of Sender, else the first of From (of the Resent- fields, if any); "" if none."""
    return next(_addresses(headers, names=_SENDERS), "")


def recipients_in(headers: Headers) -> tuple[str, ...]:
    """The addresses of To, Cc and Bcc (of the Resent- fields where there are any).

    Raises:
        AddressError: a header that does not read as addresses beyond doubt.
    """
    return tuple(_addresses(headers, names=_RECIPIENTS))


def check_replies(headers: Headers) -> None:
    """Reply-To, where a program wrote it and the standard library mended what it could not read.

    Raises:
        AddressError: a header that does not read as addresses beyond doubt.
    """
    for name, value in headers.get("reply-to", ()):
        if hasattr(value, "addresses"):
            _checked(name, header=value, text=undecoded_text(value))


def _addresses(headers: Headers, *, names: Iterable[str]) -> Iterator[str]:
    blocks = len(headers.get("resent-date", ()))
    if blocks > 1:
        raise HeaderError("the message was resent more than once: give sender= and recipients=")
    for wanted in names:
        for name, value in headers.get(f"resent-{wanted}" if blocks else wanted, ()):
            yield from _specs(name, value=value)


def read_addresses(name: str, *, text: str) -> Any:
    """The text as a structured address header.

    Raises:
        AddressError: it does not read as addresses beyond doubt.
    """
    # A text of usual length may come again, as From does; parsing it takes longer than all else.
    return (_read if len(text) <= _USUAL_LENGTH else _read.__wrapped__)(name, text)


@lru_cache(maxsize=256)  # a cache, of values that nobody changes
def _read(name: str, text: str) -> Any:
    if len(text) > _LONGEST and max(map(len, text.split(","))) > _LONGEST:
        raise AddressError(f"{name.title()}: {text[:60]!r}... is too long to be read as addresses")
    try:
        # Octets above 127 that a parser kept as they were are UTF-8 (RFC 6532).
        text = _FOLD.sub("", text).strip(" \t").encode("utf-8", "surrogateescape").decode("utf-8")
        header: Any = _REGISTRY(name, text)
    except Exception as exc:  # the standard library's parser fails in many ways
        raise AddressError(
            f"{name.title()}: {text!r} cannot be read as addresses: {_remedy(name, text)}"
        ) from exc
    _checked(name, header=header, text=text)
    return header


def one_address(name: str, *, text: str) -> Address:
    """The one address that the text holds, with or without a display name.

    Raises:
        AddressError: it holds none, several, or does not read as one beyond doubt.
    """
    mailbox_list = read_addresses(name, text=text).addresses if isinstance(text, str) else ()
    if len(mailbox_list) != 1:
        raise AddressError(f"{name}: {text!r} is not one address: write it like Web <web@example.com>")
    address: Address = mailbox_list[0]
    return address


def _structured(name: str, *, value: Any) -> Any:
    if not hasattr(value, "addresses"):
        return read_addresses(name, text=str(value))
    _checked(name, header=value, text=undecoded_text(value))
    return value


def _specs(name: str, *, value: Any) -> Iterable[str]:
    """Every address as it is sent, of a header as it is kept."""
    if hasattr(value, "addresses"):
        return _checked(name, header=value, text=undecoded_text(value))
    text = str(value)
    return [
        _spec(address, text) or address.addr_spec for address in read_addresses(name, text=text).addresses
    ]


def _checked(name: str, *, header: Any, text: str) -> Iterable[str]:
    """The addresses of a header that reads as addresses beyond doubt."""
    defects = header.defects
    doubtful, doubt = bool(defects) and any(map(_is_doubtful, defects)), ""
    # The parser also decodes encoded words, where RFC 2047 section 5 allows none, skips comments
    # and all that Unicode has for blanks: an address that is not in the text as it is was not meant.
    addresses = header.addresses
    specs = [_spec(address, text) for address in addresses]
    if not (doubtful or all(specs)):
        doubtful, doubt = True, f" (what is {addresses[specs.index('')].addr_spec}?)"
    if doubtful:
        raise AddressError(
            f"{name.title()}: {text!r} does not read as addresses beyond doubt{doubt}: {_remedy(name, text)}"
        )
    return specs


def _remedy(name: str, text: str) -> str:
    """How to write what cannot be read."""
    if named := _NAMED.fullmatch(text.strip()):
        phrase = named[1].replace("\\", "\\\\")
        quoted = f'"{phrase}" <{named[2]}>'
        with contextlib.suppress(AddressError):
            read_addresses(name, text=quoted)
            return f"put the name in quotes: {quoted}"
    return (
        "write them as Name <me@example.org>, separated by commas; a name that holds a comma, a colon, "
        'an @ or brackets needs quotes: "Doe, John" <me@example.org>'
    )


def _is_doubtful(defect: Exception) -> bool:
    # Of an encoded word that was decoded into a local part, this is all that is left.
    obsolete = isinstance(defect, ObsoleteHeaderDefect) and "local-part" in str(defect)
    return obsolete or isinstance(defect, _DOUBTFUL)


def _spec(address: Address, text: str) -> str:
    """The address as it stands in the text; "" if it does not."""
    spec = address.addr_spec
    if _stands_in(text, spec):
        return spec
    quoted = f'"{address.username}"@{address.domain}'  # of which `addr_spec` knows not all
    return quoted if _stands_in(text, quoted) else ""


def _stands_in(text: str, spec: str) -> bool:
    """Whether the address is there, and is no part of something else."""
    at = text.find(spec)
    while at >= 0:
        end = at + len(spec)
        if text[max(at - 1, 0) : at] in _BEFORE and text[end : end + 1] in _AFTER:
            return True
        at = text.find(spec, at + 1)
    return False


def unaltered(name: str, *, value: Any, field: str) -> str:
    """The folded field: a header of doubtful addresses must leave to the letter, any other for the same ones.

    The standard library loses quotes where it folds within them: what was read beyond doubt is then
    folded between its addresses.

    Raises:
        HeaderError: it would leave as something else.
    """
    if not holds_addresses(name):
        return field
    before, after = str(value), _FOLD.sub("", field.partition(":")[2])
    if hasattr(value, "addresses"):
        before = undecoded_text(value)
    if before.split() == after.split():
        return field
    plain = before.isascii() and "=?" not in before
    if not plain and _bare_specs(name, after) == _bare_specs(name, str(value)):
        return field
    if hasattr(value, "addresses"):
        with contextlib.suppress(AddressError, UnicodeError):
            return _folded_between(name, header=_structured(name, value=value))
    raise HeaderError(
        f"{name.title()}: {before[:60]!r} would not leave as it is: "
        "write it as Name <me@example.org>, separated by commas"
    )


def _folded_between(name: str, *, header: Any) -> str:
    """The field with a line for each address; comments are left out."""
    groups = [
        (group.display_name, ",\r\n ".join(map(_formatted, group.addresses))) for group in header.groups
    ]
    lines = [f"{formataddr((title, 'x'))[:-4]}: {listed};" if title else listed for title, listed in groups]
    return f"{name}: " + ",\r\n ".join(lines) + "\r\n"


def _formatted(address: Address) -> str:
    return formataddr((address.display_name, address.addr_spec))


def _bare_specs(name: str, text: str) -> list[str]:
    octets = text.strip().encode("utf-8", "surrogateescape")
    header: Any = _REGISTRY(name, octets.decode("utf-8", "replace"))
    return [address.addr_spec for address in header.addresses]


def in_ascii(name: str, *, value: Any) -> Any:
    """An address header with A-labels for internationalized domains (RFC 5890); None if nothing changes.

    Raises:
        AddressError: it does not read as addresses beyond doubt.
    """
    if str(value).isascii() or not holds_addresses(name):
        return None
    header = _structured(name, value=value)
    if header is value and all(address.domain.isascii() for address in header.addresses):
        return None
    return _REGISTRY(name, [_group_in_ascii(group) for group in header.groups])


@lru_cache(maxsize=256)  # a cache: few names make most headers
def holds_addresses(name: str) -> bool:
    """Whether a header of this name is made of addresses (RFC 5322 section 3.6)."""
    return isinstance(_REGISTRY(name, ""), AddressHeader)


def _group_in_ascii(group: Group) -> Group:
    return Group(group.display_name, tuple(map(_address_in_ascii, group.addresses)))


def _address_in_ascii(address: Address) -> Address:
    domain = mailbox(address.addr_spec).path.rpartition("@")[2]
    return Address(address.display_name, username=address.username, domain=domain)
