"""How fast may it go? What a pool makes of a server that asks for less: fewer connections, and a pause.

Decisions only: times are given, in seconds on whatever clock the caller has.
"""

from __future__ import annotations

from portmail.failure import Phase
from portmail.transaction import CLOSING, Transaction

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds. A server that is asked again at once will say the same."""

_FORGOTTEN = 300.0
"""Seconds without another request for less, after which the next pause is a short one again."""

_WELL, _WELL_AT_MOST = 20, 1280
"""Messages accepted in a row, after which one more connection is tried: more each time it was in vain."""

_EACH = 4
"""Jobs for each connection that may wait before another is opened. To open one takes some six round
trips; in that time one that is open takes as many messages where the server has PIPELINING."""

_PATIENCE = 0.9
"""Seconds that a job waits, however few there are, before another connection is opened."""

_ALWAYS = ("4.7.", "4.3.2")
"""Enhanced codes that mean "less": policy, such as rate limits (RFC 3463 section 3.8), and "not now"."""


class Pace:
    """How many connections there may be, and until when nothing is begun. `most` is the user's bound.

    `served` is whether the server has accepted anything so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bound = most
        self._pause = 0.0
        self._until = 0.0
        self._accepted = 0
        self._wanted = _WELL // 2  # doubled when it is first needed
        self.served = False

    def hear(self, transaction: Transaction, *, carried: int, connections: int, now: float) -> None:
        """A transaction ended on a connection that has carried so many messages.

        A 421 says "less" where it is policy, or where the connection was of no use. Behind
        messages that were accepted it may be a limit of messages for each connection.
        """
        failure = transaction.failure
        if failure is None:
            self._well()
            return
        reply = failure.reply
        # What is said of recipients concerns them alone.
        if reply is None or not reply.transient or (failure.phase is Phase.RCPT and reply.code != CLOSING):
            return
        if (reply.enhanced or "").startswith(_ALWAYS) or (reply.code == CLOSING and not carried):
            self.slow_down(connections=connections, now=now)

    def slow_down(self, *, connections: int, now: float) -> None:
        """Begin nothing for a while, longer each time, and go on with half of the connections."""
        if now < self._until:
            return  # all connections are told the same at the same time: it counts once
        if now - self._until > _FORGOTTEN:
            self._pause = 0.0
        self.limit(connections // 2)
        self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, self._pause * 2))
        self._until = now + self._pause

    def limit(self, connections: int) -> None:
        """The server takes no more connections than these."""
        self._accepted, self._wanted = 0, min(self._wanted * 2, _WELL_AT_MOST)
        self.bound = max(1, connections)

    def wait(self, now: float) -> float:
        """Seconds until the next message may begin."""
        return max(0.0, self._until - now)

    def worth_another(self, *, waiting: int, waited: float, connections: int) -> bool:
        """Whether so many jobs, the first of which has waited so long, are worth another connection."""
        if connections >= self.bound:
            return False
        return connections == 0 or waiting > _EACH * connections or waited > _PATIENCE

    def _well(self) -> None:
        self.served = True
        if self._pause == 0.0 and self.bound == self.most:
            return
        self._accepted += 1
        if self._accepted >= self._wanted:
            self._accepted, self._pause = 0, self._pause / 2 if self._pause > _FIRST_PAUSE else 0.0
            self.bound = min(self.most, self.bound + 1)
