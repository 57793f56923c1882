"""What runs on the island: its servers, until standard input ends; a line there is a question."""

import fcntl
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from tests.servers import https, knot, postfix, unbound
from tests.servers.island import RULES
from tests.servers.island.domains import (
    BOGUS,
    FAILING,
    MAIL,
    NAMES,
    NAMESERVER,
    PAGES,
    RESOLVER,
    SIGNED,
    USERS,
    WEB,
    ZONES,
)

FILES = {
    "resolv.conf": f"nameserver {RESOLVER}\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
QUERY = re.compile(r"info: 127\.\S+ (\S+)\. (\S+) IN")
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def main(root: Path) -> None:
    """Settle, start everything, and answer."""
    settle(root)
    authority = trustme.CA()
    with ExitStack() as stack:
        resolver = stack.enter_context(resolving(root))
        web = stack.enter_context(
            https.running(root, names=NAMES, answers=PAGES, authority=authority, address=WEB, port=443)
        )
        mail = stack.enter_context(
            postfix.running(
                root,
                users=USERS,
                ports={587: 587, 465: 465},
                places={address: host for host, address in MAIL.items()},
                authority=authority,
            )
        )
        answers: dict[str, Callable[[], object]] = {
            "queries": lambda: [f"{kind} {name}" for name, kind in QUERY.findall(resolver.log())],
            "requests": lambda: [requested(lines) for lines in web.requests],
        }
        tell({"mail": str(mail.root), "resolver": str(resolver.root)})
        for line in sys.stdin:
            tell(answers[line.strip()]())


@contextmanager
def resolving(root: Path) -> Iterator[unbound.Unbound]:
    """Have names resolved, by a resolver that knows the keys of signed zones."""
    with knot.running(
        root, zones=ZONES, address=NAMESERVER, port=53, signed=SIGNED, failing=(FAILING,)
    ) as nameserver:
        stubs = dict.fromkeys((*ZONES, FAILING), NAMESERVER)
        keys = dict(nameserver.anchors)
        # The right name on the wrong key.
        keys[BOGUS] = f"{BOGUS}. {keys[SIGNED[0]].partition(' ')[2]}"
        with unbound.running(root, stubs=stubs, anchors=keys.values(), address=RESOLVER, port=53) as server:
            yield server


def requested(lines: Sequence[str]) -> str:
    """Return the URL of a request."""
    [host] = [line.partition(": ")[2] for line in lines if line.lower().startswith("host: ")]
    return f"https://{host}{lines[0].split()[1]}"


def settle(root: Path) -> None:
    """Have loopback, nothing but DNS to find names with, and the firewall."""
    with socket.socket() as any_socket:
        flags = struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, flags)
    for name, text in FILES.items():
        (root / name).write_text(text)
        (root / name).chmod(0o644)
        subprocess.run(("mount", "--bind", str(root / name), f"/etc/{name}"), check=True)
    subprocess.run(("nft", "-f", "-"), input=RULES.encode(), check=True)


def tell(what: object) -> None:
    """Say one line to the outside."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
