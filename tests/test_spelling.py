"""Does what is written of a route mean that route, when it is read again?"""

from __future__ import annotations

import pytest

from portmail.route import Route, routes_to
from portmail.security import Security
from portmail.spelling import port_of, url_of
from portmail.url import parse_url

HOSTS = ("mail.example.com", "2001:db8::1", "192.0.2.25")
PORTS = (25, 465, 587, 2525, 2465)
LOGINS = (Security.STARTTLS, Security.IMPLICIT_TLS)
RELAYS = (Security.OPPORTUNISTIC, Security.PLAINTEXT)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("security", [*LOGINS, *RELAYS], ids=lambda it: it.value)
def test_an_account_url_means_its_route(host: str, port: int, security: Security) -> None:
    route = Route(host, port, security)
    parsed = parse_url(url_of(route))
    login = security in LOGINS
    assert parsed.username == ("user" if login else None)
    assert routes_to(**parsed.route, authenticated=login) == (route,)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("security", LOGINS, ids=lambda it: it.value)
def test_a_port_means_its_route(port: int, security: Security) -> None:
    route = Route("mail.example.com", port, security)
    number, _, how = port_of(route).partition(", security=")  # as a person would write it in a program
    written = how.strip("'") or None
    assert routes_to(route.host, port=int(number), security=written, authenticated=True) == (route,)


def test_what_is_usual_is_not_written() -> None:
    assert url_of(Route("a.example", 587, Security.STARTTLS)) == "submission://user@a.example"
    assert url_of(Route("a.example", 465, Security.IMPLICIT_TLS)) == "submissions://user@a.example"
    assert url_of(Route("a.example", 25, Security.OPPORTUNISTIC)) == "relay://a.example"
    assert port_of(Route("a.example", 2525, Security.STARTTLS)) == "2525"
