"""How is an attack played, and what did the client make of it? Arrangements of servers, and the judgement.

What is judged comes from the tap and the servers; from the client only what it said, to be held against that.
"""

from __future__ import annotations

import base64
import socket
import ssl
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import trustme

import portmail
from portmail import Cause, Retry, Security
from tests.leaks import forms
from tests.proof.attacks.case import CALLED, GOOD, IMPLICIT, STARTTLS, Case, Login
from tests.proof.harness.clients import BODY, RECIPIENT, Errand, Said, Told, letter
from tests.proof.harness.place import HOST, Place, Scene
from tests.proof.harness.recorder import CHALLENGE, PASSWORD, TOKEN, USER, cram_md5
from tests.proof.harness.tally import Fault, Tally

_LATE = 0.5
"""Seconds beyond its deadline after which a client hangs."""

_STEPS = 5
"""A peer's timeout is for each step: so many of them are no hang."""

_IN_GENERAL = (Cause.OVERTAKEN, Cause.OUT_OF_TIME)
"""What an attempt may also be called where waiting is all there is."""

_DIGEST = cram_md5(CHALLENGE).decode().split()[1]
_BY_PASSWORD = tuple(form for secret in (PASSWORD, _DIGEST) for form in forms(secret))
_BY_TOKEN = tuple(forms(TOKEN))
_USER = base64.b64encode(USER.encode())
_MESSAGE = (BODY.splitlines()[0].encode(), RECIPIENT.encode(), base64.b64encode(BODY.encode())[:24])


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Which servers there are: so many attacked, in the modes of the case by turns; perhaps a good one."""

    name: str
    attacked: int
    good: bool


ALONE = Arrangement("alone", 1, good=False)
WITH_A_GOOD_SECOND = Arrangement("a good second", 1, good=True)
BOTH = Arrangement("both attacked", 2, good=False)
BOTH_WITH_A_GOOD_THIRD = Arrangement("both attacked, a good third", 2, good=True)
ARRANGEMENTS = (ALONE, WITH_A_GOOD_SECOND, BOTH, BOTH_WITH_A_GOOD_THIRD)


@dataclass(frozen=True, slots=True)
class Run:
    """One attack on one client."""

    case: Case
    mode: Security
    arrangement: Arrangement
    login: Login
    retry: Retry | None = None

    def __str__(self) -> str:
        port = 587 if self.mode is STARTTLS else 465
        retry = "retries" if self.retry else "no retry"
        return f"{self.case.name} [{port}, {self.arrangement.name}, {self.login.name}, {retry}]"

    @property
    def modes(self) -> tuple[Security, ...]:
        """Those of the servers, in order."""
        other = IMPLICIT if self.mode is STARTTLS else STARTTLS
        second = other if other in self.case.on else self.mode
        attacked = (self.mode, second)[: self.arrangement.attacked]
        return (*attacked, other) if self.arrangement.good else attacked

    def scene(self) -> Scene:
        """The servers."""
        count, modes = self.arrangement.attacked, self.modes
        behaviours = [self.case.form(mode, offers=self.login.offers) for mode in modes[:count]]
        behaviours += [GOOD.but(implicit_tls=mode is IMPLICIT) for mode in modes[count:]]
        names = [self.case.tls] * count + ["good"] * (len(modes) - count)
        return Scene(behaviours, tls=[contexts()[name] for name in names])

    def errand(self, place: Place, *, seconds: float) -> Errand:
        """What the client is asked to do."""
        ports = [*place.ports]
        if self.case.absent:
            ports[: self.arrangement.attacked] = [_nobodys_port()] * self.arrangement.attacked
        return Errand(
            tuple(zip(ports, self.modes, strict=False)),
            letter(),
            seconds=seconds,
            token=TOKEN if self.login.by_token else None,
            retry=self.retry,
            ca=_authorities().ca,
        )


class Account(NamedTuple):
    """What a client of ours said: the error's kind and text, the cause of each attempt that failed."""

    kind: str
    text: str
    causes: tuple[Cause, ...]


class CommandFailed(Exception):
    """What the command line said, where it did not work."""

    def __init__(self, account: Account) -> None:
        super().__init__(account.text)
        self.account = account


def account_of(told: Told) -> Account:
    """What a client said, in one form for all doors."""
    if isinstance(told.error, CommandFailed):
        return told.error.account
    causes = tuple(attempt.error.cause for attempt in told.attempts if attempt.error)
    return Account(type(told.error).__name__ if told.error else "", str(told.error or ""), causes)


def judge(run: Run, told: Told, scene: Scene, *, seconds: float, tally: Tally) -> None:
    """Count a run of portmail, and its faults."""
    tally.runs += 1
    secrets = _BY_TOKEN if run.login.by_token else _BY_PASSWORD
    if repeated := _in_any(account_of(told).text.encode(), secrets):
        tally.note(Fault.LEAK, f"{run}: {repeated!r} is in the text")
    for fault, why in (*_by_the_wire(run, told, scene, seconds=seconds), *_by_the_word(run, told, scene)):
        tally.note(fault, f"{run}: {why}; it said: {told}")


def judge_peer(run: Run, told: Told, scene: Scene, *, seconds: float, tally: Tally) -> None:
    """Count a run of a client that promises nothing of its causes; TLS is as it comes to require it."""
    tally.runs += 1
    for fault, why in _by_the_wire(run, told, scene, seconds=_STEPS * seconds, messages=False):
        tally.note(fault, f"{run}: {why}; it said: {told}")
    if not run.case.causes and told.said is not Said.SENT:
        tally.note(Fault.WRONG_VERDICT, f"{run}: nothing was wrong; it said: {told}")


def _by_the_wire(
    run: Run, told: Told, scene: Scene, *, seconds: float, messages: bool = True
) -> Iterator[tuple[Fault, str]]:
    """What the tap and the servers know. Without `messages` only credentials are secret."""
    record = scene.record
    if leaked := _leaked(run, scene, messages=messages):
        yield Fault.LEAK, f"{leaked!r} was shown"
    if record.repeated:
        yield Fault.SECOND_LOGIN, f"AUTH was said again: {', '.join(record.logins)}"
    if told.seconds > seconds + _LATE:
        yield Fault.HANG, f"it took {told.seconds:.1f} s"
    if told.said is Said.SENT and not any(
        BODY.replace("\n", "\r\n").encode() in it.content for it in record.stored
    ):
        yield Fault.FALSE_SUCCESS, "no server has it"
    if len(record.stored) > 1:
        yield Fault.DUPLICATE, f"{len(record.stored)} servers have it"
    if (told.said is Said.NOT_SENT and record.stored) or (told.said is Said.IN_DOUBT and not record.ends):
        yield (
            Fault.WRONG_CERTAINTY,
            f"{record.ends} contents came to their end, {len(record.stored)} were stored",
        )
    if told.foreign:
        yield Fault.FOREIGN, "an error of nobody's"


def _leaked(run: Run, scene: Scene, *, messages: bool) -> bytes | None:
    """What was on the wire in clear, or came to a server that had proved nothing."""
    secret = (*_BY_PASSWORD, *_BY_TOKEN, _USER, *(_MESSAGE if messages else ()))
    for tape in scene.tapes:
        if found := _in_any(bytes(tape.heard), secret):
            return found
        attacked = tape.server < run.arrangement.attacked
        if (
            attacked
            and not run.case.proven
            and (found := _in_any(bytes(tape.understood), (*secret, b"AUTH ")))
        ):
            return found
    return None


def _in_any(octets: bytes, secrets: Sequence[bytes]) -> bytes | None:
    return next((secret for secret in secrets if secret in octets), None)


def _by_the_word(run: Run, told: Told, scene: Scene) -> Iterator[tuple[Fault, str]]:
    """Whether portmail says what is so."""
    for complaint in (*_of_the_end(run, told), *_of_the_causes(run, told), *_of_the_commands(run, scene)):
        yield Fault.WRONG_VERDICT, complaint


def _of_the_end(run: Run, told: Told) -> Iterator[str]:
    case, account = run.case, account_of(told)
    deliverable = not case.causes or (run.arrangement.good and not case.final)
    if deliverable != (told.said is Said.SENT):
        yield "it is to be delivered" if deliverable else "nobody may have it"
    if told.error is None:
        return
    if not isinstance(told.error, portmail.DeliveryError | CommandFailed):
        yield f"{account.kind} is no error of delivery"
    kinds = {_called(cause, case=case)[0] for cause in account.causes}
    if account.kind not in kinds:
        yield f"{account.kind} for {', '.join(sorted(kinds)) or 'nothing'}"
    for word in (case.words, *(_called(cause, case=case)[1] for cause in account.causes)):
        if word not in account.text.lower():
            yield f"{word!r} is not in the text"


def _called(cause: Cause, *, case: Case) -> tuple[str, str]:
    kind, words = CALLED.get(cause, ("Unreachable", ""))
    return ("AuthenticationFailed" if kind == "Rejected" and case.final else kind), words


def _of_the_causes(run: Run, told: Told) -> Iterator[str]:
    case, causes = run.case, account_of(told).causes
    allowed = (*case.causes, *(_IN_GENERAL if case.waits else ()))
    if any(cause not in allowed for cause in causes):
        yield f"called {', '.join(cause.value for cause in causes)}"
    # A race ends before the others have failed.
    due = 0 if not case.causes else 1 if case.final or case.waits else run.arrangement.attacked
    if len(causes) < due:
        yield f"{due} failed attempts are not told of"
    if case.final and len(causes) > (2 if case.accepted and run.retry else 1):
        yield "it went on behind a login that failed"


def _of_the_commands(run: Run, scene: Scene) -> Iterator[str]:
    """What was said within TLS, by what the attacked server says there."""
    within = [line for tls, line in scene.record.lines if tls]
    case = run.case
    for octets in case.never:
        if any(octets in line for line in within) and not run.arrangement.good:
            yield f"{octets!r} was said in TLS"
    if case.logins is not None and not run.arrangement.good and len(scene.record.logins) != case.logins:
        yield f"{len(scene.record.logins)} logins, not {case.logins}"


class _Authorities(NamedTuple):
    ca: Path
    contexts: Mapping[str, ssl.SSLContext]


def contexts() -> Mapping[str, ssl.SSLContext]:
    """What servers show, by name; `good` is what clients believe."""
    return _authorities().contexts


def _nobodys_port() -> int:
    port: int = _bound().getsockname()[1]
    return port


@lru_cache(maxsize=1)  # a cache: it lives as long as the process
def _bound() -> socket.socket:
    """A socket that has a port, and does not listen."""
    sock = socket.socket()
    sock.bind((HOST, 0))
    return sock


@lru_cache(maxsize=1)  # a cache: one for each process
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="portmail-attacks-")


@lru_cache(maxsize=1)  # a cache: one for each process
def _authorities() -> _Authorities:
    trusted, other = trustme.CA(), trustme.CA()
    ca = Path(_folder().name) / "ca.pem"
    trusted.cert_pem.write_to_path(str(ca))
    leaves = {
        "good": trusted.issue_cert(HOST),
        "other name": trusted.issue_cert("elsewhere.example"),
        "expired": trusted.issue_cert(HOST, not_after=datetime(2020, 1, 2, tzinfo=UTC)),
        "future": trusted.issue_cert(
            HOST, not_before=datetime(2100, 1, 2, tzinfo=UTC), not_after=datetime(2101, 1, 2, tzinfo=UTC)
        ),
        "untrusted": other.issue_cert(HOST),
    }
    made = {name: _context(leaf) for name, leaf in leaves.items()}
    made["client"] = _context(leaves["good"])
    made["client"].verify_mode = ssl.CERT_REQUIRED
    trusted.configure_trust(made["client"])
    made["old"] = _context(leaves["good"])
    made["old"].set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():  # that it is old is the point
        warnings.simplefilter("ignore", DeprecationWarning)
        made["old"].minimum_version = ssl.TLSVersion.TLSv1
        made["old"].maximum_version = ssl.TLSVersion.TLSv1_1
    return _Authorities(ca, made)


def _context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context
