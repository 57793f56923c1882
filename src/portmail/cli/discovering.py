"""`portmail discover`: where an address submits, and how that is known."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from portmail.cli.exits import OK
from portmail.cli.report import in_json, tell, tell_aside
from portmail.cli.stopping import without_a_message
from portmail.route import host_name
from portmail.submitter import Submitter

if TYPE_CHECKING:  # the other commands pay nothing for this one
    from portmail.candidate import Findings, Source

NAME = "discover"
HELP = "tell where an address submits, and how that is known; what is found is remembered"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument(
        "--approve",
        default=[],
        action="append",
        metavar="HOST",
        help="this host is the provider's: use it though nobody who could know says so; remembered",
    )
    parser.add_argument(
        "--also",
        default=[],
        action="append",
        type=_source,
        metavar="SOURCE",
        help="ask this source, too: pacc, guess; may be repeated",
    )
    parser.add_argument(
        "--without",
        default=[],
        action="append",
        type=_source,
        metavar="SOURCE",
        help="do not ask this source; may be repeated",
    )
    parser.add_argument("--resolver", metavar="IP", help="ask this DNS resolver for SRV, MX and TXT records")


def run(options: argparse.Namespace) -> int:
    """Look, tell, and remember."""
    from portmail.cli.findings import findings_as_data, lines
    from portmail.discovery.account import filled_in
    from portmail.search import USUAL, Discovery

    asked = (USUAL | set(options.also)) - set(options.without)
    approved = [host_name(host) for host in options.approve]
    wishes = partial(
        Submitter,
        options.address,
        discovery=Discovery(sources=asked, resolver=options.resolver),
        tls_ca=os.environ.get("PORTMAIL_CA") or None,
    )
    with without_a_message(), wishes(approve=approved) as submitter:
        findings = submitter.discover()
    if _remember(approved, findings):
        with wishes() as submitter:  # as every other program will see it
            findings = submitter.discover()
    form = findings.candidates[0].username
    username = None if form is None else filled_in(form, address=options.address)
    if options.json:
        data = findings_as_data(findings, address=options.address, username=username)
        tell(in_json(data))
        return OK
    tell(f"{options.address} submits at")
    for line in lines(findings, username=username):
        tell(line)
    return OK


def _source(text: str) -> Source:
    from portmail.candidate import Source

    try:
        return Source(text)
    except ValueError:
        known = ", ".join(source.value for source in Source)
        raise argparse.ArgumentTypeError(f"{text!r} is no source: choose from {known}") from None


def _remember(approved: Sequence[str], findings: Findings) -> bool:
    """Keep the approvals that matter, and say what is not kept. Returns whether any was."""
    from portmail.candidate import Trust
    from portmail.discovery.memory import memory

    needed = {it.route.host for it in findings.candidates if it.trust is not Trust.OWNER}
    kept = False
    for host in approved:
        if host not in needed:
            tell_aside(
                f"portmail: {host} needed no approval, or nobody names it: nothing is remembered of it"
            )
        elif memory().approve(findings.domain, host):
            kept = True
        else:
            tell_aside(
                f"portmail: the approval of {host} counts this time only: there is no store to keep it in"
            )
    return kept
