"""Which addresses does a message's header hold? Read strictly: what is doubtful is refused."""

from __future__ import annotations

from collections.abc import Iterator
from email.errors import InvalidHeaderDefect, NonPrintableDefect
from email.headerregistry import Address, Group, HeaderRegistry
from email.message import Message
from typing import Any

from portmail.envelope import mailbox
from portmail.errors import AddressError, HeaderError

_REGISTRY = HeaderRegistry()
_DOUBTFUL = (InvalidHeaderDefect, NonPrintableDefect)


def sender_in(message: Message) -> str:
    """The address of Sender, else the first of From (of the Resent- fields, if any); "" if none."""
    prefix = _prefix(message)
    return next(_addresses(message, names=(f"{prefix}Sender", f"{prefix}From")), "")


def recipients_in(message: Message) -> tuple[str, ...]:
    """The addresses of To, Cc and Bcc (of the Resent- fields where there are any).

    Raises:
        AddressError: a header that does not read as addresses beyond doubt.
    """
    prefix = _prefix(message)
    return tuple(_addresses(message, names=tuple(f"{prefix}{name}" for name in ("To", "Cc", "Bcc"))))


def _prefix(message: Message) -> str:
    blocks = len(message.get_all("Resent-Date", ()))
    if blocks > 1:
        raise HeaderError("the message was resent more than once: give sender= and recipients=")
    return "Resent-" if blocks else ""


def _addresses(message: Message, *, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        for value in message.get_all(name, ()):
            yield from (address.addr_spec for address in _parsed(name, value=value).addresses)


def read_addresses(name: str, *, text: str) -> Any:
    """The text as a structured address header.

    Raises:
        AddressError: it does not read as addresses beyond doubt.
    """
    try:
        header = _REGISTRY(name, text)
    except Exception as exc:  # the standard library's parser fails in many ways
        raise AddressError(f"{name}: {text!r} cannot be read as addresses: {exc}") from exc
    return _beyond_doubt(name, header=header, text=text)


def _parsed(name: str, *, value: Any) -> Any:
    """The value as a structured header. Old messages have plain strings."""
    if hasattr(value, "addresses"):
        return _beyond_doubt(name, header=value, text=str(value))
    return read_addresses(name, text=" ".join(str(value).split()))


def _beyond_doubt(name: str, *, header: Any, text: str) -> Any:
    for defect in header.defects:
        if isinstance(defect, _DOUBTFUL):
            raise AddressError(
                f"{name}: {text!r} does not read as addresses beyond doubt ({defect}): "
                "write them as Name <me@example.org>, separated by commas"
            )
    return header


def in_ascii(value: Any) -> list[Group] | None:
    """An address header's groups with A-labels for internationalized domains; None if nothing changes."""
    if str(getattr(value, "addresses", "")).isascii() or all(a.domain.isascii() for a in value.addresses):
        return None
    return [
        Group(group.display_name, tuple(_in_ascii(address) for address in group.addresses))
        for group in value.groups
    ]


def _in_ascii(address: Address) -> Address:
    path = mailbox(address.addr_spec).path
    return Address(address.display_name, addr_spec=path)
