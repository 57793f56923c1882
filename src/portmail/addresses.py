"""Which addresses does a message's header hold? Read strictly: what is doubtful is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from email.errors import InvalidHeaderDefect, NonPrintableDefect
from email.headerregistry import Address, AddressHeader, Group, HeaderRegistry
from typing import Any, TypeAlias

from portmail.envelope import mailbox
from portmail.errors import AddressError, HeaderError

Headers: TypeAlias = Sequence[tuple[str, Any]]
"""Names and values as they are kept: structured headers, or text as it was parsed or written."""

_REGISTRY = HeaderRegistry()
_DOUBTFUL = (InvalidHeaderDefect, NonPrintableDefect)
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def sender_in(headers: Headers) -> str:
    """The address of Sender, else the first of From (of the Resent- fields, if any); "" if none."""
    prefix = _prefix(headers)
    return next(_addresses(headers, names=(f"{prefix}sender", f"{prefix}from")), "")


def recipients_in(headers: Headers) -> tuple[str, ...]:
    """The addresses of To, Cc and Bcc (of the Resent- fields where there are any).

    Raises:
        AddressError: a header that does not read as addresses beyond doubt.
    """
    prefix = _prefix(headers)
    return tuple(_addresses(headers, names=(f"{prefix}to", f"{prefix}cc", f"{prefix}bcc")))


def _prefix(headers: Headers) -> str:
    blocks = sum(name.lower() == "resent-date" for name, _ in headers)
    if blocks > 1:
        raise HeaderError("the message was resent more than once: give sender= and recipients=")
    return "resent-" if blocks else ""


def _addresses(headers: Headers, *, names: Iterable[str]) -> Iterator[str]:
    for wanted in names:
        for name, value in headers:
            if name.lower() == wanted:
                yield from (address.addr_spec for address in _structured(name, value=value).addresses)


def read_addresses(name: str, *, text: str) -> Any:
    """The text as a structured address header.

    Raises:
        AddressError: it does not read as addresses beyond doubt.
    """
    try:
        # Octets above 127 that a parser kept as they were are UTF-8 (RFC 6532).
        text = _FOLD.sub("", text).strip(" \t").encode("utf-8", "surrogateescape").decode("utf-8")
        header: Any = _REGISTRY(name, text)
    except Exception as exc:  # the standard library's parser fails in many ways
        raise AddressError(
            f"{name.title()}: {text!r} cannot be read as addresses: write them as Name <me@example.org>"
        ) from exc
    return _beyond_doubt(name, header=header, text=text)


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
    if hasattr(value, "addresses"):
        return _beyond_doubt(name, header=value, text=str(value))
    return read_addresses(name, text=str(value))


def _beyond_doubt(name: str, *, header: Any, text: str) -> Any:
    doubt = next((str(defect) for defect in header.defects if isinstance(defect, _DOUBTFUL)), "")
    # The parser also decodes encoded words, where RFC 2047 section 5 allows none, and skips
    # comments: an address that is not in the text as it is was not meant.
    odd = (address.addr_spec for address in header.addresses if not _stands_in(text, address))
    doubt = doubt or next((f"what is {spec}?" for spec in odd), "")
    if doubt:
        raise AddressError(
            f"{name.title()}: {text!r} does not read as addresses beyond doubt ({doubt}): "
            "write them as Name <me@example.org>, separated by commas"
        )
    return header


def _stands_in(text: str, address: Address) -> bool:
    return address.addr_spec in text or f'"{address.username}"@{address.domain}' in text


def in_ascii(name: str, *, value: Any) -> Any:
    """An address header with A-labels for internationalized domains (RFC 5890); None if nothing changes.

    Raises:
        AddressError: it does not read as addresses beyond doubt.
    """
    if str(value).isascii() or not isinstance(_REGISTRY(name, ""), AddressHeader):
        return None
    header = _structured(name, value=value)
    return _REGISTRY(name, [_group_in_ascii(group) for group in header.groups])


def _group_in_ascii(group: Group) -> Group:
    return Group(group.display_name, tuple(map(_address_in_ascii, group.addresses)))


def _address_in_ascii(address: Address) -> Address:
    domain = mailbox(address.addr_spec).path.rpartition("@")[2]
    return Address(address.display_name, username=address.username, domain=domain)
