"""Can an application's mail go out? What its framework's command tells: the plan, and what a check found."""

from __future__ import annotations

import os
from typing import TextIO

from portmail.cli.check_codes import code_of
from portmail.cli.check_report import show
from portmail.cli.exits import INTERRUPTED, exit_code
from portmail.cli.report import readable, tell
from portmail.conclusion import in_words
from portmail.errors import DeliveryError, PortmailError
from portmail.language import Language, language_of, words
from portmail.phrase import Phrase, Value
from portmail.settings import Settings
from portmail.submitter import Submitter

WITH_LOGIN, WITHOUT_LOGIN = "submits to {server}, as {username}", "submits to {server}, without a login"
SOUGHT = "the server of {address}, which is looked for"
ROUTES = "{one}, then {next}"


def check(submitter: Submitter, *, login: bool, stream: TextIO) -> int:
    """Say what would be done, check, and tell what was found, in the language of the locale.

    Sends nothing, and shows no credential; with `login` once, where the way is open and secure.
    Returns an exit code of sysexits(3): 0 where mail can go out.
    """
    tell(plan(submitter.settings, stream=stream), to=stream)
    try:
        report = submitter.check(login=login)
    except KeyboardInterrupt:  # a framework would show a traceback
        tell("portmail: stopped", to=stream)
        return INTERRUPTED
    except PortmailError as error:
        tell(told(error, stream=stream), to=stream)
        return exit_code(error)
    show(report, language=_language(stream), stream=stream)
    return code_of(report)


def plan(settings: Settings, *, stream: TextIO) -> str:
    """Where it submits, in order, and as whom; in one line, without a secret, in the locale's language."""
    values: dict[str, Value] = {"server": _server(settings)}
    if settings.credentials:
        values["username"] = settings.credentials.username
    phrase = Phrase(WITH_LOGIN if settings.credentials else WITHOUT_LOGIN, values)
    return phrase.said(words(_language(stream)))


def _server(settings: Settings) -> Value:
    if settings.search and not settings.routes:
        return Phrase(SOUGHT, {"address": settings.search.address})
    first, *others = map(str, settings.routes)
    server: Value = first
    for route in others:
        server = Phrase(ROUTES, {"one": server, "next": route})
    return server


def told(error: PortmailError, *, stream: TextIO) -> str:
    """The error in the language of the locale, as far as it is ours and translated."""
    if isinstance(error, DeliveryError):
        return in_words(error, words(_language(stream)))
    return str(error)


def _language(stream: TextIO) -> Language:
    return readable(language_of(os.environ), on=stream)
