"""What does the user wish? Arguments win over the URL, the URL over the other variables."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

from portmail.errors import (
    AddressError,
    CertificateFileError,
    ConfigurationError,
    CredentialsOnRelay,
    CredentialsUnusable,
    DiscoveryError,
    InvalidRoute,
)
from portmail.retry import Retry
from portmail.route import Route
from portmail.security import SecretKind, Security
from portmail.settings import Settings, from_arguments, from_environment, from_url
from portmail.timeouts import Timeouts

HOST = "mail.example.com"
URL = f"submission://me:s3cr3t@{HOST}?from=url@example.com&ca=url.pem"
VARIABLES = {
    "PORTMAIL_USERNAME": "env",
    "PORTMAIL_PASSWORD": "s3cr3t-env",
    "PORTMAIL_FROM": "env@example.com",
    "PORTMAIL_CA": "env.pem",
}


def hosts(settings: Settings) -> set[str]:
    return {route.host for route in settings.routes}


def username(settings: Settings) -> str | None:
    return settings.credentials.username if settings.credentials else None


def password(settings: Settings) -> str | None:
    return asyncio.run(settings.credentials.secret.resolve()) if settings.credentials else None


def said(settings: Settings) -> tuple[object, ...]:
    """What the three sources compete for."""
    return username(settings), settings.sender, str(settings.tls_ca)


@pytest.mark.parametrize(
    ("environ", "arguments", "wins"),
    [
        pytest.param(
            {"PORTMAIL_URL": f"submission://{HOST}", **VARIABLES},
            {},
            ("env", "env@example.com", "env.pem"),
            id="the variables where the URL says nothing",
        ),
        pytest.param(
            {"PORTMAIL_URL": URL, **VARIABLES},
            {},
            ("me", "url@example.com", "url.pem"),
            id="the URL over the variables",
        ),
        pytest.param(
            {"PORTMAIL_URL": URL, **VARIABLES},
            {"username": "you", "password": "x", "sender": "arg@example.com", "tls_ca": "arg.pem"},
            ("you", "arg@example.com", "arg.pem"),
            id="the arguments over both",
        ),
        pytest.param(
            {"PORTMAIL_URL": URL, **VARIABLES},
            {"username": None, "sender": None, "tls_ca": None},
            ("me", "url@example.com", "url.pem"),
            id="None is no argument",
        ),
        pytest.param(
            {"PORTMAIL_URL": URL, "PORTMAIL_USERNAME": "", "PORTMAIL_FROM": ""},
            {},
            ("me", "url@example.com", "url.pem"),
            id="an empty variable says nothing",
        ),
    ],
)
def test_arguments_win_over_the_url_and_the_url_over_the_variables(
    environ: dict[str, str], arguments: dict[str, Any], wins: tuple[object, ...]
) -> None:
    assert said(from_environment(environ, **arguments)) == wins
    assert hosts(from_environment(environ, **arguments)) == {HOST}


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        pytest.param({"PORTMAIL_URL": URL, "PORTMAIL_PASSWORD": "x"}, {}, "s3cr3t", id="the URL's"),
        pytest.param(
            {"PORTMAIL_URL": f"submission://me@{HOST}", "PORTMAIL_PASSWORD": "x"},
            {},
            "x",
            id="the variable's",
        ),
        pytest.param({"PORTMAIL_URL": URL}, {"password": "y"}, "y", id="the argument's"),
        pytest.param({"PORTMAIL_URL": URL}, {"password": lambda: "z"}, "z", id="what a callable returns"),
        pytest.param({"PORTMAIL_URL": URL}, {"token": "t"}, "t", id="a token in place of the URL's password"),
    ],
)
def test_the_password_is_the_one_that_wins(
    environ: dict[str, str], arguments: dict[str, Any], expected: str
) -> None:
    settings = from_environment(environ, **arguments)
    assert (username(settings), password(settings)) == ("me", expected)


def test_a_token_takes_the_place_of_the_urls_password() -> None:
    settings = from_url(URL, token="t")
    assert settings.credentials
    assert (settings.credentials.kind, password(settings)) == (SecretKind.TOKEN, "t")


def test_arguments_win_over_the_url() -> None:
    settings = from_url(URL, port=5870, sender="arg@example.com", retry=None, timeouts=5)
    assert settings.routes == (Route(HOST, 5870, Security.STARTTLS),)
    assert (settings.sender, settings.retry, settings.timeouts) == (
        "arg@example.com",
        None,
        Timeouts(total=5),
    )


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"pw", "pw", id="as it is"),
        pytest.param(b"pw\n", "pw", id="without its line end"),
        pytest.param(b"pw\r\n", "pw", id="without its CRLF"),
        pytest.param(b" pw \n\n", " pw \n", id="spaces and a second line end belong to it"),
        pytest.param(b"\xff\xfe\n", "\udcff\udcfe", id="octets that are no UTF-8"),
    ],
)
def test_a_password_file_holds_the_password(tmp_path: Path, octets: bytes, expected: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(octets)
    environ = {"PORTMAIL_URL": f"submission://me@{HOST}", "PORTMAIL_PASSWORD_FILE": str(file)}
    assert password(from_environment(environ)) == expected
    assert password(from_environment(environ | {"PORTMAIL_PASSWORD": "x"})) == "x"


@pytest.mark.parametrize("name", ["missing", "."], ids=["missing", "a directory"])
def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    environ = {"PORTMAIL_URL": f"submission://me@{HOST}", "PORTMAIL_PASSWORD_FILE": path}
    with pytest.raises(CredentialsUnusable, match="PORTMAIL_PASSWORD_FILE") as caught:
        from_environment(environ)
    assert path in str(caught.value)


def test_an_empty_password_file_is_half_of_the_credentials(tmp_path: Path) -> None:
    (tmp_path / "password").touch()
    environ = {
        "PORTMAIL_URL": f"submission://me@{HOST}",
        "PORTMAIL_PASSWORD_FILE": str(tmp_path / "password"),
    }
    with pytest.raises(CredentialsUnusable):
        from_environment(environ)


def test_a_password_file_that_is_not_needed_is_not_read() -> None:
    environ = {"PORTMAIL_URL": URL, "PORTMAIL_PASSWORD_FILE": "missing"}
    assert password(from_environment(environ)) == "s3cr3t"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"username": "me"}, "without password or token", id="a user name alone"),
        pytest.param({"password": "s3cr3t"}, "without a user name", id="a password alone"),
        pytest.param({"token": "s3cr3t"}, "without a user name", id="a token alone"),
        pytest.param(
            {"username": "me", "password": "s3cr3t", "token": "s3cr3t"}, "not both", id="password and token"
        ),
        pytest.param({"username": "", "password": "s3cr3t"}, "must not be empty", id="an empty user name"),
        pytest.param({"username": "me", "password": ""}, "must not be empty", id="an empty password"),
        pytest.param({"username": "me\0", "password": "s3cr3t"}, "control characters", id="NUL in the name"),
        pytest.param({"username": "me", "password": "s3cr3t\0"}, "NUL", id="NUL in the password"),
        pytest.param({"username": "me", "password": b"s3cr3t"}, "must be a str", id="octets as password"),
        pytest.param({"username": "me", "password": "s3cr3t\ud800"}, "octets", id="a password of no octets"),
        pytest.param({"username": "me\ud800", "password": "s3cr3t"}, "user name", id="a name of no octets"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_without_showing_them(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(CredentialsUnusable, match=words) as caught:
        from_arguments(host=HOST, **arguments)
    assert "s3cr3t" not in repr(caught.value)


def test_the_address_is_the_user_name_where_there_is_a_secret() -> None:
    assert username(from_arguments("me@example.com", host=HOST, password="x")) == "me@example.com"
    assert username(from_arguments("me@example.com", host=HOST, password="x", username="u")) == "u"
    assert username(from_arguments("me@example.com", host=HOST)) is None
    assert from_arguments("me@example.com", host=HOST).sender == "me@example.com"


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"host": "evil.example"}, id="host"),
        pytest.param({"routes": [Route("evil.example", 587, Security.STARTTLS)]}, id="routes"),
    ],
)
def test_the_urls_account_never_goes_to_another_host_given_as_argument(elsewhere: dict[str, Any]) -> None:
    settings = from_environment({"PORTMAIL_URL": URL, **VARIABLES}, **elsewhere)
    assert (hosts(settings), settings.credentials) == ({"evil.example"}, None)


def test_a_urls_account_never_goes_to_another_host_given_beside_it() -> None:
    try:
        settings = from_url(URL, host="evil.example")
    except ConfigurationError:
        return
    assert settings.credentials is None


def test_credentials_given_with_the_host_go_to_that_host() -> None:
    settings = from_environment({"PORTMAIL_URL": URL}, host="b.example", username="you", password="x")
    assert (hosts(settings), username(settings)) == ({"b.example"}, "you")
    settings = from_environment(VARIABLES, host="b.example")
    assert (hosts(settings), username(settings)) == ({"b.example"}, "env")


@pytest.mark.parametrize(
    "weak",
    [
        pytest.param({"host": HOST, "security": Security.OPPORTUNISTIC}, id="TLS if offered"),
        pytest.param({"host": HOST, "security": Security.PLAINTEXT}, id="no TLS"),
        pytest.param(
            {
                "routes": [
                    Route(HOST, 587, Security.STARTTLS),
                    Route(HOST, 25, Security.OPPORTUNISTIC),
                ]
            },
            id="one weak route of several",
        ),
    ],
)
def test_credentials_with_a_route_that_does_not_insist_on_tls_are_refused(weak: dict[str, Any]) -> None:
    with pytest.raises(CredentialsOnRelay, match="does not require TLS"):
        from_arguments(username="me", password="s3cr3t", **weak)
    assert from_arguments(**weak).credentials is None


@pytest.mark.parametrize("tls", ["", "?tls=require", "?tls=none"])
def test_a_relay_url_and_credentials_in_the_variables_are_refused(tls: str) -> None:
    with pytest.raises(CredentialsOnRelay):
        from_environment({"PORTMAIL_URL": f"relay://{HOST}{tls}", **VARIABLES})
    with pytest.raises(CredentialsOnRelay):
        from_url(f"relay://{HOST}{tls}", username="me", token="t0k3n")


@pytest.mark.parametrize("path", ["", 5, False])
def test_a_ca_that_is_no_path_is_not_the_current_directory(path: Any) -> None:
    with pytest.raises(CertificateFileError):
        from_arguments(host=HOST, tls_ca=path)


def test_a_plus_in_a_urls_sender_is_a_plus() -> None:
    assert from_url(f"relay://{HOST}?from=web1+ops@example.com").sender == "web1+ops@example.com"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, DiscoveryError, "give host=, routes= or PORTMAIL_URL"),
        ({"address": "me@localhost", "password": "x"}, DiscoveryError, "localhost is no domain of which"),
        ({"address": "me@[192.0.2.1]", "password": "x"}, DiscoveryError, "address literal"),
        ({"address": "me@example.com", "port": 465}, ConfigurationError, "are for a host: give host="),
        ({"host": HOST, "approve": HOST}, ConfigurationError, "are for an address alone"),
        ({"address": "me@example.com", "approve": "me@x"}, InvalidRoute, "give the host alone"),
        ({"routes": []}, InvalidRoute, "routes is empty"),
        ({"routes": [Route(HOST, 25, Security.PLAINTEXT)], "host": HOST}, ConfigurationError, "not both"),
        ({"routes": [Route(HOST, 25, Security.PLAINTEXT)], "port": 25}, ConfigurationError, "not both"),
        ({"routes": ["mail.example.com"]}, ConfigurationError, "Route"),
        ({"host": HOST, "port": 99999}, InvalidRoute, "1 to 65535"),
        ({"host": HOST, "security": "ssl"}, ConfigurationError, "ssl"),
        ({"host": HOST, "address": "me"}, AddressError, "has no @"),
        ({"host": HOST, "sender": "me@example.com, you@example.com"}, AddressError, "not one address"),
        ({"host": HOST, "timeouts": -1}, ConfigurationError, "timeouts: total=-1"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_wishes_that_cannot_be_met_say_what_to_change(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        from_arguments(**arguments)


def test_port_0_in_a_url_is_a_mistake_and_not_another_port() -> None:
    with pytest.raises(InvalidRoute, match="1 to 65535"):
        from_url(f"submission://{HOST}:0")
    with pytest.raises(InvalidRoute, match="1 to 65535"):
        from_environment({"PORTMAIL_URL": f"submission://{HOST}:0"})


@pytest.mark.parametrize("name", ["web1.example.com", "web1", "[192.0.2.1]", "[IPv6:::1]"])
def test_a_local_hostname_is_taken_as_it_is(name: str) -> None:
    assert from_arguments(host=HOST, local_hostname=name).local_hostname == name


@pytest.mark.parametrize("name", ["", "web 1", "web1\r\nMAIL FROM:<>", "wéb1", "web1\0", "\x7f"], ids=ascii)
def test_a_local_hostname_that_would_break_ehlo_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^local_hostname="):
        from_arguments(host=HOST, local_hostname=name)


def test_what_is_not_given_has_its_default() -> None:
    settings = from_arguments(host=HOST)
    assert settings.retry == Retry()
    assert settings.timeouts == Timeouts()
    assert (settings.sender, settings.tls_ca, settings.client_cert, settings.local_hostname) == (None,) * 4


def test_printing_settings_shows_no_secret() -> None:
    settings = from_url(URL)
    assert "s3cr3t" not in f"{settings} {settings!r} {settings.credentials!r}"
    assert "me" in repr(settings.credentials)
    with pytest.raises(TypeError, match="a secret is neither copied nor pickled"):
        pickle.dumps(settings)


def test_a_certificate_may_have_its_key_in_a_file_of_its_own() -> None:
    settings = from_arguments(host=HOST, client_cert="me.pem", client_key=Path("me.key"))
    assert settings.pem_files == {"tls_ca": None, "client_cert": Path("me.pem"), "client_key": Path("me.key")}
    assert from_url(f"relay://{HOST}", client_cert="me.pem", client_key="me.key").client_key == Path("me.key")
    assert from_arguments(host=HOST, client_key=None).client_key is None


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="client_key= is the key of client_cert="):
        from_arguments(host=HOST, client_key="me.key")


@pytest.mark.parametrize("wish", ["", 5, b"me.key"], ids=repr)
def test_what_is_no_path_of_a_key_is_refused(wish: Any) -> None:
    with pytest.raises(CertificateFileError, match=r"^client_key: "):
        from_arguments(host=HOST, client_cert="me.pem", client_key=wish)
