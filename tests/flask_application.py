"""An application with mail, for the tests of Flask."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from portmail.integrations.flask import Mail, Message
from portmail.sandbox import Sandbox

SENDER = "shop@example.com"


def forget_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no account in the environment."""
    for name in ("URL", "USERNAME", "PASSWORD", "PASSWORD_FILE", "FROM", "CA"):
        monkeypatch.delenv(f"PORTMAIL_{name}", raising=False)


def application(**config: Any) -> tuple[Flask, Mail]:
    app = Flask("shop")
    app.config.update({"MAIL_DEFAULT_SENDER": SENDER} | config)
    return app, Mail(app)


def account(sandbox: Sandbox) -> dict[str, Any]:
    return {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca)}


def message(**arguments: Any) -> Message:
    return Message(**{"subject": "Hello", "recipients": ["ann@example.org"], "body": "Hi.\n"} | arguments)
