"""How is a connection encrypted? The server's end of TLS as a machine: octets in, octets out.

No socket in here: so what a client sends behind STARTTLS cannot slip into the handshake, and the
socket stays one and the same for the thread that ends the connection.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from portmail.sandbox.certificates import ServerTls

_SIZE = 65536


class TlsEngine:
    """One TLS connection. After every call `drain()` is what has to be sent."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._inbound, self._outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._inbound, self._outbound, server_side=True)

    @property
    def version(self) -> str | None:
        """The protocol that was agreed on, such as `TLSv1.3`."""
        return self._tls.version()

    @property
    def server_name(self) -> str | None:
        """The name in the client's server_name extension (RFC 6066 section 3), if it sent one."""
        return self._tls.server_name if isinstance(self._tls, ServerTls) else None

    def feed(self, data: bytes) -> None:
        """Take what arrived; empty means that the client has gone."""
        if data:
            self._inbound.write(data)
        else:
            self._inbound.write_eof()

    def drain(self) -> bytes:
        """Give what has to be sent."""
        return self._outbound.read()

    def shake(self) -> bool:
        """Go on with the handshake; return whether it is done.

        Raises:
            ssl.SSLError: it failed; `drain()` holds the alert that says why.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes | None:
        """Give decrypted octets: empty at the end, None while a record is incomplete."""
        try:
            return self._tls.read(_SIZE)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError:  # close_notify, or an end without one
            return b""

    def write(self, data: bytes) -> None:
        """Encrypt octets."""
        self._tls.write(data)

    def finish(self) -> None:
        """Say that nothing more will come: close_notify."""
        with suppress(ssl.SSLError):  # "want read", since the client's own has not come yet
            self._tls.unwrap()
