"""How does a draft become a submission? Names get domains, what is missing is added, and it is sent."""

from __future__ import annotations

import getpass
import os
import sys
from email.utils import formataddr
from functools import partial
from types import TracebackType
from typing import Self

from portmail.addresses import in_ascii, one_address, read_addresses
from portmail.cli.exits import UsageError
from portmail.cli.sendmail.aliases import Aliases
from portmail.cli.sendmail.config import Configuration
from portmail.cli.sendmail.flags import Invocation
from portmail.cli.sendmail.mending import mended
from portmail.cli.sendmail.message import Draft, name_of
from portmail.cli.sendmail.names import Names, readable, with_domains
from portmail.envelope import ascii_domain
from portmail.errors import AddressError, ConfigurationError
from portmail.folding import address_field
from portmail.header import check_header
from portmail.receipt import Receipt
from portmail.submitter import Submitter

_SENDERS, _RECIPIENTS = ("sender", "from"), ("to", "cc", "bcc")
_BLOCKS = ("", "resent-")
_OF_SENDERS = frozenset(f"{block}{name}" for block in _BLOCKS for name in _SENDERS)
_OF_RECIPIENTS = frozenset(f"{block}{name}" for block in _BLOCKS for name in (*_RECIPIENTS, "reply-to"))


class Desk:
    """Where messages are handed in, for one account.

    Raises:
        ConfigurationError: the configuration cannot be met.
    """

    def __init__(self, configuration: Configuration) -> None:
        configuration.check_account()
        aliases = Aliases.read(configuration.aliases) if configuration.aliases else Aliases()
        maildomain = _checked_domain(configuration.maildomain)
        self._submitter = Submitter.from_env(configuration.account)
        written = self._submitter.settings.sender
        author = one_address("sender", text=written) if written else None
        self._author_name = author.display_name if author else ""
        self.names = Names(
            aliases, maildomain, author=author.addr_spec if author else "", place=configuration.place
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._submitter.close()

    def submit(self, draft: Draft, asked: Invocation) -> Receipt:
        """Send a draft as the flags say.

        Raises:
            AddressError: an address that cannot travel.
            ConfigurationError: a name has neither an alias nor a domain.
            DeliveryError: it was not accepted, or nobody knows.
            UsageError: it is for nobody.
        """
        recipients = [it for text in asked.recipients for it in self.names.recipients(text)]
        if asked.from_header:
            recipients += self._named(draft)
        if not recipients:
            raise UsageError("nobody to send to: To, Cc and Bcc name no recipients")
        sender = None if asked.sender is None else self.names.sender(asked.sender)
        draft = self._complete(draft, asked, sender=sender)
        if sender is None:
            sender = self._author(draft)
        return self._submitter.send(mended(draft).octets, sender=sender, recipients=recipients)

    def _named(self, draft: Draft) -> list[str]:
        """The recipients in the header."""
        texts = (text for name in _RECIPIENTS for text in draft.texts(_block(draft) + name))
        return [address for text in texts for address in self.names.recipients(text)]

    def _author(self, draft: Draft) -> str:
        """The sender that the header names."""
        texts = [text for name in _SENDERS for text in draft.texts(_block(draft) + name)]
        found = next(
            (address for text in texts for address in read_addresses("From", text=text).addresses), None
        )
        return found.addr_spec if found else self._own_address()

    def _complete(self, draft: Draft, asked: Invocation, *, sender: str | None) -> Draft:
        """With a From, and with domains. Date and Message-ID are added where every message gets them."""
        draft = draft.with_texts(_OF_SENDERS, partial(with_domains, address_of=self.names.as_sender))
        draft = draft.with_texts(_OF_RECIPIENTS, partial(with_domains, address_of=self.names.as_recipient))
        if draft.has("from"):
            return draft
        name = asked.full_name or ("" if sender else self._own_name())
        return draft.with_field(_from(sender or self._own_address(), name=readable(name)))

    def _own_address(self) -> str:
        return self.names.author or self.names.as_sender(_login()[0])

    def _own_name(self) -> str:
        return self._author_name if self.names.author else _login()[1]


def _block(draft: Draft) -> str:
    """Which fields count: those of a message that was sent again have a name of their own."""
    return "resent-" if any(name_of(field).startswith("resent-") for field in draft.fields) else ""


def _checked_domain(maildomain: str) -> str:
    try:
        return ascii_domain(maildomain) if maildomain else ""
    except AddressError:
        raise ConfigurationError(
            f"PORTMAIL_MAILDOMAIN: {maildomain!r} is no domain: write it like example.com"
        ) from None


def _login() -> tuple[str, str]:
    """The name of the user who runs this, and what it stands for; "" where that is not known."""
    if sys.platform == "win32":
        return getpass.getuser(), ""
    import pwd

    number = os.getuid()
    try:
        entry = pwd.getpwuid(number)
    except KeyError:
        raise ConfigurationError(f"user {number} has no name here: say who sends with -f") from None
    # An ampersand is the login name in capitals (passwd(5)).
    return entry.pw_name, entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())


def _from(address: str, *, name: str) -> bytes:
    """The From field.

    Raises:
        AddressError: it would be more than that.
    """
    check_header("From", value=name)
    header = read_addresses("From", text=formataddr((name, address)))
    field = address_field("From", header=in_ascii("From", value=header) or header)
    return field.encode("utf-8", "surrogateescape")
