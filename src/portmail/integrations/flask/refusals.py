"""What does a program written for Flask-Mail catch? Our errors, which are smtplib's and Flask-Mail's too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portmail import errors
from portmail.integrations import smtplib_errors
from portmail.integrations.smtplib_errors import as_smtplib


class BadHeaderError(smtplib_errors.HeaderError):
    """A header that would become another header. Nothing was connected."""


class NoRecipients(smtplib_errors.NoRecipients, AssertionError):
    """The message is for nobody. Nothing was connected."""


class NoSender(smtplib_errors.AddressError, AssertionError):
    """The message is from nobody. Nothing was connected."""


def as_flask_mail(error: errors.PortmailError, *, sender: str = "") -> errors.PortmailError:
    """The same error, which handlers written for Flask-Mail know too."""
    if not isinstance(error, errors.HeaderError) or isinstance(error, BadHeaderError):
        return as_smtplib(error, sender=sender)
    told = BadHeaderError(str(error))
    told.__cause__, told.__traceback__ = error.__cause__, error.__traceback__
    return told


@contextmanager
def translated(*, sender: str = "") -> Iterator[None]:
    """Have errors be those that handlers written for Flask-Mail know."""
    try:
        yield
    except errors.PortmailError as error:
        failed = as_flask_mail(error, sender=sender)
    else:
        return
    raise failed from failed.__cause__
