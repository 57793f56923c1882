"""Who is being served right now? One daemon thread per connection, and an end for all of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from portmail.sandbox.wire import Wire

_PATIENCE = 5.0
"""Seconds a thread gets to notice that its connection was ended; it takes microseconds."""


class Visits:
    """The connections being served, each in a daemon thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Wire] = {}

    def receive(self, sock: socket.socket, *, serve: Callable[[Wire], None]) -> None:
        """Serve a connection that was accepted, and close it afterwards.

        `serve` may end with any OSError: that is how it learns that the client has gone.
        """
        wire = Wire(sock)
        thread = threading.Thread(target=self._run, args=(wire, serve), name="portmail-sandbox", daemon=True)
        with self._lock:
            self._running[thread] = wire
        thread.start()

    def end(self) -> None:
        """End every connection and wait for its thread. Nobody may `receive` any more."""
        with self._lock:
            running = dict(self._running)
        for wire in running.values():
            wire.interrupt()
        for thread in running:
            thread.join(_PATIENCE)

    def _run(self, wire: Wire, serve: Callable[[Wire], None]) -> None:
        try:
            with suppress(OSError):
                serve(wire)
        finally:
            wire.close()
            with self._lock:
                self._running.pop(threading.current_thread(), None)
