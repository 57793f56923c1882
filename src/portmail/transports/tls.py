"""How is TLS set up, and why did it fail? Contexts, built once, and the reading of TLS errors."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from portmail.cause import Cause
from portmail.errors import CertificateFileError

if TYPE_CHECKING:
    from pathlib import Path

    from portmail.certificate import Certificate

# What OpenSSL says when plain text comes where a TLS record should, old and new.
_PLAIN_TEXT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")

_OLD = "the server speaks no TLS that is new enough: 1.2 is the least"

# OpenSSL's reasons that tell a person nothing.
_REASONS = {
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD,
    "UNSUPPORTED_PROTOCOL": _OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "no cipher in common, or the server wants a client certificate",
    "EXCESSIVE_MESSAGE_SIZE": "the server's certificate is larger than can be read",
}

# Alerts with which a server refuses the client's certificate, or that there is none (RFC 8446 section 6.2).
_OURS = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
)


def verified_context(
    *, tls_ca: Path | None = None, client_cert: Path | None = None, client_key: Path | None = None
) -> ssl.SSLContext:
    """The context for every connection that must prove itself; there is no way to weaken it.

    Certificates must be as RFC 5280 has them, on every Python as on 3.13 and newer.
    `tls_ca` is a PEM file, or a directory of hashed ones, added to the system's trust store;
    `client_cert` a PEM file with certificate and key, if that is not in a file of its own, `client_key`.

    A file that was replaced since is read again: certificates are renewed while programs run.

    Raises:
        CertificateFileError: a file is missing or cannot be read.
    """
    files = {"tls_ca": tls_ca, "client_cert": client_cert, "client_key": client_key}
    states = [_state(path, what=what) for what, path in files.items()]
    return _verified_context(tls_ca, client_cert, client_key, *states)


@contextlib.contextmanager
def verifying(
    *, tls_ca: Path | None, client_cert: Path | None, client_key: Path | None = None
) -> Iterator[None]:
    """Make the first verified context of the process in a thread, while the block does something else.

    The thread has ended when the block has. What it raises is not told: whoever asks for the
    context meets it again.
    """

    def make() -> None:
        with contextlib.suppress(Exception):
            verified_context(tls_ca=tls_ca, client_cert=client_cert, client_key=client_key)

    thread = threading.Thread(target=make, name="portmail-tls", daemon=True)
    # Later ones are made in the time that a thread takes to start, or nothing is left to be done beside.
    with contextlib.suppress(RuntimeError):  # the interpreter is going down and starts no thread
        if not _verified_context.cache_info().currsize:
            thread.start()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()


def _state(path: Path | None, *, what: str) -> tuple[int, int] | None:
    """What changes when a file is replaced."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except (OSError, ValueError) as exc:
        raise CertificateFileError(f"{what}: {path}: {_why(exc)}") from None
    return stat.st_mtime_ns, stat.st_ino


@lru_cache(maxsize=32)  # a cache: loading the system's trust store takes tens of milliseconds
def _verified_context(
    tls_ca: Path | None, client_cert: Path | None, client_key: Path | None, *_states: object
) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8314 section 4.1
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.hostname_checks_common_name = False  # RFC 9525 section 6.3
    # What Python 3.13 sets by itself, on every Python: one certificate, one answer.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.sslobject_class = _Handshake
    if tls_ca is not None:
        _load(tls_ca, what="tls_ca", context=context)
    if client_cert is not None:
        try:
            # The empty password keeps OpenSSL from asking on the terminal for the key's.
            context.load_cert_chain(client_cert, client_key, password="")
        except (OSError, ValueError) as exc:
            files = client_cert if client_key is None else f"{client_cert} with {client_key}"
            raise CertificateFileError(f"client_cert: {files}: {_why(exc)}") from None
    return context


@lru_cache(maxsize=1)  # a cache, as above
def unproven_context() -> ssl.SSLContext:
    """For a relay's opportunistic TLS alone (RFC 7435): better than clear text, and proof of nothing.

    A connection made with it is never a `SecureChannel`: that asks the context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _load(path: Path, *, what: str, context: ssl.SSLContext) -> None:
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as exc:
        raise CertificateFileError(f"{what}: {path}: {_why(exc)}") from None


def _why(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        if exc.reason == "KEY_VALUES_MISMATCH":
            return "the key is another certificate's: give the one that belongs to it"
        return "no certificate could be read: give a PEM file"
    return f"{getattr(exc, 'strerror', None) or exc}: give the path of a PEM file"


class CertificateRefused(ssl.SSLCertVerificationError):  # turned into a Failure by `cause_of`
    """The server's certificate was refused; `.told` says what was wrong with it, as far as is known.

    `.certificate` is what it was, where that can be read.
    """

    told: str = ""
    certificate: Certificate | None = None


class _Handshake(ssl.SSLObject):
    """Our end of a TLS connection, which looks at what was refused while it is still there."""

    def do_handshake(self) -> None:
        """Shake hands.

        Raises:
            CertificateRefused: the server's certificate, or one above it, is not what it must be.
        """
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as exc:
            refused = CertificateRefused(*exc.args)
            refused.verify_code, refused.verify_message = exc.verify_code, exc.verify_message
            from portmail.transports import shown  # certificates are good, most often

            refused.told, refused.certificate = shown.told(exc, tls=self), shown.certificate_of(self)
            raise refused from None


def cause_of(error: BaseException) -> tuple[Cause, str] | None:
    """Why TLS failed and in whose words; None if TLS is not why."""
    if isinstance(error, ssl.SSLCertVerificationError):
        from portmail.transports.shown import cause_of_refusal

        certificate = error.certificate if isinstance(error, CertificateRefused) else None
        cause = cause_of_refusal(error.verify_code, certificate=certificate)
        return cause, (error.told if isinstance(error, CertificateRefused) else "") or error.verify_message
    # Cut off: nothing that TLS itself complains of.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLWantReadError | ssl.SSLWantWriteError):
        return None
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        words = _REASONS.get(reason) or reason.replace("_", " ").lower()
        if reason in _OURS:
            return Cause.CLIENT_CERTIFICATE, words
        plain = any(word in reason for word in _PLAIN_TEXT)
        return (Cause.TLS_ON_PLAIN_PORT if plain else Cause.TLS_FAILED), words
    return None
