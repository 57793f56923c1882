"""When is a submission tried again? The retry policy, and the first attempt, most often the only one."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from portmail.errors import (
    ConfigurationError,
    CredentialsUnavailable,
    DeliveryError,
    InDoubt,
    InsecureChannel,
    Rejected,
)
from portmail.failure import Phase

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a whole submission is tried, and for how many seconds retries may begin.

    Only what is provably not sent and may pass is tried again: no answer, or a 4yz reply.
    What is in doubt never is, nor what was insecure, nor a 5yz reply, unless its code is in
    `also`: for a server that is known to mean "later" with, say, 554.
    """

    attempts: int = 2
    total: float = 30.0
    also: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        counts = isinstance(self.attempts, int) and self.attempts >= 1
        if not (counts and isinstance(self.total, int | float) and 0 < self.total < math.inf):
            raise ConfigurationError("retry: attempts is a number from 1, and total seconds above 0")
        codes = isinstance(self.also, tuple)
        if not (codes and all(isinstance(code, int) and 500 <= code < 600 for code in self.also)):
            raise ConfigurationError("retry: also is a tuple of reply codes from 500 to 599")


def worth_retrying(error: BaseException, *, policy: Retry) -> bool:
    """Whether the policy tries again after this error."""
    if not isinstance(error, DeliveryError) or isinstance(error, InDoubt | InsecureChannel):
        return False
    if isinstance(error, Rejected) and error.reply and error.reply.code in policy.also:
        return True
    shown = any(attempt.phase is Phase.AUTH for attempt in error.attempts)
    # A login that failed in whatever way counts with the server: no second one by ourselves.
    return error.temporary and (not shown or isinstance(error, CredentialsUnavailable))


async def retrying(
    operation: Callable[[], Awaitable[T]],
    *,
    policy: Retry | None,
    seconds: float,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Run the operation until it succeeds, may not be retried, or the policy's limits are reached.

    No retry begins after `seconds`. The last error is raised as it is.
    """
    if policy is None or policy.attempts == 1:
        return await operation()
    started = time.monotonic()
    try:
        return await operation()
    except DeliveryError as exc:
        if not worth_retrying(exc, policy=policy):
            raise
        failed = exc
    try:
        from portmail.repeating import repeat  # a message that is accepted at once pays nothing for it
    except OSError:  # no descriptor is left to load it with
        raise failed from None
    return await repeat(
        operation,
        failed=failed,
        worth=lambda error: worth_retrying(error, policy=policy),
        attempts=policy.attempts,
        seconds=min(policy.total, seconds) - (time.monotonic() - started),
        sleep=sleep,
    )
