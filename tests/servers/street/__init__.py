"""How is it tried what firewalls do to mail? On a street: a home, a firewall, and a host beyond it.

Each is a network of its own, joined by wires (veth), with IPv4 and IPv6; in the host is a real Postfix on
the real ports. `plan` says what is where, `block` what the firewall does, `trick` what a box in its place
plays. `__main__` runs in the firewall, and all else is its child: when it ends, for whatever reason, the
kernel ends them all, and nothing of it has a name that could be left over.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tests.servers import postfix, unbound
from tests.servers.private import TOP, Done, ask, refused, world
from tests.servers.requirements import logs
from tests.servers.street.block import Block, How, matching
from tests.servers.street.plan import FAMILIES, HOME_WIRES, MAIL, RULES, Family
from tests.servers.street.trick import Trick, inner_port
from tests.servers.street.visit import Heard

__all__ = ["Block", "Done", "Family", "Heard", "How", "Resolver", "Street", "Trick", "street", "unavailable"]

PROGRAMS = ("unshare", "nsenter", "mount", "ip", "nft")
_QUESTION = "iifname home meta l4proto { tcp, udp } th dport 53"


class Resolver(Enum):
    """What becomes of a question to the resolver. Left alone, it says that there is no such name."""

    SILENT = "drop"
    """The environment RES_OPTIONS="timeout:1 attempts:1" makes a program wait 1 s for it, and not 10."""
    UNREACHABLE = "reject"


@dataclass(frozen=True, slots=True)
class Street:
    """A running street. `ca` is the certificate that mail's is signed by; `mail` is the real server."""

    root: Path
    ca: Path
    mail: postfix.Postfix
    process: subprocess.Popen[str]
    home: int
    firewall: int
    _rules: list[tuple[str, str]] = field(default_factory=list)
    """Chains and rules that hold now."""

    def start(self, *command: str, env: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """Start a program at home; its environment is as on the island, and PORTMAIL_CACHE=off."""
        ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
        return subprocess.Popen(
            (*_entering(self.home), "--mount", f"--wd={TOP}", "--", *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ours, "PORTMAIL_CA": str(self.ca), "PORTMAIL_CACHE": "off", **env},
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, env: Mapping[str, str] = {}, stdin: str = "", seconds: float = 30) -> Done:
        """Run a program at home, to its end."""
        with self.start(*command, env=env) as process:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Done(process.returncode, out, err)

    def portmail(
        self, *arguments: str, env: Mapping[str, str] = {}, stdin: str = "", seconds: float = 30
    ) -> Done:
        """Run portmail's command line at home."""
        return self.run(sys.executable, "-m", "portmail", *arguments, env=env, stdin=stdin, seconds=seconds)

    @contextmanager
    def blocked(self, *blocks: Block) -> Iterator[None]:
        """Let these rules hold; the first that matches a packet decides."""
        rules = [("block", rule) for block in blocks for rule in block.rules]
        wires = [line for block in blocks for line in block.wires]
        with self._ruled(rules):
            try:
                self._wire(wires)
                yield
            finally:
                self._wire(HOME_WIRES.splitlines() if wires else ())

    @contextmanager
    def redirected(self, port: int, *, to: Trick, family: Family | None = None) -> Iterator[None]:
        """Let a box in the middle have all that goes to this port. What it heard before is forgotten."""
        self._ask("forget")
        there = f"redirect to :{inner_port(to, port=port)}"
        families = (family,) if family else FAMILIES
        with self._ruled([("elsewhere", f"{matching(port, family=it)} {there}") for it in families]):
            yield

    @contextmanager
    def resolving(self, resolver: Resolver) -> Iterator[None]:
        """Have the resolver be like that."""
        with self._ruled([("names", f"{_QUESTION} {resolver.value}")]):
            yield

    def heard(self) -> Sequence[Heard]:
        """List what the middlebox was told since the last `redirected`, in order, by clients that are gone.

        Clients that stay are waited for, a second at most.
        """
        return [Heard(**it) for it in self._ask("heard")]

    def syns(self) -> Mapping[tuple[str, int], int]:
        """Count the SYNs that left home since the last `reset_counts`, by address and port.

        One that is not answered is sent again after 1 s.
        """
        listed = json.loads(self._nft("-j", "list", "table", "inet", "street"))
        sets = [it["set"] for it in listed["nftables"] if "set" in it]
        elements = [it["elem"] for found in sets for it in found.get("elem", ())]
        return {tuple(it["val"]["concat"]): it["counter"]["packets"] for it in elements}

    def reset_counts(self) -> None:
        """Count from nothing again."""
        self._nft("-f", "-", rules="flush set inet street dialed4\nflush set inet street dialed6\n")

    def log(self) -> str:
        """Return all that was said so far by the servers."""
        return logs(self.root) + self.mail.log()

    @contextmanager
    def _ruled(self, rules: Collection[tuple[str, str]]) -> Iterator[None]:
        self._rules.extend(rules)
        try:
            self._rule()
            yield
        finally:
            for rule in rules:
                self._rules.remove(rule)
            self._rule()

    def _rule(self) -> None:
        flushed = [f"flush chain inet street {chain}\n" for chain in ("elsewhere", "names", "block")]
        added = [f"add rule inet street {chain} {rule}\n" for chain, rule in self._rules]
        self._nft("-f", "-", rules="".join(flushed + added))

    def _nft(self, *arguments: str, rules: str = "") -> str:
        command = (*_entering(self.firewall), "nft", *arguments)
        done = subprocess.run(command, input=rules, text=True, check=True, stdout=subprocess.PIPE, timeout=10)
        return done.stdout

    def _wire(self, lines: Sequence[str]) -> None:
        if lines:
            command = (*_entering(self.home), "ip", "-batch", "-")
            subprocess.run(command, input="\n".join(lines), text=True, check=True, timeout=10)

    def _ask(self, what: str) -> Any:
        return ask(self.process, what, root=self.root)


def _entering(pid: int) -> Sequence[str]:
    return ("nsenter", "-t", str(pid), "--net", "--pid")


def unavailable() -> str | None:
    """Say why there can be none here."""
    if reason := postfix.unavailable() or unbound.unavailable():
        return reason
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"a street needs {' and '.join(missing)}"
    text = "ip link add home type veth peer name eth0 && exec nft -f -"
    return refused("sh", "-c", text, rules=RULES) or None


@contextmanager
def street(root: Path) -> Iterator[Street]:
    """Run one in a directory of its own: see `home`. Nothing of it is alive afterwards."""
    with world(__name__, root=root) as (path, process, there):
        ca, ports = path / "ca.pem", {587: 587, 465: 465, 25: 25}
        mail = postfix.Postfix(MAIL[4], ports, {}, ca, Path(there["mail"]))
        firewall = _inside(process.pid, 1)
        yield Street(path, ca, mail, process, _inside(firewall, there["home"]), firewall)


def _inside(parent: int, pid: int) -> int:
    """Return the id, out here, of the child that has this id in there."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        lines = Path(f"/proc/{child}/status").read_text().splitlines()
        if any(line.startswith("NSpid:") and line.split()[-1] == str(pid) for line in lines):
            return int(child)
    raise RuntimeError(f"there is no {pid} in the street")
