"""What are a mailer's options, all told? What MAILERS says, or before that PORTMAIL and EMAIL_*."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured

from portmail.errors import ConfigurationError
from portmail.integrations.django.options import ACCOUNT, DJANGOS, OURS, PLACES, usual_port
from portmail.integrations.environment import URL
from portmail.integrations.other_settings import DJANGO_SETTINGS

_BOTH_FLAGS = {
    False: "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those settings to True.",
    True: "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to True.",
}
"""By whether there is an alias; in Django's own words, as the next one is."""

_NOWHERE = "OPTIONS must define 'host'. In its place may be 'url', 'address' or 'routes', or PORTMAIL_URL."
_EMPTY = "is empty: give it, or leave it out"

_Invalid: Any = getattr(mail, "InvalidMailer", ImproperlyConfigured)


class MailNotConfigured(ConfigurationError, _Invalid):  # type: ignore[misc]  # which one, Django's version tells
    """The settings for mail cannot be met. From Django 6.1 it is an InvalidMailer, too."""

    def __init__(self, text: str, *, alias: str | None = None) -> None:
        super().__init__(f"MAILERS[{alias!r}]: {text}" if alias else text)


def completed(own: Mapping[str, Any], *, alias: str | None) -> Mapping[str, Any]:
    """The options given, and those that follow from the settings and from each other.

    Raises:
        MailNotConfigured: they come to no place, or contradict each other.
    """
    told = _with_defaults(own, alias=alias) if alias else _with_settings(own)
    if told.get("use_tls") and told.get("use_ssl"):
        raise MailNotConfigured(_BOTH_FLAGS[bool(alias)], alias=alias)
    for place in PLACES:
        if told.get(place) is not None and not told[place]:
            raise MailNotConfigured(f"{place!r} {_EMPTY}", alias=alias)
    if not any(told.get(place) for place in PLACES) and not os.environ.get(URL):
        raise MailNotConfigured(_NOWHERE, alias=alias)
    return told


def _with_defaults(own: Mapping[str, Any], *, alias: str) -> Mapping[str, Any]:
    """Options of MAILERS."""
    if not own["host"] or own.get("security"):
        return own
    flags = {name: bool(own.get(name)) for name in ("use_tls", "use_ssl")}
    try:
        return {**own, **flags, "port": own.get("port") or usual_port(own)}
    except ConfigurationError as error:
        raise MailNotConfigured(str(error), alias=alias) from error


def _with_settings(own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of a mailer before MAILERS: arguments, then PORTMAIL, then EMAIL_*.

    EMAIL_* say where, unless PORTMAIL does, or only the environment does. An account is not
    shown to another place than its own: an argument that says where leaves PORTMAIL's out.
    """
    # As in Django's own backend, an empty host or port is none.
    given = {
        name: value for name, value in own.items() if value is not None and (value or name not in _PLACE)
    }
    ours = _ours()
    if any(given.get(place) for place in PLACES):
        ours = {name: value for name, value in ours.items() if name not in ACCOUNT}
    said = {**ours, **given}
    if any(place in said for place in PLACES if place not in given or place != "host"):
        return said
    if os.environ.get(URL) and not settings.is_overridden("EMAIL_HOST") and "host" not in given:
        return said
    return {name: setting(of) for name, of in DJANGO_SETTINGS.items()} | said


_PLACE = ("host", "port")


def _ours() -> Mapping[str, Any]:
    """The setting PORTMAIL.

    Raises:
        MailNotConfigured: it is neither a URL nor options, or holds one that there is not.
    """
    said = getattr(settings, "PORTMAIL", None)
    if said is None:
        return {}
    if isinstance(said, str):
        return {"url": said}
    if not isinstance(said, Mapping):
        raise MailNotConfigured(f"PORTMAIL is a dict of options, or a URL, not {type(said).__name__}")
    for name in said:
        if name not in (*DJANGOS, *OURS):
            near = get_close_matches(str(name), (*DJANGOS, *OURS), n=1) or [", ".join((*DJANGOS, *OURS))]
            raise MailNotConfigured(f"PORTMAIL: there is no option {name!r}: did you mean {near[0]}?")
    return said


def setting(name: str) -> Any:
    """A setting that there was before MAILERS, None without it; who sets one was warned by Django then."""
    return getattr(settings._wrapped, name, None)  # noqa: SLF001  # from 6.1 on, asking by the front door warns
