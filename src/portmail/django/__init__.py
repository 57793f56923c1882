"""The short name of `portmail.integrations.django`, for settings: `portmail.django.EmailBackend`."""

from portmail.integrations.django import (
    EmailBackend,
    asend_mail,
    post_send,
    pre_send,
    receipt,
    send_failed,
)

__all__ = ["EmailBackend", "asend_mail", "post_send", "pre_send", "receipt", "send_failed"]
