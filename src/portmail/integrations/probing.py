"""Can mail go out with these settings? The account in words, one connection, and nothing sent."""

from __future__ import annotations

from collections.abc import Callable

from portmail.cli.exits import OK, exit_code
from portmail.cli.report import tls_in_words
from portmail.errors import PortmailError
from portmail.receipt import Connected
from portmail.settings import Settings
from portmail.submitter import Submitter


def probe(submitter: Submitter, *, write: Callable[[str], object] = print) -> int:
    """Say what would be done, open a connection, log in, and say how that went.

    Returns an exit code of sysexits(3): 0 where mail can go out.
    """
    write(plan(submitter.settings))
    try:
        connected = submitter.connect()
    except PortmailError as error:
        write(str(error))
        return exit_code(error)
    for attempt in connected.attempts:
        write(f"  {attempt}")
    write(_outcome(connected))
    return OK


def plan(settings: Settings) -> str:
    """Where it submits, in order, and as whom; in one line, without a secret."""
    who = f"as {settings.credentials.username}" if settings.credentials else "without a login"
    sought = f"the server of {settings.search.address}, which is looked for" if settings.search else ""
    routes = ", then ".join(str(route) for route in settings.routes)
    return f"submits to {routes or sought}, {who}"


def _outcome(connected: Connected) -> str:
    login = "logged in" if connected.logged_in else "no login"
    return f"connected: {connected.route}, {tls_in_words(connected.tls)}, {login}; nothing was sent"
