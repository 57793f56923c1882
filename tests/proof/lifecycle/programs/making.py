"""Which client is put to the proof? By its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.proof.lifecycle.programs.clients import Aiosmtplib, Client, Portmail, Server, Smtplib
from tests.proof.lifecycle.programs.defects import (
    Deaf,
    Denier,
    Foreigner,
    Leaky,
    Optimist,
    Pessimist,
    SharesItsLoop,
    Twice,
)

_CLIENTS: Mapping[str, Callable[[Server], Client]] = MappingProxyType(
    {
        "portmail": Portmail,
        "smtplib": Smtplib,
        "aiosmtplib": Aiosmtplib,
        "shares its loop": SharesItsLoop,
        "twice": Twice,
        "optimist": Optimist,
        "pessimist": Pessimist,
        "foreigner": Foreigner,
        "deaf": Deaf,
        "denier": Denier,
        "leaky": Leaky,
    }
)


def made(server: Server) -> Client:
    """The client that is put to the proof."""
    return _CLIENTS[server.client](server)
