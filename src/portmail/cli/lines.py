"""How long is a line on a terminal, and where is it broken? Japanese, too."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TextIO

_PIECES = re.compile(r"\s+|[(「『]*(?:[^\s\u2e80-\uffef]+|\S)[、。」』ー々っゃゅょッャュョ,.:;)]*")
"""What stays on one line: a word of Latin letters, or one character of Japanese with the marks at it."""


def wrapped(text: str, *, columns: int, indent: str = "") -> str:
    """The text in lines of so many columns; `indent` stands before each but the first.

    Japanese has no blanks: it is broken between any two characters, but not before a full stop
    or behind an opening bracket. A word that is longer than a line is left whole.
    """
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line.strip() and width(f"{line}{piece.rstrip()}") > columns:
            lines.append(line.rstrip())
            line = indent
        if piece.strip() or line != indent:
            line += piece
    return "\n".join([*lines, line.rstrip()])


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is one on which a line can be written anew, and colours are seen."""
    return (
        stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    )


def width(text: str) -> int:
    """How many columns of a terminal it takes up: East Asian characters two each (UAX 11)."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # drawn over the one before, or not at all
        return 0
    # An ambiguous one is narrow everywhere but in the old fonts of East Asia.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
