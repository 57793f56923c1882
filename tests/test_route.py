"""Which ways may a message go? Hosts, ports, and what the user's words allow."""

from __future__ import annotations

import pytest

from portmail.envelope import mailbox
from portmail.errors import ConfigurationError, CredentialsOnRelay, InvalidRoute
from portmail.route import Route, refuse_weak, relay_routes, routes_to
from portmail.security import Security

IMPLICIT, STARTTLS = Security.IMPLICIT_TLS, Security.STARTTLS
OPPORTUNISTIC, PLAINTEXT = Security.OPPORTUNISTIC, Security.PLAINTEXT
HOST = "mail.example.com"


def found(port: int | None, security: Security | None, *, authenticated: bool) -> list[str]:
    routes = routes_to(HOST, port=port, security=security, authenticated=authenticated)
    return [str(route).removeprefix(f"{HOST}:") for route in routes]


ALL_PORTS = ["587 starttls", "465 implicit-tls", "25 opportunistic"]


# port, security -> routes with credentials (None: refused), routes without
TABLE: dict[tuple[int | None, Security | None], tuple[list[str] | None, list[str]]] = {
    (None, None): (ALL_PORTS[:2], ALL_PORTS),
    (587, None): (["587 starttls"], ["587 starttls"]),
    (465, None): (["465 implicit-tls"], ["465 implicit-tls"]),
    (25, None): (["25 starttls"], ["25 opportunistic"]),
    (2525, None): (["2525 starttls"], ["2525 opportunistic"]),
    (None, IMPLICIT): (["465 implicit-tls"], ["465 implicit-tls"]),
    (None, STARTTLS): (["587 starttls"], ["587 starttls"]),
    (None, OPPORTUNISTIC): (None, ["25 opportunistic"]),
    (None, PLAINTEXT): (None, ["25 plaintext"]),
    (587, IMPLICIT): (["587 implicit-tls"], ["587 implicit-tls"]),
    (465, STARTTLS): (["465 starttls"], ["465 starttls"]),
    (25, STARTTLS): (["25 starttls"], ["25 starttls"]),
    (25, IMPLICIT): (["25 implicit-tls"], ["25 implicit-tls"]),
    (587, OPPORTUNISTIC): (None, ["587 opportunistic"]),
    (465, PLAINTEXT): (None, ["465 plaintext"]),
}


@pytest.mark.parametrize(
    ("port", "security"), list(TABLE), ids=lambda wish: getattr(wish, "value", str(wish))
)
def test_a_users_words_mean_these_routes(port: int | None, security: Security | None) -> None:
    authenticated, anonymous = TABLE[port, security]
    assert found(port, security, authenticated=False) == anonymous
    if authenticated is not None:
        assert found(port, security, authenticated=True) == authenticated
        refuse_weak(routes_to(HOST, port=port, security=security, authenticated=True))
    else:
        with pytest.raises(CredentialsOnRelay, match="does not require TLS"):
            refuse_weak(routes_to(HOST, port=port, security=security, authenticated=True))


@pytest.mark.parametrize("security", [None, STARTTLS])
def test_port_0_is_a_mistake_and_not_another_port(security: Security | None) -> None:
    with pytest.raises(InvalidRoute):
        routes_to(HOST, port=0, security=security, authenticated=False)


def test_a_security_given_by_its_value_means_the_same_port() -> None:
    by_value: Security = "starttls"  # type: ignore[assignment]
    assert found(None, by_value, authenticated=True) == ["587 starttls"]


def test_a_relay_is_port_25_with_tls_if_offered() -> None:
    assert relay_routes(HOST) == (Route(HOST, 25, OPPORTUNISTIC),)


def test_only_modes_that_insist_on_verified_tls_count_as_encrypted() -> None:
    assert {security for security in Security if security.encrypted} == {IMPLICIT, STARTTLS}


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        pytest.param("mail.example.com", "mail.example.com", id="name"),
        pytest.param("MAIL.Example.COM.", "mail.example.com", id="capitals, trailing dot"),
        pytest.param(" mail.example.com\n", "mail.example.com", id="space around it"),
        pytest.param("localhost", "localhost", id="single label"),
        pytest.param("mail_1.corp", "mail_1.corp", id="underscore"),
        pytest.param("x" * 63 + ".example", "x" * 63 + ".example", id="the longest label"),
        pytest.param("münchen.example", "xn--mnchen-3ya.example", id="IDN"),
        pytest.param("MÜNCHEN.example.", "xn--mnchen-3ya.example", id="IDN, capitals, trailing dot"),
        pytest.param("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", id="A-labels"),
        pytest.param("例え.テスト", "xn--r8jz45g.xn--zckzah", id="another script"),
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("[2001:DB8:0::1]", "2001:db8::1", id="IPv6 in brackets"),
        pytest.param("fe80::1%eth0", "fe80::1%eth0", id="IPv6 with a scope"),
        pytest.param("fe80::1%br-lan_0.7:1", "fe80::1%br-lan_0.7:1", id="IPv6 with an odd scope"),
    ],
)
def test_a_host_is_kept_as_it_is_dialled_and_verified(host: str, kept: str) -> None:
    assert Route(host, 25, STARTTLS).host == kept


@pytest.mark.parametrize(
    "domain",
    ["straße.example", "\N{GREEK SMALL LETTER BETA}\N{GREEK SMALL LETTER FINAL SIGMA}.example"],
    ids=["sharp s", "final sigma"],
)
def test_a_host_is_the_same_host_as_in_an_address(domain: str) -> None:
    # IDNA 2003 maps ß to ss: another host, maybe of another owner (RFC 5894 section 7.2).
    assert Route(domain, 25, STARTTLS).host == mailbox(f"me@{domain}").path.partition("@")[2]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("", id="empty"),
        pytest.param("  ", id="space"),
        pytest.param(".", id="dot"),
        pytest.param("a..b", id="two dots"),
        pytest.param("mail example", id="space inside"),
        pytest.param("mail.example.com:587", id="with port"),
        pytest.param("smtp://mail.example.com", id="with scheme"),
        pytest.param("me@mail.example.com", id="with user"),
        pytest.param("mail.example.com/", id="with path"),
        pytest.param("-mail.example.com", id="hyphen in front"),
        pytest.param("mail-.example.com", id="hyphen behind"),
        pytest.param("x" * 64, id="label too long"),
        pytest.param(".".join(["x" * 63] * 4), id="name too long"),
        pytest.param("mail\r\nQUIT", id="line end"),
        pytest.param("mail\0", id="NUL"),
        pytest.param("\u2063", id="nothing visible"),
        pytest.param(None, id="None"),
        pytest.param(587, id="a number"),
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidRoute, match="host name"):
        Route(host, 25, STARTTLS)


@pytest.mark.parametrize("zone", ["\r\nX", "\x1b[2J", "e th0", "\u202e", "x" * 65, "é"], ids=ascii)
def test_an_address_brings_nothing_into_a_log_behind_its_scope(zone: str) -> None:
    with pytest.raises(InvalidRoute, match="no interface"):
        Route(f"fe80::1%a{zone}b", 25, STARTTLS)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "25", 25.0, None])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(InvalidRoute, match="1 to 65535"):
        Route(HOST, port, STARTTLS)


def test_what_is_no_security_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Route(HOST, 25, "ssl")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (Route(HOST, 587, STARTTLS), "mail.example.com:587 starttls"),
        (Route(HOST, 465, IMPLICIT), "mail.example.com:465 implicit-tls"),
        (Route("10.0.0.1", 25, OPPORTUNISTIC), "10.0.0.1:25 opportunistic"),
        (Route("::1", 25, PLAINTEXT), "[::1]:25 plaintext"),
    ],
    ids=str,
)
def test_a_route_prints_as_host_port_and_security(route: Route, text: str) -> None:
    assert str(route) == text


def test_a_host_with_a_port_is_told_how_to_give_both() -> None:
    with pytest.raises(InvalidRoute, match=r"give host='mail\.example\.com', port=587"):
        Route("mail.example.com:587", 25, Security.STARTTLS)
