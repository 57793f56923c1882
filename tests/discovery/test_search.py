"""For whom can a server be looked for, with which options, and which hosts did the user approve?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from portmail.candidate import Candidate, Source, Trust
from portmail.errors import AddressError, ConfigurationError, DiscoveryError, InvalidRoute
from portmail.route import Route
from portmail.search import (
    BUDGET,
    ISPDB,
    USUAL,
    Discovery,
    Search,
    Validation,
    nameserver,
    search_of,
)
from portmail.security import Security

ME = "me@example.com"


def candidate(host: str) -> Candidate:
    return Candidate(Route(host, 465, Security.IMPLICIT_TLS), Source.SRV, Trust.UNSIGNED)


# Who is asked, and how


def test_the_draft_and_the_guesses_are_asked_only_where_they_are_named() -> None:
    asked = {Source.BUNDLED, Source.AUTOCONFIG, Source.WELL_KNOWN, Source.SRV, Source.MX, Source.ISPDB}
    assert Discovery().asked == USUAL == asked
    assert Discovery(sources=USUAL | {Source.GUESS}).asked == asked | {Source.GUESS}


@pytest.mark.parametrize(
    ("wish", "sources"),
    [
        pytest.param("srv", {Source.SRV}, id="a value"),
        pytest.param(["srv", "well-known"], {Source.SRV, Source.WELL_KNOWN}, id="values"),
        pytest.param([Source.SRV], {Source.SRV}, id="a Source"),
        pytest.param((Source.MX, "mx", "srv"), {Source.MX, Source.SRV}, id="both, and twice"),
        pytest.param((it for it in ("pacc",)), {Source.PACC}, id="a generator"),
        pytest.param(list(Source), set(Source), id="all"),
        pytest.param((), set(), id="none"),
    ],
)
def test_sources_may_be_given_by_value(wish: Any, sources: set[Source]) -> None:
    discovery = Discovery(sources=wish)
    assert discovery.asked == sources
    assert discovery.sources == sources  # also a second time, where it was a generator


def test_a_validation_may_be_given_by_value() -> None:
    assert Discovery().validation is Validation.LOOPBACK
    assert Discovery(validation="resolver").validation is Validation.RESOLVER
    assert Discovery(validation=Validation.NOBODY).validation is Validation.NOBODY


def test_the_database_may_be_another_copy() -> None:
    assert Discovery().ispdb == ISPDB
    assert Discovery(ispdb="https://mirror.example.net/").ispdb == "https://mirror.example.net/"
    assert Discovery(ispdb="https://[2001:db8::1]:8443/a/b/").ispdb.endswith("/a/b/")


@pytest.mark.parametrize("seconds", [1, 0.5, BUDGET, 3600])
def test_the_time_may_be_any_that_ends(seconds: float) -> None:
    assert Discovery(seconds=seconds).seconds == seconds
    assert Discovery().seconds == 10.0


def test_two_of_the_same_options_are_the_same() -> None:
    assert Discovery(sources=["srv"], validation="nobody") == Discovery(
        sources=[Source.SRV], validation=Validation.NOBODY
    )
    assert len({Discovery(sources=["srv", "mx"]), Discovery(sources=["mx", "srv"])}) == 1


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a source that there is not": ({"sources": ["srv", "autodiscover"]}, "use some of bundled, autoconfig"),
    "a source in capitals": ({"sources": "SRV"}, "use some of bundled"),
    "sources that are none": ({"sources": None}, "use some of bundled"),
    "a number as sources": ({"sources": 3}, "use some of bundled"),
    "a validation that there is not": ({"validation": "always"}, "use one of loopback, resolver, nobody"),
    "no validation": ({"validation": None}, "use one of loopback"),
    "a database over http": ({"ispdb": "http://autoconfig.thunderbird.net/v1.1/"}, "begins with https://"),
    "a database without a slash": ({"ispdb": "https://autoconfig.thunderbird.net/v1.1"}, "ends with /"),
    "a database that is a host alone": ({"ispdb": "https://autoconfig.thunderbird.net"}, "ends with /"),
    "a database with a login": ({"ispdb": "https://me:pw@mirror.example.net/"}, "begins with https://"),
    "a database with a query": ({"ispdb": "https://mirror.example.net/?domain=/"}, "ends with /"),
    "a database with a fragment": ({"ispdb": "https://mirror.example.net/#/"}, "ends with /"),
    "a database with a space": ({"ispdb": "https://mirror.example.net/a b/"}, "begins with https://"),
    "a database with a line end": ({"ispdb": "https://mirror.example.net/\n"}, "begins with https://"),
    "a database that is none": ({"ispdb": None}, "begins with https://"),
    "no time": ({"seconds": 0}, "finite and above 0"),
    "a time before now": ({"seconds": -1.0}, "finite and above 0"),
    "a time without end": ({"seconds": float("inf")}, "finite and above 0"),
    "a time that is no number": ({"seconds": float("nan")}, "finite and above 0"),
    "a time in words": ({"seconds": "10"}, "finite and above 0"),
    "a resolver by name": ({"resolver": "dns.example.net"}, "is no IP address"),
    "a resolver that is nothing": ({"resolver": ""}, "is no IP address"),
    "a resolver beyond its bounds": ({"resolver": "192.0.2.256"}, "is no IP address"),
    "a resolver too short": ({"resolver": "127.1"}, "is no IP address"),
    "a resolver as URL": ({"resolver": "https://192.0.2.1/"}, "is no IP address"),
    "a resolver with half a bracket": ({"resolver": "[2001:db8::1"}, "is no IP address"),
    "a resolver with a port in words": ({"resolver": "192.0.2.1:domain"}, "is no IP address"),
    "a resolver that is a number": ({"resolver": 53}, "is no IP address"),
    "a resolver at port 0": ({"resolver": "192.0.2.1:0"}, "resolver="),
    "a resolver at a port beyond": ({"resolver": "[2001:db8::1]:65536"}, "resolver="),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_that_are_none_are_told_before_anybody_is_asked(case: str) -> None:
    options, words = WRONG[case]
    with pytest.raises(ConfigurationError, match=r"^discovery: ") as caught:
        Discovery(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("2001:DB8:0:0::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("::1", ("::1", 53)),
        ("::ffff:192.0.2.1", ("::ffff:192.0.2.1", 53)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
    ],
)
def test_a_resolver_is_an_address_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    host, port = nameserver(text)
    assert (ip_address(host), port) == (ip_address(address[0]), address[1])
    assert Discovery(resolver=text).resolver == text


# For whom


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("me@example.com", "example.com"),
        ("Me@Example.COM", "example.com"),
        ("me@a.b.example.com", "a.b.example.com"),
        ("me+tag@example.com", "example.com"),
        ('"a b"@example.com', "example.com"),
        ('"a@b"@example.com', "example.com"),
        ('"@example.net"@example.com', "example.com"),
        ("me@bücher.example", "xn--bcher-kva.example"),
        ("me@BÜCHER.example", "xn--bcher-kva.example"),
        ("me@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("grüße@bücher.example", "xn--bcher-kva.example"),
        ("grüße@example.com", "example.com"),
        ("me@例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("me@example.test", "example.test"),
        ("me@mail.corp.internal", "mail.corp.internal"),
        ("me@office.local", "office.local"),
        ("me@localhost.example.com", "localhost.example.com"),
        ("me@notlocalhost.example", "notlocalhost.example"),
    ],
)
def test_the_domain_is_what_stands_behind_the_last_at_in_a_labels_and_lower_case(
    address: str, domain: str
) -> None:
    search = search_of(address)
    assert (search.address, search.domain) == (address, domain)


@pytest.mark.parametrize(
    "address",
    [
        "me@[192.0.2.1]",
        "me@[IPv6:2001:db8::1]",
        "me@localhost",
        "me@LOCALHOST",
        "me@smtp.localhost",
        "me@smtp.LocalHost",
        "root@intranet",
        "me@com",
    ],
)
def test_nobody_can_be_asked_about_an_address_literal_or_a_single_label_or_this_machine(address: str) -> None:
    with pytest.raises(DiscoveryError, match="give host=") as caught:
        search_of(address)
    assert type(caught.value) is DiscoveryError
    assert caught.value.evidence == ()
    assert address.rpartition("@")[2].lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "me",
        "me@",
        "@example.com",
        "me@example..com",
        "me@example.com.",
        "me@-example.com",
        f"me@{'a' * 64}.com",
        "me@127.0.0.1",
        "me@exam ple.com",
        "a b@example.com",
        "me@example.com\r\n",
        "Me <me@example.com>",
        "me@example.com, you@example.com",
    ],
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(AddressError):
        search_of(address)


def test_what_is_no_options_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"discovery is a portmail\.Discovery"):
        search_of(ME, discovery={"sources": "srv"})  # type: ignore[arg-type]  # that is the test


def test_all_that_is_not_wished_for_is_as_usual() -> None:
    assert search_of(ME) == Search(ME, "example.com", Discovery(), (), None, frozenset())


def test_what_is_wished_for_is_kept() -> None:
    options = Discovery(seconds=3)
    search = search_of(ME, discovery=options, approve=["smtp.example.net"], username="postmaster")
    assert (search.discovery, search.username) == (options, "postmaster")


# Approvals


APPROVALS: dict[str, tuple[Any, dict[str, bool]]] = {
    "none": (None, {"smtp.example.net": False}),
    "an empty list": ([], {"smtp.example.net": False}),
    "a host": ("smtp.example.net", {"smtp.example.net": True, "mail.example.net": False}),
    "a host, which is not a list of letters": ("a.example", {"a": False, "a.example": True}),
    "not those within it": ("example.net", {"smtp.example.net": False, "example.net": True}),
    "nor those around it": ("smtp.example.net", {"example.net": False}),
    "hosts": (["a.example.net", "b.example.net"], {"a.example.net": True, "b.example.net": True}),
    "a set": (frozenset({"a.example.net"}), {"a.example.net": True}),
    "in any case, with a dot": ("SMTP.Example.NET.", {"smtp.example.net": True}),
    "in its own script": ("smtp.bücher.example", {"smtp.xn--bcher-kva.example": True}),
    "a function": (
        lambda it: it.route.host == "smtp.example.net",
        {"smtp.example.net": True, "x.net": False},
    ),
    "a function that says yes": (lambda _: True, {"smtp.example.net": True}),
    "a function that says something else": (lambda _: "yes", {"smtp.example.net": False}),
    "a function that says nothing": (lambda _: None, {"smtp.example.net": False}),
}


@pytest.mark.parametrize("case", APPROVALS)
def test_what_the_user_approved_may_be_used_and_nothing_else(case: str) -> None:
    wish, hosts = APPROVALS[case]
    search = search_of(ME, approve=wish)
    assert {host: search.approves(candidate(host)) for host in hosts} == hosts


def test_what_was_approved_earlier_needs_no_approval_again() -> None:
    def refuse(_: Candidate) -> bool:
        raise AssertionError("nobody is asked twice")

    wishes: list[str | list[str] | Callable[[Candidate], bool]] = ["other.example.net", [], refuse]
    for wish in wishes:
        search = replace(search_of(ME, approve=wish), approved=frozenset({"smtp.example.net"}))
        assert search.approves(candidate("smtp.example.net"))


@pytest.mark.parametrize(
    "wish", ["", "*", "*.example.net", "me@example.net", "https://a.example", ["a b"], [""]]
)
def test_an_approval_of_what_is_no_host_is_told(wish: Any) -> None:
    with pytest.raises(InvalidRoute):
        search_of(ME, approve=wish)


@pytest.mark.parametrize("wish", [True, 5, [5], [None]])
def test_an_approval_that_is_none_is_told(wish: Any) -> None:
    with pytest.raises(ConfigurationError):
        search_of(ME, approve=wish)
