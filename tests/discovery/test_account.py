"""What do we log in as where a server was found, and when is it told that our credentials do not fit?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.candidate import Candidate, Login, Source, Trust
from portmail.discovery.account import filled_in, of_one_user, with_candidates
from portmail.errors import CredentialsUnusable, TokenRequired, UsernameRequired
from portmail.route import Route
from portmail.search import Search, search_of
from portmail.security import SecretKind, Security
from portmail.settings import Settings, from_arguments
from tests.leaks import Scanner

ME, PASSWORD = "me@example.com", "correct horse & battery"
ANY, BY_PASSWORD, BY_TOKEN = (
    frozenset[Login](),
    frozenset({Login.PASSWORD}),
    frozenset({Login.OAUTH2}),
)
BY_EITHER, BY_NOTHING = BY_PASSWORD | BY_TOKEN, frozenset({Login.NONE})


def candidate(host: str = "smtp.example.com", port: int = 465, **more: Any) -> Candidate:
    return Candidate(Route(host, port, Security.IMPLICIT_TLS), Source.AUTOCONFIG, Trust.OWNER, **more)


def settings(address: str = ME, **wishes: Any) -> Settings:
    return from_arguments(address, **wishes)


def search(address: str = ME, *, username: str | None = None) -> Search:
    return search_of(address, username=username)


def login(found: Settings) -> str:
    assert found.credentials is not None
    return found.credentials.username


@pytest.mark.parametrize(
    ("template", "username"),
    [
        ("%EMAILADDRESS%", "me@example.com"),
        ("%EMAILLOCALPART%", "me"),
        ("%EMAILDOMAIN%", "example.com"),
        ("%EMAILLOCALPART%.%EMAILDOMAIN%", "me.example.com"),
        ("%EMAILLOCALPART%%EMAILLOCALPART%", "meme"),
        ("example/%EMAILADDRESS%", "example/me@example.com"),
        ("apikey", "apikey"),
        ("%EMAILSOMETHING%", "%EMAILSOMETHING%"),
        ("%emailaddress%", "%emailaddress%"),
        ("100%", "100%"),
    ],
)
def test_the_user_name_is_made_of_the_address_as_the_source_says(template: str, username: str) -> None:
    assert filled_in(template, address=ME) == username
    assert login(with_candidates(settings(password=PASSWORD), [candidate(username=template)])) == username


@pytest.mark.parametrize(
    ("address", "local", "domain"),
    [
        ("me+tag@example.com", "me+tag", "example.com"),
        ('"a b"@example.com', '"a b"', "example.com"),
        ('"a@b"@example.com', '"a@b"', "example.com"),
        ("Me@Example.COM", "Me", "Example.COM"),
        ("grüße@bücher.example", "grüße", "bücher.example"),
        ("%EMAILDOMAIN%@example.com", "%EMAILDOMAIN%", "example.com"),
        (r"a\1b@example.com", r"a\1b", "example.com"),
    ],
)
def test_whatever_the_address_holds_is_taken_as_it_is(address: str, local: str, domain: str) -> None:
    assert filled_in("%EMAILADDRESS%", address=address) == address
    assert filled_in("%EMAILLOCALPART%|%EMAILDOMAIN%", address=address) == f"{local}|{domain}"


@given(st.text(max_size=30))
def test_a_template_without_placeholders_is_the_user_name_itself(template: str) -> None:
    if "%EMAIL" not in template:
        assert filled_in(template, address=ME) == template


def test_the_routes_are_those_that_were_found_and_all_else_stays_as_it_was_given() -> None:
    given = settings(password=PASSWORD, sender="Me <me@example.com>", pool_size=3, local_hostname="web1")
    found = with_candidates(given, [candidate(), candidate(port=8465)])
    assert [str(it) for it in found.routes] == [
        "smtp.example.com:465 implicit-tls",
        "smtp.example.com:8465 implicit-tls",
    ]
    assert given.routes == ()
    assert (found.sender, found.pool_size, found.local_hostname) == ("Me <me@example.com>", 3, "web1")
    assert (found.search, found.timeouts, found.retry) == (given.search, given.timeouts, given.retry)


def test_only_the_name_in_the_credentials_changes() -> None:
    given = settings(password=PASSWORD)
    found = with_candidates(given, [candidate(username="%EMAILLOCALPART%")])
    assert found.credentials is not None
    assert given.credentials is not None
    assert found.credentials.secret is given.credentials.secret
    assert found.credentials.kind is SecretKind.PASSWORD
    assert (login(given), login(found)) == (ME, "me")


def test_a_user_name_that_the_user_gave_counts_more_than_any_template() -> None:
    given = settings(username="postmaster", password=PASSWORD)
    found = with_candidates(
        given, [candidate(username="%EMAILLOCALPART%"), candidate(port=587, username="x")]
    )
    assert login(found) == "postmaster"
    assert len(found.routes) == 2


def test_a_user_name_that_the_user_gave_counts_also_where_none_follows_from_the_address() -> None:
    given = settings(username="postmaster", password=PASSWORD)
    assert login(with_candidates(given, [candidate(username=None)])) == "postmaster"


def test_a_user_name_that_does_not_follow_from_the_address_is_asked_for() -> None:
    it = candidate(username=None, note="the number on the contract")
    with pytest.raises(UsernameRequired) as caught:
        with_candidates(settings(password=PASSWORD), [it])
    assert str(caught.value) == (
        "the user name at smtp.example.com does not follow from me@example.com (the number on the contract). "
        "Nothing was connected.\nWhat to do: give username="
    )
    with pytest.raises(UsernameRequired, match=r"from me@example\.com\. .*\n.*give username=$"):
        with_candidates(settings(password=PASSWORD), [candidate(username=None)])


def test_who_shows_no_credentials_needs_no_user_name() -> None:
    found = with_candidates(settings(), [candidate(username=None)])
    assert (found.credentials, len(found.routes)) == (None, 1)


# What the source says that the server takes; what we have; and what comes of it.
ERRORS = type[CredentialsUnusable] | None
FITS: dict[str, tuple[frozenset[Login], dict[str, Any], ERRORS]] = {
    "a password where passwords are taken": (BY_PASSWORD, {"password": PASSWORD}, None),
    "a password where either is taken": (BY_EITHER, {"password": PASSWORD}, None),
    "a password where the source does not say": (ANY, {"password": PASSWORD}, None),
    "a password where only tokens are taken": (BY_TOKEN, {"password": PASSWORD}, TokenRequired),
    "a token where tokens are taken": (BY_TOKEN, {"token": PASSWORD}, None),
    "a token where either is taken": (BY_EITHER, {"token": PASSWORD}, None),
    "a token where the source tells only of passwords": (BY_PASSWORD, {"token": PASSWORD}, None),
    "a token where the source does not say": (ANY, {"token": PASSWORD}, None),
    "no credentials where the source does not say": (ANY, {}, None),
    "no credentials where nothing is wanted": (BY_NOTHING, {}, None),
    "no credentials where passwords or nothing is wanted": (BY_NOTHING | BY_PASSWORD, {}, None),
    "no credentials where a password is wanted": (BY_PASSWORD, {}, CredentialsUnusable),
    "no credentials where a token is wanted": (BY_TOKEN, {}, CredentialsUnusable),
    "a client certificate where a password is wanted": (BY_PASSWORD, {"client_cert": "me.pem"}, None),
}


@pytest.mark.parametrize("case", FITS)
def test_credentials_that_cannot_be_any_good_are_told_before_anything_is_connected(case: str) -> None:
    logins, wishes, error = FITS[case]
    given = settings(**wishes)
    if error is None:
        assert len(with_candidates(given, [candidate(logins=logins)]).routes) == 1
        return
    with pytest.raises(CredentialsUnusable) as caught:
        with_candidates(given, [candidate(logins=logins)])
    assert type(caught.value) is error
    assert "Nothing was connected" in str(caught.value)
    assert "smtp.example.com" in str(caught.value)


def test_who_has_a_password_where_only_tokens_are_taken_hears_why_and_what_to_do() -> None:
    it = candidate(logins=BY_TOKEN, note="OAuth 2 since 2024")
    with pytest.raises(TokenRequired) as caught:
        with_candidates(settings(password=PASSWORD), [it])
    text = str(caught.value)
    assert text.startswith("a password will not work at smtp.example.com, ")
    assert "OAuth 2 tokens alone (OAuth 2 since 2024). Nothing was connected." in text
    assert text.endswith("give token= in place of password=; if you know better, give host=")


def test_where_no_login_is_wanted_at_all_nothing_is_said_of_tokens() -> None:
    with pytest.raises(CredentialsUnusable) as caught:
        with_candidates(settings(password=PASSWORD), [candidate(logins=BY_NOTHING)])
    assert "token" not in str(caught.value)


def test_who_has_no_credentials_where_some_are_wanted_hears_what_to_give() -> None:
    with pytest.raises(CredentialsUnusable, match=r"give password= or token=$"):
        with_candidates(settings(), [candidate(logins=BY_EITHER)])


def test_the_routes_that_take_our_credentials_are_used_and_the_others_not() -> None:
    found = with_candidates(
        settings(password=PASSWORD),
        [candidate("tokens.example.com", logins=BY_TOKEN), candidate("smtp.example.com", logins=BY_PASSWORD)],
    )
    assert [it.host for it in found.routes] == ["smtp.example.com"]


def test_the_user_name_is_that_of_the_first_route_that_takes_our_credentials() -> None:
    found = with_candidates(
        settings(password=PASSWORD),
        [
            candidate("tokens.example.com", logins=BY_TOKEN, username="%EMAILADDRESS%"),
            candidate(logins=BY_PASSWORD, username="%EMAILLOCALPART%"),
        ],
    )
    assert login(found) == "me"


def test_no_two_user_names_are_ever_tried() -> None:
    found = with_candidates(
        settings(password=PASSWORD),
        [
            candidate(username="%EMAILLOCALPART%"),
            candidate("other.example.com", username="%EMAILADDRESS%"),
            candidate("none.example.com", username=None),
            candidate(port=8465, username="%EMAILLOCALPART%"),
        ],
    )
    assert login(found) == "me"
    assert [(it.host, it.port) for it in found.routes] == [
        ("smtp.example.com", 465),
        ("smtp.example.com", 8465),
    ]


def test_those_of_another_user_name_are_told_with_the_reason() -> None:
    candidates = [candidate(), candidate("other.example.com", username="%EMAILLOCALPART%")]
    one = of_one_user(candidates, search=search())
    assert one.used == (candidates[0],)
    [rejection] = one.rejected
    assert (rejection.what, rejection.source) == ("other.example.com:465 implicit-tls", Source.AUTOCONFIG)
    assert rejection.reason == "it wants another user name than the first; no two are tried"


def test_all_are_used_where_the_user_said_what_the_name_is() -> None:
    candidates = (candidate(), candidate("other.example.com", username="%EMAILLOCALPART%"))
    one = of_one_user(candidates, search=search(username="postmaster"))
    assert (one.used, one.rejected) == (candidates, ())


def test_two_names_that_differ_in_how_they_are_written_are_two() -> None:
    # For this address both are "me", but for the next one they are not.
    one = of_one_user(
        [candidate(username="%EMAILLOCALPART%"), candidate(port=1, username="me")], search=search()
    )
    assert len(one.used) == 1


@pytest.mark.parametrize(
    ("wishes", "it"),
    [
        ({"password": PASSWORD}, candidate(logins=BY_TOKEN)),
        ({"password": PASSWORD}, candidate(username=None)),
        ({"token": PASSWORD}, candidate(username=None)),
    ],
)
def test_no_error_and_no_settings_show_the_secret(wishes: dict[str, Any], it: Candidate) -> None:
    scanner = Scanner(PASSWORD, own=lambda file: "/tests/" in file)
    given = settings(**wishes)
    with pytest.raises(CredentialsUnusable) as caught:
        with_candidates(given, [it])
    assert scanner.error(caught.value) == []
    assert scanner.shown(with_candidates(settings(token=PASSWORD), [candidate()])) == []
