"""How does an async view send? `await asend_mail(…)`: Django's `send_mail`, awaited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives

from portmail.integrations.django.backend import EmailBackend


async def asend_mail(
    subject: str,
    message: str,
    from_email: str | None,
    recipient_list: Sequence[str],
    *,
    html_message: str | None = None,
    using: str | None = None,
    fail_silently: bool = False,
) -> int:
    """Send one message; return how many were sent: 1 or 0. Arguments are those of Django's `send_mail`.

    `using` is an alias of MAILERS (Django 6.1). Where another backend is configured, as in tests, that
    one sends, in a thread.

    Raises:
        smtplib.SMTPException, ValueError: as `EmailBackend.send_messages`.
    """
    letter = EmailMultiAlternatives(subject, message, from_email, list(recipient_list))
    if html_message:
        letter.attach_alternative(html_message, "text/html")
    backend = mailer(using, fail_silently=fail_silently)
    if isinstance(backend, EmailBackend):
        return await backend.asend_messages([letter])
    if not letter.recipients():
        return 0
    return int(await sync_to_async(backend.send_messages)([letter]))


def mailer(using: str | None = None, *, fail_silently: bool = False) -> Any:
    """The backend that Django has for this alias; without MAILERS there is one.

    Raises:
        django.core.exceptions.ImproperlyConfigured: there is no such alias.
    """
    configured = mailers()
    if configured is None and using not in (None, "default"):
        raise ImproperlyConfigured(f"there is no mailer {using!r}: MAILERS is not set")
    if not hasattr(mail, "mailers"):
        return mail.get_connection(fail_silently=fail_silently)
    backend = mail.mailers[using or "default"]
    if fail_silently and isinstance(backend, EmailBackend):
        backend.fail_silently = True
    return backend


def mailers() -> Any | None:
    """Django's mailers by alias; None where there are none yet (before Django 6.1, or without MAILERS)."""
    return getattr(mail, "mailers", None) if hasattr(settings, "MAILERS") else None
