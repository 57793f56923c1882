"""How is a failed operation repeated? Pauses and limits; the only door to tenacity, opened when needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from portmail.errors import DeliveryError

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
"""Seconds. Blips pass in one; greylisting takes minutes, and is a job queue's work."""


async def repeat(
    operation: Callable[[], Awaitable[T]],
    *,
    failed: DeliveryError,
    worth: Callable[[BaseException], bool],
    attempts: int,
    seconds: float,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Go on with an operation whose first attempt has just failed, and is worth another.

    `attempts` counts the first one. No attempt begins after `seconds` from now. The last error is
    raised as it is.
    """
    first = [failed]

    async def attempt() -> T:
        if first:  # it was made before: only how it ended is told
            raise first.pop()
        return await operation()

    run = AsyncRetrying(
        sleep=sleep,
        wait=_pause,
        stop=stop_after_attempt(attempts) | stop_before_delay(seconds),
        retry=retry_if_exception(worth),
        reraise=True,
    )
    return await run(attempt)


def _pause(state: RetryCallState) -> float:
    """Seconds: what the server asked for, else longer each time, with jitter so that a crowd spreads."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, DeliveryError) and error.retry_after is not None:
        return error.retry_after
    return wait_exponential_jitter(initial=_FIRST_WAIT, max=_LONGEST_WAIT)(state)
