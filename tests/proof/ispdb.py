"""Does every server of a published database come out as it is written there?

    python -m tests.proof.ispdb DIRECTORY

DIRECTORY has files of autoconfig's format, as *.xml: such as https://github.com/thunderbird/autoconfig.
They are read a second time by regular expressions, which share nothing with portmail's parser. Each
465/SSL and 587/STARTTLS server found so must be a candidate with its mode and user name, and nothing
listed without TLS or on port 25 may be one, but for its host on 465 and 587 with TLS. The exit code is
0 only if all of that holds for all of the files.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import NamedTuple

from portmail import Security
from portmail.candidate import FULL_ADDRESS, Candidate, Source, Trust
from portmail.discovery.client_config import offers, read
from portmail.discovery.outside import Missed

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_OUTGOING = re.compile(r"<outgoingServer\s+type=[\"']smtp[\"']\s*>(.*?)</outgoingServer>", re.DOTALL)
_FIELD = re.compile(r"<(hostname|port|socketType|username)>\s*(.*?)\s*</\1>", re.DOTALL)
_DOMAIN = re.compile(r"<domain>\s*(.*?)\s*</domain>", re.DOTALL)

_MUST = {("465", "SSL"): Security.IMPLICIT_TLS, ("587", "STARTTLS"): Security.STARTTLS}
_HINTED = {(465, Security.IMPLICIT_TLS), (587, Security.STARTTLS)}


class Written(NamedTuple):
    """An outgoing server as a person reads it in the file."""

    host: str
    port: str
    socket: str
    username: str

    @property
    def without_tls(self) -> bool:
        """Whether it must not be a candidate."""
        return self.socket == "plain" or self.port == "25"


@dataclass(slots=True)
class Count:
    """What there was, and what was wrong with it."""

    numbers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Read the directory, and print the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.ispdb", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("directory", type=Path)
    files = sorted(parser.parse_args().directory.glob("*.xml"))
    count = Count()
    for path in files:
        _check(path, count)
    for name, number in sorted(count.numbers.items()):
        print(f"{number:6} {name}")
    print("\n".join(count.faults) or f"no faults in {len(files)} files")
    return 1 if count.faults or not files else 0


def _check(path: Path, count: Count) -> None:
    body = path.read_bytes()
    text = _COMMENT.sub("", body.decode("utf-8-sig"))
    domain = next(iter(_DOMAIN.findall(text)), "example.com")
    written = list(_written(text, domain))
    count.numbers["files"] += 1
    count.numbers["domains"] += len(_DOMAIN.findall(text))
    count.numbers.update(f"written: {it.port} {it.socket}" for it in written)
    try:
        config = read(body)
    except Missed as missed:
        count.faults.append(f"{path.name}: {missed}")
        return
    candidates, rejected = offers(config, domain=domain, source=Source.ISPDB, trust=Trust.DIRECTORY)
    count.numbers.update(
        f"candidates: {it.route.port} {it.route.security.value}{', derived' if it.derived else ''}"
        for it in candidates
    )
    count.numbers.update(f"rejected: {it.reason}" for it in rejected)
    count.numbers["files without a candidate"] += not candidates
    count.faults += [f"{path.name}: {fault}" for fault in _faults(written, candidates)]
    count.faults += [] if config.names(domain) else [f"{path.name}: its own domain is not named"]


def _written(text: str, domain: str) -> Iterator[Written]:
    for block in _OUTGOING.findall(text):
        fields = dict(reversed(_FIELD.findall(block)))  # the first of each
        host = unescape(fields["hostname"]).replace("%EMAILDOMAIN%", domain).lower()
        username = unescape(fields.get("username", "")) or FULL_ADDRESS
        yield Written(host, fields["port"], fields["socketType"], username)


def _faults(written: list[Written], candidates: tuple[Candidate, ...]) -> Iterator[str]:
    listed = [candidate for candidate in candidates if not candidate.derived]
    offered = {(it.route.host, it.route.port, it.route.security, it.username) for it in listed}
    for server in written:
        security = _MUST.get((server.port, server.socket))
        if security and (server.host, int(server.port), security, server.username) not in offered:
            yield f"{server} is no candidate"
    with_tls = {(it.host, int(it.port)) for it in written if not it.without_tls}
    hinted = {it.host for it in written if it.without_tls}
    for candidate in candidates:
        route = candidate.route
        if not route.security.encrypted or route.port == 25:
            yield f"{route} is a candidate"
        elif candidate.derived and not (route.host in hinted and (route.port, route.security) in _HINTED):
            yield f"{route} is derived of nothing"
        elif not candidate.derived and (route.host, route.port) not in with_tls:
            yield f"{route} is written nowhere"


if __name__ == "__main__":
    sys.exit(main())
