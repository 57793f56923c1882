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

# OpenSSL's X509_V_ERR_* numbers.
_BY_VERIFY_CODE = {
    9: Cause.CERTIFICATE_EXPIRED,  # not yet valid
    10: Cause.CERTIFICATE_EXPIRED,
    2: Cause.CERTIFICATE_UNTRUSTED,
    18: Cause.CERTIFICATE_UNTRUSTED,
    19: Cause.CERTIFICATE_UNTRUSTED,
    20: Cause.CERTIFICATE_UNTRUSTED,
    21: Cause.CERTIFICATE_UNTRUSTED,
    62: Cause.CERTIFICATE_NAME,
    64: Cause.CERTIFICATE_NAME,
}

# What OpenSSL says when plain text comes where a TLS record should, old and new.
_PLAIN_TEXT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


def verified_context(*, tls_ca: Path | None = None, client_cert: Path | None = None) -> ssl.SSLContext:
    """The context for every connection that must prove itself; there is no way to weaken it.

    `tls_ca` is a PEM file, or a directory of hashed ones, added to the system's trust store;
    `client_cert` a PEM file with certificate and key.

    A file that was replaced since is read again: certificates are renewed while programs run.

    Raises:
        CertificateFileError: a file is missing or cannot be read.
    """
    return _verified_context(
        tls_ca, client_cert, _state(tls_ca, what="tls_ca"), _state(client_cert, what="client_cert")
    )


@contextlib.contextmanager
def verifying(*, tls_ca: Path | None, client_cert: Path | None) -> Iterator[None]:
    """Make the first verified context of the process in a thread, while the block does something else.

    The thread has ended when the block has. What it raises is not told: whoever asks for the
    context meets it again.
    """

    def make() -> None:
        with contextlib.suppress(Exception):
            verified_context(tls_ca=tls_ca, client_cert=client_cert)

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
def _verified_context(tls_ca: Path | None, client_cert: Path | None, *_states: object) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8314 section 4.1
    context.hostname_checks_common_name = False  # RFC 9525 section 6.3
    if tls_ca is not None:
        _load(tls_ca, what="tls_ca", context=context)
    if client_cert is not None:
        try:
            # The empty password keeps OpenSSL from asking on the terminal for the key's.
            context.load_cert_chain(client_cert, password="")
        except (OSError, ValueError) as exc:
            raise CertificateFileError(f"client_cert: {client_cert}: {_why(exc)}") from None
    return context


@lru_cache(maxsize=1)  # a cache, as above
def unproven_context() -> ssl.SSLContext:
    """For a relay's opportunistic TLS alone (RFC 7435): better than clear text, and proof of nothing.

    A connection made with it is never a `SecureChannel`: that asks the context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
        return "no certificate could be read: give a PEM file"
    return f"{getattr(exc, 'strerror', None) or exc}: give the path of a PEM file"


def cause_of(error: BaseException) -> tuple[Cause, str] | None:
    """Why TLS failed and in whose words; None if TLS is not why."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _BY_VERIFY_CODE.get(error.verify_code, Cause.CERTIFICATE_INVALID)
        return cause, error.verify_message
    # Cut off: nothing that TLS itself complains of.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLWantReadError | ssl.SSLWantWriteError):
        return None
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        plain = any(word in reason for word in _PLAIN_TEXT)
        return (Cause.TLS_ON_PLAIN_PORT if plain else Cause.TLS_FAILED), reason.replace("_", " ").lower()
    return None
