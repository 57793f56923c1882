"""What do Django's settings say? MAILERS (6.1 and newer), or EMAIL_HOST and its friends.

The settings module is the project's own code: it is imported in this process, once, as `manage.py`
would, so that settings that are made of the environment have their values. Django itself is not
asked for anything.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from portmail.errors import ConfigurationError
from portmail.importing.flags import password_missing, security_of_flags, text_of
from portmail.importing.foreign_code import foreign_code
from portmail.importing.found import Asked, Found, NothingFound, left_behind, listed, one_line, whole_number
from portmail.integrations.other_settings import DJANGO_SETTINGS
from portmail.route import RELAY, SUBMISSION, SUBMISSIONS
from portmail.security import Security

_VARIABLE = "DJANGO_SETTINGS_MODULE"

_SMTP = ("django.core.mail.backends.smtp.EmailBackend", "portmail.django.EmailBackend")

_OPTIONS = {**DJANGO_SETTINGS, "fail_silently": ""}
"""The options of a mailer, and what they were called before."""

_STAY = ("timeout", "ssl_certfile", "ssl_keyfile")
"""Options that stay what they are."""

_SINCE_6_1 = """\
MAILERS = {{
    {alias}: {{
        "BACKEND": "portmail.django.EmailBackend",
        "OPTIONS": {{{options}}},
    }},
}}"""

_BEFORE = """\
EMAIL_BACKEND = "portmail.django.EmailBackend"
PORTMAIL = {{{options}}}"""


def read(asked: Asked) -> Found:
    """The account of a settings module; `account` is an alias of MAILERS.

    Raises:
        ConfigurationError: there is no such module or alias, or no SMTP in it.
    """
    name = asked.source or os.environ.get(_VARIABLE)
    if not name:
        raise ConfigurationError(f"which settings? Name the module (mysite.settings), or set {_VARIABLE}")
    settings = _loaded(name)
    where = f"Django's settings {one_line(name)}"
    sender = text_of(settings, "DEFAULT_FROM_EMAIL")
    if "MAILERS" in settings:
        alias = asked.account or "default"
        options, notes = _mailer(settings["MAILERS"], alias=alias)
        return _found(options, where=f"{where}, MAILERS[{alias!r}]", sender=sender, notes=notes, alias=alias)
    if asked.account:
        raise NothingFound(f"{where} has no MAILERS: leave --account out")
    return _found(_legacy(settings), where=where, sender=sender, notes=_other_backend(settings), alias=None)


def _loaded(name: str) -> Mapping[str, Any]:
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = name  # settings may ask for it
    try:
        with foreign_code(name):
            module = importlib.import_module(name)
            return {setting: getattr(module, setting) for setting in dir(module) if setting.isupper()}
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before


def _mailer(mailers: Mapping[str, Any], *, alias: str) -> tuple[Mapping[str, Any], Iterator[str]]:
    """The options of an alias, and notes on what is beside them."""
    if alias not in mailers:
        raise NothingFound(f"MAILERS has no {alias!r}: use --account with one of {listed(mailers) or 'none'}")
    mailer = mailers[alias]
    if (backend := mailer.get("BACKEND", _SMTP[0])) not in _SMTP:
        raise NothingFound(f"MAILERS[{alias!r}] is {one_line(backend)}, which is not Django's SMTP")
    options = mailer.get("OPTIONS", {})
    return options, _beside(options, others=set(mailers) - {alias})


def _beside(options: Mapping[str, Any], *, others: set[str]) -> Iterator[str]:
    if unknown := set(options) - set(_OPTIONS):
        yield f"not carried over, since Django's SMTP has no such options: {listed(unknown)}"
    if others:
        yield f"this is one mailer; the others: --account with {listed(others)}"


def _legacy(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """EMAIL_HOST and its friends, called as the options of a mailer."""
    said = {option: settings[name] for option, name in _OPTIONS.items() if name in settings}
    return {"host": "localhost"} | said


def _other_backend(settings: Mapping[str, Any]) -> Iterator[str]:
    backend = settings.get("EMAIL_BACKEND", _SMTP[0])
    if backend in _SMTP:
        return
    if "EMAIL_HOST" not in settings:
        raise NothingFound(f"EMAIL_BACKEND is {one_line(backend)}, and there is no EMAIL_HOST")
    yield f"WARNING: EMAIL_BACKEND is {one_line(backend)}, so EMAIL_HOST is not in use with these settings"


def _found(
    said: Mapping[str, Any], *, where: str, sender: str | None, notes: Iterator[str], alias: str | None
) -> Found:
    security = security_of_flags(said, starttls="use_tls", implicit="use_ssl")
    if not said.get("host"):
        raise NothingFound(f"{where} names no host")
    return Found(
        where=where,
        host=str(said["host"]),
        port=whole_number(said.get("port"), name="the port"),
        usual_port=RELAY if alias is None else _USUAL_PORTS[security],
        security=security,
        username=text_of(said, "username"),
        password=text_of(said, "password"),
        sender=sender,
        notes=(*notes, *left_behind(said, {"fail_silently": "stays an option of the mailer"})),
        how_to_get_password=password_missing(said, names=("username", "password")),
        settings=_snippet(said, alias=alias),
    )


_USUAL_PORTS = {Security.STARTTLS: SUBMISSION, Security.IMPLICIT_TLS: SUBMISSIONS, Security.PLAINTEXT: RELAY}


def _snippet(said: Mapping[str, Any], *, alias: str | None) -> str:
    """What to write in the settings: MAILERS where it is there, or where Django is new enough for it."""
    kept = {name: said[name] for name in _STAY if said.get(name)}
    values = {name: value if isinstance(value, int | float) else str(value) for name, value in kept.items()}
    options = ", ".join(['"url": os.environ["PORTMAIL_URL"]', *(f'"{k}": {v!r}' for k, v in values.items())])
    since_6_1 = alias is not None or _has_mailers()
    return (_SINCE_6_1 if since_6_1 else _BEFORE).format(
        alias=json.dumps(alias or "default"), options=options
    )


def _has_mailers() -> bool:
    try:
        major, minor = version("Django").split(".")[:2]
        return (int(major), int(minor[:1])) >= (6, 1)
    except (PackageNotFoundError, ValueError):
        return True
