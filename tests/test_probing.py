"""What becomes of one way, and is it told for what it is? Servers of all kinds, on loopback."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, route_memory
from portmail.failure import Failure, RouteFailed
from portmail.probing import Probing
from portmail.report import OPEN, Probe, Report
from portmail.sandbox import Sandbox
from portmail.situation import Situation
from portmail.transports.intake import WireFailed
from portmail.transports.smtp import _without_tls
from tests.clock import run_fast
from tests.leaks import PASSWORD, USER
from tests.names import found_on_loopback
from tests.proof.certificates.ca import AUTHORITY, PAST, Issued, Wish, World, issue
from tests.servers.dialogue import Player, play
from tests.test_pool import cancelled, run, said, until

NAME = "mail.example.test"
"""A host that is not this machine, but is found there."""

QUICK = Timeouts(connect=2.0, greeting=0.3, command=2.0)

HELLO = f"S: 220 {NAME} ESMTP\nC: EHLO *\n"
STARTTLS = f"{HELLO}S: 250-{NAME}\nS: 250 STARTTLS\nC: STARTTLS\n"
OFFER = f"C: EHLO *\nS: 250-{NAME} hello\nS: 250-SIZE 1000\nS: 250 AUTH PLAIN LOGIN\n"
SECURE = f"{STARTTLS}S: 220 go ahead\nTLS\n"
WEB = 'RAW "HTTP/1.1 302 Found\\r\\nLocation: http://login.hotel.example/\\r\\n\\r\\n"\nCLOSE'
BLOTTED = "S: 220 ****************************\nC: EHLO *\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def tls(world: World) -> ssl.SSLContext:
    return served(issue(Wish(hosts=[NAME, f"*.{NAME}"]), by=world.issuer), world=world)


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The name is found on loopback, what was learnt is forgotten, and no other ports are probed."""
    found_on_loopback(NAME, monkeypatch=monkeypatch)
    monkeypatch.setattr("portmail.checking.routes_to_probe", tuple)
    route_memory._memory.cache_clear()
    yield
    route_memory._memory.cache_clear()


def served(issued: Issued, *, world: World) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.file(issued.chain(*issued.above)))
    return context


def checked(port: int, security: Security = Security.STARTTLS, **wishes: Any) -> Report:
    told = {"routes": (Route(NAME, port, security),), "timeouts": QUICK, "local_hostname": "web1.example"}

    async def scenario() -> Report:
        async with portmail.AsyncSubmitter(**{**told, **wishes}) as mail:
            return await mail.check()

    report: Report = run(scenario())
    return report


def probed(port: int, security: Security = Security.STARTTLS, **wishes: Any) -> Probe:
    [probe] = checked(port, security, **wishes).probes
    return probe


def goodbyes(player: Player) -> list[bool]:
    """Of each connection, whether the last that the client said is QUIT."""
    return [bytes(visit.received).endswith(b"QUIT\r\n") for visit in vars(player)["_seen"]]


def nothing_confidential(*players: Player) -> bool:
    """Whether nobody heard of a login or a message, however he begged for it."""
    heard = b"\n".join(player.received for player in players)
    return re.search(rb"^(?:AUTH |MAIL FROM|RCPT TO)", heard, re.MULTILINE | re.IGNORECASE) is None


# ------------------------------------------------------------------------------------------ what is open


SOMEBODY = {"username": "me", "password": "secret"}


@pytest.mark.parametrize(
    "case",
    [(OPEN, "AUTH PLAIN", wishes) for wishes in ({}, SOMEBODY)]
    + [("no-mechanism", "SIZE 1000", wishes) for wishes in ({}, SOMEBODY)],
    ids=["nobody", "somebody", "nobody, without AUTH", "somebody, without AUTH"],
)
def test_a_way_that_mail_does_not_take_is_one_for_logins(
    case: tuple[str, str, dict[str, Any]],
    tls: ssl.SSLContext,
    world: World,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, offer, wishes = case
    sandbox.close_port(587)
    script = f"TLS\nS: 220 {NAME}\nC: EHLO *\nS: 250-{NAME}\nS: 250 {offer}\nC: QUIT\nS: 221 bye"
    with play(script, tls=tls) as player:
        other = Route(NAME, player.port, Security.IMPLICIT_TLS)
        monkeypatch.setattr("portmail.checking.routes_to_probe", lambda used: (*used, other))
        report = checked(sandbox.port(587), tls_ca=world.ca, **wishes)
    assert [(it.used, it.kind) for it in report.probes] == [(True, "refused"), (False, kind)]
    assert report.route == (other if kind == OPEN else None)


@pytest.mark.parametrize(
    ("security", "script"),
    [
        (Security.STARTTLS, SECURE + OFFER),
        (Security.IMPLICIT_TLS, f"TLS\nS: 220 {NAME} ESMTP\n{OFFER}"),
    ],
)
def test_an_open_way_is_told_with_all_that_was_seen(
    security: Security, script: str, tls: ssl.SSLContext, world: World
) -> None:
    with play(script, tls=tls) as player:
        probe = probed(player.port, security, tls_ca=world.ca)
        player.check()
    assert (probe.kind, probe.phase, probe.failure, probe.used) == (OPEN, Phase.DONE, None, True)
    assert (probe.family, probe.address) == (4, "127.0.0.1")
    assert (probe.greeting, probe.name) == (f"220 {NAME} ESMTP", NAME)
    assert probe.tls is not None
    assert (probe.tls.version, probe.tls.peer_name) == ("TLSv1.3", NAME)
    assert probe.tls.cipher.startswith("TLS_")
    assert probe.certificate is not None
    assert probe.certificate.names == (NAME, f"*.{NAME}")
    assert probe.certificate.issuer == "Proof Issuer"
    assert probe.days_left == 89
    assert probe.certificate.not_before < datetime.now(UTC) < probe.certificate.not_after
    assert (probe.extensions, probe.mechanisms) == (("SIZE", "AUTH"), ("PLAIN", "LOGIN"))
    assert 0 < probe.seconds < 5
    assert player.connections == 1
    assert goodbyes(player) == [True]
    assert nothing_confidential(player)


def test_what_was_offered_before_tls_does_not_count(tls: ssl.SSLContext, world: World) -> None:
    before = (
        f"{HELLO}S: 250-{NAME}\nS: 250-AUTH GSSAPI\nS: 250-DSN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
    )
    with play(f"{before}TLS\n{OFFER}", tls=tls) as player:
        probe = probed(player.port, tls_ca=world.ca)
    assert (probe.extensions, probe.mechanisms) == (("SIZE", "AUTH"), ("PLAIN", "LOGIN"))


def test_a_relay_is_open_without_encryption_and_that_is_told() -> None:
    with play(f"{HELLO}S: 502 what?\nC: HELO *\nS: 250 {NAME}") as player:
        report = checked(player.port, Security.OPPORTUNISTIC)
    [probe] = report.probes
    assert (probe.kind, probe.tls, probe.certificate) == (OPEN, None, None)
    assert report.diagnosis.situation is Situation.OPEN_UNENCRYPTED


def test_the_encryption_of_a_relay_proves_nothing_and_shows_its_certificate(tls: ssl.SSLContext) -> None:
    with play(SECURE + OFFER, tls=tls) as player:
        probe = probed(player.port, Security.OPPORTUNISTIC)
    assert probe.tls is not None
    assert probe.tls.peer_name is None
    assert probe.certificate is not None
    assert probe.certificate.issuer == "Proof Issuer"


# ---------------------------------------------------------------------------------- each kind of failure


class Case(NamedTuple):
    """A server's part, and what is told of it."""

    scripts: str | list[str]
    cause: Cause
    phase: Phase
    situation: Situation
    security: Security = Security.STARTTLS
    told: str = ""


PLAIN, TLS = Security.STARTTLS, Security.IMPLICIT_TLS
CASES: MappingProxyType[str, Case] = MappingProxyType(
    {
        "silence": Case("SILENCE", Cause.SILENT, Phase.GREETING, Situation.MUTE),
        "silence in place of TLS": Case("SILENCE", Cause.NO_REPLY, Phase.TLS, Situation.MUTE, TLS),
        "silence behind TLS": Case("TLS\nSILENCE", Cause.NO_REPLY, Phase.GREETING, Situation.MUTE, TLS),
        "TLS on a port for STARTTLS": Case(
            [f"S: 220 {NAME} ESMTP\nPLAINTEXT\nSILENCE", HELLO + "S: 250 x"],
            Cause.TLS_ON_PLAIN_PORT,
            Phase.TLS,
            Situation.TLS_ON_PLAIN_PORT,
            TLS,
        ),
        "a web page": Case(WEB, Cause.PORTAL, Phase.GREETING, Situation.PORTAL, told="302 Found"),
        "a web page in place of TLS": Case(WEB, Cause.PORTAL, Phase.TLS, Situation.PORTAL, TLS, "302 Found"),
        "a web server that was asked with TLS": Case(
            'PLAINTEXT\nRAW "HTTP/1.1 400 Bad Request\\r\\n\\r\\n"\nCLOSE',
            Cause.PORTAL,
            Phase.TLS,
            Situation.PORTAL,
            TLS,
            "400 Bad Request",
        ),
        "a page without a header": Case(
            'PLAINTEXT\nRAW "\\r\\n<!DOCTYPE HTML><p>400"\nCLOSE',
            Cause.PORTAL,
            Phase.TLS,
            Situation.PORTAL,
            TLS,
            "<!DOCTYPE HTML>",
        ),
        "a web server behind STARTTLS": Case(
            f"{STARTTLS}S: 220 go\nPLAINTEXT\nS: HTTP/1.1 400 Bad Request\nCLOSE",
            Cause.TLS_ON_PLAIN_PORT,
            Phase.TLS,
            Situation.TLS_ON_PLAIN_PORT,
        ),
        "a mail server that speaks of the web": Case(
            [f"S: 220 {NAME} HTTP/1.1\nPLAINTEXT\nSILENCE", HELLO + "S: 250 x"],
            Cause.TLS_ON_PLAIN_PORT,
            Phase.TLS,
            Situation.TLS_ON_PLAIN_PORT,
            TLS,
        ),
        "another service": Case(
            "S: SSH-2.0-OpenSSH_9\nCLOSE", Cause.NOT_SMTP, Phase.GREETING, Situation.NOT_SMTP
        ),
        "another service in place of TLS": Case(
            "S: SSH-2.0-OpenSSH_9\nCLOSE", Cause.NOT_SMTP, Phase.GREETING, Situation.NOT_SMTP, TLS
        ),
        "a greeting that is blotted out": Case(
            f"{BLOTTED}S: 250-{NAME}\nS: 250 SIZE 1000",
            Cause.STARTTLS_STRIPPED,
            Phase.TLS,
            Situation.STRIPPED,
            told="greeting",
        ),
        "an extension that is blotted out": Case(
            f"{HELLO}S: 250-{NAME}\nS: 250-XXXXXXXA\nS: 250 AUTH PLAIN",
            Cause.STARTTLS_STRIPPED,
            Phase.TLS,
            Situation.STRIPPED,
            told="XXXXXXXA",
        ),
        "a proxy of another name": Case(
            "S: 220 proxy\nC: EHLO *\nS: 250-relay7.carrier.example\nS: 250 AUTH PLAIN",
            Cause.PROXY,
            Phase.TLS,
            Situation.PROXY,
            told="relay7.carrier.example",
        ),
        "logins in clear": Case(
            f"{HELLO}S: 250-{NAME}\nS: 250 AUTH PLAIN LOGIN",
            Cause.CLEAR_AUTH,
            Phase.TLS,
            Situation.CLEAR_AUTH,
        ),
        "no STARTTLS": Case(
            f"{HELLO}S: 250 {NAME}", Cause.STARTTLS_NOT_OFFERED, Phase.TLS, Situation.NO_STARTTLS
        ),
        "STARTTLS refused": Case(
            f"{STARTTLS}S: 454 not now", Cause.STARTTLS_REFUSED, Phase.TLS, Situation.TLS_FAILED
        ),
        "words behind STARTTLS": Case(
            f'{STARTTLS}RAW "220 go\\r\\n250 injected\\r\\n"\nSILENCE',
            Cause.STARTTLS_INJECTION,
            Phase.TLS,
            Situation.INJECTED,
        ),
        "no TLS behind STARTTLS": Case(
            f"{STARTTLS}S: 220 go\nPLAINTEXT\nS: 500 what?\nCLOSE",
            Cause.TLS_ON_PLAIN_PORT,
            Phase.TLS,
            Situation.TLS_ON_PLAIN_PORT,
        ),
        "the end behind STARTTLS": Case(
            f"{STARTTLS}S: 220 go\nCLOSE", Cause.TLS_FAILED, Phase.TLS, Situation.TLS_FAILED
        ),
        "421 at once": Case(
            "S: 421 4.3.2 too many connections\nCLOSE",
            Cause.REFUSED_TRANSIENT,
            Phase.GREETING,
            Situation.BUSY,
            told="too many",
        ),
        "554 at once": Case(
            "S: 554 5.7.1 you are on a list\nCLOSE",
            Cause.REFUSED_PERMANENT,
            Phase.GREETING,
            Situation.TURNED_AWAY,
            told="on a list",
        ),
        "554 in TLS": Case(
            "TLS\nS: 554 5.7.1 you are on a list\nCLOSE",
            Cause.REFUSED_PERMANENT,
            Phase.GREETING,
            Situation.TURNED_AWAY,
            TLS,
        ),
        "closed": Case("CLOSE", Cause.DROPPED, Phase.GREETING, Situation.DROPPED),
        "reset": Case("PAUSE 0.03\nRESET", Cause.DROPPED, Phase.GREETING, Situation.DROPPED),
        "closed in place of TLS": Case("CLOSE", Cause.DROPPED, Phase.TLS, Situation.DROPPED, TLS),
        "EHLO refused for now": Case(
            f"{HELLO}S: 450 later", Cause.REFUSED_TRANSIENT, Phase.EHLO, Situation.BUSY
        ),
        "EHLO refused": Case(
            f"{HELLO}S: 550 5.7.1 not from there", Cause.REFUSED_PERMANENT, Phase.EHLO, Situation.TURNED_AWAY
        ),
        "lost after EHLO": Case(f"{HELLO}CLOSE", Cause.LOST, Phase.EHLO, Situation.OTHER),
        "no login that fits": Case(
            f"{SECURE}C: EHLO *\nS: 250-{NAME}\nS: 250 AUTH GSSAPI",
            Cause.NO_MECHANISM,
            Phase.EHLO,
            Situation.NO_MECHANISM,
            told="GSSAPI",
        ),
        "no login at all": Case(
            f"{SECURE}C: EHLO *\nS: 250 {NAME}", Cause.NO_MECHANISM, Phase.EHLO, Situation.NO_MECHANISM
        ),
    }
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_kind_of_failure_is_told_for_what_it_is(
    case: Case, tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = case.cause in (Cause.SILENT, Cause.NO_REPLY)
    timeouts = Timeouts(connect=0.3, greeting=0.3) if mute else Timeouts(connect=5, greeting=5)
    if mute:
        monkeypatch.setattr("portmail.probing._QUIET", 0.1)
    with play(case.scripts, tls=tls) as player:
        report = checked(
            player.port, case.security, tls_ca=world.ca, username=USER, password=PASSWORD, timeouts=timeouts
        )
        assert nothing_confidential(player)
    [probe] = report.probes
    assert probe.failure is not None
    assert (probe.kind, probe.phase) == (case.cause.value, case.phase)
    assert case.told in str(probe.failure)
    assert (report.diagnosis.situation, report.can_send) == (case.situation, False)


GREETED = [name for name, case in CASES.items() if "C: EHLO" in str(case.scripts) and case.security is PLAIN]
BROKEN = (
    "words behind STARTTLS",
    "no TLS behind STARTTLS",
    "a web server behind STARTTLS",
    "the end behind STARTTLS",
    "lost after EHLO",
)
"""Where the connection is of no use for words any more."""


@pytest.mark.parametrize("name", [name for name in GREETED if name not in BROKEN])
def test_it_says_goodbye_wherever_it_was_greeted(name: str, tls: ssl.SSLContext, world: World) -> None:
    with play(CASES[name].scripts, tls=tls) as player:
        probed(player.port, tls_ca=world.ca, username=USER, password=PASSWORD)
        assert [visit.ended.wait(5) for visit in vars(player)["_seen"]] == [True]
        player.check()
        assert goodbyes(player) == [True]


def test_a_port_where_nobody_listens_refuses(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    report = checked(sandbox.port(587))
    [probe] = report.probes
    assert (probe.kind, probe.phase, probe.address) == ("refused", Phase.CONNECT, "127.0.0.1")
    assert (probe.greeting, probe.name, probe.tls, probe.certificate) == ("", "", None, None)
    assert report.diagnosis.situation is Situation.REFUSED


def test_a_port_behind_a_firewall_is_silent(sandbox: Sandbox) -> None:
    sandbox.block(587)
    report = checked(sandbox.port(587), timeouts=Timeouts(connect=0.2))
    assert report.probes[0].kind == "timed-out"
    assert report.diagnosis.situation is Situation.NO_MAIL_PORT  # the host refuses on another: it is alive


def test_a_silent_port_that_speaks_tls_is_told_as_that_long_before_the_greeting_is_due(
    tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", 0.05)
    with play("TLS\nS: 220 hi\nC: EHLO *\nS: 250 x", tls=tls) as player:
        report = checked(player.port, tls_ca=world.ca, timeouts=Timeouts(greeting=30))
        assert goodbyes(player) == [False, True]
    [probe] = report.probes
    assert (probe.kind, probe.phase) == ("plain-on-tls-port", Phase.GREETING)
    assert probe.seconds < 3
    assert report.diagnosis.situation is Situation.PLAIN_ON_TLS_PORT


def test_what_answers_tls_in_clear_and_is_silent_otherwise_takes_no_time(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", 0.1)
    with play(["PLAINTEXT\nS: what is that?\nCLOSE", "SILENCE"], tls=tls) as player:
        probe = probed(player.port, TLS, timeouts=Timeouts(greeting=30))
        assert player.connections == 2
    assert (probe.kind, probe.phase) == ("tls-on-plain-port", Phase.TLS)
    assert probe.seconds < 3


def test_its_certificate_need_not_be_good_for_that(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", 0.05)
    with play("TLS\nS: 220 hi\nC: EHLO *\nS: 250 x", tls=tls) as player:
        assert probed(player.port, timeouts=Timeouts(greeting=30)).kind == "plain-on-tls-port"


def test_a_greeting_that_is_slow_is_still_heard(
    tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look finds a server that says nothing, either."""
    monkeypatch.setattr("portmail.probing._QUIET", 0.02)
    with play([f"PAUSE 0.1\n{SECURE}{OFFER}", "CLOSE"], tls=tls) as player:
        assert probed(player.port, tls_ca=world.ca, timeouts=5).kind == OPEN
        assert player.connections == 2


def test_a_greeting_that_comes_while_the_other_mode_is_tried_counts(
    tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", 0.02)
    scripts = [f"PAUSE 0.05\n{SECURE}{OFFER}", f"PAUSE 0.2\nTLS\nS: 220 {NAME}\n{OFFER}"]
    with play(scripts, tls=tls) as player:
        assert probed(player.port, tls_ca=world.ca, timeouts=5).kind == OPEN
        assert player.connections == 2


class Look:
    """A second look that takes its time; `begun` is when, on a clock that jumps."""

    def __init__(self, *, seconds: float, failure: Failure | None) -> None:
        self.begun: float | None = None
        self.stopped = False
        self._seconds, self._failure = seconds, failure

    async def __call__(self) -> Failure | None:
        self.begun = round(asyncio.get_running_loop().time(), 1)
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return self._failure


def waited(look: Look, *, port: int, greeting: float, security: Security = PLAIN) -> tuple[Any, float]:
    """What comes of a greeting that takes so many seconds, and when that is known."""

    async def greeted() -> Any:
        await asyncio.sleep(greeting)
        return "greeting"

    async def scenario() -> tuple[Any, float]:
        probing = Probing.__new__(Probing)
        vars(probing)["_other_look"] = look
        came: Any
        try:
            came = await probing._unless_mute(greeted(), route=Route(NAME, port, security))
        except RouteFailed as exc:
            came = exc.failure.cause
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return came, round(asyncio.get_running_loop().time(), 1)

    return run_fast(scenario())


@pytest.mark.parametrize(
    ("port", "begins"), [(465, 2), (443, 2), (2465, 2), (8025, 2), (587, 8), (2525, 8), (25, None)]
)
def test_a_port_where_silence_means_a_slow_server_is_not_spoken_to_before_it_greets(
    port: int, begins: float | None
) -> None:
    """postscreen lets strangers wait for six seconds on port 25, and remembers who did not."""
    look = Look(seconds=0.1, failure=Failure(Phase.TLS, Cause.NO_REPLY))
    came, when = waited(look, port=port, greeting=20)
    assert look.begun == begins
    assert (came, when) == ("greeting", 20)


@pytest.mark.parametrize("port", [25, 587, 2525])
def test_a_greeting_after_six_seconds_is_alone_there(port: int) -> None:
    look = Look(seconds=0.1, failure=None)
    assert waited(look, port=port, greeting=6) == ("greeting", 6)
    assert look.begun is None


@pytest.mark.parametrize("security", [TLS, Security.OPPORTUNISTIC, Security.PLAINTEXT])
def test_only_where_starttls_is_awaited_there_is_a_second_look(security: Security) -> None:
    look = Look(seconds=0.1, failure=None)
    assert waited(look, port=465, greeting=20, security=security) == ("greeting", 20)
    assert look.begun is None


def test_a_greeting_that_comes_amid_the_second_look_stops_it_and_counts() -> None:
    look = Look(seconds=60, failure=None)
    assert waited(look, port=465, greeting=3) == ("greeting", 3)
    assert look.stopped


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (None, Cause.PLAIN_ON_TLS_PORT),
        (Failure(Phase.GREETING, Cause.REFUSED_TRANSIENT), Cause.PLAIN_ON_TLS_PORT),
        (Failure(Phase.EHLO, Cause.LOST), Cause.PLAIN_ON_TLS_PORT),
        (Failure(Phase.TLS, Cause.PORTAL, "HTTP/1.1 400"), Cause.PORTAL),
        (Failure(Phase.TLS, Cause.NO_REPLY), "greeting"),
        (Failure(Phase.TLS, Cause.TLS_ON_PLAIN_PORT), "greeting"),
        (Failure(Phase.CONNECT, Cause.REFUSED), "greeting"),
        (Failure(Phase.EHLO, Cause.FAULT), "greeting"),
    ],
)
def test_what_a_second_look_tells(failure: Failure | None, cause: Any) -> None:
    came, when = waited(Look(seconds=1, failure=failure), port=465, greeting=20)
    assert (came, when) == (cause, 20 if cause == "greeting" else 3)


# ------------------------------------------------------------------------------------------ web servers


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a real web server, which waits to be asked."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  # that is its name
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.serve_forever, 0.01)
        yield server.server_port
        server.shutdown()
        serving.result()


@pytest.mark.parametrize("security", [PLAIN, TLS])
def test_a_web_server_that_waits_to_be_asked_is_told_as_one(
    security: Security, web: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", 0.05)
    report = checked(web, security, timeouts=Timeouts(greeting=30))
    [probe] = report.probes
    assert (probe.kind, report.diagnosis.situation) == ("captive-portal", Situation.PORTAL)
    assert probe.phase is (Phase.GREETING if security is PLAIN else Phase.TLS)
    assert "HTML" in str(probe.failure)
    assert probe.seconds < 3


@pytest.mark.parametrize(
    "answer",
    ["HTTP/1.1 400 Bad Request", "HTTP/1.0 302 Found\nS: Location: http://login.hotel.example/", "<html>"],
)
def test_a_message_meets_a_login_page_and_that_is_told(answer: str) -> None:
    with play(f"PLAINTEXT\nS: {answer}\nCLOSE") as player:
        route = Route(NAME, player.port, TLS)
        with portmail.Submitter(routes=(route,), username=USER, password=PASSWORD, retry=None) as mail:
            with pytest.raises(portmail.Unreachable, match="a web page answers") as caught:
                mail.connect()
        assert nothing_confidential(player)
    [attempt] = caught.value.attempts
    assert attempt.error is not None
    assert (attempt.error.cause, attempt.error.detail) == (Cause.PORTAL, answer.partition("\n")[0])


@pytest.mark.parametrize(
    ("heard", "cause"),
    [
        (b"HTTP/1.1 200 OK", Cause.PORTAL),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!DOCTYPE html>", Cause.PORTAL),
        (b"<HTML><title>Login</title>", Cause.PORTAL),
        (b"<?xml version='1.0'?><stream:stream>", Cause.TLS_FAILED),
        (b"554 HTTP/1.1 is not spoken here", Cause.TLS_FAILED),
        (b"421 <html>", Cause.TLS_FAILED),
        (b"220-HTTP/1.1", Cause.TLS_FAILED),
        (b"\x16\x03\x03\x00\x5a HTTP/1.1 <html>", Cause.TLS_FAILED),
        (b"\x15\x03\x01\x00\x02HTTP/1.1", Cause.TLS_FAILED),
        (b"SSH-2.0-OpenSSH_9", Cause.TLS_FAILED),
        (b"", Cause.TLS_FAILED),
    ],
)
def test_what_comes_in_place_of_tls_is_a_web_page_only_if_it_begins_as_one(
    heard: bytes, cause: Cause
) -> None:
    """What stands in a certificate, or in a mail server's words, says nothing."""
    assert _without_tls(WireFailed(Cause.TLS_FAILED, "x", heard=heard)).cause is cause


# ------------------------------------------------------------------------------------------ certificates


CERTIFICATES = MappingProxyType(
    {
        "certificate-expired": (
            Wish(hosts=[NAME], since=PAST, until=PAST + timedelta(days=9)),
            Situation.CERTIFICATE_EXPIRED,
        ),
        "certificate-name": (Wish(hosts=["other.example"]), Situation.CERTIFICATE_NAME),
        "certificate-untrusted": (Wish(hosts=[NAME]), Situation.CERTIFICATE_UNTRUSTED),
        "certificate-intercepted": (Wish(hosts=[NAME]), Situation.INTERCEPTED),
    }
)


@pytest.mark.parametrize("security", [PLAIN, TLS])
@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_that_is_refused_is_shown(kind: str, security: Security, world: World) -> None:
    wish, situation = CERTIFICATES[kind]
    strangers = {
        "certificate-untrusted": world.evil,
        "certificate-intercepted": issue(AUTHORITY.but(name="Avast Web/Mail Shield Root")),
    }
    context = served(issue(wish, by=strangers.get(kind, world.root)), world=world)
    with play(SECURE if security is PLAIN else "TLS", tls=context) as player:
        report = checked(player.port, security, tls_ca=world.ca, username=USER, password=PASSWORD)
        assert nothing_confidential(player)
    [probe] = report.probes
    assert (probe.kind, probe.phase) == (kind, Phase.TLS)
    assert probe.certificate is not None
    assert probe.certificate.names == tuple(wish.hosts)
    assert probe.days_left is not None
    assert (probe.days_left < 0) is (kind == "certificate-expired")
    assert report.diagnosis.situation is situation
    if situation is Situation.INTERCEPTED:
        assert "Avast" in str(report.diagnosis.headline.said(str))


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("error", "kind", "situation"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "name-not-found", Situation.NO_SUCH_HOST),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "resolver-failed", Situation.RESOLVER_DOWN),
        (socket.gaierror(socket.EAI_FAIL, "x"), "resolver-failed", Situation.RESOLVER_DOWN),
    ],
)
def test_a_name_that_cannot_be_resolved_is_told(
    error: socket.gaierror, kind: str, situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("portmail.surroundings.is_online", lambda: True)
    report = checked(587)
    [probe] = report.probes
    assert (probe.kind, probe.phase, probe.family, probe.address) == (kind, Phase.CONNECT, None, "")
    assert report.diagnosis.situation is situation


# ------------------------------------------------------------------------------------------ our own faults


@pytest.mark.parametrize(
    "place",
    [
        "portmail.probing.connect",
        "portmail.probing.fitting_mechanism",
        "portmail.transports.session.Extensions.parse",
        "portmail.transports.smtp._reply",
        "portmail.probing.log.connecting",
    ],
)
def test_a_fault_of_ours_costs_the_way_that_met_it(
    place: str, tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("portmail.checking.connect", broken_alive)
    monkeypatch.setattr(place, broken)
    with play(SECURE + OFFER, tls=tls) as player:
        probe = probed(player.port, tls_ca=world.ca, username=USER, password=PASSWORD)
    assert probe.kind == Cause.FAULT.value
    assert "by nought" in str(probe.failure)


async def broken_alive(*_: object, **__: object) -> socket.socket:
    return socket.socket()


# ------------------------------------------------------------------------------------------ given up


STANDSTILLS = MappingProxyType(
    {
        "silence": ("SILENCE", PLAIN, ""),
        "silence in place of TLS": ("SILENCE", TLS, ""),
        "EHLO": ("S: 220 hi\nC: EHLO *\nSILENCE", PLAIN, "C: EHLO"),
        "STARTTLS": (f"{STARTTLS}SILENCE", PLAIN, "C: STARTTLS"),
        "TLS behind STARTTLS": (f"{STARTTLS}S: 220 go\nSILENCE", PLAIN, "S: 220 go"),
        "EHLO in TLS": ("TLS\nS: 220 hi\nC: EHLO *\nSILENCE", TLS, "C: EHLO"),
    }
)


@pytest.mark.parametrize("quiet", [0.01, 2.0])
@pytest.mark.parametrize("name", STANDSTILLS)
def test_a_check_that_is_cancelled_leaves_no_task_and_no_connection(
    name: str, quiet: float, tls: ssl.SSLContext, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portmail.probing._QUIET", quiet)
    script, security, words = STANDSTILLS[name]
    looks = 2 if quiet < 1 and name == "silence" else 1

    async def scenario() -> None:
        async with portmail.AsyncSubmitter(
            routes=[Route(NAME, player.port, security)], tls_ca=world.ca
        ) as mail:
            before = asyncio.all_tasks()
            task = asyncio.create_task(mail.check())
            await until(lambda: player.connections >= looks and (not words or said(player, words)))
            await cancelled(task)
            assert asyncio.all_tasks() == before
            await until(lambda: all(visit.ended.is_set() for visit in vars(player)["_seen"]))

    with play(script, tls=tls) as player:
        run(scenario())


@pytest.mark.parametrize("security", [PLAIN, TLS])
def test_what_is_cancelled_before_it_has_begun_still_takes_its_socket_over(security: Security) -> None:
    """A coroutine that never runs closes nothing."""

    async def scenario() -> list[str]:
        steps: list[str] = []

        async def greeted() -> Any:
            steps.append("begun")
            try:
                await asyncio.sleep(60)
            finally:
                steps.append("closed")

        probing = Probing.__new__(Probing)
        task = asyncio.ensure_future(probing._unless_mute(greeted(), route=Route(NAME, 587, security)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return steps

    assert run(scenario()) == ["begun", "closed"]


def test_a_greeting_that_comes_as_it_is_cancelled_is_no_connection_that_stays() -> None:
    async def scenario() -> None:
        aborted = asyncio.Event()

        class Wire:
            def abort(self) -> None:
                aborted.set()

        async def greeted() -> Any:
            return Wire()

        probing = Probing.__new__(Probing)
        task = asyncio.ensure_future(
            probing._unless_mute(greeted(), route=Route(NAME, 587, Security.STARTTLS))
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the greeting is there, and nobody has heard it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert aborted.is_set()

    run(scenario())


def test_a_file_that_cannot_be_read_is_told_before_anything_is_connected(tmp_path: Path) -> None:
    with play(HELLO) as player, pytest.raises(portmail.ConfigurationError):
        checked(player.port, tls_ca=tmp_path / "none.pem")
    assert player.connections == 0
