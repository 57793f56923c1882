"""What is known of this machine, where mail does not go out? Its network, and who hosts it."""

from __future__ import annotations

import os

from portmail.case import Surroundings
from portmail.hosting import hosted_at
from portmail.network import is_online


def here(*, alive: bool | None = None, known: bool = False, username: str = "") -> Surroundings:
    """The surroundings of now. Asks the system alone, nobody in the network."""
    hosting = hosted_at(environ=os.environ)
    return Surroundings(
        online=is_online(),
        alive=alive,
        known=known,
        place=hosting.name if hosting else "",
        blocks=hosting.blocks if hosting else frozenset(),
        policy=hosting.words if hosting else "",
        username=username,
    )
