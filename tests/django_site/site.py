"""How does this Django name its mailers? The words of the one that is there, said once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.test import override_settings

import portmail.integrations.django as ours
from portmail.sandbox import Sandbox

MAILERS = django.VERSION >= (6, 1)
"""Whether this Django has MAILERS, in place of EMAIL_BACKEND."""

PATH = "portmail.django.EmailBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

FROM, TO, OTHER, GONE = "web@example.com", "ann@example.org", "bob@example.org", "gone@example.org"
ADMINS: list[Any] = ["admin@example.com"] if django.VERSION >= (6, 0) else [("Admin", "admin@example.com")]

OWN = os.path.dirname(ours.__file__)  # noqa: PTH120  # as warnings name files
"""Where our files are."""


def mailers(
    options: Mapping[str, Any], *, backend: str = PATH, **others: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings of a site whose default mailer has these options. `others` are further aliases."""
    if not MAILERS:
        return {"EMAIL_BACKEND": backend, "PORTMAIL": dict(options)}
    aliases = {"default": options, **others}
    return {"MAILERS": {alias: {"BACKEND": backend, "OPTIONS": dict(of)} for alias, of in aliases.items()}}


@contextmanager
def before_mailers(**given: Any) -> Iterator[None]:
    """The site has the settings that there were before MAILERS, and our own files raise no warning."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with override_settings(EMAIL_BACKEND=PATH, **given):
            yield
    assert [str(warning) for warning in told if warning.filename.startswith(OWN)] == []


def backend(**arguments: Any) -> Any:
    """The default mailer's backend, as Django makes it."""
    if MAILERS and not arguments and hasattr(settings, "MAILERS"):
        return mail.mailers.default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # get_connection is deprecated from 6.1 on
        return mail.get_connection(**arguments)


def letter(*to: str, subject: str = "hello", **given: Any) -> EmailMessage:
    """A message."""
    return EmailMessage(subject, "the body", given.pop("from_email", FROM), list(to or (TO,)), **given)


def with_login(sandbox: Sandbox, user: str, password: str, *, service: int = 587) -> dict[str, Any]:
    """The sandbox in Django's own words."""
    return {
        "EMAIL_HOST": sandbox.host,
        "EMAIL_PORT": sandbox.port(service),
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
    }
