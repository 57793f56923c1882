"""How is mail kept from going out? What firewalls do to a packet, and what goes wrong at home."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tests.servers.street.plan import DEFAULT, FAMILIES, Family


class How(Enum):
    """What is done to a connection."""

    DROP = "drop"
    RESET = "reset"
    PORT_UNREACHABLE = "port-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    NET_UNREACHABLE = "net-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"
    HOST_PROHIBITED = "host-prohibited"
    """ICMPv6 has no such word: a policy failed (RFC 4443 section 3.1)."""
    NET_PROHIBITED = "net-prohibited"
    """ICMPv6: the route is rejected."""
    IPV6_BLACKHOLE = "ipv6-blackhole"
    """All of IPv6 is lost on the way, though home has an address and a route."""
    NO_ROUTE = "no-route"
    UNREACHABLE_ROUTE = "unreachable-route"
    PROHIBITED_ROUTE = "prohibited-route"
    BLACKHOLE_ROUTE = "blackhole-route"
    OFFLINE = "offline"
    """The interface is down, and so there is no route."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rule: for this port (or all of TCP), over this family (or both).

    What happens at home concerns all ports, so there must be None; offline is both families.
    """

    port: int | None
    how: How = field(kw_only=True)
    family: Family | None = field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        whole = self.how in _AT_HOME or self.how is How.IPV6_BLACKHOLE
        if whole and self.port is not None:
            raise ValueError(f"{self.how} is for all ports")

    @property
    def families(self) -> Sequence[Family]:
        """The families that it is for."""
        return (self.family,) if self.family else FAMILIES

    @property
    def rules(self) -> Sequence[str]:
        """What the firewall is told: matches and verdict of nft(8)."""
        if self.how is How.IPV6_BLACKHOLE:
            return ("meta nfproto ipv6 drop",)
        verdicts = _VERDICTS.get(self.how, {})
        return [f"{matching(self.port, family=it)} {verdicts[it]}" for it in self.families if it in verdicts]

    @property
    def wires(self) -> Sequence[str]:
        """What is done at home: lines of ip(8)'s batches."""
        line = _AT_HOME.get(self.how)
        return [line.format(default=DEFAULT[it]) for it in self.families] if line else []


def matching(port: int | None, *, family: Family) -> str:
    """What comes from home over TCP, to this port or any."""
    what = "meta l4proto tcp" if port is None else f"tcp dport {port}"
    return f"iifname home meta nfproto ipv{family} {what}"


def _reject(four: str, six: str) -> Mapping[Family, str]:
    return {4: f"reject with icmp type {four}", 6: f"reject with icmpv6 type {six}"}


_VERDICTS: Mapping[How, Mapping[Family, str]] = {
    How.DROP: dict.fromkeys(FAMILIES, "drop"),
    How.RESET: dict.fromkeys(FAMILIES, "reject with tcp reset"),
    How.PORT_UNREACHABLE: _reject("port-unreachable", "port-unreachable"),
    How.HOST_UNREACHABLE: _reject("host-unreachable", "addr-unreachable"),
    How.NET_UNREACHABLE: _reject("net-unreachable", "no-route"),
    How.ADMIN_PROHIBITED: _reject("admin-prohibited", "admin-prohibited"),
    How.HOST_PROHIBITED: _reject("host-prohibited", "policy-fail"),
    How.NET_PROHIBITED: _reject("net-prohibited", "reject-route"),
}

_AT_HOME: Mapping[How, str] = {
    How.NO_ROUTE: "route del {default}",
    How.UNREACHABLE_ROUTE: "route replace unreachable {default}",
    How.PROHIBITED_ROUTE: "route replace prohibit {default}",
    How.BLACKHOLE_ROUTE: "route replace blackhole {default}",
    How.OFFLINE: "link set eth0 down",
}
