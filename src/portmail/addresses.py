"""Which addresses does a message's header hold? Read strictly: what is doubtful is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.errors import InvalidHeaderDefect, NonPrintableDefect
from email.headerregistry import Address, AddressHeader, Group, HeaderRegistry
from functools import lru_cache
from typing import Any, TypeAlias

from portmail.envelope import mailbox
from portmail.errors import AddressError, HeaderError

Headers: TypeAlias = Mapping[str, Sequence[tuple[str, Any]]]
"""The fields that are read here, found by the name in lower case: the name and value as they are kept.

A value is a structured header, or text as it was parsed or written.
"""

_REGISTRY = HeaderRegistry()
_DOUBTFUL = (InvalidHeaderDefect, NonPrintableDefect)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_USUAL_LENGTH = 512

_SENDERS, _RECIPIENTS = ("sender", "from"), ("to", "cc", "bcc")
_READ = {"resent-date", *(f"{block}{name}" for block in ("", "resent-") for name in _SENDERS + _RECIPIENTS)}


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
    try:
        # Octets above 127 that a parser kept as they were are UTF-8 (RFC 6532).
        text = _FOLD.sub("", text).strip(" \t").encode("utf-8", "surrogateescape").decode("utf-8")
        header: Any = _REGISTRY(name, text)
    except Exception as exc:  # the standard library's parser fails in many ways
        raise AddressError(
            f"{name.title()}: {text!r} cannot be read as addresses: write them as Name <me@example.org>"
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
    _checked(name, header=value, text=str(value))
    return value


def _specs(name: str, *, value: Any) -> Iterable[str]:
    """Every address as it is sent, of a header as it is kept."""
    if hasattr(value, "addresses"):
        return _checked(name, header=value, text=str(value))
    return [address.addr_spec for address in read_addresses(name, text=str(value)).addresses]


def _checked(name: str, *, header: Any, text: str) -> Iterable[str]:
    """The addresses of a header that reads as addresses beyond doubt."""
    defects = header.defects
    doubt = next((str(defect) for defect in defects if isinstance(defect, _DOUBTFUL)), "") if defects else ""
    # The parser also decodes encoded words, where RFC 2047 section 5 allows none, and skips
    # comments: an address that is not in the text as it is was not meant.
    addresses = header.addresses
    specs = [address.addr_spec for address in addresses]
    for address, spec in zip(addresses, specs, strict=True):
        if spec not in text and f'"{address.username}"@{address.domain}' not in text:
            doubt = doubt or f"what is {spec}?"
    if doubt:
        raise AddressError(
            f"{name.title()}: {text!r} does not read as addresses beyond doubt ({doubt}): "
            "write them as Name <me@example.org>, separated by commas"
        )
    return specs


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
