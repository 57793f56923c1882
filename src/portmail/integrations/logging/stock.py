"""What becomes of the records of a process? They are kept, mailed, kept again, or lost, which is told."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Hashable
from typing import Any

from portmail.errors import InDoubt
from portmail.integrations.logging.digest import DOUBTFUL, UNSENT, Digest, Gathering, Kind, Limits
from portmail.integrations.logging.ending import ENDING
from portmail.integrations.logging.mailer import Mailer

_LAST_WORDS = {UNSENT: ("was not mailed", "were not mailed"), DOUBTFUL: ("may have been mailed, or not",) * 2}
"""What is said of one record that no mail tells of, and of several."""


class Stock:
    """What one process logged. `lock` is never held while anything waits.

    Attributes:
        lock: held by whatever changes it; whoever has it may take it again.
        in_vain: whether nothing is new since a mail failed.
    """

    def __init__(self, mailer: Mailer, *, limits: Limits) -> None:
        self.lock = _reentrant_lock()
        self.in_vain = False
        self._mailer = mailer
        self._gathering = Gathering(limits)
        self._under_way: Digest | None = None
        self._counted: Counter[str] = Counter()  # what was told of records that no mail tells of
        self._told: set[str] = set()

    @property
    def records(self) -> int:
        """How many are kept."""
        return self._gathering.records

    @property
    def due(self) -> float | None:
        """In how many seconds a mail may go; None where there is nothing to mail."""
        return self._gathering.due(now=time.monotonic())

    def count(self, key: Hashable, *, created: float) -> bool:
        """Count a record that needs no words. Returns whether it did."""
        with self.lock:
            self.in_vain = False
            return self._gathering.count(key, created=created)

    def keep(self, key: Hashable, kind: Kind) -> None:
        """Keep a record, the first of its kind."""
        with self.lock:
            self.in_vain = False
            self._gathering.keep(key, kind=kind, now=time.monotonic())

    def mail(self, *, wanted: bool = False, last: bool = False, within: float | None = None) -> None:
        """Mail what is kept, if it is time; with `wanted` and `last` as `Gathering.take` has them."""
        with self.lock:
            self._under_way = digest = self._gathering.take(now=time.monotonic(), wanted=wanted, last=last)
        if digest is not None:
            try:
                self._hand_over(digest, within=within)
            finally:
                self._under_way = None

    def has_something_to_tell(self) -> bool:
        """Whether there is a record of which no mail has told."""
        return self._gathering.unmailed.total() > 0

    def tell(self) -> None:
        """Say of how many records no mail has told. Of each that is said once."""
        with self.lock:
            if ENDING.has_begun and self._under_way is not None:  # it does not even end
                self._gathering.lost(self._under_way, now=time.monotonic(), how=DOUBTFUL)
                self._under_way = None
            unmailed = self._gathering.unmailed
            new, self._counted = unmailed - self._counted, unmailed
        for how, count in new.items():
            one, several = _LAST_WORDS[how]
            tell(f"1 log record {one}" if count == 1 else f"{count:,} log records {several}")

    def _hand_over(self, digest: Digest, *, within: float | None) -> None:
        try:
            receipt = self._mailer.send(digest, within=within)
        except BaseException as exc:
            with self.lock:
                self._failed(digest, exc)
            if not isinstance(exc, Exception):  # Ctrl-C
                raise
        else:
            with self.lock:
                self._gathering.went(now=time.monotonic())
                self._counted &= self._gathering.unmailed
            for address, reply in receipt.refused.items():
                self._tell_once(f"log records are not mailed to {address}: {reply}", about=address)

    def _failed(self, digest: Digest, error: BaseException) -> None:
        now = time.monotonic()
        if isinstance(error, InDoubt) or not isinstance(error, Exception):
            self._gathering.lost(digest, now=now, how=DOUBTFUL)
        elif getattr(error, "temporary", False):
            self.in_vain = True
            self._gathering.again(digest, now=now, after=getattr(error, "retry_after", None))
        else:
            self._gathering.lost(digest, now=now, how=UNSENT)
            self._tell_once(f"log records cannot be mailed: {str(error) or repr(error)}", about="all")

    def _tell_once(self, text: str, *, about: str) -> None:
        if about not in self._told:
            self._told.add(about)
            tell(" ".join(text.split()))


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
