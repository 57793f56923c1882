"""What does a script look like that sends one message? One for each contestant, whole, as text.

Their arguments are the port and the CA file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NOTHING = "pass"
IMPORTS: Mapping[str, str] = MappingProxyType(
    {name: f"import {name}" for name in ("smtplib", "aiosmtplib", "portmail")}
)

_MESSAGE = """
message = EmailMessage()
message["From"] = "me@example.com"
message["To"] = "ops@example.org"
message["Subject"] = "Backup finished"
message.set_content("All volumes are copied.\\n")
context = ssl.create_default_context()
context.load_verify_locations(sys.argv[2])
"""

_SMTPLIB = f"""
import smtplib, ssl, sys
from email.message import EmailMessage
{_MESSAGE}
with smtplib.SMTP_SSL("127.0.0.1", int(sys.argv[1]), "client.example", context=context) as client:
    client.login("me", "secret")
    client.send_message(message)
"""

_AIOSMTPLIB = f"""
import asyncio, ssl, sys
from email.message import EmailMessage
import aiosmtplib
{_MESSAGE}
asyncio.run(
    aiosmtplib.send(
        message,
        hostname="127.0.0.1",
        port=int(sys.argv[1]),
        username="me",
        password="secret",
        local_hostname="client.example",
        use_tls=True,
        tls_context=context,
    )
)
"""

_PORTMAIL = """
import sys
import portmail

portmail.send(
    to="ops@example.org",
    subject="Backup finished",
    text="All volumes are copied.\\n",
    sender="me@example.com",
    url=f"submissions://me:secret@127.0.0.1:{sys.argv[1]}",
    tls_ca=sys.argv[2],
)
"""

SCRIPTS: Mapping[str, str] = MappingProxyType(
    {"smtplib": _SMTPLIB, "aiosmtplib": _AIOSMTPLIB, "portmail": _PORTMAIL}
)

_SITE = """
import os, sys, time
os.environ["SSL_CERT_FILE"] = sys.argv[2]
import django
from django.conf import settings

settings.configure(
    EMAIL_BACKEND={backend!r},
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(sys.argv[1]),
    EMAIL_HOST_USER="me",
    EMAIL_HOST_PASSWORD="secret",
    EMAIL_USE_TLS=True,
)
django.setup()
from django.core.mail import send_mail

started = time.perf_counter()
for _ in range(int(sys.argv[3])):
    assert send_mail("Backup finished", "All volumes are copied.", "me@example.com", ["ops@example.org"])
print(time.perf_counter() - started)
"""

SITES: Mapping[str, str] = MappingProxyType(
    {
        "Django's own": _SITE.format(backend="django.core.mail.backends.smtp.EmailBackend"),
        "portmail": _SITE.format(backend="portmail.django.EmailBackend"),
    }
)
"""A Django site that sends mail after mail; the third argument is how many. It prints seconds."""
