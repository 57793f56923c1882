"""`portmail check`: can mail go out, by which route, and if not: who blocks it, and what to do?"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from portmail.cli.report import in_json, tell

NAME = "check"
HELP = "find out whether mail can go out, by which port, and if not: who blocks it, and what to do"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="URL | ADDRESS | HOST",
        help="an account, your address, or a server; default: the account of PORTMAIL_URL. A password here "
        "can be read by other users of the machine: prefer PORTMAIL_PASSWORD",
    )
    parser.add_argument("--login", action="store_true", help="log in, once, where the way is open and secure")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="write what was said to servers there, without secrets"
    )


def run(options: argparse.Namespace) -> int:
    """Check, and tell. The exit code is 0 if mail can go out."""
    # The other commands pay nothing for this one.
    from portmail.cli.check_codes import code_of
    from portmail.cli.check_report import report_as_data, show
    from portmail.cli.stopping import without_a_message
    from portmail.cli.targets import submitter_for
    from portmail.cli.transcript import Transcript

    submitter = submitter_for(options.target, os.environ, login=options.login)
    with without_a_message(), submitter, Transcript(options.log) as transcript:
        report = submitter.check(login=options.login)
        transcript.add(report)
    code = code_of(report)
    if options.json:
        data = report_as_data(report, language=options.lang, code=code)
        tell(in_json(data))
    else:
        show(report, language=options.lang, stream=sys.stdout)
    return code
