"""Is the street what it says? Every block, every trick, every count, as bare sockets see them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.servers.street import Block, Family, How, Resolver, Street, Trick
from tests.servers.street.client import Client
from tests.servers.street.plan import FAMILIES, HOST, MAIL, ONLY, USERS
from tests.servers.street.seeing import OPEN, SILENCE, TLS

PORTS = (25, 465, 587)
[USER] = USERS


@pytest.fixture(autouse=True)
def counted(road: Street) -> None:
    """Every test counts from nothing."""
    road.reset_counts()


SEEN: dict[How, tuple[str, str]] = {
    How.DROP: (SILENCE, SILENCE),
    How.RESET: ("ECONNREFUSED", "ECONNREFUSED"),
    How.PORT_UNREACHABLE: ("ECONNREFUSED", "ECONNREFUSED"),
    How.HOST_UNREACHABLE: ("EHOSTUNREACH", "EHOSTUNREACH"),
    How.NET_UNREACHABLE: ("ENETUNREACH", "ENETUNREACH"),
    How.ADMIN_PROHIBITED: ("EHOSTUNREACH", "EACCES"),
    How.HOST_PROHIBITED: ("EHOSTUNREACH", "EACCES"),
    How.NET_PROHIBITED: ("ENETUNREACH", "EACCES"),
}
EVERYTHING: dict[How, tuple[str, str]] = {
    How.IPV6_BLACKHOLE: (OPEN, SILENCE),
    How.NO_ROUTE: ("ENETUNREACH", "ENETUNREACH"),
    How.UNREACHABLE_ROUTE: ("EHOSTUNREACH", "EHOSTUNREACH"),
    How.PROHIBITED_ROUTE: ("EACCES", "EACCES"),
    How.BLACKHOLE_ROUTE: ("EINVAL", "EINVAL"),
    How.OFFLINE: ("ENETUNREACH", "ENETUNREACH"),
}


def seen_on(client: Client, how: How) -> tuple[str, str]:
    """What is seen over IPv4 and over IPv6, where silence is all that can take long."""
    expected = (SEEN | EVERYTHING)[how]
    four, six = (
        client.dial(family=family, seconds=0.2 if it == SILENCE else 10)
        for family, it in zip(FAMILIES, expected, strict=True)
    )
    return four, six


@pytest.mark.parametrize("how", SEEN)
def test_a_blocked_port_looks_as_firewalls_make_it(road: Street, client: Client, how: How) -> None:
    with road.blocked(Block(587, how=how)):
        assert seen_on(client, how) == SEEN[how]
        assert road.syns() == {(address, 587): 1 for address in MAIL.values()}  # what is told is told at once
        assert [client.dial(465, family=4), client.dial(465, family=6)] == [OPEN, OPEN]
    assert [client.dial(family=4), client.dial(family=6)] == [OPEN, OPEN]


@pytest.mark.parametrize("how", EVERYTHING)
def test_what_goes_wrong_for_all_ports_is_whole_again_afterwards(
    road: Street, client: Client, how: How
) -> None:
    with road.blocked(Block(None, how=how)):
        assert seen_on(client, how) == EVERYTHING[how]
    assert [client.dial(family=4), client.dial(family=6)] == [OPEN, OPEN]


def test_a_firewall_tells_everybody_every_time(road: Street, client: Client) -> None:
    with road.blocked(Block(587, how=How.NET_UNREACHABLE)):
        told = {client.dial(family=family) for _ in range(20) for family in FAMILIES}
    assert told == {"ENETUNREACH"}
    assert road.syns() == {(address, 587): 20 for address in MAIL.values()}


def test_every_way_to_block_is_proven() -> None:
    assert set(How) == set(SEEN) | set(EVERYTHING)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", [How.RESET, How.ADMIN_PROHIBITED])
def test_a_rule_can_be_for_one_family(road: Street, client: Client, how: How, family: Family) -> None:
    other: Family = 6 if family == 4 else 4
    with road.blocked(Block(587, how=how, family=family)):
        assert client.dial(family=family) == SEEN[how][family == 6]
        assert client.dial(family=other) == OPEN


@pytest.mark.parametrize("family", [4, 6])
def test_a_route_can_be_gone_for_one_family(road: Street, client: Client, family: Family) -> None:
    other: Family = 6 if family == 4 else 4
    with road.blocked(Block(None, how=How.NO_ROUTE, family=family)):
        assert client.dial(family=family) == "ENETUNREACH"
        assert client.dial(family=other) == OPEN


def test_all_of_tcp_can_be_blocked(road: Street, client: Client) -> None:
    with road.blocked(Block(None, how=How.RESET)):
        assert {client.dial(port, family=family) for port in PORTS for family in MAIL} == {"ECONNREFUSED"}


def test_the_first_rule_decides(road: Street, client: Client) -> None:
    with road.blocked(Block(465, how=How.NET_PROHIBITED), Block(None, how=How.RESET)):
        assert [client.dial(port, family=4) for port in PORTS] == [
            "ECONNREFUSED",
            "ENETUNREACH",
            "ECONNREFUSED",
        ]


def test_blocks_may_be_within_blocks(road: Street, client: Client) -> None:
    with road.blocked(Block(587, how=How.RESET)):
        with road.blocked(Block(465, how=How.HOST_PROHIBITED)):
            assert [client.dial(port, family=4) for port in (587, 465)] == ["ECONNREFUSED", "EHOSTUNREACH"]
        assert [client.dial(port, family=4) for port in (587, 465)] == ["ECONNREFUSED", OPEN]


def test_what_is_about_the_whole_network_takes_no_port() -> None:
    with pytest.raises(ValueError, match="for all ports"):
        Block(587, how=How.OFFLINE)


@pytest.mark.parametrize("name", [HOST, *ONLY.values()])
def test_names_have_the_addresses_that_they_say(client: Client, name: str) -> None:
    wanted = {ONLY[family]: [address] for family, address in MAIL.items()}
    assert sorted(client.see("resolve", name=name)) == wanted.get(name, sorted(MAIL.values()))


@pytest.mark.parametrize("name", ONLY.values())
def test_the_real_server_is_on_the_real_ports(road: Street, client: Client, name: str) -> None:
    for port in PORTS:
        seen = client.talk(port, host=name, after=["QUIT"])
        assert "220 mail.example.test ESMTP Postfix" in seen
        assert TLS in seen
        assert any(it.startswith("250-AUTH") for it in seen) == (port != 25)
        assert seen[-1] == "221 2.0.0 Bye"


def test_a_message_reaches_the_mailbox(road: Street) -> None:
    url = f"submission://{quote(USER, safe='')}@{HOST}:587"
    done = road.portmail(
        "send", "--from", USER, "--to", "street@example.org", "--subject", "out", "--url", url,
        env={"PORTMAIL_PASSWORD": USERS[USER]}, stdin="Hello.\n",
    )  # fmt: skip
    assert done.code == 0, done.err
    [raw] = road.mail.wait_for("street@example.org")
    assert b"Subject: out" in raw
    assert f"sasl_username={USER}" in road.log()


def test_a_program_at_home_has_no_more_than_it_needs(road: Street) -> None:
    done = road.run(
        sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))", env={"MORE": "1"}
    )
    environment = json.loads(done.out)
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment.pop("PORTMAIL_CA") == str(road.ca)
    assert environment.pop("MORE") == "1"
    assert environment.pop("PORTMAIL_CACHE") == "off"
    assert set(environment) <= {"PATH", "SSL_CERT_FILE"}


def test_home_sees_its_own_network_alone(road: Street) -> None:
    assert road.run("ls", "/sys/class/net").out.split() == ["eth0", "lo"]
    routes = road.run("cat", "/proc/net/route").out
    assert routes.count("eth0") == 2


@pytest.mark.parametrize("family", [4, 6])
def test_syns_are_counted_before_they_are_blocked(road: Street, client: Client, family: Family) -> None:
    client.dial(465, family=family)
    with road.blocked(Block(587, how=How.RESET)):
        client.dial(587, family=family)
        client.dial(587, family=family)
    with road.redirected(25, to=Trick.CLOSE):
        client.dial(25, family=family)
    address = MAIL[family]
    assert road.syns() == {(address, 465): 1, (address, 587): 2, (address, 25): 1}
    road.reset_counts()
    assert road.syns() == {}


def test_what_does_not_leave_home_is_not_counted(road: Street, client: Client) -> None:
    with road.blocked(Block(None, how=How.OFFLINE)):
        client.dial(family=4)
        client.dial(family=6)
    assert road.syns() == {}


def test_a_resolver_says_that_there_is_no_such_name(client: Client) -> None:
    assert client.see("resolve", name="nobody.example.test") == ["EAI_NONAME"]


def test_a_resolver_may_be_unreachable(road: Street, client: Client) -> None:
    with road.resolving(Resolver.UNREACHABLE):
        assert client.see("resolve", name="nobody.example.test") == ["EAI_AGAIN"]
        assert client.dial(family=4) == OPEN


@pytest.mark.long
def test_a_resolver_may_be_silent(road: Street, client: Client) -> None:
    with road.resolving(Resolver.SILENT):
        started = time.monotonic()
        assert client.see("resolve", name="nobody.example.test") == ["EAI_AGAIN"]
        assert time.monotonic() - started >= 1
    assert client.see("resolve", name="nobody.example.test") == ["EAI_NONAME"]


def test_a_program_that_takes_too_long_is_ended(road: Street) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        road.run("sleep", "314159", seconds=0.1)
    assert running("sleep\x00314159") == []


BEGIN = """
import sys
from pathlib import Path
from tests.servers.street import street
with street(Path(sys.argv[1])) as there:
    print(there.home, there.firewall, there.process.pid, there.root, flush=True)
    sys.stdin.read()
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, None])
def test_nothing_is_left_over(tmp_path: Path, number: signal.Signals | None) -> None:
    with subprocess.Popen(
        (sys.executable, "-c", BEGIN, str(tmp_path)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        home, firewall, unshare, root = process.stdout.readline().split()
        processes = inhabitants(int(firewall))
        assert int(home) in processes
        assert len(processes) > 8
        if number:
            process.send_signal(number)
    gone = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/ns").exists() and alive(pid) for pid in (*processes, int(unshare))):
        assert time.monotonic() < gone
        time.sleep(0.02)
    assert Path(root).exists() == (number is not None)
    assert subprocess.run(("ip", "netns", "list"), capture_output=True, check=True).stdout == b""


def inhabitants(pid: int) -> list[int]:
    """All processes that live where this one does."""
    place = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        with suppress(OSError):
            if path.readlink() == place:
                found.append(int(path.parts[2]))
    return found


def alive(pid: int) -> bool:
    """Tell whether it is more than a zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def running(command: str) -> list[int]:
    """Processes with this command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if command in path.read_text():
                found.append(int(path.parts[2]))
    return found
