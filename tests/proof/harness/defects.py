"""Which defects can any part be shown? Clients that misuse or misreport what portmail told them."""

from __future__ import annotations

from dataclasses import replace

from portmail import Security
from tests.proof.harness.clients import Errand, Said, Told, by_portmail


async def unaware(errand: Errand) -> Told:
    """Takes what is in doubt for not sent."""
    told = await by_portmail(errand)
    return replace(told, said=Said.NOT_SENT) if told.said is Said.IN_DOUBT else told


async def hasty(errand: Errand) -> Told:
    """Sends again what is in doubt."""
    told = await by_portmail(errand)
    return await by_portmail(errand) if told.said is Said.IN_DOUBT else told


async def anxious(errand: Errand) -> Told:
    """Is in doubt of all that was not accepted."""
    told = await by_portmail(errand)
    return told if told.said is Said.SENT else replace(told, said=Said.IN_DOUBT)


async def raw(errand: Errand) -> Told:
    """Lets the operating system's errors through."""
    told = await by_portmail(errand)
    return replace(told, error=OSError("reset"), foreign=True) if told.error else told


async def bare(errand: Errand) -> Told:
    """Says it all in clear."""
    plain = [(port, Security.PLAINTEXT) for port, _ in errand.routes]
    return await by_portmail(replace(errand.anonymous(), routes=plain))
