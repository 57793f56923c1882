"""Why does a client believe the sandbox? A throw-away authority (the only door to trustme)."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

try:
    import trustme
except ImportError as missing:
    raise ImportError(
        'the sandbox makes its certificates with trustme: pip install "portmail[sandbox]"'
    ) from missing


class ServerTls(ssl.SSLObject):
    """The server's end of a TLS connection, which remembers the name the client asked for."""

    server_name: str | None = None


class Authority:
    """A certificate authority that nobody trusts, unless `ca_path` is added to the trust store.

    Two authorities have nothing in common: what one of them signs, clients of the other refuse.
    """

    def __init__(self, directory: Path) -> None:
        self.ca_path = directory / "ca.pem"
        self._ca = trustme.CA(organization_name="portmail sandbox")
        self._ca.cert_pem.write_to_path(str(self.ca_path))

    def server_context(
        self,
        *names: str,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> ssl.SSLContext:
        """Return a server's context with a fresh certificate for these host names and addresses.

        A `not_after` in the past makes an expired certificate, a `not_before` in the future one
        that is not valid yet. TLS 1.2 is the least it speaks (RFC 8997).
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslobject_class = ServerTls
        context.sni_callback = _remember
        leaf = self._ca.issue_cert(*names, not_before=not_before, not_after=not_after)
        leaf.configure_cert(context)
        return context


def _remember(tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    # The same context also works with SSLContext.wrap_socket, which makes no ServerTls.
    if isinstance(tls, ServerTls):
        tls.server_name = name
