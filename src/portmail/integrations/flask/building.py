"""What does a message look like when it leaves? An `EmailMessage` of what the program filled in, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.charset import Charset
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import TYPE_CHECKING

from portmail.addresses import read_addresses
from portmail.errors import AddressError, ContentError, HeaderError, PortmailError
from portmail.header import check_header
from portmail.integrations.flask.attachment import part_of
from portmail.integrations.flask.texts import AnyAddress, force_text, written

if TYPE_CHECKING:
    from portmail.integrations.flask.message import Message

_POLICY = SMTP.clone(cte_type="7bit")
"""Nothing but ASCII is in the content: its octets and its text are the same, and every server takes it."""

_NOT_EXTRA = {
    "bcc": "give it as bcc=, which never travels",
    "content-transfer-encoding": "it follows from the content",
    "content-type": "it follows from the content",
    "mime-version": "it is there already",
}
"""Headers that are not a program's to write."""

_FOLD = re.compile(r"\r\n(?=[ \t])")
_HALF = re.compile("[\ud800-\udfff]")


def email_of(message: Message, *, ascii_names: bool = False) -> EmailMessage:
    """The message with its header and its parts; Bcc is not in it.

    Raises:
        HeaderError: a header that would become another header.
        AddressError: what does not read as an address beyond doubt.
        ContentError: a charset or a type that there is not, or what cannot be written at all.
    """
    try:
        return _email(message, ascii_names=ascii_names)
    except (PortmailError, UnicodeDecodeError):
        raise
    except Exception as exc:  # the standard library's header parser fails in many ways
        raise ContentError(f"the message cannot be written: {type(exc).__name__}: {exc}") from exc


def _email(message: Message, *, ascii_names: bool) -> EmailMessage:
    email = EmailMessage(policy=_POLICY)
    for name, value in _header(message):
        email[name] = value
    for name, value in (message.extra_headers or {}).items():
        _set_extra(email, name, value=force_text(value))
    email.set_content(*_text(message.body or "", charset=message.charset))
    for subtype, text in message.alts.items():
        check_header("Content-Type", value=subtype)
        content, _, charset = _text(text, charset=message.charset)
        email.add_alternative(content, subtype=subtype, charset=charset)
    if message.attachments:
        email.make_mixed()
    for attachment in message.attachments:
        email.attach(part_of(attachment, policy=_POLICY, ascii_name=ascii_names))
    return email


def _header(message: Message) -> Iterable[tuple[str, str]]:
    """The fields that are not empty."""
    if message.subject:
        yield "Subject", unfolded(message.subject)
    fields: dict[str, Iterable[AnyAddress]] = {
        "From": [message.sender] if message.sender else [],
        "To": message.recipients,
        "Cc": message.cc,
        "Reply-To": [message.reply_to] if message.reply_to else [],
    }
    for name, addresses in fields.items():
        if texts := list(dict.fromkeys(map(written, addresses))):
            yield name, _read(name, texts)
    yield "Date", formatdate(message.date, localtime=True)
    check_header("Message-ID", value=message.msgId)
    yield "Message-ID", message.msgId


def _read(name: str, texts: Iterable[str]) -> str:
    for text in texts:
        check_header(name, value=text)
        if len(read_addresses(name, text=text).addresses) != 1:
            raise AddressError(f"{name}: {text!r} is not one address: give each one as an item of a list")
    header: str = read_addresses(name, text=", ".join(texts))
    return header


def unfolded(subject: object) -> str:
    """The subject in one line; it may be given folded (RFC 5322 section 2.2.3).

    Raises:
        HeaderError: it holds another line break.
    """
    given = force_text(subject)
    lines = given.split("\r\n")
    text = _FOLD.sub("", given)
    if len(lines) > 1 and not all(line.strip() for line in lines):
        raise HeaderError(f"the Subject header has an empty line: take it out of {given[:60]!r}")
    check_header("Subject", value=text)
    _check_whole("Subject", text)
    return text


def _set_extra(email: EmailMessage, name: str, *, value: str) -> None:
    check_header(name, value=value)
    if why := _NOT_EXTRA.get(name.lower()):
        raise HeaderError(f"the {name} header cannot be an extra header: {why}")
    del email[name]  # the program's word counts
    email[name] = value


def _text(given: object, *, charset: str | None) -> tuple[str, str, str]:
    """A text, its subtype, and its charset: the one wanted, or UTF-8 where that lacks a letter.

    Raises:
        ContentError: there is no such charset, or the text is none.
    """
    text, wanted = force_text(given), charset or "utf-8"
    _check_whole("body", text)
    output = Charset(wanted).output_charset or wanted
    try:
        text.encode(output)
    except UnicodeEncodeError:
        output = "utf-8"
    except LookupError:
        raise ContentError(f"charset={charset!r} is no charset that Python knows: leave it out") from None
    return text, "plain", output


def _check_whole(name: str, text: str) -> None:
    if _HALF.search(text):
        raise ContentError(f"{name} holds half a character (a surrogate), which no mail can carry")
