"""What did an application's config say? `State`: Flask-Mail's attributes, and the submitter they come to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, has_app_context
from flask.logging import default_handler, has_level_handler

from portmail.integrations.flask.account import options_of, settings_of
from portmail.integrations.flask.reading import (
    account_variables,
    flag,
    more_options,
    number,
    sender_in,
    text,
)
from portmail.integrations.flask.texts import AnyAddress
from portmail.integrations.shared import shared
from portmail.security import SecretSource
from portmail.settings import Settings
from portmail.submitter import Submitter
from portmail.transports.tls import verified_context

EXTENSION, FLASK_MAIL = "portmail", "mail"
"""Where the state is in `app.extensions`; the second one if nobody else has it."""

RELAY = 25


class State:
    """An application's settings, as they were when they were read; each may be changed.

    `account` are the PORTMAIL_ variables that count, `options` more arguments of `Submitter`. All
    other attributes are Flask-Mail's. `suppress` follows the config as long as it is not set.

    Raises:
        ConfigurationError: a setting that cannot be met; the text names it.
    """

    def __init__(
        self, config: Mapping[str, Any], *, debug: bool | int = False, testing: bool = False
    ) -> None:
        self._config, self._testing = config, testing
        self._suppress: bool | None = None
        flag(config, "MAIL_SUPPRESS_SEND")  # complains now
        self.account = account_variables(config)
        self.server = text(config, "MAIL_SERVER") or "127.0.0.1"
        self.username = text(config, "MAIL_USERNAME")
        self.password: SecretSource | None = config.get("MAIL_PASSWORD")
        self.use_tls = flag(config, "MAIL_USE_TLS")
        self.use_ssl = flag(config, "MAIL_USE_SSL")
        self.port = number(config, "MAIL_PORT", default=None if self.use_ssl else RELAY)
        self.timeout = number(config, "MAIL_TIMEOUT", kind=float)
        self.tls_ca = config.get("MAIL_CA")
        self.options = more_options(config)
        self.max_emails = number(config, "MAIL_MAX_EMAILS")
        self.ascii_attachments = flag(config, "MAIL_ASCII_ATTACHMENTS")
        self.debug = int(flag(config, "MAIL_DEBUG", default=bool(debug)))
        settings = self.settings()
        if any(settings.pem_files.values()):
            verified_context(**settings.pem_files)  # complains now
        self.default_sender: AnyAddress | None = sender_in(config) or settings.sender
        if flag(config, "MAIL_DEBUG"):
            _show_dialogue()

    @property
    def suppress(self) -> bool:
        """Whether messages are not sent: MAIL_SUPPRESS_SEND, else whether the application is tested."""
        if self._suppress is not None:
            return self._suppress
        testing = bool(self._config.get("TESTING", self._testing))
        return flag(self._config, "MAIL_SUPPRESS_SEND", default=testing)

    @suppress.setter
    def suppress(self, value: bool) -> None:
        self._suppress = bool(value)

    def settings(self) -> Settings:
        """What a submitter is made of.

        Raises:
            ConfigurationError: a setting that cannot be met; the text names it.
        """
        return settings_of(self)

    def submitter(self) -> Submitter:
        """The submitter that all who have these settings share, in this process.

        Raises:
            ConfigurationError: a setting that cannot be met; the text names it.
        """
        return shared(options_of(self), make=self.settings)


def state_of(app: Flask) -> State:
    """The state of an application.

    Raises:
        RuntimeError: there is none.
    """
    state = _state_in(app)
    if state is None:
        raise RuntimeError(f"the application {app.name!r} has no mail: call Mail(app) or mail.init_app(app)")
    return state


def current_state() -> State | None:
    """The state of the application at work; None if there is none."""
    return _state_in(current_app) if has_app_context() else None


def _state_in(app: Flask) -> State | None:
    state = app.extensions.get(EXTENSION)
    return state if isinstance(state, State) else None


def _show_dialogue() -> None:
    """Have the dialogue told where Flask tells its log, unless somebody hears it already."""
    logger = logging.getLogger("portmail.dialogue")
    logger.setLevel(logging.DEBUG)
    if not has_level_handler(logger) or all(
        isinstance(handler, logging.NullHandler) for handler in _handlers(logger)
    ):
        logger.addHandler(default_handler)


def _handlers(logger: logging.Logger) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        found += at.handlers
        at = at.parent if at.propagate else None
    return found
