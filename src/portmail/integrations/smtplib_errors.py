"""What is raised to programs that were written for smtplib? Our errors, which are also smtplib's.

Handlers that are there already go on working: `except smtplib.SMTPException`, `except OSError`,
`.smtp_code`, `.recipients`. What they catch is still what `portmail.errors` says it is, with its
text, attempts, and `temporary`.

| here | also |
|---|---|
| Unreachable | SMTPServerDisconnected (and ConnectionError, as everywhere) |
| InsecureChannel | SMTPNotSupportedError, ssl.SSLError |
| AuthenticationFailed | SMTPAuthenticationError |
| NoMechanism | SMTPNotSupportedError |
| RecipientsRefused, SenderRefused, DataRefused, TurnedAway | each smtplib's of its phase; all are Rejected |
| MessageTooLarge | SMTPSenderRefused: SIZE is said with MAIL (RFC 1870) |
| ExtensionMissing | SMTPNotSupportedError |
| InDoubt, and all others | SMTPException alone: who reconnects and sends again would send twice |
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portmail import errors
from portmail.cause import Cause
from portmail.failure import Phase

if TYPE_CHECKING:
    from portmail.failure import Failure
    from portmail.reply import Reply

NO_STARTTLS = "STARTTLS extension not supported by server."
NO_AUTH = "SMTP AUTH extension not supported by server."
"""smtplib's own words, which programs and their tests look for. They stand first, where they are true."""

_NO_STARTTLS = (Cause.STARTTLS_NOT_OFFERED, Cause.STARTTLS_STRIPPED, Cause.PROXY)

_TOO_LARGE = 552
"""The reply code of what is too large (RFC 1870 section 6.1), where EHLO said so."""

_PERMANENT = 554
"""The reply code of what no server was asked: "transaction failed" (RFC 5321 section 4.2.3)."""


class _Told(OSError):
    """One text, and plain attributes: smtplib's and ssl's classes want other arguments, and print others."""

    def __init__(self, text: str = "") -> None:
        self.args = (text,)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AddressError(errors.AddressError, _Told, smtplib.SMTPException):
    """An address that cannot travel."""


class NoRecipients(errors.NoRecipients, _Told, smtplib.SMTPException):
    """Nobody to send to."""


class HeaderError(errors.HeaderError, _Told, smtplib.SMTPException):
    """A header that would become another header."""


class ContentError(errors.ContentError, _Told, smtplib.SMTPException):
    """A content that no server could take."""


class DiscoveryError(errors.DiscoveryError, _Told, smtplib.SMTPException):
    """No server was found."""


class ApprovalRequired(errors.ApprovalRequired, _Told, smtplib.SMTPException):
    """The server that was found needs the user's word."""


class DiscoveryIncomplete(errors.DiscoveryIncomplete, _Told, smtplib.SMTPException):
    """Somebody who would know the server did not answer."""


class DeliveryError(errors.DeliveryError, _Told, smtplib.SMTPException):
    """The message was not accepted, or nobody knows."""


class Unreachable(errors.Unreachable, _Told, smtplib.SMTPServerDisconnected):
    """No route answered."""


class InsecureChannel(errors.InsecureChannel, _Told, smtplib.SMTPNotSupportedError, ssl.SSLError):
    """A route answered but could not prove encryption."""


class AuthenticationFailed(errors.AuthenticationFailed, _Told, smtplib.SMTPAuthenticationError):
    """The server refused the credentials."""


class NoMechanism(errors.NoMechanism, _Told, smtplib.SMTPNotSupportedError):
    """The server offers no way to log in."""


class CredentialsUnavailable(errors.CredentialsUnavailable, _Told, smtplib.SMTPException):
    """The callable for the password or token failed."""


class Rejected(errors.Rejected, _Told, smtplib.SMTPResponseException):
    """The server said no."""


class RecipientsRefused(errors.Rejected, _Told, smtplib.SMTPRecipientsRefused):
    """The server took none of the recipients."""


class SenderRefused(errors.Rejected, _Told, smtplib.SMTPSenderRefused):
    """The server refused the sender."""


class DataRefused(errors.Rejected, _Told, smtplib.SMTPDataError):
    """The server refused the content."""


class TurnedAway(errors.Rejected, _Told, smtplib.SMTPConnectError):
    """The server refused the connection before a message was spoken of."""


class MessageTooLarge(errors.MessageTooLarge, _Told, smtplib.SMTPSenderRefused):
    """The message is larger than the server takes."""


class ExtensionMissing(errors.ExtensionMissing, _Told, smtplib.SMTPNotSupportedError):
    """The server cannot carry the message."""


class HeldBack(errors.HeldBack, _Told, smtplib.SMTPException):
    """The message was held back before the final dot."""


class InternalError(errors.InternalError, _Told, smtplib.SMTPException):
    """portmail itself failed before the final dot."""


class InDoubt(errors.InDoubt, _Told, smtplib.SMTPException):
    """The message may have been accepted."""


_OURS = (
    *(NoRecipients, HeaderError, ContentError, AddressError),
    *(ApprovalRequired, DiscoveryIncomplete, DiscoveryError),
    *(MessageTooLarge, ExtensionMissing, NoMechanism, AuthenticationFailed, Unreachable, InsecureChannel),
    *(CredentialsUnavailable, HeldBack, InternalError, InDoubt, Rejected, DeliveryError),
)
"""Special before general: the first whose base fits is taken."""

_BY_PHASE: Mapping[Phase, type[errors.Rejected]] = {
    Phase.GREETING: TurnedAway,
    Phase.EHLO: TurnedAway,
    Phase.MAIL: SenderRefused,
    Phase.RCPT: RecipientsRefused,
    Phase.DATA: DataRefused,
    Phase.CONTENT: DataRefused,
    Phase.FINAL_DOT: DataRefused,
}
"""What a refusal is, by what the server refused."""


def as_smtplib(error: errors.PortmailError, *, sender: str = "") -> errors.PortmailError:
    """The same error, which smtplib's handlers know too; what has no counterpart there comes back as it is.

    `sender` is the reverse-path, which smtplib tells of a sender that was refused.
    """
    kind = _kind(error)
    if kind is None or isinstance(error, smtplib.SMTPException):
        return error
    told = kind(_text(error))
    told.__dict__.update(error.__dict__, **_as_smtplib_tells(error, kind=kind, sender=sender))
    told.__cause__, told.__traceback__ = error.__cause__, error.__traceback__
    return told


def _kind(error: errors.PortmailError) -> type[errors.PortmailError] | None:
    failure = _decided(error)
    if type(error) is errors.Rejected and failure is not None:
        return _BY_PHASE.get(failure.phase, Rejected)
    return next((ours for ours in _OURS if isinstance(error, ours.__bases__[0])), None)


def _decided(error: errors.PortmailError) -> Failure | None:
    """What decided it."""
    decided = error.decided if isinstance(error, errors.DeliveryError) else None
    return decided.error if decided else None


def _as_smtplib_tells(
    error: errors.PortmailError, *, kind: type[errors.PortmailError], sender: str
) -> dict[str, Any]:
    """The attributes that smtplib's classes have."""
    failure = _decided(error)
    said = failure.reply if failure else None
    told: dict[str, Any] = {}
    if issubclass(kind, smtplib.SMTPResponseException):
        code = _TOO_LARGE if isinstance(error, errors.MessageTooLarge) else _PERMANENT
        told["smtp_code"], told["smtp_error"] = _pair(said) if said else (code, _octets(str(error)))
    if issubclass(kind, smtplib.SMTPSenderRefused):
        told["sender"] = sender
    if issubclass(kind, smtplib.SMTPRecipientsRefused) and isinstance(error, errors.Rejected):
        told["recipients"] = {who: _pair(reply) for who, reply in error.refused.items()}
    return told


def _pair(reply: Reply) -> tuple[int, bytes]:
    text = f"{reply.enhanced} {reply.text}" if reply.enhanced else reply.text
    return reply.code, _octets(text)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _text(error: errors.PortmailError) -> str:
    text = str(error)
    if isinstance(error, errors.AddressError):
        return f"Invalid address: {text}" if type(error) is errors.AddressError else text
    words = [words for words in _smtplib_words(error) if words not in text]
    return "\n".join([" ".join(words), text]) if words else text


def _smtplib_words(error: errors.PortmailError) -> list[str]:
    failure = _decided(error)
    if failure is None:
        return []
    if failure.cause is Cause.CLEAR_AUTH:
        return [NO_STARTTLS]
    if failure.cause in _NO_STARTTLS:
        return [NO_STARTTLS, NO_AUTH]
    return [NO_AUTH] if failure.cause is Cause.NO_MECHANISM else []
