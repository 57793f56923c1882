"""What is not to be repeated? A line for the server alone, and the mask for all that is heard after it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NoReturn
from urllib.parse import quote_from_bytes

from portmail.reply import Reply, printable

NO_COPY = "a secret is neither copied nor pickled: give a callable that fetches it"
"""What whoever tries it is told."""


class Mask:
    """Blots out of a text what was confidential, in every form in which a server may repeat it.

    What it looks for is kept in a function: whoever walks over attributes does not come to it.
    """

    __slots__ = ("beginning", "text")

    text: Callable[[str], str]
    """The text, without it."""

    beginning: Callable[[str], str]
    """The same for a text that may have been cut off in the midst of it."""

    def __init__(self, secret: bytes, *, said: Iterable[bytes]) -> None:
        # Longest first: a short one may be a part of a long one.
        forms = sorted({*_forms(secret), *map(_shown, said)}, key=len, reverse=True)
        forms = [form for form in forms if len(form) >= _SHORTEST]

        harmless: set[str] = set()  # a cache: servers use few words

        def text(given: str) -> str:
            if given in harmless:
                return given
            masked = given
            for form in forms:
                if form in masked:
                    masked = masked.replace(form, _MASKED)
            if masked == given and len(harmless) < _FEW:
                harmless.add(given)
            return masked

        def beginning(given: str) -> str:
            given = text(given)
            ends = (at for at in range(len(given)) if any(form.startswith(given[at:]) for form in forms))
            at = next(ends, len(given))
            return given[:at] + _MASKED if len(given) - at >= _SHORTEST else given

        self.text, self.beginning = text, beginning

    def reply(self, reply: Reply) -> Reply:
        """The reply, without it."""
        text = self.text(reply.text)
        return reply if text is reply.text else replace(reply, text=text)


_MASKED = "***"

_FEW = 64
"""Texts that are known to hold none of it."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_SHORTEST = 3
"""Characters of what is looked for: anything shorter is in every text."""


def _forms(secret: bytes) -> Iterator[str]:
    """The secret itself, in hex, percent-encoded, and what is the same in base64 wherever it begins."""
    yield from map(_shown, (secret, secret.hex().encode(), secret.hex().upper().encode()))
    quoted = quote_from_bytes(secret, safe="")
    yield from (quoted, quoted.replace("%20", "+"), quote_from_bytes(secret))
    for shift in range(3):
        # The first and the last characters mix with what stands beside.
        encoded = b64encode(b"\0" * shift + secret).rstrip(b"=")[(shift * 4 + 2) // 3 :]
        encoded = encoded if (shift + len(secret)) % 3 == 0 else encoded[:-1]
        yield from (_shown(encoded), _shown(encoded.translate(_URL_SAFE)))


def _shown(octets: bytes) -> str:
    """As a reply would have it."""
    return printable(octets.rstrip(b"=").decode("utf-8", "replace"))


class Confidential:
    """A line for the server alone. It shows itself as `shown`; `mask` is for what is heard from then on.

    `holds_secret` is whether the secret is in it, or what is made of it. The octets are kept in a function:
    whoever walks over attributes does not come to them.
    """

    __slots__ = ("holds_secret", "mask", "octets", "shown")

    octets: Callable[[], bytes]
    """What is to be said. Only the connection calls this, right before it writes."""

    def __init__(self, line: bytes, *, shown: str, mask: Mask, holds_secret: bool = True) -> None:
        self.octets = lambda: line
        self.holds_secret = holds_secret
        self.shown = shown
        self.mask = mask

    def __repr__(self) -> str:
        return f"Confidential({self.shown!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(NO_COPY)
