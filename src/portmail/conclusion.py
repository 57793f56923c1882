"""What is raised when the walk is over? One error out of all attempts, in words for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portmail import errors
from portmail.cause import Cause, Nature
from portmail.diagnosis import Diagnosis, diagnose
from portmail.failure import Failure, Phase
from portmail.hints import hints_for
from portmail.language import Words, english
from portmail.phrase import HALVES, WHOLE, joined
from portmail.receipt import Attempt
from portmail.reply import Reply
from portmail.report import TO_DO, what_to_do
from portmail.seen import Seen
from portmail.situation import Situation
from portmail.surroundings import here
from portmail.verdict import OPENING, Verdict

# When no route is left: what was a danger outranks what was said, and that outranks silence.
_RANK = (Nature.INSECURE, Nature.PERMANENT, Nature.TRANSIENT, Nature.OTHER_ROUTE, Nature.NO_ANSWER)

_BY_CAUSE: Mapping[Cause, type[errors.DeliveryError]] = {
    Cause.TOO_LARGE: errors.MessageTooLarge,
    Cause.EXTENSION_MISSING: errors.ExtensionMissing,
    Cause.NO_MECHANISM: errors.NoMechanism,
    Cause.NO_SECRET: errors.CredentialsUnavailable,
    Cause.HELD_BACK: errors.HeldBack,
    Cause.FAULT: errors.InternalError,
}

SUMMARY: Mapping[type[errors.DeliveryError], str] = {
    errors.Unreachable: "Not sent: no route took the message.",
    errors.InsecureChannel: "Not sent: no secure route. No credential was shown and no message left.",
    errors.AuthenticationFailed: "Not sent: the server refused the login.",
    errors.NoMechanism: "Not sent: no way to log in. The credentials were not shown.",
    errors.CredentialsUnavailable: "Not sent: the password or token could not be fetched.",
    errors.Rejected: "Not sent: the server refused the message.",
    errors.MessageTooLarge: "Not sent: the message is too large for the server.",
    errors.ExtensionMissing: "Not sent: the server cannot carry this message.",
    errors.HeldBack: "Not sent: the message was held back.",
    errors.InternalError: "Not sent: portmail itself failed.",
    errors.InDoubt: "In doubt: the message was handed over, but no answer came. It may have been accepted.",
}

UNCONNECTED: Mapping[type[errors.DeliveryError], str] = {
    errors.Unreachable: "Not connected: no route is open.",
    errors.InsecureChannel: "Not connected: no secure route. No credential was shown.",
    errors.AuthenticationFailed: "Not connected: the server refused the login.",
    errors.NoMechanism: "Not connected: no way to log in. The credentials were not shown.",
    errors.CredentialsUnavailable: "Not connected: the password or token could not be fetched.",
    errors.Rejected: "Not connected: the server refused the connection.",
}
"""The same, where there was no message yet."""

TURNED_AWAY = "Not sent: the server refused the connection."

AGAIN, ACCEPTED_BEFORE = "and again, a little later:", "accepted before"

ADVICE: Mapping[type[errors.DeliveryError], str] = {
    errors.AuthenticationFailed: "check the user name and the password or token",
    errors.InDoubt: "look whether it arrived before you send it again",
}

CHECK = "`portmail check` also tries the server's other ports."

_GUESSED = frozenset(
    {
        Situation.SILENT,
        Situation.BLOCKED,
        Situation.PROHIBITED,
        Situation.REFUSED,
        Situation.DROPPED,
        Situation.MUTE,
    }
)
"""Situations of which a check, which tries all ports, knows more than a submission."""

_WAIT = re.compile(r"\b(\d{1,5}) ?(s|sec|min)(?:ond|ute)?s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Walk:
    """What a submission went through: its attempts, those of earlier tries, the recipients refused last.

    `accepted` are recipients that a transaction before the last one was accepted for.
    """

    message_id: str
    earlier: tuple[Attempt, ...]
    attempts: tuple[Attempt, ...]
    refused: Mapping[str, Reply] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()


def conclude(walk: Walk) -> errors.DeliveryError:
    """The error to raise for a walk that ended without a receipt."""
    decided = _deciding(walk.attempts)
    failure = decided.error or Failure(decided.phase, Cause.FAULT)
    kind = _kind(failure, verdict=decided.verdict)
    told: dict[str, Any] = {
        "attempts": walk.earlier + walk.attempts,
        "temporary": kind is not errors.InDoubt and _temporary(failure, walk=walk),
        "retry_after": _retry_after(failure),
        "message_id": walk.message_id,
    }
    if issubclass(kind, errors.Rejected):
        told |= {"reply": failure.reply, "refused": walk.refused}
    if kind is errors.InDoubt:
        told["accepted"] = walk.accepted
    error = kind("", **told)
    error.decided, error.earlier = decided, len(walk.earlier)
    error.args = (in_words(error),)
    return error


def _deciding(attempts: tuple[Attempt, ...]) -> Attempt:
    last = attempts[-1]
    if last.verdict is not Verdict.NEXT_ROUTE:
        return last
    return min(attempts, key=lambda attempt: _RANK.index(attempt.error.nature) if attempt.error else 99)


def _kind(failure: Failure, *, verdict: Verdict) -> type[errors.DeliveryError]:
    if verdict is Verdict.IN_DOUBT:
        return errors.InDoubt
    if failure.cause in _BY_CAUSE:
        return _BY_CAUSE[failure.cause]
    if failure.nature is Nature.INSECURE:
        return errors.InsecureChannel
    if failure.nature is Nature.NO_ANSWER:
        return errors.Unreachable
    return errors.AuthenticationFailed if failure.phase is Phase.AUTH else errors.Rejected


def _temporary(failure: Failure, *, walk: Walk) -> bool:
    """Whether the same submission may succeed later."""
    failures = [attempt.error for attempt in walk.attempts if attempt.error]
    if failure.nature is Nature.INSECURE:
        insecure = [
            other for other in failures if other.nature is Nature.INSECURE and other.cause is not Cause.WEAKER
        ]
        return all(other.reply is not None and other.reply.transient for other in insecure)
    if walk.attempts[-1].verdict is Verdict.NEXT_ROUTE:  # every route was tried: one may recover
        return any(_passing(other) for other in failures)
    return _passing(failure)


def _passing(failure: Failure) -> bool:
    tells_nothing = failure.cause in (Cause.NAME_NOT_FOUND, Cause.OVERTAKEN)
    return failure.nature in (Nature.NO_ANSWER, Nature.TRANSIENT) and not tells_nothing


def _retry_after(failure: Failure) -> float | None:
    """Seconds, where a transient reply names a time ("greylisted, try again in 300 seconds")."""
    said = failure.reply.text if failure.reply and failure.reply.transient else ""
    if not (match := _WAIT.search(said)):
        return None
    return float(match[1]) * (60 if match[2].lower() == "min" else 1)


def in_words(error: errors.DeliveryError, into: Words = english) -> str:
    """What `str(error)` says, in any language: what came of it, why, each attempt, and what to do."""
    decided = error.decided
    if decided is None:  # it was not concluded from attempts
        return str(error)
    diagnosis = _diagnosis(error)
    lines = [into(_summary(error, decided=decided))]
    lines += [diagnosis.headline.said(into)] if diagnosis else []
    lines += _story(error, into)
    advice = _advice(error, into, diagnosis=diagnosis)
    return "\n".join(lines + ([f"{into(TO_DO)} {advice}"] if advice else []))


def _summary(error: errors.DeliveryError, *, decided: Attempt) -> str:
    kind = _kind_of(error)
    turned_away = kind is errors.Rejected and decided.phase in OPENING
    summary = TURNED_AWAY if turned_away else SUMMARY[kind]
    return summary if error.message_id else UNCONNECTED.get(kind, summary)


def _kind_of(error: errors.DeliveryError) -> type[errors.DeliveryError]:
    """Which of ours it is: other libraries' errors may be made of it."""
    return next(kind for kind in type(error).__mro__ if kind in SUMMARY)


def _story(error: errors.DeliveryError, into: Words) -> Iterator[str]:
    """What became of each attempt and each recipient."""
    earlier, last = error.attempts[: error.earlier], error.attempts[error.earlier :]
    yield from (f"  {attempt.said(into)}" for attempt in earlier)
    if earlier:
        yield f"  {into(AGAIN)}"
    yield from (f"  {attempt.said(into)}" for attempt in last)
    if isinstance(error, errors.Rejected):
        yield from (f"  {recipient}: {reply}" for recipient, reply in error.refused.items())
    if isinstance(error, errors.InDoubt):
        yield from (f"  {recipient}: {into(ACCEPTED_BEFORE)}" for recipient in error.accepted)


def _diagnosis(error: errors.DeliveryError) -> Diagnosis | None:
    """Why no route is open, where that is why; None where it would say no more than the attempts."""
    last = error.attempts[error.earlier :]
    if _kind_of(error) not in UNCONNECTED or last[-1].verdict is not Verdict.NEXT_ROUTE:
        return None
    if any(attempt.phase not in OPENING for attempt in last):
        return None
    seen = [Seen(it.route, it.error) for it in last if it.error]
    try:
        diagnosis = diagnose(seen, surroundings=here()) if seen else None
    except Exception:  # noqa: BLE001  # what became of a message is worth more than the words for it
        return None
    return None if diagnosis is None or diagnosis.situation is Situation.OTHER else diagnosis


def _advice(error: errors.DeliveryError, into: Words, *, diagnosis: Diagnosis | None) -> str:
    if diagnosis is not None and diagnosis.advice is not None:
        to_do, notes = what_to_do(diagnosis)
        more = [into(CHECK)] if diagnosis.situation in _GUESSED else []
        return joined([*(it.said(into) for it in (*to_do, *notes)), *more], into)
    last = error.attempts[error.earlier :]
    tried = last if last[-1].verdict is Verdict.NEXT_ROUTE else [it for it in last if it is error.decided]
    failed = [(it.error, it.route) for it in tried if it.error]
    kind = _kind_of(error)
    found = [hint for failure, route in failed for hint in hints_for(failure, route=route)]
    hints = dict.fromkeys(hint.text for hint in found)
    told = [ADVICE[kind]] if kind in ADVICE else [failure.advice for failure, _ in failed]
    if kind is errors.AuthenticationFailed and any(hint.special for hint in found):
        told = []  # that the password may be wrong says less
    half = [into(sentence) for sentence in dict.fromkeys(told) if sentence]
    whole = into(WHOLE).format(half=joined(half, into, by=HALVES)) if half else ""
    return joined([whole, *map(into, hints)], into)
