"""Where does a dialogue come to a standstill, and how does a test wait until it has?"""

from __future__ import annotations

import asyncio

from tests.servers.dialogue import Player

HELLO = "S: 220 hi\nC: EHLO *\nS: 250 mail.example.com\n"
ENVELOPE = f"{HELLO}C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go on\n"
BEFORE_DOT = (f"{HELLO}C: MAIL *\nSILENCE", "C: MAIL")
AFTER_DOT = (f'{ENVELOPE}BODY\nRAW "2?"\nSILENCE', "S: 2?")
"""A dialogue that comes to a standstill, and what was said last."""


def said(player: Player, words: str) -> bool:
    """Whether the dialogue has come to a line that begins with these words."""
    return any(line.startswith(words) for told in player.transcripts for line in told)


async def until(player: Player, words: str) -> None:
    """Wait until the dialogue has come there, while this loop goes on."""
    async with asyncio.timeout(10):
        while not said(player, words):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
