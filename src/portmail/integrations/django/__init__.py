"""How does a Django site send by portmail? One line in its settings.

    MAILERS = {"default": {"BACKEND": "portmail.django.EmailBackend", "OPTIONS": {"url": "submission://…"}}}

or, before Django 6.1, `EMAIL_BACKEND = "portmail.django.EmailBackend"` beside the EMAIL_ settings
that are there already, or `PORTMAIL = {"url": …}`. With "portmail.django" among INSTALLED_APPS
there are system checks and `manage.py portmail check`, too.
"""

from portmail.integrations.django.asynchronous import asend_mail
from portmail.integrations.django.backend import EmailBackend
from portmail.integrations.django.outgoing import receipt
from portmail.integrations.django.signals import post_send, pre_send, send_failed

__all__ = ["EmailBackend", "asend_mail", "post_send", "pre_send", "receipt", "send_failed"]
