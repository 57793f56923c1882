"""Which parts does the proof have? The registry: a part is a module, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.proof import (
    addresses,
    attacks,
    certificates,
    end_of_data,
    fuzz,
    headers,
    jams,
    lifecycle,
    offsets,
    own_faults,
    replies,
    riding,
    secrets,
)
from tests.proof.harness.tally import Part

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "attacks": attacks,
        "offsets": offsets,
        "riding": riding,
        "jams": jams,
        "own_faults": own_faults,
        "replies": replies,
        "addresses": addresses,
        "headers": headers,
        "end_of_data": end_of_data,
        "certificates": certificates,
        "lifecycle": lifecycle,
        "secrets": secrets,
        "fuzz": fuzz,
    }
)
"""By the name on the command line."""
