"""What is handed over? A `Submission`: envelope and content together, checked before any socket opens."""

from __future__ import annotations

import os
from collections.abc import Iterable
from email.message import Message
from typing import TYPE_CHECKING, NamedTuple

from portmail.addresses import check_replies, one_address, recipients_in, sender_in
from portmail.content import AnyMessage, Content, Enveloped, content_of, headers_of, opened
from portmail.envelope import Envelope, Mailbox
from portmail.errors import AddressError, ContentError, PortmailError
from portmail.offloading import in_a_daemon_thread

if TYPE_CHECKING:
    from portmail.flattening import Flat

_LARGE = 1024 * 1024
"""Octets, beyond which a message takes milliseconds to check."""


class Submission(NamedTuple):
    """One message on its way: what is decided here is what is sent."""

    envelope: Envelope
    content: Content

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address or a header needs SMTPUTF8 (RFC 6531)."""
        return self.envelope.needs_smtputf8 or self.content.needs_smtputf8

    @classmethod
    def of(
        cls,
        message: AnyMessage | Enveloped,
        *,
        sender: str | Mailbox | None = None,
        recipients: Iterable[str | Mailbox] | None = None,
        default_sender: str | None = None,
    ) -> Submission:
        """Check the message and take its envelope from the header where none is given.

        `sender=""` is the null reverse-path. `default_sender` serves where the message names nobody.

        Raises:
            AddressError: an address or header that cannot travel, or no sender or recipient at all.
            ContentError: it is no message, its file cannot be read, or no server could take it.
        """
        if isinstance(message, Enveloped):
            sender = message.sender if sender is None else sender
            recipients = message.recipients if recipients is None else recipients
            message = message.message
        try:
            return cls._checked(
                _loaded(message), sender=sender, recipients=recipients, default_sender=default_sender
            )
        except PortmailError:
            raise
        except Exception as exc:  # the standard library's header parser fails in many ways
            raise ContentError(f"the message cannot be read: {type(exc).__name__}: {exc}") from exc

    @classmethod
    def _checked(
        cls,
        message: Message | bytes,
        *,
        sender: str | Mailbox | None,
        recipients: Iterable[str | Mailbox] | None,
        default_sender: str | None,
    ) -> Submission:
        draft: Message | Flat = opened(message) if isinstance(message, bytes) else message
        headers = headers_of(draft)
        # What From says where it is missing; it may have a display name.
        written = default_sender or (sender.text if isinstance(sender, Mailbox) else sender) or ""
        author = sender_in(headers) if sender is None else sender
        if sender is None and not author and written:
            author = one_address("sender", text=written).addr_spec
        if sender is None and not author:
            raise AddressError("the message has no From: set it, or give sender= (--from, PORTMAIL_FROM)")
        envelope = Envelope.of(
            sender=author,
            recipients=recipients_in(headers) if recipients is None else recipients,
        )
        check_replies(headers)
        domain = envelope.sender.path.rpartition("@")[2] if envelope.sender else ""
        named = domain.isascii() and not domain.startswith("[")
        return cls(envelope, content_of(draft, sender=written, domain=domain if named else ""))


async def prepared(
    message: AnyMessage | Enveloped,
    *,
    sender: str | Mailbox | None = None,
    recipients: Iterable[str | Mailbox] | None = None,
    default_sender: str | None = None,
) -> Submission:
    """`Submission.of` for a running loop: what takes long is done in a thread."""

    def prepare() -> Submission:
        return Submission.of(message, sender=sender, recipients=recipients, default_sender=default_sender)

    return await in_a_daemon_thread(prepare) if _takes_long(message) else prepare()


def _takes_long(message: AnyMessage | Enveloped) -> bool:
    if isinstance(message, Enveloped):
        return _takes_long(message.message)
    if isinstance(message, Message):
        return _length_kept(message) > _LARGE
    return isinstance(message, os.PathLike) or (isinstance(message, bytes) and len(message) > _LARGE)


def _length_kept(part: object) -> int:
    """Characters of the texts of a message and its parts."""
    if not isinstance(part, Message):
        return 0  # odd, and told when it is read
    # As it is kept: a part whose content is a file would read that if it were asked.
    kept = vars(part).get("_payload")
    if isinstance(kept, list):
        return sum(map(_length_kept, kept))
    return len(kept) if isinstance(kept, str) else 0


def _loaded(message: AnyMessage) -> Message | bytes:
    if isinstance(message, (Message, bytes)):
        return message
    if isinstance(message, os.PathLike):
        from pathlib import Path  # most messages are no files

        from portmail.attachment import read_file

        return read_file(Path(message))
    raise ContentError(
        f"{type(message).__name__} is no message: give an email.message.EmailMessage, or bytes; "
        "for a file give a pathlib.Path"
    )
