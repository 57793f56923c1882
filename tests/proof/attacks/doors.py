"""By which doors are the attacked servers reached, beside those of every proof?

portmail's command line, and the two peers **as they come**, which is what the table compares: what a
person types who follows their documentation and changes no default.

- aiosmtplib: `aiosmtplib.send(message, hostname=, port=, username=, password=)`; `use_tls=True` on 465.
- smtplib: `ehlo()`, and `starttls()` if `has_extn("starttls")`, then `login()`; `SMTP_SSL` on 465. With
  a context that verifies, as its security considerations ask for, although `starttls()` comes without.

What there is beside that serves the proof alone: the authority to be trusted, our own name, and seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import smtplib
import ssl
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from unittest import mock
from urllib.parse import quote

import aiosmtplib

from portmail import Cause, Security
from portmail.cli import main
from tests.proof.attacks.running import Account, CommandFailed
from tests.proof.harness.clients import BODY, RECIPIENT, SENDER, Errand, Said, Told, verifying
from tests.proof.harness.place import HOST
from tests.proof.harness.recorder import PASSWORD, USER

_OUR_NAME = "client.example.org"

_EXITS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "Unreachable": (69,),
        "InsecureChannel": (77, 75),
        "NoMechanism": (77,),
        "AuthenticationFailed": (77, 75),
        "Rejected": (65, 75),
    }
)
"""The exit codes that fit an error; 75 where it may pass."""


def by_command(errand: Errand) -> Told:
    """`portmail send`, called in this process; its text on standard input, its account in the environment."""
    port, security = errand.routes[0]
    scheme = "submissions" if security is Security.IMPLICIT_TLS else "submission"
    environment = {
        "PORTMAIL_URL": f"{scheme}://{quote(USER)}@{HOST}:{port}",
        "PORTMAIL_PASSWORD": PASSWORD,
        "PORTMAIL_CA": str(errand.authority),
        "PORTMAIL_FROM": SENDER,
    }
    arguments = ["send", "--to", RECIPIENT, "--subject", "proof", "--json", "--timeout", str(errand.seconds)]
    out, err, text = io.StringIO(), io.StringIO(), io.TextIOWrapper(io.BytesIO(BODY.encode()))
    began = time.monotonic()
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch("sys.stdin", text),
        mock.patch("portmail.repeating._pause", return_value=0.0),  # it retries, and at once
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(arguments)
    return _commanded(code, out.getvalue(), err.getvalue(), seconds=time.monotonic() - began)


def _commanded(code: int, out: str, err: str, *, seconds: float) -> Told:
    if code == 0:
        return Told(Said.SENT, None, seconds)
    said: dict[str, Any] = json.loads(out) if out else {"error": f"exit code {code}", "text": ""}
    causes = tuple(Cause(attempt["cause"]) for attempt in said.get("attempts", ()) if attempt["cause"])
    account = Account(said["error"], said["text"] + err, causes)
    foreign = bool(err) or code not in _EXITS.get(account.kind, ())
    return Told(Said.IN_DOUBT if code == 76 else Said.NOT_SENT, CommandFailed(account), seconds, foreign)


async def by_aiosmtplib_as_it_comes(errand: Errand) -> Told:
    """`aiosmtplib.send` with its defaults."""
    port, security = errand.routes[0]
    began = time.monotonic()

    async def token() -> str:
        return errand.token or ""

    try:
        await aiosmtplib.send(
            errand.message,
            hostname=HOST,
            port=port,
            username=errand.username,
            password=None if errand.token else errand.password,
            oauth_token_generator=token if errand.token else None,
            use_tls=security is Security.IMPLICIT_TLS,
            tls_context=verifying(errand.authority),
            local_hostname=_OUR_NAME,
            timeout=errand.seconds,
        )
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is judged
        own = isinstance(exc, aiosmtplib.SMTPException | ValueError | TimeoutError)
        return Told(Said.NOT_SENT, exc, time.monotonic() - began, not own)
    return Told(Said.SENT, None, time.monotonic() - began)


def by_smtplib_as_it_comes(errand: Errand) -> Told:
    """`smtplib`, with STARTTLS if it is offered."""
    return _by_smtplib(errand, context=verifying(errand.authority))


def by_smtplib_without_a_context(errand: Errand) -> Told:
    """The same with a bare `starttls()`, which verifies nothing. Not in the table."""
    return _by_smtplib(errand, context=None)


def _by_smtplib(errand: Errand, *, context: ssl.SSLContext | None) -> Told:
    began = time.monotonic()
    try:
        _submit(errand, context=context)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is judged
        own = isinstance(exc, smtplib.SMTPException | OSError | ValueError)
        return Told(Said.NOT_SENT, exc, time.monotonic() - began, not own)
    return Told(Said.SENT, None, time.monotonic() - began)


def _submit(errand: Errand, *, context: ssl.SSLContext | None) -> None:
    port, security = errand.routes[0]
    mail: smtplib.SMTP
    if security is Security.IMPLICIT_TLS:
        mail = smtplib.SMTP_SSL(HOST, port, local_hostname=_OUR_NAME, timeout=errand.seconds, context=context)
    else:
        mail = smtplib.SMTP(HOST, port, local_hostname=_OUR_NAME, timeout=errand.seconds)
    with mail:
        mail.ehlo()
        if security is Security.STARTTLS and mail.has_extn("starttls"):
            mail.starttls(context=context)
            mail.ehlo()
        mail.login(errand.username or "", errand.password or "")
        mail.send_message(errand.message)
