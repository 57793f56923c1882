"""`manage.py portmail check`: can this site's mail go out?"""

from __future__ import annotations

import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portmail.integrations.django.asynchronous import mailer
from portmail.integrations.django.backend import EmailBackend
from portmail.integrations.probing import probe


class Command(BaseCommand):
    """The command. It exits with a code of sysexits(3)."""

    help = "check: say where mail is submitted, open a connection, log in, send nothing"

    def add_arguments(self, parser: CommandParser) -> None:
        """What can be said on the command line."""
        parser.add_argument("action", choices=["check"])
        parser.add_argument("--using", metavar="ALIAS", help="the mailer in MAILERS; default: default")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look, and tell."""
        try:
            backend = mailer(options["using"])
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        if not isinstance(backend, EmailBackend):
            raise CommandError(
                f"this mailer is {type(backend).__module__}.{type(backend).__name__}, not portmail's"
            )
        if code := probe(backend.submitter, write=self.stdout.write):
            sys.exit(code)
