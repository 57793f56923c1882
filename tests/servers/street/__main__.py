"""What runs in the firewall? The middlebox, until standard input ends; a line there is a question."""

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.street import middlebox
from tests.servers.street.plan import (
    FILES,
    FIREWALL_SYSCTL,
    FIREWALL_WIRES,
    FIRMWARE,
    FIRST_WIRE,
    HOME_WIRES,
    HOST_WIRES,
    RULES,
    SYSCTL,
)
from tests.servers.street.thread import detach


def main(root: Path) -> None:
    """Start everything, and answer."""
    hosts = (sys.executable, "-m", "tests.servers.street.hosts", str(root))
    for name, value in {**SYSCTL, **FIREWALL_SYSCTL}.items():
        Path("/proc/sys/net", name).write_text(str(value))
    subprocess.run(("nft", "-f", "-"), input=RULES.encode(), check=True)
    with _home(root) as home, _house("--net", command=hosts) as host:
        _ip(FIRST_WIRE)
        detach(receiver="home", sender="eth0")
        _ip(FIREWALL_WIRES.format(home=home.pid, host=host.pid))
        _ip(HOME_WIRES, pid=home.pid)
        _ip(HOST_WIRES, pid=host.pid)
        assert host.stdin
        assert host.stdout
        print("wired", file=host.stdin, flush=True)
        there = json.loads(host.stdout.readline())
        asyncio.run(_serve(root, there={**there, "home": home.pid}))


async def _serve(root: Path, *, there: Mapping[str, object]) -> None:
    async with middlebox.running(root) as box:
        _tell(there)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await box.over()
            _tell([it.as_json() for it in box.heard])
            if line.strip() == "forget":
                box.heard.clear()


@contextmanager
def _home(root: Path) -> Iterator[subprocess.Popen[str]]:
    # A program finds here the interfaces of home in /sys, not those of the machine, and no maker's name.
    unnamed = f"test ! -d {FIRMWARE} || mount -t tmpfs tmpfs {FIRMWARE}"
    mounts: list[Sequence[str]] = [("mount", "-t", "sysfs", "sysfs", "/sys"), ("sh", "-c", unnamed)]
    for name, text in FILES.items():
        (root / name).write_text(text)
        (root / name).chmod(0o644)
        mounts.append(("mount", "--bind", str(root / name), f"/etc/{name}"))
    with _house("--net", "--mount", command=("cat",), before=mounts) as process:
        yield process


@contextmanager
def _house(
    *unshared: str, command: Sequence[str], before: Sequence[Sequence[str]] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a network of its own; it ends when its standard input does."""
    settled = [f"echo {value} > /proc/sys/net/{name}" for name, value in SYSCTL.items()]
    lines = (*settled, *map(shlex.join, before), "echo", f"exec {shlex.join(command)}")
    with subprocess.Popen(
        ("unshare", *unshared, "sh", "-ec", "\n".join(lines)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.stdin.close()


def _ip(lines: str, *, pid: int | None = None) -> None:
    where = ("nsenter", "-t", str(pid), "--net") if pid else ()
    subprocess.run((*where, "ip", "-batch", "-"), input=lines.encode(), check=True)


def _tell(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
