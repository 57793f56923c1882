"""What do the settings of smtplib's users mean? `use_tls` is STARTTLS, `use_ssl` is implicit TLS."""

from __future__ import annotations

from collections.abc import Mapping

from portmail.errors import ConfigurationError
from portmail.security import Security


def security_of_flags(said: Mapping[str, object], *, starttls: str, implicit: str) -> Security:
    """The security that two flags come to.

    Raises:
        ConfigurationError: both are set.
    """
    if said.get(starttls) and said.get(implicit):
        raise ConfigurationError(
            f"{starttls} (STARTTLS) and {implicit} (implicit TLS) are both set: take one"
        )
    if said.get(implicit):
        return Security.IMPLICIT_TLS
    return Security.STARTTLS if said.get(starttls) else Security.PLAINTEXT


def text_of(said: Mapping[str, object], name: str) -> str | None:
    """A text, None where it is not said or empty."""
    value = said.get(name)
    return str(value) if value else None


def password_missing(said: Mapping[str, object], *, names: tuple[str, str]) -> str | None:
    """What to do where there is a user name and no password; `names` are those of the two settings."""
    username, password = names
    if not said.get(username) or said.get(password):
        return None
    return (
        f"{password} is empty here: if it is set where the program runs, put it into a file and its path "
        "into PORTMAIL_PASSWORD_FILE; if not, nobody logs in today: take the user name out of the URL"
    )
