"""A Django site in one file. What changes is its mailer; `send_mail` and all the rest stays.

export PORTMAIL_URL=submission://me:secret@mail.example.com
python django_settings.py portmail check
python django_settings.py ann@example.org
"""

import os
import sys

import django
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.management import execute_from_command_line

import portmail.django

MAILERS = {
    "default": {
        "BACKEND": "portmail.django.EmailBackend",
        "OPTIONS": {"url": os.environ["PORTMAIL_URL"]},
    },
}
BEFORE_6_1 = {
    "EMAIL_BACKEND": "portmail.django.EmailBackend",
    "PORTMAIL": {"url": os.environ["PORTMAIL_URL"]},  # or EMAIL_HOST and so on, as they are
}

settings.configure(
    INSTALLED_APPS=["portmail.django"],  # for the checks and the command; mail goes without it, too
    DEFAULT_FROM_EMAIL="Example <hello@example.com>",
    SERVER_EMAIL="root@example.com",
    **({"MAILERS": MAILERS} if django.VERSION >= (6, 1) else BEFORE_6_1),
)
django.setup()


def welcome(*addresses: str) -> None:
    message = EmailMessage("Welcome", "It is good to have you here.", to=list(addresses))
    message.send()
    if receipt := portmail.django.receipt(message):  # there is none in the site's tests
        print(f"accepted for {', '.join(receipt.accepted)} through {receipt.route}")
        for address, reply in receipt.refused.items():
            print(f"not for {address}: {reply}")


if __name__ == "__main__":
    if "@" in sys.argv[1]:
        welcome(*sys.argv[1:])
    else:
        execute_from_command_line(sys.argv)
