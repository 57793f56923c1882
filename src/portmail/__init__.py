"""portmail gets a mail out through the right port, and never shows a password to an unencrypted line."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; its home, typing, costs more than all the rest here
if TYPE_CHECKING:
    from portmail.bulk import Result
    from portmail.candidate import (
        Answer,
        Candidate,
        Evidence,
        Findings,
        Login,
        Rejection,
        Source,
        Trust,
    )
    from portmail.cause import Cause
    from portmail.certificate import Certificate
    from portmail.composing import compose
    from portmail.content import AnyMessage, Enveloped
    from portmail.diagnosis import Diagnosis
    from portmail.errors import (
        AddressError,
        ApprovalRequired,
        AuthenticationFailed,
        CertificateFileError,
        ConfigurationError,
        ContentError,
        CredentialsOnRelay,
        CredentialsUnavailable,
        CredentialsUnusable,
        DeliveryError,
        DiscoveryError,
        DiscoveryIncomplete,
        ExtensionMissing,
        HeaderError,
        HeldBack,
        InDoubt,
        InsecureChannel,
        InternalError,
        InvalidRoute,
        InvalidURL,
        MessageTooLarge,
        NoMechanism,
        NoRecipients,
        PortmailError,
        Rejected,
        TokenRequired,
        UnescapedURL,
        UnknownScheme,
        Unreachable,
        UsernameRequired,
    )
    from portmail.failure import Failure, Phase
    from portmail.language import Language
    from portmail.receipt import Attempt, Connected, Receipt
    from portmail.reply import Reply
    from portmail.report import Probe, Report
    from portmail.retry import Retry
    from portmail.route import Route
    from portmail.scripting import send
    from portmail.sealing import Sealed, sealed, unsealed
    from portmail.search import Discovery, Validation
    from portmail.security import Security, TlsEvidence
    from portmail.settings import Account, Wishes
    from portmail.situation import Blocker, Situation
    from portmail.submitter import AsyncSubmitter, Submitter
    from portmail.timeouts import Timeouts
    from portmail.verdict import Verdict

# Where each public name lives. Loaded when first used (PEP 562): a script that only catches an
# error, or prints the version, pays for nothing else.
_HOMES = {
    "bulk": ("Result",),
    "candidate": ("Answer", "Candidate", "Evidence", "Findings", "Login", "Rejection", "Source", "Trust"),
    "cause": ("Cause",),
    "certificate": ("Certificate",),
    "composing": ("compose",),
    "content": ("AnyMessage", "Enveloped"),
    "diagnosis": ("Diagnosis",),
    "errors": (
        "AddressError",
        "ApprovalRequired",
        "AuthenticationFailed",
        "CertificateFileError",
        "ConfigurationError",
        "ContentError",
        "CredentialsOnRelay",
        "CredentialsUnavailable",
        "CredentialsUnusable",
        "DeliveryError",
        "DiscoveryError",
        "DiscoveryIncomplete",
        "ExtensionMissing",
        "HeaderError",
        "HeldBack",
        "InDoubt",
        "InsecureChannel",
        "InternalError",
        "InvalidRoute",
        "InvalidURL",
        "MessageTooLarge",
        "NoMechanism",
        "NoRecipients",
        "PortmailError",
        "Rejected",
        "TokenRequired",
        "UnescapedURL",
        "UnknownScheme",
        "Unreachable",
        "UsernameRequired",
    ),
    "failure": ("Failure", "Phase"),
    "language": ("Language",),
    "receipt": ("Attempt", "Connected", "Receipt"),
    "reply": ("Reply",),
    "report": ("Probe", "Report"),
    "retry": ("Retry",),
    "route": ("Route",),
    "scripting": ("send",),
    "sealing": ("Sealed", "sealed", "unsealed"),
    "search": ("Discovery", "Validation"),
    "security": ("Security", "TlsEvidence"),
    "settings": ("Account", "Wishes"),
    "situation": ("Blocker", "Situation"),
    "submitter": ("AsyncSubmitter", "Submitter"),
    "timeouts": ("Timeouts",),
    "verdict": ("Verdict",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Account",
    "AddressError",
    "Answer",
    "AnyMessage",
    "ApprovalRequired",
    "AsyncSubmitter",
    "Attempt",
    "AuthenticationFailed",
    "Blocker",
    "Candidate",
    "Cause",
    "Certificate",
    "CertificateFileError",
    "ConfigurationError",
    "Connected",
    "ContentError",
    "CredentialsOnRelay",
    "CredentialsUnavailable",
    "CredentialsUnusable",
    "DeliveryError",
    "Diagnosis",
    "Discovery",
    "DiscoveryError",
    "DiscoveryIncomplete",
    "Enveloped",
    "Evidence",
    "ExtensionMissing",
    "Failure",
    "Findings",
    "HeaderError",
    "HeldBack",
    "InDoubt",
    "InsecureChannel",
    "InternalError",
    "InvalidRoute",
    "InvalidURL",
    "Language",
    "Login",
    "MessageTooLarge",
    "NoMechanism",
    "NoRecipients",
    "Phase",
    "PortmailError",
    "Probe",
    "Receipt",
    "Rejected",
    "Rejection",
    "Reply",
    "Report",
    "Result",
    "Retry",
    "Route",
    "Sealed",
    "Security",
    "Situation",
    "Source",
    "Submitter",
    "Timeouts",
    "TlsEvidence",
    "TokenRequired",
    "Trust",
    "UnescapedURL",
    "UnknownScheme",
    "Unreachable",
    "UsernameRequired",
    "Validation",
    "Verdict",
    "Wishes",
    "__version__",
    "compose",
    "sealed",
    "send",
    "unsealed",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
