"""How is a route written in the settings? As an account URL, or as a port."""

from __future__ import annotations

from portmail.route import PORTS, RELAY, Route
from portmail.security import Security

_SCHEMES = {Security.IMPLICIT_TLS: "submissions", Security.STARTTLS: "submission"}


def url_of(route: Route) -> str:
    """An account URL for a route; where it takes a login, with a user name to be filled in."""
    scheme = _SCHEMES.get(route.security, "relay")
    usual = route.port == RELAY if scheme == "relay" else PORTS.get(route.port) is route.security
    host = f"[{route.host}]" if ":" in route.host else route.host
    user = "" if scheme == "relay" else "user@"
    how = "?tls=none" if route.security is Security.PLAINTEXT else ""
    return f"{scheme}://{user}{host}{'' if usual else f':{route.port}'}{how}"


def port_of(route: Route) -> str:
    """What follows `port=` in the settings, so that they mean this route."""
    usual = PORTS.get(route.port, Security.STARTTLS)  # what a port of no meaning is, with a login
    return str(route.port) if usual is route.security else f"{route.port}, security={route.security.value!r}"
