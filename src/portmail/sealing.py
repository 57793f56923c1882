"""How does a message wait in a queue? `sealed`: checked, as plain data that any queue can keep as JSON.

    data = portmail.sealed(message)        # where it is composed: what is wrong with it is told here
    mail.send(portmail.unsealed(data))     # in the worker, as often as it takes

A sealed message has its envelope, its Date and its Message-ID: whoever sends it twice, because a
queue gives a task out twice, sends the same message twice, and the recipient can know.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Mapping
from typing import TypedDict

from portmail.content import AnyMessage, Enveloped
from portmail.envelope import Mailbox, local_mailbox
from portmail.errors import ContentError
from portmail.submission import Submission


class Sealed(TypedDict):
    """A message as plain data.

    `sender` and `recipients` are the envelope (`""` for the null reverse-path), `content` the message's
    octets in base64, without Bcc.
    """

    message_id: str
    sender: str
    recipients: list[str]
    content: str


def sealed(
    message: AnyMessage | Enveloped,
    *,
    sender: str | Mailbox | None = None,
    recipients: Iterable[str | Mailbox] | None = None,
) -> Sealed:
    """Check a message and put it into plain data, with a Date and a Message-ID if it has none.

    Arguments are those of `Submitter.send`; the whole message is held in memory. There is no account
    here, so a message without From needs `sender`.

    Raises:
        AddressError: an address, a header or a content that cannot travel.
    """
    envelope, content = Submission.of(message, sender=sender, recipients=recipients)
    return Sealed(
        message_id=content.message_id,
        sender=envelope.sender.path if envelope.sender else "",
        recipients=[box.path for box in envelope.recipients],
        content=b64encode(content.data).decode("ascii"),
    )


def unsealed(data: Mapping[str, object]) -> Enveloped:
    """What `sealed` put there, for `send` and `send_many`.

    Raises:
        ContentError: it is not what `sealed` returned.
    """
    try:
        content = b64decode(str(data["content"]), validate=True)
        sender, recipients = data["sender"], data["recipients"]
    except (KeyError, TypeError, Error) as exc:
        raise ContentError(f"this is no sealed message: {exc!r}") from None
    if not (isinstance(sender, str) and isinstance(recipients, list)):
        raise ContentError("this is no sealed message: its envelope is none")
    return Enveloped(content, sender=_box(sender) if sender else "", recipients=[*map(_box, recipients)])


def _box(path: object) -> str | Mailbox:
    """An address, or a local mailbox, as which the message was sealed."""
    if not isinstance(path, str):
        raise ContentError("this is no sealed message: its envelope is none")
    return path if "@" in path else local_mailbox(path)
