"""What is raised when the walk is over? One error out of all attempts, in words for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portmail import errors
from portmail.cause import Cause, Nature
from portmail.failure import Failure, Phase
from portmail.receipt import Attempt
from portmail.reply import Reply
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

_SUMMARY: Mapping[type[errors.DeliveryError], str] = {
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

_UNCONNECTED: Mapping[type[errors.DeliveryError], str] = {
    errors.Unreachable: "Not connected: no route is open.",
    errors.InsecureChannel: "Not connected: no secure route. No credential was shown.",
    errors.AuthenticationFailed: "Not connected: the server refused the login.",
    errors.NoMechanism: "Not connected: no way to log in. The credentials were not shown.",
    errors.CredentialsUnavailable: "Not connected: the password or token could not be fetched.",
    errors.Rejected: "Not connected: the server refused the connection.",
}
"""The same, where there was no message yet."""

_TURNED_AWAY = "Not sent: the server refused the connection."

_ADVICE: Mapping[type[errors.DeliveryError], str] = {
    errors.AuthenticationFailed: "check the user name and the password or token",
    errors.InDoubt: "look whether it arrived before you send it again",
}

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
    error = kind(_text(kind, failure=failure, walk=walk), **told)
    error.decided = decided
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


def _text(kind: type[errors.DeliveryError], *, failure: Failure, walk: Walk) -> str:
    turned_away = kind is errors.Rejected and failure.phase in OPENING
    summary = _TURNED_AWAY if turned_away else _SUMMARY[kind]
    lines = [summary if walk.message_id else _UNCONNECTED.get(kind, summary)]
    lines += [f"  {attempt}" for attempt in walk.earlier]
    lines += ["  and again, a little later:"] if walk.earlier else []
    lines += [f"  {attempt}" for attempt in walk.attempts]
    lines += [f"  {recipient}: {reply}" for recipient, reply in walk.refused.items()]
    lines += [f"  {recipient}: accepted before" for recipient in walk.accepted]
    if kind in _ADVICE:
        advice = [_ADVICE[kind]]
    elif walk.attempts[-1].verdict is Verdict.NEXT_ROUTE:
        advice = [attempt.error.advice for attempt in walk.attempts if attempt.error]
    else:
        advice = [failure.advice]
    told = [sentence for sentence in dict.fromkeys(advice) if sentence]
    return "\n".join(lines + (["What to do: " + "; ".join(told) + "."] if told else []))
