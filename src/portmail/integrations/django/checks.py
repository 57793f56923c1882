"""What is wrong with the settings, as far as nobody need be asked? Django's system checks.

| id | says |
|---|---|
| portmail.E001 | the settings cannot be met |
| portmail.W001 | credentials without TLS: Django's own backend would show them in clear |
| portmail.W002 | a password, for a provider that takes none any more |
| portmail.W003 | DEFAULT_FROM_EMAIL or SERVER_EMAIL is Django's default, which no provider takes |
| portmail.W004 | a password inside `url`: Django's error pages, and its mails to the admins, show that |
| portmail.W005 | a user name without a password: there is no login |

E001 comes with every check, the others with `manage.py check --deploy`. Nothing is connected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  # that is its name there
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from portmail.candidate import Login
from portmail.discovery.providers import by_host
from portmail.errors import PortmailError
from portmail.integrations.django.asynchronous import mailers
from portmail.integrations.django.backend import EmailBackend
from portmail.integrations.django.configured import setting
from portmail.security import SecretKind
from portmail.url import parse_url

_DEFAULTS = {"DEFAULT_FROM_EMAIL": "webmaster@localhost", "SERVER_EMAIL": "root@localhost"}
"""Django's own, since it has no better."""


def check_settings(**_given: Any) -> Sequence[CheckMessage]:
    """Whether the settings of every mailer of ours can be met."""
    found: list[CheckMessage] = []
    for name, backend in _backends():
        try:
            _ = backend().submitter
        except (ImproperlyConfigured, PortmailError) as error:  # some are told by Django
            found.append(Error(str(error), obj=name, id="portmail.E001"))
    return found


def check_deployment(**_given: Any) -> Sequence[CheckMessage]:
    """What is better mended before the site goes out into the world."""
    found: list[CheckMessage] = []
    for name, backend in _backends():
        try:
            found += _of_mailer(name, backend())
        except (ImproperlyConfigured, PortmailError):
            continue  # E001
    if found or any(True for _ in _backends()):
        found += _senders()
    return found


def _backends() -> Iterator[tuple[str, Any]]:
    """The mailers that are ours: what to call each, and how to make it."""
    configured = mailers()
    if configured is None:
        path = setting("EMAIL_BACKEND") or ""
        if _ours(path):
            yield "EMAIL_BACKEND", import_string(path)
        return
    for alias, config in configured.settings.items():
        if _ours(config.get("BACKEND", "")):
            yield f"MAILERS[{alias!r}]", lambda alias=alias: configured[alias]


def _ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:  # Django tells of that
        return False
    return isinstance(backend, type) and issubclass(backend, EmailBackend)


def _of_mailer(name: str, backend: EmailBackend) -> Iterator[CheckMessage]:
    for number, look in _LOOKS.items():
        for text, hint in look(backend):
            yield Warning(text, hint=hint, obj=name, id=f"portmail.{number}")


def _clear(backend: EmailBackend) -> Iterator[tuple[str, str]]:
    if backend.shows_credentials:
        yield (
            "There are credentials, and neither TLS flag is set.",
            (
                "portmail uses TLS all the same. Set use_tls (587) or use_ssl (465) to say so: with "
                "Django's own backend the password would travel in clear."
            ),
        )


def _retired(backend: EmailBackend) -> Iterator[tuple[str, str]]:
    account = backend.submitter.settings
    password = account.credentials is not None and account.credentials.kind is SecretKind.PASSWORD
    for host in dict.fromkeys(route.host for route in account.routes if password):
        provider = by_host(host.lower())
        if provider is not None and provider.logins and Login.PASSWORD not in provider.logins:
            yield (
                f"{provider.name} ({host}) takes no passwords any more, or soon.",
                f"Give 'token_source' in place of 'password'. {provider.note}".strip(),
            )


def _shown(backend: EmailBackend) -> Iterator[tuple[str, str]]:
    url = backend.options.get("url")
    if url and parse_url(url).password:
        yield (
            "There is a password inside 'url', which Django's error pages and mails to the admins show.",
            "Take it out, and give 'password' or PORTMAIL_PASSWORD_FILE: those are hidden.",
        )


def _half(backend: EmailBackend) -> Iterator[tuple[str, str]]:
    if getattr(backend, "username", None) and backend.submitter.settings.credentials is None:
        yield (
            "There is a user name and no password: mail is sent without a login.",
            "Set EMAIL_HOST_PASSWORD (the option 'password'), or leave the user name out.",
        )


_LOOKS = {"W001": _clear, "W002": _retired, "W004": _shown, "W005": _half}
"""What is looked at in each mailer, by the number of what is told."""


def _senders() -> Iterator[CheckMessage]:
    for name, default in _DEFAULTS.items():
        if getattr(settings, name, "") == default:
            yield Warning(
                f"{name} is {default!r}, Django's default, which most servers refuse.",
                hint="Set it to an address that your server lets you send from.",
                id="portmail.W003",
            )
