"""Which exit code does an error have? One table, after sysexits(3)."""

from __future__ import annotations

from portmail import errors
from portmail.failure import Phase

OK = 0
USAGE = 64
DATA = 65
RECIPIENTS = 67
NO_HOST = 68
UNAVAILABLE = 69
SOFTWARE = 70
TEMPORARY = 75
IN_DOUBT = 76
NOT_PERMITTED = 77
CONFIGURATION = 78
INTERRUPTED = 130


class UsageError(errors.ConfigurationError):
    """What the command line says cannot be done like that."""


class Busy(errors.ConfigurationError):
    """Another program is at it."""


# The first that fits counts: special before general.
_CODES: tuple[tuple[type[errors.PortmailError], int], ...] = (
    (errors.InDoubt, IN_DOUBT),
    (errors.Unreachable, UNAVAILABLE),
    (errors.InsecureChannel, NOT_PERMITTED),
    (errors.AuthenticationFailed, NOT_PERMITTED),
    (errors.Rejected, DATA),
    (errors.HeldBack, DATA),
    (errors.InternalError, SOFTWARE),
    (errors.DeliveryError, UNAVAILABLE),
    (errors.AddressError, DATA),
    (errors.ApprovalRequired, NOT_PERMITTED),
    (errors.DiscoveryIncomplete, TEMPORARY),
    (errors.DiscoveryError, NO_HOST),
    (UsageError, USAGE),
    (Busy, TEMPORARY),
    (errors.ConfigurationError, CONFIGURATION),
)


def exit_code(error: errors.PortmailError) -> int:
    """The exit code for an error."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), SOFTWARE)
    if not isinstance(error, errors.DeliveryError):
        return code
    if error.temporary and code != UNAVAILABLE:
        return TEMPORARY
    last = error.attempts[-1].phase if error.attempts else None
    return RECIPIENTS if code == DATA and last is Phase.RCPT else code
