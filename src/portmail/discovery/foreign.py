"""What may be made of a text that came from the network? A host name that can be dialled, words to show."""

from __future__ import annotations

import re

from portmail.errors import InvalidRoute
from portmail.route import host_name

LONGEST = 255
"""Characters of a host or user name."""

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that resolvers read as (the end of) an IPv4 address, in the many ways of writing one."""


class Unfit(Exception):
    """What is named and cannot be used; the text says why. Never leaves."""


def proper_host(text: str) -> str:
    """A host name as it is dialled, of a text that came from the network.

    Raises:
        Unfit: it is no host name, or one that certificates are not for: an address, this machine, one label.
    """
    try:
        host = host_name(text if len(text) <= LONGEST else "")
    except InvalidRoute:
        raise Unfit("its host is no host name") from None
    last = host.rpartition(".")[2]
    if ":" in host or _NUMBER.fullmatch(last):
        raise Unfit("its host is an IP address, not a name")
    if last == "localhost":
        raise Unfit("its host is this machine")
    if last == host:
        raise Unfit("its host is one label, not a full name")
    return host


def shown(text: str) -> str:
    """Foreign text as it may be shown: in one line, printable, and short."""
    short = text[:78] + ".." if len(text) > 80 else text
    return "".join(char if char.isprintable() else "?" for char in short)
