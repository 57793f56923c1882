"""Does a client stay secret and honest when STARTTLS, TLS and the login are attacked?

The cases (`clear.py`, `tls.py`, `logins.py`) are put to clients on 587, on 465, or
on both by turns; alone, with a good second server, on all routes, and on all with a good third; with
credentials that PLAIN, LOGIN, CRAM-MD5 and XOAUTH2 carry; through `AsyncSubmitter`, `Submitter` and the
command line; with and without retries. Servers that misbehave below TLS and a tap on the wire know what
was shown, and to whom.

The peers are judged **as they come**, since what is compared is defaults (`doors.py`), and by
less: their credentials must not be shown, a message in clear is what they are asked for, and what they
call an attack is theirs. Where they go on in spite of one and nothing is shown, that is no fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from portmail import Retry
from tests.proof.attacks import clear, defects, logins, tls
from tests.proof.attacks.case import LOGINS, Case, Login
from tests.proof.attacks.doors import by_aiosmtplib_as_it_comes, by_command, by_smtplib_as_it_comes
from tests.proof.attacks.playing import Judge, on_the_clock, one_after_another, untidy
from tests.proof.attacks.running import ALONE, ARRANGEMENTS, WITH_A_GOOD_SECOND, Run, judge, judge_peer
from tests.proof.harness.clients import Async, Blocking, by_portmail, by_submitter
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB, Mutant, Tally, Task

TITLE = "attacks (peers as documented)"

CASES: Sequence[Case] = (*clear.CASES, *tls.CASES, *logins.CASES)

_QUICK = 10
"""Every so manieth case is in the quick run."""

_WAITING = 8
"""The same of the cases in which a client on the real clock has to wait for its deadline."""

Plan = Callable[[int, Case], Iterator[Run]]
"""The runs of a case, by its number."""


@dataclass(frozen=True, slots=True)
class Door:
    """One way into a client, async or blocking. The cases count once for each client.

    `seconds` are for a submission on the real clock.
    """

    runs: Plan
    shares: int
    on_the_clock: Async | None = None
    blocking: Blocking | None = None
    judged: Judge = judge
    counts: bool = True
    seconds: float = 10.0


def _thoroughly(number: int, case: Case) -> Iterator[Run]:
    """With all credentials; but with several servers by turns, unless it is the login that is attacked."""
    for mode in case.on:
        for place, arrangement in enumerate(ARRANGEMENTS):
            for turn, login in enumerate(LOGINS):
                retry = Retry() if (number // len(LOGINS) + place + turn) % 2 else None
                if case.final or arrangement is ALONE or (number + place + turn) % len(LOGINS) == 0:
                    yield Run(case, mode, arrangement, login, retry)


def _by_turns(number: int, case: Case) -> Iterator[Run]:
    """Alone, and with a good second unless that is to be waited for; the credentials by turns."""
    if case.waits and number % _WAITING:
        return
    for place, mode in enumerate(case.on):
        for arrangement in (ALONE,) if case.waits else (ALONE, WITH_A_GOOD_SECOND):
            yield Run(case, mode, arrangement, _turn(number + place, LOGINS))


def _alone(number: int, case: Case) -> Iterator[Run]:
    """With one server, and a password; the mechanisms by turns."""
    if case.waits and number % _WAITING:
        return
    passwords = [login for login in LOGINS if not login.by_token]
    for place, mode in enumerate(case.on):
        yield Run(case, mode, ALONE, _turn(number + place, passwords))


def _turn(number: int, logins: Sequence[Login]) -> Login:
    return logins[number % len(logins)]


def _alone_by_two(number: int, case: Case) -> Iterator[Run]:
    """With one server that offers all mechanisms, and with one that offers another selection by turns."""
    for place, mode in enumerate(case.on):
        for login in (LOGINS[0], _turn(number + place, LOGINS[1:])):
            yield Run(case, mode, ALONE, login)


def _command(number: int, case: Case) -> Iterator[Run]:
    """As `_alone`; the command line retries as it does by default."""
    for run in _alone(number, case):
        yield Run(run.case, run.mode, run.arrangement, run.login, Retry())


DOORS: Mapping[tuple[str, str], Door] = MappingProxyType(
    {
        (PORTMAIL, "AsyncSubmitter"): Door(_thoroughly, 4, on_the_clock=by_portmail),
        (PORTMAIL, "Submitter"): Door(_by_turns, 2, blocking=by_submitter, counts=False),
        (PORTMAIL, "command line"): Door(_command, 1, blocking=by_command, counts=False),
        (AIOSMTPLIB, "send"): Door(
            _alone_by_two, 1, on_the_clock=by_aiosmtplib_as_it_comes, judged=judge_peer
        ),
        (SMTPLIB, "SMTP"): Door(_alone, 1, blocking=by_smtplib_as_it_comes, judged=judge_peer, seconds=2.0),
    }
)
"""By client and name."""


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """What a client is put through, door by door, in shares of the cases."""
    doors = [(key, 1 if quick else door.shares) for key, door in DOORS.items() if key[0] == client]
    return [
        partial(play, key, share=share, shares=shares, step=_QUICK if quick else 1)
        for key, shares in doors
        for share in range(shares)
    ]


def play(key: tuple[str, str], *, share: int, shares: int, step: int) -> Tally:
    """Put a share of the cases to the client behind this door."""
    door = DOORS[key]
    numbered = [*enumerate(CASES)][::step][share::shares]
    with untidy() if door.judged is judge_peer else nullcontext():
        tally = play_to(door, [run for number, case in numbered for run in door.runs(number, case)])
    tally.cases = len(numbered) if door.counts else 0
    return tally


def play_to(door: Door, runs: Sequence[Run]) -> Tally:
    """Put these runs to the client behind this door."""
    if door.on_the_clock is not None:
        return on_the_clock(runs, by=door.on_the_clock, judged=door.judged)
    assert door.blocking is not None
    return one_after_another(runs, by=door.blocking, judged=door.judged, seconds=door.seconds)


def mutants() -> Sequence[Mutant]:
    """Clients with a defect."""
    return defects.MUTANTS
