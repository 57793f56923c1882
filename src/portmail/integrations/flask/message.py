"""What does a program fill in? Flask-Mail's `Message`: its arguments, its attributes, its methods."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message as AnyEmail
from email.utils import make_msgid
from typing import TYPE_CHECKING, cast

from portmail.addresses import one_address
from portmail.content import content_of
from portmail.envelope import mailbox
from portmail.errors import AddressError, HeaderError
from portmail.header import check_header
from portmail.integrations.flask.attachment import Attachment
from portmail.integrations.flask.building import email_of, unfolded
from portmail.integrations.flask.refusals import translated
from portmail.integrations.flask.state import current_state
from portmail.integrations.flask.texts import AnyAddress, force_text, written

if TYPE_CHECKING:
    from portmail.integrations.flask.connection import Connection
    from portmail.receipt import Receipt


class Message:
    """A mail to be sent.

    Args:
        subject: the Subject header.
        recipients, cc, bcc: addresses; those of bcc are in no header.
        body, html: the text, and the same as HTML.
        alts: the text in more forms, by the subtype of text/; `html` is one of them.
        sender: an address, or (name, address); else MAIL_DEFAULT_SENDER.
        attachments: files that go along, see `attach`.
        reply_to: where answers go.
        date: seconds since 1970; else when it is sent.
        charset: of the texts, where it has all their letters; else UTF-8.
        extra_headers: more headers. One that is there already is replaced; the envelope stays.
        mail_options, rcpt_options: ESMTP parameters. SIZE, BODY and SMTPUTF8 are set as the message
            needs them, whether they are given or not; others are refused when it is sent.

    Attributes:
        portmail_receipt: the `Receipt`, once it was sent.
    """

    def __init__(  # noqa: PLR0917  # as Flask-Mail has it
        self,
        subject: str = "",
        recipients: Sequence[AnyAddress] | None = None,
        body: str | None = None,
        html: str | None = None,
        alts: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        sender: AnyAddress | None = None,
        cc: Sequence[AnyAddress] | None = None,
        bcc: Sequence[AnyAddress] | None = None,
        attachments: list[Attachment] | None = None,
        reply_to: AnyAddress | None = None,
        date: float | None = None,
        charset: str | None = None,
        extra_headers: dict[str, str] | None = None,
        mail_options: list[str] | None = None,
        rcpt_options: list[str] | None = None,
    ) -> None:
        given = sender or _default_sender()
        self.sender: str | None = written(given) if given else None
        self.subject = subject
        self.recipients = _listed("recipients", recipients)
        self.cc = _listed("cc", cc)
        self.bcc = _listed("bcc", bcc)
        self.reply_to = reply_to
        self.body = body
        self.alts = dict(cast("Mapping[str, str]", alts or {}))
        self.html = html
        self.date = date
        self.msgId = make_msgid(domain=_domain(self.sender))
        self.charset = charset
        self.extra_headers = extra_headers
        self.mail_options: list[str] = mail_options or []
        self.rcpt_options: list[str] = rcpt_options or []
        self.attachments: list[Attachment] = attachments or []
        self.portmail_receipt: Receipt | None = None

    @property
    def send_to(self) -> set[AnyAddress]:
        """All who get it."""
        return {*self.recipients, *self.cc, *self.bcc}

    @property
    def html(self) -> str | None:
        """The text as HTML: one of `alts`."""
        return self.alts.get("html")

    @html.setter
    def html(self, value: str | None) -> None:
        if value is None:
            self.alts.pop("html", None)
        else:
            self.alts["html"] = value

    def _message(self) -> AnyEmail:
        """The message as it is sent. A class that signs mail, say, may replace it."""
        state = current_state()
        return email_of(self, ascii_names=bool(state and state.ascii_attachments))

    def as_bytes(self) -> bytes:
        """The octets that travel, with CRLF line ends.

        Raises:
            AddressError, HeaderError, ContentError: what would not be sent is not shown either.
        """
        with translated():
            return content_of(self._message(), sender="").data

    def as_string(self) -> str:
        """The same as text."""
        return self.as_bytes().decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.as_string()

    def __bytes__(self) -> bytes:
        return self.as_bytes()

    def has_bad_headers(self) -> bool:
        """Whether a subject, an address or an extra header would become another header."""
        listed = [*self.recipients, *self.cc, *self.bcc, self.sender or "", self.reply_to or ""]
        headers = [("To", written(address)) for address in listed]
        headers += [(name, force_text(value)) for name, value in (self.extra_headers or {}).items()]
        try:
            unfolded(self.subject)
            for name, value in headers:
                check_header(name, value=value)
        except HeaderError:
            return True
        return False

    def is_bad_headers(self) -> bool:
        """The old name of `has_bad_headers`."""
        warnings.warn("is_bad_headers is now has_bad_headers", DeprecationWarning, stacklevel=2)
        return self.has_bad_headers()

    def send(self, connection: Connection) -> Receipt | None:
        """Send it by this connection; see `Connection.send`."""
        return connection.send(self)

    def add_recipient(self, recipient: AnyAddress) -> None:
        """Add a recipient."""
        self.recipients.append(recipient)

    def attach(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: str | bytes | None = None,
        disposition: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Add a file; see `Attachment`."""
        self.attachments.append(Attachment(filename, content_type, data, disposition, headers))


def _default_sender() -> AnyAddress | None:
    state = current_state()
    return state.default_sender if state else None


def _listed(name: str, given: Sequence[AnyAddress] | None) -> list[AnyAddress]:
    """The program's own list, which it may add to.

    Raises:
        AddressError: a text, which would be as many addresses as it has letters.
    """
    if isinstance(given, str):
        raise AddressError(f"{name}={given!r} must be a list of addresses: put it in brackets")
    return given if isinstance(given, list) else list(given or ())


def _domain(sender: str | None) -> str:
    """The domain of a Message-ID: the sender's, never the name of this machine."""
    try:
        path = mailbox(one_address("sender", text=sender or "").addr_spec).path
    except AddressError:
        return "localhost"
    domain = path.rpartition("@")[2]
    return domain if domain.isascii() and not domain.startswith("[") else "localhost"
