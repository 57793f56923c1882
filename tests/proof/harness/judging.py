"""Was that right? What a client said of one run, held against what the servers and the tap saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.leaks import traces
from tests.proof.harness.clients import BODY, RECIPIENT, SENDER, Errand, Said, Told
from tests.proof.harness.place import Scene
from tests.proof.harness.recorder import PASSWORD, TOKEN, USER, Stored
from tests.proof.harness.tally import Fault, blank_but

_GRACE = 0.5
"""Seconds beyond the deadline in which a client may still be busy with ending."""

BLANK = blank_but(
    Fault.LEAK,
    Fault.SECOND_LOGIN,
    Fault.HANG,
    Fault.FALSE_SUCCESS,
    Fault.DUPLICATE,
    Fault.WRONG_CERTAINTY,
    Fault.FOREIGN,
)
"""What `faults` does not see."""

CONTENT = (
    f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: proof\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
    "Message-ID: <proof@example.org>\r\n"
).encode()
"""How the content of `clients.letter` begins; headers of MIME follow in an order that nobody has to keep."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What was so.

    `committed` is whether the client had wholly written what commits the message. `answered` is
    whether it could know what became of that; `delivered`, whether it must: the whole answer to the
    content came to it, unhurt. `exact` is whether the octets were protected, so that what was stored
    must be what was sent.
    """

    committed: bool
    answered: bool
    delivered: bool = False
    exact: bool = True
    secret: bool = True
    """Whether nothing but TLS may be seen of the message on the wire."""


def faults(told: Told, *, errand: Errand, scene: Scene, truth: Truth) -> Iterator[tuple[Fault, str]]:
    """Everything that was wrong in a run, with the reason."""
    stored = scene.record.stored
    body = str(errand.message.get_payload())
    good = [it for it in stored if not truth.exact or is_whole(it, body=body)]
    secrets = (USER, PASSWORD, TOKEN, BODY[:20]) if truth.secret else (PASSWORD, TOKEN)
    if leaked := traces(scene.heard, secrets=secrets):
        yield Fault.LEAK, f"{leaked[0]!r} in clear"
    if len(scene.record.logins) > 1 and errand.retry is None:
        yield Fault.SECOND_LOGIN, f"{len(scene.record.logins)} logins"
    if told.foreign:
        yield Fault.FOREIGN, repr(told.error)
    if told.seconds > errand.seconds + _GRACE:
        yield Fault.HANG, f"{told.seconds:.1f} s"
    if len(stored) > 1:
        yield Fault.DUPLICATE, f"{len(stored)} accepted"
    if told.said is Said.SENT and not good:
        yield Fault.FALSE_SUCCESS, "nothing was accepted" if not stored else f"accepted: {stored[0]}"
    if why := _uncertain(told, stored=bool(stored), truth=truth):
        yield Fault.WRONG_CERTAINTY, f"{why}, and told: {told}"


def _uncertain(told: Told, *, stored: bool, truth: Truth) -> str | None:
    """Why the client could or must have known better; None where it told what it knew."""
    if told.said is Said.NOT_SENT and stored:
        return "accepted"
    if told.said is Said.NOT_SENT and truth.committed and not truth.answered:
        return "committed without an answer"
    if told.said is Said.IN_DOUBT and not (truth.committed or stored):
        return "never committed"
    return "answered" if told.said is Said.IN_DOUBT and truth.delivered else None


def is_whole(stored: Stored, *, body: str = BODY) -> bool:
    """Whether it is the letter, with its envelope."""
    envelope = (stored.sender, stored.recipients) == (SENDER, (RECIPIENT,))
    end = f"\n\n{body}".replace("\n", "\r\n").encode()
    return envelope and stored.content.startswith(CONTENT) and stored.content.endswith(end)
