"""Which routes does an account take whose server is to be found? Those that were found, while they serve.

What was found is pinned: nothing is asked for a second message. It is looked for again when it is
due, or when all of its routes failed in a way that says that the server is not there any more; and
then it is replaced only by what is trusted as much.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from portmail import log
from portmail.candidate import Candidate, Findings, Source
from portmail.cause import Cause
from portmail.discovery.account import of_one_user, with_candidates
from portmail.discovery.bundled import known
from portmail.discovery.choosing import decide, may_be_used, trusted_less
from portmail.discovery.memory import memory
from portmail.discovery.pin import Pin, may_replace, pin_key
from portmail.discovery.searching import find_server
from portmail.discovery.world import World
from portmail.errors import DeliveryError, DiscoveryError
from portmail.route import Route
from portmail.search import Search
from portmail.settings import Settings

AGAIN, RENEWED_AGAIN = 300.0, 3600.0
"""Seconds until a server is looked for again where it seems to be gone; where what is pinned is only old."""

_GONE = frozenset(
    {
        Cause.NAME_NOT_FOUND,
        Cause.REFUSED,
        Cause.NOT_SMTP,
        Cause.TLS_ON_PLAIN_PORT,
        Cause.CERTIFICATE_NAME,
    }
)
"""How a route fails where no such server is any more. A port that is silent is blocked, most often."""


def gone(error: DeliveryError) -> frozenset[Route]:
    """The routes on which no such server is any more."""
    return frozenset(it.route for it in error.attempts if it.error is not None and it.error.cause in _GONE)


class Pinning:
    """The settings of an account whose server is to be found, with the routes as soon as they are known.

    Raises:
        TokenRequired, UsernameRequired, CredentialsUnusable: what is known already does not fit the
            credentials.
    """

    def __init__(self, settings: Settings, *, search: Search) -> None:
        self._given = settings
        self._memory = memory()
        self._clock = self._memory.clock
        self._key = pin_key(search.domain, discovery=search.discovery, tls_ca=settings.tls_ca)
        seconds = min(search.discovery.seconds, settings.timeouts.total)
        self._asking = replace(search, discovery=replace(search.discovery, seconds=seconds))
        self._again = 0.0
        self._gone = False
        self._pin = self._remembered() or self._bundled()
        self.settings = settings
        if self._pin and settings.credentials:  # who has none may only want to know
            self.settings = with_candidates(settings, self._pin.candidates)

    @property
    def due(self) -> bool:
        """Whether the server is to be looked for before the next message."""
        if self._pin is None or not self.settings.routes:
            return True
        return not self._resting and (self._gone or self._pin.is_due(self._clock()))

    @property
    def _resting(self) -> bool:
        """Whether it is too early to look again, also by a clock that was set back meanwhile."""
        return 0 < self._again - self._clock() <= RENEWED_AGAIN

    @property
    def _search(self) -> Search:
        """What is to be looked for, with what was approved by now."""
        return replace(self._asking, approved=self._memory.approved(self._asking.domain))

    async def look(self) -> None:
        """Find the server, or find it again.

        Raises:
            DiscoveryError: there is none that may be used.
            CredentialsUnusable: our credentials do not fit what was found.
        """
        pinned, gone = self._pin, self._gone
        if pinned is None or self.settings.routes:
            await self._renew()
        if gone and self._pin is pinned:
            return  # its routes are tried again
        if self._pin is not None:
            self.settings = with_candidates(self._given, self._pin.candidates)

    async def _renew(self) -> None:
        if self._pin is None:
            self._pin = self._remembered()  # another submitter may have found it
            if self._pin is not None:
                return
            if nothing := self._memory.nothing(self._key):
                raise nothing
        gone = self._gone
        try:
            findings = await self.discover()
        except DiscoveryError:
            if self._pin is None or gone:
                raise
            return  # what is pinned still serves
        if gone and not self._may_replace(findings):
            raise trusted_less(findings, search=self._search)

    async def discover(self) -> Findings:
        """Look for the server now, whatever is remembered, and remember what is found.

        It is kept only if it is trusted as much as what was remembered.

        Raises:
            DiscoveryError: there is none that may be used.
        """
        search, now = self._wanted(), self._clock()
        self._again = now + (RENEWED_AGAIN if self._pin and not self._gone else AGAIN)
        self._gone = False
        started = time.monotonic()
        try:
            outside = World(search.discovery, tls_ca=self._given.tls_ca)
            findings = await find_server(search, outside=outside)
        except DiscoveryError as error:
            log.not_found(search.domain, error, seconds=time.monotonic() - started)
            if type(error) is DiscoveryError:  # a subclass may be otherwise in a moment
                self._memory.keep_nothing(self._key, error)
            raise
        one = of_one_user(findings.candidates, search=search)
        log.found(findings, seconds=time.monotonic() - started)
        if self._may_replace(findings):
            self._pin = Pin.of(findings.candidates, now=now, lifetime=findings.lifetime)
            if self._pin.source is not Source.BUNDLED:  # the table is at hand, and newer with each version
                self._memory.keep(self._key, self._pin)
        return replace(findings, candidates=one.used, rejected=(*findings.rejected, *one.rejected))

    def _may_replace(self, findings: Findings) -> bool:
        approved = {it.route.host for it in findings.candidates if self._search.approves(it)}
        return self._pin is None or may_replace(self._pin, findings.candidates, approved=approved)

    def lost(self, routes: Collection[Route]) -> bool:
        """These routes are gone. Returns whether there are others, or it is time to look for others."""
        if tuple(routes) != self.settings.routes:
            return True
        self._gone = self._gone or not self._resting
        return self._gone

    def _wanted(self) -> Search:
        """What is to be looked for: where portmail's own table is out of date, the others are asked."""
        search = self._search
        if not (self._gone and self._pin and self._pin.source is Source.BUNDLED):
            return search
        others = search.discovery.asked - {Source.BUNDLED}
        return replace(search, discovery=replace(search.discovery, sources=others))

    def _remembered(self) -> Pin | None:
        pin = self._memory.pin(self._key)
        if pin is None or not all(self._allowed(it) for it in pin.candidates):
            return None
        return pin

    def _allowed(self, candidate: Candidate) -> bool:
        return may_be_used(candidate, domain=self._search.domain) or self._search.approves(candidate)

    def _bundled(self) -> Pin | None:
        if Source.BUNDLED not in self._search.discovery.asked:
            return None
        found = known(self._search.domain)
        if not found.candidates:
            return None
        findings = decide({Source.BUNDLED: found}, search=self._search)
        return Pin.of(findings.candidates, now=self._clock())
