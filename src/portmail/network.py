"""Which network is this machine in, if in any? As the system knows it: nothing is resolved, or sent."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

NO_NETWORK = "none"
"""The word for where there is no way to the world."""

Own: TypeAlias = Callable[[socket.AddressFamily], str | None]
"""Tells our own address towards the world, or None."""

Tell: TypeAlias = Callable[[str], str]
"""Tells what is in a file of the kernel's; nothing where there is none."""

_WORLD: Mapping[socket.AddressFamily, str] = MappingProxyType(
    {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
)
"""Addresses of nobody (RFC 5737, RFC 3849): the way to them is the way to everybody."""

_PREFIX: Mapping[socket.AddressFamily, int] = MappingProxyType({socket.AF_INET: 24, socket.AF_INET6: 64})
"""Bits that neighbours have in common. Where that is too much or too little, something is learnt twice."""

_DISCARD = 9
"""A port to connect a UDP socket to, which sends nothing (RFC 863)."""

_ENOUGH = 64 * 1024
"""Octets of a table that are read: the default route stands at its beginning."""

_UP, _REJECTED = 0x0001, 0x0200
"""Flags of a route, in the tables of both families."""

_EVERYWHERE = "00000000"
"""The destination, and the mask, of a default route."""

_UNKNOWN = "00:00:00:00:00:00"

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say that this process or machine has used up what it has, and nothing of a network."""


def own_address(family: socket.AddressFamily) -> str | None:
    """Our address towards the world, before anybody translates it; None where there is no way to it.

    Raises:
        OSError: this machine has nothing left to ask with (`EXHAUSTED`).
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((_WORLD[family], _DISCARD))
            address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    except (OSError, ValueError) as exc:
        if isinstance(exc, OSError) and exc.errno in EXHAUSTED:
            raise
        return None
    return None if address.is_loopback else str(address)


def kernel(path: str) -> str:
    """What is in a file of the kernel's, such as `/proc/net/route`. Only Linux has them."""
    if sys.platform != "linux":
        return ""
    told = b""
    with contextlib.suppress(OSError):  # what was read until then still counts
        table = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while len(told) < _ENOUGH and (more := os.read(table, _ENOUGH)):
                told += more
        finally:
            os.close(table)
    return told.decode("ascii", "replace")


@lru_cache(maxsize=256)  # a cache: the same few hosts are asked for again and again
def is_this_machine(host: str) -> bool:
    """Whether a host's name or address says that nothing stands between it and us (RFC 6761 section 6.3)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.is_loopback or address.is_unspecified  # systems take the latter for themselves


def network_id(*, own: Own = own_address, tell: Tell = kernel) -> str:
    """A word that stays the same while this machine stays where it is, and is another one elsewhere.

    It is the network of our own address, and the hardware address of the next router where the system
    tells it. That takes about a tenth of a millisecond, and a few tenths on a busy machine. Never raises.
    """
    with contextlib.suppress(OSError):
        for family, bits in _PREFIX.items():
            if address := own(family):
                network = str(ipaddress.ip_network((address, bits), strict=False))
                router = _router(tell) if family is socket.AF_INET else ""
                return f"{network} {router}" if router else network
    return NO_NETWORK


def is_online(*, own: Own = own_address, tell: Tell = kernel) -> bool:
    """Whether there is any way out of this machine, be it only to its neighbours.

    Elsewhere than on Linux only a way to the world counts. Where that cannot be asked just now, it is
    taken for given. Never raises.
    """
    try:
        if any(own(family) for family in _WORLD):
            return True
    except OSError:
        return True
    return any(_is_linked(link, tell) for link in sorted({*_links(tell)}))


def _is_linked(link: str, tell: Tell) -> bool:
    """Whether a cable is in, for who has none may keep his routes; and no bridge, for containers are no way
    out of this machine."""
    device = f"/sys/class/net/{link}"
    return tell(f"{device}/carrier").strip() == "1" and not tell(f"{device}/bridge/bridge_id")


def _router(tell: Tell) -> str:
    """The hardware address of the default router for IPv4; empty where it is not known."""
    routers = sorted(_default_routers(tell))
    if not routers:
        return ""
    _, link, address = routers[0]
    for row in _rows(tell("/proc/net/arp")):
        if (row[0], row[-1]) == (address, link) and row[3:4] != [_UNKNOWN]:
            return "".join(row[3:4])
    return ""


def _default_routers(tell: Tell) -> Iterator[tuple[int, str, str]]:
    """Metric, interface and address of each: the least metric is preferred."""
    for row in _rows(tell("/proc/net/route")):
        with contextlib.suppress(ValueError, OverflowError):
            link, destination, router, flags, _, _, metric, mask, *_ = row
            if destination == mask == _EVERYWHERE and _leads_on(flags):
                # Printed as a number, in the machine's own order of octets.
                address = ipaddress.ip_address(int(router, 16).to_bytes(4, sys.byteorder))
                yield int(metric), link, str(address)


def _links(tell: Tell) -> Iterator[str]:
    """The interfaces with a network, other than the one that every interface has (RFC 4291 section 2.5.6)."""
    for row in _rows(tell("/proc/net/route")):
        with contextlib.suppress(ValueError, OverflowError):
            link, _, _, flags, *_ = row
            if _leads_on(flags) and link != "lo":
                yield link
    for destination, *row in _rows(tell("/proc/net/ipv6_route"), heading=0):
        with contextlib.suppress(ValueError, OverflowError):
            *_, flags, link = row
            if _leads_on(flags) and link != "lo" and not destination.startswith(("fe80", "ff")):
                yield link


def _rows(table: str, *, heading: int = 1) -> Iterator[list[str]]:
    return (row for line in table.splitlines()[heading:] if (row := line.split()))


def _leads_on(flags: str) -> bool:
    return int(flags, 16) & (_UP | _REJECTED) == _UP
