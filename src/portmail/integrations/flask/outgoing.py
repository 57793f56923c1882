"""What is handed to the submitter? A message's content, its sender and its recipients, checked beforehand."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.message import Message as AnyEmail
from typing import TYPE_CHECKING

from portmail.content import Enveloped
from portmail.errors import ConfigurationError
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.refusals import BadHeaderError, NoRecipients, NoSender, translated
from portmail.integrations.flask.texts import AnyAddress, bare, written
from portmail.submission import Submission

if TYPE_CHECKING:
    from portmail.integrations.flask.state import State
    from portmail.receipt import Receipt
    from portmail.submitter import Submitter

_AUTOMATIC = ("SIZE", "BODY", "SMTPUTF8")
"""Parameters of MAIL that follow from the message (RFC 1870, RFC 6152, RFC 6531)."""


@dataclass(frozen=True, slots=True)
class Outgoing(Enveloped):
    """One message on its way, with the envelope that was meant; `origin` is what the program made."""

    origin: Message = field(kw_only=True)
    sender: str = ""

    @classmethod
    def of(cls, message: Message, *, state: State, envelope_from: AnyAddress | None = None) -> Outgoing:
        """Read what the program filled in. A date or a sender that is missing is filled in as well.

        Raises:
            AddressError, HeaderError, ContentError: it cannot travel.
            ConfigurationError: an ESMTP parameter that is not set here.
        """
        message.sender = message.sender or _sender(state)
        if not (message.recipients or message.cc or message.bcc):
            raise NoRecipients("the message has no recipients: give recipients=, cc= or bcc=")
        if not message.sender:
            raise NoSender("the message has no sender: give sender=, or set MAIL_DEFAULT_SENDER")
        if message.has_bad_headers():
            raise BadHeaderError("a subject, address or extra header of the message holds a line break")
        _check_parameters(message)
        if message.date is None:
            message.date = time.time()
        listed = (("To", message.recipients), ("Cc", message.cc), ("Bcc", message.bcc))
        everybody = [bare(name, address=address) for name, addresses in listed for address in addresses]
        sender = bare("sender", address=envelope_from or message.sender)
        return cls(_content(message), sender, tuple(dict.fromkeys(everybody)), origin=message)

    def check(self) -> None:
        """What is done before anything is connected, and no more.

        Raises:
            AddressError, HeaderError, ContentError: it cannot travel.
        """
        Submission.of(self)

    def by(self, submitter: Submitter) -> Receipt:
        """Submit it.

        Raises:
            DeliveryError: it was not accepted, or nobody knows; the subclass says which.
        """
        with translated(sender=self.sender):
            return submitter.send(self)

    async def awaited(self, submitter: Submitter) -> Receipt:
        """`by`, for a coroutine."""
        with translated(sender=self.sender):
            return await submitter.asend(self)


def _sender(state: State) -> str | None:
    return written(state.default_sender) if state.default_sender else None


def _content(message: Message) -> AnyEmail | bytes:
    """Its octets if it has a way of its own to write itself, as classes have that sign."""
    if type(message).as_bytes is not Message.as_bytes:
        return message.as_bytes()
    return message._message()  # noqa: SLF001  # it is our own


def _check_parameters(message: Message) -> None:
    for given in (*message.mail_options, *message.rcpt_options):
        if given.partition("=")[0].upper() not in _AUTOMATIC:
            raise ConfigurationError(
                f"mail_options and rcpt_options: {given!r} is not set here: leave it out. "
                f"{', '.join(_AUTOMATIC)} are set as each message needs them"
            )
