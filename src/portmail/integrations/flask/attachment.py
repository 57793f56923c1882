"""What is attached? Octets or text with a name and a type, as a part of a message."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from portmail.errors import ContentError
from portmail.header import check_header
from portmail.integrations.flask.texts import force_text

_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_COMPOSITE = ("message", "multipart")
"""Types that base64 is forbidden for (RFC 2045 section 6.4): such a file is a file like any other."""


class Attachment:
    """A file that goes along with a message.

    `data` is octets, or text, which travels as UTF-8. The type is guessed by the name where none is
    given. `headers` are more headers of the part, such as Content-ID.

    Raises:
        ValueError: there is no data.
    """

    def __init__(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: str | bytes | None = None,
        disposition: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if data is None:
            raise ValueError("The 'data' argument is required.")
        guessed = mimetypes.guess_type(filename)[0] if filename else None
        usual = "text/plain" if isinstance(data, str) else "application/octet-stream"
        self.data: str | bytes = data
        self.filename = filename
        self.content_type: str = content_type or guessed or usual
        self.disposition: str = disposition or "attachment"
        self.headers: dict[str, str] = {} if headers is None else headers


def part_of(attachment: Attachment, *, policy: EmailPolicy[EmailMessage], ascii_name: bool) -> EmailMessage:
    """The part of a message that the attachment becomes.

    Raises:
        HeaderError: a name, a type or a header that would become another header.
        ContentError: a type that is none.
    """
    octets, parameters = attachment.data, {}
    maintype, subtype, given = _type(attachment.content_type)
    if isinstance(octets, str):
        octets = octets.encode("utf-8", "replace")
        parameters = {"charset": "utf-8"} if maintype == "text" else {}
    part = EmailMessage(policy=policy)
    part.set_content(
        bytes(octets),
        maintype=maintype,
        subtype=subtype,
        disposition=_checked("Content-Disposition", attachment.disposition),
        filename=_file_name(attachment.filename, ascii_only=ascii_name),
        params=parameters | given,
    )
    for name, value in attachment.headers.items():
        text = _checked(name, force_text(value))
        del part[name]
        part[name] = text
    return part


def _type(text: str) -> tuple[str, str, dict[str, Any]]:
    """The two halves of a type, and its parameters."""
    _checked("Content-Type", text)
    kind = text.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(kind):
        raise ContentError(f"{text!r} is no type of an attachment: write it like image/png")
    holder = EmailMessage()
    holder["Content-Type"] = text
    maintype, _, subtype = kind.partition("/")
    if maintype in _COMPOSITE:
        return "application", "octet-stream", {}
    return maintype, subtype, dict(holder["Content-Type"].params)


def _file_name(name: str | None, *, ascii_only: bool) -> str | None:
    if name is None:
        return None
    if ascii_only:
        decomposed = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
        name = " ".join(decomposed.split())
    return _checked("filename", name)


def _checked(name: str, value: str) -> str:
    check_header(name, value=value)
    return value
