"""What does the standard library's generator make of a message? For all that is not written out faster."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Compat32, EmailPolicy
from typing import Any

from portmail.addresses import in_ascii, unaltered
from portmail.canonical import canonical
from portmail.errors import ContentError, HeaderError
from portmail.flattening import HIDDEN, Flat, boundary_of
from portmail.folding import address_field, check_kept
from portmail.header import check_same_names, split_header

_LOST_FIELDS = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)


def generated(message: Message) -> Flat:
    """Any message, written out by the generator; the object stays as it is.

    Raises:
        HeaderError: a header that would not arrive as the one header that it is.
        ContentError: a body that no server could take, or one that cannot be serialized.
    """
    for part in message.walk():
        for name, value in part.raw_items():
            check_kept(name, value, reader=part.policy)
        boundary_of(part)
    if any(isinstance(defect, _LOST_FIELDS) for defect in message.defects):
        raise HeaderError("the message was parsed from octets whose header is broken: fields were lost")
    visible = _copied(message)
    fields, body = split_header(canonical(_flattened(visible)))
    check_same_names(fields, intended=visible.keys())
    written = [
        (field.name, unaltered(name, value=value, field=field.octets.decode("ascii", "surrogateescape")))
        for (name, value), field in zip(visible.raw_items(), fields, strict=True)
    ]
    return Flat(written, (body,))


def _copied(message: Message) -> Message:
    """A copy of headers and structure, without what is hidden; contents are shared.

    Serializing gives boundaries to multiparts, which is not to be seen in the caller's message.
    """
    made = copy.copy(message)
    for name in HIDDEN:  # deleting also gives the copy a list of headers of its own
        del made[name]
    if message.is_multipart():
        parts: Any = message.get_payload()
        made.set_payload([_copied(part) for part in parts])
    return made


def _flattened(message: Message) -> bytes:
    """Serialize; `message` is a copy of ours, whose headers may be rewritten."""
    policy: Any = message.policy
    changes: dict[str, Any] = {"linesep": "\r\n"}
    utf8_locals = any(not local.isascii() for local in _local_parts(message))
    if isinstance(message.policy, Compat32) or not utf8_locals:
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
        if header is not None and isinstance(message.policy, Compat32):
            header = _as_octets(name, header)
        message.set_raw(name, value if header is None else header)


def _as_octets(name: str, header: Any) -> str:
    """An address header's octets, for the old policy, which would encode the addresses with the names."""
    octets = address_field(name, header=header).partition(":")[2].replace("\r\n", "").strip().encode("utf-8")
    return octets.decode("ascii", "surrogateescape")
