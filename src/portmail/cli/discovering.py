"""`portmail discover`: where an address submits, and how that is known."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial

from portmail.candidate import Findings, Source, Trust
from portmail.cli.exits import OK
from portmail.cli.findings import findings_as_data, lines
from portmail.cli.report import tell, tell_aside
from portmail.discovery.account import filled_in
from portmail.discovery.memory import memory
from portmail.route import host_name
from portmail.search import USUAL, Discovery
from portmail.submitter import Submitter

NAME = "discover"
HELP = "tell where an address submits, and how that is known; what is found is remembered"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    sources = [source.value for source in Source]
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
        choices=sources,
        help="ask this source, too: pacc, guess; may be repeated",
    )
    parser.add_argument(
        "--without",
        default=[],
        action="append",
        choices=sources,
        help="do not ask this source; may be repeated",
    )
    parser.add_argument("--resolver", metavar="IP", help="ask this DNS resolver for SRV, MX and TXT records")


def run(options: argparse.Namespace) -> int:
    """Look, tell, and remember."""
    asked = (USUAL | {Source(it) for it in options.also}) - {Source(it) for it in options.without}
    approved = [host_name(host) for host in options.approve]
    wishes = partial(
        Submitter,
        options.address,
        discovery=Discovery(sources=asked, resolver=options.resolver),
        tls_ca=os.environ.get("PORTMAIL_CA") or None,
    )
    with wishes(approve=approved) as submitter:
        findings = submitter.discover()
    if _remember(approved, findings):
        with wishes() as submitter:  # as every other program will see it
            findings = submitter.discover()
    form = findings.candidates[0].username
    username = None if form is None else filled_in(form, address=options.address)
    if options.json:
        data = findings_as_data(findings, address=options.address, username=username)
        tell(json.dumps(data, ensure_ascii=False))
        return OK
    tell(f"{options.address} submits at")
    for line in lines(findings, username=username):
        tell(line)
    return OK


def _remember(approved: Sequence[str], findings: Findings) -> bool:
    """Keep the approvals that matter, and say what is not kept. Returns whether any was."""
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
