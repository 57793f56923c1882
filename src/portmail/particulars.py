"""Why is a way closed, and who shows himself in the server's place? In half a sentence."""

from __future__ import annotations

from datetime import datetime

from portmail.cause import FACTS, Cause
from portmail.certificate import Certificate
from portmail.failure import Failure
from portmail.identity import NOBODY, name_told
from portmail.phrase import Phrase, quoted

VALID, ISSUED = "it is valid from {start} to {end}", "issued by {issuer}"
FOR, NAMELESS = "it is for {names}", "it is for no name that counts"
"""What a certificate says that decides."""

_SHOWN = (Cause.CERTIFICATE_EXPIRED, Cause.CERTIFICATE_NAME, Cause.CERTIFICATE_UNTRUSTED)

_OF_TLS = (Cause.CERTIFICATE_INVALID, Cause.NO_PROOF, Cause.TLS_FAILED)

_IN_DETAIL = (*_SHOWN, *_OF_TLS, Cause.NOT_SMTP, Cause.NO_MECHANISM, Cause.NO_SECRET)
"""Causes whose detail is half a sentence of its own."""


def why(failure: Failure | None) -> Phrase:
    """Why a way is closed, in half a sentence."""
    if failure is None:
        return quoted("")
    return quoted(str(failure.reply)) if failure.reply else Phrase(FACTS[failure.cause].words)


def particulars(failure: Failure | None, *, now: datetime) -> Phrase:
    """The same, where it is said already what kind of failure it is."""
    if failure is None or failure.reply is not None or failure.cause not in _IN_DETAIL:
        return why(failure)
    if failure.certificate is not None and failure.cause in _SHOWN:
        its, expired = failure.certificate, failure.cause is Cause.CERTIFICATE_EXPIRED
        if not (expired and failure.detail and its.not_before <= now <= its.not_after):  # not its issuer's
            return _shown(failure.cause, certificate=its)
    return quoted(failure.detail) if failure.detail else why(failure)


def _shown(cause: Cause, *, certificate: Certificate) -> Phrase:
    if cause is Cause.CERTIFICATE_EXPIRED:
        start, end = str(certificate.not_before.date()), str(certificate.not_after.date())
        return Phrase(VALID, {"start": start, "end": end})
    if cause is Cause.CERTIFICATE_UNTRUSTED:
        return Phrase(ISSUED, {"issuer": certificate.issuer or NOBODY})
    return Phrase(FOR, {"names": ", ".join(certificate.names[:3])}) if certificate.names else Phrase(NAMELESS)


def impostor(failure: Failure | None) -> str:
    """Who shows himself in the server's place."""
    certificate = failure.certificate if failure else None
    if certificate is not None:
        return certificate.interceptor or certificate.issuer or NOBODY
    return name_told(failure.detail) if failure else NOBODY
