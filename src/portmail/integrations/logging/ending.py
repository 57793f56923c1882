"""What must still be done when a program ends, and by when? One end for all, however many they are."""

from __future__ import annotations

import atexit
import math
import os
import sys
import time
import weakref
from abc import abstractmethod
from typing import Protocol


class Holder(Protocol):
    """Whatever has something that would be lost."""

    @abstractmethod
    def hurry(self) -> None:
        """The program ends: begin to bring it to safety. Waits for nothing."""

    @abstractmethod
    def finish(self) -> None:
        """Wait for that, as long as there is time left, and tell what is lost."""


class Ending:
    """The end of this process, and who is waited for then. Holders live on, whoever forgets them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A child of this process was born: what the parent holds is the parent's."""
        self._holders: dict[Holder, None] = {}
        self._began: float | None = None
        self._heeded = False

    @property
    def has_begun(self) -> bool:
        """Whether the program ends."""
        return self._began is not None

    def left(self, seconds: float) -> float:
        """What is left of so many seconds that began with the end; for ever, while the program goes on."""
        return math.inf if self._began is None else max(0.0, self._began + seconds - time.monotonic())

    def wait_for(self, holder: Holder) -> None:
        """It holds something from now on."""
        self._holders[holder] = None
        if not self._heeded:
            self._heeded = True
            self._heed_multiprocessing()

    def let_go(self, holder: Holder) -> None:
        """It holds nothing any more."""
        self._holders.pop(holder, None)

    def begin(self) -> None:
        """The program ends: all hurry at the same time."""
        if self._began is None:
            self._began = time.monotonic()
        holders = tuple(self._holders)
        for holder in holders:
            holder.hurry()
        for holder in holders:
            holder.finish()

    def _heed_multiprocessing(self) -> None:
        """Its children call no exit handlers of their parent."""
        process, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self.begin, exitpriority=0)


ENDING = Ending()
"""This process's."""

# Exit handlers are called last one first: what has a finalizer, as submitters have, goes after this one.
weakref.finalize(ENDING, bool)
atexit.register(ENDING.begin)

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=ENDING.forget)
