"""How does one message go out? By a `Connection`, which stands for all connections of the process."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from portmail.integrations.flask.message import Message
from portmail.integrations.flask.outgoing import Outgoing
from portmail.integrations.flask.refusals import translated
from portmail.integrations.flask.state import State
from portmail.integrations.flask.telling import told

if TYPE_CHECKING:
    from portmail.integrations.flask.texts import AnyAddress
    from portmail.receipt import Receipt


class Connection:
    """Sends messages, by connections that stay open for the next message, and the next request.

    `mail` is the state, `num_emails` how many it has sent.
    """

    def __init__(self, mail: State) -> None:
        self.mail = mail
        self.num_emails = 0

    def __enter__(self) -> Self:
        if not self.mail.suppress:
            with translated():
                self.mail.submitter().connect()
        self.num_emails = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is closed."""

    def send(self, message: Message, envelope_from: AnyAddress | None = None) -> Receipt | None:
        """Check a message and send it; if sending is suppressed, only check it, and return None.

        `envelope_from` is where bounces go, if that is not the sender.

        Raises:
            BadHeaderError, AddressError, ContentError: it cannot travel; nothing was connected.
            ConfigurationError: a setting, or an ESMTP parameter, that cannot be met.
            DeliveryError: it was not accepted, or nobody knows (`InDoubt`); the subclass says which.
        """
        message.portmail_receipt = None
        with told(message):
            outgoing = Outgoing.of(message, state=self.mail, envelope_from=envelope_from)
            if self.mail.suppress:
                outgoing.check()
            else:
                message.portmail_receipt = outgoing.by(self.mail.submitter())
        self.num_emails += 1
        return message.portmail_receipt

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt | None:
        """Make a `Message` of the arguments, and send it."""
        return self.send(Message(*args, **kwargs))
