"""How is portmail used from the shell? One module a command; exit codes of sysexits(3)."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from portmail import __version__
from portmail.cli import bulk, checking, demo, discovering, initializing, sandboxing, sending
from portmail.cli.exits import INTERRUPTED, SOFTWARE, USAGE, exit_code
from portmail.cli.report import print_error, readable, tell, tell_aside
from portmail.cli.sendmail import command as sendmail
from portmail.errors import PortmailError
from portmail.language import Language, language_named, language_of

EPILOG = (
    "exit codes: 0 done, 64 usage, 65 bad address or message, or message refused, 67 recipients refused "
    "(maybe not all: see --json), 68 no server named or found, 69 unreachable, 75 try again later, "
    "76 in doubt, 77 login or security, 78 configuration"
)

COMMANDS = (demo, sending, bulk, sendmail, checking, discovering, initializing, sandboxing)
"""Each has NAME, HELP, `arguments(parser)` and `run(options)`, which returns the exit code."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong and how it goes, with the exit code of sysexits(3)."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. No exception leaves, whatever happens."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        options = _options(sys.argv[1:] if argv is None else argv, called=sys.argv[0] if argv is None else "")
    except SystemExit as told:  # argparse has said what there is to say
        return int(told.code or 0)
    if not options.json:
        options.lang = readable(options.lang, on=sys.stdout)
    try:
        return int(options.run(options))
    except PortmailError as error:
        print_error(error, as_json=options.json, language=options.lang)
        for note in getattr(error, "__notes__", ()):
            tell_aside(note)
        return int(options.code(error))
    except KeyboardInterrupt as stopped:
        notes = getattr(stopped, "__notes__", ["portmail: stopped"])
        tell("\n".join(notes), to=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # a person gets a sentence, never a traceback
        tell(f"portmail: this should not happen: {type(error).__name__}: {error}", to=sys.stderr)
        return SOFTWARE


def _options(argv: Sequence[str], *, called: str) -> argparse.Namespace:
    given = [*sendmail.called_as(called), *argv]
    if given[:1] == [sendmail.NAME]:  # its flags are none that argparse could read
        return argparse.Namespace(
            json=False,
            lang=language_of(os.environ),
            arguments=given[1:],
            run=sendmail.run,
            code=sendmail.code,
        )
    return _parser().parse_args(given)


def _language(text: str) -> Language:
    try:
        return language_named(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="portmail", description="Gets a mail out through the right port.")
    parser.add_argument("--version", action="version", version=f"portmail {__version__}")
    parser.epilog = EPILOG
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP, epilog=EPILOG)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument(
            "--lang",
            type=_language,
            default=language_of(os.environ),
            metavar="LANGUAGE",
            help="en or ja; default: that of the locale",
        )
        command.arguments(sub)
        sub.set_defaults(run=command.run, code=exit_code)
    return parser
