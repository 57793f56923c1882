"""What does portmail tell a log? An event for every attempt and every message, and the dialogue.

| logger              | level         | what                                                       |
|---------------------|---------------|------------------------------------------------------------|
| `portmail`          | INFO, WARNING | each route tried, and what became of each message          |
| `portmail.dialogue` | DEBUG         | connections, and what was said on them, line by line       |

Events carry their fields by `extra=`, so that a formatter can write them as JSON. They hold no
address and nothing that a server said: only counts and codes. The dialogue holds addresses. Nothing
holds the content of a message, or a credential: the line that would is a `Confidential`, which has
other words for it.

Whether anybody listens to a dialogue is asked once, when its connection is opened.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast

from portmail.cause import Cause, Nature
from portmail.confidential import Confidential
from portmail.course import Course
from portmail.errors import ApprovalRequired, DeliveryError, DiscoveryError, InDoubt, Rejected
from portmail.failure import Failure, Phase
from portmail.hearing import FINAL_DOT
from portmail.receipt import Attempt, Receipt
from portmail.reply import Reply, printable
from portmail.route import Route
from portmail.security import LiveTransport, evidence_of
from portmail.verdict import Verdict

if TYPE_CHECKING:
    from portmail.candidate import Findings  # most programs name their host

EVENTS = logging.getLogger("portmail")
EVENTS.addHandler(logging.NullHandler())  # whoever sets up no logging hears nothing
DIALOGUE = logging.getLogger("portmail.dialogue")

ACCEPTED, REFUSED, NOT_SENT, IN_DOUBT = OUTCOMES = ("accepted", "refused", "not sent", "in doubt")
"""What can become of a message: the values of `portmail_outcome`."""

ATTEMPT_FIELDS: tuple[str, ...] = (
    "portmail_event",
    "portmail_message_id",
    "portmail_route",
    "portmail_phase",
    "portmail_cause",
    "portmail_code",
    "portmail_enhanced",
    "portmail_verdict",
    "portmail_seconds",
)
"""What the record of an attempt has besides a LogRecord's own; None where there is nothing to tell."""

MESSAGE_FIELDS: tuple[str, ...] = (
    "portmail_event",
    "portmail_message_id",
    "portmail_outcome",
    "portmail_route",
    "portmail_phase",
    "portmail_cause",
    "portmail_code",
    "portmail_enhanced",
    "portmail_accepted",
    "portmail_refused",
    "portmail_attempts",
    "portmail_error",
    "portmail_temporary",
    "portmail_seconds",
)
"""What the record of a message has. `accepted` and `refused` are numbers of recipients.

Route, phase, cause and reply are those of the attempt that decided.
"""

DISCOVERY_FIELDS: tuple[str, ...] = (
    "portmail_event",
    "portmail_domain",
    "portmail_source",
    "portmail_trust",
    "portmail_routes",
    "portmail_error",
    "portmail_temporary",
    "portmail_seconds",
)
"""What the record of a search for a server has. Source and trust are those of what was found."""


def _emit(logger: logging.Logger, level: int, text: str, *told: object, extra: dict[str, Any]) -> None:
    """Say it. What somebody's handler raises is shown as handlers show it, and decides nothing about mail."""
    try:
        logger.log(level, text, *told, extra=extra)
    except Exception:  # noqa: BLE001  # see above
        if logging.raiseExceptions:
            traceback.print_exc()


def attempt(tried: Attempt, *, message_id: str) -> None:
    """A route was tried. A connection may be opened for many messages: then it is the first one's id."""
    failure = tried.error
    level = _level(failure, verdict=tried.verdict)
    if not EVENTS.isEnabledFor(level):
        return
    told = (
        "attempt",
        message_id,
        *_where(tried),
        tried.verdict.value,
        round(tried.seconds, 3),
    )
    how = _words(failure) if failure else "accepted"
    extra = dict(zip(ATTEMPT_FIELDS, told, strict=True))
    behind = f" {message_id}" if message_id else ""
    _emit(EVENTS, level, "%s: %s (%.1f s)%s", tried.route, how, tried.seconds, behind, extra=extra)


def _where(tried: Attempt) -> tuple[str, str, str | None, int | None, str | None]:
    """Route, phase, cause, code and enhanced code."""
    failure = tried.error
    reply = failure.reply if failure else None
    cause = failure.cause.value if failure else None
    code, enhanced = (reply.code, reply.enhanced) if reply else (None, None)
    return str(tried.route), tried.phase.value, cause, code, enhanced


def _level(failure: Failure | None, *, verdict: Verdict) -> int:
    """A warning is what decides, and what was not secure; another route may make up for the rest."""
    if failure is None or failure.cause is Cause.OVERTAKEN:
        return logging.INFO
    harmless = verdict is Verdict.NEXT_ROUTE and failure.nature is not Nature.INSECURE
    return logging.INFO if harmless else logging.WARNING


def _words(failure: Failure) -> str:
    """How it failed, without what the server said: it may have said an address, or anything."""
    if failure.reply is not None:
        said = " ".join(filter(None, (str(failure.reply.code), failure.reply.enhanced)))
    else:  # of the network and of certificates
        said = failure.detail if failure.phase is Phase.CONNECT or failure.nature is Nature.INSECURE else ""
    words = str(Failure(failure.phase, failure.cause))
    return f"{words}: {said}" if said else words


Told: TypeAlias = Callable[[Receipt | None, Exception | None], None]
"""Who is told what became of a message: a receipt, or an error."""


class Ending:
    """Tells what became of one message, once: the log, and whoever waits for it."""

    __slots__ = ("_message_id", "_over", "_started", "_told")

    def __init__(self, told: Told, *, message_id: str) -> None:
        self._told = told
        self._message_id = message_id
        self._started = time.monotonic()
        self._over = False

    def __call__(self, receipt: Receipt | None, error: Exception | None) -> None:
        """It is over. The log hears of that once, whoever waits as often as it is said."""
        told, self._over = self._over, True
        self._told(receipt, error)
        if told:
            return
        if error is not None:
            self._failed(error)
        elif receipt is not None and (receipt.refused or EVENTS.isEnabledFor(logging.INFO)):
            level = logging.WARNING if receipt.refused else logging.INFO
            _message(level, receipt, outcome=ACCEPTED, numbers=(len(receipt.accepted), len(receipt.refused)))

    def given_up(self, outcome: str, *, accepted: int, where: Iterable[tuple[Route, Phase]] = ()) -> None:
        """Nobody waits any more: cancelled, interrupted, or closed. That is told to the log alone.

        `where` has the routes by which it was going, and how far each was.
        """
        if not self._over:
            self._over = True
            told = _Unfinished(self._message_id, self._duration, where=tuple(where))
            _message(logging.WARNING, told, outcome=outcome, numbers=(accepted, 0))

    def _failed(self, error: Exception) -> None:
        outcome, numbers = NOT_SENT, (0, 0)
        if isinstance(error, Rejected):
            outcome, numbers = REFUSED, (0, len(error.refused))
        elif isinstance(error, InDoubt):
            outcome, numbers = IN_DOUBT, (len(error.accepted), 0)
        attempts = error.attempts if isinstance(error, DeliveryError) else ()
        told = _Unfinished(self._message_id, self._duration, attempts, error)
        _message(logging.WARNING, told, outcome=outcome, numbers=numbers)

    @property
    def _duration(self) -> float:
        return time.monotonic() - self._started


class _Unfinished(NamedTuple):
    """What there is in place of a receipt."""

    message_id: str
    duration: float
    attempts: tuple[Attempt, ...] = ()
    error: Exception | None = None
    where: tuple[tuple[Route, Phase], ...] = ()

    def why(self) -> str:
        """In words, without what the server said."""
        tried = self.error.decided if isinstance(self.error, DeliveryError) else None
        if tried is not None and tried.error is not None:
            return f": {tried.route}: {_words(tried.error)}"
        under_way = ", ".join(f"{route}: {phase.value}" for route, phase in self.where)
        return f": given up at {under_way}" if under_way else ""


_NOWHERE = (None,) * 5


def _message(level: int, told: Receipt | _Unfinished, *, outcome: str, numbers: tuple[int, int]) -> None:
    if not EVENTS.isEnabledFor(level):
        return
    error, why = (told.error, told.why()) if isinstance(told, _Unfinished) else (None, "")
    values = (
        "message",
        told.message_id,
        outcome,
        *_place(told),
        *numbers,
        len(told.attempts),
        type(error).__name__ if error else None,
        getattr(error, "temporary", False),
        round(told.duration, 3),
    )
    extra = dict(zip(MESSAGE_FIELDS, values, strict=True))
    text = "%s: %s, recipients: %d accepted, %d refused (%.1f s)%s"
    _emit(EVENTS, level, text, told.message_id, outcome, *numbers, told.duration, why, extra=extra)


def _place(told: Receipt | _Unfinished) -> tuple[str | int | None, ...]:
    """The attempt that decided; else where the message was given up, or by which route it went last."""
    if not isinstance(told, _Unfinished):
        return _where(told.attempts[-1])
    if isinstance(told.error, DeliveryError) and told.error.decided is not None:
        return _where(told.error.decided)
    if told.where:
        route, phase = told.where[-1]
        return (str(route), phase.value, *_NOWHERE[2:])
    return (str(told.attempts[-1].route), *_NOWHERE[1:]) if told.attempts else _NOWHERE


def found(findings: Findings, *, seconds: float) -> None:
    """A server was looked for, and found."""
    first = findings.candidates[0]
    told = (first.source.value, first.trust.value, len(findings.candidates), None, False)
    routes = ", ".join(str(it.route) for it in findings.candidates)
    _discovery(logging.INFO, findings.domain, *told, seconds, words=f"{routes}, by {told[0]} ({told[1]})")


def not_found(domain: str, error: DiscoveryError, *, seconds: float) -> None:
    """A server was looked for, and there is none that may be used."""
    named = error.candidate if isinstance(error, ApprovalRequired) else None
    told = (named.source.value, named.trust.value) if named else (None, None)
    name = type(error).__name__
    _discovery(logging.WARNING, domain, *told, 0, name, error.temporary, seconds, words=name)


def _discovery(level: int, domain: str, *told: object, words: str) -> None:
    *values, seconds = told
    extra = dict(
        zip(DISCOVERY_FIELDS, ("discovery", domain, *values, round(cast("float", seconds), 3)), strict=True)
    )
    _emit(EVENTS, level, "server for %s: %s (%.1f s)", domain, words, seconds, extra=extra)


def not_sent(error: Exception, *, message_id: str) -> None:
    """A message came no further than the search for its server."""
    Ending(lambda _receipt, _error: None, message_id=message_id)(None, error)


UNENCRYPTED_FIELDS: tuple[str, ...] = ("portmail_event", "portmail_route", "portmail_encrypted_on")
"""What the record of a relay has whose connection is unencrypted now. `encrypted_on` is a date (UTC)."""


def unencrypted(route: Route, *, before: str) -> None:
    """A relay's connection has no TLS, and had it on the day `before`. Its mode allows that: none failed."""
    extra = dict(zip(UNENCRYPTED_FIELDS, ("unencrypted", str(route), before), strict=True))
    text = "%s: not encrypted, although it was on %s: something on the way may have taken STARTTLS away"
    _emit(EVENTS, logging.WARNING, text, route, before, extra=extra)


def connecting(route: Route) -> None:
    """A connection is about to be opened."""
    if DIALOGUE.isEnabledFor(logging.DEBUG):
        place = str(route).partition(" ")[0]
        _emit(
            DIALOGUE, logging.DEBUG, "connecting to %s", place, extra={"portmail_connection": f"? > {place}"}
        )


def dialogue(transport: asyncio.BaseTransport) -> Dialogue | None:
    """Who writes down what is said on this connection; None where nobody listens."""
    return Dialogue(transport) if DIALOGUE.isEnabledFor(logging.DEBUG) else None


class Dialogue:
    """What is said on one connection: `C:` is the client, `S:` the server."""

    __slots__ = ("_extra",)

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        here, there = (transport.get_extra_info(name) or ("?", 0) for name in ("sockname", "peername"))
        # As a packet capture has it: connections of one program differ in their own port.
        self._extra = {"portmail_connection": f"{here[1]} > {there[0]}:{there[1]}"}

    def secured(self, transport: LiveTransport) -> None:
        """TLS stands."""
        evidence = evidence_of(transport)
        if evidence is not None:
            proved = f"certificate of {evidence.peer_name}" if evidence.peer_name else "nothing verified"
            self._tell("%s, %s", evidence.version.replace("TLSv", "TLS "), proved)

    def said(self, line: bytes | Confidential) -> None:
        """A command."""
        shown = line.shown if isinstance(line, Confidential) else line.decode("utf-8", "replace").rstrip()
        self._tell("C: %s", printable(shown))

    def heard(self, reply: Reply) -> None:
        """A reply, line by line."""
        *lines, last = reply.text.split("\n")
        for line in lines:
            self._tell("S: %d-%s", reply.code, line)
        enhanced = f"{reply.enhanced} " if reply.enhanced else ""
        self._tell("S: %d %s%s", reply.code, enhanced, last)

    def pulled(self, course: Course, octets: bytes, *, was: Before) -> None:
        """What a connection with mail on it was given to write."""
        lines = was.unsaid[: len(was.unsaid) - len(course.unsaid)] if octets else []
        if was.content and octets:
            committed = course.content is None
            dot = FINAL_DOT if committed and not course.chunking else b""
            size = len(octets) - len(dot) - sum(map(len, lines))
            what = "BDAT, with its content" if course.chunking else "content"
            self._tell("C: [%s octets of %s%s]", f"{size:,}", what, "; that was all" if committed else "")
            lines = [dot, *lines] if dot else lines
        for line in lines:
            self.said(line)

    def _tell(self, text: str, *told: object) -> None:
        _emit(DIALOGUE, logging.DEBUG, text, *told, extra=self._extra)


class Before(NamedTuple):
    """What tells commands from content: whether a content was on its way, and the commands behind it."""

    content: bool
    unsaid: list[bytes]

    @classmethod
    def of(cls, course: Course) -> Self:
        """As it is before octets are pulled."""
        return cls(course.content is not None, [line for line, _ in course.unsaid])
