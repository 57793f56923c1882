"""How does a Flask application mail? As with Flask-Mail, whose public names are all here: change the import.

    from portmail.integrations.flask import Mail, Message

    mail = Mail(app)
    mail.send(Message("Hello", recipients=["ann@example.org"], body="It works.\n"))

Settings are read from `app.config` by `init_app`:

| setting | meaning |
|---|---|
| PORTMAIL_URL | the account; PORTMAIL_USERNAME, _PASSWORD, _PASSWORD_FILE, _FROM and _CA add to it |
| MAIL_SERVER, MAIL_PORT | the server in Flask-Mail's words, where there is no PORTMAIL_URL |
| MAIL_USE_TLS, MAIL_USE_SSL | STARTTLS, implicit TLS; with a password TLS is used without them, too. |
| MAIL_USERNAME, MAIL_PASSWORD | the login, at MAIL_SERVER only; the password may be a callable, too |
| MAIL_DEFAULT_SENDER | the sender of messages without one: an address, or (name, address) |
| MAIL_SUPPRESS_SEND | check, signal and record messages, but send none; `app.testing` unless it is set |
| MAIL_TIMEOUT | seconds for each wait |
| MAIL_CA | a PEM file of a CA trusted besides the system's |
| PORTMAIL_OPTIONS | a dict of more arguments of `Submitter`: token, password, pool_size, retry, ... |
| MAIL_ASCII_ATTACHMENTS | write file names in ASCII |
| MAIL_DEBUG | show what is said to the server on standard error, without secrets |
| MAIL_MAX_EMAILS | accepted, and not needed: where a server takes no more, the next connection is opened |

PORTMAIL_ variables of the process's environment say what `app.config` does not, unless each has a
PORTMAIL_URL of its own: then `app.config` alone counts, as it does where it has a MAIL_SERVER (PORTMAIL_CA
counts always). A password file that is written again is read again. An application that says nothing
anywhere hands its mail to port 25 of this machine, as with Flask-Mail.

A flag that asks for TLS is refused beside a PORTMAIL_URL, or options, by which mail may go without.

What is different from Flask-Mail: TLS is verified, and credentials are never shown without it; one
connection serves many messages, requests and threads; `send` returns a receipt; what cannot travel
is refused rather than mended; errors are portmail's, which are smtplib's as well.
"""

from portmail.integrations.flask.attachment import Attachment
from portmail.integrations.flask.connection import Connection
from portmail.integrations.flask.mail import Mail
from portmail.integrations.flask.many import Result
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.refusals import BadHeaderError, NoRecipients, NoSender
from portmail.integrations.flask.signals import email_dispatched, email_failed, signals
from portmail.integrations.flask.state import State
from portmail.integrations.flask.texts import (
    FlaskMailUnicodeDecodeError,
    force_text,
    sanitize_address,
    sanitize_addresses,
    sanitize_subject,
)

__all__ = [
    "Attachment",
    "BadHeaderError",
    "Connection",
    "FlaskMailUnicodeDecodeError",
    "Mail",
    "Message",
    "NoRecipients",
    "NoSender",
    "Result",
    "State",
    "email_dispatched",
    "email_failed",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
    "signals",
]
