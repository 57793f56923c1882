"""How is portmail used from the shell? `portmail demo`, `portmail send`; exit codes of sysexits(3)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from portmail import __version__
from portmail.cli import demo, sending
from portmail.cli.exits import INTERRUPTED, OK, SOFTWARE, USAGE, exit_code
from portmail.cli.report import print_error
from portmail.errors import PortmailError

EPILOG = (
    "exit codes: 0 done, 64 usage, 65 bad address or message, or message refused, 67 recipients refused "
    "(maybe not all: see --json), 68 no server named, 69 unreachable, 75 try again later, 76 in doubt, "
    "77 login or security, 78 configuration"
)

COMMANDS = (demo, sending)
"""Each has NAME, HELP, `arguments(parser)` and `run(options)`, which returns the exit code."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong and how it goes, with the exit code of sysexits(3)."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. No exception leaves, whatever happens."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as told:  # argparse has said what there is to say
        return int(told.code or 0)
    try:
        return _flushed(int(options.run(options)))
    except BrokenPipeError:  # nobody reads what is printed, which comes last
        return _flushed(OK)
    except PortmailError as error:
        print_error(error, as_json=options.json)
        return _flushed(exit_code(error))
    except KeyboardInterrupt as stopped:
        notes = getattr(stopped, "__notes__", ["portmail: stopped"])
        print("\n".join(notes), file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # a person gets a sentence, never a traceback
        print(f"portmail: this should not happen: {type(error).__name__}: {error}", file=sys.stderr)
        return SOFTWARE


def _flushed(code: int) -> int:
    """The exit code, also where nobody reads what is printed: a mail that is sent is sent."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="portmail", description="Gets a mail out through the right port.")
    parser.add_argument("--version", action="version", version=f"portmail {__version__}")
    parser.epilog = EPILOG
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP, epilog=EPILOG)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        command.arguments(sub)
        sub.set_defaults(run=command.run)
    return parser
