"""Who answers the finders? The real world: the system's DNS, and https."""

from __future__ import annotations

from pathlib import Path

from portmail.discovery.fetching import SECONDS, fetch
from portmail.discovery.outside import Mx, Outside, Page, Records, Srv
from portmail.discovery.resolving import Resolver
from portmail.search import Discovery


class World(Outside):
    """The world outside, as `discovery` says that it is to be asked.

    `tls_ca` is a PEM file or directory of certificates that count for https beside the system's.
    """

    def __init__(self, discovery: Discovery, *, tls_ca: Path | None) -> None:
        self._resolver = Resolver(discovery)
        self._tls_ca = tls_ca

    async def srv(self, name: str) -> Records[Srv]:
        """The SRV records of a name."""
        return await self._resolver.srv(name)

    async def mx(self, domain: str) -> Records[Mx]:
        """The MX records of a domain."""
        return await self._resolver.mx(domain)

    async def txt(self, name: str) -> Records[bytes]:
        """The TXT records of a name, the strings of each put together."""
        return await self._resolver.txt(name)

    async def alias(self, host: str) -> str | None:
        """The name that this one is an alias of (CNAME), None where it is none."""
        return await self._resolver.alias(host)

    async def fetch(self, url: str) -> Page:
        """The body behind an https URL, after at most a few redirects."""
        return await fetch(url, tls_ca=self._tls_ca, seconds=SECONDS)
