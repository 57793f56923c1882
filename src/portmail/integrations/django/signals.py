"""Who hears of a message? Receivers of three signals, with the backend's class as their sender."""

from django.dispatch import Signal

pre_send = Signal()
"""Before a message is sent: `message` (Django's), `using` (the alias, or None).

A receiver may change the message. What it raises keeps the message from being sent, and is raised.
"""

post_send = Signal()
"""After a message was accepted: `message`, `receipt` (portmail's), `using`.

What a receiver raises is logged. What it sends itself is not told of, here and in the next one.
"""

send_failed = Signal()
"""After a message was not accepted, or is in doubt: `message`, `error`, `using`. Also where it is silent."""
