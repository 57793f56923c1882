"""How is TLS set up, and why did it fail? Contexts, built once, and the reading of TLS errors."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

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

# Those of what RFC 5280 asks for and some private authorities leave out.
_STRICT = range(76, 94)

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

_FEW = 3
"""Names of a certificate that are told; it may have thousands."""

_LONGEST = 80
"""Characters of a certificate's text that are told: whoever made it can have written anything there."""


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
    """The server's certificate was refused; `.told` says what was wrong with it, as far as is known."""

    told: str = ""


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
            refused.told = _told(exc, tls=self)
            raise refused from None


class _Shown(NamedTuple):
    """What the server showed, proved by nothing: from its own certificate up, as far as it sent them."""

    host: str
    path: Sequence[Mapping[str, Any]]

    @property
    def issuers(self) -> list[str]:
        """Who issued it, who issued that, and so on."""
        found = [_quoted(certificate["issuer"]) for certificate in self.path]
        return list(dict.fromkeys(found))[:_FEW]


def _told(error: ssl.SSLCertVerificationError, *, tls: ssl.SSLObject) -> str:
    """What is wrong, by what the server showed; nothing where that cannot be read."""
    code, message = error.verify_code, error.verify_message
    try:
        shown = _Shown(tls.server_hostname or "", _path(_chain(tls)))
        if code in _EXPLAINED:
            return _EXPLAINED[code](shown) or message
        # Which certificate of the chain it is, Python does not say.
        against = ", against RFC 5280" if code in _STRICT else ""
        return f"{_begun(message)}{against}, issued by {' under '.join(shown.issuers)}"
    except Exception:  # noqa: BLE001  # strange certificates: OpenSSL's own words must do
        return ""


def _chain(tls: ssl.SSLObject) -> list[dict[str, Any]]:
    """Read what the server sent, its own certificate first.

    Python has no public way to it once verification failed; where this one is missing it raises.
    """
    return [certificate.get_info() for certificate in vars(tls)["_sslobj"].get_unverified_chain()]


def _path(chain: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """From the server's certificate from issuer to issuer, as far as they are there."""
    path, rest = [chain[0]], list(chain[1:])
    while above := next((one for one in rest if one["subject"] == path[-1]["issuer"]), None):
        rest.remove(above)
        path.append(above)
    return path


def _misnamed(shown: _Shown) -> str:
    if ("DNS", shown.host) in shown.path[0].get("subjectAltName", ()):
        return f"it has {shown.host} as a host name, and not as an address"
    return f"it is for {_names(shown)}, not for {shown.host}"


def _names(shown: _Shown) -> str:
    own = shown.path[0]
    names = [name for kind, name in own.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        return f"no name that counts (its subject is {_quoted(own['subject'])})"
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(_safe(name.strip()) for name in names[:_FEW]) + more


def _untrusted(shown: _Shown) -> str:
    top = shown.path[-1]
    issuer = _quoted(top["issuer"])
    if top["subject"] != top["issuer"]:
        return f"issued by {issuer}, which is neither trusted nor sent along by the server"
    if len(shown.path) == 1:
        return f"issued by itself, {issuer}, which is not trusted"
    return f"issued by {issuer}, which is not trusted"


def _outdated(shown: _Shown) -> str:
    now = datetime.now(UTC)
    for place, certificate in enumerate(shown.path):
        whose = f"that of its issuer {_quoted(certificate['subject'])}" if place else "it"
        if (end := _date(certificate["notAfter"])) < now:
            return f"{whose} expired on {end.date()}"
        if (start := _date(certificate["notBefore"])) > now:
            return f"{whose} is not valid before {start.date()}"
    return ""


def _outside(shown: _Shown) -> str:
    return f"it is for {_names(shown)}, and an issuer above it may not issue for that"


_EXPLAINED: Mapping[int, Callable[[_Shown], str]] = {
    **{code: _untrusted for code, cause in _BY_VERIFY_CODE.items() if cause is Cause.CERTIFICATE_UNTRUSTED},
    **{code: _outdated for code, cause in _BY_VERIFY_CODE.items() if cause is Cause.CERTIFICATE_EXPIRED},
    **{code: _misnamed for code, cause in _BY_VERIFY_CODE.items() if cause is Cause.CERTIFICATE_NAME},
    47: _outside,
    48: _outside,
}


def _date(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _quoted(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A person's or an authority's name, by the part of it that says most."""
    parts = {kind: text for group in name for kind, text in group}
    said = [
        parts[kind] for kind in ("commonName", "organizationName", "organizationalUnitName") if kind in parts
    ]
    return f"'{_safe(next(iter(said or parts.values()), ''))}'"


def _begun(message: str) -> str:
    """Behind a colon, in lower case unless it begins with an abbreviation."""
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _safe(text: str) -> str:
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(char if char.isprintable() and char != "'" else "?" for char in short)


def cause_of(error: BaseException) -> tuple[Cause, str] | None:
    """Why TLS failed and in whose words; None if TLS is not why."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _BY_VERIFY_CODE.get(error.verify_code, Cause.CERTIFICATE_INVALID)
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
