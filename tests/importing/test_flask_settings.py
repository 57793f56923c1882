"""Is a Flask configuration read as Flask-Mail and Flask-Mailman read it?"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound
from tests.importing.reading import Account, fed_back, translated, warnings

H = "mail.example.com"
CONFIG = f"""\
MAIL_SERVER = "{H}"
MAIL_PORT = 587
MAIL_USE_TLS = True
MAIL_USERNAME = "me"
MAIL_PASSWORD = "p/w"
"""
ACCOUNT = Account(f"{H}:587 starttls", ("me", "p/w"))
NUMBERS = itertools.count()

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Makes a module of a text; gives its name."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def made(text: str) -> str:
        name = f"flasks_{os.getpid()}_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield made
    for name in set(sys.modules) - before:
        if name.startswith("flasks_"):
            del sys.modules[name]


def test_a_configuration_file_is_read(module: Module) -> None:
    assert fed_back(translated("flask", f"{module(CONFIG)}.py")) == ACCOUNT


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CONFIG, ""),
        (CONFIG, ":"),
        ("class Production:\n" + "".join(f"    {line}\n" for line in CONFIG.splitlines()), ":Production"),
        (
            f"{CONFIG}config = dict(MAIL_SERVER=MAIL_SERVER)\nclass A:\n    config = globals()\napp = A()",
            ":app",
        ),
        (f"{CONFIG}class A:\n    config = globals()\ndef create_app():\n    return A()", ":create_app"),
        (f"{CONFIG}class A:\n    class B:\n        config = globals()", ":A.B"),
    ],
)
def test_an_application_or_what_it_is_made_of_is_read(module: Module, text: str, name: str) -> None:
    assert fed_back(translated("flask", module(text) + name)) == ACCOUNT


def test_a_real_application_is_read(module: Module) -> None:
    pytest.importorskip("flask")
    text = f"from flask import Flask\napp = Flask(__name__)\n{CONFIG}app.config.from_object(__name__)"
    assert fed_back(translated("flask", f"{module(text)}:app")) == ACCOUNT


@pytest.mark.parametrize(
    ("text", "routes", "warned"),
    [
        ("MAIL_USE_SSL = True", f"{H}:465 implicit-tls", 0),
        ("MAIL_USE_TLS = True", f"{H}:587 starttls", 0),
        ("MAIL_PORT = 2525", f"{H}:2525 starttls", 1),
        ("", f"{H}:587 starttls, {H}:465 implicit-tls", 1),
    ],
)
def test_flags_mean_what_they_mean_to_flask_mail(module: Module, text: str, routes: str, warned: int) -> None:
    login = f"MAIL_SERVER = '{H}'\nMAIL_USERNAME = 'me'\nMAIL_PASSWORD = 'pw'\n"
    translation = translated("flask", f"{module(login + text)}.py")
    assert fed_back(translation).routes == routes
    assert len(warnings(translation)) == warned


def test_the_default_server_is_this_machine(module: Module) -> None:
    assert (
        fed_back(translated("flask", f"{module('MAIL_DEBUG = False')}.py")).routes
        == "127.0.0.1:25 opportunistic"
    )


@pytest.mark.parametrize(
    ("sender", "ours"),
    [
        ("'us@x.org'", "us@x.org"),
        ("('Us', 'us@x.org')", "Us <us@x.org>"),
        ("['A, B', 'us@x.org']", '"A, B" <us@x.org>'),
    ],
)
def test_the_sender_may_be_a_pair(module: Module, sender: str, ours: str) -> None:
    assert fed_back(translated("flask", f"{module(f'MAIL_DEFAULT_SENDER = {sender}')}.py")).sender == ours


def test_everything_else_is_told(module: Module) -> None:
    more = "MAIL_MAX_EMAILS = 3\nMAIL_TIMEOUT = 5\nMAIL_BACKEND = 'smtp'\nMAIL_NEW = 1\nMAIL_DEBUG = False\n"
    names = [note.partition(":")[0] for note in translated("flask", f"{module(CONFIG + more)}.py").notes]
    assert names == ["MAIL_TIMEOUT", "MAIL_MAX_EMAILS", "MAIL_BACKEND", "MAIL_NEW"]


def test_what_to_change_is_told(module: Module) -> None:
    lines = list(translated("flask", f"{module(CONFIG)}.py").lines)
    assert "#   from portmail.integrations.flask import Mail  # in place of flask_mail" in lines
    assert '#   app.config["PORTMAIL_URL"] = os.environ["PORTMAIL_URL"]' in lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DEBUG = True", "has no MAIL_. settings"),
        ("MAIL_PORT = 's3cret'", "MAIL_PORT is no number"),
        (
            "MAIL_USE_TLS = MAIL_USE_SSL = 1",
            "MAIL_USE_TLS .STARTTLS. and MAIL_USE_SSL .implicit TLS. are both set",
        ),
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_used_is_told(module: Module, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as told:
        translated("flask", f"{module(text)}.py")
    assert "s3cret" not in str(told.value)


def test_what_is_not_there_is_told(module: Module) -> None:
    for source, words in (
        (None, "which configuration"),
        ("missing.py", "cannot be read: No such file"),
        ("missing:app", "there is no module missing"),
        (f"{module(CONFIG)}:app", "cannot be loaded: AttributeError"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            translated("flask", source)
    assert issubclass(NothingFound, ConfigurationError)
