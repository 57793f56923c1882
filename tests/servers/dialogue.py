"""What would a server say? A player that plays SMTP dialogues given as text.

    with play('''
        S: 220 mail.example.com ESMTP
        C: EHLO *
        S: 250-mail.example.com
        S: 250 STARTTLS
        C: STARTTLS
        RAW "220 go ahead\\r\\n250 injected\\r\\n"
        SILENCE
    ''') as player:
        ...
        player.check()

All directives are described in `tests.servers.stage`.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Self

from portmail.sandbox.listeners import Listener
from portmail.sandbox.visits import Visits
from portmail.sandbox.wire import Wire
from tests.servers.stage import Script, Stage, Visit, parsed

_PATIENCE = 0.2
"""Seconds `check()` gives a connection to end that the client may have left this moment."""


class Player:
    """Plays the scripts, one per connection in the order of their coming; the last one repeats."""

    def __init__(self, scripts: Sequence[Script], *, tls: ssl.SSLContext | None, host: str) -> None:
        self._scripts, self._tls, self._host = scripts, tls, host
        self._seen: list[Visit] = []
        self._stopped = threading.Event()
        self._visits = Visits()

    def __enter__(self) -> Self:
        self._listener = Listener(self._host, 0, accept=self._accept)
        self._listener.open()
        self.port = self._listener.port
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.stop()
        self._stopped.set()
        self._visits.end()

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return len(self._seen)

    @property
    def transcripts(self) -> list[list[str]]:
        """What was said, as `C: ...` and `S: ...` lines, per connection."""
        return [list(visit.transcript) for visit in self._seen]

    @property
    def plaintext(self) -> bytes:
        """Everything that clients sent in clear."""
        return b"".join(bytes(visit.plaintext) for visit in self._seen)

    @property
    def received(self) -> bytes:
        """Everything that clients sent, decrypted."""
        return b"".join(bytes(visit.received) for visit in self._seen)

    @property
    def arrivals(self) -> list[bytes]:
        """What clients sent, decrypted, in the pieces in which it arrived."""
        return [octets for visit in self._seen for octets in visit.arrivals]

    @property
    def bodies(self) -> list[bytes]:
        """Contents and chunks as they travelled, without the final dot; dots are still stuffed."""
        return [body for visit in self._seen for body in visit.bodies]

    def check(self) -> None:
        """Raise AssertionError unless every connection followed its script as far as it went.

        A connection that is still open is judged by what it did so far.
        """
        deadline = time.monotonic() + _PATIENCE
        for number, visit in enumerate(self._seen, 1):
            visit.ended.wait(max(0.0, deadline - time.monotonic()))
            if visit.mismatch:
                raise AssertionError(f"connection {number} did not follow its script:\n{visit.mismatch}")

    def _accept(self, sock: socket.socket) -> None:
        script = self._scripts[min(len(self._seen), len(self._scripts) - 1)]
        self._seen.append(visit := Visit())
        self._visits.receive(sock, serve=partial(self._play, visit=visit, script=script))

    def _play(self, wire: Wire, *, visit: Visit, script: Script) -> None:
        Stage(wire, visit=visit, tls=self._tls, stopped=self._stopped).play(script)


def play(
    text_or_texts: str | Sequence[str], *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Player:
    """Return a player of the scripts, for a `with` statement.

    Raises:
        ValueError: a line that is no directive, or TLS without a context.
    """
    texts = [text_or_texts] if isinstance(text_or_texts, str) else text_or_texts
    scripts = [parsed(text) for text in texts]
    if tls is None and any(step[0] == "TLS" for script in scripts for step in script):
        raise ValueError("a script with TLS needs a context: play(..., tls=context)")
    return Player(scripts, tls=tls, host=host)
