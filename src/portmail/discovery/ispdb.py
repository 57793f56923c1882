"""What does Mozilla's database of providers say? Or a copy of it, at any https URL."""

from __future__ import annotations

from portmail.candidate import Answer, Finding, Source, Trust
from portmail.discovery.client_config import missing, read, told
from portmail.discovery.outside import Missed, Outside, Page
from portmail.search import ISPDB


async def find(domain: str, *, outside: Outside, base: str = ISPDB) -> Finding:
    """The servers that the database has for the domain, in A-labels, lower case. `base` ends with a slash.

    Only an answer that names the domain counts: a server that answers everything knows nothing.
    """
    url = f"{base}{domain}"
    source, trust = Source.ISPDB, Trust.DIRECTORY
    try:
        page = await _fetch(url, outside=outside)
        config = read(page.body)
        if not config.names(domain):
            raise Missed(Answer.UNUSABLE, "it is about other domains")
        return told(config, page=page, domain=domain, source=source, trust=trust, asked=url)
    except Missed as missed:
        return missing(missed, source=source, asked=url)


async def _fetch(url: str, *, outside: Outside) -> Page:
    """The database's answer. Where it has no address itself, it has not said that it knows nothing."""
    try:
        return await outside.fetch(url)
    except Missed as missed:
        if missed.answer is Answer.ABSENT and missed.status is None:
            raise Missed(Answer.UNANSWERED, f"{missed.said}: is there a network?") from None
        raise
