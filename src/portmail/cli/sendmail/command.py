"""`portmail sendmail`: what programs that know sendmail(1) write, through an account of portmail's."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from portmail.cli.exits import OK, RECIPIENTS, TEMPORARY, UsageError, exit_code
from portmail.cli.report import print_receipt, tell, tell_aside
from portmail.cli.sendmail.flags import USAGE, Invocation, Mode, parse, table
from portmail.errors import ContentError, PortmailError

# Every command imports this module; what is for messages is imported where they are sent.
if TYPE_CHECKING:
    from portmail.cli.sendmail.desk import Desk
    from portmail.receipt import Receipt

NAME = "sendmail"
HELP = "take a message from standard input, with the flags of sendmail(1)"

_CALLED = {"sendmail": (NAME,), "mailq": (NAME, "-bp"), "newaliases": (NAME, "-bi")}
"""Names under which the program may be installed, and what each begins the command line with."""

_HELP = f"""{USAGE}

Reads a message from standard input and submits it. When the program is installed under the name
sendmail, mailq or newaliases, `portmail sendmail` is what it does.

{table()}

The account is read from /etc/portmail/sendmail.env (or from the file that PORTMAIL_SENDMAIL_CONFIG
names), lines like NAME=VALUE; or from the environment, if that has a PORTMAIL_URL:
  PORTMAIL_URL, PORTMAIL_USERNAME, PORTMAIL_PASSWORD, PORTMAIL_PASSWORD_FILE, PORTMAIL_CA
  PORTMAIL_FROM        the sender in place of local names, such as the root of cron
  PORTMAIL_MAILDOMAIN  the domain of names without one
  PORTMAIL_ALIASES     a file with lines like `root: ops@example.org`; `*:` is for all other names

That file and those it names belong to root or to the user who sends, and nobody else may write them;
where a password is, others may read at most through a group: chmod 0640.

There is no queue: the exit code tells what became of the message. 0: accepted. 75: not sent, try
again later. 76: in doubt, look whether it arrived. 67: recipients refused, maybe not all. Other
codes: not sent, and why is told on standard error.

With -bs the reply to the final dot comes when the message was submitted, one for all recipients: 250
says that it was accepted for one at least. Those refused are named in that reply and on standard
error, and the exit code is then 67. 451: not sent, try again later. 554: not sent, or in doubt.
"""


def called_as(program: str) -> Sequence[str]:
    """What the name under which the program was started adds to the command line."""
    path = PurePath(program)
    return _CALLED.get(path.stem if path.suffix == ".exe" else path.name, ())


def arguments(_parser: argparse.ArgumentParser) -> None:
    """There is nothing that argparse could read; see `flags.py`."""


def run(options: argparse.Namespace) -> int:
    """Do what the flags ask for, and return a code of sysexits(3)."""
    asked = parse(options.arguments)
    return _WAYS[asked.mode](asked)


def code(error: PortmailError) -> int:
    """After 75, and no other code, callers try again: an unreachable server is 75 here, too."""
    return TEMPORARY if error.temporary else exit_code(error)


def _send(asked: Invocation) -> int:
    from portmail.cli.sendmail.message import Draft, message_in

    if not (asked.recipients or asked.from_header):
        raise UsageError(f"nobody to send to: name recipients, or take those of the header with -t.\n{USAGE}")
    if sys.stdin is None:
        raise ContentError("there is no standard input to read the message from")
    draft = Draft.of(message_in(sys.stdin.buffer, dots_are_text=asked.dots_are_text))
    with _desk() as desk:
        receipt = desk.submit(draft, asked)
    return _told(receipt, verbose=asked.verbose)


def _told(receipt: Receipt, *, verbose: bool) -> int:
    if verbose:
        print_receipt(receipt, as_json=False)
    else:
        for recipient, reply in receipt.refused.items():
            tell_aside(f"portmail: refused: {recipient}: {reply}")
    return RECIPIENTS if receipt.refused else OK


def _speak_smtp(asked: Invocation) -> int:
    from portmail.cli.sendmail.smtp import serve

    if sys.stdin is None or sys.stdout is None:
        raise ContentError("-bs speaks SMTP on standard input and output, and there are none")
    with _desk() as desk:
        return serve(sys.stdin.buffer, sys.stdout.buffer, desk=desk, asked=asked)


def _verify(asked: Invocation) -> int:
    with _desk() as desk:
        for text in asked.recipients:
            tell(f"{text}: {', '.join(desk.names.recipients(text))}")
    return OK


def _list_queue(_asked: Invocation) -> int:
    tell("Mail queue is empty")
    return OK


def _help(_asked: Invocation) -> int:
    tell(_HELP)
    return OK


def _desk() -> Desk:
    from portmail.cli.sendmail.config import Configuration
    from portmail.cli.sendmail.desk import Desk

    return Desk(Configuration.read(os.environ))


_WAYS = {
    Mode.SEND: _send,
    Mode.SMTP: _speak_smtp,
    Mode.VERIFY: _verify,
    Mode.LIST: _list_queue,
    Mode.NOTHING: lambda _asked: OK,
    Mode.HELP: _help,
}
