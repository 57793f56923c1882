"""Messages that tests send."""

from __future__ import annotations

from email.message import EmailMessage

SENDER, RECIPIENT = "me@example.org", "you@example.org"


def message(*, to: str = RECIPIENT, subject: str = "Hello", text: str = "Hello, you.\n") -> EmailMessage:
    """A small message from me to you."""
    made = EmailMessage()
    made["From"] = SENDER
    made["To"] = to
    made["Subject"] = subject
    made["Message-ID"] = "<1@example.org>"
    made.set_content(text)
    return made
