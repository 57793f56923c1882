"""How are errors mailed? `MailHandler`, for `logging` and its configurations: digests, in the background."""

from portmail.integrations.logging.handler import MailHandler

__all__ = ["MailHandler"]
