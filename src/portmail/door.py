"""What do both submitters have? Settings, checked before a socket opens, and the work behind each method."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self, Unpack

from portmail import settings as given
from portmail.errors import ConfigurationError, PortmailError, Unreachable
from portmail.offloading import room_for_descriptors
from portmail.security import without_frames
from portmail.settings import Settings, Wishes
from portmail.transports.tls import verified_context, verifying

# What is used below is imported where it is used: a submitter reads the system's trust store while
# it imports what one message needs, and one message does not need what many need.
if TYPE_CHECKING:
    from portmail.bulk import BeforeCommit, Bulk, M
    from portmail.receipt import Connected, Receipt
    from portmail.report import Report
    from portmail.submission import Submission


class Door:
    """What both doors have: settings, checked before any socket opens."""

    settings: Settings

    def __init__(self, address: str | None = None, **wishes: Unpack[Wishes]) -> None:
        try:
            self._open(given.from_arguments(address, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        else:
            return
        del wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def from_url(cls, url: str, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of an account URL such as `submission://me:secret@mail.example.com`.

        Raises:
            ConfigurationError: the URL cannot be understood, or asks for what is not allowed.
        """
        try:
            return cls._with(given.from_url(url, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        del url, wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **wishes: Unpack[Wishes]) -> Self:
        """A submitter of PORTMAIL_URL, PORTMAIL_USERNAME, PORTMAIL_PASSWORD, PORTMAIL_PASSWORD_FILE,
        PORTMAIL_FROM and PORTMAIL_CA. Keyword arguments win over the URL, the URL over the others.

        Raises:
            ConfigurationError: a variable cannot be understood.
            DiscoveryError: no server is named.
        """
        try:
            return cls._with(given.from_environment(os.environ if environ is None else environ, **wishes))
        except BaseException as exc:  # noqa: BLE001  # raised again
            failed = without_frames(exc)
        del environ, wishes  # error trackers show the variables of every frame
        raise failed

    @classmethod
    def _with(cls, settings: Settings) -> Self:
        door = cls.__new__(cls)
        door._open(settings)  # noqa: SLF001  # it is our own
        return door

    def _open(self, settings: Settings) -> None:
        self.settings = settings
        try:
            room_for_descriptors()
            with verifying(**settings.pem_files):
                self._prepare()
        except OSError as exc:  # what is needed cannot be loaded
            raise Unreachable(f"Not sent: no submitter can be made here: {exc}", temporary=True) from exc
        verified_context(**settings.pem_files)  # complains now

    def _prepare(self) -> None:
        from portmail.delivery import Delivery
        from portmail.opener import leaves_this_machine
        from portmail.pools import Pools
        from portmail.submission import Submission

        if leaves_this_machine(self.settings):
            import portmail.route_memory  # noqa: F401  # the first message needs it

        self._pools = Pools(self.settings)
        self._delivery = partial(Delivery, settings=self.settings, pools=self._pools)
        self._checked = partial(Submission.of, default_sender=self.settings.sender)

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)  # none in the traceback of wishes that cannot be met
        pools = getattr(self, "_pools", None)
        known = pools.settings.routes if pools else ()
        sought = f"for {settings.search.address}" if settings and settings.search else "unmade"
        routes = ", ".join(str(route) for route in known) or sought
        return f"<{type(self).__name__} {routes}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ConfigurationError(
            f"the {type(self).__name__} is neither copied nor pickled, for it holds credentials and "
            "connections: make one in each process (a forked one may use its parent's)"
        )

    async def _deliver(self, submission: Submission) -> Receipt:
        import asyncio

        from portmail import log
        from portmail.delivery import NOT_SENT
        from portmail.timeouts import Deadline

        deadline = Deadline(self.settings.timeouts)
        message_id = submission.content.message_id
        try:
            pool = await self._pools.here()
        except PortmailError as error:
            log.not_sent(error, message_id=message_id)
            raise
        except asyncio.CancelledError as stopped:
            stopped.add_note(f"portmail: {NOT_SENT} ({message_id})")
            raise
        return await self._delivery(submission, pool=pool, deadline=deadline).deliver()

    async def _connect(self) -> Connected:
        from portmail.connecting import Connecting

        return await Connecting(self.settings, pools=self._pools).connect()

    async def _check(self, *, login: bool) -> Report:
        from portmail.checking import check

        return await check(self._pools, login=login)

    async def _bulk(self, before_commit: BeforeCommit[M] | None) -> Bulk[M]:
        from portmail.bulk import Bulk

        return Bulk(self._pools, settings=self.settings, before_commit=before_commit)
