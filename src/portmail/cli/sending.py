"""`portmail send`: one message, its text from standard input, the account from PORTMAIL_URL."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from portmail.cli.exits import OK, RECIPIENTS
from portmail.cli.report import print_receipt
from portmail.errors import ContentError
from portmail.scripting import send

NAME = "send"
HELP = "send a message; its text is read from standard input"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    again = "may be given more than once"
    parser.add_argument("--to", required=True, action="append", metavar="ADDRESS", help=again)
    parser.add_argument("--cc", default=[], action="append", metavar="ADDRESS", help=again)
    parser.add_argument("--bcc", default=[], action="append", metavar="ADDRESS", help=again)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="default: PORTMAIL_FROM")
    parser.add_argument("--html", metavar="FILE", help="an HTML version of the text")
    parser.add_argument("--attach", default=[], action="append", metavar="FILE", help=again)
    parser.add_argument(
        "--url",
        help="the account, such as submission://me@mail.example.com; default: PORTMAIL_URL. "
        "A password here can be read by other users of the machine: prefer PORTMAIL_PASSWORD_FILE",
    )
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for the whole submission")


def run(options: argparse.Namespace) -> int:
    """Send it. Recipients refused of several: told, and an exit code of their own."""
    receipt = send(
        to=options.to,
        cc=options.cc,
        bcc=options.bcc,
        subject=options.subject,
        text=_standard_input(),
        html=_read(options.html) if options.html else None,
        sender=options.sender,
        attachments=options.attach,
        url=options.url,
        timeouts=options.timeout,
    )
    print_receipt(receipt, as_json=options.json)
    return RECIPIENTS if receipt.refused else OK


def _standard_input() -> str:
    try:
        return _text(sys.stdin.buffer.read()) if sys.stdin else ""  # a daemon may have none
    except OSError as exc:
        raise ContentError(f"standard input cannot be read: {exc.strerror}") from None


def _read(path: str) -> str:
    try:
        return _text(Path(path).read_bytes())
    except OSError as exc:
        raise ContentError(f"{path} cannot be read: {exc.strerror}") from None


def _text(octets: bytes) -> str:
    """Text is UTF-8; what is not was most likely written in Latin-1, where every octet is a letter."""
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
