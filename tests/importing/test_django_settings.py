"""Are Django's settings read as Django reads them: MAILERS, and EMAIL_HOST before?"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portmail.errors import ConfigurationError
from portmail.importing import django
from portmail.importing.found import NothingFound
from tests.importing.reading import Account, fed_back, translated, warnings

H = "mail.example.com"
LOGIN = "EMAIL_HOST_USER = 'me@x'\nEMAIL_HOST_PASSWORD = 'p w'\n"
NUMBERS = itertools.count()

Settings = Callable[[str], str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Makes a settings module of a text; gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    before = set(sys.modules)

    def made(text: str) -> str:
        name = f"settings_{os.getpid()}_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield made
    for name in set(sys.modules) - before:
        if name.startswith("settings_"):
            del sys.modules[name]
    assert list(tmp_path.glob("__pycache__")) == []


@pytest.mark.parametrize(
    ("text", "routes", "warned"),
    [
        ("EMAIL_USE_TLS = True\nEMAIL_PORT = 587", f"{H}:587 starttls", 0),
        ("EMAIL_USE_TLS = True", f"{H}:587 starttls", 0),
        ("EMAIL_USE_SSL = True\nEMAIL_PORT = '465'", f"{H}:465 implicit-tls", 0),
        ("EMAIL_PORT = 587", f"{H}:587 starttls", 1),
        ("EMAIL_PORT = 465", f"{H}:465 implicit-tls", 1),
        ("EMAIL_PORT = 25", f"{H}:25 starttls", 1),
        ("", f"{H}:587 starttls, {H}:465 implicit-tls", 1),
    ],
)
def test_flags_mean_what_they_mean_to_django(settings: Settings, text: str, routes: str, warned: int) -> None:
    translation = translated("django", settings(f"EMAIL_HOST = '{H}'\n{LOGIN}{text}"))
    assert fed_back(translation) == Account(routes, ("me@x", "p w"))
    assert len(warnings(translation)) == warned
    without = translated("django", settings(f"EMAIL_HOST = '{H}'\n{text}"))
    assert fed_back(without).login is None
    assert warnings(without) == []


def test_settings_made_of_the_environment_have_their_values(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = settings(
        "import os\nfrom pathlib import Path\nEMAIL_HOST = os.environ['OUR_HOST']\nEMAIL_USE_TLS = 1\n"
        "EMAIL_PORT = int(os.environ.get('P', 587))\nDEFAULT_FROM_EMAIL = 'Us <us@example.com>'\n"
        "assert os.environ['DJANGO_SETTINGS_MODULE'] == __name__\n"
    )
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", name)
    with pytest.raises(ConfigurationError, match="KeyError: 'OUR_HOST': run it where its variables are set"):
        translated("django")
    monkeypatch.setenv("OUR_HOST", H)
    assert fed_back(translated("django")) == Account(f"{H}:587 starttls", None, "Us <us@example.com>")
    assert os.environ["DJANGO_SETTINGS_MODULE"] == name


def test_a_port_that_is_not_said_is_25_before_mailers_and_the_usual_one_since(settings: Settings) -> None:
    before = settings(f"EMAIL_HOST = '{H}'\nEMAIL_USE_TLS = True\n{LOGIN}")
    assert translated("django", before).notes == (
        "no port is said: there that means 25, here 587 (verified STARTTLS on 587)",
    )
    login = "'username': 'me', 'password': 'pw'"
    for flag in ("use_tls", "use_ssl"):
        options = f"{{'host': '{H}', '{flag}': True, {login}}}"
        since = settings(f"MAILERS = {{'default': {{'OPTIONS': {options}}}}}")
        assert translated("django", since).notes == ()


def test_settings_that_say_nothing_mean_djangos_defaults(settings: Settings) -> None:
    assert fed_back(translated("django", settings("DEBUG = True"))).routes == "localhost:25 opportunistic"


MAILERS = f"""
HOUSE = {{"host": "{H}", "use_tls": True, "username": "me", "password": "pw", "timeout": 9}}
MANY = {{"host": "b.example.com", "use_ssl": True, "ssl_certfile": "/c.pem", "local_hostname": "x"}}
OURS = {{"host": "p.example.com", "port": 2525}}
MAILERS = {{
    "default": {{"OPTIONS": HOUSE}},
    "bulk": {{"OPTIONS": MANY}},
    "plain": {{"BACKEND": "portmail.django.EmailBackend", "OPTIONS": OURS}},
    "test": {{"BACKEND": "django.core.mail.backends.console.EmailBackend"}},
    "none": {{}},
}}
DEFAULT_FROM_EMAIL = "us@example.com"
"""


@pytest.mark.parametrize(
    ("alias", "routes"),
    [
        (None, f"{H}:587 starttls"),
        ("default", f"{H}:587 starttls"),
        ("bulk", "b.example.com:465 implicit-tls"),
        ("plain", "p.example.com:2525 opportunistic"),
    ],
)
def test_each_mailer_can_be_read(settings: Settings, alias: str | None, routes: str) -> None:
    translation = translated("django", settings(MAILERS), account=alias)
    assert fed_back(translation).routes == routes
    assert fed_back(translation).sender == "us@example.com"
    others = ", ".join(sorted({"default", "bulk", "plain", "test", "none"} - {alias or "default"}))
    assert f"this is one mailer; the others: --account with {others}" in translation.notes


def test_what_to_write_in_the_settings_keeps_what_is_no_variable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    translation = translated("django", settings(MAILERS), account="bulk")
    written: dict[str, object] = {"os": os}
    monkeypatch.setenv("PORTMAIL_URL", "the URL")
    exec(translation.found.settings or "", written)  # noqa: S102
    assert written["MAILERS"] == {
        "bulk": {
            "BACKEND": "portmail.django.EmailBackend",
            "OPTIONS": {"url": "the URL", "ssl_certfile": "/c.pem"},
        }
    }
    assert "not carried over, since Django's SMTP has no such options: local_hostname" in translation.notes
    assert '#           "BACKEND": "portmail.django.EmailBackend",' in list(translation.lines)


@pytest.mark.parametrize(
    ("version", "name"),
    [("6.1.3", "MAILERS"), ("7.0", "MAILERS"), ("5.2.19", "PORTMAIL"), ("6.0rc1", "PORTMAIL")],
)
def test_what_to_write_fits_the_django_that_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, version: str, name: str
) -> None:
    monkeypatch.setattr(django, "version", lambda _: version)
    monkeypatch.setenv("PORTMAIL_URL", "the URL")
    found = translated("django", settings(f"EMAIL_HOST = '{H}'\nEMAIL_TIMEOUT = 7")).found
    written: dict[str, object] = {"os": os}
    exec(found.settings or "", written)  # noqa: S102
    options = {"url": "the URL", "timeout": 7}
    value = (
        {"default": {"BACKEND": "portmail.django.EmailBackend", "OPTIONS": options}}
        if name == "MAILERS"
        else options
    )
    assert written[name] == value
    assert ("EMAIL_BACKEND" in written) == (name == "PORTMAIL")


@pytest.mark.parametrize(
    ("text", "account", "words"),
    [
        (MAILERS, "test", "is django.core.mail.backends.console.EmailBackend, which is not Django's SMTP"),
        (MAILERS, "none", "names no host"),
        (MAILERS, "nope", "no 'nope': use --account with one of bulk, default, none, plain, test"),
        ("EMAIL_HOST = 'h'", "x", "has no MAILERS: leave --account out"),
        (
            "EMAIL_BACKEND = 'django.core.mail.backends.dummy.EmailBackend'",
            None,
            "and there is no EMAIL_HOST",
        ),
        (
            "EMAIL_USE_TLS = EMAIL_USE_SSL = True",
            None,
            "use_tls .STARTTLS. and use_ssl .implicit TLS. are both set",
        ),
        ("EMAIL_HOST = ''", None, "names no host"),
        ("EMAIL_PORT = 's3cret'", None, "the port is no number"),
        ("import s3lfmade", None, "cannot be loaded: there is no module s3lfmade"),
        ("raise RuntimeError('s3cret')", None, "cannot be loaded: RuntimeError$"),
        ("import sys\nsys.exit('s3cret')", None, "cannot be loaded: SystemExit$"),
        ("EMAIL_HOST_PASSWORD = 's3cret' 's\n", None, "cannot be loaded: SyntaxError, line 1"),
    ],
)
def test_what_cannot_be_used_is_told(settings: Settings, text: str, account: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as told:
        translated("django", settings(text), account=account)
    assert "s3cret" not in str(told.value)


def test_no_module_is_told(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="which settings"):
        translated("django")
    with pytest.raises(ConfigurationError, match="there is no module not_there"):
        translated("django", "not_there")


def test_another_backend_is_told(settings: Settings) -> None:
    name = settings("EMAIL_BACKEND = 'anymail.backends.x.EmailBackend'\nEMAIL_HOST = 'h'")
    assert "so EMAIL_HOST is not in use with these settings" in warnings(translated("django", name))[0]


def test_a_password_that_is_set_elsewhere_is_told(settings: Settings) -> None:
    name = settings(
        "EMAIL_HOST = 'h'\nEMAIL_USE_TLS = True\nEMAIL_HOST_USER = 'me'\nEMAIL_HOST_PASSWORD = None"
    )
    assert (
        "password is empty here: if it is set where the program runs" in translated("django", name).notes[-1]
    )


def test_what_settings_print_is_not_mixed_up_with_the_result(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    translated("django", settings("print('hello')"))
    assert capsys.readouterr() == ("", "hello\n")
    assert NothingFound.__mro__[1] is ConfigurationError
