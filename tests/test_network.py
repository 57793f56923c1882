"""Is it known which network we are in, and whether there is any, without a packet or a name?"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.network import NO_NETWORK, is_online, is_this_machine, kernel, network_id, own_address

V4, V6 = socket.AF_INET, socket.AF_INET6
ROUTES, NEIGHBOURS, ROUTES_V6 = "/proc/net/route", "/proc/net/arp", "/proc/net/ipv6_route"

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
ARP_HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"


def word(address: str) -> str:
    """An IPv4 address as the kernel prints it here."""
    return f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"


def route(
    link: str,
    destination: str = "0.0.0.0",  # noqa: S104
    router: str = "0.0.0.0",  # noqa: S104
    *,
    flags: str = "0003",
    metric: int = 0,
    mask: str = "0.0.0.0",  # noqa: S104
) -> str:
    return f"{link}\t{word(destination)}\t{word(router)}\t{flags}\t0\t0\t{metric}\t{word(mask)}\t0\t0\t0\n"


def neighbour(address: str, hardware: str, link: str = "wlan0") -> str:
    return f"{address:<16} 0x1         0x2         {hardware}     *        {link}\n"


def route_v6(destination: str, link: str, *, flags: str = "00000001") -> str:
    zero = "0" * 32
    return f"{destination:0<32} 40 {zero} 00 {zero} 00000100 00000001 00000000 {flags} {link:>8}\n"


@dataclass
class Machine:
    """A machine with these addresses towards the world, and these files of the kernel's."""

    addresses: Mapping[int, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def own(self, family: int) -> str | None:
        return self.addresses.get(family)

    def tell(self, path: str) -> str:
        self.asked.append(path)
        return self.files.get(path, "")

    @property
    def network(self) -> str:
        return network_id(own=self.own, tell=self.tell)

    @property
    def online(self) -> bool:
        return is_online(own=self.own, tell=self.tell)


CAFE = Machine(
    {V4: "192.168.1.23", V6: "2001:db8:1:2::3"},
    {
        ROUTES: HEAD + route("wlan0", router="192.168.1.1", metric=600) + route("wlan0", "192.168.1.0"),
        NEIGHBOURS: ARP_HEAD
        + neighbour("192.168.1.7", "02:00:00:00:00:07")
        + neighbour("192.168.1.1", "02:00:00:00:00:01"),
    },
)


def at_the_cafe(**changes: str) -> Machine:
    """The same place, with something else in its tables."""
    names = {"routes": ROUTES, "neighbours": NEIGHBOURS}
    return Machine(CAFE.addresses, {**CAFE.files, **{names[name]: text for name, text in changes.items()}})


def test_a_network_is_our_neighbours_and_the_router() -> None:
    assert CAFE.network == "192.168.1.0/24 02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("machine", "same"),
    [
        pytest.param(
            Machine({V4: "192.168.1.99"}, CAFE.files), True, id="another address, also without IPv6"
        ),
        pytest.param(Machine({V4: "192.168.2.23"}, CAFE.files), False, id="other neighbours"),
        pytest.param(
            at_the_cafe(neighbours=ARP_HEAD + neighbour("192.168.1.1", "02:00:00:00:00:02")),
            False,
            id="the same numbers behind another router",
        ),
        pytest.param(
            at_the_cafe(neighbours=ARP_HEAD + neighbour("192.168.1.1", "02:00:00:00:00:01", "eth0")),
            False,
            id="that router on another interface",
        ),
    ],
)
def test_the_word_is_the_same_here_and_another_one_elsewhere(machine: Machine, same: bool) -> None:
    assert (machine.network == CAFE.network) is same


@pytest.mark.parametrize(
    ("routes", "router"),
    [
        pytest.param(
            route("wlan0", router="192.168.1.1", metric=600) + route("eth0", router="10.0.0.1", metric=100),
            "02:00:00:00:00:aa",
            id="the least metric is preferred",
        ),
        pytest.param(
            route("eth0", router="10.0.0.1", flags="0200") + route("wlan0", router="192.168.1.1", metric=600),
            "02:00:00:00:00:01",
            id="a default that rejects leads nowhere",
        ),
        pytest.param(
            route("eth0", router="10.0.0.1", mask="128.0.0.0") + route("wlan0", router="192.168.1.1"),
            "02:00:00:00:00:01",
            id="half of the world is no default",
        ),
        pytest.param(
            route("eth0", "10.0.0.0", "10.0.0.1") + route("wlan0", router="192.168.1.1"),
            "02:00:00:00:00:01",
            id="another network's router is no default",
        ),
        pytest.param(
            route("wlan0", router="192.168.1.1").replace(word("192.168.1.1"), "F" * 9), "", id="damaged"
        ),
        pytest.param(route("tun0"), "", id="a tunnel has no router"),
        pytest.param("", "", id="no table"),
    ],
)
def test_the_router_is_that_of_the_default_route(routes: str, router: str) -> None:
    neighbours = neighbour("10.0.0.1", "02:00:00:00:00:aa", "eth0") + neighbour(
        "192.168.1.1", "02:00:00:00:00:01"
    )
    machine = at_the_cafe(routes=HEAD + routes, neighbours=ARP_HEAD + neighbours)
    assert machine.network == f"192.168.1.0/24 {router}".rstrip()


def test_a_router_that_has_not_answered_yet_is_not_known() -> None:
    silent = ARP_HEAD + neighbour("192.168.1.1", "00:00:00:00:00:00")
    assert at_the_cafe(neighbours=silent).network == "192.168.1.0/24"


def test_where_there_is_no_ipv4_it_is_the_network_of_ipv6() -> None:
    machine = Machine({V6: "2001:db8:1:2:aaaa::3"}, CAFE.files)
    assert machine.network == "2001:db8:1:2::/64"


def test_without_any_way_out_there_is_one_word_and_nothing_is_read() -> None:
    machine = Machine({}, CAFE.files)
    assert machine.network == NO_NETWORK
    assert machine.asked == []


def online_by(*, carrier: str = "1\n", routes: str = "", routes_v6: str = "", bridge: str = "") -> bool:
    files = {ROUTES: HEAD + routes, ROUTES_V6: routes_v6, "/sys/class/net/eth0/carrier": carrier}
    files["/sys/class/net/eth0/bridge/bridge_id"] = bridge
    return Machine({}, {**files, "/sys/class/net/lo/carrier": "1\n"}).online


def test_a_way_to_the_world_is_online_whatever_the_tables_say() -> None:
    assert Machine({V6: "2001:db8::2"}).online
    assert Machine({V4: "192.0.2.2"}).online


@pytest.mark.parametrize(
    ("there", "online"),
    [
        pytest.param({"routes": route("eth0", "10.0.0.0", flags="0001")}, True, id="neighbours"),
        pytest.param({"routes_v6": route_v6("fd00", "eth0")}, True, id="neighbours by IPv6"),
        pytest.param({}, False, id="nothing"),
        pytest.param({"routes": route("lo", "127.0.0.0", flags="0001")}, False, id="ourselves"),
        pytest.param({"routes_v6": route_v6("fd00", "lo")}, False, id="ourselves by IPv6"),
        pytest.param({"routes_v6": route_v6("fe80", "eth0")}, False, id="what every interface has"),
        pytest.param({"routes_v6": route_v6("ff", "eth0")}, False, id="a multicast"),
        pytest.param(
            {"routes": route("eth0", "10.0.0.0", flags="0001"), "bridge": "8000.0242ac110002\n"},
            False,
            id="a bridge of containers",
        ),
        pytest.param(
            {"routes": route("eth0", "10.0.0.0", flags="0001"), "carrier": "0\n"}, False, id="no cable"
        ),
        pytest.param({"routes": route("eth0", "10.0.0.0", flags="0201")}, False, id="rejected"),
        pytest.param({"routes": route("eth0", "10.0.0.0", flags="0000")}, False, id="not up"),
    ],
)
def test_who_reaches_a_neighbour_is_online(there: dict[str, str], online: bool) -> None:
    assert online_by(**there) is online


TABLES = st.text(alphabet="0123456789abcdefABCDEFxg.:-lothewn \t\n", max_size=200) | st.builds(
    "\t".join, st.lists(st.sampled_from(["0" * 8, "0003", "eth0", "x", "-1", "9" * 40]), max_size=12)
)


@given(tables=st.fixed_dictionaries(dict.fromkeys((ROUTES, NEIGHBOURS, ROUTES_V6), TABLES)))
def test_a_table_that_is_damaged_raises_nothing(tables: Mapping[str, str]) -> None:
    files = {path: f"head\n{text}" for path, text in tables.items()}
    assert Machine({V4: "192.168.1.23"}, files).network.startswith("192.168.1.0/24")
    assert not Machine({}, files).online


@pytest.mark.parametrize(
    ("host", "near"),
    [
        *((host, True) for host in ("127.0.0.1", "127.87.1.2", "::1", "::ffff:127.0.0.1", "::")),
        *((host, True) for host in ("localhost", "mail.localhost")),
        *(
            (host, False)
            for host in ("127.example", "localhost.example", "128.0.0.1", "10.0.0.1", "fe80::1%lo")
        ),
    ],
)
def test_this_machine_is_known_by_its_names(host: str, near: bool) -> None:
    assert is_this_machine(host) is near


class Socket:
    """A UDP socket of a machine with this address; it may be connected, and nothing else."""

    def __init__(self, address: str | None, asked: list[str]) -> None:
        self._address, self._asked = address, asked

    def __call__(self, _family: int, kind: int) -> Socket:
        assert kind == socket.SOCK_DGRAM
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._asked.append("closed")

    def connect(self, there: tuple[str, int]) -> None:
        self._asked.append(there[0])
        if self._address is None:
            raise OSError(101, "Network is unreachable")

    def getsockname(self) -> tuple[str | None, int]:
        return self._address, 0


Towards = Callable[[str | None], list[str]]


@pytest.fixture
def towards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Towards]:
    """Puts a socket there that has this address towards the world; what it is asked for is kept."""

    def put(address: str | None) -> list[str]:
        asked: list[str] = []
        monkeypatch.setattr("portmail.network.socket.socket", Socket(address, asked))
        return asked

    yield put
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("family", "told", "address"),
    [
        (V4, "192.168.1.23", "192.168.1.23"),
        (V6, "fe80::1%eth0", "fe80::1"),
        (V4, "127.0.0.1", None),
        (V6, "::1", None),
        (V4, None, None),
        (V4, "", None),
    ],
)
def test_our_own_address_is_that_of_a_socket_that_sends_nothing(
    towards: Towards, family: socket.AddressFamily, told: str | None, address: str | None
) -> None:
    asked = towards(told)
    assert own_address(family) == address
    assert asked == ["192.0.2.1" if family is V4 else "2001:db8::1", "closed"]


def test_a_machine_that_gives_no_socket_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_arguments: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("portmail.network.socket.socket", none_left)
        assert network_id() == NO_NETWORK


@pytest.mark.parametrize(
    ("error", "online"),
    [
        (errno.EMFILE, True),
        (errno.ENFILE, True),
        (errno.ENOBUFS, True),
        (errno.ENOMEM, True),
        (errno.ENETUNREACH, False),
        (errno.EACCES, False),
    ],
)
def test_a_program_that_has_used_up_its_descriptors_is_not_offline_for_that(
    error: int, online: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_arguments: object) -> None:
        raise OSError(error, "x")

    with monkeypatch.context() as patch:
        patch.setattr("portmail.network.socket.socket", none_left)
        assert is_online(tell=lambda _path: "") is online


def test_a_file_is_read_to_its_end_where_there_is_one_and_on_linux_alone(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = f"{tmp_path}/table"
    with open(file, "wb") as stream:  # noqa: PTH123
        stream.write(b"a\xff" * 5000)
    assert kernel(file) == "a\ufffd" * 5000
    assert kernel(f"{file}.absent") == ""
    assert kernel(str(tmp_path)) == ""
    monkeypatch.setattr("portmail.network.sys.platform", "darwin")
    assert kernel(file) == ""


def test_a_very_long_table_is_read_in_part(tmp_path: object) -> None:
    file = f"{tmp_path}/table"
    with open(file, "wb") as stream:  # noqa: PTH123
        stream.write(b"a" * 1_000_000)
    assert 64 * 1024 <= len(kernel(file)) <= 128 * 1024


def test_this_machine_is_asked_twice_and_says_the_same() -> None:
    assert network_id() == network_id()
    assert isinstance(is_online(), bool)
