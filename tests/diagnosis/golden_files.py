"""What does a person read whose mail does not go out?

Run as `python -m tests.diagnosis.golden_files`, it writes all of that anew. Each situation is a report
made by hand, on a day of its own: nothing of this machine is in it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from unittest import mock

from portmail import hosting
from portmail.case import Surroundings
from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.cli.check_report import show
from portmail.diagnosis import LoginOutcome, diagnose
from portmail.failure import Failure, Phase
from portmail.language import Language
from portmail.receipt import Attempt
from portmail.reply import Reply
from portmail.report import Probe, Report
from portmail.route import PORTS, RELAY, Route
from portmail.security import Security, TlsEvidence
from portmail.verdict import Verdict, judge

HERE = Path(__file__).parent / "golden"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOST, USER = "mail.example.com", "you@example.com"
SOMEWHERE, ALIVE = Surroundings(), Surroundings(alive=True)
KNOWN = replace(ALIVE, known=True)
ADDRESSES = {4: "192.0.2.25", 6: "2001:db8::25"}

SILENT = Failure(Phase.CONNECT, Cause.TIMED_OUT, "after 3.5 s")
FORBIDDEN = Failure(Phase.CONNECT, Cause.PROHIBITED)
REFUSED = Failure(Phase.CONNECT, Cause.REFUSED)
CUT_OFF = Failure(Phase.GREETING, Cause.DROPPED)
NO_STARTTLS = Failure(Phase.TLS, Cause.STARTTLS_NOT_OFFERED)
LISTED = "Service unavailable; Client host [203.0.113.45] blocked using zen.spamhaus.org"


def certificate(*names: str, issuer: str = "Example Trust CA", until: str = "2026-05-12") -> Certificate:
    start, end = (datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in ("2025-11-12", until))
    return Certificate(names, names[0], issuer, start, end)


def way(
    port: int,
    failure: Failure | None = None,
    *,
    host: str = HOST,
    family: int | None = 4,
    used: bool | None = None,
    security: Security | None = None,
    until: str = "2026-05-12",
) -> Probe:
    """A way of an account with a login, which has no use for a relay's port."""
    route = Route(host, port, security or PORTS[port])
    its = certificate(host, until=until)
    peer_name = host if route.security.encrypted else None
    probe = Probe(
        route=route,
        family=family,
        address=ADDRESSES.get(family or 0, ""),
        used=port != RELAY if used is None else used,
        phase=failure.phase if failure else Phase.DONE,
        failure=failure,
        seconds=3.5 if failure == SILENT else 0.2,
        certificate=failure.certificate if failure else its,
    )
    if failure:
        return probe
    tls = TlsEvidence("TLSv1.3", "TLS_AES_256_GCM_SHA384", peer_name)
    return replace(probe, tls=tls, mechanisms=("PLAIN", "LOGIN") if peer_name else ())


def reported(*probes: Probe, around: Surroundings = SOMEWHERE, login: Reply | None = None) -> Report:
    """What a check reports of these ways; `login` is the server's answer to one."""
    around = replace(around, username=USER, now=NOW)
    seen = [it.seen() for it in probes]
    seconds = max(it.seconds for it in probes)
    if login is None:
        return Report(probes, diagnose(seen, surroundings=around), seconds=seconds)
    failure = None if login.positive else Failure.of_reply(Phase.AUTH, login)
    verdict = judge(failure) if failure else Verdict.ACCEPTED
    attempt = Attempt(probes[0].route, Phase.AUTH, failure, verdict, 0.5)
    diagnosis = diagnose(seen, surroundings=around, login=LoginOutcome(failure))
    return Report(probes, diagnosis, login=attempt, showed_secret=True, seconds=seconds + 0.5)


def everywhere(failure: Failure, *, host: str = HOST, around: Surroundings = SOMEWHERE) -> Report:
    """The same on the ports of a submission, and silence on that of a relay."""
    ports = {587: failure, 465: failure, 25: SILENT}
    return reported(*(way(port, how, host=host) for port, how in ports.items()), around=around)


def nowhere(failure: Failure, *, around: Surroundings = SOMEWHERE) -> Report:
    """It ends before there is an address."""
    return reported(*(way(port, failure, family=None) for port in (587, 465, 25)), around=around)


def presented(cause: Cause, shown: Certificate) -> Report:
    """A server shows a certificate that is refused, on each port that is proved."""
    failure = Failure(Phase.TLS, cause, certificate=shown)
    return reported(way(587, failure), way(465, failure), replace(way(25), certificate=shown))


def logged_in(host: str, reply: Reply, *, port: int = 587) -> Report:
    return reported(way(port, host=host), login=reply)


def hosted_at(name: str) -> Surroundings:
    [place] = [line.hosting for line in hosting.lines() if line.hosting.id == name]
    return Surroundings(place=place.name, blocks=place.blocks, policy=place.words)


TAKES = Reply(235, "2.7.0", "Authentication successful")

SITUATIONS: Mapping[str, Report] = MappingProxyType(
    {
        "open": reported(*(way(port, family=family) for port in (587, 465, 25) for family in (4, 6))),
        "logged-in": logged_in(HOST, TAKES),
        "certificate-soon": reported(way(587, until="2026-03-08"), way(465, until="2026-03-08")),
        "open-in-part": reported(way(587, SILENT), way(465), way(25, SILENT)),
        "relay-open": reported(way(587, SILENT), way(465, SILENT), way(25, used=True)),
        "ipv6-dead": reported(
            *(way(port, how, family=it) for port in (587, 465) for it, how in ((4, None), (6, SILENT)))
        ),
        "blocked": everywhere(SILENT, host="smtp.gmail.com", around=KNOWN),
        "no-mail-port": everywhere(SILENT, around=ALIVE),
        "silent": everywhere(SILENT),
        "prohibited": everywhere(FORBIDDEN),
        "reset": everywhere(CUT_OFF),
        "op25b": reported(way(25, SILENT, used=True), way(587, used=False), way(465, used=False)),
        "blocked-by-hosting": everywhere(SILENT, around=hosted_at("digitalocean")),
        "other-port-open": reported(
            way(587, SILENT),
            way(465, SILENT),
            way(25, SILENT),
            way(2525, used=False, security=Security.STARTTLS),
        ),
        "wrong-port": reported(way(587, REFUSED), way(465, used=False), way(25, SILENT)),
        "refused": reported(way(587, REFUSED), way(465, REFUSED), way(25, REFUSED)),
        "offline": nowhere(
            Failure(Phase.CONNECT, Cause.RESOLVER_FAILED, HOST), around=Surroundings(online=False)
        ),
        "resolver-down": nowhere(Failure(Phase.CONNECT, Cause.RESOLVER_FAILED, f"{HOST} after 10.0 s")),
        "no-such-host": nowhere(Failure(Phase.CONNECT, Cause.NAME_NOT_FOUND, HOST)),
        "captive-portal": everywhere(Failure(Phase.GREETING, Cause.PORTAL, "HTTP/1.1 302 Found")),
        "starttls-stripped": reported(
            way(587, Failure(Phase.TLS, Cause.STARTTLS_STRIPPED, "250-XXXXXXXA")),
            way(465, SILENT),
            way(25, SILENT),
        ),
        "starttls-not-offered": reported(way(587, NO_STARTTLS), way(465, REFUSED), way(25, SILENT)),
        "transparent-proxy": reported(
            way(587, Failure(Phase.TLS, Cause.PROXY, f"it calls itself relay.example.net, not {HOST}")),
            way(465, SILENT),
            way(25, SILENT),
        ),
        "certificate-expired": presented(Cause.CERTIFICATE_EXPIRED, certificate(HOST, until="2026-02-27")),
        "certificate-name": presented(
            Cause.CERTIFICATE_NAME, certificate("sv1.hosting.example", "*.hosting.example")
        ),
        "certificate-untrusted": presented(
            Cause.CERTIFICATE_UNTRUSTED, certificate(HOST, issuer="Example Company CA")
        ),
        "intercepted": presented(
            Cause.CERTIFICATE_INTERCEPTED,
            certificate(HOST, issuer="Avast Web/Mail Shield Root"),
        ),
        "tls-on-plain-port": reported(
            way(587, Failure(Phase.TLS, Cause.TLS_ON_PLAIN_PORT), security=Security.IMPLICIT_TLS),
            way(465, used=False),
            way(25, SILENT),
        ),
        "plain-on-tls-port": reported(
            way(465, Failure(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT), security=Security.STARTTLS),
            way(587, used=False),
            way(25, SILENT),
        ),
        "busy": everywhere(
            Failure.of_reply(
                Phase.GREETING, Reply(421, "4.7.0", f"{HOST} Error: too many connections from 203.0.113.45")
            )
        ),
        "turned-away": everywhere(
            Failure.of_reply(
                Phase.GREETING,
                Reply(554, "5.7.1", LISTED),
            )
        ),
        "login-refused": logged_in(HOST, Reply(535, "5.7.8", "Error: authentication failed")),
        "microsoft": logged_in(
            "smtp.office365.com",
            Reply(535, "5.7.139", "Authentication unsuccessful, basic authentication is disabled."),
        ),
        "gmail": logged_in(
            "smtp.gmail.com",
            Reply(535, "5.7.8", "Username and Password not accepted."),
        ),
        "yahoo-japan": reported(
            way(587, NO_STARTTLS, host="smtp.mail.yahoo.co.jp"),
            way(465, host="smtp.mail.yahoo.co.jp"),
            way(25, SILENT, host="smtp.mail.yahoo.co.jp"),
        ),
        "docomo": logged_in("smtp.spmode.ne.jp", Reply(535, "5.7.8", "authentication failed"), port=465),
    }
)
"""Each by the name of its file."""


def rendered(name: str, language: Language) -> str:
    """What `portmail check` prints into a pipe."""
    stream = io.StringIO()
    with mock.patch("portmail.report.datetime", wraps=datetime) as clock:
        clock.now.return_value = NOW
        show(SITUATIONS[name], language=language, stream=stream)
    return stream.getvalue()


def golden(name: str, language: Language) -> Path:
    """Where it is kept."""
    return HERE / f"{name}.{language.value}.txt"


def main() -> None:
    """Write all of them, and take away what is no more."""
    HERE.mkdir(exist_ok=True)
    files = {golden(name, language): rendered(name, language) for name in SITUATIONS for language in Language}
    for path in set(HERE.iterdir()) - set(files):
        path.unlink()
    for path, text in files.items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
