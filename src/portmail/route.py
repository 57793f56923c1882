"""Which way can a message go? `Route`, the port table, and the strategies as tuples of routes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portmail.envelope import ascii_domain
from portmail.errors import AddressError, CredentialsOnRelay, InvalidRoute
from portmail.security import Security

SUBMISSION, SUBMISSIONS, RELAY = 587, 465, 25
"""The ports of RFC 6409, RFC 8314 section 7.3 and RFC 5321."""

PORTS: Mapping[int, Security] = MappingProxyType(
    {
        SUBMISSION: Security.STARTTLS,
        SUBMISSIONS: Security.IMPLICIT_TLS,
        RELAY: Security.OPPORTUNISTIC,
    }
)
"""What a port means where the user says no more than its number."""

_ZONE = re.compile(r"[0-9A-Za-z_.:-]{1,64}")
"""The name of an interface, behind the % of a link-local address (RFC 4007 section 11)."""

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")

_WITH_PORT = re.compile(rf"({_NAME.pattern}):([1-9][0-9]{{0,4}})")


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a message: a host, a port, and how the connection is secured.

    `host` is a name (an internationalized one is kept as its A-labels), or an IP address.
    `str(route)` is `mail.example.com:587 starttls`.

    Raises:
        InvalidRoute: the host is no host name or address, or the port is not in 1..65535.
    """

    host: str
    port: int
    security: Security

    def __post_init__(self) -> None:
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise InvalidRoute(f"{self.port!r} is no port: give a number from 1 to 65535")
        object.__setattr__(self, "host", host_name(self.host))
        object.__setattr__(self, "security", security_of(self.security))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} {self.security.value}"


def host_name(host: str) -> str:
    """The host as it is dialled and verified: A-labels, lower case, no trailing dot, no brackets.

    Raises:
        InvalidRoute: it is neither a host name nor an IP address.
    """
    if isinstance(host, str) and ("@" in host or "://" in host):  # which may hold a password
        raise InvalidRoute(
            "that is more than a host name: give the host alone, or use Submitter.from_url(...)"
        )
    bare = host.strip().removesuffix(".") if isinstance(host, str) else ""
    bare = bare.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        pass
    else:
        zone = str(address).partition("%")
        if zone[1] and not _ZONE.fullmatch(zone[2]):
            raise InvalidRoute(f"{host!r}: what stands behind the % is no interface")
        return str(address)
    try:
        name = bare if bare.isascii() else ascii_domain(bare)
    except AddressError:
        name = ""
    name = name.lower()
    if not is_name(name):
        if match := _WITH_PORT.fullmatch(bare):
            raise InvalidRoute(f"{host!r} is no host name: give host={match[1]!r}, port={match[2]}")
        raise InvalidRoute(f"{host!r} is no host name: write it like mail.example.com, without a scheme")
    return name


def security_of(wish: Security | str) -> Security:
    """The security that is meant, also by its value, such as `"starttls"`.

    Raises:
        InvalidRoute: there is no such security.
    """
    try:
        return Security(wish)
    except ValueError:
        known = ", ".join(security.value for security in Security)
        raise InvalidRoute(f"{wish!r} is no security: use one of {known}") from None


def is_name(text: str) -> bool:
    """Whether it is a host name in ASCII (RFC 1123 section 2.1; underscores occur in private networks)."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def submission_routes(host: str) -> tuple[Route, ...]:
    """For credentials: STARTTLS on 587, then implicit TLS on 465, of equal strength (RFC 8314 section 3)."""
    return tuple(Route(host, port, PORTS[port]) for port in (SUBMISSION, SUBMISSIONS))


def anonymous_routes(host: str) -> tuple[Route, ...]:
    """Without credentials: the submission ports, then the relay port of a company's server."""
    return (*submission_routes(host), *relay_routes(host))


def relay_routes(host: str) -> tuple[Route, ...]:
    """The relay alone: port 25, TLS if offered, never credentials."""
    return (Route(host, RELAY, PORTS[RELAY]),)


def routes_to(
    host: str, *, port: int | None, security: Security | str | None, authenticated: bool
) -> tuple[Route, ...]:
    """The routes that a user's words allow, in the order in which they are tried.

    A bare host means the usual ports. A port or a security that the user writes is taken at its
    word and alone: one large provider speaks implicit TLS on 587.
    """
    if security is not None:
        security = security_of(security)
        return (Route(host, _usual_port(security) if port is None else port, security),)
    if port is None:
        return submission_routes(host) if authenticated else anonymous_routes(host)
    usual = PORTS.get(port, Security.OPPORTUNISTIC)
    # Where credentials go along, "if offered" becomes "required": 25 written by the user means
    # verified STARTTLS.
    return (Route(host, port, Security.STARTTLS if authenticated and not usual.encrypted else usual),)


def _usual_port(security: Security) -> int:
    return next((port for port, usual in PORTS.items() if usual is security), RELAY)


def refuse_weak(routes: tuple[Route, ...]) -> None:
    """Credentials were given: every route must be encrypted and verified.

    Raises:
        CredentialsOnRelay: a route on which they could not be shown.
    """
    for route in routes:
        if not route.security.encrypted:
            raise CredentialsOnRelay(
                f"credentials were given, but {route} does not require TLS. Leave the credentials out, or "
                "use security=Security.STARTTLS or Security.IMPLICIT_TLS"
            )
