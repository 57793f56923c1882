"""What can go wrong, as the user meets it.

PortmailError
├── ConfigurationError (ValueError)   a wish that cannot be met, found before any socket opens
│   ├── InvalidURL                    ... in an account URL
│   │   ├── UnknownScheme
│   │   └── UnescapedURL              a raw @, #, /, ? or % in the password
│   ├── InvalidRoute                  a host that is no host, a port that is no port
│   ├── CredentialsOnRelay            credentials where they could travel unencrypted
│   ├── CredentialsUnusable           half of them, or a password that cannot be had or carried
│   │   ├── TokenRequired             the provider takes no passwords
│   │   └── UsernameRequired          the user name does not follow from the address
│   └── CertificateFileError          a CA or client certificate file that cannot be read
├── AddressError (ValueError)         an address or header that cannot travel safely
│   ├── NoRecipients                  nobody to send to
│   ├── HeaderError                   a header that would become another header
│   └── ContentError                  a body that cannot travel as it is
├── DeliveryError (OSError)           .attempts .temporary .retry_after .message_id
│   ├── Unreachable (ConnectionError) no route answered: blocked, refused, dropped, intercepted
│   ├── InsecureChannel               a route answered but could not prove encryption
│   ├── AuthenticationFailed          the server refused the credentials; tried once, on one route
│   │   └── NoMechanism               it offers no way to show them; they were not shown
│   ├── CredentialsUnavailable        the callable for the password or token failed; nothing was sent
│   ├── Rejected                      the server said no: .reply, .refused
│   │   ├── MessageTooLarge           its SIZE limit is smaller; nothing was sent
│   │   └── ExtensionMissing          it lacks SMTPUTF8 or 8BITMIME; nothing was sent
│   ├── HeldBack                      its content or the program's own callable said no before the final dot
│   ├── InternalError                 portmail itself failed before the final dot
│   └── InDoubt                       the final dot was sent and no answer came
└── DiscoveryError                    no settings found, or the host found needs approval: .evidence
    ├── ApprovalRequired              a host in another domain, which only unsigned DNS names: .candidate
    └── DiscoveryIncomplete           somebody who would know did not answer: later it may be known

Exceptions are ordinary classes; every one pickles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # errors are the lowest floor: only type checkers look up from here
    from portmail.candidate import Candidate, Evidence
    from portmail.receipt import Attempt
    from portmail.reply import Reply


class PortmailError(Exception):
    """Every error of portmail.

    Attributes:
        temporary: whether the same may succeed later; what a job queue asks.
        retry_after: seconds after which a retry makes sense, None where nothing is known.
    """

    temporary: bool = False
    retry_after: float | None = None


class ConfigurationError(PortmailError, ValueError):
    """A wish that cannot be met, found before any socket opens. The text says what to change."""


class InvalidURL(ConfigurationError):
    """An account URL that cannot be understood."""


class UnknownScheme(InvalidURL):
    """The URL's scheme is none of portmail's."""


class UnescapedURL(InvalidURL):
    """A character in the URL's user name or password must be percent-encoded."""


class InvalidRoute(ConfigurationError):
    """A host that is no host name, or a port that is no port."""


class CredentialsOnRelay(ConfigurationError):
    """Credentials were given for a route on which they could travel unencrypted."""


class CredentialsUnusable(ConfigurationError):
    """The credentials are incomplete, cannot be had, or cannot be carried by any mechanism."""


class TokenRequired(CredentialsUnusable):
    """The provider takes no passwords, only OAuth 2 tokens. Nothing was connected."""


class UsernameRequired(CredentialsUnusable):
    """The provider's user names do not follow from the address. Nothing was shown."""


class CertificateFileError(ConfigurationError):
    """A file of CA certificates or a client certificate is missing or cannot be read."""


class AddressError(PortmailError, ValueError):
    """An address or header that cannot travel safely."""


class NoRecipients(AddressError):
    """The message is for nobody."""


class HeaderError(AddressError):
    """A header that would not arrive as the one header that it is."""


class ContentError(AddressError):
    """A content that no server could take as it is."""


class DiscoveryError(PortmailError):
    """No settings were found for the address. `str(error)` tells who was asked, and what to do.

    Attributes:
        evidence: every question that was asked and what came of it.
    """

    def __init__(self, text: str = "", *, evidence: tuple[Evidence, ...] = ()) -> None:
        super().__init__(text)
        self.evidence = evidence


class ApprovalRequired(DiscoveryError):
    """What names the host is not trusted enough: unsigned DNS, or less than what was used before.

    Nothing was connected to it.

    Attributes:
        candidate: what was found, and would be used if its host is approved.
    """

    def __init__(
        self,
        text: str = "",
        *,
        candidate: Candidate | None = None,
        evidence: tuple[Evidence, ...] = (),
    ) -> None:
        super().__init__(text, evidence=evidence)
        self.candidate = candidate


class DiscoveryIncomplete(DiscoveryError):
    """Somebody who would know did not answer, so nothing was used. Later it may be known."""

    temporary = True


class DeliveryError(PortmailError, OSError):
    """The message was not accepted, or nobody knows. `str(error)` tells it to a person.

    Attributes:
        attempts: every route tried and how it ended, in order.
        message_id: the Message-ID of the message.
        decided: the attempt that decided, None where no single one did.
        earlier: how many of the attempts, the first ones, were made in earlier tries.
    """

    def __init__(
        self,
        text: str = "",
        *,
        attempts: tuple[Attempt, ...] = (),
        temporary: bool = False,
        retry_after: float | None = None,
        message_id: str = "",
    ) -> None:
        super().__init__(text)
        self.decided: Attempt | None = None
        self.earlier = 0
        self.attempts = attempts
        self.temporary = temporary
        self.retry_after = retry_after
        self.message_id = message_id


class Unreachable(DeliveryError, ConnectionError):
    """No route answered, or the connection was lost before the final dot. Nothing was sent."""


class InsecureChannel(DeliveryError):
    """A route answered but could not prove encryption. No credential was shown, nothing was sent."""


class AuthenticationFailed(DeliveryError):
    """The server refused the credentials. They were tried once, on one route."""


class NoMechanism(AuthenticationFailed):
    """The server offers no AUTH mechanism that fits the credentials. They were not shown."""


class CredentialsUnavailable(DeliveryError):
    """The callable for the password or token failed, or took too long. Nothing was shown or sent.

    `__cause__` is what it raised.
    """


class Rejected(DeliveryError):
    """The server said no. Nothing was accepted.

    Attributes:
        reply: the reply that decided it, None where its EHLO decided it.
        refused: the recipients refused, each with the server's reply.
    """

    def __init__(
        self,
        text: str = "",
        *,
        reply: Reply | None = None,
        refused: Mapping[str, Reply] | None = None,
        attempts: tuple[Attempt, ...] = (),
        temporary: bool = False,
        retry_after: float | None = None,
        message_id: str = "",
    ) -> None:
        super().__init__(
            text,
            attempts=attempts,
            temporary=temporary,
            retry_after=retry_after,
            message_id=message_id,
        )
        self.reply = reply
        self.refused: Mapping[str, Reply] = dict(refused or {})


class MessageTooLarge(Rejected):
    """The message is larger than the server's SIZE limit (RFC 1870). Nothing was sent."""


class ExtensionMissing(Rejected):
    """The message needs SMTPUTF8 or 8BITMIME and the server offers neither way. Nothing was sent."""


class HeldBack(DeliveryError):
    """`before_commit` raised, or the content could not be read; `__cause__` is why. Nothing was sent."""


class InternalError(DeliveryError):
    """portmail itself failed before the final dot. Nothing was sent; `__cause__` is what to report."""


class InDoubt(DeliveryError):
    """The final dot was sent and no answer came: the message may have been accepted.

    portmail never retries it: a second submission may be a second message.

    Attributes:
        accepted: recipients beyond doubt, of an earlier transaction: the server took only so many at a time.
    """

    def __init__(
        self,
        text: str = "",
        *,
        accepted: tuple[str, ...] = (),
        attempts: tuple[Attempt, ...] = (),
        temporary: bool = False,
        retry_after: float | None = None,
        message_id: str = "",
    ) -> None:
        super().__init__(
            text,
            attempts=attempts,
            temporary=temporary,
            retry_after=retry_after,
            message_id=message_id,
        )
        self.accepted = accepted
