"""Does a client hold in the odd hours of a program's life? Fork, exit, threads, loops, Ctrl-C, little room.

Each case is a program of its own (`programs`) against a recording server; what it was told of
each message is held against what the server has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from tests.proof.harness.recorder import After, Behaviour, Say
from tests.proof.harness.tally import AIOSMTPLIB, CLIENTS, PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task
from tests.proof.lifecycle import cancel, interrupt
from tests.proof.lifecycle.running import GOOD, judged, numbers, run, run_gunicorn

TITLE = "lifecycle"

_HANGS_UP = GOOD.saying(end=Say(b"250 2.0.0 queued\r\n", After.CLOSE))
_MUTE = GOOD.saying(end=Say(b"", After.SILENCE))

_OURS, _PEERS = (PORTMAIL,), (SMTPLIB, AIOSMTPLIB)
_EACH = 6
"""Cases in a share."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program, how many of its messages must be sent, and who is put to it.

    `connections`: portmail needs no more than these, so that whoever breaks another's is seen.
    """

    program: str
    sent: int
    clients: Sequence[str] = CLIENTS
    behaviour: Behaviour = GOOD
    seconds: float = 40
    connections: int = 1_000_000
    gevent: bool = False


_CASES = (
    Case("fork_before", 3, connections=2),
    Case("fork_after", 5, connections=2),
    Case("fork_unused", 3, _OURS, connections=2),
    Case("fork_amid", 44, seconds=10),
    Case("fork_grandchild", 5, connections=3),
    Case("mp_fork", 4, connections=3),
    Case("mp_spawn", 4),
    Case("mp_forkserver", 4),
    Case("executor", 8),
    Case("threads_32", 96),
    Case("running_loop", 4, (PORTMAIL, SMTPLIB)),
    Case("nested", 3, _OURS),
    Case("two_loops", 30, _OURS),
    Case("at_exit", 1),
    Case("at_exit_used", 2),
    Case("at_exit_made", 2),
    Case("after_main", 2),
    Case("daemons", 1),
    Case("daemon_stuck", 0, behaviour=_MUTE),
    Case("never_closed", 2, _OURS),
    Case("never_closed_async", 1, _OURS),
    Case("at_del", 1, _OURS),
    Case("in_circle", 1, _OURS),
    Case("idle", 20, behaviour=_HANGS_UP),
    Case("closing", 3, _OURS),
    Case("closing_itself", 0, _OURS),
    Case("forgotten", 21),
    Case("thousand", 99),
    Case("thousand_async", 99, _OURS),
    Case("no_threads", 3),
    Case("no_threads_warm", 3),
    *(Case(f"no_descriptors:{more}", 1) for more in range(7)),
    Case("no_descriptors_warm", 2, _OURS, _HANGS_UP),
    Case("no_descriptors_made", 1, _OURS),
    Case("greenlets", 66, (PORTMAIL, SMTPLIB), gevent=True),
)

_GUNICORN: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "sync": (),
        "gthread": ("--worker-class", "gthread", "--threads", "4"),
        "gevent": ("--worker-class", "gevent"),
    }
)
_BRIEFLY = ("fork_after", "at_exit_used", "never_closed", "closing", "no_threads", "greenlets")
"""For the ordinary suite."""


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """The cases for this client, in shares."""
    cases = [case for case in _CASES if client in case.clients and (not quick or case.program in _BRIEFLY)]
    shares: list[Task] = [partial(_share, cases[n : n + _EACH], client) for n in range(0, len(cases), _EACH)]
    # gevent patches a server that preloads too late for what the standard library has made till then.
    kinds = [kind for kind in _GUNICORN if client == PORTMAIL or kind != "gevent"]
    if not quick:
        shares += [partial(_gunicorn, kind, client) for kind in kinds]
    return [
        *shares,
        *interrupt.tasks(client, quick=quick),
        *cancel.tasks(client, quick=quick),
    ]


def _share(cases: Sequence[Case], client: str) -> Tally:
    return sum((_played(case, client) for case in cases), Tally())


def _played(case: Case, client: str) -> Tally:
    ran, scene = run(case.program, client, behaviour=case.behaviour, seconds=case.seconds, gevent=case.gevent)
    connections = scene.record.connections
    if client == PORTMAIL and connections > case.connections:
        ran.complaints.append(f"{connections} connections in place of {case.connections}")
    return judged(case.program, ran, numbers(scene.record), sent=case.sent)


def _gunicorn(kind: str, client: str) -> Tally:
    ran, scene = run_gunicorn(client, *_GUNICORN[kind], seconds=40)
    return judged(f"gunicorn {kind}", ran, numbers(scene.record), sent=7)


_DEFECTS = (
    ("the child waits for its parent's thread", Fault.HANG, "shares its loop", "fork_after", 6),
    ("sends again what was accepted", Fault.DUPLICATE, "twice", "at_exit", 40),
    ("says sent whatever happens", Fault.FALSE_SUCCESS, "optimist", "no_descriptors:0", 40),
    ("says not sent of what was accepted", Fault.WRONG_CERTAINTY, "pessimist", "at_exit", 40),
    ("raises what is not its own", Fault.FOREIGN, "foreigner", "no_descriptors:0", 40),
    ("leaves descriptors open", Fault.WRONG_VERDICT, "leaky", "threads_32", 40),
)
"""Each has a name, what it shows, the client, the case that shows it, and seconds after which it hangs."""


def mutants() -> Sequence[Mutant]:
    """A defective client for each kind of fault, and some for interrupts and cancels."""
    cases = {case.program: case for case in _CASES}
    return [
        *(
            Mutant(name, fault, partial(_played, replace(cases[case], seconds=seconds), client))
            for name, fault, client, case, seconds in _DEFECTS
        ),
        *interrupt.mutants(),
        *cancel.mutants(),
    ]
