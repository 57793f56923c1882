"""How is a program tried that asks the whole internet? On an island: a small internet that nothing leaves.

It is a network of its own (with mounts and processes of its own), in which there is loopback and no
route. `domains` says who lives there; `__main__` runs there, and the servers are its children: when it
ends, for whatever reason, the kernel ends them all.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import postfix
from tests.servers.island.domains import ADDRESSES, SILENT
from tests.servers.private import TOP, Done, ask, refused, world
from tests.servers.requirements import LOOPBACK, logs

PROGRAMS = ("unshare", "nsenter", "nft", "knotd", "unbound")

# What is dialed is counted before anything is blocked; a SYN is counted each time that it is sent.
RULES = f"""\
table inet island {{
    set dialed {{ type ipv4_addr . inet_service; flags dynamic; counter; size 65535; }}
    chain count {{
        type filter hook input priority -10;
        tcp flags & (syn | ack) == syn update @dialed {{ ip daddr . tcp dport counter }}
        ip daddr {SILENT} drop
    }}
    chain block {{ type filter hook input priority 0; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Island:
    """A running island. `ca` is the certificate that everything there is signed by."""

    root: Path
    ca: Path
    resolver: Path
    mail: postfix.Postfix
    process: subprocess.Popen[str]
    pid: int

    def start(self, *command: str, env: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """Start a program there; its environment is PATH, SSL_CERT_FILE, PORTMAIL_CA, `env`, and no more."""
        ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
        return subprocess.Popen(
            ("nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", f"--wd={TOP}", "--", *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ours, "PORTMAIL_CA": str(self.ca), **env},
            text=True,
        )

    def run(self, *command: str, env: Mapping[str, str] = {}, stdin: str = "", seconds: float = 30) -> Done:
        """Run a program there, to its end."""
        with self.start(*command, env=env) as process:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Done(process.returncode, out, err)

    def portmail(
        self, *arguments: str, env: Mapping[str, str] = {}, stdin: str = "", seconds: float = 30
    ) -> Done:
        """Run portmail's command line."""
        return self.run(sys.executable, "-m", "portmail", *arguments, env=env, stdin=stdin, seconds=seconds)

    def block(self, port: int, host: str | None = None, *, verdict: str = "drop") -> None:
        """Let nobody reach that port, of one host or of all. Verdicts are those of nft(8)."""
        where = ("ip", "daddr", ADDRESSES[host]) if host else ()
        self._nft(
            "add", "rule", "inet", "island", "block", *where, "tcp", "dport", str(port), *verdict.split()
        )

    def unblock(self) -> None:
        """Undo all that `block` did."""
        self._nft("flush", "chain", "inet", "island", "block")

    def dialed(self) -> Mapping[tuple[str, int], int]:
        """Count who was dialed over TCP so far, by address and port, answered or not."""
        listed = json.loads(self._nft("-j", "list", "set", "inet", "island", "dialed"))
        [found] = [it["set"] for it in listed["nftables"] if "set" in it]
        elements = [it["elem"] for it in found.get("elem", ())]
        return {tuple(it["val"]["concat"]): it["counter"]["packets"] for it in elements}

    def connections(self, *, host: str | None = None, port: int | None = None) -> int:
        """Count how often that host, or port, or port of that host was dialed."""
        wanted = (host and ADDRESSES[host], port)
        dialed = self.dialed().items()
        return sum(
            n for it, n in dialed if all(w in (None, part) for w, part in zip(wanted, it, strict=True))
        )

    def queries(self) -> Sequence[str]:
        """List what the resolver was asked so far, as `TYPE NAME`."""
        answer: list[str] = self._ask("queries")
        return answer

    def requests(self) -> Sequence[str]:
        """List what was fetched over https so far, as URLs."""
        answer: list[str] = self._ask("requests")
        return answer

    def inbox(self, recipient: str) -> list[bytes]:
        """Messages delivered for that address so far."""
        return self.mail.inbox(recipient)

    def log(self) -> str:
        """Return all that the servers said so far."""
        return logs(self.root) + logs(self.resolver) + self.mail.log()

    def _ask(self, what: str) -> Any:
        return ask(self.process, what, root=self.root)

    def _nft(self, *arguments: str) -> str:
        done = self.run("nft", *arguments)
        assert not done.code, done.err
        return done.out


def unavailable() -> str | None:
    """Say why there can be none here."""
    if reason := postfix.unavailable():
        return reason
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"an island needs {' and '.join(missing)}"
    return refused("nft", "-f", "-", rules=RULES) or None


@contextmanager
def island(root: Path) -> Iterator[Island]:
    """Run one in a directory of its own: see `home`. Nothing of it is alive afterwards."""
    with world(__name__, root=root) as (path, process, there):
        place = Path(there["mail"])
        mail = postfix.Postfix(LOOPBACK, {587: 587, 465: 465}, {}, place / "ca.pem", place)
        yield Island(path, path / "ca.pem", Path(there["resolver"]), mail, process, _child(process.pid))


def _child(pid: int) -> int:
    """Return the id, out here, of the first process in there."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
