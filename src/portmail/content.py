"""What travels? A message as canonical CRLF octets, checked, with its size known beforehand."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.policy import SMTP, SMTPUTF8, Compat32, EmailPolicy
from email.utils import formatdate, make_msgid
from typing import Any, TypeAlias

from portmail.addresses import Headers, in_ascii, read_addresses
from portmail.errors import ContentError, HeaderError
from portmail.header import MAX_LINE, Field, check_header, check_same_names, split_header

AnyMessage: TypeAlias = EmailMessage | Message | bytes
"""What can be sent: an `EmailMessage`, an old `Message`, or the octets of a whole message."""

BLOCK = 64 * 1024
"""Octets written at a time."""

_LOST_FIELDS = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)
_HIDDEN = ("bcc", "resent-bcc")
_EMPTY_LINE = re.compile(rb"^\r?\n|(?<=\n)\r?\n")
_LONE_CR = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Content:
    """The header section and body, as they travel: CRLF line ends, no Bcc, no line over 998 octets."""

    data: bytes
    message_id: str
    needs_smtputf8: bool
    """Octets above 127 in the header section (RFC 6531 section 3.1)."""

    @property
    def size(self) -> int:
        """Octets, without dot-stuffing and the final dot (RFC 1870 section 3)."""
        return len(self.data)

    @property
    def needs_8bitmime(self) -> bool:
        """Octets above 127 anywhere (RFC 6152)."""
        return not self.data.isascii()

    def blocks(self) -> Iterator[bytes]:
        """The octets after DATA, dot-stuffed (RFC 5321 section 4.5.2), without the final dot."""
        start = 0
        while start < len(self.data):
            # Cut behind a line end, so that every block begins a line; no line is longer than a block.
            end = self.data.rfind(b"\r\n", start, start + BLOCK) + 2
            block = self.data[start:end].replace(b"\r\n.", b"\r\n..")
            yield b"." + block if block.startswith(b".") else block
            start = end


def content_of(message: Message, *, sender: str) -> Content:
    """The content of a message object; the object stays as it is.

    Date, Message-ID and From (`sender`) are added where they are missing.

    Raises:
        HeaderError: a header that would not arrive as the one header that it is.
        ContentError: a body that no server could take, or one that cannot be serialized.
    """
    for part in message.walk():
        for name, value in part.items():
            check_header(name, value=_unfolded(str(value), part=part))
    if any(isinstance(defect, _LOST_FIELDS) for defect in message.defects):
        raise HeaderError("the message was parsed from octets whose header is broken: fields were lost")
    visible = _copied(message)
    fields, body = split_header(_canonical(_flattened(visible)))
    check_same_names(fields, intended=visible.keys())
    return _finished(fields, body, sender=sender)


def content_of_octets(data: bytes, *, sender: str) -> Content:
    """The content of a message that is octets already.

    Beyond line ends, Bcc and what is missing, nothing changes.

    Raises:
        HeaderError, ContentError: as `content_of`.
    """
    if _LONE_CR.search(_head(data)):
        raise HeaderError("a header holds a carriage return without line feed: take it out")
    fields, body = split_header(_canonical(data))
    visible = [field for field in fields if field.name not in _HIDDEN]
    return _finished(visible, body, sender=sender)


def headers_of(message: AnyMessage) -> Headers:
    """The header as names and values, to read addresses from.

    Raises:
        HeaderError: octets whose header section cannot travel.
    """
    if not isinstance(message, bytes):
        return list(message.raw_items())
    fields, _ = split_header(_canonical(_head(message)))
    return [(field.name, field.octets.partition(b":")[2].decode("utf-8").rstrip("\r\n")) for field in fields]


def _head(data: bytes) -> bytes:
    """What stands before the first empty line."""
    end = _EMPTY_LINE.search(data)
    return data[: end.start()] + b"\r\n" if end else data


def _unfolded(value: str, *, part: Message) -> str:
    # The old policy keeps the folding of what it parsed, which is harmless.
    return re.sub(r"\r?\n(?=[ \t])", "", value) if _is_old(part) else value


def _flattened(message: Message) -> bytes:
    """Serialize; `message` is a copy of ours, whose headers may be rewritten."""
    policy: Any = message.policy
    changes: dict[str, Any] = {"linesep": "\r\n"}
    utf8_locals = any(not local.isascii() for local in _local_parts(message))
    if _is_old(message) or not utf8_locals:
        _write_a_labels(message)
    if isinstance(policy, EmailPolicy):
        # Raw UTF-8 in headers only where an address cannot be written without it, or it was there.
        parsed = [value for _, value in message.raw_items() if not hasattr(value, "fold")]
        changes["utf8"] = utf8_locals or not all(map(str.isascii, parsed))
    target = io.BytesIO()
    try:
        BytesGenerator(target, mangle_from_=False, policy=policy.clone(**changes)).flatten(message)
    except Exception as exc:
        raise ContentError(f"the message cannot be serialized: {type(exc).__name__}: {exc}") from exc
    return target.getvalue()


def _local_parts(message: Message) -> Iterator[str]:
    for value in message.values():
        for address in getattr(value, "addresses", ()):
            yield address.username


def _write_a_labels(message: Message) -> None:
    """Write internationalized domains in address headers in ASCII (RFC 5890)."""
    fields = list(message.raw_items())
    for name, _ in fields:  # a name may occur more than once, and the order is kept
        del message[name]
    for name, value in fields:
        header = in_ascii(name, value=value)
        if header is not None:
            value = _as_octets(name, header) if _is_old(message) else header  # noqa: PLW2901
        message.set_raw(name, value)


def _as_octets(name: str, header: Any) -> str:
    """An address header's octets, for the old policy, which would encode the addresses with the names."""
    octets = _folded(name, header).partition(":")[2].replace("\r\n", "").strip().encode("utf-8")
    return octets.decode("ascii", "surrogateescape")


def _folded(name: str, header: Any) -> str:
    ascii_only = all(address.username.isascii() for address in header.addresses)
    field: str = (SMTP if ascii_only else SMTPUTF8).fold(name, header)
    return field


def _is_old(message: Message) -> bool:
    return isinstance(message.policy, Compat32)


def _canonical(data: bytes) -> bytes:
    """CRLF line ends only (RFC 5321 section 2.3.8), at the end as well.

    Raises:
        ContentError: NUL octets, or a line of more than 998 octets.
    """
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    if b"\0" in data:
        raise ContentError("the message holds NUL octets: encode that part as base64")
    long_line = _long_line(data)
    if long_line is not None:
        number = data.count(b"\n", 0, long_line) + 1
        raise ContentError(
            f"line {number} of the message has more than {MAX_LINE} octets (RFC 5321 section 4.5.3.1.6): "
            "encode that part as quoted-printable or base64, or fold the header"
        )
    return data


def _long_line(data: bytes) -> int | None:
    """Where a line of more than 998 octets begins, None if there is none."""
    start = 0
    while start < len(data):
        # The last line end within reach: as many short lines as fit are passed in one step.
        end = data.rfind(b"\r\n", start, start + MAX_LINE + 2)
        if end < 0:
            return start
        start = end + 2
    return None


def _copied(message: Message) -> Message:
    """A copy of headers and structure, without what is hidden; contents are shared.

    Serializing gives boundaries to multiparts, which is not to be seen in the caller's message.
    """
    made = copy.copy(message)
    for name in _HIDDEN:  # deleting also gives the copy a list of headers of its own
        del made[name]
    parts: Any = message.get_payload()
    if isinstance(parts, list):
        made.set_payload([_copied(part) for part in parts])
    return made


def _finished(fields: Sequence[Field], body: bytes, *, sender: str) -> Content:
    names = {field.name for field in fields}
    author = _author(sender) if sender else None
    domain = author.addresses[0].domain.strip("[]") if author else ""
    domain = domain if domain and domain.isascii() else "localhost"
    made = {
        "date": f"Date: {formatdate(localtime=True)}\r\n",
        "from": _folded("From", author) if author else "",
        "message-id": f"Message-ID: {make_msgid(domain=domain)}\r\n",
    }
    added = [Field(name, text.encode("utf-8")) for name, text in made.items() if text and name not in names]
    head = b"".join(field.octets for field in (*fields, *added))
    return Content(head + body, _message_id((*fields, *added)), not head.isascii())


def _author(sender: str) -> Any:
    header = read_addresses("From", text=sender)
    return in_ascii("From", value=header) or header


def _message_id(fields: Sequence[Field]) -> str:
    octets = next(field.octets for field in fields if field.name == "message-id")
    return octets.partition(b":")[2].decode("utf-8", "replace").strip()
