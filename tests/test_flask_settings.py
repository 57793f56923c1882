"""Settings of a Flask application: what they come to, what is wrong with them, and whose account it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import portmail
from portmail import Security
from portmail.integrations.flask import (
    Connection,
    Mail,
    Message,
)
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.timeouts import Timeouts
from tests.flask_application import SENDER, account, application, forget_accounts, message
from tests.leaks import PASSWORD, USER


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account but the test's own."""
    forget_accounts(monkeypatch)


def routes(**config: Any) -> tuple[Route, ...]:
    app, _ = application(**config)
    routes: tuple[Route, ...] = app.extensions["portmail"].settings().routes
    return routes


LOGIN = {"MAIL_USERNAME": "me", "MAIL_PASSWORD": "secret"}
ROUTES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, ["127.0.0.1:25 opportunistic"]),
    "a server": ({"MAIL_SERVER": "mx.example.com"}, ["mx.example.com:25 opportunistic"]),
    "a port": ({"MAIL_PORT": 2525}, ["127.0.0.1:2525 opportunistic"]),
    "a login": ({"MAIL_SERVER": "mx.example.com", **LOGIN}, ["mx.example.com:25 starttls"]),
    "a login on 587": (
        {"MAIL_SERVER": "mx.example.com", "MAIL_PORT": "587", **LOGIN},
        ["mx.example.com:587 starttls", "mx.example.com:465 implicit-tls"],
    ),
    "TLS": (
        {"MAIL_SERVER": "mx.example.com", "MAIL_PORT": 587, "MAIL_USE_TLS": "True"},
        ["mx.example.com:587 starttls", "mx.example.com:465 implicit-tls"],
    ),
    "SSL": (
        {"MAIL_SERVER": "mx.example.com", "MAIL_USE_SSL": 1, "MAIL_USE_TLS": "false"},
        ["mx.example.com:465 implicit-tls", "mx.example.com:587 starttls"],
    ),
    "SSL elsewhere": (
        {"MAIL_SERVER": "mx.example.com", "MAIL_USE_SSL": True, "MAIL_PORT": 8465, **LOGIN},
        ["mx.example.com:8465 implicit-tls"],
    ),
    "a URL": ({"PORTMAIL_URL": "submissions://me:pw@mx.example.com"}, ["mx.example.com:465 implicit-tls"]),
    "a URL and a server": (
        {"PORTMAIL_URL": "submissions://me:pw@mx.example.com", "MAIL_SERVER": "old.example.com", **LOGIN},
        ["mx.example.com:465 implicit-tls"],
    ),
    "a URL and a flag": (
        {"PORTMAIL_URL": "relay://mx.example.com?tls=require", "MAIL_USE_TLS": True},
        ["mx.example.com:25 starttls"],
    ),
    "TLS of another kind": (
        {"PORTMAIL_URL": "submission://me:pw@mx.example.com", "MAIL_USE_SSL": True},
        ["mx.example.com:587 starttls"],
    ),
    "more options and a flag": (
        {"PORTMAIL_OPTIONS": {"routes": [Route("mx.example.com", 465, Security.IMPLICIT_TLS)]}}
        | {"MAIL_USE_TLS": True},
        ["mx.example.com:465 implicit-tls"],
    ),
}


@pytest.mark.parametrize("case", ROUTES)
def test_the_settings_say_where(case: str) -> None:
    config, expected = ROUTES[case]
    assert [str(route) for route in routes(**config)] == expected


def test_credentials_are_for_an_encrypted_connection_whatever_the_flags_say(sandbox: Sandbox) -> None:
    account = {"MAIL_USERNAME": USER, "MAIL_PASSWORD": PASSWORD, "MAIL_CA": str(sandbox.ca)}
    app, mail = application(
        MAIL_SERVER=sandbox.host,
        MAIL_PORT=sandbox.port(587),
        MAIL_USE_TLS=False,
        MAIL_USE_SSL=False,
        **account,
    )
    with app.app_context():
        mail.send(message())
    [session] = sandbox.sessions
    assert b"AUTH" not in session.plaintext
    assert sandbox.messages[0].username == USER
    assert sandbox.messages[0].tls is not None


@pytest.mark.parametrize(
    "config",
    [
        {"MAIL_USERNAME": USER, "MAIL_PASSWORD": lambda: PASSWORD},
        {"MAIL_USERNAME": USER, "PORTMAIL_OPTIONS": {"password": PASSWORD}},
        {"MAIL_USERNAME": USER, "MAIL_PASSWORD": "old", "PORTMAIL_OPTIONS": {"password": lambda: PASSWORD}},
        {"MAIL_USERNAME": "old", "PORTMAIL_OPTIONS": {"username": USER, "password": PASSWORD}},
        {"PORTMAIL_OPTIONS": {"username": USER, "password": PASSWORD}},
        {"MAIL_USERNAME": USER, "PORTMAIL_OPTIONS": {"token": lambda: "a token"}},
        {"MAIL_USERNAME": USER, "MAIL_PASSWORD": "old", "PORTMAIL_OPTIONS": {"token": "a token"}},
    ],
)
def test_credentials_may_be_callables_and_among_the_options(config: dict[str, Any]) -> None:
    with Sandbox(users={USER: PASSWORD}, tokens={USER: "a token"}) as sandbox:
        server = {"MAIL_SERVER": sandbox.host, "MAIL_PORT": sandbox.port(587), "MAIL_CA": str(sandbox.ca)}
        _, mail = application(**server, **config)
        mail.send(message(sender=SENDER))
    [session] = sandbox.sessions
    assert (session.authentications, sandbox.messages[0].username) == (1, USER)
    assert b"AUTH" not in session.plaintext


def test_a_password_file_that_was_written_again_is_read_again(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    url = f"smtp://{sandbox.host}:{sandbox.port(587)}"
    _, mail = application(
        PORTMAIL_URL=url, PORTMAIL_CA=sandbox.ca, PORTMAIL_USERNAME=USER, PORTMAIL_PASSWORD_FILE=file
    )
    with pytest.raises(portmail.AuthenticationFailed):
        mail.send(message(sender=SENDER))
    old = mail.submitter()
    assert mail.submitter() is old
    file.write_text(f"{PASSWORD}\n")
    for _ in range(2):
        mail.send(message(sender=SENDER))
    assert mail.submitter() is not old
    assert [session.authentications for session in sandbox.sessions] == [1, 1]
    assert [received.username for received in sandbox.messages] == [USER, USER]


def test_a_flag_that_is_set_later_counts_too(sandbox: Sandbox) -> None:
    _, mail = application(PORTMAIL_URL=f"relay://{sandbox.host}:{sandbox.port(25)}")
    mail.send(message(sender=SENDER))
    assert mail.state is not None
    mail.state.use_ssl = True
    with pytest.raises(portmail.ConfigurationError, match="which MAIL_USE_SSL asks for"):
        mail.send(message(sender=SENDER))
    assert len(sandbox.messages) == 1


def test_every_setting_is_read() -> None:
    app, mail = application(
        MAIL_SERVER="mx.example.com",
        MAIL_PORT=587,
        MAIL_DEFAULT_SENDER=("Doe, Jane", "jane@example.com"),
        MAIL_TIMEOUT="7.5",
        MAIL_MAX_EMAILS="10",
        MAIL_ASCII_ATTACHMENTS=True,
        PORTMAIL_OPTIONS={"pool_size": 3, "local_hostname": "web1.example.com", "token": lambda: "t"},
        MAIL_USERNAME="me",
    )
    settings = mail.settings()
    assert settings.timeouts == Timeouts(connect=7.5, greeting=7.5, command=7.5, block=7.5, final=7.5)
    assert (settings.pool_size, settings.local_hostname) == (3, "web1.example.com")
    assert settings.credentials.username == "me"
    assert settings.routes[0].security is Security.STARTTLS
    assert (mail.max_emails, mail.ascii_attachments, mail.port) == (10, True, 587)
    with app.app_context():
        assert Message().sender == '"Doe, Jane" <jane@example.com>'


def test_the_state_has_flask_mails_attributes() -> None:
    app, mail = application(MAIL_SERVER="mx.example.com", MAIL_USE_TLS=True, TESTING=True, **LOGIN)
    names = (
        "server",
        "username",
        "password",
        "port",
        "use_tls",
        "use_ssl",
        "default_sender",
        "debug",
        "suppress",
    )
    assert [getattr(mail.state, name) for name in names] == [
        "mx.example.com", "me", "secret", 25, True, False, SENDER, 0, True,
    ]  # fmt: skip
    assert [getattr(mail, name) for name in names] == [getattr(mail.state, name) for name in names]
    assert vars(mail.init_mail(app.config, app.debug, app.testing)) == vars(mail.state)
    assert isinstance(mail.connect(), Connection)
    with pytest.raises(AttributeError, match="'Mail' object has no attribute 'servr'"):
        _ = mail.servr


def test_a_changed_state_counts_from_then_on(sandbox: Sandbox) -> None:
    app, mail = application(MAIL_SERVER="nowhere.invalid")
    app.extensions["mail"].server = sandbox.host
    app.extensions["mail"].port = sandbox.port(25)
    with app.app_context():
        mail.send(message())
    assert sandbox.messages[0].service == 25


def test_flask_mails_place_is_left_to_whoever_has_it(sandbox: Sandbox) -> None:
    app = Flask("shop")
    app.config.update(account(sandbox))
    app.extensions["mail"] = theirs = object()
    mail = Mail(app)
    assert app.extensions["mail"] is theirs
    assert app.extensions["portmail"] is mail.state
    assert mail.send(message(sender=SENDER))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both flags": ({"MAIL_USE_TLS": True, "MAIL_USE_SSL": True}, "MAIL_USE_TLS .* and MAIL_USE_SSL"),
    "no flag": ({"MAIL_USE_TLS": "maybe"}, "MAIL_USE_TLS='maybe' must be True or False"),
    "no flag at all": ({"MAIL_SUPPRESS_SEND": []}, r"MAIL_SUPPRESS_SEND=\[\] must be True or False"),
    "no port": ({"MAIL_PORT": "smtp"}, "MAIL_PORT='smtp' must be a number"),
    "a port that is true": ({"MAIL_PORT": True}, "MAIL_PORT=True must be a number"),
    "no such port": ({"MAIL_PORT": 70000}, "MAIL_SERVER and MAIL_PORT: 70000 is no port"),
    "no host": ({"MAIL_SERVER": "mail example"}, "MAIL_SERVER and MAIL_PORT: .* no host name"),
    "a host that is none": ({"MAIL_SERVER": 5}, "MAIL_SERVER must be a str, not int"),
    "no seconds": ({"MAIL_TIMEOUT": -1}, "MAIL_TIMEOUT: .* above 0"),
    "no sender": ({"MAIL_DEFAULT_SENDER": "noreply"}, "MAIL_DEFAULT_SENDER: .*'noreply'"),
    "three of a sender": ({"MAIL_DEFAULT_SENDER": ("a", "b", "c")}, "MAIL_DEFAULT_SENDER: .*name, address"),
    "no URL": ({"PORTMAIL_URL": "ftp://mx.example.com"}, "PORTMAIL_URL: "),
    "no file": (
        {"PORTMAIL_URL": "submission://me@mx.example.com", "PORTMAIL_PASSWORD_FILE": "/nowhere"},
        "PORTMAIL_PASSWORD_FILE: '/nowhere' cannot be read",
    ),
    "no CA": ({"MAIL_CA": "/nowhere.pem"}, "/nowhere.pem"),
    "no options": ({"PORTMAIL_OPTIONS": ["pool_size"]}, "PORTMAIL_OPTIONS must be a dict"),
    "no option": ({"PORTMAIL_OPTIONS": {"poolsize": 1}}, "PORTMAIL_OPTIONS: .*'poolsize'.* pool_size"),
    "a wrong option": ({"PORTMAIL_OPTIONS": {"pool_size": 0}}, "pool_size=0"),
    "a callable": (
        {"PORTMAIL_URL": "submission://me@mx.example.com", "PORTMAIL_PASSWORD": lambda: "secret"},
        "PORTMAIL_PASSWORD must be a str, not function.* callable .* PORTMAIL_OPTIONS",
    ),
    "octets": ({"PORTMAIL_URL": b"relay://mx.example.com"}, "PORTMAIL_URL must be a str, not bytes$"),
    "a password that is none": (
        {"MAIL_USERNAME": "me", "MAIL_PASSWORD": 12345},
        "MAIL_SERVER and the MAIL_ settings .*: a password or token must be a str, or a callable",
    ),
    "a relay that may go without TLS": (
        {"PORTMAIL_URL": "relay://mx.example.com", "MAIL_USE_TLS": True},
        "PORTMAIL_URL: mx.example.com:25 opportunistic .* which MAIL_USE_TLS asks for.*tls=require",
    ),
    "a relay without TLS": (
        {"PORTMAIL_URL": "relay://mx.example.com?tls=none", "MAIL_USE_SSL": "1"},
        "PORTMAIL_URL: mx.example.com:25 plaintext .* which MAIL_USE_SSL asks for",
    ),
    "a server that may be a relay": (
        {"PORTMAIL_URL": "smtp://mx.example.com", "MAIL_USE_TLS": True},
        "PORTMAIL_URL: mx.example.com:25 opportunistic .* which MAIL_USE_TLS",
    ),
    "security that is none": (
        {"PORTMAIL_URL": "submission://mx.example.com", "MAIL_USE_TLS": True}
        | {"PORTMAIL_OPTIONS": {"security": "plaintext"}},
        "PORTMAIL_URL, with PORTMAIL_OPTIONS: mx.example.com:587 plaintext .* which MAIL_USE_TLS",
    ),
    "a route without TLS": (
        {"PORTMAIL_OPTIONS": {"routes": [Route("mx.example.com", 25, Security.OPPORTUNISTIC)]}}
        | {"MAIL_USE_TLS": True},
        "with PORTMAIL_OPTIONS: mx.example.com:25 opportunistic .* which MAIL_USE_TLS",
    ),
    "security that contradicts a flag": (
        {
            "MAIL_SERVER": "mx.example.com",
            "MAIL_USE_TLS": True,
            "PORTMAIL_OPTIONS": {"security": "plaintext"},
        },
        "MAIL_SERVER and the MAIL_ settings beside it, with PORTMAIL_OPTIONS: ",
    ),
}


@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_setting_is_told_when_the_application_is_made(wrong: str, testing: bool) -> None:
    config, told = WRONG[wrong]
    with pytest.raises(portmail.ConfigurationError, match=told):
        application(**{"TESTING": testing} | config)


THEIRS = {
    "PORTMAIL_URL": "submission://env@env.example.com",
    "PORTMAIL_PASSWORD": "of-env",
    "PORTMAIL_FROM": "env@example.com",
}


def who(config: dict[str, Any]) -> tuple[str, Any, Any]:
    """The host, the user, and the default sender."""
    app = Flask("shop")
    app.config.update(config)
    state = Mail().init_app(app)
    settings = state.settings()
    return (
        settings.routes[0].host,
        settings.credentials and settings.credentials.username,
        state.default_sender,
    )


OURS = {"PORTMAIL_URL": "submission://me@mx.example.com"}


@pytest.mark.parametrize(
    ("config", "environ", "expected"),
    [
        ({}, THEIRS, ("env.example.com", "env", "env@example.com")),
        ({"PORTMAIL_FROM": "app@example.com"}, THEIRS, ("env.example.com", "env", "app@example.com")),
        ({"MAIL_DEFAULT_SENDER": SENDER, "MAIL_PORT": 25}, THEIRS, ("env.example.com", "env", SENDER)),
        ({"MAIL_SERVER": "mx.example.com"}, THEIRS, ("mx.example.com", None, None)),
        ({**OURS, "PORTMAIL_PASSWORD": "x"}, THEIRS, ("mx.example.com", "me", None)),
        (OURS, {"PORTMAIL_PASSWORD": "x", "PORTMAIL_FROM": SENDER}, ("mx.example.com", "me", SENDER)),
        ({}, {"PORTMAIL_PASSWORD": "x"}, ("127.0.0.1", None, None)),
        ({"PORTMAIL_URL": THEIRS["PORTMAIL_URL"]}, THEIRS, ("env.example.com", "env", "env@example.com")),
        ({"PORTMAIL_URL": THEIRS["PORTMAIL_URL"], "MAIL_SERVER": "mx.example.com"}, THEIRS,
         ("env.example.com", "env", "env@example.com")),
    ],
)  # fmt: skip
def test_the_config_comes_first_and_an_account_is_never_mixed_with_another(
    config: dict[str, Any], environ: dict[str, str], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert who(config) == expected


def test_the_environments_password_is_not_for_the_configs_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(portmail.CredentialsUnusable, match="PORTMAIL_URL: "):
        who(OURS)


def test_whom_the_environment_trusts_is_trusted_whatever_the_account(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    _, mail = application(MAIL_SERVER=sandbox.host, MAIL_PORT=sandbox.port(25), MAIL_USE_TLS=True)
    mail.send(message(sender=SENDER))
    assert sandbox.messages[0].tls is not None


def test_the_dialogue_is_shown_once_if_it_is_wanted(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("portmail.dialogue")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logger, "handlers", [])
    try:
        application(MAIL_DEBUG=True)
        _, mail = application(**account(sandbox), MAIL_DEBUG=True)
        mail.send(message(sender=SENDER))
    finally:
        logger.setLevel(logging.NOTSET)
    told = capfd.readouterr().err
    assert told.count("MAIL FROM") == 1
    assert PASSWORD not in told
