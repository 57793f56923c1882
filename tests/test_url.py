"""What does an account URL mean? Schemes, options, and errors that keep the password to themselves."""

from __future__ import annotations

from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.errors import (
    CredentialsOnRelay,
    InvalidRoute,
    InvalidURL,
    PortmailError,
    UnescapedURL,
    UnknownScheme,
)
from portmail.security import Security
from portmail.url import parse_url

HOST = "mail.example.com"
STARTTLS, IMPLICIT = Security.STARTTLS, Security.IMPLICIT_TLS
RAW = ["@", "#", "/", "?", "%", ":", "&", "=", "://", "?tls="]


@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("submission://me:pw@mail.example.com", {"port": 587, "security": STARTTLS}),
        ("submissions://me:pw@mail.example.com", {"port": 465, "security": IMPLICIT}),
        ("smtps://me:pw@mail.example.com", {"port": 465, "security": IMPLICIT}),
        ("smtp://me:pw@mail.example.com", {}),
        ("smtp://mail.example.com", {}),
        ("relay://mail.example.com", {"port": 25, "security": Security.OPPORTUNISTIC}),
        ("relay://mail.example.com?tls=if-offered", {"port": 25, "security": Security.OPPORTUNISTIC}),
        ("relay://mail.example.com?tls=require", {"port": 25, "security": STARTTLS}),
        ("relay://mail.example.com?tls=none", {"port": 25, "security": Security.PLAINTEXT}),
        ("SMTPS://mail.example.com/", {"port": 465, "security": IMPLICIT}),
        (" submission://mail.example.com\n", {"port": 587, "security": STARTTLS}),
        ("submission://mail.example.com:5870", {"port": 5870, "security": STARTTLS}),
        ("smtp://mail.example.com:25", {"port": 25}),
    ],
    ids=str,
)
def test_a_scheme_says_port_and_security(url: str, route: dict[str, object]) -> None:
    assert parse_url(url).route == {"host": HOST} | route


def test_a_host_may_be_an_ipv6_address_in_brackets() -> None:
    assert parse_url("relay://[::1]:2525").route["host"] == "[::1]"
    assert parse_url("relay://[::1]:2525").route["port"] == 2525


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        pytest.param("", None, None, id="nobody"),
        pytest.param("me@", "me", None, id="a name alone"),
        pytest.param("me:pw@", "me", "pw", id="name and password"),
        pytest.param(":pw@", None, "pw", id="a password alone"),
        pytest.param("me%40example.com:pw@", "me@example.com", "pw", id="an address as name"),
        pytest.param("me:%40%23%2F%3F%25@", "me", "@#/?%", id="escaped"),
        pytest.param("me:a:b@", "me", "a:b", id="a raw colon"),
        pytest.param("me:a+b@", "me", "a+b", id="a plus is a plus"),
        pytest.param("me:gr%C3%BC%C3%9Fe@", "me", "grüße", id="UTF-8"),
        pytest.param("me:grüße@", "me", "grüße", id="UTF-8, raw"),
        pytest.param("me:%FF%FE@", "me", "\udcff\udcfe", id="octets that are no UTF-8"),
    ],
)
def test_the_user_name_and_password_are_percent_decoded(
    userinfo: str, username: str | None, password: str | None
) -> None:
    account = parse_url(f"submission://{userinfo}{HOST}")
    assert (account.username, account.password) == (username, password)


@given(st.binary(max_size=40), st.text(min_size=1, max_size=20))
def test_whatever_is_escaped_comes_back_octet_for_octet(password: bytes, username: str) -> None:
    account = parse_url(
        f"submission://{quote(username, safe='')}:{quote_from_bytes(password, safe='')}@{HOST}"
    )
    assert account.username == username
    assert (account.password or "").encode("utf-8", "surrogateescape") == password


def test_options_name_the_ca_file_and_the_sender() -> None:
    account = parse_url(f"submission://me:pw@{HOST}?ca=/etc/ca.pem&from=me%40example.com")
    assert (account.tls_ca, account.sender) == ("/etc/ca.pem", "me@example.com")
    assert parse_url(f"smtp://{HOST}?from=me@example.com").sender == "me@example.com"
    assert (parse_url(f"smtp://{HOST}").tls_ca, parse_url(f"smtp://{HOST}").sender) == (None, None)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        (
            "http://mail.example.com",
            UnknownScheme,
            "'http' is unknown in the account URL: use one of submission://",
        ),
        ("ssl+smtp://mail.example.com", UnknownScheme, "is unknown"),
        ("mail.example.com", UnknownScheme, "no scheme"),
        ("submission:mail.example.com", UnknownScheme, "no scheme"),
        ("", UnknownScheme, "no scheme"),
        ("auto://", InvalidURL, "auto://me%40example.com"),
        ("submission://me:pw@mail.example.com:smtp", InvalidRoute, "port is no number"),
        ("submission://me:pw@mail.example.com:", InvalidRoute, "port is no number"),
        ("submission://me:pw@mail.example.com:-1", InvalidRoute, "port is no number"),
        ("submission://me:pw@mail.example.com:5 87", InvalidRoute, "port is no number"),
        ("submission://me:pw@", InvalidRoute, "names no host"),
        ("submission://me:pw@:587", InvalidRoute, "names no host"),
        ("submission://", InvalidRoute, "names no host"),
        ("relay://me:pw@mail.example.com", CredentialsOnRelay, "submission://"),
        ("relay://me@mail.example.com", CredentialsOnRelay, "submission://"),
        ("relay://me:pw@mail.example.com?tls=require", CredentialsOnRelay, "submission://"),
        ("relay://mail.example.com?tls=maybe", InvalidURL, "if-offered, require, none"),
        ("submission://me:pw@mail.example.com?tls=none", InvalidURL, "tls with relay://"),
        ("submission://me:pw@mail.example.com?verify=no", InvalidURL, "an option that is unknown"),
        ("submission://me:pw@mail.example.com/inbox", InvalidURL, "has a path"),
        ("submission://me:pw@mail.example.com#x", UnescapedURL, "percent-encoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_url_that_cannot_be_understood_says_what_to_change(
    url: str, error: type[PortmailError], words: str
) -> None:
    with pytest.raises(error) as caught:
        parse_url(url)
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_port_0_is_not_taken_for_no_port() -> None:
    assert parse_url(f"submission://{HOST}:0").route["port"] == 0  # which no route takes


@pytest.mark.parametrize("raw", ["@", "#", "/", "?", "%", "%4", "%zz", " ", "\t", "\r\n"])
@pytest.mark.parametrize("scheme", ["submission", "submissions", "smtps", "smtp"])
def test_a_raw_character_in_the_password_is_told_how_to_write_it(scheme: str, raw: str) -> None:
    with pytest.raises(UnescapedURL, match=r"@ as %40, # as %23, / as %2F, \? as %3F"):
        parse_url(f"{scheme}://me:s3cr3t{raw}s3cr3t@{HOST}")


@pytest.mark.parametrize(
    "url",
    [
        "submission://me:s3cr3t@mail.example.com",
        "s3cr3t@mail.example.com",
        "me:s3cr3t@mail.example.com",
        "me:s3cr3t://x@mail.example.com",
        "http://me:s3cr3t@mail.example.com",
        "auto://me:s3cr3t@",
        "relay://me:s3cr3t@mail.example.com",
        "submission://me:s3cr3t@",
        "submission://me:s3cr3t",
        "submission://me:s3cr3t/x@mail.example.com",
        "submission://me:1234/s3cr3t@mail.example.com",
        "submission://me:p@x/s3cr3t@mail.example.com",
        "submission://me:p@x?s3cr3t@mail.example.com",
        "submission://me:p@x?ca=1&s3cr3t@mail.example.com",
        "submission://me:p@x#s3cr3t@mail.example.com",
        "submission://me:p@s3cr3t:x@mail.example.com",
        "submission://me:s3cr3t@mail.example.com:99999999",
        "submission://me:s3cr3t@mail.example.com/x",
        "submission://me:s3cr3t@mail.example.com?x=1",
    ],
)
def test_no_error_and_no_repr_shows_the_password(url: str) -> None:
    assert "s3cr3t" not in told(url)


@pytest.mark.parametrize("first", RAW)
@pytest.mark.parametrize("second", RAW)
def test_no_error_and_no_repr_shows_the_password_whatever_is_in_it(first: str, second: str) -> None:
    for password in (f"s3cr3t{first}x{second}x", f"x{first}s3cr3t{second}x", f"x{first}x{second}s3cr3t"):
        assert "s3cr3t" not in told(f"submission://me:{password}@{HOST}")


def told(url: str) -> str:
    """Everything that is ever printed of this URL."""
    try:
        return repr(parse_url(url)) + str(parse_url(url))
    except PortmailError as error:
        return f"{error} {error!r} {error.__cause__!r}"
