"""Does a port answer? One TCP port that is open, closed, or blocked, and keeps its number."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_BACKLOG = 128
_MOST_FILLERS = 16
"""Connections until the queue of `listen(0)` is full: one on Linux, a few elsewhere."""

_SILENCE = 0.05
"""Seconds without an answer that prove a block: loopback answers within microseconds."""


class Listener:
    """One TCP port. It begins closed: bound, so that nobody else gets the number, but refusing."""

    def __init__(self, host: str, port: int, *, accept: Callable[[socket.socket], None]) -> None:
        self._accept = accept
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family, self._address = info[0], info[4]
        self._fillers: list[socket.socket] = []
        self._thread: threading.Thread | None = None
        self._waker: socket.socket | None = None
        self._socket = self._bound()
        self._address = self._socket.getsockname()

    @property
    def port(self) -> int:
        """The number that it really has."""
        return int(self._address[1])

    def open(self) -> None:
        """Accept connections from now on."""
        self.refuse()
        self._socket.listen(_BACKLOG)
        self._socket.settimeout(0)
        self._waker, sleeper = socket.socketpair()
        self._thread = threading.Thread(
            target=self._serve, args=(self._socket, sleeper), name="portmail-listener", daemon=True
        )
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections from now on: the kernel answers with RST where nobody listens."""
        if self._thread is not None or self._fillers:
            # A listening socket cannot be told to stop, so another one takes its place.
            self.stop()
            self._socket = self._bound()

    def block(self) -> None:
        """Drop SYNs silently from now on, as a firewall does.

        Nobody accepts, and our own connections fill the queue; Linux then leaves a SYN unanswered.

        Raises:
            RuntimeError: this kernel answers all the same.
        """
        self.refuse()
        self._socket.listen(0)
        answer: int | None = 0
        while answer == 0 and len(self._fillers) < _MOST_FILLERS:
            self._fillers.append(filler := socket.socket(self._family, socket.SOCK_STREAM))
            answer = _answer(filler, self._address)
        if answer is not None:
            self.refuse()
            raise RuntimeError("this kernel answers although the port's queue is full: it cannot be blocked")

    def stop(self) -> None:
        """Give the port up: no thread and no socket is left."""
        if self._thread is not None and self._waker is not None:
            self._waker.close()
            self._thread.join()
            self._thread = self._waker = None
        for sock in (*self._fillers, self._socket):
            sock.close()
        self._fillers.clear()

    def _bound(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        # The number must be free again at once, although connections made there live on.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(self._address)
        except OSError:
            sock.close()
            raise
        return sock

    def _serve(self, listener: socket.socket, sleeper: socket.socket) -> None:
        with sleeper, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(sleeper, selectors.EVENT_READ)
            while all(key.fileobj is not sleeper for key, _ in selector.select()):
                # The client may have left between the two calls.
                with suppress(BlockingIOError, ConnectionError):
                    sock, _ = listener.accept()
                    sock.settimeout(None)
                    self._accept(sock)


def _answer(filler: socket.socket, address: object) -> int | None:
    """What a connection attempt gets: 0 if accepted, an errno if refused, None if silence."""
    filler.settimeout(0)
    filler.connect_ex(address)  # type: ignore[arg-type]
    with selectors.DefaultSelector() as selector:
        selector.register(filler, selectors.EVENT_WRITE)
        if not selector.select(_SILENCE):
            return None
    return filler.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
