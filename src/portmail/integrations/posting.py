"""Who mails what was logged, and what if that fails? A thread of the process, while there is anything."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time

# The C class itself: its `put` may interrupt itself (signals, finalizers), and gevent leaves it as it is.
from _queue import Empty, SimpleQueue
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any

from portmail.errors import InDoubt
from portmail.integrations.digest import DOUBTFUL, UNSENT, Digest, Gathering, Kind, Limits
from portmail.integrations.mailer import Mailer
from portmail.offloading import Thread, started

THREAD = "portmail-log"

SENDING: ContextVar[bool] = ContextVar("portmail_log_sending", default=False)
"""Whether this is done for a mail of log records: what is logged here would be one more."""

_LEAVE = 1.0
"""Seconds that a mail which is given up may take to end."""


class _Wish:
    """Somebody waits for all that is kept to be mailed."""

    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.heard = threading.Event()


class Post:
    """What one process logged, and the thread that mails it. Its lock is never held while anything waits."""

    def __init__(self, mailer: Mailer, *, limits: Limits) -> None:
        self._mailer = mailer
        self._gathering = Gathering(limits)
        self._lock = _reentrant_lock()
        self._wishes: SimpleQueue[_Wish] = SimpleQueue()
        self._running = self._told = self._over = False
        self._in_vain = False  # nothing is new since a mail failed
        self._under_way = 0
        self._end: float | None = None
        self._thread: Thread | None = None

    @property
    def records(self) -> int:
        """How many are not mailed yet."""
        return self._gathering.records + self._under_way

    def count(self, key: Hashable, *, created: float) -> bool:
        """Count a record that needs no words. Returns whether it did."""
        with self._lock:
            self._in_vain = False
            return self._gathering.count(key, created=created)

    def keep(self, key: Hashable, kind: Kind) -> None:
        """Keep a record, the first of its kind, for a mail that will go soon."""
        with self._lock:
            self._in_vain = False
            self._gathering.keep(key, kind=kind, now=time.monotonic())
            self._has_thread()

    def end(self, *, seconds: float) -> None:
        """The program ends: mail what is kept, in so many seconds at most, with later calls of `flush`."""
        if self._end is None:
            self._end = time.monotonic() + seconds
            self._in_vain = False
        self.flush(seconds=seconds, last=True)
        if self._thread is not None and not self._gathering.records:
            self._thread.join(_LEAVE)  # it says goodbye to the server

    def flush(self, *, seconds: float, last: bool = False) -> None:
        """Mail what is kept, and wait for that so many seconds at most. `last`: the hour's limit is off."""
        if self._end is not None and (seconds := self._end - time.monotonic()) <= 0:
            return
        if self._in_vain and last:
            return
        wish = _Wish(last=last)
        with self._lock:
            if not self._running and not self._gathering.records:
                return
            if there := self._has_thread():
                self._wishes.put(wish)
        if not there:
            self._mail_here(wish, within=seconds)
        elif not wish.heard.wait(seconds):
            self._in_vain = True
            if self._end is not None:
                self._over = True  # no other mail is begun
                self._mailer.give_up()  # the end of its loop would wait for it
                wish.heard.wait(_LEAVE)

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
        with self._lock:
            seconds = self._gathering.due(now=time.monotonic())
            if seconds is None and self._wishes.empty():
                self._running = False
            return seconds or 0.0 if self._running else None

    def _mail(self, wish: _Wish | None, *, within: float | None = None) -> None:
        wanted = wish is not None
        with self._lock:
            now, last = time.monotonic(), wish is not None and wish.last
            digest = None if self._over else self._gathering.take(now=now, wanted=wanted, last=last)
            self._under_way = digest.records if digest else 0
        try:
            if digest is not None:
                self._hand_over(digest, within=within)
        finally:
            self._under_way = 0
            if wish is not None:
                wish.heard.set()
        if digest is not None:
            self._mailer.rest()

    def _mail_here(self, wish: _Wish, *, within: float) -> None:
        token = SENDING.set(True)
        try:
            self._mail(wish, within=within)
        finally:
            SENDING.reset(token)

    def _hand_over(self, digest: Digest, *, within: float | None) -> None:
        try:
            self._mailer.send(digest, within=within)
        except BaseException as exc:
            with self._lock:
                self._failed(digest, exc)
            if not isinstance(exc, Exception):  # Ctrl-C
                raise
        else:
            with self._lock:
                self._gathering.went(now=time.monotonic())

    def _failed(self, digest: Digest, error: BaseException) -> None:
        now = time.monotonic()
        if isinstance(error, InDoubt) or not isinstance(error, Exception):
            self._gathering.lost(digest, now=now, how=DOUBTFUL)
        elif isinstance(error, TimeoutError) or getattr(error, "temporary", False):
            self._in_vain = True
            self._gathering.again(digest, now=now, after=getattr(error, "retry_after", None))
        else:
            self._gathering.lost(digest, now=now, how=UNSENT)
            if not self._told:
                self._told = True
                tell(f"log records cannot be mailed: {' '.join(str(error).split()) or repr(error)}")


def tell(text: str) -> None:
    """Say it where `logging` says what is wrong with logging, under the same condition."""
    if logging.raiseExceptions and sys.stderr:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"portmail: {text}\n")


def _reentrant_lock() -> Any:
    """A lock of the operating system's threads, which a signal handler or finalizer may take again.

    Greenlets share their thread's: none is interrupted while it holds it.
    """
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return monkey.get_original("_thread", "RLock")()
    return threading.RLock()
