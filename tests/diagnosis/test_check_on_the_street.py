"""Does a check say who stands in the way? `portmail check`, as a real program, behind a real firewall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.diagnosis.somebody import (
    LOGIN,
    PASSWORD,
    USER,
    Log,
    Told,
    assert_nothing_given_away,
    begin,
    check,
    dialed,
    secrets,
    url,
)
from tests.servers.street import Block, Family, How, Resolver, Street, Trick
from tests.servers.street.plan import FAMILIES, HOST

Verdict: TypeAlias = tuple[str, str, str | None, int]
"""The situation, who is behind it, the open route, and the exit code."""

ACCOUNT = url()
PORTS = (587, 465, 25)
LIFE = 443
"""Asked beside them, whether anybody is there."""
BY_587, BY_465 = f"{HOST}:587 starttls", f"{HOST}:465 implicit-tls"

BLOCKS: Mapping[How, tuple[str, str, str]] = {
    How.DROP: ("dropped in silence", "timed-out", "timed-out"),
    How.RESET: ("reset", "refused", "refused"),
    How.PORT_UNREACHABLE: ("called unreachable", "refused", "refused"),
    How.HOST_UNREACHABLE: ("said to be on an unreachable host", "prohibited", "prohibited"),
    How.NET_UNREACHABLE: ("said to be in an unreachable network", "unreachable", "unreachable"),
    How.ADMIN_PROHIBITED: ("prohibited", "prohibited", "prohibited"),
    How.HOST_PROHIBITED: ("prohibited for that host", "prohibited", "prohibited"),
    How.NET_PROHIBITED: ("prohibited for that network", "unreachable", "prohibited"),
}
"""In words, and what it is over IPv4 and over IPv6."""

ALL: Sequence[tuple[int, Family]] = [(port, family) for port in PORTS for family in FAMILIES]
WHERE: Mapping[str, tuple[Sequence[int | None], Sequence[Family]]] = {
    "port 587 is": ([587], FAMILIES),
    "port 465 is": ([465], FAMILIES),
    "both ports are": ([587, 465], FAMILIES),
    "all ports for mail are": (PORTS, FAMILIES),
    "all ports are": ([None], FAMILIES),
    "IPv6 is": ([None], [6]),
    "IPv4 is": ([None], [4]),
}

OPEN = ("open", "nobody", BY_587, 0)
REFUSED = ("refused", "unknown", None, 69)
FORBIDDEN = ("prohibited", "network", None, 69)
ENOUGH: Mapping[str, tuple[str, str, str, int]] = {
    "port 587 is": ("open-in-part", "nobody", BY_465, 0),
    "port 465 is": ("open-in-part", "nobody", BY_587, 0),
    "IPv6 is": OPEN,
    "IPv4 is": OPEN,
}
"""The verdict where one way is left, whatever is done to the other."""

LOUD = {
    **dict.fromkeys((How.RESET, How.PORT_UNREACHABLE), REFUSED),
    **dict.fromkeys((How.HOST_UNREACHABLE, How.ADMIN_PROHIBITED), FORBIDDEN),
    **dict.fromkeys((How.HOST_PROHIBITED, How.NET_PROHIBITED), FORBIDDEN),
}
CLOSED: Mapping[str, Mapping[How, Verdict]] = {
    "both ports are": {
        How.DROP: ("no-mail-port", "unknown", None, 69),  # port 25 answers, which is no server for submission
        How.NET_UNREACHABLE: FORBIDDEN,  # for port 25 there is a way
        **LOUD,
    },
    "all ports for mail are": {
        How.DROP: ("no-mail-port", "unknown", None, 69),
        How.NET_UNREACHABLE: FORBIDDEN,
        **LOUD,
    },
    "all ports are": {
        How.DROP: ("silent", "unknown", None, 69),
        How.NET_UNREACHABLE: ("unreachable", "network", None, 69),
        **LOUD,
    },
}

QUICK = {
    ("port 587 is", How.PORT_UNREACHABLE),
    ("port 587 is", How.NET_UNREACHABLE),
    ("port 465 is", How.RESET),
    ("port 465 is", How.ADMIN_PROHIBITED),
    ("both ports are", How.RESET),
    ("both ports are", How.HOST_PROHIBITED),
    ("both ports are", How.NET_UNREACHABLE),
    ("all ports are", How.NET_PROHIBITED),
    ("all ports are", How.HOST_UNREACHABLE),
    ("IPv6 is", How.ADMIN_PROHIBITED),
    ("IPv6 is", How.NET_UNREACHABLE),
    ("IPv4 is", How.RESET),
}


def matrix() -> Iterator[object]:
    """Every kind of block everywhere; all but some are long."""
    for where in WHERE:
        for how, (words, *_) in BLOCKS.items():
            marks = [] if (where, how) in QUICK else [pytest.mark.long]
            yield pytest.param(where, how, id=f"{where} {words}", marks=marks)


@pytest.fixture
def log(road: Street) -> Log:
    """What the real server saw in a test that wishes a login."""
    return Log(road)


@pytest.fixture(autouse=True)
def counted(road: Street, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test counts from nothing; and the real server saw no message, nor a login that was not wished."""
    road.reset_counts()
    everything = Log(road)
    yield
    assert [visit for visit in everything.visits() if "mail" in visit] == []
    assert "log" in request.fixturenames or everything.logins() == []


def blocks(where: str, how: How) -> list[Block]:
    """The firewall's rules."""
    ports, families = WHERE[where]
    return [Block(port, how=how, family=family) for port in ports for family in families]


def expected_kinds(where: str, how: How) -> dict[tuple[int, int], str]:
    """What each way is to be."""
    ports, families = WHERE[where]
    hit = [(port, family) for port, family in ALL if (port in ports or None in ports) and family in families]
    _, four, six = BLOCKS[how]
    return {way: "open" if way not in hit else four if way[1] == 4 else six for way in ALL}


def assert_nobody_waited(told: Told, road: Street) -> None:
    """Every way was begun at once, and what is open was not held up by what is not."""
    data = told.data
    assert data["seconds"] < 1.5 * max(it["seconds"] for it in data["probes"]) + 0.5
    silent = [it["seconds"] for it in data["probes"] if it["kind"] == "timed-out"]
    assert all(it["seconds"] < min(silent, default=30) for it in data["probes"] if it["kind"] == "open")
    # A SYN is sent again after a second without an answer: also the kernel says only so much by ICMP at once.
    slow = {it["port"] for it in data["probes"] if it["seconds"] > 0.9}
    for (_, port), count in road.syns().items():
        assert count == 1 or port in slow or (slow and port == LIFE)


@pytest.mark.parametrize(("where", "how"), [*matrix()])
def test_who_stands_in_the_way_is_told_where(road: Street, where: str, how: How) -> None:
    with road.blocked(*blocks(where, how)):
        told = check(road, ACCOUNT)
    assert told.kinds == expected_kinds(where, how)
    assert told.verdict == (ENOUGH.get(where) or CLOSED[where][how])
    assert all(str(port) in told.data["verdict"] for port in WHERE[where][0] if port in (587, 465))
    assert ("no way to" in told.data["verdict"]) == (told.data["kind"] == "unreachable")
    assert set(dialed(road)) == {*PORTS, LIFE}
    assert_nobody_waited(told, road)


def test_silence_of_everything_is_told_in_less_than_five_seconds(road: Street) -> None:
    seconds: list[float] = []
    while min(seconds, default=5.0) >= 5 and len(seconds) < 3:  # a busy machine starts programs slowly
        with road.blocked(Block(None, how=How.DROP)):
            told = check(road, ACCOUNT)
        assert told.verdict == ("silent", "unknown", None, 69)
        assert set(told.kinds.values()) == {"timed-out"}
        assert_nobody_waited(told, road)
        seconds.append(told.seconds)
    assert min(seconds) < 5


NO_WAY = ("unreachable", "network", None, 69)
AT_HOME: Mapping[How, tuple[str, tuple[str, str], Verdict]] = {
    How.NO_ROUTE: ("there is no route", ("unreachable", "unreachable"), NO_WAY),
    How.UNREACHABLE_ROUTE: ("the route is an unreachable one", ("prohibited", "prohibited"), FORBIDDEN),
    How.PROHIBITED_ROUTE: (
        "the route is a prohibited one",
        ("prohibited-here", "prohibited"),  # over IPv6 that looks like a prohibition of the network's
        ("prohibited-here", "this-machine", None, 69),
    ),
    How.BLACKHOLE_ROUTE: ("the route is a blackhole", ("unreachable", "unreachable"), NO_WAY),
    How.OFFLINE: (
        "the cable is out",
        ("unreachable", "unreachable"),
        ("offline", "this-machine", None, 69),
    ),
}
"""In words, what it is over IPv4 and over IPv6, and the verdict."""


@pytest.mark.parametrize("how", [pytest.param(
    how, id=words, marks=[pytest.mark.long] if how in (How.UNREACHABLE_ROUTE, How.BLACKHOLE_ROUTE) else []
) for how, (words, *_) in AT_HOME.items()])  # fmt: skip
def test_what_is_wrong_at_home_is_told(road: Street, how: How) -> None:
    _, (four, six), verdict = AT_HOME[how]
    with road.blocked(Block(None, how=how)):
        told = check(road, ACCOUNT)
    assert told.verdict == verdict
    assert told.kinds == {way: four if way[1] == 4 else six for way in ALL}
    assert road.syns() == {}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda it: f"IPv{it}")
@pytest.mark.parametrize("how", [How.NO_ROUTE, pytest.param(How.BLACKHOLE_ROUTE, marks=[pytest.mark.long])])
def test_a_family_that_is_not_there_is_no_news(road: Street, how: How, family: Family) -> None:
    with road.blocked(Block(None, how=how, family=family)):
        told = check(road, ACCOUNT)
    assert told.verdict == OPEN
    assert told.data["notes"] == []
    assert {kind for way, kind in told.kinds.items() if way[1] == family} == {"unreachable"}


def test_a_black_hole_for_ipv6_is_noted_and_holds_nothing_up(road: Street) -> None:
    with road.blocked(Block(None, how=How.IPV6_BLACKHOLE)):
        told = check(road, ACCOUNT)
    assert told.verdict == OPEN
    assert told.kinds == {way: "open" if way[1] == 4 else "timed-out" for way in ALL}
    assert "IPv6 leads nowhere" in " ".join(told.data["notes"])
    assert_nobody_waited(told, road)


def test_a_closed_port_25_is_the_matter_of_a_relay_alone(road: Street) -> None:
    """Without a password in the environment: a relay takes none, and a letter would not go out with it."""
    with road.blocked(Block(25, how=How.DROP)):
        running = [
            begin(road, "check", f"relay://{HOST}", "--json", env={}),
            begin(road, "check", ACCOUNT, "--json", env={}),
            begin(road, "check", f"relay://{HOST}", "--lang", "ja", env={}),
            begin(road, "check", ACCOUNT, env={"LANG": "ja_JP.UTF-8"}),
        ]
        relay, account, *japanese = (it.told() for it in running)
    assert relay.verdict == ("relay-blocked", "network", BY_587, 69)
    assert f"submission://user@{HOST}" in " ".join([relay.data["advice"], *relay.data["notes"]])
    assert account.verdict == OPEN
    assert "OP25B" in relay.data["verdict"]
    assert "OP25B" in " ".join(account.data["notes"])
    for told, start in zip(japanese, ("✗ メールを送信できません。", "✓ メールを送信できます。"), strict=True):
        assert told.out.startswith(start)
        assert "出口で25番ポートが閉じられている" in told.out.replace("\n", "")
        assert told.err == ""
    assert [it.code for it in japanese] == [69, 0]


def test_a_hosting_provider_that_blocks_by_policy_is_named(road: Street) -> None:
    hosted = {**LOGIN, "RAILWAY_ENVIRONMENT": "production"}
    with road.blocked(Block(None, how=How.ADMIN_PROHIBITED)):
        told = check(road, ACCOUNT, env=hosted)
    assert told.verdict == ("blocked-by-hosting", "hosting", None, 69)
    assert "Railway" in told.data["verdict"]
    assert "Pro plan" in told.data["advice"]
    assert check(road, ACCOUNT, env=hosted).verdict == OPEN  # who pays is let out


QUICKLY = {"RES_OPTIONS": "timeout:1 attempts:1"}
PATIENCE = 11.0
"""Seconds for a name, at most: a resolver's own patience is 10 s."""
NO_RESOLVER: tuple[Verdict, str] = ("resolver-down", "resolver", None, 75), "resolver-failed"
NO_NAME: tuple[Verdict, str] = ("no-such-host", "settings", None, 68), "name-not-found"
NAMES: Mapping[str, tuple[Resolver | None, Mapping[str, str], tuple[Verdict, str]]] = {
    "the resolver is silent": (Resolver.SILENT, QUICKLY, NO_RESOLVER),
    "it is silent for as long as it takes": (Resolver.SILENT, {}, NO_RESOLVER),
    "there is no way to it": (Resolver.UNREACHABLE, {}, NO_RESOLVER),
    "it knows no such name": (None, {}, NO_NAME),
}


@pytest.mark.parametrize("case", [
    pytest.param(it, marks=[pytest.mark.long] if "as long" in it else []) for it in NAMES
])  # fmt: skip
def test_a_name_that_leads_nowhere_is_told(road: Street, case: str) -> None:
    resolver, env, (verdict, kind) = NAMES[case]
    where = url(host="nobody.example.test")
    if resolver is None:
        told = check(road, where)
    else:
        with road.resolving(resolver):
            told = check(road, where, env={**LOGIN, **env})
    assert told.verdict == verdict
    assert {it["kind"] for it in told.data["probes"]} == {kind}
    assert told.data["seconds"] < (2 if env or resolver is not Resolver.SILENT else PATIENCE)
    assert road.syns() == {}


@pytest.mark.long
@pytest.mark.parametrize("resolver", Resolver)
def test_an_address_whose_server_nobody_can_look_up_is_told_as_that(road: Street, resolver: Resolver) -> None:
    with road.resolving(resolver):
        told = check(road, USER)
    assert told.verdict == ("resolver-down", "resolver", None, 75)
    assert told.seconds < 10


PROXY, CUT = ("transparent-proxy", "network", None, 77), ("dropped-after-connect", "network", None, 69)
SCANNED, EXPIRED = "certificate-intercepted", "certificate-expired"
MISNAMED, UNTRUSTED = "certificate-name", "certificate-untrusted"
TRICKS: Mapping[Trick, tuple[str, str, Verdict]] = {
    Trick.STRIP: ("starttls-not-offered", "open", ("insecure-in-part", "server", BY_465, 0)),
    Trick.MASK: ("starttls-stripped", "open", ("tampered-in-part", "network", BY_465, 0)),
    Trick.FOREIGN: ("transparent-proxy", "tls-on-plain-port", PROXY),
    Trick.PORTAL: ("captive-portal", "captive-portal", ("captive-portal", "network", None, 69)),
    Trick.RESET: ("dropped-after-connect", "dropped-after-connect", CUT),
    Trick.CLOSE: ("dropped-after-connect", "dropped-after-connect", CUT),
    Trick.SILENT: ("silent-after-connect", "no-reply", ("silent-after-connect", "network", None, 69)),
    Trick.ANTIVIRUS: (SCANNED, SCANNED, ("intercepted", "this-machine", None, 77)),
    Trick.EXPIRED: (EXPIRED, EXPIRED, (EXPIRED, "server", None, 77)),
    Trick.WRONG_NAME: (MISNAMED, MISNAMED, (MISNAMED, "settings", None, 77)),
    Trick.SELF_SIGNED: (UNTRUSTED, UNTRUSTED, (UNTRUSTED, "server", None, 77)),
    Trick.BUSY: ("transient-reply", "transient-reply", ("busy", "server", None, 75)),
    Trick.REFUSES: ("permanent-reply", "permanent-reply", ("turned-away", "server", None, 69)),
    Trick.CLEAR_AUTH: ("auth-only-in-clear", "open", ("insecure-in-part", "server", BY_465, 0)),
    Trick.NO_AUTH: ("no-mechanism", "no-mechanism", ("no-mechanism", "server", None, 77)),
    Trick.TLS_FIRST: ("plain-on-tls-port", "open", ("open-in-part", "nobody", BY_465, 0)),
    Trick.PLAIN_FIRST: ("open", "tls-on-plain-port", ("insecure-in-part", "server", BY_587, 0)),
}  # fmt: skip
"""What it is on 587 and on 465, and the verdict where it is on both."""

TYPICAL = (Trick.STRIP, Trick.FOREIGN, Trick.PORTAL, Trick.RESET, Trick.ANTIVIRUS, Trick.NO_AUTH)

BY_OTHERS = ("starttls-stripped", "transparent-proxy", SCANNED)
INSECURE = ("starttls-not-offered", EXPIRED, MISNAMED, UNTRUSTED, "auth-only-in-clear", "tls-on-plain-port")


def in_part(kind: str, *, left: str) -> Verdict:
    """The verdict where the other port is as it should be."""
    if kind == "open":
        return OPEN
    if kind in BY_OTHERS:
        return "tampered-in-part", "network", left, 0
    if kind in INSECURE:
        return "insecure-in-part", "server", left, 0
    return "open-in-part", "nobody", left, 0


@pytest.mark.parametrize("trick", [
    pytest.param(it, id=it.value, marks=[] if it in TYPICAL else [pytest.mark.long]) for it in Trick
])  # fmt: skip
def test_a_box_in_the_middle_is_told_for_what_it_plays(road: Street, trick: Trick) -> None:
    on_587, on_465, verdict = TRICKS[trick]
    with road.redirected(587, to=trick), road.redirected(465, to=trick):
        told = check(road, ACCOUNT)
        assert_nothing_given_away(road)
    assert told.verdict == verdict
    assert told.kinds == {way: {587: on_587, 465: on_465}.get(way[0], "open") for way in ALL}


@pytest.mark.long
@pytest.mark.parametrize("port", [587, 465])
@pytest.mark.parametrize("trick", Trick, ids=lambda it: it.value)
def test_a_box_on_one_port_leaves_the_other(road: Street, trick: Trick, port: int) -> None:
    on_587, on_465, _ = TRICKS[trick]
    kind, left = (on_587, BY_465) if port == 587 else (on_465, BY_587)
    with road.redirected(port, to=trick):
        told = check(road, ACCOUNT)
        assert_nothing_given_away(road)
    assert told.verdict == in_part(kind, left=left)
    assert told.kinds == {way: kind if way[0] == port else "open" for way in ALL}


TLS_TOO_EARLY, TLS_TOO_LATE = url("submissions", port=587), url("submission", port=465)
MODES: Mapping[str, tuple[str, str, str]] = {
    "TLS is spoken where STARTTLS is": (TLS_TOO_EARLY, "tls-on-plain-port", "wrong version number"),
    "STARTTLS is awaited where TLS is": (TLS_TOO_LATE, "plain-on-tls-port", "waits for TLS"),
}


@pytest.mark.parametrize("case", [
    pytest.param(it, marks=[pytest.mark.long] if "awaited" in it else []) for it in MODES
])  # fmt: skip
def test_a_mode_that_does_not_fit_the_port_is_told(road: Street, case: str) -> None:
    account, kind, words = MODES[case]
    told = check(road, account)
    assert told.verdict == (kind, "settings", told.data["route"], 78)
    assert words in told.data["verdict"]
    assert set(told.kinds.values()) == {kind, "open"}


@pytest.mark.parametrize(("password", "verdict"), [
    pytest.param(PASSWORD, ("logged-in", "nobody", BY_587, 0), id="with the right password"),
    pytest.param("wrong", ("login-refused", "account", BY_587, 77), id="with a wrong one"),
])  # fmt: skip
def test_a_login_is_one_and_over_tls(
    road: Street, log: Log, password: str, verdict: tuple[str, str, str, int]
) -> None:
    told = check(road, ACCOUNT, "--login", env={"PORTMAIL_PASSWORD": password})
    assert told.verdict == verdict
    [visit] = log.logins()
    assert (visit["starttls"], visit["auth"]) == ("1", "1" if told.code == 0 else "0/1")
    assert password not in told.out + told.err


def test_no_login_is_made_where_none_was_wished(road: Street, log: Log) -> None:
    assert check(road, ACCOUNT).verdict == OPEN
    assert len(log.visits()) == len(ALL)
    assert log.logins() == []


def test_a_login_is_made_by_the_way_that_is_secure_and_hides_nothing(road: Street, log: Log) -> None:
    with road.redirected(587, to=Trick.STRIP):
        told = check(road, ACCOUNT, "--login")
        assert_nothing_given_away(road)
    assert told.kinds == {way: "starttls-not-offered" if way[0] == 587 else "open" for way in ALL}, told.out
    assert told.verdict == ("insecure-in-part", "server", BY_465, 0)
    assert told.data["login"]["route"] == BY_465
    [visit] = log.logins()
    assert visit["auth"] == "1"
    assert "starttls" not in visit  # which is port 465


@pytest.mark.parametrize("trick", [
    Trick.STRIP,
    Trick.CLEAR_AUTH,
    *(pytest.param(it, marks=[pytest.mark.long]) for it in (Trick.MASK, Trick.FOREIGN, Trick.ANTIVIRUS)),
])  # fmt: skip
def test_no_login_is_made_where_no_way_is_secure(road: Street, log: Log, trick: Trick) -> None:
    with road.redirected(587, to=trick), road.blocked(Block(465, how=How.RESET)):
        told = check(road, ACCOUNT, "--login")
        assert_nothing_given_away(road)
    assert told.code == 77
    assert told.data["login"] is None
    assert log.logins() == []


def test_the_dialogues_go_to_a_file_without_secrets(road: Street, log: Log, tmp_path: Path) -> None:
    file = tmp_path / "dialogues.txt"
    with road.redirected(587, to=Trick.STRIP):
        told = check(road, ACCOUNT, "--login", "--log", str(file))
        assert_nothing_given_away(road)
    text = file.read_text()
    assert all(line in text for line in ("EHLO [192.0.2.10]", "EHLO [IPv6:2001:db8:1::10]", "220 "))
    assert told.data["verdict"] in text
    assert [secret for secret in secrets() if secret in text + told.out + told.err] == []
    assert ("AUTH PLAIN" in text, USER in told.out) == (True, False)
    assert len(log.logins()) == 1
