"""How is what a program gives written in a header? Flask-Mail's helpers, and how names get their quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.header import Header
from typing import Any, TypeAlias

from portmail.addresses import in_ascii, one_address, read_addresses
from portmail.errors import AddressError
from portmail.folding import address_field

AnyAddress: TypeAlias = str | tuple[str | None, str]
"""An address with or without a name, or (name, address)."""

_PLAIN = re.compile(r"[\w!#$%&'*+/=?^`{|}~\s-]*")
"""A display name that needs no quotes (RFC 5322 section 3.2.3, RFC 6532)."""


class FlaskMailUnicodeDecodeError(UnicodeDecodeError):
    """Octets that are no text; tells which they were."""

    def __init__(self, obj: object, *args: Any) -> None:
        self.obj = obj
        super().__init__(*args)

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"


def force_text(s: object, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text that it is, or stands for: octets are decoded, lazy translations are made now.

    Raises:
        FlaskMailUnicodeDecodeError: octets that are not in this encoding.
    """
    if not isinstance(s, bytes):
        return str(s)
    try:
        return s.decode(encoding, errors)
    except UnicodeDecodeError as exc:
        raise FlaskMailUnicodeDecodeError(s, *exc.args) from exc


def written(address: AnyAddress) -> str:
    """The address as text, its name in quotes where it needs them.

    Raises:
        AddressError: it is neither a text nor a pair of them.
    """
    if address is not None and not isinstance(address, tuple | list):
        return force_text(address)
    if address is None or len(address) != 2:
        raise AddressError(f"{address!r} is no address: give a str, or (name, address)")
    name, spec = (force_text(part or "") for part in address)
    if not name:
        return spec
    if not _PLAIN.fullmatch(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{quoted}"'
    return f"{name} <{spec}>"


def bare(name: str, *, address: AnyAddress) -> str:
    """The address without its name.

    Raises:
        AddressError: it does not read as one address beyond doubt.
    """
    return one_address(name, text=written(address)).addr_spec


def sanitize_subject(subject: str, encoding: str = "utf-8") -> str:
    """The subject in ASCII (RFC 2047)."""
    if subject.isascii():
        return subject
    try:
        return Header(subject, encoding).encode()
    except UnicodeEncodeError:
        return Header(subject, "utf-8").encode()


def sanitize_address(addr: AnyAddress, encoding: str = "utf-8") -> str:  # noqa: ARG001  # names are UTF-8
    """The address as it stands in a header: with encoded words (RFC 2047) and A-labels (RFC 5890).

    Raises:
        AddressError: it does not read as one address beyond doubt.
    """
    one_address("To", text=written(addr))
    header = read_addresses("To", text=written(addr))
    field = address_field("To", header=in_ascii("To", value=header) or header)
    return field.partition(":")[2].replace("\r\n", "").strip()


def sanitize_addresses(addresses: Iterable[AnyAddress], encoding: str = "utf-8") -> list[str]:
    """Each address in ASCII, see `sanitize_address`."""
    return [sanitize_address(address, encoding) for address in addresses]
