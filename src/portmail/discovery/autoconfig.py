"""What does https://autoconfig.DOMAIN say? The domain owner's own file, draft-ietf-mailmaint-autoconfig.

The address is not sent. Some servers answer 400 without one: they are told a made-up address of the
domain, whose user name is then taken for what it stands for. http is never used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

from portmail.candidate import FULL_ADDRESS, LOCAL_PART, Finding, Source, Trust
from portmail.discovery.client_config import ClientConfig, missing, read, told
from portmail.discovery.outside import Missed, Outside

_NOBODY = "portmail"
"""The local part of the made-up address."""


async def find(domain: str, *, outside: Outside) -> Finding:
    """The servers that the file names. `domain` is in A-labels, lower case."""
    url = f"https://autoconfig.{domain}/mail/config-v1.1.xml"
    try:
        return await _ask(url, domain=domain, outside=outside)
    except Missed as missed:
        first = missing(missed, source=Source.AUTOCONFIG, asked=url)
        if missed.status != HTTPStatus.BAD_REQUEST:
            return first
    url += f"?emailaddress={quote(f'{_NOBODY}@{domain}', safe='')}"
    try:
        again = await _ask(url, domain=domain, outside=outside)
    except Missed as missed:
        again = missing(missed, source=Source.AUTOCONFIG, asked=url)
    return replace(again, evidence=first.evidence + again.evidence)


async def _ask(url: str, *, domain: str, outside: Outside) -> Finding:
    """Raises `Missed`."""
    page = await outside.fetch(url)
    config = _for_anybody(read(page.body), domain=domain)
    return told(config, page=page, domain=domain, source=Source.AUTOCONFIG, trust=Trust.OWNER, asked=url)


def _for_anybody(config: ClientConfig, *, domain: str) -> ClientConfig:
    """User names that hold the made-up address, as templates."""
    full = re.compile(re.escape(f"{_NOBODY}@{domain}"), re.IGNORECASE)
    local = re.compile(rf"{_NOBODY}(?![A-Za-z0-9-])", re.IGNORECASE)
    servers = []
    for server in config.servers:
        name = full.sub(FULL_ADDRESS, server.username)
        if match := local.match(name):
            name = LOCAL_PART + name[match.end() :]
        servers.append(replace(server, username=name))
    return replace(config, servers=tuple(servers))
