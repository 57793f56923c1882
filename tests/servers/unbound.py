"""What does a real validating resolver say? Unbound, which asks the servers that a test names."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from tests.servers.knot import NameServer, free_port
from tests.servers.requirements import LOOPBACK, daemon, home

# Nothing is asked outside the stubs: all else does not exist.
_CONF = """\
server:
    directory: "{root}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    interface: {address}@{port}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    do-not-query-localhost: no
    module-config: "validator iterator"
    minimal-responses: yes
    log-queries: yes
    outgoing-range: 64
    num-queries-per-thread: 32
    local-zone: "." static
"""

_INSIDE = """\
    local-zone: "{zone}." transparent
"""

_STUB = """\
stub-zone:
    name: "{zone}."
    stub-addr: {server}
"""


class Unbound(NameServer):
    """A running resolver."""


def unavailable() -> str | None:
    """Say why it cannot run here."""
    return None if shutil.which("unbound") else "a real validating DNS resolver needs unbound"


@contextmanager
def running(
    root: Path,
    *,
    stubs: Mapping[str, str],
    anchors: Collection[str] = (),
    address: str = LOOPBACK,
    port: int | None = None,
) -> Iterator[Unbound]:
    """Run the resolver in a directory of its own: see `home`.

    `stubs` maps zones (without the last dot) to the servers that know them, as `127.0.0.1@5353`. `anchors`
    are the keys of the zones that must be signed, as `Knot.anchors` has them.
    """
    with home(root) as path:
        port = port or free_port(address)
        text = _CONF.format(root=path, address=address, port=port)
        text += "".join(_INSIDE.format(zone=zone) for zone in stubs)
        text += "".join(f"    trust-anchor: '{anchor}'\n" for anchor in anchors)
        text += "".join(_STUB.format(zone=zone, server=server) for zone, server in stubs.items())
        conf = path / "unbound.conf"
        conf.write_text(text)

        def ready() -> bool:
            try:
                dns.query.udp(dns.message.make_query("ready.", "A"), address, port=port, timeout=0.05)
            except (dns.exception.DNSException, OSError):
                return False
            return True

        with daemon("unbound", "-d", "-c", str(conf), log=path / "unbound.log", ready=ready):
            yield Unbound(address, port, path)
