"""What did the server show, and what is wrong with it? Certificates that were refused, in words."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from portmail.cause import Cause
from portmail.certificate import Certificate, most_telling, readable

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

_FEW = 3
"""Names of a certificate that are told; it may have thousands."""


class _Shown(NamedTuple):
    """What the server showed, proved by nothing: from its own certificate up, as far as it sent them."""

    host: str
    path: Sequence[Mapping[str, Any]]

    @property
    def issuers(self) -> list[str]:
        """Who issued it, who issued that, and so on."""
        found = [_quoted(certificate["issuer"]) for certificate in self.path]
        return list(dict.fromkeys(found))[:_FEW]


def told(error: ssl.SSLCertVerificationError, *, tls: ssl.SSLObject) -> str:
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
    return ", ".join(readable(name.strip()) for name in names[:_FEW]) + more


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
        dates = Certificate.of(certificate)
        if dates.not_after < now:
            return f"{whose} expired on {dates.not_after.date()}"
        if dates.not_before > now:
            return f"{whose} is not valid before {dates.not_before.date()}"
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


def _quoted(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    return f"'{most_telling(name)}'"


def _begun(message: str) -> str:
    """Behind a colon, in lower case unless it begins with an abbreviation."""
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def cause_of_refusal(verify_code: int, *, certificate: Certificate | None) -> Cause:
    """Why the certificate was refused, by OpenSSL's number, and by who issued it."""
    cause = _BY_VERIFY_CODE.get(verify_code, Cause.CERTIFICATE_INVALID)
    if cause is Cause.CERTIFICATE_UNTRUSTED and certificate is not None and certificate.interceptor:
        return Cause.CERTIFICATE_INTERCEPTED
    return cause


def certificate_of(tls: ssl.SSLObject) -> Certificate | None:
    """The server's own certificate as it was shown, verified or not; None where it cannot be read."""
    try:
        return Certificate.of(_chain(tls)[0])
    except Exception:  # noqa: BLE001  # strange certificates
        return None
