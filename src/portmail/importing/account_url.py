"""How is what was found said as PORTMAIL_URL? Which scheme and port, in characters that need no quotes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import quote_from_bytes

from portmail.importing.found import Found
from portmail.route import PORTS, RELAY, SUBMISSION, SUBMISSIONS, host_name
from portmail.security import Security

_USUAL: Mapping[str, int] = MappingProxyType(
    {"submission": SUBMISSION, "submissions": SUBMISSIONS, "relay": RELAY}
)
"""The port that a scheme means where none is written."""

_ENCRYPTED: Mapping[Security, str] = MappingProxyType(
    {Security.STARTTLS: "submission", Security.IMPLICIT_TLS: "submissions"}
)

_WEAK: Mapping[Security, str] = MappingProxyType(
    {
        Security.PLAINTEXT: "it asks for no TLS: there, the password travels in clear",
        Security.OPPORTUNISTIC: "it takes TLS only if offered: there, who takes the offer out of the line "
        "gets the password in clear",
    }
)
"""What is to be said aloud of a way on which credentials go."""


def account_url(found: Found, *, password: str | None = None, option: str = "") -> str:
    """The account as portmail has it; the password in it only if given.

    Whatever is in the names, the URL needs no quotes in a shell, in systemd's EnvironmentFile, nor in
    Docker's --env-file.

    Raises:
        InvalidRoute: the host is none.
    """
    scheme, port = _way(found)
    user = "" if found.username is None else escaped(found.username)
    if password is not None:
        user += f":{escaped(password)}"
    host = host_name(found.host)
    host = f"[{host}]" if ":" in host else host
    shown_port = "" if port is None or port == _USUAL.get(scheme) else f":{port}"
    return f"{scheme}://{user}{'@' if user else ''}{host}{shown_port}{option}"


def escaped(text: str) -> str:
    """Percent-encoded so that no shell sees anything in it, not even the ~ of a home directory."""
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="").replace("~", "%7E")


def _way(found: Found) -> tuple[str, int | None]:
    """Scheme and port."""
    security, port = found.security, found.port
    if security is not None and security in _ENCRYPTED:
        return _ENCRYPTED[security], port or _port_unsaid(found)
    by_port = _ENCRYPTED.get(PORTS.get(port or 0, Security.OPPORTUNISTIC))
    if found.username is None and security is not None:
        return (by_port, port) if port == SUBMISSIONS and by_port else ("relay", port or found.usual_port)
    # Credentials, or nothing is known: TLS in any case, of the kind that the port is for.
    return (by_port or ("submission" if port else "smtp"), port)


def _port_unsaid(found: Found) -> int | None:
    """Credentials go to the port that is for them; anything else where it goes today."""
    return found.usual_port if found.username is None else None


def notes_on_way(found: Found) -> Iterator[str]:
    """What is another way here than there, and why; the loud ones first."""
    scheme, port = _way(found)
    security, ours = found.security, _in_words(scheme, port=port)
    if security is None:
        return
    if security in _WEAK and found.username is not None:
        yield f"WARNING: {_WEAK[security]}. Not here: {ours}, or nothing is sent"
    elif security in _WEAK and scheme == "submissions":
        yield f"it asks for no TLS on port {SUBMISSIONS}, which is for implicit TLS: here it is {ours}"
    elif security is Security.PLAINTEXT:
        yield "it asks for no TLS; relay:// takes TLS where it is offered (?tls=none: never)"
    if security is Security.STARTTLS and port == SUBMISSIONS:
        yield (
            f"WARNING: STARTTLS on port {SUBMISSIONS} is answered by hardly any server: if not by this one, "
            "write submissions:// (implicit TLS)"
        )
    if security in _ENCRYPTED and found.port is None and (port or _USUAL[scheme]) != found.usual_port:
        yield f"no port is said: there that means {found.usual_port}, here {_USUAL[scheme]} ({ours})"


def _in_words(scheme: str, *, port: int | None) -> str:
    if scheme == "smtp":
        return f"TLS on {SUBMISSION}, then on {SUBMISSIONS}"
    kind = "implicit TLS" if scheme == "submissions" else "STARTTLS"
    return f"verified {kind} on {port or _USUAL[scheme]}"
