"""Who hears what became of a message? Whoever listens to the signals, and whoever catches the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from portmail.errors import PortmailError
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.refusals import translated
from portmail.integrations.flask.signals import email_dispatched, email_failed

if TYPE_CHECKING:
    from blinker import NamedSignal

_TELLING = ContextVar("portmail_telling", default=False)
"""Whether `tell` is at work. What is sent meanwhile is not told of by it, or it might never end: a receiver
that fails is logged, and the log may be mailed.
"""


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
        Exception: what a receiver of `email_dispatched` raises, as with Flask-Mail; the message was sent.
    """
    app = app_at_work()
    try:
        with translated():
            yield
    except PortmailError as error:
        tell(app, message, error=error)
        raise
    email_dispatched.send(app, message=message)


def tell(app: Flask, message: Message, *, error: PortmailError | None) -> None:
    """Tell the listeners that the message was sent, or why not. What they raise is logged."""
    if error is None:
        _tell(email_dispatched, app, message=message)
    else:
        _tell(email_failed, app, message=message, error=error)


def _tell(signal: NamedSignal, app: Flask, **what: Any) -> None:
    if _TELLING.get() or signal.is_muted:
        return
    token = _TELLING.set(True)
    try:
        for receiver in signal.receivers_for(app):
            _call(receiver, app, signal=signal, what=what)
    finally:
        _TELLING.reset(token)


def _call(receiver: Callable[..., object], app: Flask, *, signal: NamedSignal, what: dict[str, Any]) -> None:
    try:
        if iscoroutinefunction(receiver):
            raise TypeError("a receiver must be a plain function, not async")
        receiver(app, **what)
    except Exception:
        with suppress(Exception):  # of a handler that mails, say: what became of the message is told first
            app.logger.exception("portmail: a receiver of %s failed: %r", signal.name, receiver)
