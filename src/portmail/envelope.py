"""Who is it from and for? `Mailbox` and `Envelope` (RFC 5321 section 2.3.1); the door to email-validator.

What is decided here is, octet for octet, what is sent in MAIL and RCPT: nothing downstream
quotes, folds, trims or parses an address again.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from portmail.errors import AddressError, NoRecipients

_NEUTRAL = ".example.com"
"""Lent to a private domain while its syntax is checked, see `_validated`."""

_LETTERS = frozenset(string.ascii_letters)
_LDH = _LETTERS | frozenset(string.digits + "-")  # RFC 5890 section 2.3.1
_ATEXT = _LDH | frozenset("!#$%&'*+/=?^_`{|}~")  # RFC 5322 section 3.2.3
_ENCODED_WORD = re.compile(r"=\?[^?]+\?[bq]\?[^?]*\?=", re.IGNORECASE)
_JOINERS = frozenset("\u200c\u200d")
_LONGEST_LOCAL, _LONGEST = 64, 254  # octets (RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3, without < and >)


class Mailbox(NamedTuple):
    """An address that can travel.

    `text` is for people and receipts: normalized (NFC, domain in lower case and in its own
    script). `path` is what goes between `<` and `>`: with A-labels wherever the local part is
    ASCII, so that SMTPUTF8 is needed for as few addresses as possible.
    """

    text: str
    path: str

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take it (RFC 6531)."""
        return not self.path.isascii()


class Envelope(NamedTuple):
    """The reverse-path (None: the null reverse-path `<>`) and the forward-paths, without repeats."""

    sender: Mailbox | None
    recipients: tuple[Mailbox, ...]

    @classmethod
    def of(cls, *, sender: str | Mailbox, recipients: Iterable[str | Mailbox]) -> Envelope:
        """Check every address that is not checked yet; `sender=""` is the null reverse-path.

        Raises:
            AddressError: an address that cannot travel; the text names it.
            NoRecipients: there is nobody to send to.
        """
        if isinstance(recipients, (str, Mailbox)):
            recipients = (recipients,)
        forward = {box.path: box for box in map(mailbox, recipients)}
        if not forward:
            raise NoRecipients(
                "the message has no recipients: fill To, Cc or Bcc (--to, --cc, --bcc), or give recipients="
            )
        return cls(mailbox(sender) if sender else None, tuple(forward.values()))

    @property
    def needs_smtputf8(self) -> bool:
        """Whether any of the addresses needs SMTPUTF8."""
        paths = [box.path for box in (self.sender, *self.recipients) if box]
        return not all(map(str.isascii, paths))


def local_mailbox(name: str) -> Mailbox:
    """A mailbox without a domain, such as `root`: its server adds one (RFC 6409 section 8.1), or refuses it.

    Raises:
        AddressError: it is no plain word.
    """
    try:
        text, path = mailbox(f"{name}@localhost")
    except AddressError:
        text = path = ""
    if not text or "@" in name:
        raise AddressError(f"{name!r} is no address: write it like me@example.org")
    return Mailbox(text.rpartition("@")[0], path.rpartition("@")[0])


def mailbox(address: str | Mailbox) -> Mailbox:
    """Check an address: syntax only, no DNS; private domains (`root@localhost`, `ops@intranet`) are fine.

    What is a `Mailbox` was checked already.

    Raises:
        AddressError: it cannot travel; the text says what to change.
    """
    if isinstance(address, Mailbox):
        return address
    if not isinstance(address, str):
        raise AddressError(f"{address!r} is no address: give a str like me@example.org")
    return _mailbox(address)


@lru_cache(maxsize=4096)  # a cache: validating costs more than sending
def _mailbox(address: str) -> Mailbox:
    local, _, domain = address.partition("@")
    if not (_is_plain_local(local) and _is_plain_domain(domain)):
        return _examined(address)
    text = f"{local}@{domain.lower()}"
    return Mailbox(text, text)


def _is_plain_local(local: str) -> bool:
    """Whether it is a dot-atom that everybody reads alike: then email-validator need not be loaded."""
    # It takes role names (RFC 2142) in any case; none of them has a dot.
    certain = ("." in local or local == local.lower()) and "=?" not in local
    return (
        certain
        and len(local) <= _LONGEST_LOCAL
        and all(atom and _ATEXT.issuperset(atom) for atom in local.split("."))
    )


def _is_plain_domain(domain: str) -> bool:
    """Whether it is a host name that everybody reads alike, public or private. A-labels are not plain."""
    labels = domain.split(".")
    # Short enough for every limit, also with the local part and `_NEUTRAL`.
    return len(domain) <= 160 and domain[-1:] in _LETTERS and all(map(_is_plain_label, labels))


def _is_plain_label(label: str) -> bool:
    hyphens = label.startswith("-") or label.endswith("-") or label[2:4] == "--"
    return 0 < len(label) <= 63 and not hyphens and _LDH.issuperset(label)


def _examined(address: str) -> Mailbox:
    """What email-validator makes of it."""
    _, at, domain = address.rpartition("@")
    if "://" in address:  # which may hold a password, and is not repeated
        raise AddressError("a URL is no address: use Submitter.from_url(...) or PORTMAIL_URL for an account")
    if not at:
        raise AddressError(f"{address!r} has no @: write it like me@example.org")
    local, domain, ascii_domain = _validated(address, private=_is_private(domain))
    text = f"{local}@{domain}"
    path = f"{local}@{ascii_domain}" if local.isascii() else text
    wrong = _encoded(local) or _look_alike(address, path=f"{local}@{ascii_domain}") or _too_long(local, path)
    if wrong:
        raise AddressError(f"{address!r} cannot be used as an address: {wrong}")
    return Mailbox(text, path)


def _encoded(local: str) -> str:
    # RFC 2047 section 5 allows none here; a server that decodes it delivers to somebody else.
    return "it holds an encoded word: write it decoded" if _ENCODED_WORD.search(local) else ""


def _look_alike(address: str, *, path: str) -> str:
    """What is wrong if normalizing made ASCII of something else: to whoever compared it, another address."""
    local, _, domain = address.rpartition("@")
    given, labels = domain.split("."), path.rpartition("@")[2].split(".")
    as_letters = [
        char for char in local if not char.isascii() and unicodedata.normalize("NFC", char).isascii()
    ]
    as_labels = [
        old for old, new in zip(given, labels, strict=False) if not old.isascii() and new[:4] != "xn--"
    ]
    as_dots = not domain.isascii() and len(given) != len(labels)
    if not (as_letters or as_labels or as_dots):
        return ""
    return f"it is written with characters that only look like those of {path}: use those of the keyboard"


def _too_long(local: str, path: str) -> str:
    # email-validator counts characters.
    if len(local.encode()) > _LONGEST_LOCAL:
        return f"more than {_LONGEST_LOCAL} octets before the @"
    return f"more than {_LONGEST} octets" if len(path.encode()) > _LONGEST else ""


def ascii_domain(domain: str) -> str:
    """A domain name in A-labels (RFC 5890).

    Raises:
        AddressError: it is no domain name.
    """
    return mailbox(f"postmaster@{domain}").path.rpartition("@")[2]


def _is_private(domain: str) -> bool:
    """Whether the domain is one that email-validator refuses since the public Internet has no such name."""
    from email_validator import SPECIAL_USE_DOMAIN_NAMES

    last_label = domain.lower().rpartition(".")[2]
    single = last_label == domain.lower() and not last_label.isdecimal() and not domain.startswith("[")
    return single or any(f".{domain.lower()}".endswith(f".{name}") for name in SPECIAL_USE_DOMAIN_NAMES)


def _has_joiners(label: str) -> bool:
    """Whether an A-label stands for letters with joiners between them, as in RFC 5892 A.1 and A.2."""
    if not label.isascii() or not label.lower().startswith("xn--"):
        return False
    import idna

    try:
        return not _JOINERS.isdisjoint(idna.decode(label))
    except idna.IDNAError:
        return False


def _validated(address: str, *, private: bool) -> tuple[str, str, str]:
    """(local part, domain, domain in A-labels), normalized."""
    from email_validator import EmailNotValidError, validate_email  # costs more than all else that is loaded

    # Mail is submitted inside companies and test networks too. email-validator can be told so
    # only by changing a list that the whole process shares; instead, such a domain is checked
    # as a subdomain of one that it takes.
    suffix = _NEUTRAL if private else ""
    local, at, domain = address.rpartition("@")
    # Invisible, but right where they are: as A-labels there is no doubt about them, so others stand for them.
    asked = ".".join("x" * len(it) if _has_joiners(it) else it for it in domain.split("."))
    try:
        valid = validate_email(
            local + at + asked + suffix,
            check_deliverability=False,
            strict=True,
            allow_smtputf8=True,
            allow_quoted_local=True,
            allow_domain_literal=True,
        )
    except EmailNotValidError as exc:
        raise AddressError(f"{address!r} cannot be used as an address: {exc}") from None
    if asked != domain:
        return valid.local_part, domain.lower(), domain.lower()
    ascii_domain = valid.ascii_domain or valid.domain
    return valid.local_part, valid.domain.removesuffix(suffix), ascii_domain.removesuffix(suffix)
