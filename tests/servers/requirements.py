"""What fixtures with real servers share: a word for "not here", and what a server needs."""

import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

LOOPBACK = "127.0.0.1"


def require(reason: str | None) -> None:
    """Skip if there is a reason to; PORTMAIL_TEST_STRICT=1 makes that a failure."""
    if reason is None:
        return
    if os.environ.get("PORTMAIL_TEST_STRICT") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback interface that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def home(root: Path) -> Iterator[Path]:
    """Make a directory that unprivileged daemons can get into, and remove it afterwards.

    It is in `root` if they can get there, which they cannot if pytest made that (only its owner
    can), and otherwise in the system's temporary directory.
    """
    passable = all(path.stat().st_mode & 0o001 for path in (root, *root.resolve().parents))
    # The name of a Unix socket has its limit, too.
    fits = len(os.fsencode(root)) < 50
    path = Path(tempfile.mkdtemp(prefix="portmail-", dir=root if passable and fits else None))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def certify(directory: Path, *, names: Collection[str] = (), authority: trustme.CA | None = None) -> None:
    """Write ca.pem, and server.pem: key and certificate for localhost, signed by that CA.

    For each of `names` there is a file of that name, with .pem, in the same way.
    """
    authority = authority or trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    for file, identities in (("server", ("localhost", LOOPBACK)), *((name, (name,)) for name in names)):
        certificate = authority.issue_cert(*identities)
        path = directory / f"{file}.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
        path.chmod(0o600)


def greets(port: int, *, context: ssl.SSLContext | None = None) -> bool:
    """Tell whether an SMTP server says hello, through TLS if there is a context."""
    try:
        if context is None:
            smtplib.SMTP(LOOPBACK, port, LOOPBACK, timeout=5).close()
        else:
            smtplib.SMTP_SSL(LOOPBACK, port, LOOPBACK, timeout=5, context=context).close()
    except OSError:
        return False
    return True


@contextmanager
def daemon(*command: str, log: Path, ready: Callable[[], bool], seconds: float = 20) -> Iterator[None]:
    """Run a daemon that stays in the foreground; nothing of it is alive afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start\n{logs(log.parent)}")
            time.sleep(0.01)
        yield
    finally:
        _end(process)


def logs(directory: Path) -> str:
    """Return what is in the log files of that directory."""
    return "".join(file.read_text("utf-8", "replace") for file in sorted(directory.glob("*.log")))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children: they are a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    while _alive(process.pid):
        time.sleep(0.01)


def _alive(group: int) -> bool:
    """Tell whether the group has more than zombies: an init process may take its time to reap."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
