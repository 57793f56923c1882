"""Where is everything on the street? Its addresses and names, the wires, and the firewall's first rules.

    home (the client)  --  firewall (forwards, and has the middlebox)  --  host (mail and names)

All addresses are for documentation (RFC 5737, RFC 3849): nobody has them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

Family: TypeAlias = Literal[4, 6]
FAMILIES: Sequence[Family] = (4, 6)

CLIENT: Mapping[Family, str] = {4: "192.0.2.10", 6: "2001:db8:1::10"}
GATEWAY: Mapping[Family, str] = {4: "192.0.2.1", 6: "2001:db8:1::1"}
MAIL: Mapping[Family, str] = {4: "198.51.100.25", 6: "2001:db8:2::25"}
RESOLVER = "198.51.100.53"
DEFAULT: Mapping[Family, str] = {4: "0.0.0.0/0", 6: "::/0"}

HOST = "mail.example.test"
ONLY: Mapping[Family, str] = {4: "v4.example.test", 6: "v6.example.test"}
"""Names of the same server that have an address of one family."""
NAMES = (HOST, *ONLY.values())

USERS: Mapping[str, str] = {"me@example.test": "correct horse"}

# The silence of a resolver lasts as long as on any machine: no options here.
FILES: Mapping[str, str] = {
    "resolv.conf": f"nameserver {RESOLVER}\n",
    "hosts": "127.0.0.1 localhost\n"
    + "".join(f"{address} {HOST} {ONLY[family]}\n" for family, address in MAIL.items()),
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""What `home` has in /etc."""

FIRMWARE = "/sys/class/dmi/id"
"""Where a machine says who made it; `home` does not, wherever it stands."""

# Routers have an address at once, and tell every time that something is prohibited.
FIREWALL_SYSCTL: Mapping[str, int] = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    "ipv4/icmp_ratelimit": 0,
    "ipv6/icmp/ratelimit": 0,
}
SYSCTL: Mapping[str, int] = {"ipv6/conf/all/accept_dad": 0, "ipv6/conf/default/accept_dad": 0}

FIRST_WIRE = "link add home address 02:00:5e:00:53:01 type veth peer name eth0 address 02:00:5e:00:53:10\n"
"""From the firewall to home, both ends at the firewall as yet."""

FIREWALL_WIRES = f"""\
link set lo up
link set eth0 netns {{home}}
link add host address 02:00:5e:00:53:02 type veth peer name eth0 address 02:00:5e:00:53:25 netns {{host}}
addr add {GATEWAY[4]}/24 dev home
addr add {GATEWAY[6]}/64 dev home nodad
addr add 198.51.100.1/24 dev host
addr add 2001:db8:2::1/64 dev host nodad
link set home up
link set host up
"""

HOST_WIRES = f"""\
link set lo up
addr add {MAIL[4]}/24 dev eth0
addr add {RESOLVER}/24 dev eth0
addr add {MAIL[6]}/64 dev eth0 nodad
link set eth0 up
route add {DEFAULT[4]} via 198.51.100.1
route add {DEFAULT[6]} via 2001:db8:2::1
"""

HOME_WIRES = f"""\
link set lo up
link set eth0 up
addr replace {CLIENT[4]}/24 dev eth0
addr replace {CLIENT[6]}/64 dev eth0 nodad
route replace {DEFAULT[4]} via {GATEWAY[4]}
route replace {DEFAULT[6]} via {GATEWAY[6]}
"""
"""Makes it whole again whatever was done to it."""

# What is dialed is counted before anything is done to it; a SYN is counted each time that it is sent.
RULES = """\
table inet street {
    set dialed4 { type ipv4_addr . inet_service; flags dynamic; counter; size 65535; }
    set dialed6 { type ipv6_addr . inet_service; flags dynamic; counter; size 65535; }
    chain count {
        type filter hook prerouting priority raw;
        iifname home tcp flags & (syn | ack) == syn jump counted
    }
    chain counted {
        update @dialed4 { ip daddr . tcp dport counter }
        update @dialed6 { ip6 daddr . tcp dport counter }
    }
    chain elsewhere { type nat hook prerouting priority dstnat; }
    chain names { type filter hook forward priority -10; }
    chain block { type filter hook forward priority 0; }
}
"""
