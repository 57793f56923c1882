"""Who hears what became of a message? Whoever listens to the signals, and whoever catches the error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app

from portmail.errors import PortmailError
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.refusals import translated
from portmail.integrations.flask.signals import email_dispatched, email_failed


def app_at_work() -> Flask:
    """The application itself, which a signal's sender must be.

    Raises:
        RuntimeError: none is at work.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # werkzeug's own way
    return app


@contextmanager
def told(message: Message) -> Iterator[None]:
    """Tell the application's listeners that the message was sent in the block, or why not.

    Raises:
        PortmailError: what the block raises, translated.
    """
    app = app_at_work()
    try:
        with translated():
            yield
    except PortmailError as error:
        email_failed.send(app, message=message, error=error)
        raise
    email_dispatched.send(app, message=message)
