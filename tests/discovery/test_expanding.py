"""Which routes follow from those that a source names, and in which order are they tried?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.candidate import Candidate, Login, Source, Trust
from portmail.discovery import expanding
from portmail.discovery.expanding import expanded
from portmail.discovery.providers import Provider
from portmail.route import Route
from portmail.security import Security

HOST = "smtp.example.com"
THE_OTHER, LISTED = "the other usual port of the same host", "Example Mail has this port, too"
TLS, STARTTLS = "implicit-tls", "starttls"


def candidate(port: int, mode: str, host: str = HOST, **more: Any) -> Candidate:
    more = {"source": Source.AUTOCONFIG, "trust": Trust.OWNER} | more
    return Candidate(Route(host, port, Security(mode)), **more)


def told(*candidates: Candidate, complete: bool = False) -> list[str]:
    return [str(it.route) for it in expanded(candidates, complete=complete)]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has the table know this host, with these ports."""

    def known(*ports: tuple[int, Security], only: bool = False) -> None:
        it = Provider(
            id="example",
            name="Example Mail",
            domains=(),
            mx=(),
            host=HOST,
            ports=ports,
            only=only,
            logins=frozenset({Login.OAUTH2}),
            username="%EMAILLOCALPART%",
            source="",
            note="",
        )
        monkeypatch.setattr(expanding, "by_host", {HOST: it}.get)

    return known


@pytest.mark.parametrize(
    ("port", "mode", "other"),
    [
        (465, TLS, f"{HOST}:587 starttls"),
        (587, STARTTLS, f"{HOST}:465 implicit-tls"),
        (8465, TLS, f"{HOST}:587 starttls"),
        (2525, STARTTLS, f"{HOST}:465 implicit-tls"),
        (587, TLS, None),
        (465, STARTTLS, None),
    ],
)
def test_the_usual_port_of_the_mode_that_is_not_listed_is_tried_after_what_is_listed(
    port: int, mode: str, other: str | None
) -> None:
    # A port has one mode: where it is taken, nothing takes its place.
    assert told(candidate(port, mode)) == [f"{HOST}:{port} {mode}", *([other] if other else [])]


def test_what_is_added_says_why_and_is_otherwise_as_the_first_of_its_host() -> None:
    listed = candidate(
        587,
        STARTTLS,
        source=Source.ISPDB,
        trust=Trust.DIRECTORY,
        username="%EMAILLOCALPART%",
        logins=frozenset({Login.PASSWORD}),
        note="switch it on first",
    )
    first, added = expanded([listed], complete=False)
    assert first == listed
    assert added == candidate(
        465,
        TLS,
        source=Source.ISPDB,
        trust=Trust.DIRECTORY,
        username="%EMAILLOCALPART%",
        logins=frozenset({Login.PASSWORD}),
        note="switch it on first",
        derived=THE_OTHER,
    )


def test_what_is_added_is_as_the_one_that_is_named_first() -> None:
    named = (candidate(2525, STARTTLS, note="first"), candidate(8025, STARTTLS, note="second"))
    assert [it.note for it in expanded(named, complete=False)] == ["first", "second", "first"]


@pytest.mark.parametrize("trust", [Trust.OWNER, Trust.DIRECTORY])
def test_a_port_is_added_where_somebody_is_known_to_have_named_the_host(trust: Trust) -> None:
    assert len(told(candidate(465, TLS, trust=trust))) == 2


def test_no_port_is_added_to_a_host_that_anybody_may_have_named() -> None:
    assert told(candidate(465, TLS, trust=Trust.UNSIGNED)) == [f"{HOST}:465 implicit-tls"]


def test_no_port_is_added_where_the_source_says_all_that_there_is(provider: Any) -> None:
    assert told(candidate(465, TLS), complete=True) == [f"{HOST}:465 implicit-tls"]
    provider((465, Security.IMPLICIT_TLS), (2525, Security.STARTTLS))
    assert told(candidate(465, TLS), complete=True) == [f"{HOST}:465 implicit-tls"]


def test_a_port_is_added_on_the_same_host_alone() -> None:
    ways = told(candidate(465, TLS, "a.example.com"), candidate(587, STARTTLS, "b.example.com"))
    assert ways == [
        "a.example.com:465 implicit-tls",
        "a.example.com:587 starttls",
        "b.example.com:587 starttls",
        "b.example.com:465 implicit-tls",
    ]


def test_hosts_stay_in_the_order_in_which_they_are_named_first() -> None:
    ways = told(
        candidate(587, STARTTLS, "b.example.com"),
        candidate(465, TLS, "a.example.com"),
        candidate(465, TLS, "b.example.com"),
        candidate(587, STARTTLS, "a.example.com"),
    )
    assert ways == [
        "b.example.com:465 implicit-tls",
        "b.example.com:587 starttls",
        "a.example.com:465 implicit-tls",
        "a.example.com:587 starttls",
    ]


def test_within_a_host_the_usual_ports_come_first_and_of_those_tls_from_the_first_octet() -> None:
    ways = told(
        candidate(2525, STARTTLS), candidate(8465, TLS), candidate(587, STARTTLS), candidate(465, TLS)
    )
    assert ways == [
        f"{HOST}:465 implicit-tls",
        f"{HOST}:587 starttls",
        f"{HOST}:8465 implicit-tls",
        f"{HOST}:2525 starttls",
    ]


def test_what_the_source_lists_comes_before_what_is_added_even_on_an_unusual_port() -> None:
    assert told(candidate(2525, STARTTLS)) == [f"{HOST}:2525 starttls", f"{HOST}:465 implicit-tls"]


def test_what_the_source_itself_only_concludes_comes_after_what_it_lists() -> None:
    hint = candidate(465, TLS, derived="it lists this host without TLS")
    assert told(hint, candidate(587, STARTTLS)) == [f"{HOST}:587 starttls", f"{HOST}:465 implicit-tls"]


def test_ports_of_the_same_place_stay_in_the_order_of_the_source() -> None:
    assert told(candidate(2525, STARTTLS), candidate(2587, STARTTLS), candidate(465, TLS))[1:] == [
        f"{HOST}:2525 starttls",
        f"{HOST}:2587 starttls",
    ]


def test_a_port_has_one_mode_the_one_that_is_named_first() -> None:
    assert told(candidate(465, STARTTLS), candidate(465, TLS), complete=True) == [f"{HOST}:465 starttls"]
    assert told(candidate(465, TLS), candidate(465, STARTTLS), complete=True) == [f"{HOST}:465 implicit-tls"]


def test_the_same_is_not_tried_twice() -> None:
    assert told(candidate(465, TLS), candidate(465, TLS), complete=True) == [f"{HOST}:465 implicit-tls"]


def test_nor_where_it_is_the_very_same_object() -> None:
    twice = candidate(465, TLS)
    assert told(twice, twice, complete=True) == [f"{HOST}:465 implicit-tls"]


def test_nothing_leads_to_nothing() -> None:
    assert expanded([], complete=False) == ()


def test_the_ports_that_the_provider_is_known_to_have_are_tried_last(provider: Any) -> None:
    provider((465, Security.IMPLICIT_TLS), (587, Security.STARTTLS), (2525, Security.STARTTLS))
    ways = expanded([candidate(587, STARTTLS, note="of the source")], complete=False)
    assert [(it.route.port, it.derived) for it in ways] == [(587, ""), (465, LISTED), (2525, LISTED)]
    # Who we are there, the source says; the table adds ports alone.
    assert {(it.note, it.username, it.logins) for it in ways} == {
        ("of the source", "%EMAILADDRESS%", frozenset())
    }


def test_also_where_only_unsigned_dns_names_the_host_the_table_says_which_ports_it_has(provider: Any) -> None:
    provider((587, Security.STARTTLS), (2525, Security.STARTTLS))
    ways = expanded([candidate(587, STARTTLS, trust=Trust.UNSIGNED)], complete=False)
    assert [(it.route.port, it.trust) for it in ways] == [(587, Trust.UNSIGNED), (2525, Trust.UNSIGNED)]


def test_the_source_counts_more_than_the_table_about_a_ports_mode(provider: Any) -> None:
    provider((465, Security.IMPLICIT_TLS), (587, Security.STARTTLS))
    assert told(candidate(587, TLS)) == [f"{HOST}:587 implicit-tls", f"{HOST}:465 implicit-tls"]


def test_the_table_counts_more_than_what_is_usual_about_a_ports_mode(provider: Any) -> None:
    provider((465, Security.STARTTLS))
    assert told(candidate(587, STARTTLS)) == [f"{HOST}:587 starttls", f"{HOST}:465 starttls"]


def test_no_usual_port_is_added_of_a_mode_that_the_table_has_on_another_port(provider: Any) -> None:
    provider((8465, Security.IMPLICIT_TLS))
    assert told(candidate(587, STARTTLS)) == [f"{HOST}:587 starttls", f"{HOST}:8465 implicit-tls"]


def test_the_usual_port_is_added_of_a_mode_that_neither_names(provider: Any) -> None:
    provider((587, Security.STARTTLS))
    assert told(candidate(2525, STARTTLS)) == [
        f"{HOST}:2525 starttls",
        f"{HOST}:465 implicit-tls",
        f"{HOST}:587 starttls",
    ]


def test_no_usual_port_is_added_to_a_host_that_is_known_to_have_no_other(provider: Any) -> None:
    provider((587, Security.STARTTLS), only=True)
    assert told(candidate(587, STARTTLS)) == [f"{HOST}:587 starttls"]


def test_microsoft_365_has_no_port_465() -> None:
    assert told(candidate(587, STARTTLS, "smtp.office365.com")) == ["smtp.office365.com:587 starttls"]


def test_sendgrid_has_port_2525_whoever_names_it() -> None:
    assert told(candidate(587, STARTTLS, "smtp.sendgrid.net", source=Source.SRV)) == [
        "smtp.sendgrid.net:587 starttls",
        "smtp.sendgrid.net:465 implicit-tls",
        "smtp.sendgrid.net:2525 starttls",
    ]


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.sampled_from([443, 465, 587, 2525]),
        st.sampled_from([TLS, STARTTLS]),
        st.sampled_from(["a.example.com", "b.example.net", "smtp.office365.com", "smtp.sendgrid.net"]),
        trust=st.sampled_from(Trust),
        derived=st.sampled_from(["", "a hint"]),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(CANDIDATES, st.booleans())
def test_whatever_is_named_no_route_is_lost_or_there_twice_or_without_tls_or_on_port_25(
    candidates: list[Candidate], complete: bool
) -> None:
    ways = expanded(candidates, complete=complete)
    places = [(it.route.host, it.route.port) for it in ways]
    assert len(places) == len(set(places))
    assert {(it.route.host, it.route.port) for it in candidates} <= set(places)
    assert {it.route.host for it in ways} == {it.route.host for it in candidates}
    assert all(it.route.security.encrypted and it.route.port != 25 for it in ways)
    assert all(it in candidates or it.derived for it in ways)
    # It is done once more wherever it is asked for.
    assert set(expanded(ways, complete=True)) == set(ways)
