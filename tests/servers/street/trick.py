"""What may a box in the middle play? The tricks, and how those look that answer for the server."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.servers.street.certificates import GOOD
from tests.servers.street.plan import HOST


class Trick(Enum):
    """What is done with a connection."""

    STRIP = "strip"
    """The real server answers, but its STARTTLS is left out."""
    MASK = "mask"
    """The same as Cisco's ASA does it: asterisks for a greeting, and 250-XXXXXXXA."""
    FOREIGN = "foreign"
    """A hotel's relay answers, in clear on every port."""
    PORTAL = "portal"
    """HTTP, with the way to a login page, at once."""
    RESET = "reset"
    CLOSE = "close"
    SILENT = "silent"
    ANTIVIRUS = "antivirus"
    EXPIRED = "expired"
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"
    BUSY = "busy"
    """421 as greeting, and the end."""
    REFUSES = "refuses"
    """554 as greeting."""
    CLEAR_AUTH = "clear-auth"
    """Takes passwords, and has no STARTTLS."""
    NO_AUTH = "no-auth"
    TLS_FIRST = "tls-first"
    """TLS at once, on any port."""
    PLAIN_FIRST = "plain-first"
    """STARTTLS, on any port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """How a server shows itself: `clear` and `secure` are what it offers before TLS and in it.

    TLS comes first on the ports of `implicit`. `pem` is the file of its certificate.
    """

    greeting: str = f"220 {HOST} ESMTP Postfix"
    clear: Sequence[str] = ("SIZE 10485760", "8BITMIME", "STARTTLS")
    secure: Sequence[str] = ("SIZE 10485760", "8BITMIME", "AUTH PLAIN LOGIN")
    implicit: Collection[int] = (465,)
    pem: str = GOOD

    @property
    def name(self) -> str:
        """What it says that it is."""
        return next(word for word in self.greeting.split() if "." in word and not word[0].isdigit())


BEARINGS: Mapping[Trick, Bearing] = {
    Trick.FOREIGN: Bearing(greeting="220 relay.hotel.example ESMTP", clear=(), implicit=()),
    Trick.ANTIVIRUS: Bearing(pem="antivirus"),
    Trick.EXPIRED: Bearing(pem="expired"),
    Trick.WRONG_NAME: Bearing(pem="wrong-name"),
    Trick.SELF_SIGNED: Bearing(pem="self-signed"),
    Trick.BUSY: Bearing(greeting=f"421 4.7.0 {HOST} too many connections from your address"),
    Trick.REFUSES: Bearing(greeting=f"554 5.7.1 {HOST} no service for your address"),
    Trick.CLEAR_AUTH: Bearing(clear=("SIZE 10485760", "AUTH PLAIN LOGIN")),
    Trick.NO_AUTH: Bearing(secure=("SIZE 10485760", "8BITMIME")),
    Trick.TLS_FIRST: Bearing(implicit=range(1, 65536)),
    Trick.PLAIN_FIRST: Bearing(implicit=()),
}

_CLEAR, _SECURE = 10000, 11000


def inner_port(trick: Trick, *, port: int) -> int:
    """Return where the box listens for what was meant for that port."""
    bearing = BEARINGS.get(trick)
    base = _SECURE if bearing and port in bearing.implicit else _CLEAR
    return base + list(Trick).index(trick)


def listeners() -> Sequence[tuple[int, Trick, str | None]]:
    """Return every port that the box listens on, the trick, and the certificate if TLS comes first."""
    tricks = list(enumerate(Trick))
    clear = [(_CLEAR + number, it, None) for number, it in tricks]
    return clear + [(_SECURE + number, it, BEARINGS[it].pem) for number, it in tricks if it in BEARINGS]
