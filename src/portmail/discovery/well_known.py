"""What does https://DOMAIN/.well-known/autoconfig say? The same file as autoconfig's, beside the web site."""

from __future__ import annotations

from portmail.candidate import Finding, Source, Trust
from portmail.discovery.client_config import missing, read, told
from portmail.discovery.outside import Missed, Outside


async def find(domain: str, *, outside: Outside) -> Finding:
    """The servers that the file names. `domain` is in A-labels, lower case."""
    url = f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml"
    source, trust = Source.WELL_KNOWN, Trust.OWNER
    try:
        page = await outside.fetch(url)
        return told(read(page.body), page=page, domain=domain, source=source, trust=trust, asked=url)
    except Missed as missed:
        return missing(missed, source=source, asked=url)
