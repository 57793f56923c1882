"""What can an application listen to? Signals of blinker; the sender of each is the application."""

from __future__ import annotations

from blinker import NamedSignal, Namespace

signals = Namespace()

email_dispatched: NamedSignal = signals.signal(
    "email-dispatched",
    doc="A message was accepted, or would have been sent if sending were not suppressed; with `message=`.",
)
email_failed: NamedSignal = signals.signal(
    "email-failed", doc="A message was not sent, or nobody knows; with `message=` and `error=`."
)
