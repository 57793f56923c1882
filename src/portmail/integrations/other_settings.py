"""What do the settings of Django and Flask-Mail mean here? Their flags become one `Security`, and routes.

Theirs are those of smtplib: a host, a port, `use_tls` for STARTTLS, `use_ssl` for implicit TLS, and
neither for plain text. Here it is the same, with three differences:

- Where there are credentials, the connection is encrypted whatever the flags say: without a flag
  it is STARTTLS, on port 465 implicit TLS.
- A host on 587 with STARTTLS, or on 465 with implicit TLS, has the other one as its second route,
  since many networks block one of them. Both are verified TLS to the same host.
- Without credentials and without a flag, TLS is used if it is offered, as a relay's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from portmail.errors import ConfigurationError
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS, Route
from portmail.security import SecretSource, Security
from portmail.timeouts import Timeouts

if TYPE_CHECKING:
    from portmail.settings import Wishes

DJANGO_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "host": "EMAIL_HOST",
        "port": "EMAIL_PORT",
        "username": "EMAIL_HOST_USER",
        "password": "EMAIL_HOST_PASSWORD",
        "use_tls": "EMAIL_USE_TLS",
        "use_ssl": "EMAIL_USE_SSL",
        "timeout": "EMAIL_TIMEOUT",
        "ssl_certfile": "EMAIL_SSL_CERTFILE",
        "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    }
)
"""The options of a mailer of Django's, and the settings that they were before MAILERS."""

_USUAL = {Security.STARTTLS: SUBMISSION, Security.IMPLICIT_TLS: SUBMISSIONS, Security.OPPORTUNISTIC: RELAY}
"""The port of each mode."""

_OTHER = {
    (SUBMISSION, Security.STARTTLS): (SUBMISSIONS, Security.IMPLICIT_TLS),
    (SUBMISSIONS, Security.IMPLICIT_TLS): (SUBMISSION, Security.STARTTLS),
}
"""The second route of a host, of equal strength (RFC 8314 section 3.3)."""


@dataclass(frozen=True, slots=True)
class OtherSettings:
    """An account as smtplib's users write it. `timeout` is seconds for each step, None for our own."""

    host: str
    port: int | None = None
    username: str | None = None
    password: SecretSource | None = field(default=None, repr=False)
    token: SecretSource | None = field(default=None, repr=False)
    use_tls: bool = False
    use_ssl: bool = False
    timeout: float | None = None
    certfile: str | None = None
    keyfile: str | None = None

    @property
    def clear(self) -> bool:
        """Whether these settings would show a password unencrypted, where they were written for."""
        return self.with_login and not (self.use_tls or self.use_ssl)

    @property
    def with_login(self) -> bool:
        """Whether there are credentials: a user name alone means none, as smtplib's users have it."""
        return bool(self.username and (self.password or self.token))

    @property
    def security(self) -> Security:
        """The one mode that the flags, the port and the credentials come to."""
        if self.use_ssl or (self.clear and self.port == SUBMISSIONS):
            return Security.IMPLICIT_TLS
        return Security.STARTTLS if self.use_tls or self.with_login else Security.OPPORTUNISTIC

    @property
    def routes(self) -> tuple[Route, ...]:
        """The route that is meant, and a second one of equal strength where the port is a usual one."""
        security = self.security
        port = _USUAL[security] if self.port is None else self.port
        other = _OTHER.get((port, security))
        first = Route(self.host, port, security)
        return (first, Route(self.host, *other)) if other else (first,)

    def wishes(self) -> Wishes:
        """The arguments of a submitter.

        Raises:
            ConfigurationError: both flags, or what cannot be a host, a port or a number of seconds.
        """
        if self.use_tls and self.use_ssl:
            raise ConfigurationError("use_tls (STARTTLS) and use_ssl (implicit TLS): set one of them at most")
        wishes: Wishes = {"routes": self.routes}
        if self.with_login:
            wishes |= {"username": self.username, "password": self.password or None}
            wishes["token"] = self.token or None
        if self.keyfile and not self.certfile:
            raise ConfigurationError(
                "the file of a key is given, and none of its certificate: give that, too"
            )
        if self.certfile:
            wishes["client_cert"] = self.certfile
        if self.keyfile and self.keyfile != self.certfile:
            wishes["client_key"] = self.keyfile
        if self.timeout is not None:
            wishes["timeouts"] = every_step(self.timeout)
        return wishes


def every_step(seconds: float) -> Timeouts:
    """Timeouts like smtplib's one number: for each wait, and none for the whole submission but our own.

    Raises:
        ConfigurationError: it is no number of seconds above 0.
    """
    return Timeouts(connect=seconds, greeting=seconds, command=seconds, block=seconds, final=seconds)
