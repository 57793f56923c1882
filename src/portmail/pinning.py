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
from portmail.candidate import Answer, Findings, Source, Trust
from portmail.cause import Cause
from portmail.discovery.account import of_one_user, with_candidates
from portmail.discovery.bundled import known
from portmail.discovery.choosing import decide, in_place_of, may_be_used
from portmail.discovery.explaining import absent, trusted_less
from portmail.discovery.memory import memory
from portmail.discovery.pin import Pin, may_replace, pin_key
from portmail.discovery.searching import find_server
from portmail.discovery.world import World
from portmail.errors import (
    CredentialsUnusable,
    DeliveryError,
    DiscoveryError,
    InsecureChannel,
    Unreachable,
)
from portmail.route import Route
from portmail.search import Search
from portmail.settings import Settings
from portmail.verdict import OPENING

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
"""How a route fails where no such server is any more. A port that is silent is blocked, most often; and a
login page (`Cause.PORTAL`) answers for every server, to whoever looks for another one, too."""


def gone(error: DeliveryError) -> frozenset[Route]:
    """The routes on which no such server is any more; none if anything of the message was said to anybody."""
    said = any(it.phase not in OPENING for it in error.attempts)
    if said or not isinstance(error, Unreachable | InsecureChannel):
        return frozenset()
    last = {it.route: it.error for it in error.attempts}
    return frozenset(route for route, failure in last.items() if failure and failure.cause in _GONE)


class Pinning:
    """The settings of an account whose server is to be found, with the routes as soon as they are known.

    Raises:
        TokenRequired, UsernameRequired, CredentialsUnusable: what is known already does not fit the
            credentials.
    """

    def __init__(self, settings: Settings, *, search: Search) -> None:
        self._given = self.settings = settings
        self._memory = memory()
        self._clock = self._memory.clock
        self._key = pin_key(search.domain, discovery=search.discovery, tls_ca=settings.tls_ca)
        seconds = min(search.discovery.seconds, settings.timeouts.total)
        self._asking = replace(search, discovery=replace(search.discovery, seconds=seconds))
        self._again = 0.0
        self._gone = False
        self._pin = self._allowed(self._memory.pin(self._key)) or self._bundled()
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

    async def look(self) -> None:
        """Find the server, or find it again.

        Raises:
            DiscoveryError: there is none that may be used.
            CredentialsUnusable: our credentials do not fit what was found.
        """
        if self._pin is None:
            self._pin = self._allowed(self._memory.pin(self._key))  # another submitter may have found it
        if self._pin is None and (nothing := self._memory.nothing(self._key)):
            raise absent(self._asking, nothing.evidence)
        if self._pin is None or self.settings.routes:
            await self._renew()
        if self._pin is not None and not self.settings.routes:
            self.settings = with_candidates(self._given, self._pin.candidates)

    async def _renew(self) -> None:
        pinned, lost, search = self._pin, self._gone, self._wanted()
        try:
            findings = await self._find(search)
        except DiscoveryError:
            if pinned is None or lost:
                raise
            return  # what is pinned still serves
        if not self._adopt(findings, search=search, lost=lost) and lost and self._pin is pinned:
            raise trusted_less(findings, search=search)

    async def discover(self) -> Findings:
        """Look for the server now, whatever is remembered; remember what is found, and what will be used.

        It is used only if it is trusted as much as what is remembered.

        Raises:
            DiscoveryError: there is none that may be used.
        """
        search = self._wanted()
        try:
            findings = await self._find(search)
        except DiscoveryError as error:
            if self._pin is not None:
                routes = ", ".join(str(it.route) for it in self._pin.candidates)
                error.add_note(f"portmail: what was found before is still used: {routes}")
            raise
        if not self._adopt(findings, search=search, lost=False) and self._pin is not None:
            findings = in_place_of(findings, used=self._pin.candidates)
        one = of_one_user(findings.candidates, search=search)
        return replace(findings, candidates=one.used, rejected=(*findings.rejected, *one.rejected))

    async def _find(self, search: Search) -> Findings:
        self._again = self._clock() + (RENEWED_AGAIN if self._pin and not self._gone else AGAIN)
        self._gone = False
        started = time.monotonic()
        try:
            findings = await find_server(search, outside=World(search.discovery, tls_ca=self._given.tls_ca))
        except DiscoveryError as error:
            log.not_found(search.domain, error, seconds=time.monotonic() - started)
            if all(it.answer.definite or it.answer is Answer.NOT_OFFERED for it in error.evidence):
                self._memory.keep_nothing(self._key, error)
            raise
        log.found(findings, seconds=time.monotonic() - started)
        return findings

    def _adopt(self, findings: Findings, *, search: Search, lost: bool) -> bool:
        """Use what was found, if it may take the place of what is known. Returns whether it did."""
        shared = self._memory.newest(self._key)
        known = [pin for pin in (self._pin, self._allowed(shared)) if pin is not None]
        old = max(known, key=lambda pin: pin.trust, default=None)
        if old is not None and not may_replace(
            old, findings.candidates, approved=_approved(findings, search)
        ):
            if old is not self._pin:  # somebody whose word counts more has found it meanwhile
                self._pin, self.settings = old, self._given
            return False
        pin = Pin.of(findings.candidates, now=self._clock(), lifetime=findings.lifetime)
        settings = self._given
        try:
            settings = with_candidates(settings, pin.candidates)
        except CredentialsUnusable:
            if self.settings.routes and not lost:
                return False  # what is pinned still serves; else it is told when it is to be used
        self._pin, self.settings = pin, settings
        # An approval that is this submitter's alone changes nothing for others.
        mine = may_replace(shared, pin.candidates, approved=search.approved) if shared else True
        if mine and pin.source is not Source.BUNDLED:  # the table is at hand, and newer with each version
            self._memory.keep(self._key, pin)
        return True

    def lost(self, routes: Collection[Route]) -> bool:
        """These routes are gone. Returns whether there are others, or it is time to look for others."""
        if set(routes) != set(self.settings.routes):
            return True
        self._gone = self._gone or not self._resting
        return self._gone

    def _wanted(self) -> Search:
        """What is to be looked for: where portmail's own table is out of date, the others are asked."""
        search = self._approving()
        if not (self._gone and self._pin and self._pin.source is Source.BUNDLED):
            return search
        others = search.discovery.asked - {Source.BUNDLED}
        return replace(search, discovery=replace(search.discovery, sources=others))

    def _approving(self) -> Search:
        """What is asked, with what was approved by now."""
        return replace(self._asking, approved=self._memory.approved(self._asking.domain))

    def _allowed(self, pin: Pin | None) -> Pin | None:
        """The pin, if we may use it: it may be there by an approval that is not ours."""
        if pin is None or all(may_be_used(it, domain=self._asking.domain) for it in pin.candidates):
            return pin
        search = self._approving()
        return pin if all(search.approves(it) for it in pin.candidates) else None

    def _bundled(self) -> Pin | None:
        if Source.BUNDLED not in self._asking.discovery.asked:
            return None
        found = known(self._asking.domain)
        if not found.candidates:
            return None
        findings = decide({Source.BUNDLED: found}, search=self._asking)
        return Pin.of(findings.candidates, now=self._clock())


def _approved(findings: Findings, search: Search) -> frozenset[str]:
    """The hosts among those that were found that the user approves of, where that is needed at all."""
    asked = (it for it in findings.candidates if it.trust is not Trust.OWNER)
    return frozenset(it.route.host for it in asked if search.approves(it))
