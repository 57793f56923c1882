"""Which certificates does a client believe, and what does it say of the others? Each in both modes of TLS.

The servers are ours: they record what they heard within TLS. One that must be refused hears of no
login and of no message, whatever the client says of it.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import portmail
from portmail import Security
from tests.leaks import traces
from tests.proof.certificates.cases import CASES, Case, Due
from tests.proof.certificates.defects import DEFECTS
from tests.proof.certificates.running import CLIENTS, SLACK, Run, runs
from tests.proof.harness import clients
from tests.proof.harness.clients import Said
from tests.proof.harness.recorder import PASSWORD, USER
from tests.proof.harness.tally import PORTMAIL, SMTPLIB, Fault, Mutant, Tally, Task

TITLE = "certificates"

MODES = (Security.IMPLICIT_TLS, Security.STARTTLS)

_HARMLESS = (b"EHLO", b"HELO", b"STARTTLS", b"NOOP", b"RSET", b"QUIT")
"""What a server may hear that proved nothing."""

_LONGEST = 1500
"""Characters of an error for a person."""

_UNSEEN = frozenset({Fault.SECOND_LOGIN, Fault.INJECTION})


def tasks(client: str, *, quick: bool) -> Sequence[Task]:
    """Every case in each mode. What only strict verifiers refuse is not put to the others."""
    asked = [number for number, case in enumerate(CASES) if client == PORTMAIL or case.due is not Due.STRICT]
    return [partial(proved, client, mode, tuple(asked[:: 9 if quick else 1])) for mode in MODES]


def proved(client: str, mode: Security, numbers: Sequence[int]) -> Tally:
    """Put a client to the cases of these numbers."""
    tally = judged(
        runs(CLIENTS[client], mode=mode, cases=[CASES[number] for number in numbers]), client=client
    )
    # What others say of a certificate is OpenSSL's word, not theirs: they promise none.
    tally.blank = _UNSEEN if client == PORTMAIL else _UNSEEN | {Fault.WRONG_VERDICT}
    return tally


def judged(done: Iterable[Run], *, client: str) -> Tally:
    """What the runs show."""
    tally = Tally()
    for run in done:
        tally.cases += 1
        tally.runs += 1
        seen = [*_by_the_server(run), *_by_its_word(run, client=client)]
        for fault, example in seen:
            tally.note(fault, f"{run}: {example}")
    return tally


def _by_the_server(run: Run) -> Iterator[tuple[Fault, str]]:
    record, said = run.scene.record, run.told.said
    heard = [line for _, line in record.lines if line.partition(b" ")[0].upper() not in _HARMLESS]
    if run.case.due is not Due.ACCEPT and heard:
        yield Fault.LEAK, f"the server heard {heard[0]!r:.60}"
    if found := traces(run.scene.heard, secrets=(USER, PASSWORD, clients.BODY)):
        yield Fault.LEAK, f"in clear: {found[0]!r:.60}"
    if said is Said.SENT and not record.stored:
        yield Fault.FALSE_SUCCESS, "nothing was accepted"
    if len(record.stored) > 1:
        yield Fault.DUPLICATE, f"{len(record.stored)} messages"
    if (said is Said.NOT_SENT and record.stored) or (said is Said.IN_DOUBT and not record.ends):
        yield Fault.WRONG_CERTAINTY, f"{len(record.stored)} messages"


def _by_its_word(run: Run, *, client: str) -> Iterator[tuple[Fault, str]]:
    case, told = run.case, run.told
    if told.seconds > case.seconds + SLACK:
        yield Fault.HANG, f"{told.seconds:.1f} s"
    # ssl.SSLError is what the documentation of ssl, and so of smtplib, announces.
    if told.foreign and not (client == SMTPLIB and isinstance(told.error, ssl.SSLError)):
        yield Fault.FOREIGN, type(told.error).__name__
    if case.due is Due.ACCEPT and told.said is not Said.SENT:
        yield Fault.WRONG_VERDICT, "a good server was refused"
    if any(name != _asked_for(case.host) for name in run.context.asked):
        yield Fault.WRONG_VERDICT, f"it asked for {run.context.asked}"
    if client == PORTMAIL and case.due is not Due.ACCEPT:
        for complaint in _complaints(case, told.error):
            yield Fault.WRONG_VERDICT, complaint
        if run.scene.record.connections > 1:
            yield Fault.WRONG_VERDICT, "it came again to have another look"


def _asked_for(host: str) -> str | None:
    """The server name that belongs into the handshake (RFC 6066 section 3: no addresses)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None


def _complaints(case: Case, error: BaseException | None) -> Iterator[str]:
    """What is not as it should be in what portmail says."""
    text = str(error)
    due = portmail.DeliveryError if case.due is Due.FAIL else portmail.InsecureChannel
    if not isinstance(error, due):
        yield f"no {due.__name__}"
    yield from (f"it does not say {words!r}" for words in case.told if words not in text)
    if len(text) > _LONGEST or not all(line.isprintable() for line in text.split("\n")):
        yield "it says what no terminal should show"


def mutants() -> Sequence[Mutant]:
    """A defective client for every fault that can be seen here."""
    return [Mutant(name, fault, partial(_mutant, name)) for name, (fault, _, _) in DEFECTS.items()]


def _mutant(name: str) -> Tally:
    _, cases, defect = DEFECTS[name]
    chosen = [case for case in CASES if case.name in cases]
    with defect() as client:
        return judged(runs(client, mode=Security.STARTTLS, cases=chosen), client=PORTMAIL)
