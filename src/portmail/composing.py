"""How is a simple message made? Text, HTML and files, put together as an `EmailMessage`."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable
from email.message import EmailMessage
from pathlib import Path
from typing import TypeAlias

from portmail.addresses import read_addresses
from portmail.attachment import FilePart
from portmail.errors import AddressError, ContentError
from portmail.header import check_header

Attachments: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""The path of one file, or several."""

_COMPOSITE = ("message", "multipart")
"""Types that base64 is forbidden for (RFC 2045 section 6.4): such a file is a file like any other."""

Addresses: TypeAlias = str | Iterable[str]
"""One header's worth of addresses: `"Ops <ops@example.org>, me@example.org"`, or several such."""


def compose(
    *,
    to: Addresses,
    subject: str,
    text: str = "",
    html: str | None = None,
    sender: str | None = None,
    cc: Addresses | None = None,
    bcc: Addresses | None = None,
    reply_to: Addresses | None = None,
    attachments: Attachments | None = None,
) -> EmailMessage:
    """Make a message of text, or HTML with text beside it, and files.

    `sender` is the From header. Date and Message-ID are added when it is sent. The files are read
    when it is sent, block by block: until then they must stay where they are.

    Raises:
        HeaderError: a header holds a line break.
        AddressError: a header cannot be read as addresses.
        ContentError: an attachment is no regular file, or it cannot be read.
    """
    _check_text(subject=subject, text=text, html=html or "")
    message = EmailMessage()
    headers = {"From": sender or (), "To": to, "Cc": cc or (), "Bcc": bcc or (), "Reply-To": reply_to or ()}
    for name, addresses in headers.items():
        _set_addresses(message, name, addresses=addresses)
    check_header("Subject", value=subject)
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    for path in (attachments,) if isinstance(attachments, str | os.PathLike) else attachments or ():
        if not isinstance(path, str | os.PathLike):
            raise ContentError(f"an attachment is the path of a file, not {type(path).__name__}")
        _attach(message, path=Path(path))
    return message


def _check_text(**texts: object) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ContentError(f"{name} must be a str, not {type(text).__name__}")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ContentError(f"{name} holds half a character (a surrogate), which no mail can carry")


def _set_addresses(message: EmailMessage, name: str, *, addresses: Addresses) -> None:
    try:
        joined = addresses if isinstance(addresses, str) else ", ".join(addresses)
    except TypeError:
        raise AddressError(f"{name}: give an address, or several in a list, as str") from None
    if not joined:
        return
    check_header(name, value=joined)
    message[name] = read_addresses(name, text=joined)


def _attach(message: EmailMessage, *, path: Path) -> None:
    kind, encoding = mimetypes.guess_type(path.name)
    if kind is None or encoding or kind.startswith(_COMPOSITE):
        kind = "application/octet-stream"
    maintype, _, subtype = kind.partition("/")
    check_header("filename", value=path.name)
    _check_text(filename=path.name)
    part = FilePart.of(path, maintype=maintype, subtype=subtype)
    if message.get_content_type() != "multipart/mixed":
        message.make_mixed()
    message.attach(part)
