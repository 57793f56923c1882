"""How does a message travel that cannot as it was written? What commands and scripts print often cannot.

Parts that are signed stay as they are, and so does what is encoded: whoever sends it will refuse it.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from email.parser import BytesHeaderParser

from portmail.cli.sendmail.fields import mended_field
from portmail.cli.sendmail.message import Draft, name_of, travels

_PLAIN = ("", "7bit", "8bit", "binary")
"""Encodings (RFC 2045 section 6.2) that leave a text as it is."""

_AS_THEY_ARE = ("multipart/signed", "multipart/digest")
"""A signature is for every octet; the parts of a digest are messages, and do not say so."""

_OF_A_TEXT = {
    "mime-version": b"MIME-Version: 1.0\r\n",
    "content-type": b"Content-Type: text/plain; charset=utf-8\r\n",
}
"""What a message must say for its encoding to be seen."""

_LONG_LINE = re.compile(rb"[^\r\n]{997}(?=[^\r\n])")
_LONG_BASE64 = re.compile(rb"[^\r\n]{76}(?=[^\r\n])")
_DASHES = re.compile(rb"^--", re.MULTILINE)


def mended(draft: Draft) -> Draft:
    """The same message if it travels; else with fields and parts encoded until it does, or nothing helps.

    What is encoded are texts and files with NUL or with lines of more than 998 octets (quoted-printable,
    RFC 2045 section 6.7), wherever in the message; and fields as in `mended_field`.
    """
    found = _mended_entity(draft)
    if found.body == draft.body:
        return found
    missing = [field for name, field in _OF_A_TEXT.items() if not found.has(name)]
    return found._replace(fields=(*found.fields, *missing))


def _mended_entity(draft: Draft) -> Draft:
    """A message, or a part of one."""
    draft = draft._replace(fields=tuple(map(mended_field, draft.fields)))
    if travels(draft.body):
        return draft
    header = BytesHeaderParser().parsebytes(b"".join(draft.fields))
    coding = next(iter(draft.texts("content-transfer-encoding")), "").lower()
    kind = header.get_content_type()
    if coding == "base64":
        return draft._replace(body=_LONG_BASE64.sub(rb"\g<0>\n", draft.body))
    if coding not in _PLAIN or kind in _AS_THEY_ARE:
        return draft
    if kind == "message/rfc822":
        return draft._replace(body=b"\n" + mended(Draft.entity(_content(draft))).octets)
    if kind.startswith(("multipart/", "message/")):
        boundary = header.get_boundary()
        return draft._replace(body=_mended_parts(draft.body, boundary=boundary)) if boundary else draft
    return _quoted(draft)


def _content(draft: Draft) -> bytes:
    """What follows the empty line."""
    return draft.body.removeprefix(b"\r").removeprefix(b"\n")


def _quoted(draft: Draft) -> Draft:
    """In quoted-printable."""
    fields = [field for field in draft.fields if name_of(field) != "content-transfer-encoding"]
    fields.append(b"Content-Transfer-Encoding: quoted-printable\r\n")
    text = b2a_qp(_content(draft).replace(b"\r\n", b"\n"), istext=True)
    # A line that was not there before must not be taken for the boundary of some part.
    return Draft(tuple(fields), b"\n" + _DASHES.sub(b"=2D-", text))


def _mended_parts(body: bytes, *, boundary: str) -> bytes:
    """A body of parts, each with what it needs (RFC 2046 section 5.1.1)."""
    delimiter = b"--" + boundary.encode("utf-8", "surrogateescape")
    line = rb"^(%b(?:--)?[ \t]*(?:\r?\n|\Z))" % re.escape(delimiter)
    texts = re.split(line, body, flags=re.MULTILINE)  # a delimiter, every second time
    closed = (at for at, text in enumerate(texts) if at % 2 and text.rstrip() == delimiter + b"--")
    end = next(closed, len(texts))
    for at in range(0, len(texts), 2):
        texts[at] = _mended_part(texts[at]) if 0 < at < end else _cut(texts[at])
    return b"".join(texts)


def _mended_part(part: bytes) -> bytes:
    return part if travels(part) else _mended_entity(Draft.entity(part)).octets


def _cut(text: bytes) -> bytes:
    """What stands around the parts, and nobody is shown. What begins with a blank is no delimiter."""
    return _LONG_LINE.sub(rb"\g<0>\n ", text.replace(b"\0", b" "))
