"""How does a test ask somebody at home what he sees? One process answers all: to start one takes longer."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.servers.street import Family, Street
from tests.servers.street.plan import HOST, MAIL


class Client:
    """Somebody at home who has nothing but sockets; `seeing` says what he can do."""

    def __init__(self, road: Street, process: subprocess.Popen[str]) -> None:
        self.road, self.process = road, process

    def see(self, act: str, **wanted: Any) -> list[str]:
        """Do that, and return what was seen."""
        asked, answered = self.process.stdin, self.process.stdout
        assert asked
        assert answered
        print(json.dumps({"act": act, **wanted}), file=asked, flush=True)
        seen: list[str] = json.loads(answered.readline())
        return seen

    def dial(self, port: int = 587, *, family: Family, seconds: float = 10) -> str:
        """Connect; return what came of it."""
        [seen] = self.see("dial", address=MAIL[family], port=port, seconds=seconds)
        return seen

    def talk(
        self,
        port: int,
        *,
        host: str = HOST,
        after: Sequence[str] = (),
        seconds: float = 10,
        trusting: bool = False,
    ) -> list[str]:
        """Talk to the mail server, or to who answers for it; `after` is said at the end."""
        ca = None if trusting else str(self.road.ca)
        return self.see("talk", host=host, port=port, seconds=seconds, ca=ca, after=after)


@contextmanager
def living(road: Street) -> Iterator[Client]:
    """Have somebody at home, who asks a resolver once and for a second."""
    command = (sys.executable, "-m", "tests.servers.street.seeing")
    with road.start(*command, env={"RES_OPTIONS": "timeout:1 attempts:1"}) as process:
        yield Client(road, process)
        assert process.stdin
        process.stdin.close()
