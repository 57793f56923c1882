"""How is a long run stopped? The first signal asks it to come to an end, the second ends it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def without_a_message() -> Iterator[None]:
    """Whoever is stopped here is not told that no message was sent: there was none."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


class Stop:
    """Listens to Ctrl-C, SIGTERM and a terminal that goes away, for as long as the `with` block lasts.

    The first of them sets `asked` and calls `heard`, the next is a KeyboardInterrupt. A signal that
    was ignored before stays so. In a thread that cannot listen, nothing changes.
    """

    def __init__(self, heard: Callable[[], None]) -> None:
        self.asked = False
        self._heard = heard
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            kept = (signal.SIG_IGN, None)  # None: of somebody who is not written in Python
            ours = [number for number in _SIGNALS if signal.getsignal(number) not in kept]
            self._before = {number: signal.signal(number, self._first) for number in ours}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _first(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        for number in self._before:
            signal.signal(number, signal.default_int_handler)
        self._heard()
