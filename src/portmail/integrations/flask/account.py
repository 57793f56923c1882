"""Which account does an application mail with? That of PORTMAIL_URL, or that of Flask-Mail's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portmail.errors import ConfigurationError
from portmail.integrations.flask.reading import URL, naming
from portmail.integrations.other_settings import OtherSettings, every_step
from portmail.settings import Settings, from_arguments, from_environment

if TYPE_CHECKING:
    from portmail.integrations.flask.state import State

_SECRETS = {"password", "token"}


def options_of(state: State) -> dict[str, Any]:
    """All that decides which submitter it is, by name."""
    return {**state.account, **_wishes(state), **state.options}


def settings_of(state: State) -> Settings:
    """What these settings come to.

    Raises:
        ConfigurationError: a setting that cannot be met; the text names it.
    """
    wishes = _wishes(state) | state.options
    with naming(_names(state)):
        if URL in state.account:
            return from_environment(state.account, **wishes)
        return from_arguments(**wishes)


def _names(state: State) -> str:
    """The settings that a submitter is made of."""
    where = URL if URL in state.account else "MAIL_SERVER and the MAIL_ settings beside it"
    return f"{where}, with PORTMAIL_OPTIONS" if state.options else where


def _wishes(state: State) -> dict[str, Any]:
    """What the MAIL_ settings say; of the account nothing, where PORTMAIL_URL says it."""
    wishes: dict[str, Any] = {} if URL in state.account else _account(state)
    if state.timeout is not None:
        with naming("MAIL_TIMEOUT"):
            wishes["timeouts"] = every_step(state.timeout)
    if state.tls_ca:
        wishes["tls_ca"] = state.tls_ca
    return wishes


def _account(state: State) -> dict[str, Any]:
    if state.use_tls and state.use_ssl:
        raise ConfigurationError(
            "MAIL_USE_TLS (STARTTLS) and MAIL_USE_SSL (implicit TLS) contradict each other: set one of them"
        )
    elsewhere = _SECRETS & state.options.keys()
    given = OtherSettings(
        state.server,
        state.port,
        username=state.username,
        password="elsewhere" if elsewhere else state.password,  # decides on TLS
        use_tls=state.use_tls,
        use_ssl=state.use_ssl,
    )
    with naming("MAIL_SERVER and MAIL_PORT"):
        wishes: dict[str, Any] = {"routes": given.routes}
    with naming("MAIL_USERNAME and MAIL_PASSWORD"):
        wishes |= given.wishes()
    if elsewhere:
        del wishes["password"]
    if state.account.get("PORTMAIL_CA"):
        wishes["tls_ca"] = state.account["PORTMAIL_CA"]
    if state.account.get("PORTMAIL_FROM"):
        wishes["sender"] = state.account["PORTMAIL_FROM"]
    return wishes
