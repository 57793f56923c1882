"""Which exit code does a check have? One table, after sysexits(3)."""

from __future__ import annotations

from collections.abc import Mapping

from portmail.cli import exits
from portmail.report import Report
from portmail.situation import Situation

CODES: Mapping[Situation, int] = {
    Situation.LOGIN_REFUSED: exits.NOT_PERMITTED,
    Situation.LOGIN_FAILED: exits.TEMPORARY,
    Situation.NO_SECRET: exits.TEMPORARY,
    Situation.NO_MECHANISM: exits.NOT_PERMITTED,
    Situation.RESOLVER_DOWN: exits.TEMPORARY,
    Situation.BUSY: exits.TEMPORARY,
    Situation.NO_SUCH_HOST: exits.NO_HOST,
    Situation.WRONG_PORT: exits.CONFIGURATION,
    Situation.TLS_ON_PLAIN_PORT: exits.CONFIGURATION,
    Situation.PLAIN_ON_TLS_PORT: exits.CONFIGURATION,
    Situation.INTERCEPTED: exits.NOT_PERMITTED,
    Situation.PROXY: exits.NOT_PERMITTED,
    Situation.STRIPPED: exits.NOT_PERMITTED,
    Situation.NO_STARTTLS: exits.NOT_PERMITTED,
    Situation.CLEAR_AUTH: exits.NOT_PERMITTED,
    Situation.INJECTED: exits.NOT_PERMITTED,
    Situation.CERTIFICATE_EXPIRED: exits.NOT_PERMITTED,
    Situation.CERTIFICATE_NAME: exits.NOT_PERMITTED,
    Situation.CERTIFICATE_UNTRUSTED: exits.NOT_PERMITTED,
    Situation.CERTIFICATE_INVALID: exits.NOT_PERMITTED,
    Situation.CLIENT_CERTIFICATE: exits.NOT_PERMITTED,
    Situation.TLS_FAILED: exits.NOT_PERMITTED,
}
"""Exit codes of what keeps mail from going out; of everything else it is "unreachable"."""


def code_of(report: Report) -> int:
    """The exit code of sysexits(3)."""
    return exits.OK if report.can_send else CODES.get(report.diagnosis.situation, exits.UNAVAILABLE)
