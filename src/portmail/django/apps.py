"""The application by its short name: "portmail.django" among INSTALLED_APPS."""

from portmail.integrations.django.apps import PortmailConfig

__all__ = ["PortmailConfig"]
