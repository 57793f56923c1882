"""Who mails what was logged, and what if that fails? A thread of the process, while there is anything."""

from __future__ import annotations

import contextlib
import threading

# The C class itself: its `put` may interrupt itself (signals, finalizers), and gevent leaves it as it is.
from _queue import Empty, SimpleQueue
from collections.abc import Hashable
from contextvars import ContextVar

from portmail.integrations.logging.digest import Kind, Limits
from portmail.integrations.logging.ending import ENDING
from portmail.integrations.logging.mailer import Mailer
from portmail.integrations.logging.stock import Stock
from portmail.offloading import Thread, started

THREAD = "portmail-log"

SENDING: ContextVar[bool] = ContextVar("portmail_log_sending", default=False)
"""Whether this is done for a mail of log records: what is logged here would be one more."""

_LEAVE = 1.0
"""Seconds that a mail which is given up may take to end."""


class _Wish:
    """Somebody waits for all that is kept to be mailed. `last`: over the hour's limit, too."""

    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.taken = False  # by the thread
        self.heard = threading.Event()


class Post:
    """The thread that mails what one process logged, while there is anything, and who waits for it.

    `stock` is what it logged, `deadline` how many seconds the end of the program may take.
    """

    def __init__(self, mailer: Mailer, *, limits: Limits, deadline: float) -> None:
        self._mailer = mailer
        self.stock = Stock(mailer, limits=limits)
        self._deadline = deadline
        self._wishes: SimpleQueue[_Wish] = SimpleQueue()
        self._running = False
        self._last: _Wish | None = None
        self._thread: Thread | None = None

    def keep(self, key: Hashable, kind: Kind) -> None:
        """Keep a record, the first of its kind, for a mail that will go soon."""
        with self.stock.lock:
            self.stock.keep(key, kind)
            ENDING.wait_for(self)
            self._has_thread()

    def flush(self, *, seconds: float, last: bool = False) -> None:
        """Mail what is kept, and wait for that so many seconds at most. `last`: the hour's limit is off."""
        if (wish := self._wished(last=last)) is not None:
            self._see_to(wish, seconds=seconds)

    def close(self, *, seconds: float) -> None:
        """The same, and tell what could not be mailed; whoever does not wait leaves that to the end."""
        self.flush(seconds=seconds, last=True)
        if seconds or ENDING.has_begun:
            self.stock.tell()

    def hurry(self) -> None:
        """The program ends: try once more."""
        self.stock.in_vain = False
        self._last = self._wished(last=True)

    def finish(self) -> None:
        """Wait for that until the deadline, and tell what could not be mailed."""
        if self._last is not None:
            self._see_to(self._last, seconds=self._deadline)
        leave = min(_LEAVE, ENDING.left(self._deadline + _LEAVE))
        if self._thread is not None and not self.stock.records:
            self._thread.join(leave)  # it says goodbye to the server
        self.stock.tell()

    def _wished(self, *, last: bool) -> _Wish | None:
        """A wish that the thread has, if there is one; None if there is nothing to do."""
        if self.stock.in_vain and (last or ENDING.has_begun):
            return None
        wish = _Wish(last=last)
        with self.stock.lock:
            if not self._running and not self.stock.records:
                return None
            wish.taken = self._has_thread()
            if wish.taken:
                self._wishes.put(wish)
        return wish

    def _see_to(self, wish: _Wish, *, seconds: float) -> None:
        seconds = min(seconds, ENDING.left(self._deadline))
        if not wish.taken:
            self._mail_here(wish, within=seconds)
        elif not wish.heard.wait(seconds):
            self.stock.in_vain = True
            if ENDING.has_begun:
                self._mailer.give_up()  # the end of its loop would wait for it
                wish.heard.wait(ENDING.left(self._deadline + _LEAVE))

    def _has_thread(self) -> bool:
        """Whether there is a thread; starts one. Not in an atexit handler, where none can be started."""
        if not self._running:
            self._running = True
            try:
                self._thread = started(self._run, name=THREAD)
            except RuntimeError:
                self._running = False
        return self._running

    def _run(self) -> None:
        SENDING.set(True)
        try:
            while (seconds := self._pause()) is not None:
                wish = None
                with contextlib.suppress(Empty):
                    wish = self._wishes.get(timeout=seconds) if seconds else self._wishes.get_nowait()
                self._mail(wish)
        except BaseException:  # a fault: the next record starts another thread
            self._running = False
            raise

    def _pause(self) -> float | None:
        """Seconds until there is something to do; None at the end of the thread."""
        with self.stock.lock:
            seconds = self.stock.due
            if seconds is None and self._wishes.empty():
                self._running = False
                if not self.stock.has_something_to_tell():
                    ENDING.let_go(self)
            return seconds or 0.0 if self._running else None

    def _mail(self, wish: _Wish | None) -> None:
        try:
            self.stock.mail(wanted=wish is not None, last=wish is not None and wish.last)
        finally:
            if wish is not None:
                wish.heard.set()
        self._mailer.rest()

    def _mail_here(self, wish: _Wish, *, within: float) -> None:
        token = SENDING.set(True)
        try:
            self.stock.mail(wanted=True, last=wish.last, within=within)
        finally:
            SENDING.reset(token)
        self._mailer.rest()
