"""`manage.py portmail check`: can this site's mail go out, and if not: why, and what to do?"""

from __future__ import annotations

import sys
from typing import Any, TextIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portmail.integrations.checking import check
from portmail.integrations.django.asynchronous import mailer
from portmail.integrations.django.backend import EmailBackend


class Command(BaseCommand):
    """The command. It exits with a code of sysexits(3)."""

    help = "check: say whether mail can go out, by which port, and if not: why, and what to do. Sends nothing"

    def add_arguments(self, parser: CommandParser) -> None:
        """What can be said on the command line."""
        parser.add_argument("action", choices=["check"])
        parser.add_argument("--using", metavar="ALIAS", help="the mailer in MAILERS; default: default")
        parser.add_argument("--login", action="store_true", help="log in, once, where the way is secure")

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
        self.stdout.ending = ""  # whole lines come
        if code := check(backend.submitter, login=options["login"], stream=cast("TextIO", self.stdout)):
            sys.exit(code)
