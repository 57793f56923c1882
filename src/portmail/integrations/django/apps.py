"""What does a site get with portmail among its INSTALLED_APPS? System checks, and `manage.py portmail`."""

from django.apps import AppConfig
from django.core.checks import register


class PortmailConfig(AppConfig):
    """The application. It has no models."""

    name = "portmail.integrations.django"
    label = "portmail"
    verbose_name = "portmail"

    def ready(self) -> None:
        """Register the checks."""
        from portmail.integrations.django.checks import check_deployment, check_settings

        register(check_settings, "mail")  # Tags.mail is there from Django 6.1
        register(check_deployment, "mail", deploy=True)
