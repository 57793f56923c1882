"""Is every reply understood? Each at each step, held against the table of what it must become.

`table.py` is the table, `shapes.py` how a server can say something or nothing,
`cases.py` what is tried where. Both routes lead to servers that give the same reply, so that
one run shows what was raised and whether another route was tried; some have a good second one. Some
cases come in pieces too (`pieces.py`).
"""

from __future__ import annotations

from functools import partial

from tests.proof.harness.clients import by_aiosmtplib, by_portmail, by_smtplib
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Task
from tests.proof.replies.defects import mutants
from tests.proof.replies.pieces import CUTS
from tests.proof.replies.running import SHARES, play, play_blocking, play_in_pieces

__all__ = ["TITLE", "mutants", "tasks"]

TITLE = "replies"

_QUICK = 10
_EVERY = {PORTMAIL: 1, AIOSMTPLIB: 2, SMTPLIB: 2}
"""Peers get every second case: the budget of CI."""


def tasks(client: str, *, quick: bool) -> list[Task]:
    """The cases in shares."""
    every = _EVERY[client] * (_QUICK if quick else 1)
    work = {
        PORTMAIL: partial(play, client=by_portmail),
        AIOSMTPLIB: partial(play, client=by_aiosmtplib, peer=True),
        SMTPLIB: partial(play_blocking, client=by_smtplib),
    }[client]
    shares: list[Task] = [partial(work, every=every, share=share) for share in range(SHARES)]
    pieces: list[Task] = [partial(play_in_pieces, how, every=_QUICK if quick else 1) for how in CUTS]
    return shares + (pieces if client == PORTMAIL else [])
