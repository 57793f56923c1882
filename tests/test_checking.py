"""How does it stand with mail from here? All ways at once, one login at most, and what is learnt."""

from __future__ import annotations

import asyncio
import gc
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, route_memory
from portmail.case import Surroundings
from portmail.checking import PATIENCE, Check, routes_to_probe
from portmail.cli.check_report import report_as_data, show
from portmail.discovery.providers import providers
from portmail.errors import CredentialsUnusable
from portmail.failure import Failure, RouteFailed
from portmail.language import Language
from portmail.probing import TCP, Probing
from portmail.report import OPEN, Report
from portmail.route import anonymous_routes, submission_routes
from portmail.route_memory import Account, memory
from portmail.sandbox import Sandbox
from portmail.settings import from_arguments
from portmail.situation import Situation
from portmail.timeouts import Deadline
from portmail.transports.farewells import Farewells
from tests.clock import run_fast
from tests.leaks import PASSWORD, USER, Scanner
from tests.names import found_on_loopback
from tests.servers.dialogue import Player, play
from tests.test_doors import told_while_it_goes_down
from tests.test_pool import cancelled, each_loop, run, until
from tests.test_probing import HELLO, NAME, QUICK, STARTTLS, nothing_confidential
from tests.test_route_memory import is_blocked

PLAIN, TLS = Security.STARTTLS, Security.IMPLICIT_TLS


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(names=[NAME], users={USER: PASSWORD}) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The name is found on loopback, what is learnt is kept in one store, and no usual ports are probed."""
    found_on_loopback(NAME, monkeypatch=monkeypatch)
    monkeypatch.setattr("portmail.checking.routes_to_probe", tuple)
    monkeypatch.setattr("portmail.checking.here", surroundings)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "cache"))
    route_memory._memory.cache_clear()
    yield
    route_memory._memory.cache_clear()


def surroundings(*, alive: bool | None, known: bool, username: str) -> Surroundings:
    """A machine that is online, in nobody's cloud."""
    return Surroundings(alive=alive, known=known, username=username)


def routes(server: Sandbox, host: str = NAME) -> tuple[Route, ...]:
    return Route(host, server.port(587), PLAIN), Route(host, server.port(465), TLS)


def account(server: Sandbox, **wishes: Any) -> dict[str, Any]:
    told = {
        "routes": routes(server),
        "tls_ca": server.ca,
        "timeouts": QUICK,
        "local_hostname": "web1.example",
    }
    return {**told, "username": USER, "password": PASSWORD, **wishes}


def checked(*, login: bool = False, **wishes: Any) -> Report:
    async def scenario() -> Report:
        async with portmail.AsyncSubmitter(**wishes) as mail:
            return await mail.check(login=login)

    report: Report = run(scenario())
    return report


def verbs(server: Sandbox) -> list[list[str]]:
    """The commands of each connection, without their arguments."""
    return [[it.partition(" ")[0] for it in session.commands] for session in server.sessions]


def logins(server: Sandbox) -> int:
    return sum(session.authentications for session in server.sessions)


# ------------------------------------------------------------------------------------------ which routes


def test_the_own_routes_come_first_and_then_the_usual_ports_of_the_host() -> None:
    own = Route("mail.example.com", 2525, PLAIN)
    assert routes_to_probe([own]) == (own, *anonymous_routes("mail.example.com"))


def test_of_one_port_the_own_mode_counts() -> None:
    own = Route("mail.example.com", 587, TLS)
    assert [str(it) for it in routes_to_probe([own])] == [
        "mail.example.com:587 implicit-tls",
        "mail.example.com:465 implicit-tls",
        "mail.example.com:25 opportunistic",
    ]


def test_the_ports_that_the_provider_has_beside_the_usual_ones_are_probed() -> None:
    own = submission_routes("smtp.sendgrid.net")
    assert [str(it) for it in routes_to_probe(own)] == [
        "smtp.sendgrid.net:587 starttls",
        "smtp.sendgrid.net:465 implicit-tls",
        "smtp.sendgrid.net:25 opportunistic",
        "smtp.sendgrid.net:2525 starttls",
    ]


def test_the_mode_of_a_provider_is_that_of_its_port() -> None:
    """One large provider speaks implicit TLS on 587."""
    [provider] = [it for it in providers() if it.id == "charter"]
    probed = {it.port: it.security for it in routes_to_probe([Route(provider.host, 465, TLS)])}
    assert probed == {465: TLS, 587: TLS, 25: Security.OPPORTUNISTIC}


def test_the_usual_ports_of_three_hosts_are_enough() -> None:
    own = [Route(f"mx{number}.example.com", 2525, PLAIN) for number in range(5)]
    probed = routes_to_probe(own)
    assert probed[:5] == tuple(own)
    assert sorted({it.host for it in probed[5:]}) == ["mx0.example.com", "mx1.example.com", "mx2.example.com"]
    assert len(probed) == 5 + 3 * 3


def test_nothing_is_probed_twice() -> None:
    own = anonymous_routes("smtp.sendgrid.net") * 2
    assert len({*routes_to_probe(own)}) == len(routes_to_probe(own)) == 4


def test_what_a_submission_does_not_take_is_marked(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = routes(server)
    monkeypatch.setattr("portmail.checking.routes_to_probe", lambda _: (one, other))
    report = checked(**account(server, routes=[other]))
    assert {probe.route: probe.used for probe in report.probes} == {one: False, other: True}
    assert report.route == other


def test_the_account_itself_is_enough_for_the_usual_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portmail.checking.routes_to_probe", routes_to_probe)
    refused: list[int] = []

    async def connect(addresses: Any, *, seconds: float) -> Any:
        refused.append(addresses[0].sockaddr[1])
        raise RouteFailed(Failure(Phase.CONNECT, Cause.REFUSED))

    monkeypatch.setattr("portmail.checking.connect", connect)
    monkeypatch.setattr("portmail.probing.connect", connect)
    report = checked(host=NAME, username=USER, password=PASSWORD)
    assert [(it.route.port, it.used) for it in report.probes] == [(587, True), (465, True), (25, False)]
    assert sorted(refused) == [25, 443, 465, 587]


# ------------------------------------------------------------------------------------------ all at once


def test_no_way_waits_for_another_or_for_the_host_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that jumps: eleven ways that are silent take as long as one."""
    connecting: list[float] = []

    async def silent(addresses: Any, *, seconds: float) -> Any:
        connecting.append(asyncio.get_running_loop().time())
        await asyncio.sleep(seconds)
        raise RouteFailed(Failure(Phase.CONNECT, Cause.TIMED_OUT))

    monkeypatch.setattr("portmail.checking.connect", silent)
    monkeypatch.setattr("portmail.probing.connect", silent)

    async def scenario() -> tuple[Report, float]:
        settings = from_arguments(routes=[Route("127.0.0.1", port, PLAIN) for port in range(7001, 7012)])
        report = await Check(settings).check(login=False)
        return report, asyncio.get_running_loop().time()

    report, seconds = run_fast(scenario())
    assert [it.kind for it in report.probes] == ["timed-out"] * 11
    assert len(connecting) == 12
    assert max(connecting) < 0.5
    assert TCP - 0.1 <= seconds < TCP + 0.5 < 5


def test_it_waits_for_a_server_as_long_as_a_message_does() -> None:
    usual = Timeouts()
    assert (PATIENCE.connect, PATIENCE.greeting) == (usual.connect, usual.greeting)
    assert PATIENCE.total >= TCP + 2 * PATIENCE.connect + PATIENCE.greeting


def test_a_resolver_and_a_server_that_are_slow_are_not_called_down_or_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that jumps: six seconds for the name, three for TCP, twelve for the greeting."""

    async def slowly(_route: Route) -> list[tuple[Any, ...]]:
        await asyncio.sleep(6)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]

    async def connect(_addresses: Any, *, seconds: float) -> socket.socket:
        async with asyncio.timeout(seconds):
            await asyncio.sleep(3)
        return socket.socket()

    async def greeted(sock: socket.socket, *, deadline: Deadline, **_: Any) -> Any:
        sock.close()
        async with asyncio.timeout(deadline.seconds(Phase.GREETING)):
            await asyncio.sleep(12)
        raise RouteFailed(Failure(Phase.EHLO, Cause.SURPRISE, "it spoke"))

    monkeypatch.setattr("portmail.dialing._getaddrinfo", slowly)
    monkeypatch.setattr("portmail.checking.connect", connect)
    monkeypatch.setattr("portmail.probing.connect", connect)
    monkeypatch.setattr("portmail.probing.greeted", greeted)
    settings = from_arguments(routes=[Route(NAME, port, TLS) for port in (587, 465)])
    report = run_fast(Check(settings).check(login=False))
    assert [it.failure for it in report.probes] == [Failure(Phase.EHLO, Cause.SURPRISE, "it spoke")] * 2


@pytest.mark.parametrize("answer", ["never", "no such name"])
def test_a_name_without_an_address_took_as_long_as_its_resolver_did(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(_route: Route) -> None:
        await asyncio.sleep(3 if answer == "no such name" else 99)
        raise socket.gaierror(socket.EAI_NONAME, answer)

    async def scenario() -> Report:
        monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
        return await Check(from_arguments(routes=[Route(NAME, 587, PLAIN)])).check(login=False)

    monkeypatch.setattr("portmail.dialing._getaddrinfo", asked)
    report = run_fast(scenario())
    monkeypatch.undo()
    [probe] = report.probes
    assert probe.kind == ("name-not-found" if answer == "no such name" else "resolver-failed")
    assert probe.seconds == pytest.approx(3 if answer == "no such name" else 10, abs=0.1)


def test_ways_that_are_silent_after_the_connection_do_not_wait_for_each_other() -> None:
    with play("SILENCE") as player:
        ways = [Route("127.0.0.1", player.port, mode) for mode in (PLAIN, TLS, Security.PLAINTEXT)]
        report = checked(routes=ways, timeouts=Timeouts(greeting=0.6, connect=0.6))
        assert player.connections == 3
    assert [it.kind for it in report.probes] == ["silent-after-connect", "no-reply", "silent-after-connect"]
    assert 0.55 < report.seconds < 1.7  # one after the other, they would take 1.8


def test_both_families_of_addresses_are_tried_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def both(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if options.get("flags") or host != NAME:
            return resolve(host, port, *rest, **options)
        addresses = ("127.0.0.2", "::1", "127.0.0.1")  # nobody listens on the first
        return [found for address in addresses for found in resolve(address, port, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with play(f"{HELLO}S: 250 {NAME}") as player:
        report = checked(routes=[Route(NAME, player.port, Security.PLAINTEXT)], timeouts=QUICK)
    assert [(it.family, it.kind, it.address) for it in report.probes] == [
        (4, OPEN, "127.0.0.1"),
        (6, "refused", "::1"),
    ]
    assert report.can_send


def test_a_host_with_many_routes_is_resolved_once(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def counted(host: str, *rest: Any, **options: Any) -> Any:
        asked.extend([host] if not options.get("flags") else [])
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    assert checked(**account(server)).can_send
    assert asked == [NAME]


def test_a_resolver_that_never_answers_costs_no_more_than_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    resolve = socket.getaddrinfo

    def never(host: str, *rest: Any, **options: Any) -> Any:
        if options.get("flags"):
            return resolve(host, *rest, **options)
        answered.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "x")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    hosts = [Route(f"mx{number}.example.test", 587, PLAIN) for number in range(3)]
    report = checked(routes=hosts, timeouts=Timeouts(connect=0.1))
    answered.set()
    assert [it.kind for it in report.probes] == ["resolver-failed"] * 3
    assert report.diagnosis.situation is Situation.RESOLVER_DOWN
    assert "after 0.1 s" in str(report.probes[0].failure)
    assert report.seconds < 1


@pytest.mark.parametrize("timeouts", [0.2, Timeouts(connect=0.2, greeting=0.2), Timeouts(total=0.2)])
def test_timeouts_of_the_user_that_are_shorter_count(timeouts: float | Timeouts, sandbox: Sandbox) -> None:
    sandbox.block(587)
    with play("SILENCE") as player:
        silent = [Route("127.0.0.1", player.port, mode) for mode in (PLAIN, TLS)]
        blocked = Route("127.0.0.1", sandbox.port(587), PLAIN)
        report = checked(routes=[*silent, blocked], timeouts=timeouts)
    assert not any(it.failure is None for it in report.probes)
    assert report.seconds < 1


def test_those_that_are_longer_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "portmail.checking.PATIENCE", Timeouts(connect=0.2, greeting=0.2, command=0.2, total=5)
    )
    with play(["SILENCE", f"{HELLO}SILENCE"]) as player:
        silent = [Route("127.0.0.1", player.port, mode) for mode in (PLAIN, Security.PLAINTEXT)]
        report = checked(routes=silent, timeouts=Timeouts(connect=60, greeting=60, command=60, total=600))
    assert sorted(it.kind for it in report.probes) == ["no-reply", "silent-after-connect"]
    assert report.seconds < 2


# ------------------------------------------------------------------------------------------ logins


BEGGARS = {
    "a challenge that nobody asked for": 'RAW "220 hi\\r\\n334 UGFzc3dvcmQ6\\r\\n"\nSILENCE',
    "a challenge in place of a greeting": "S: 334 VXNlcm5hbWU6\nSILENCE",
    "a challenge in place of EHLO's reply": "S: 220 hi\nC: EHLO *\nS: 334 VXNlcm5hbWU6\nSILENCE",
    "530 in place of EHLO's reply": "S: 220 hi\nC: EHLO *\nS: 530 5.7.0 authentication required\nSILENCE",
    "530 in place of a greeting": "S: 530 5.7.0 authentication required\nSILENCE",
    "AUTH in clear": f"{HELLO}S: 250-{NAME}\nS: 250 AUTH PLAIN LOGIN CRAM-MD5\nSILENCE",
    "AUTH in place of TLS": f"{STARTTLS}S: 530 5.7.0 say AUTH first\nSILENCE",
    "a challenge behind STARTTLS": f'{STARTTLS}RAW "220 go\\r\\n334 \\r\\n"\nSILENCE',
}


@pytest.mark.parametrize("script", BEGGARS.values(), ids=BEGGARS)
@pytest.mark.parametrize("login", [False, True])
def test_no_server_that_begs_for_a_password_gets_one(script: str, login: bool) -> None:
    with play(script) as player:
        report = checked(
            routes=[Route(NAME, player.port, PLAIN)],
            username=USER,
            password=PASSWORD,
            login=login,
            timeouts=Timeouts(connect=0.3, greeting=0.2, command=0.2),
        )
        assert nothing_confidential(player)
        assert not Scanner(PASSWORD).octets(player.received)
    assert not report.can_send
    assert report.login is None


def test_without_login_no_credential_is_shown_and_nothing_is_sent(server: Sandbox) -> None:
    report = checked(**account(server))
    assert report.can_send
    assert report.login is None
    assert report.diagnosis.situation is Situation.OPEN
    assert sorted(verbs(server), key=len) == [["EHLO", "QUIT"], ["EHLO", "STARTTLS", "EHLO", "QUIT"]]
    assert (logins(server), server.messages) == (0, ())


def test_a_callable_for_the_password_is_not_asked_without_login(server: Sandbox) -> None:
    asked: list[str] = []

    def password() -> str:
        asked.append("asked")
        return PASSWORD

    assert checked(**account(server, password=password)).can_send
    assert asked == []
    assert checked(**account(server, password=password), login=True).can_send
    assert asked == ["asked"]


@each_loop
def test_a_login_is_one_over_proven_tls_on_the_route_that_mail_would_take(
    server: Sandbox, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> Report:
        async with portmail.AsyncSubmitter(**account(server)) as mail:
            return await mail.check(login=True)

    report: Report = run(scenario(), loop=loop)
    assert report.login is not None
    assert (report.login.route, report.login.error) == (report.route, None)
    assert report.route == routes(server)[0]
    assert report.diagnosis.situation is Situation.LOGGED_IN
    assert (logins(server), server.messages) == (1, ())
    [session] = [it for it in server.sessions if it.authentications]
    assert (session.service, session.tls, session.tls_server_name) == (587, "TLSv1.3", NAME)
    assert session.commands[-1] == "QUIT"
    assert not any("MAIL" in it for it in verbs(server))
    assert not Scanner(PASSWORD).octets(b"".join(it.plaintext for it in server.sessions))
    assert not Scanner(PASSWORD).shown(report)


def test_where_the_first_route_is_closed_the_login_is_on_the_next(server: Sandbox) -> None:
    server.close_port(587)
    report = checked(**account(server), login=True)
    assert report.login is not None
    assert report.login.route == routes(server)[1]
    assert (logins(server), report.can_send) == (1, True)


def test_a_login_that_is_refused_is_tried_once_and_told(server: Sandbox) -> None:
    report = checked(**account(server, password="wrong"), login=True)
    assert report.login is not None
    assert report.login.error is not None
    assert report.login.error.cause is Cause.REFUSED_PERMANENT
    assert (report.diagnosis.situation, report.can_send) == (Situation.LOGIN_REFUSED, False)
    assert logins(server) == 1


def answering(reply: str) -> str:
    offer = f"C: EHLO *\nS: 250-{NAME}\nS: 250 AUTH PLAIN\n"
    return f"{STARTTLS}S: 220 go\nTLS\n{offer}C: AUTH PLAIN *\nS: {reply}\n"


@pytest.mark.parametrize(
    ("reply", "situation", "hint"),
    [
        ("454 4.7.0 temporary authentication failure", Situation.LOGIN_FAILED, "try again later"),
        ("535 5.7.8 bad", Situation.LOGIN_REFUSED, "app password"),
        ("535 5.7.139 basic authentication is disabled", Situation.LOGIN_REFUSED, "OAuth|password"),
        ("250 of course", Situation.LOGIN_FAILED, ""),
    ],
)
def test_what_a_server_says_to_a_login_is_told(
    reply: str, situation: Situation, hint: str, tmp_path: Path
) -> None:
    from portmail.sandbox.certificates import Authority

    authority = Authority(tmp_path)
    with play(answering(reply), tls=authority.server_context(NAME)) as player:
        report = checked(
            routes=[Route(NAME, player.port, PLAIN)],
            tls_ca=authority.ca_path,
            username=USER,
            password=PASSWORD,
            timeouts=QUICK,
            login=True,
        )
        assert player.received.count(b"AUTH PLAIN") == 1
        assert player.connections == 2
    assert report.login is not None
    assert (report.login.phase, report.diagnosis.situation) == (Phase.AUTH, situation)
    assert bool(report.diagnosis.notes) is bool(hint)
    assert re.search(hint, str(report))
    assert PASSWORD not in str(report)


SHOWN = "One login was made, over proven TLS."
NOT_SHOWN = "Nothing was sent, and no password was shown."


def asked(mechanism: str, *dialogue: str) -> tuple[str, str]:
    """A server that offers this mechanism, as the probe sees it, and with what follows AUTH."""
    offer = f"{STARTTLS}S: 220 go\nTLS\nC: EHLO *\nS: 250-{NAME}\nS: 250 AUTH {mechanism}\n"
    return offer, "\n".join((f"{offer}C: AUTH {mechanism}*", *dialogue))


NAME_WANTED, PASSWORD_WANTED, CHALLENGE = "S: 334 VXNlcm5hbWU6", "S: 334 UGFzc3dvcmQ6", "S: 334 PDE4OTZAbXg+"
LOGINS = {
    "it is accepted": (asked("PLAIN", "S: 235 ok"), True),
    "it is accepted, and then the end comes": (asked("PLAIN", "S: 235 ok", "S: 421 too many"), True),
    "it is refused": (asked("PLAIN", "S: 535 no"), True),
    "nobody answers": (asked("PLAIN", "CLOSE"), True),
    "its kind is refused": (asked("LOGIN", "S: 504 no"), False),
    "the name alone is refused": (asked("LOGIN", NAME_WANTED, "C: *", "S: 535 nobody"), False),
    "name and password are refused": (
        asked("LOGIN", NAME_WANTED, "C: *", PASSWORD_WANTED, "C: *", "S: 535 no"),
        True,
    ),
    "a challenge is answered": (asked("CRAM-MD5", CHALLENGE, "C: *", "S: 535 no"), True),
    "a challenge is none": (asked("CRAM-MD5", "S: 334 ***", "C: *", "S: 501 no"), False),
    "the end comes in place of a challenge": (asked("CRAM-MD5", "CLOSE"), False),
}


@pytest.mark.parametrize("case", LOGINS)
def test_whether_a_password_was_shown_is_told_by_what_was_written(case: str, tmp_path: Path) -> None:
    from portmail.sandbox.certificates import Authority

    scripts, shown = LOGINS[case]
    authority = Authority(tmp_path)
    with play(scripts, tls=authority.server_context(NAME)) as player:
        report = checked(
            routes=[Route(NAME, player.port, PLAIN)],
            tls_ca=authority.ca_path,
            username=USER,
            password=PASSWORD,
            timeouts=QUICK,
            login=True,
        )
        player.check()
        assert b"AUTH " in player.received
    assert report.login is not None
    assert_told(report, shown=shown)


def assert_told(report: Report, *, shown: bool) -> None:
    assert report.showed_secret is shown
    stream = io.StringIO()
    show(report, language=Language.ENGLISH, stream=stream)
    assert (SHOWN in stream.getvalue(), NOT_SHOWN in stream.getvalue()) == (shown, not shown)
    data = report_as_data(report, language=Language.ENGLISH, code=0)
    assert (data["login"] or {"showed_secret": False})["showed_secret"] is shown


def test_a_password_that_cannot_be_fetched_is_not_shown(server: Sandbox) -> None:
    def locked() -> str:
        raise KeyError("vault")

    report = checked(**account(server, password=locked), login=True)
    assert report.login is not None
    assert report.login.error is not None
    assert report.login.error.cause is Cause.NO_SECRET
    assert_told(report, shown=False)
    assert not any("AUTH" in it for it in verbs(server))


def test_a_check_without_a_login_shows_no_password_and_says_so(server: Sandbox) -> None:
    assert_told(checked(**account(server)), shown=False)


def test_where_no_way_is_open_nobody_logs_in(server: Sandbox) -> None:
    server.strip_starttls()
    report = checked(**account(server), login=True)
    assert (report.login, report.can_send, logins(server)) == (None, False, 0)


@pytest.mark.parametrize("door", ["blocking", "async"])
@pytest.mark.parametrize("address", [None, "me@nowhere.example"])
def test_a_login_without_credentials_is_told_before_anything_is_connected(
    door: str, address: str | None, server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(self: Any) -> None:
        raise AssertionError("nobody is asked")

    monkeypatch.setattr("portmail.pools.Pools.routed", look)
    given: dict[str, Any] = {} if address else {"routes": routes(server)}

    async def awaited() -> None:
        async with portmail.AsyncSubmitter(address, **given) as mail:
            await mail.check(login=True)

    with portmail.Submitter(address, **given) as mail:
        ways: dict[str, Callable[[], Any]] = {
            "blocking": lambda: mail.check(login=True),
            "async": lambda: run(awaited()),
        }
        with pytest.raises(CredentialsUnusable, match="give username and password"):
            ways[door]()
    assert server.sessions == ()


# ------------------------------------------------------------------------------------ wherever it is called


def test_it_works_in_a_blocking_program_and_inside_a_running_loop(server: Sandbox) -> None:
    async def blocked() -> Report:
        with portmail.Submitter(**account(server)) as mail:
            return mail.check()

    with portmail.Submitter(**account(server)) as mail:
        assert mail.check().can_send
        assert mail.check(login=True).can_send
    assert asyncio.run(blocked()).can_send
    assert logins(server) == 1


def test_two_checks_at_once_do_not_meet(server: Sandbox) -> None:
    async def scenario() -> list[Report]:
        async with portmail.AsyncSubmitter(**account(server)) as mail:
            return list(await asyncio.gather(mail.check(login=True), mail.check(), mail.check(login=True)))

    reports = run(scenario())
    assert [it.can_send for it in reports] == [True] * 3
    assert [it.login is None for it in reports] == [False, True, False]
    assert logins(server) == 2


def test_nothing_is_left_of_a_check_when_it_has_told(server: Sandbox) -> None:
    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**account(server)) as mail:
            before = asyncio.all_tasks()
            await mail.check(login=True)
            assert asyncio.all_tasks() == before

    run(scenario())
    assert [it[-1] for it in verbs(server)] == ["QUIT"] * 3


def test_it_says_nothing_on_connections_that_are_there_already(server: Sandbox) -> None:
    with portmail.Submitter(**account(server)) as mail:
        mail.connect()
        before = server.sessions[0].commands
        assert mail.check().can_send
        assert server.sessions[0].commands == before
    assert logins(server) == 1


def test_the_interpreter_goes_down_and_that_is_told(sandbox: Sandbox) -> None:
    assert told_while_it_goes_down("check()", sandbox) == "told"


def test_one_that_is_cancelled_while_it_logs_in_leaves_nothing(tmp_path: Path) -> None:
    from portmail.sandbox.certificates import Authority

    authority = Authority(tmp_path)
    ready = f"{STARTTLS}S: 220 go\nTLS\nC: EHLO *\nS: 250-{NAME}\nS: 250 AUTH PLAIN\n"

    async def scenario() -> None:
        mail = portmail.AsyncSubmitter(
            routes=[Route(NAME, player.port, PLAIN)],
            tls_ca=authority.ca_path,
            username=USER,
            password=PASSWORD,
        )
        before = asyncio.all_tasks()
        task = asyncio.create_task(mail.check(login=True))
        await until(lambda: b"AUTH PLAIN" in player.received)
        await cancelled(task)
        assert asyncio.all_tasks() == before
        await until(lambda: all(visit.ended.is_set() for visit in vars(player)["_seen"]))
        await mail.aclose()

    scripts = [ready, f"{ready}C: AUTH PLAIN *\nSILENCE"]
    with play(scripts, tls=authority.server_context(NAME)) as player:
        run(scenario())
    assert player.connections == 2


def test_what_is_cancelled_leaves_no_probe_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also none of the question whether the host is alive."""

    async def silent(_addresses: Any, *, seconds: float) -> Any:
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(0.02)  # as sockets that end

    monkeypatch.setattr("portmail.checking.connect", silent)

    async def scenario() -> None:
        async with portmail.AsyncSubmitter(routes=ways) as mail:
            before = asyncio.all_tasks()
            task = asyncio.create_task(mail.check())
            await until(lambda: player.connections == 2)
            await cancelled(task)
            assert asyncio.all_tasks() == before

    with play("SILENCE") as player:
        ways = [Route("127.0.0.1", player.port, mode) for mode in (PLAIN, TLS)]
        run(scenario())


def test_a_fault_in_one_probe_leaves_none_of_the_others_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Probing._told

    def strange(self: Probing, failure: Failure | None, *, seconds: float) -> Any:
        if failure is not None and failure.cause is Cause.REFUSED_PERMANENT:
            raise ValueError("strange")
        return told(self, failure, seconds=seconds)

    monkeypatch.setattr(Probing, "_told", strange)

    async def scenario() -> None:
        async with portmail.AsyncSubmitter(routes=ways) as mail:
            before = asyncio.all_tasks()
            with pytest.raises(ValueError, match="strange"):
                await mail.check()
            assert asyncio.all_tasks() == before
            await until(lambda: all(visit.ended.is_set() for visit in vars(mute)["_seen"]))
            assert mute.connections == 1

    with play("SILENCE") as mute, play("PAUSE 0.1\nS: 554 no") as rude:
        ways = [Route("127.0.0.1", it.port, Security.PLAINTEXT) for it in (mute, rude)]
        run(scenario())
    gc.collect()  # what was left open would be told now


def test_one_that_is_cancelled_does_not_wait_for_the_goodbyes_that_were_begun_before() -> None:
    async def scenario() -> float:
        ways = [Route("127.0.0.1", it.port, Security.PLAINTEXT) for it in (leaving, mute)]
        async with portmail.AsyncSubmitter(routes=ways) as mail:
            before = asyncio.all_tasks()
            task = asyncio.create_task(mail.check())
            await until(lambda: b"QUIT" in leaving.received and mute.connections == 1)
            started = time.monotonic()
            await cancelled(task)
            assert asyncio.all_tasks() == before
            return time.monotonic() - started

    with play(f"{HELLO}S: 250 {NAME}\nC: QUIT\nSILENCE") as leaving, play("SILENCE") as mute:
        assert run(scenario()) < 1.5  # they take three seconds
    gc.collect()


def test_a_goodbye_that_is_cut_short_before_it_has_begun_still_drops_its_connection() -> None:
    async def scenario() -> list[str]:
        steps: list[str] = []

        async def leave() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                steps.append("dropped")

        farewells = Farewells()
        farewells.begin(leave())
        await farewells.cut_short()
        return steps

    assert run(scenario()) == ["dropped"]


def test_who_does_not_wait_for_the_goodbyes_leaves_none_behind() -> None:
    script = f"{HELLO}S: 250 {NAME}\nC: QUIT\nSILENCE"

    async def scenario() -> None:
        ways = [Route("127.0.0.1", player.port, Security.PLAINTEXT)]
        async with portmail.AsyncSubmitter(routes=ways) as mail:
            before = asyncio.all_tasks()
            task = asyncio.create_task(mail.check())
            await until(lambda: b"QUIT" in player.received)
            await cancelled(task)
            assert asyncio.all_tasks() == before
            await until(lambda: all(visit.ended.is_set() for visit in vars(player)["_seen"]))

    with play(script) as player:
        run(scenario())
    gc.collect()


@pytest.mark.parametrize("steps", [*range(8), *range(8, 1200, 64)])
def test_one_that_is_cancelled_at_any_step_leaves_no_task_and_no_socket(steps: int, server: Sandbox) -> None:
    async def scenario() -> None:
        async with portmail.AsyncSubmitter(**account(server)) as mail:
            before = asyncio.all_tasks()
            task = asyncio.create_task(mail.check(login=True))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert asyncio.all_tasks() == before

    run(scenario())
    gc.collect()


# ------------------------------------------------------------------------------------------ what is learnt


def test_the_route_that_was_open_is_the_first_for_the_next_message(server: Sandbox) -> None:
    server.block(587)
    wishes = account(server, timeouts=Timeouts(connect=0.2, greeting=2, command=2))
    assert checked(**wishes).can_send
    settings = from_arguments(**wishes)
    assert is_blocked(memory(), server.port(587))
    ordered = memory().ordered(settings.routes, account=Account.of(settings))
    assert ordered == [*reversed(routes(server))]
    route_memory._memory.cache_clear()  # another program
    assert memory().ordered(settings.routes, account=Account.of(settings)) == ordered


@pytest.mark.parametrize("stop", ["close_port", "strip"])
def test_a_check_without_an_open_way_teaches_nothing(stop: str, server: Sandbox) -> None:
    if stop == "strip":
        server.strip_starttls()
    else:
        server.close_port(587)
        server.close_port(465)
    assert not checked(**account(server)).can_send
    settings = from_arguments(**account(server))
    assert memory().ordered(settings.routes, account=Account.of(settings)) == [*routes(server)]
    assert not is_blocked(memory(), server.port(587))


def test_starttls_that_was_there_before_is_told_as_taken_away(server: Sandbox) -> None:
    assert checked(**account(server)).can_send
    server.strip_starttls()
    report = checked(**account(server))
    assert [it.kind for it in report.probes] == ["starttls-stripped", "tls-on-plain-port"]
    assert "it offered STARTTLS on 20" in str(report.probes[0].failure)
    assert report.diagnosis.situation is Situation.STRIPPED


def test_a_server_that_never_had_it_is_not_said_to_be_robbed(server: Sandbox) -> None:
    server.strip_starttls()
    assert checked(**account(server)).probes[0].kind == "auth-only-in-clear"


def test_the_next_message_takes_the_route_that_the_check_found(server: Sandbox) -> None:
    from tests.messages import message

    server.block(587)
    wishes = account(server, timeouts=Timeouts(connect=0.2, greeting=2, command=2), retry=None)
    with portmail.Submitter(**wishes) as mail:
        mail.check()
        receipt = mail.send(message())
    assert receipt.route == routes(server)[1]
    assert len(receipt.attempts) == 1


# ------------------------------------------------------------------------------------------ addresses


def test_without_a_network_that_is_what_is_told_and_not_who_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look(self: Any) -> None:
        raise portmail.DiscoveryError("nobody answered")

    monkeypatch.setattr("portmail.pinning.Pinning.look", look)
    monkeypatch.setattr("portmail.checking.here", lambda **_: Surroundings(online=False))

    def nobody(*_: object, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME if options.get("flags") else socket.EAI_AGAIN, "x")

    async def scenario() -> Report:
        async with portmail.AsyncSubmitter("me@nowhere.example", password="secret") as mail:
            return await mail.check()

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr("portmail.checking.is_online", lambda: True)
    with pytest.raises(portmail.DiscoveryError, match="nobody answered"):
        run(scenario())
    monkeypatch.setattr("portmail.checking.is_online", lambda: False)
    report: Report = run(scenario())
    assert report.diagnosis.situation is Situation.OFFLINE
    assert {it.route.host for it in report.probes} == {"nowhere.example"}


def test_a_report_says_its_verdict_and_each_way(server: Sandbox) -> None:
    server.close_port(587)
    report = checked(**account(server))
    first, *lines = str(report).splitlines()
    assert first.startswith(f"Mail can go out by {routes(server)[1]}.")
    ways = [line for line in lines if line.startswith("  ")]
    assert [re.sub(r" \(\d+\.\d s\)$", "", line.strip()) for line in ways] == [
        f"{routes(server)[0]} IPv4: connection refused: 127.0.0.1",
        f"{routes(server)[1]} IPv4: open",
    ]


def test_players_are_never_told_of_mail(server: Sandbox) -> None:
    scripts = [HELLO + f"S: 250-{NAME}\nS: 250 SIZE", f"S: 220 x\nC: EHLO *\nS: 250 {NAME}", "S: 554 no"]
    players: list[Player] = []
    for script in scripts:
        with play(script) as player:
            players.append(player)
            for security in (PLAIN, Security.OPPORTUNISTIC, Security.PLAINTEXT):
                checked(routes=[Route(NAME, player.port, security)], timeouts=QUICK)
    assert nothing_confidential(*players)
    assert [player.connections for player in players] == [3, 3, 3]
