"""How is a host reached? Names resolved, addresses raced (RFC 8305), every refusal given its kind."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import socket
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from portmail.cause import Cause
from portmail.failure import Failure, Phase, RouteFailed
from portmail.network import EXHAUSTED
from portmail.offloading import in_a_daemon_thread
from portmail.racing import Runner, race
from portmail.route import Route, is_name

Sockaddr: TypeAlias = tuple[Any, ...]

NEXT_ADDRESS = 0.25
"""Seconds until the next address is tried beside the one before (RFC 8305 section 5)."""

# What each firewall action and routing failure looks like at connect(), on Linux and elsewhere.
_KINDS: Mapping[int, Cause] = MappingProxyType(
    {
        errno.ECONNREFUSED: Cause.REFUSED,
        errno.ETIMEDOUT: Cause.TIMED_OUT,
        errno.ENETUNREACH: Cause.UNREACHABLE,
        errno.EADDRNOTAVAIL: Cause.UNREACHABLE,
        errno.EAFNOSUPPORT: Cause.UNREACHABLE,
        errno.EINVAL: Cause.UNREACHABLE,  # a blackhole route
        errno.EHOSTUNREACH: Cause.PROHIBITED,  # ICMP admin-prohibited arrives as this
        errno.EACCES: Cause.PROHIBITED_HERE,  # a prohibited route, or a policy for this program
        errno.EPERM: Cause.PROHIBITED_HERE,  # a policy, or a packet filter of this machine
        errno.ECONNRESET: Cause.DROPPED,
        errno.ECONNABORTED: Cause.DROPPED,
        **dict.fromkeys(EXHAUSTED, Cause.FAULT),
    }
)

_OVER_IPV6: Mapping[int, Cause] = MappingProxyType({errno.EACCES: Cause.PROHIBITED})
"""Over IPv6 the network's "administratively prohibited" arrives like a prohibition of our own."""

# Of what happens in this machine, the system's own words say most.
_IN_WORDS = (Cause.FAULT, Cause.PROHIBITED_HERE)

# Of several addresses' failures, the one that says most about what stands in the way.
_TELLING = (
    Cause.FAULT,
    Cause.TIMED_OUT,
    Cause.PROHIBITED_HERE,
    Cause.PROHIBITED,
    Cause.DROPPED,
    Cause.REFUSED,
    Cause.UNREACHABLE,
)


_UNRESOLVED: Mapping[int, Cause] = MappingProxyType(
    {
        socket.EAI_AGAIN: Cause.RESOLVER_FAILED,
        socket.EAI_FAIL: Cause.RESOLVER_FAILED,
        socket.EAI_MEMORY: Cause.FAULT,
    }
)
"""Why there is no address; else there is no such name."""


class Address(NamedTuple):
    """One address of a host, ready for connect()."""

    family: int
    sockaddr: Sockaddr

    def __str__(self) -> str:
        return str(self.sockaddr[0])


class _Refusal(NamedTuple):
    """How an address failed, and what the system says of that."""

    cause: Cause
    words: str


async def dial(route: Route, *, seconds: float) -> socket.socket:
    """Connect to the route's host: the first of its addresses that answers.

    Raises:
        RouteFailed: in phase CONNECT, with the kind of failure and what each address said.
    """
    end = time.monotonic() + seconds
    addresses = await resolve(route, seconds=seconds)
    return await connect(interleaved(addresses), seconds=max(0.0, end - time.monotonic()))


async def connect(addresses: Sequence[Address], *, seconds: float) -> socket.socket:
    """Connect to the first of these addresses that answers.

    Raises:
        RouteFailed: in phase CONNECT, with the kind of failure and what each address said.
    """
    failures: dict[Address, _Refusal] = {}
    try:
        async with asyncio.timeout(seconds):
            connected = await race([_runner(address, failures=failures) for address in addresses])
    except TimeoutError:
        failure = Failure(Phase.CONNECT, Cause.TIMED_OUT, f"after {seconds:.1f} s{_told(failures)}")
        raise RouteFailed(failure) from None
    if connected is None:
        causes = {it.cause for it in failures.values()}
        cause = next((kind for kind in _TELLING if kind in causes), Cause.UNREACHABLE)
        raise RouteFailed(Failure(Phase.CONNECT, cause, _told(failures, known=cause).removeprefix(", ")))
    return connected


def own_name(sock: socket.socket) -> str:
    """What we call ourselves in EHLO: our full name, or the address literal (RFC 5321 section 4.1.3).

    The name is what the system is called; nobody is asked over the network, which can take seconds.
    """
    name = socket.gethostname()
    if "." in name and is_name(name):
        return name
    address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


async def resolve(route: Route, *, seconds: float) -> list[Address]:
    """The host's addresses, in the order the system prefers them.

    Raises:
        RouteFailed: the name does not exist, or could not be resolved just now, or in this time.
    """
    try:
        async with asyncio.timeout(seconds):
            found = await _resolved(route)
    except TimeoutError:
        failure = Failure(Phase.CONNECT, Cause.RESOLVER_FAILED, f"{route.host} after {seconds:.1f} s")
        raise RouteFailed(failure) from None
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


async def _resolved(route: Route) -> list[tuple[Any, ...]]:
    """What the system says. A timeout of its own is not ours, and is told in its words."""
    try:
        return await _getaddrinfo(route)
    except (socket.gaierror, UnicodeError) as exc:
        known = exc.errno if isinstance(exc, socket.gaierror) else None
        cause = _UNRESOLVED.get(known or 0, Cause.NAME_NOT_FOUND)
        raise RouteFailed(Failure(Phase.CONNECT, cause, route.host)) from None
    except OSError as exc:
        raise RouteFailed(Failure(Phase.CONNECT, Cause.FAULT, f"{route.host} ({exc.strerror})")) from None


async def _getaddrinfo(route: Route) -> list[tuple[Any, ...]]:
    kind = socket.SOCK_STREAM
    try:  # an address needs no resolver, and so no thread
        return socket.getaddrinfo(route.host, route.port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    return await in_a_daemon_thread(lambda: socket.getaddrinfo(route.host, route.port, type=kind))


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with families in turn, so that one dead family costs one delay (RFC 8305 section 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


def _runner(address: Address, *, failures: dict[Address, _Refusal]) -> Runner[socket.socket]:
    async def run() -> socket.socket:
        try:
            return await _connect(address)
        except OSError as exc:
            cause = _cause(exc.errno or 0, family=address.family)
            failures[address] = _Refusal(cause, f" ({exc.strerror})" if cause in _IN_WORDS else "")
            raise

    return Runner(run, lambda: asyncio.sleep(NEXT_ADDRESS), socket.socket.close)


def _cause(number: int, *, family: int) -> Cause:
    theirs = _OVER_IPV6.get(number) if family == socket.AF_INET6 else None
    return theirs or _KINDS.get(number, Cause.UNREACHABLE)


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _told(failures: Mapping[Address, _Refusal], *, known: Cause | None = None) -> str:
    """What each address said, but for the cause that is told already."""
    told = (
        (address, "" if it.cause is known else f" {it.cause.value}", it.words)
        for address, it in failures.items()
    )
    return "".join(f", {address}{how}{words}" for address, how, words in told)
