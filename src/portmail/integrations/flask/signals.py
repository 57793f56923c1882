"""What can an application listen to? Signals of blinker; the sender of each is the application."""

from __future__ import annotations

from blinker import NamedSignal, Namespace

signals = Namespace()

email_dispatched: NamedSignal = signals.signal(
    "email-dispatched",
    doc="A message was accepted, or would have been sent if sending were not suppressed; with `message=`. "
    "What a receiver raises is raised by `send`, and logged by `send_many`.",
)
email_failed: NamedSignal = signals.signal(
    "email-failed",
    doc="A message was not sent, or nobody knows; with `message=` and `error=`. What a receiver raises is "
    "logged. Of messages that fail while a receiver hears of one, nobody hears.",
)
