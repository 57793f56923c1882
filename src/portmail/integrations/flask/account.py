"""Which account does an application mail with? That of PORTMAIL_URL, or that of Flask-Mail's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portmail.errors import ConfigurationError
from portmail.integrations.environment import URL
from portmail.integrations.flask.reading import naming
from portmail.integrations.other_settings import OtherSettings, every_step
from portmail.settings import Settings, from_arguments, from_environment

if TYPE_CHECKING:
    from portmail.integrations.flask.state import State


def options_of(state: State) -> dict[str, Any]:
    """All that decides which submitter it is, by name."""
    flags = {"MAIL_USE_TLS": state.use_tls, "MAIL_USE_SSL": state.use_ssl}
    return {**state.account, **_wishes(state), **state.options, **flags}


def settings_of(state: State) -> Settings:
    """What these settings come to.

    Raises:
        ConfigurationError: a setting that cannot be met; the text names it.
    """
    wishes = _wishes(state) | state.options
    with naming(_names(state)):
        known = URL in state.account
        settings = from_environment(state.account, **wishes) if known else from_arguments(**wishes)
    if state.use_tls or state.use_ssl:
        _refuse_weaker(settings, state=state)
    return settings


def _refuse_weaker(settings: Settings, *, state: State) -> None:
    """What asks for TLS is never passed over, wherever the account is said.

    Raises:
        ConfigurationError: a route that may go without.
    """
    flag = "MAIL_USE_TLS" if state.use_tls else "MAIL_USE_SSL"
    weak = next((route for route in settings.routes if not route.security.encrypted), None)
    if weak is not None:
        raise ConfigurationError(
            f"{_names(state)}: {weak} may go without TLS, which {flag} asks for. Ask for TLS there, too "
            f"(submission://, or relay:// with ?tls=require, or security=starttls), or take {flag} out"
        )


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
    said = state.options
    given = OtherSettings(
        state.server,
        state.port,
        username=said.get("username") or state.username,
        password=said.get("password") or (None if said.get("token") else state.password),
        token=said.get("token"),
        use_tls=state.use_tls,
        use_ssl=state.use_ssl,
    )
    with naming("MAIL_SERVER and MAIL_PORT"):
        wishes: dict[str, Any] = {**given.wishes()}
    if state.account.get("PORTMAIL_CA"):
        wishes["tls_ca"] = state.account["PORTMAIL_CA"]
    if state.account.get("PORTMAIL_FROM"):
        wishes["sender"] = state.account["PORTMAIL_FROM"]
    return wishes
