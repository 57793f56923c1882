"""How long may each step take? Deadlines for every wait (RFC 5321 section 4.5.3.2)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields

from portmail.errors import ConfigurationError
from portmail.failure import Phase


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that portmail waits, by what it waits for. Every one is finite.

    RFC 5321 section 4.5.3.2 asks for minutes where a server works (it may be scanning for
    viruses), above all after the final dot, since giving up there leaves a message in doubt.
    Connecting is no work: a port that has not answered in ten seconds is blocked.
    """

    connect: float = 10.0
    """Resolving the name, the TCP connection, and the TLS handshake: each."""
    greeting: float = 30.0
    """From the connection to the greeting."""
    command: float = 300.0
    """From a command to its reply."""
    block: float = 180.0
    """For one block of the content to leave: progress, not the whole upload."""
    final: float = 600.0
    """From the final dot to the reply that says accepted."""
    total: float = 3600.0
    """The whole submission, with all routes and retries."""

    def __post_init__(self) -> None:
        for field in fields(self):
            seconds = getattr(self, field.name)
            if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
                raise ConfigurationError(
                    f"timeouts: {field.name}={seconds!r} must be a finite number of seconds above 0"
                )

    @classmethod
    def of(cls, wish: float | Timeouts | None) -> Timeouts:
        """Take what a user gave: nothing, a number of seconds for the whole submission, or all of them."""
        if wish is None:
            return cls()
        return wish if isinstance(wish, Timeouts) else cls(total=wish)


class Deadline:
    """The time that is left: for one phase, and never beyond the whole submission's."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.started = time.monotonic()
        self._end = self.started + timeouts.total

    @property
    def remaining(self) -> float:
        """Seconds left for the whole submission, 0 when it is over."""
        return max(0.0, self._end - time.monotonic())

    def seconds(self, phase: Phase) -> float:
        """Seconds that a wait in this phase may last."""
        limit: float = getattr(self._timeouts, _WAITS.get(phase, "command"))
        return min(limit, self.remaining)


_WAITS = {
    Phase.CONNECT: "connect",
    Phase.GREETING: "greeting",
    Phase.TLS: "connect",
    Phase.CONTENT: "block",
    Phase.FINAL_DOT: "final",
}
