"""Which connections are there, and which of them rest?"""

from __future__ import annotations

from portmail.job import Job
from portmail.transports.carrier import Carrier
from portmail.transports.farewells import Farewells

CLOSED = "the submitter was closed while it was sending"
"""What is told of a message that was under way."""


class Crew:
    """The connections of a pool."""

    def __init__(self) -> None:
        # In the order of their coming: the one that came to rest last is the warmest.
        self._all: dict[Carrier, None] = {}
        self._resting: dict[Carrier, None] = {}
        self._retired: set[Carrier] = set()
        self._disbanded = False
        self._farewells = Farewells()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def resting(self) -> tuple[Carrier, ...]:
        """Those that rest, the warmest first."""
        return tuple(reversed(self._resting))

    @property
    def busy(self) -> int:
        """How many do not rest."""
        return len(self._all) - len(self._resting)

    def serves(self, job: Job) -> bool:
        """Whether any of them goes a way that this job may take."""
        return any(job.may_take(carrier.session.route) for carrier in self._all)

    def join(self, carrier: Carrier) -> None:
        """A new one."""
        self._all[carrier] = None

    def work(self, carrier: Carrier) -> None:
        """This one has something to do."""
        self._resting.pop(carrier, None)

    def rest(self, carrier: Carrier) -> None:
        """This one has nothing to do; if it was retired, or all were, it leaves."""
        self._resting[carrier] = None
        if self._disbanded or carrier in self._retired:
            self.dismiss(carrier)

    def retire(self, carrier: Carrier) -> None:
        """This one is not to begin anything more."""
        self._retired.add(carrier)

    def may_begin(self, carrier: Carrier, *, bound: int) -> bool:
        """Whether this one may work, where no more than so many may at a time."""
        if carrier in self._retired:
            return False
        return carrier not in self._resting or self.busy < bound

    def lose(self, carrier: Carrier) -> None:
        """This one is gone."""
        self._all.pop(carrier, None)
        self._resting.pop(carrier, None)
        self._retired.discard(carrier)

    def dismiss(self, carrier: Carrier) -> None:
        """Let this one, which rests, say goodbye in the background."""
        self.lose(carrier)
        self._farewells.begin(carrier.leave())

    async def disband(self) -> None:
        """Let all go: politely where they rest, else at once. Waits a few seconds at most."""
        self._disbanded = True
        for carrier in self.resting:
            self.dismiss(carrier)
        for carrier in tuple(self._all):
            carrier.abort(CLOSED)
        await self._farewells.finish()
