"""What do finders ask, and of whom? DNS and https as they see them; `world.py` has the real ones."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, NamedTuple, Protocol, TypeVar

from portmail.candidate import Answer

R = TypeVar("R")


class Missed(Exception):
    """A question had no answer that is of use. `answer` says in which way, `said` in words. Never leaves.

    `status` is what an https server said, None where none said anything.
    """

    def __init__(self, answer: Answer, said: str, *, status: int | None = None) -> None:
        super().__init__(said)
        self.answer = answer
        self.said = said
        self.status = status


class Records(NamedTuple, Generic[R]):
    """The records of a name; at least one. `signed`: whether DNSSEC validated them, by whom we believe.

    `lifetime` is for how many seconds they may be kept.
    """

    records: tuple[R, ...]
    signed: bool
    lifetime: float


class Srv(NamedTuple):
    """A service's place (RFC 2782). `target`: lower case, no last dot; "" means "not offered"."""

    priority: int
    weight: int
    port: int
    target: str


class Mx(NamedTuple):
    """A host that takes mail. `host` is in lower case without its last dot; "" is the null MX (RFC 7505)."""

    preference: int
    host: str


class Page(NamedTuple):
    """What https answered. `hops` are the URLs, the one that was asked first; all of them are https."""

    body: bytes
    hops: tuple[str, ...]


class Outside(Protocol):
    """The world outside. Every method raises `Missed` where there is no answer of use."""

    @abstractmethod
    async def srv(self, name: str) -> Records[Srv]:
        """The SRV records of a name."""

    @abstractmethod
    async def mx(self, domain: str) -> Records[Mx]:
        """The MX records of a domain."""

    @abstractmethod
    async def txt(self, name: str) -> Records[bytes]:
        """The TXT records of a name, the strings of each put together."""

    @abstractmethod
    async def alias(self, host: str) -> str | None:
        """The name that this one is an alias of (CNAME), None where it is none."""

    @abstractmethod
    async def fetch(self, url: str) -> Page:
        """The body behind an https URL, after at most a few redirects."""
