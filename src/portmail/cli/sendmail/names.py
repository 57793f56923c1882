"""Which address has a name without a domain? As a recipient, as a sender, and in a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.header import Header

from portmail.addresses import read_addresses
from portmail.cli.sendmail.aliases import Aliases
from portmail.errors import AddressError, ConfigurationError

_NO_DOMAIN = "name.invalid"
"""Lent to a name while a header is read. Nobody has it (RFC 2606)."""

_TOKEN = re.compile(
    r"""
    (?P<quoted> "(?:[^"\\]|\\.)*"? )
    | (?P<aside> \s+ | \( (?: [^()\\] | \\. | \( [^()]* \) )* \)? )
    | (?P<angle> < [^<>]* >? )
    | (?P<end> [,;:] )
    | (?P<word> [^\s"(<,;:]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What an address header is made of; in any text, each character belongs to one token."""


_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of names without a domain.

    Attributes:
        author: the address of those who send; "" for the name at the maildomain.
        place: where it is written what is missing.
    """

    aliases: Aliases
    maildomain: str
    author: str
    place: str

    def recipients(self, text: str) -> tuple[str, ...]:
        """The addresses in a text like `root, Jane Doe <jane@example.org>`.

        Raises:
            AddressError: it does not read as addresses.
            ConfigurationError: a name has neither an alias nor a domain.
        """
        found = (self._reached(address) for address in _read(text))
        return tuple(address for addresses in found for address in addresses)

    def sender(self, text: str) -> str:
        """The address in a text, which may be `<>` or empty for nobody.

        Raises:
            AddressError, ConfigurationError: as `recipients`.
        """
        if text.strip() in ("", "<>"):
            return ""
        found = _read(text)
        if len(found) != 1:
            raise AddressError(f"-f: {text!r} is not one address")
        return found[0] if "@" in found[0] else self.as_sender(found[0])

    def as_sender(self, name: str) -> str:
        """The address of a name that sends."""
        return self.author or self._at_home(name)

    def as_recipient(self, name: str) -> str:
        """The one address of a name that a header shows as a recipient; the name, if there is not one."""
        if self.maildomain:
            return self._at_home(name)
        reached = self.aliases.of_name(name)
        return reached[0] if len(reached) == 1 else name

    def _reached(self, address: str) -> tuple[str, ...]:
        if "@" in address:
            return (address,)
        return tuple(it if "@" in it else self._at_home(it) for it in self.aliases.of_name(address))

    def _at_home(self, name: str) -> str:
        if self.maildomain:
            return f"{name}@{self.maildomain}"
        raise ConfigurationError(
            f"{name!r} has no domain: write PORTMAIL_MAILDOMAIN=example.com into {self.place}; or, for a "
            f"sender, PORTMAIL_FROM=me@example.com; or, for a recipient, "
            f"PORTMAIL_ALIASES=/etc/portmail/aliases, and there a line like {name}: you@example.com"
        )


def _read(text: str) -> list[str]:
    """The addresses in a text; of a name without a domain, the name."""
    try:
        found = read_addresses("To", text=with_domains(text, lambda name: f"{name}@{_NO_DOMAIN}")).addresses
    except AddressError as error:
        raise AddressError(str(error).replace(f"@{_NO_DOMAIN}", "")) from None
    return [address.addr_spec.removesuffix(f"@{_NO_DOMAIN}") for address in found]


def with_domains(text: str, address_of: Callable[[str], str]) -> str:
    """The text of an address header with an address for each name; other ASCII stays to the letter."""
    return "".join(_each_mailbox(_TOKEN.finditer(text), address_of))


def spaced(text: str) -> str:
    """The text of an address header with a blank behind each comma, where it can be folded."""
    return "".join(", " if token[0] == "," else token[0] for token in _TOKEN.finditer(text))


def _each_mailbox(tokens: Iterable[re.Match[str]], address_of: Callable[[str], str]) -> Iterator[str]:
    waiting: list[re.Match[str]] = []
    for token in tokens:
        if token.lastgroup != "end":
            waiting.append(token)
            continue
        # What stands before a colon is the name of a group.
        yield "".join(it[0] for it in waiting) if token[0] == ":" else _mailbox(waiting, address_of)
        yield token[0]
        waiting = []
    yield _mailbox(waiting, address_of)


def _mailbox(tokens: list[re.Match[str]], address_of: Callable[[str], str]) -> str:
    texts = [readable(token[0]) if token.lastgroup == "aside" else token[0] for token in tokens]
    angles = [at for at, token in enumerate(tokens) if token.lastgroup == "angle"]
    words = [at for at, token in enumerate(tokens) if token.lastgroup in ("word", "quoted")]
    if len(angles) == 1:
        _encode_phrase(texts, tokens[: angles[0]])
        name = texts[angles[0]].strip("<> \t\r\n")
        if name and "@" not in name:
            texts[angles[0]] = f"<{address_of(name)}>"
    elif not angles and len(words) == 1 and "@" not in texts[words[0]]:
        texts[words[0]] = address_of(texts[words[0]])
    return "".join(texts)


def _encode_phrase(texts: list[str], tokens: list[re.Match[str]]) -> None:
    """A name of a person that is not in ASCII as encoded words: not every server takes it otherwise."""
    words = [at for at, token in enumerate(tokens) if token.lastgroup in ("word", "quoted")]
    between = range(words[0], words[-1] + 1) if words else range(0)
    phrase = "".join(texts[at] for at in between)
    if phrase.isascii() or any(texts[at].startswith("(") for at in between):
        return
    plain = [_QUOTED_PAIR.sub(r"\1", texts[at].removeprefix('"').removesuffix('"')) for at in words]
    unfolded = " ".join(readable(" ".join(plain)).split())
    coded = Header(unfolded, charset="utf-8").encode(linesep="\r\n")
    texts[between.start : between.stop] = [coded, *[""] * (len(between) - 1)]  # all others keep their place


def readable(text: str) -> str:
    """A text whose octets were not in UTF-8: most likely they are in Latin-1."""
    octets = text.encode("utf-8", "surrogateescape")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
