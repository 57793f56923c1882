"""What does a real authoritative DNS server say? Knot DNS, with zones that a test writes."""

import shutil
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from tests.servers.requirements import LOOPBACK, daemon, home, logs

_CONF = """\
server:
    rundir: {root}
    listen: {address}@{port}
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: {root}/db
policy:
  - id: signed
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {root}/zones
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    semantic-checks: off
zone:
"""

_HEAD = """\
$ORIGIN {zone}.
$TTL {ttl}
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns {kind} {address}
"""

TTL = 300
"""Seconds for which a zone's records may be kept, where it does not say otherwise."""


@dataclass(frozen=True)
class NameServer:
    """A running server of DNS."""

    address: str
    port: int
    root: Path

    @property
    def resolver(self) -> str:
        """The server as `Discovery.resolver` names it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def log(self) -> str:
        """All that it said so far."""
        return logs(self.root)


@dataclass(frozen=True)
class Knot(NameServer):
    """One that knows zones. `anchors` are the keys of the signed ones, as lines of a zone file."""

    anchors: Mapping[str, str]


def unavailable() -> str | None:
    """Say why it cannot run here."""
    return None if shutil.which("knotd") else "a real authoritative DNS server needs knotd"


@contextmanager
def running(
    root: Path,
    *,
    zones: Mapping[str, str],
    address: str = LOOPBACK,
    port: int | None = None,
    signed: Collection[str] = frozenset(),
    failing: Collection[str] = frozenset(),
) -> Iterator[Knot]:
    """Run the server in a directory of its own: see `home`.

    `zones` maps names (without the last dot) to records, in the form of a zone file, relative to the zone;
    SOA and NS are there already. Those in `signed` are signed by the server, of those in `failing` it can
    tell nothing, and says SERVFAIL.
    """
    with home(root) as path:
        port = port or free_port(address)
        for name in ("zones", "db"):
            (path / name).mkdir()
        for zone, text in zones.items():
            kind = "AAAA" if ":" in address else "A"
            head = _HEAD.format(zone=zone, ttl=TTL, address=address, kind=kind)
            (path / f"zones/{zone}.zone").write_text(head + text, encoding="utf-8")
        lines = [_zone(zone, signed=zone in signed) for zone in (*zones, *failing)]
        conf = path / "knot.conf"
        conf.write_text(_CONF.format(root=path, address=address, port=port) + "".join(lines))

        def ready() -> bool:
            return all(_answers(zone, address=address, port=port) for zone in zones)

        with daemon("knotd", "-c", str(conf), log=path / "knot.log", ready=ready):
            anchors = {zone: _key(zone, address=address, port=port) for zone in signed}
            yield Knot(address, port, path, anchors)


def free_port(address: str = LOOPBACK) -> int:
    """Find a port that is free for UDP and TCP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with (
            socket.socket(family, socket.SOCK_STREAM) as tcp,
            socket.socket(family, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((address, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((address, port))
            except OSError:
                continue
            return port


def _zone(zone: str, *, signed: bool) -> str:
    signing = "    dnssec-signing: on\n    dnssec-policy: signed\n" if signed else ""
    return f"  - domain: {zone}\n{signing}"


def _answers(zone: str, *, address: str, port: int) -> bool:
    query = dns.message.make_query(zone, "SOA")
    try:
        reply = dns.query.udp(query, address, port=port, timeout=0.05)
    except (dns.exception.DNSException, OSError):
        return False
    return reply.rcode() == dns.rcode.NOERROR and bool(reply.answer)


def _key(zone: str, *, address: str, port: int) -> str:
    """The zone's DNSKEY record, for a resolver that is to trust it."""
    reply = dns.query.tcp(dns.message.make_query(zone, "DNSKEY"), address, port=port, timeout=5)
    [rrset] = [it for it in reply.answer if it.rdtype == dns.rdatatype.DNSKEY]
    return f"{zone}. IN DNSKEY {next(iter(rrset)).to_text()}"
