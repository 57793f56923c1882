"""What is sent? The same messages for every contestant, made before the clock starts."""

from __future__ import annotations

import os
from email.message import EmailMessage
from pathlib import Path

SENDER, RECIPIENT = "me@example.com", "you@example.org"
_LINE = "A line of plain text that says nothing much, as most lines of mail do.\n"
_TEXT = _LINE * (2048 // len(_LINE))
"""2 KB, less the header."""


def numbered(count: int) -> list[EmailMessage]:
    """Messages of 2 KB that differ."""
    return [_made(number, to=RECIPIENT) for number in range(count)]


def to_many(recipients: int) -> EmailMessage:
    """A message for that many recipients."""
    return _made(0, to=", ".join(f"user{number}@example.org" for number in range(recipients)))


def with_attachment(path: Path) -> EmailMessage:
    """A message with that file, as the standard library makes it."""
    message = _headed("A file", to=RECIPIENT, number=0)
    message.set_content("See there.\n")
    data = path.read_bytes()
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=path.name)
    return message


def written(path: Path, *, size: int) -> Path:
    """A file of that many octets of noise."""
    path.write_bytes(os.urandom(size))
    return path


def _made(number: int, *, to: str) -> EmailMessage:
    message = _headed(f"Message {number}", to=to, number=number)
    message.set_content(_TEXT)
    return message


def _headed(subject: str, *, to: str, number: int) -> EmailMessage:
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Sun, 22 Nov 2026 12:00:00 +0000"
    message["Message-ID"] = f"<{number}@benchmark.example>"
    return message
