"""How does a dialogue reach its client? Replies out, held back while commands are pipelined in."""

from __future__ import annotations

import ssl

from portmail.sandbox.inbox import ClientGone, Inbox
from portmail.sandbox.records import Record
from portmail.sandbox.wire import NotTls, Wire


class Connection:
    """One client: its `inbox`, the replies to it, and the `record` of what it did.

    Replies are held back while there is input to be read, so that the answers to pipelined
    commands travel together (RFC 2920 section 3.2).
    """

    def __init__(self, wire: Wire, *, record: Record) -> None:
        self.record = record
        self.inbox = Inbox(self._more)
        self._wire = wire
        self._replies: list[str] = []

    @property
    def pipelined(self) -> bool:
        """Whether the client has already sent more than was asked for."""
        self.inbox.feed(self._noted(self._wire.receive_ready()))
        return len(self.inbox) > 0

    def reply(self, text: str) -> None:
        """Answer with a reply code and its text, which may have several lines."""
        code, lines = text[:3], text[4:].split("\n")
        self._replies += [f"{code}-{line}\r\n" for line in lines[:-1]]
        self._replies.append(f"{code} {lines[-1]}\r\n")

    def flush(self) -> None:
        """Send the replies that were held back."""
        data = "".join(self._replies).encode()
        self._replies.clear()
        self._wire.send(data)

    def secure(self, context: ssl.SSLContext) -> None:
        """Go on in TLS.

        Raises:
            OSError: the handshake failed, or what the client sent was none.
        """
        self._before_waiting()
        try:
            tls = self._wire.secure(context)
        except NotTls as mistake:
            self._noted(mistake.octets)
            raise
        self.record.tls, self.record.tls_server_name = tls.version, tls.server_name

    def abort(self) -> ClientGone:
        """End the connection with RST; replies that were held back are lost. Raise what it returns."""
        self._wire.abort()
        return ClientGone("the connection was lost, as ordered")

    def _more(self) -> bytes:
        data = self._wire.receive_ready()
        if not data:
            self._before_waiting()
            data = self._wire.receive()
        return self._noted(data)

    def _before_waiting(self) -> None:
        if self._replies:
            # Counted first: who sees the reply also sees the count.
            self.record.round_trips += 1
            self.flush()

    def _noted(self, data: bytes) -> bytes:
        if self.record.tls is None:
            self.record.plaintext += data
        return data
