"""Where do the contestants send? A sink, near or far away, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.dialogue import Tally
from tests.servers.requirements import certify

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
PIPELINING = ("PIPELINING", "SIZE 100000000", "8BITMIME")
CHUNKING = (*PIPELINING, "CHUNKING")


@dataclass(frozen=True, slots=True)
class Place:
    """What a client is told about the server."""

    port: int
    ca: str
    implicit: bool = True
    host: str = LOOPBACK
    username: str = "me"
    password: str = "secret"  # the sink takes any


class Sink:
    """A running sink."""

    def __init__(self, process: subprocess.Popen[str], *, ca: Path) -> None:
        self.process = process
        ports = json.loads(_line(process))
        self.implicit = Place(ports["implicit"], str(ca))
        self.starttls = Place(ports["starttls"], str(ca), implicit=False)

    def tallies(self) -> list[Tally]:
        """What every connection did so far."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [Tally(**tally) for tally in json.loads(_line(self.process))]


@contextmanager
def certified() -> Iterator[Path]:
    """A directory with ca.pem and server.pem."""
    with TemporaryDirectory(prefix="portmail-sink-") as name:
        certify(Path(name))
        yield Path(name)


@contextmanager
def sink(
    directory: Path, *, extensions: Sequence[str] = CHUNKING, rtt: float = 0.0, more: Sequence[str] = ()
) -> Iterator[Sink]:
    """Run a sink with the certificate that is in the directory; `more` are further arguments."""
    # What is near answers within a round trip, but the proxy's timers are coarse.
    arguments = ("--rtt", str(rtt * 0.9), *more, "--extensions", *extensions)
    with _program("sink", str(directory / "server.pem"), *arguments) as process:
        yield Sink(process, ca=directory / "ca.pem")


@contextmanager
def away(place: Place, *, rtt: float) -> Iterator[Place]:
    """The same server, but so many seconds away, there and back."""
    with _program("delay", str(place.port), "--rtt", str(rtt)) as process:
        yield replace(place, port=int(_line(process)))


@contextmanager
def _program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", f"{__package__}.{name}", *arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    if not (line := process.stdout.readline()):
        raise RuntimeError(f"{process.args!r} ended: see above")
    return line
