"""What does DNS say? One question at a time, its answer bounded, and whether DNSSEC vouches for it."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from portmail.candidate import Answer
from portmail.discovery.outside import Missed, Mx, Records, Srv
from portmail.offloading import in_a_daemon_thread
from portmail.search import Discovery, Validation, nameserver

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as System
    from dns.name import Name
    from dns.resolver import Answer as Reply

_R = TypeVar("_R", Srv, Mx, bytes)

QUESTION = 4.0
"""Seconds that one question may take in all."""

TRY = 2.0
"""Seconds that one server gets at most, before the next one is asked, or the same again."""

MOST = 50
"""Records of a name that are looked at: those of the lowest numbers."""

_PAYLOAD = 1232
"""Octets of an answer over UDP that arrive everywhere in one piece; longer ones come over TCP."""

_DOCKER = ipaddress.ip_address("127.0.0.11")
"""Docker's forwarder: it is on loopback, and passes on what others say, without a look."""

_NOBODY = "this system has no DNS resolver configured"

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Resolver:
    """Asks the system's DNS resolvers, or the one that `discovery` names, about absolute names only.

    Every method raises `Missed`: ABSENT if there is no such name or record, UNANSWERED if nobody knows
    just now. `seconds` is what one question may take in all.
    """

    def __init__(self, discovery: Discovery, *, seconds: float = QUESTION) -> None:
        self._given = None if discovery.resolver is None else nameserver(discovery.resolver)
        self._validation = Validation(discovery.validation)
        self._seconds = seconds

    async def srv(self, name: str) -> Records[Srv]:
        """The SRV records of a name (RFC 2782), the lowest priority first."""
        return await self._records(
            name, "SRV", lambda it: Srv(it.priority, it.weight, it.port, _host(it.target))
        )

    async def mx(self, domain: str) -> Records[Mx]:
        """The MX records of a domain, the lowest preference first."""
        return await self._records(domain, "MX", lambda it: Mx(it.preference, _host(it.exchange)))

    async def txt(self, name: str) -> Records[bytes]:
        """The TXT records of a name, the strings of each put together."""
        return await self._records(name, "TXT", lambda it: b"".join(it.strings))

    async def alias(self, host: str) -> str | None:
        """The name that this one is an alias of (CNAME), None where it has other records, or none."""
        reply = await self._ask(host, "CNAME")
        aliases: list[Any] = list(reply.rrset or ())
        return _host(aliases[0].target) if aliases else None

    async def _records(self, name: str, kind: str, read: Callable[[Any], _R]) -> Records[_R]:
        reply = await self._ask(name, kind)
        if reply.rrset is None:
            raise Missed(Answer.ABSENT, f"the name has no {kind} record")
        lifetime = min(rrset.ttl for rrset in reply.response.answer)
        records = sorted(read(rdata) for rdata in reply.rrset)[:MOST]
        return Records(tuple(records), self._signed(reply), float(max(lifetime, 0)))

    def _signed(self, reply: Reply) -> bool:
        """Whether the answer was validated, by a resolver that we believe."""
        import dns.flags

        return bool(reply.response.flags & dns.flags.AD) and _BELIEVED[self._validation](reply.nameserver)

    async def _ask(self, name: str, kind: str) -> Reply:
        """The answer; its `rrset` is None where the name has no such record, for sure."""
        if "dns.asyncresolver" not in sys.modules:
            await in_a_daemon_thread(_load)  # it takes as long as many an answer
        import dns.asyncbackend
        import dns.exception

        absolute = _absolute(name)
        try:
            # asyncio's clock as well, for the system's may be set while we wait.
            async with asyncio.timeout(self._seconds):
                reply = await self._system().resolve(
                    absolute,
                    kind,
                    raise_on_no_answer=False,
                    lifetime=self._seconds,
                    backend=dns.asyncbackend.get_backend("asyncio"),
                )
        # ValueError: what the system is configured with. EOFError: a connection's end.
        # NotImplementedError: an event loop that knows no datagrams.
        except (dns.exception.DNSException, OSError, EOFError, ValueError, NotImplementedError) as exc:
            raise self._missed(exc) from None
        if not _whole(reply):
            raise Missed(Answer.UNANSWERED, "the DNS resolver gave no whole answer")
        return reply

    def _system(self) -> System:
        """Made for each question: networks change, and the system's configuration with them."""
        import dns.asyncresolver
        import dns.flags

        system = dns.asyncresolver.Resolver(configure=self._given is None)
        if self._given is not None:
            address, system.port = self._given
            system.nameservers = [address]
        system.timeout = min(TRY, self._seconds / max(1, len(system.nameservers)))
        system.use_edns(0, payload=_PAYLOAD)
        system.set_flags(dns.flags.RD | dns.flags.AD)  # RFC 6840 section 5.7: AD asks for AD
        return system

    def _missed(self, exc: Exception) -> Missed:
        import dns.exception
        import dns.resolver

        if isinstance(exc, dns.resolver.NXDOMAIN):
            return Missed(Answer.ABSENT, "the name does not exist")
        if isinstance(exc, dns.exception.Timeout | TimeoutError):
            said = f"no answer from the DNS resolver within {self._seconds:g} s"
        elif isinstance(exc, dns.resolver.NoNameservers):
            said = _refusal(exc)
        elif isinstance(exc, dns.resolver.NoResolverConfiguration):
            said = _NOBODY
        else:
            said = "the DNS resolver could not be asked"
        return Missed(Answer.UNANSWERED, said)


def _load() -> None:
    import dns.asyncbackend
    import dns.asyncresolver  # noqa: F401  # for those who import it afterwards


def _refusal(exc: Any) -> str:
    """What the resolvers said that gave no answer; dnspython keeps an RCODE as text beside errors."""
    said = [error[3] for error in exc.kwargs.get("errors", ())]
    if not said:
        return _NOBODY
    rcodes = [it for it in said if isinstance(it, str)]
    if rcodes:
        return f"the DNS resolver said {rcodes[0]}"
    if any(isinstance(it, OSError) for it in said):
        return "the DNS resolver cannot be reached"
    return "the DNS resolver said what cannot be understood"


def _whole(reply: Reply) -> bool:
    """Whether it is neither cut off, nor tells only where else to ask (RFC 2308 section 2.2)."""
    import dns.flags
    import dns.rdatatype

    kinds = {rrset.rdtype for rrset in reply.response.authority}
    referral = dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds
    return not reply.response.flags & dns.flags.TC and (reply.rrset is not None or not referral)


def _absolute(name: str) -> Name:
    """The name as it stands, to which no search list is ever applied."""
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError):
        raise Missed(Answer.ABSENT, "DNS can have no name like that") from None


def _host(name: Name) -> str:
    """In lower case, without the last dot; the root is "". Octets that no host has are kept escaped."""
    return name.to_text().lower().removesuffix(".")


def _on_loopback(address: str | None) -> bool:
    """Whether nobody is on the way to that resolver, and it looks for itself."""
    try:
        ip: _Address = ipaddress.ip_address(address or "")
    except ValueError:  # a resolver that is asked over https
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback and ip != _DOCKER


_BELIEVED: dict[Validation, Callable[[str | None], bool]] = {
    Validation.LOOPBACK: _on_loopback,
    Validation.RESOLVER: lambda _: True,
    Validation.NOBODY: lambda _: False,
}
