"""What the settings of Django and Flask-Mail come to here: the whole table, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

import portmail
from portmail.errors import ConfigurationError, InvalidRoute
from portmail.integrations.other_settings import OtherSettings, every_step
from portmail.route import Route
from portmail.security import Security
from portmail.settings import from_arguments

HOST = "mail.example.org"
ACCOUNT = {"username": "me", "password": "s3cr3t"}

FLAGS: dict[str, dict[str, bool]] = {"none": {}, "tls": {"use_tls": True}, "ssl": {"use_ssl": True}}

# The first route, and the second where there is one: port and security.
PLAIN, START, IMPLICIT = Security.OPPORTUNISTIC, Security.STARTTLS, Security.IMPLICIT_TLS
USUAL_START = ((587, START), (465, IMPLICIT))
USUAL_IMPLICIT = ((465, IMPLICIT), (587, START))

TABLE: dict[tuple[str, int | None, bool], tuple[tuple[int, Security], ...]] = {
    # flags, port, whether there are credentials
    ("none", None, False): ((25, PLAIN),),
    ("none", 25, False): ((25, PLAIN),),
    ("none", 465, False): ((465, PLAIN),),
    ("none", 587, False): ((587, PLAIN),),
    ("none", 2525, False): ((2525, PLAIN),),
    ("none", None, True): USUAL_START,
    ("none", 25, True): ((25, START),),
    ("none", 465, True): USUAL_IMPLICIT,
    ("none", 587, True): USUAL_START,
    ("none", 2525, True): ((2525, START),),
    ("tls", None, False): USUAL_START,
    ("tls", 25, False): ((25, START),),
    ("tls", 465, False): ((465, START),),
    ("tls", 587, False): USUAL_START,
    ("tls", 2525, False): ((2525, START),),
    ("tls", None, True): USUAL_START,
    ("tls", 25, True): ((25, START),),
    ("tls", 465, True): ((465, START),),
    ("tls", 587, True): USUAL_START,
    ("tls", 2525, True): ((2525, START),),
    ("ssl", None, False): USUAL_IMPLICIT,
    ("ssl", 25, False): ((25, IMPLICIT),),
    ("ssl", 465, False): USUAL_IMPLICIT,
    ("ssl", 587, False): ((587, IMPLICIT),),
    ("ssl", 2525, False): ((2525, IMPLICIT),),
    ("ssl", None, True): USUAL_IMPLICIT,
    ("ssl", 25, True): ((25, IMPLICIT),),
    ("ssl", 465, True): USUAL_IMPLICIT,
    ("ssl", 587, True): ((587, IMPLICIT),),
    ("ssl", 2525, True): ((2525, IMPLICIT),),
}


def settings(**said: Any) -> OtherSettings:
    return OtherSettings(HOST, **said)


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(itertools.product(FLAGS, (None, 25, 465, 587, 2525), (False, True)))


@pytest.mark.parametrize(("flags", "port", "account"), TABLE)
def test_flags_port_and_credentials_are_routes(flags: str, port: int | None, account: bool) -> None:
    said = settings(port=port, **FLAGS[flags], **(ACCOUNT if account else {}))
    routes = tuple(Route(HOST, number, security) for number, security in TABLE[flags, port, account])
    assert said.routes == routes
    assert said.security is routes[0].security
    taken = from_arguments(**said.wishes())
    assert taken.routes == routes
    assert (taken.credentials.username if taken.credentials else None) == ("me" if account else None)
    assert said.clear is (account and flags == "none")


def test_no_credential_ever_goes_where_there_may_be_no_encryption() -> None:
    for (_, _, account), routes in TABLE.items():
        assert not account or all(security.encrypted for _, security in routes)
        # The second route is as strong as the first.
        assert len({security.encrypted for _, security in routes}) == 1


@pytest.mark.parametrize("port", [None, 25, 465, 587])
def test_both_flags_are_refused(port: int | None) -> None:
    with pytest.raises(ConfigurationError, match="set one of them at most"):
        settings(port=port, use_tls=True, use_ssl=True).wishes()


@pytest.mark.parametrize(
    "half", [{"username": "me"}, {"password": "s3cr3t"}, {"username": "me", "password": ""}, {"username": ""}]
)
def test_half_of_the_credentials_is_none(half: dict[str, str]) -> None:
    assert not {"username", "password"} & settings(**half).wishes().keys()
    assert from_arguments(**settings(**half).wishes()).credentials is None


@pytest.mark.parametrize(
    "said",
    [{"port": "587"}, {"port": 0}, {"port": 65536}, {"host": ""}, {"host": None}, {"host": "smtp://a"}],
    ids=str,
)
def test_what_is_no_host_or_port_is_told(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidRoute):
        OtherSettings(**{"host": HOST, **said}).wishes()


@pytest.mark.parametrize("seconds", [0, -1, "5", float("inf"), float("nan")], ids=str)
def test_what_is_no_number_of_seconds_is_told(seconds: object) -> None:
    with pytest.raises(ConfigurationError, match="finite number of seconds"):
        settings(timeout=cast("float", seconds)).wishes()


def test_one_number_of_seconds_is_that_of_each_step() -> None:
    timeouts = from_arguments(**settings(timeout=3).wishes()).timeouts
    own = portmail.Timeouts()
    assert timeouts == every_step(3)
    assert (timeouts.connect, timeouts.greeting, timeouts.command, timeouts.block, timeouts.final) == (3,) * 5
    assert timeouts.total == own.total
    assert from_arguments(**settings().wishes()).timeouts == own


@pytest.mark.parametrize(
    ("said", "wished"),
    [
        ({}, {}),
        ({"certfile": "", "keyfile": ""}, {}),
        ({"certfile": "c.pem"}, {"client_cert": "c.pem"}),
        ({"certfile": "c.pem", "keyfile": "k.pem"}, {"client_cert": "c.pem", "client_key": "k.pem"}),
        ({"certfile": "c.pem", "keyfile": "c.pem"}, {"client_cert": "c.pem"}),
    ],
)
def test_a_certificate_and_its_key_are_ours(said: dict[str, Any], wished: dict[str, str]) -> None:
    told = settings(**said).wishes()
    assert {name: value for name, value in told.items() if name.startswith("client_")} == wished


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the file of a key is given"):
        from_arguments(**settings(keyfile="k.pem").wishes())


def test_printing_them_shows_no_password() -> None:
    assert "s3cr3t" not in repr(settings(**ACCOUNT))
