"""Does an error tell what a check tells, and does a block cost nothing the second time? Programs send."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.diagnosis.somebody import (
    LOGIN,
    assert_nothing_given_away,
    begin,
    begin_program,
    begin_send,
    check,
    dialed,
    send,
    url,
)
from tests.servers.street import Block, Family, How, Resolver, Street, Trick
from tests.servers.street.plan import GATEWAY, HOST, ONLY

ACCOUNT = url()
BY_587, BY_465 = f"{HOST}:587 starttls", f"{HOST}:465 implicit-tls"


@pytest.fixture(autouse=True)
def counted(road: Street) -> None:
    """Every test counts from nothing."""
    road.reset_counts()


def long(case: object) -> object:
    """One of the rest of a matrix."""
    return pytest.param(case, marks=[pytest.mark.long])


def everywhere(road: Street, what: How | Trick | Resolver | None) -> ExitStack:
    """Have this on all ways at once."""
    stack = ExitStack()
    if isinstance(what, How):
        stack.enter_context(road.blocked(Block(None, how=what)))
    elif isinstance(what, Trick):
        for port in (587, 465):
            stack.enter_context(road.redirected(port, to=what))
    elif what is not None:
        stack.enter_context(road.resolving(what))
    return stack


def on_port(
    road: Street, port: int, what: How | Trick, *, family: Family | None = None
) -> AbstractContextManager[None]:
    """Have this on one way."""
    if isinstance(what, How):
        return road.blocked(Block(port, how=what, family=family))
    return road.redirected(port, to=what, family=family)


NOWHERE = url(host="nobody.example.test")
CASES: Mapping[str, tuple[str, How | Trick | Resolver | None]] = {
    "everything is silent": (ACCOUNT, How.DROP),
    "everything is refused": (ACCOUNT, How.RESET),
    "everything is prohibited": (ACCOUNT, How.ADMIN_PROHIBITED),
    "no network can be reached": (ACCOUNT, How.NET_UNREACHABLE),
    "there is no route": (ACCOUNT, How.NO_ROUTE),
    "the route is a prohibited one": (ACCOUNT, How.PROHIBITED_ROUTE),
    "the cable is out": (ACCOUNT, How.OFFLINE),
    "the resolver cannot be reached": (NOWHERE, Resolver.UNREACHABLE),
    "the resolver is silent": (NOWHERE, Resolver.SILENT),
    "there is no such host": (NOWHERE, None),
    "a hotel's relay answers": (ACCOUNT, Trick.FOREIGN),
    "a login page answers": (ACCOUNT, Trick.PORTAL),
    "connections are cut off": (ACCOUNT, Trick.RESET),
    "a virus scanner answers": (ACCOUNT, Trick.ANTIVIRUS),
    "the certificate is expired": (ACCOUNT, Trick.EXPIRED),
    "the certificate is for another name": (ACCOUNT, Trick.WRONG_NAME),
    "the certificate is self-signed": (ACCOUNT, Trick.SELF_SIGNED),
    "the server is busy": (ACCOUNT, Trick.BUSY),
    "the server wants nobody from here": (ACCOUNT, Trick.REFUSES),
    "the server has no login": (ACCOUNT, Trick.NO_AUTH),
    "TLS is spoken where STARTTLS is": (url("submissions", port=587), None),
    "STARTTLS is awaited where TLS is": (url("submission", port=465), None),
}
TYPICAL = {
    "everything is silent",
    "everything is prohibited",
    "a hotel's relay answers",
    "the certificate is for another name",
    "TLS is spoken where STARTTLS is",
    "STARTTLS is awaited where TLS is",
}


@pytest.mark.parametrize("case", [it if it in TYPICAL else long(it) for it in CASES])
def test_an_error_tells_what_a_check_tells(road: Street, case: str) -> None:
    account, what = CASES[case]
    with everywhere(road, what):
        running = (
            begin(road, "check", account, "--json"),
            begin_send(road, account, "--timeout", "3"),
            begin_program(road, account, seconds=3),
        )
        checked, sent, program = (it.told() for it in running)
        if isinstance(what, Trick):
            assert_nothing_given_away(road)
    assert sent.code not in (0, 70)
    summary, diagnosis, *_ = sent.lines
    assert summary.startswith("portmail: Not sent: ")
    assert diagnosis == checked.data["verdict"]
    if checked.data["route"] is None:  # else the check knows of another way, which it has tried
        assert_same_advice(sent.lines[-1], checked.data, after="What to do: ")
    assert program.out.splitlines()[:2] == [summary.removeprefix("portmail: "), diagnosis]
    assert program.err == ""


def assert_same_advice(line: str, data: Mapping[str, Any], *, after: str) -> None:
    """The error says what the check says is to be done, and its notes, in any order."""
    assert line.startswith(after)
    rest = line.removeprefix(after)
    for text in (data["advice"], *data["notes"]):
        assert text in rest
        rest = rest.replace(text, "")
    assert rest.strip() in ("", "`portmail check` also tries the server's other ports.")


def test_both_tell_it_in_japanese(road: Street) -> None:
    with everywhere(road, Trick.WRONG_NAME):
        running = (
            begin(road, "check", ACCOUNT, "--json", "--lang", "ja"),
            begin_send(road, ACCOUNT, env={**LOGIN, "LC_ALL": "ja_JP.UTF-8"}),
        )
        checked, sent = (it.told() for it in running)
    assert checked.verdict == ("certificate-name", "settings", None, 77)
    summary, diagnosis, *_ = sent.lines
    assert summary.startswith("portmail: 未送信: ")
    assert diagnosis == checked.data["verdict"]
    assert "証明書" in diagnosis
    assert_same_advice(sent.lines[-1], checked.data, after="対処方法: ")


BY_ONE: Mapping[str, How | Trick] = {
    "is silent": How.DROP,
    "is prohibited": How.ADMIN_PROHIBITED,
    "has its encryption removed": Trick.STRIP,
    "is cut off": Trick.CLOSE,
    "leads to a login page": Trick.PORTAL,
    "shows an expired certificate": Trick.EXPIRED,
    "is busy": Trick.BUSY,
}


@pytest.mark.parametrize("family", [6, long(4)], ids=lambda it: f"IPv{it}")
@pytest.mark.parametrize("case", [it if it == "has its encryption removed" else long(it) for it in BY_ONE])
def test_a_check_does_not_promise_what_a_letter_does_not_get(road: Street, case: str, family: Family) -> None:
    """The only open port is open by one family alone."""
    what = BY_ONE[case]
    with on_port(road, 465, How.RESET), on_port(road, 587, what, family=family):
        running = begin(road, "check", ACCOUNT, "--json"), begin_send(road, ACCOUNT)
        checked, sent = (it.told() for it in running)
        if isinstance(what, Trick):
            assert_nothing_given_away(road)
    kind = {checked.kinds[587, 4], checked.kinds[587, 6]} - {"open"}
    assert len(kind) == 1
    assert checked.data["can_send"] == (sent.code == 0), sent.err


@pytest.mark.long
def test_only_who_looked_further_knows_that_the_host_is_there(road: Street) -> None:
    with road.blocked(*(Block(port, how=How.DROP) for port in (587, 465))):
        running = begin(road, "check", ACCOUNT, "--json"), begin_send(road, ACCOUNT, "--timeout", "3")
        checked, sent = (it.told() for it in running)
    assert checked.verdict == ("no-mail-port", "unknown", None, 69)
    assert checked.data["verdict"].startswith(f"{HOST} is there, but does not answer on ports 587 and 465")
    assert sent.lines[1].startswith(f"{HOST} does not answer on ports 587 and 465")
    assert sent.code == 69


@pytest.fixture
def learning(tmp_path: Path) -> Mapping[str, str]:
    """An environment whose programs remember."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    return {**LOGIN, "PORTMAIL_CACHE": str(cache)}


def sent_by(
    road: Street, account: str = ACCOUNT, *, env: Mapping[str, str]
) -> tuple[list[str], dict[int, int]]:
    """The routes that a new program tried, the one that took the letter last, and the SYNs by port."""
    road.reset_counts()
    told = send(road, account, "--json", env=env)
    assert told.code == 0, told.err
    tried = [it["route"] for it in told.data["attempts"]]
    assert tried[-1] == told.data["route"]
    return tried, dialed(road)


@pytest.mark.parametrize("what", [How.DROP, Trick.SILENT, long(How.ADMIN_PROHIBITED)])
def test_a_blocked_port_is_not_asked_the_second_time(
    road: Street, learning: Mapping[str, str], what: How | Trick
) -> None:
    with on_port(road, 587, what):
        first, syns = sent_by(road, env=learning)
        assert first == [BY_587, BY_465]
        assert syns[587] > 0
        for _ in range(2):
            assert sent_by(road, env=learning) == ([BY_465], {587: 0, 465: 1, 25: 0})


@pytest.mark.long
@pytest.mark.parametrize("what", [How.RESET, Trick.BUSY, Trick.STRIP, Trick.EXPIRED])
def test_what_the_network_does_not_stop_is_asked_again(
    road: Street, learning: Mapping[str, str], what: How | Trick
) -> None:
    """It costs no time, and may pass."""
    with on_port(road, 587, what):
        for _ in range(2):
            tried, _ = sent_by(road, env=learning)
            assert tried == [BY_587, BY_465]
    assert sent_by(road, env=learning) == ([BY_587], {587: 1, 465: 0, 25: 0})


def test_where_the_blocks_change_places_a_letter_still_goes_out(
    road: Street, learning: Mapping[str, str]
) -> None:
    with road.blocked(Block(587, how=How.DROP)):
        sent_by(road, env=learning)
    with road.blocked(Block(465, how=How.DROP)):
        tried, _ = sent_by(road, env=learning)
        assert tried == [BY_465, BY_587]
        assert sent_by(road, env=learning) == ([BY_587], {587: 1, 465: 0, 25: 0})


def test_a_block_is_known_to_every_account_of_the_network(road: Street, learning: Mapping[str, str]) -> None:
    another = url(host=ONLY[4])
    with road.blocked(Block(587, how=How.DROP)):
        sent_by(road, env=learning)
        tried, syns = sent_by(road, another, env=learning)
    assert tried == [f"{ONLY[4]}:465 implicit-tls"]
    assert syns[587] == 0


def test_a_check_teaches_where_letters_go(road: Street, learning: Mapping[str, str]) -> None:
    with road.blocked(Block(587, how=How.ADMIN_PROHIBITED)):
        assert check(road, ACCOUNT, env=learning).verdict == ("open-in-part", "nobody", BY_465, 0)
        assert sent_by(road, env=learning) == ([BY_465], {587: 0, 465: 1, 25: 0})


@pytest.mark.long
def test_a_check_forgets_a_block_that_is_over(road: Street, learning: Mapping[str, str]) -> None:
    another = url(host=ONLY[4])
    with on_port(road, 587, How.ADMIN_PROHIBITED):
        sent_by(road, env=learning)
    assert check(road, ACCOUNT, env=learning).code == 0
    tried, _ = sent_by(road, another, env=learning)
    assert tried == [f"{ONLY[4]}:587 starttls"]


def test_another_network_knows_nothing_of_it(road: Street, learning: Mapping[str, str]) -> None:
    with road.blocked(Block(587, how=How.DROP)):
        sent_by(road, env=learning)
        with another_router(road):
            tried, syns = sent_by(road, env=learning)
            assert tried == [BY_587, BY_465]
            assert syns[587] > 0
        assert sent_by(road, env=learning)[0] == [BY_465]


def another_router(road: Street) -> ExitStack:
    """Have the way out lead over another router."""
    stack = ExitStack()
    links = json.loads(subprocess.check_output(firewalled(road, "ip", "-j", "link")))
    [usual] = [it["address"] for it in links if it["ifname"] == "home"]
    stack.callback(replace_router, road, usual)
    replace_router(road, "02:00:5e:00:53:99")
    return stack


def replace_router(road: Street, address: str) -> None:
    """Change its hardware address, and have home look for it."""
    subprocess.run(firewalled(road, "ip", "link", "set", "home", "address", address), check=True)
    knock = f"import socket; socket.socket().connect_ex(({GATEWAY[4]!r}, 9))"
    for command in (("ip", "neigh", "flush", "dev", "eth0"), (sys.executable, "-c", knock)):
        assert road.run(*command).code == 0


def firewalled(road: Street, *command: str) -> tuple[str, ...]:
    return ("nsenter", "-t", str(road.firewall), "--net", "--", *command)


@pytest.mark.long
def test_a_block_that_is_known_takes_no_time(road: Street, learning: Mapping[str, str]) -> None:
    blocked, free = [], []
    for turn in range(6):
        with road.blocked(Block(587, how=How.DROP)):
            told = send(road, ACCOUNT, env=learning)
        if turn:  # the first one learns
            blocked.append(told.seconds)
        free.append(send(road, ACCOUNT).seconds)
    assert statistics.median(blocked) < 1.4 * statistics.median(free)


@pytest.mark.parametrize("teacher", ["a letter", "a check"])
def test_starttls_that_was_there_and_is_gone_is_told(
    road: Street, learning: Mapping[str, str], teacher: str
) -> None:
    told = (send if teacher == "a letter" else check)(road, ACCOUNT, env=learning)
    assert told.code == 0, told.err
    with road.redirected(587, to=Trick.STRIP):
        tried = send(road, ACCOUNT, "--json", env=learning)
        assert (tried.code, tried.data["route"]) == (0, BY_465)
        assert tried.data["attempts"][0]["cause"] == "starttls-stripped"
        assert "it offered STARTTLS on 20" in tried.data["attempts"][0]["text"]
        with road.blocked(Block(465, how=How.RESET)):
            running = (
                begin(road, "check", ACCOUNT, "--json", env=learning),
                begin_send(road, ACCOUNT, env=learning),
            )
            checked, sent = (it.told() for it in running)
        assert_nothing_given_away(road)
    assert checked.verdict == ("starttls-stripped", "network", None, 77)
    assert checked.kinds[587, 4] == checked.kinds[587, 6] == "starttls-stripped"
    assert (sent.code, sent.lines[1]) == (77, checked.data["verdict"])
    assert "it offered STARTTLS on 20" in sent.err
