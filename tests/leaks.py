"""Is a secret in these octets, in any encoding in which SMTP could carry it?"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator

USER, PASSWORD = "me@example.org", "correct horse & battery"


def forms(secret: str) -> Iterator[bytes]:
    """The secret raw, URL-quoted, in hex, and in base64 at each of the three alignments."""
    octets = secret.encode("utf-8", "surrogateescape")
    yield octets
    yield urllib.parse.quote(octets, safe="").encode()
    yield octets.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + octets)
        # The first and last characters mix with what stands beside.
        yield encoded[4 if shift else 0 :].rstrip(b"=")[:-2]


def traces(octets: bytes, *, secrets: tuple[str, ...] = (USER, PASSWORD)) -> list[bytes]:
    """Every form of the secrets that is in the octets."""
    return [form for secret in secrets for form in forms(secret) if form in octets]
