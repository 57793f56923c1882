"""Which finders are there? One line each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol

from portmail.candidate import Finding, Source
from portmail.discovery import autoconfig, bundled, guess, ispdb, mx, pacc, srv, well_known
from portmail.discovery.outside import Outside
from portmail.search import Discovery


class Finder(Protocol):
    """Asks one source about a domain (A-labels, in lower case)."""

    @abstractmethod
    def __call__(self, domain: str, *, outside: Outside) -> Awaitable[Finding]:
        """Ask. Never raises `Missed`: that is evidence."""


_FINDERS: Mapping[Source, Finder] = MappingProxyType(
    {
        Source.BUNDLED: bundled.find,
        Source.AUTOCONFIG: autoconfig.find,
        Source.WELL_KNOWN: well_known.find,
        Source.PACC: pacc.find,
        Source.SRV: srv.find,
        Source.MX: mx.find,
        Source.ISPDB: ispdb.find,
        Source.GUESS: guess.find,
    }
)


def finders(discovery: Discovery) -> dict[Source, Finder]:
    """Those of the sources that are wished for."""
    wished = {source: finder for source, finder in _FINDERS.items() if source in discovery.asked}
    if Source.ISPDB in wished:
        wished[Source.ISPDB] = partial(ispdb.find, base=discovery.ispdb)
    return wished
