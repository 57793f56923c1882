"""`portmail send-many`: every message of a directory or an mbox, once, with a journal to go on from."""

from __future__ import annotations

import argparse
import os
from collections import ChainMap
from contextlib import ExitStack
from typing import Any

from portmail.cli.journal import Journal
from portmail.cli.mailboxes import open_source
from portmail.cli.running import Run
from portmail.submitter import Submitter

NAME = "send-many"
HELP = "send every message of a directory or an mbox; can be stopped and resumed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument(
        "source",
        metavar="MBOX_OR_DIRECTORY",
        help="an mbox file, a Maildir, or a directory of files that end in .eml; "
        "To, Cc and Bcc of each message say who gets it",
    )
    parser.add_argument(
        "--resume",
        metavar="FILE",
        help="a journal of what became of each message: the same command again goes on where it ended. "
        "What is in doubt is never sent again: look whether it arrived; if not, take its lines out of FILE",
    )
    parser.add_argument(
        "--from", dest="sender", metavar="ADDRESS", help="for messages without From; default: PORTMAIL_FROM"
    )
    parser.add_argument("--url", help="the account, as for `portmail send`; default: PORTMAIL_URL")
    parser.add_argument("--connections", type=_count, metavar="N", help="how many at once, at most")


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")


def run(options: argparse.Namespace) -> int:
    """Send them, and tell. The exit code is that of the worst thing that happened, see `outcomes.ORDER`."""
    source = open_source(options.source)
    submitter = _submitter(options)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(options.resume, source=source)) if options.resume else None
        stack.enter_context(submitter)  # it ends before the journal does
        run = Run(source, submitter, journal=journal, as_json=options.json, language=options.lang)
        return run.through()


def _submitter(options: argparse.Namespace) -> Submitter:
    wishes: dict[str, Any] = {"sender": options.sender, "pool_size": options.connections}
    given = {name: value for name, value in wishes.items() if value is not None}
    return Submitter.from_env(
        ChainMap({"PORTMAIL_URL": options.url} if options.url else {}, os.environ), **given
    )
