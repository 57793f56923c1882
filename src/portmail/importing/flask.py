"""What does a Flask configuration say to Flask-Mail or Flask-Mailman? The MAIL_* settings.

It is the project's own code: a Python file is run, or a module imported, in this process, once.
Flask itself is not asked for anything.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from email.utils import formataddr
from pathlib import Path
from typing import Any

from portmail.errors import ConfigurationError
from portmail.importing.flags import password_missing, security_of_flags, text_of
from portmail.importing.foreign_code import foreign_code
from portmail.importing.found import (
    Asked,
    Found,
    NothingFound,
    left_behind,
    one_line,
    told_if_unreadable,
    whole_number,
)
from portmail.route import RELAY

_WHAT = "a Python file (config.py), or a module and what is in it (myapp:app, config:Production)"

_CARRIED = ("MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL", "MAIL_USERNAME", "MAIL_PASSWORD")

_PYTHON = "is no environment variable: keep it in the configuration"

_LEFT = {
    "MAIL_TIMEOUT": "is no environment variable: give timeouts= in Python",
    "MAIL_SSL_CERTFILE": "a client certificate is no environment variable: give client_cert= in Python",
    "MAIL_SSL_KEYFILE": "the key of a client certificate goes with client_cert= in Python",
    "MAIL_SUPPRESS_SEND": _PYTHON,
    "MAIL_DEBUG": "there is no such switch: see portmail's log",
    "MAIL_MAX_EMAILS": "connections are kept and renewed by themselves",
    "MAIL_ASCII_ATTACHMENTS": _PYTHON,
    "MAIL_BACKEND": "a back end of Flask-Mailman is not carried over",
    "MAIL_FILE_PATH": "a back end of Flask-Mailman is not carried over",
    "MAIL_USE_LOCALTIME": "dates are in local time with their offset",
    "MAIL_DEFAULT_CHARSET": "messages are UTF-8",
    "MAIL_SEND_OPTIONS": "options of MAIL FROM are portmail's own choice",
}

_SNIPPET = """\
from portmail.integrations.flask import Mail  # in place of flask_mail

app.config["PORTMAIL_URL"] = os.environ["PORTMAIL_URL"]
mail = Mail(app)"""


def read(asked: Asked) -> Found:
    """The account of a Flask configuration.

    Raises:
        ConfigurationError: it cannot be read, or says nothing of mail.
    """
    if not asked.source:
        raise ConfigurationError(f"which configuration? Name {_WHAT}")
    said = _loaded(asked.source)
    where = f"Flask's configuration {one_line(asked.source)}"
    if not any(name.startswith("MAIL_") for name in said):
        raise NothingFound(f"{where} has no MAIL_* settings")
    # What is not there is the address of this machine, as Flask-Mail has it.
    sender = said.get("MAIL_DEFAULT_SENDER")
    return Found(
        where=where,
        host=text_of(said, "MAIL_SERVER") or "127.0.0.1",
        port=whole_number(said.get("MAIL_PORT"), name="MAIL_PORT"),
        usual_port=RELAY,
        security=security_of_flags(said, starttls="MAIL_USE_TLS", implicit="MAIL_USE_SSL"),
        username=text_of(said, "MAIL_USERNAME"),
        password=text_of(said, "MAIL_PASSWORD"),
        sender=formataddr((str(sender[0]), str(sender[1]))) if isinstance(sender, tuple | list) else sender,
        notes=tuple(left_behind(said, _LEFT | _unknown(said))),
        how_to_get_password=password_missing(said, names=("MAIL_USERNAME", "MAIL_PASSWORD")),
        settings=_SNIPPET,
    )


def _unknown(said: Mapping[str, Any]) -> dict[str, str]:
    known = {*_CARRIED, *_LEFT, "MAIL_DEFAULT_SENDER"}
    return {name: "is not carried over" for name in said if name.startswith("MAIL_") and name not in known}


def _loaded(source: str) -> Mapping[str, Any]:
    if source.endswith((".py", ".cfg")):  # Flask's own examples name them so
        return _file(source)
    module, _, name = source.partition(":")
    with foreign_code(source):
        thing: Any = importlib.import_module(module)
        for part in filter(None, name.split(".")):
            thing = getattr(thing, part)
        return _settings(thing)


def _file(path: str) -> Mapping[str, Any]:
    """As Flask's `from_pyfile` does."""
    with told_if_unreadable(path, what="Flask's configuration"):
        code = Path(path).read_bytes()
    names: dict[str, Any] = {"__file__": path, "__name__": "config"}
    with foreign_code(path):
        exec(compile(code, path, "exec"), names)  # noqa: S102  # a configuration that is a program
    return {name: value for name, value in names.items() if name.isupper()}


def _settings(thing: Any) -> Mapping[str, Any]:
    """Those of an application, of what makes one, or of a module or class that holds them."""
    if not hasattr(thing, "config") and callable(thing) and not isinstance(thing, type):
        thing = thing()
    config = getattr(thing, "config", None)
    if isinstance(config, Mapping):
        return config
    return {name: getattr(thing, name) for name in dir(thing) if name.isupper()}
