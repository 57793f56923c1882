"""What is there to judge by? All ways that were seen, in the light of each other, and the surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from portmail.cause import Cause
from portmail.route import RELAY
from portmail.seen import (
    Seen,
    answers,
    cause_of,
    closed_ways,
    is_a_last_resort,
    is_a_way_out,
    is_blocked,
    open_ways,
    rank,
    reread,
    taken,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the routes.

    Attributes:
        online: whether this machine has any network.
        alive: whether the first host answers on a port that has nothing to do with mail; None where nobody
            asked.
        known: whether the first host is known to be a mail server.
        place, blocks, policy: the hosting provider, the ports that it blocks, and what it says of that.
        username: who would log in, empty for nobody.
        now: for the dates of certificates.
    """

    online: bool = True
    alive: bool | None = None
    known: bool = False
    place: str = ""
    blocks: frozenset[int] = frozenset()
    policy: str = ""
    username: str = ""
    now: datetime | None = None

    @property
    def today(self) -> datetime:
        """What time it is."""
        return self.now or datetime.now(UTC)


ANYWHERE = Surroundings()
"""Where nothing more is known."""


class Case(NamedTuple):
    """One set of ways, looked at from all sides.

    Attributes:
        seen: every way, with its failure as it is to be read beside the others.
        closed: of each route of a submission that is not open, the failure that mail meets.
        open: the way that mail takes; None where there is none.
        elsewhere: where nothing is open that mail takes: a way that it could take with other settings.
        around: what is known besides.
    """

    seen: Sequence[Seen]
    closed: Sequence[Seen]
    open: Seen | None
    elsewhere: Seen | None
    around: Surroundings

    @property
    def way(self) -> Seen | None:
        """The way that mail takes, or could take with other settings."""
        return self.open or self.elsewhere

    @property
    def host(self) -> str:
        """The host that is preferred."""
        return self.seen[0].route.host

    @property
    def worst(self) -> Seen:
        """The failure that says most, where some way is closed.

        A second host whose name is wrong does not hide what the first comes to.
        """
        first = [it for it in self.closed if it.route.host == self.host]
        there = [it for it in self.closed if cause_of(it) is not Cause.NAME_NOT_FOUND]
        return min([*first, *there] or self.closed, key=rank)

    @property
    def is_of_the_relay(self) -> bool:
        """Whether a relay's port is all that is blocked."""
        return {it.route.port for it in self.closed if is_blocked(it)} == {RELAY}

    def answers(self, host: str, *, for_submission: bool = False) -> bool:
        """Whether any of the host's ports for mail does, or any for submission: 25 is not one."""
        its = (it for it in self.seen if it.route.host == host)
        return any(answers(it) for it in its if not (for_submission and it.route.port == RELAY))


def case_of(seen: Sequence[Seen], *, around: Surroundings) -> Case:
    """What these ways come to together: never empty, in the order in which routes are preferred."""
    there = {(it.route.host, it.family) for it in seen if answers(it) and cause_of(it) is not Cause.REFUSED}
    proven = {(it.route.host, it.name) for it in seen if it.failure is None and is_a_way_out(it)}
    reads = [it._replace(failure=reread(it, there=there, proven=proven)) for it in seen]
    used = [it for it in reads if it.used]
    shut = closed_ways(used)
    way = taken(used, closed=shut)
    closed = [it for it in shut if not is_a_last_resort(it, beside=way)]
    others = [] if way else [it for it in open_ways(reads) if is_a_way_out(it)]
    return Case(reads, closed, way, next(iter(others), None), around)
