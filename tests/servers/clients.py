"""How does a test talk to a server without portmail? smtplib, taken as far as a test wants."""

from __future__ import annotations

import smtplib
import ssl
from typing import BinaryIO

from portmail.sandbox import Sandbox

NAME = "client.example"
"""Said in EHLO; without it smtplib asks the DNS for one."""


def trusting(sandbox: Sandbox) -> ssl.SSLContext:
    """A client's context that believes the sandbox."""
    return ssl.create_default_context(cafile=sandbox.ca)


def connected(sandbox: Sandbox, service: int) -> smtplib.SMTP:
    """A client that has said EHLO in clear."""
    client = smtplib.SMTP(sandbox.host, sandbox.port(service), local_hostname=NAME, timeout=5)
    client.ehlo()
    return client


def secured(sandbox: Sandbox, service: int) -> smtplib.SMTP:
    """A client that has said EHLO in TLS."""
    if service == 465:
        return _implicit(sandbox)
    client = connected(sandbox, service)
    client.starttls(context=trusting(sandbox))
    client.ehlo()
    return client


def _implicit(sandbox: Sandbox) -> smtplib.SMTP:
    client = smtplib.SMTP_SSL(
        sandbox.host, sandbox.port(465), local_hostname=NAME, timeout=5, context=trusting(sandbox)
    )
    client.ehlo()
    return client


def logged_in(sandbox: Sandbox) -> smtplib.SMTP:
    """A client that may submit."""
    client = secured(sandbox, 587)
    client.login("me", "secret")
    return client


def reply_of(file: BinaryIO) -> str:
    """The next reply: its lines, joined by newlines. Raises OSError when there is none."""
    lines = [file.readline().decode().rstrip("\r\n")]
    while lines[-1][3:4] == "-":
        lines.append(file.readline().decode().rstrip("\r\n"))
    return "\n".join(lines)
