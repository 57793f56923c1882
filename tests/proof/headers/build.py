"""How does something get into a message's header? Every way that programs use, in messages of every kind."""

from __future__ import annotations

import email
from collections.abc import Callable, Mapping
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Policy
from email.utils import formataddr
from typing import Any, TypeAlias

Way: TypeAlias = Callable[[Message, str], None]
"""Puts a payload into a message. Raises what the standard library raises."""

_HEADERS = {
    "From": "Me <me@example.net>",
    "To": "You <you@example.net>",
    "Cc": "cc@example.net",
    "Reply-To": "reply@example.net",
    "Subject": "x",
    "Date": "Mon, 1 Jan 2024 00:00:00 +0000",
    "Message-ID": "<1@example.net>",
    "Comments": "x",
    "X-Custom": "x",
}


def _new(chosen: Policy[Any]) -> Message:
    message = EmailMessage(chosen)
    for name, value in _HEADERS.items():
        message[name] = value
    message.set_content("Hello\n")
    message.add_attachment(b"\x01\x02", maintype="application", subtype="octet-stream", filename="a.bin")
    return message


def old() -> Message:
    """A message of the classes that are in Python since 2.2."""
    message = MIMEMultipart()
    for name, value in _HEADERS.items():
        message[name] = value
    message.attach(MIMEText("Hello\n"))
    part = MIMEApplication(b"\x01\x02")
    part.add_header("Content-Disposition", "attachment", filename="a.bin")
    message.attach(part)
    return message


def _of(chosen: Any) -> Callable[[], Message]:
    return lambda: _new(chosen)


def _parsed(chosen: Any) -> Callable[[], Message]:
    octets = _new(policy.SMTP).as_bytes()
    return lambda: email.message_from_bytes(octets, policy=chosen)


KINDS: Mapping[str, Callable[[], Message]] = {
    "EmailMessage": _of(policy.default),
    "Message": old,
    "EmailMessage for SMTP": _of(policy.SMTP),
    "EmailMessage for SMTPUTF8": _of(policy.SMTPUTF8),
    "EmailMessage, all refolded": _of(policy.SMTP.clone(refold_source="all", max_line_length=40)),
    "EmailMessage, never folded": _of(policy.SMTP.clone(refold_source="none", max_line_length=998)),
    "parsed EmailMessage": _parsed(policy.SMTP),
    "parsed Message": _parsed(policy.compat32),
}


def _part(message: Message, number: int) -> Message:
    part = message if number == 0 else message.get_payload(number - 1)
    assert isinstance(part, Message)
    return part


def _written(name: str, template: str, *, number: int = 0) -> Way:
    """The header is set, by [] or, where that is refused, by the method that it calls."""

    def put(message: Message, payload: str) -> None:
        part, value = _part(message, number), template.replace("{}", payload)
        del part[name]
        try:
            part[name] = value
        except Exception:  # noqa: BLE001  # a program may go round what the library checks
            part.set_raw(name, value)

    return put


def _named(number: int) -> Way:
    def put(message: Message, payload: str) -> None:
        _part(message, number).set_raw(payload, "x")

    return put


def _as_raw(name: str, *, number: int = 0) -> Way:
    """As a parser leaves it: text that is read when it is asked for."""

    def put(message: Message, payload: str) -> None:
        part = _part(message, number)
        del part[name]
        part.set_raw(name, payload)

    return put


def _file_name(message: Message, payload: str) -> None:
    part = _part(message, 2)
    del part["Content-Disposition"]
    part.add_header("Content-Disposition", "attachment", filename=payload)


def _display_name(message: Message, payload: str) -> None:
    del message["From"]
    if isinstance(message, EmailMessage):
        author: Any = Address(payload, "me", "example.net")
        message["From"] = author
    else:
        message["From"] = formataddr((payload, "me@example.net"))


def _boundary(message: Message, payload: str) -> None:
    message.set_boundary(payload)


def _parameter(message: Message, payload: str) -> None:
    _part(message, 2).set_param("name", payload)


def _parameter_name(message: Message, payload: str) -> None:
    _part(message, 2).set_param(payload, "x")


def _type(message: Message, payload: str) -> None:
    _part(message, 2).set_type(f"application/{payload}")


def _charset(message: Message, payload: str) -> None:
    _part(message, 1).set_param("charset", payload)


def _add_attachment(message: Message, payload: str) -> None:
    if not isinstance(message, EmailMessage):
        raise TypeError("only the new class has it")
    parts: Any = message.get_payload()
    del parts[1]
    message.add_attachment(b"\x01\x02", maintype="application", subtype="octet-stream", filename=payload)


FREE = ("Subject", "Comments", "X-Custom", "file name", "add_attachment")
"""Ways by which every text must get through."""

WAYS: Mapping[str, Way] = {
    "Subject": _written("Subject", "{}"),
    "Comments": _written("Comments", "{}"),
    "X-Custom": _written("X-Custom", "{}"),
    "From name": _written("From", "{} <me@example.net>"),
    "From quoted name": _written("From", '"{}" <me@example.net>'),
    "To name": _written("To", "You <you@example.net>, {} <two@example.net>"),
    "Cc group": _written("Cc", "{}: cc@example.net;"),
    "Cc comment": _written("Cc", "cc@example.net ({})"),
    "Reply-To name": _written("Reply-To", "{} <reply@example.net>"),
    "Bcc": _written("Bcc", "{} <bcc@example.net>"),
    "Date": _written("Date", "{}"),
    "Message-ID": _written("Message-ID", "<{}@example.net>"),
    "References": _written("References", "<1@example.net> <{}@example.net>"),
    "List-Unsubscribe": _written("List-Unsubscribe", "<mailto:{}@example.net>"),
    "MIME-Version": _written("MIME-Version", "1.0 ({})"),
    "raw Subject": _as_raw("Subject"),
    "raw Sender": _written("Sender", "{} <me@example.net>"),
    "raw X-Custom": _as_raw("X-Custom"),
    "Content-Description of a part": _written("Content-Description", "{}", number=2),
    "Content-ID of a part": _written("Content-ID", "<{}@example.net>", number=2),
    "Content-Disposition": _written("Content-Disposition", 'attachment; filename="{}"', number=2),
    "Content-Disposition, coded": _written("Content-Disposition", "attachment; filename*={}", number=2),
    "Content-Type name": _written("Content-Type", 'application/pdf; name="{}"', number=2),
    "Content-Type subtype": _written("Content-Type", "application/{}", number=2),
    "Content-Transfer-Encoding": _written("Content-Transfer-Encoding", "{}", number=2),
    "raw header of a part": _as_raw("X-Part", number=1),
    "file name": _file_name,
    "add_attachment": _add_attachment,
    "display name": _display_name,
    "boundary": _boundary,
    "parameter": _parameter,
    "parameter name": _parameter_name,
    "type": _type,
    "charset": _charset,
}

NAME_WAYS: Mapping[str, Way] = {"header name": _named(0), "header name of a part": _named(1)}
