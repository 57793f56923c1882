"""What does Mozilla's database of providers say? Or a copy of it, at any https URL."""

from __future__ import annotations

from portmail.candidate import Answer, Finding, Source, Trust
from portmail.discovery.client_config import missing, read, told
from portmail.discovery.outside import Missed, Outside
from portmail.search import ISPDB


async def find(domain: str, *, outside: Outside, base: str = ISPDB) -> Finding:
    """The servers that the database has for the domain, in A-labels, lower case. `base` ends with a slash.

    Only an answer that names the domain counts: a server that answers everything knows nothing.
    """
    url = f"{base}{domain}"
    source, trust = Source.ISPDB, Trust.DIRECTORY
    try:
        page = await outside.fetch(url)
        config = read(page.body)
        if not config.names(domain):
            raise Missed(Answer.UNUSABLE, "it is about other domains")
        return told(config, page=page, domain=domain, source=source, trust=trust, asked=url)
    except Missed as missed:
        return missing(missed, source=source, asked=url)
