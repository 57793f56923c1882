"""How does a script send one mail? `portmail.send`: one line, the account from the environment."""

from __future__ import annotations

import os
from collections import ChainMap
from typing import Unpack

from portmail.composing import Addresses, Attachments, compose
from portmail.receipt import Receipt
from portmail.settings import Account
from portmail.submitter import Submitter


def send(
    *,
    to: Addresses,
    subject: str,
    text: str = "",
    html: str | None = None,
    sender: str | None = None,
    cc: Addresses | None = None,
    bcc: Addresses | None = None,
    reply_to: Addresses | None = None,
    attachments: Attachments | None = None,
    url: str | None = None,
    **account: Unpack[Account],
) -> Receipt:
    """Compose a message and submit it.

    The account is PORTMAIL_URL and its friends, or `url` in place of the first; the keyword
    arguments of `Submitter` win over both. `sender` is the From header, PORTMAIL_FROM where it is not given.

    Raises:
        ConfigurationError, AddressError: found before anything is connected.
        DeliveryError: the message was not accepted, or nobody knows (`InDoubt`).
    """
    try:
        submitter = Submitter.from_env(ChainMap({"PORTMAIL_URL": url} if url else {}, os.environ), **account)
    finally:
        del url, account  # error trackers show the variables of every frame
    message = compose(
        to=to,
        subject=subject,
        text=text,
        html=html,
        sender=sender,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        attachments=attachments,
    )
    with submitter:
        return submitter.send(message)
