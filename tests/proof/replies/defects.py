"""Would a client that is wrong be noticed? One defect for each kind of fault, on a few of the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from unittest import mock

from portmail import Timeouts
from portmail import opening as walk
from portmail.failure import Failure, Phase
from portmail.reply import Reply, ReplyReader
from portmail.verdict import Verdict, judge
from tests.proof.harness.clients import Async, Errand, Said, Told, by_portmail
from tests.proof.harness.defects import bare, hasty, raw, unaware
from tests.proof.harness.tally import Fault, Mutant, Tally
from tests.proof.replies.cases import Case
from tests.proof.replies.running import put

_AT_THE_END = [
    Case("end", 250, shape=shape, offer="lock-step")
    for shape in ("a line", "_ for a separator", "words", "silence", "closed")
]
_REFUSED = [Case(step, code) for step in ("MAIL", "RCPT", "BDAT", "AUTH") for code in (451, 550)]
_UNANSWERED = [Case(step, 250, shape=shape) for step in ("AUTH", "MAIL") for shape in ("silence", "closed")]
_LINES = [Case("MAIL", 550, shape=shape) for shape in ("codes that differ", "a tab for a separator")]
_GLUED = [Case("STARTTLS", 220, shape="another reply behind")]
_PLANNED = (*_AT_THE_END, *_REFUSED, *_UNANSWERED, *_LINES, *_GLUED)


@dataclass(frozen=True, slots=True)
class _Defect:
    """What is wrong with a client: how it submits, or what is patched meanwhile."""

    fault: Fault
    client: Async = by_portmail
    patched: Callable[[], AbstractContextManager[object]] = nullcontext


def mutants() -> list[Mutant]:
    """All of them."""
    return [Mutant(name, defect.fault, partial(_played, name)) for name, defect in _DEFECTS.items()]


def _played(name: str) -> Tally:
    defect = _DEFECTS[name]
    with defect.patched():
        return put(_PLANNED, client=defect.client)


async def _sure(errand: Errand) -> Told:
    told = await by_portmail(errand)
    return replace(told, said=Said.SENT, error=None)


def _without_limits() -> AbstractContextManager[object]:
    forever = Timeouts(**dict.fromkeys(("connect", "greeting", "command", "block", "final", "total"), 600.0))
    return mock.patch.object(Timeouts, "of", return_value=forever)


def _stubborn() -> AbstractContextManager[object]:
    """Shows the credentials on every route."""

    def everywhere(failure: Failure) -> Verdict:
        return Verdict.NEXT_ROUTE if failure.phase is Phase.AUTH else judge(failure)

    return mock.patch.object(walk, "judge", everywhere)


@contextmanager
def _hopeful() -> Iterator[None]:
    """Takes every no for one that may pass."""
    with (
        mock.patch.object(Reply, "transient", property(lambda reply: reply.code >= 400)),
        mock.patch.object(Reply, "permanent", property(lambda _: False)),
    ):
        yield


@contextmanager
def _tolerant() -> Iterator[None]:
    """Reads what is no reply as if it were one."""
    feed = ReplyReader.feed

    def tolerant(self: ReplyReader, data: bytes) -> list[Reply]:
        return feed(self, data.replace(b"\t", b" "))

    with mock.patch.object(ReplyReader, "feed", tolerant):
        yield


_DEFECTS = {
    "takes everything for a yes": _Defect(Fault.FALSE_SUCCESS, _sure),
    "takes what is in doubt for not sent": _Defect(Fault.WRONG_CERTAINTY, unaware),
    "sends again what is in doubt": _Defect(Fault.DUPLICATE, hasty),
    "lets foreign exceptions through": _Defect(Fault.FOREIGN, raw),
    "sends in clear": _Defect(Fault.LEAK, bare),
    "waits for ever": _Defect(Fault.HANG, patched=_without_limits),
    "logs in on every route": _Defect(Fault.SECOND_LOGIN, patched=_stubborn),
    "takes every no for a passing one": _Defect(Fault.WRONG_VERDICT, patched=_hopeful),
    "reads what is no reply": _Defect(Fault.WRONG_VERDICT, patched=_tolerant),
}
