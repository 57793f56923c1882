"""What can a program send to when there is no mail server? A submission server on loopback.

    from portmail.sandbox import Sandbox

    with Sandbox() as sandbox:
        with portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca) as mail:
            mail.send(message)
        assert sandbox.messages[0].recipients == ("ops@example.org",)

It speaks real SMTP over real TLS, it keeps what it was sent, and it misbehaves when told to:
blocked ports, a stripped STARTTLS, refused recipients, connections lost around the final dot.
"""

from portmail.sandbox.records import Received, Session
from portmail.sandbox.server import Sandbox

__all__ = ["Sandbox", "Received", "Session"]
