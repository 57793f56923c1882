"""How does what a program logs reach people? `MailHandler`: bursts become one mail, and nothing waits for it.

    logging.getLogger().addHandler(MailHandler(to="ops@example.org"))

A record is put into words where it is logged: its arguments may be changed, closed or gone a moment later.
Of records that are alike only the first is; the others are counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections import ChainMap
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from portmail.composing import Addresses
from portmail.errors import ConfigurationError
from portmail.integrations.logging.digest import Kind, Limits, check_seconds, one_line, shortened
from portmail.integrations.logging.mailer import Mailer
from portmail.integrations.logging.posting import SENDING, THREAD, Post
from portmail.security import without_frames
from portmail.settings import Settings, from_environment

if TYPE_CHECKING:
    from portmail.submitter import AsyncSubmitter, Submitter

__all__ = ["MailHandler"]

_OURS = ("portmail", "aiosmtplib")
"""Loggers that tell how mail is sent: a mail about each mail would never end."""

_WORDS = logging.Formatter("%(levelname)s %(name)s %(asctime)s\n%(message)s", "%Y-%m-%d %H:%M:%S")


class MailHandler(logging.Handler):
    """A handler that mails what is logged, many records in one mail, from a thread of its own.

    The first record of a quiet time goes out after a second, with those that came with it; after that
    there is one mail every `flush_interval` seconds at most. Logging never waits for a mail and never
    fails because of one. What portmail itself logs is never mailed.

    Args:
        to: the recipients: `"ops@example.org"`, or several in a list.
        url: an account URL in place of PORTMAIL_URL; the other PORTMAIL_ variables count.
        submitter: a `Submitter` or `AsyncSubmitter`, whose account is used in place of both.
        sender: the From header; that of the account where it is not given.
        subject: with the fields levelname, first_line, count and host. Of several records, levelname
            is like "37 records, worst ERROR", and the first line is the worst one's.
        level: records below are left alone.
        capacity: how many kinds of records one mail may hold; what finds no room is counted.
        flush_interval: seconds between two mails.
        max_per_hour: how many mails there may be within an hour; what comes in between waits.
        deadline: seconds that `flush`, and the end of the program, wait for a mail.

    Records are alike if logger, level, line, message before its arguments are filled in, and the
    place of the exception are the same.

    A mail that may be accepted later is tried again with the next one. One that is refused for good,
    or in doubt, is not; the next mail tells how many records were lost. Of what no mail has told when
    the program ends, stderr tells how many there were. A signal without a handler is no such end.

    Raises:
        ConfigurationError: a wish that cannot be met; found here, before any socket opens.
        AddressError: `to` or `sender` is no address, or there is no sender.
        DiscoveryError: no server is named.
    """

    level: int = logging.ERROR  # shown in the traceback of wishes that cannot be met

    def __init__(
        self,
        *,
        to: Addresses,
        url: str | None = None,
        submitter: Submitter | AsyncSubmitter | None = None,
        sender: str | None = None,
        subject: str = "{levelname}: {first_line}",
        level: int | str = logging.ERROR,
        capacity: int = 50,
        flush_interval: float = 60.0,
        max_per_hour: int = 20,
        deadline: float = 5.0,
    ) -> None:
        try:
            settings = _account(url, submitter=submitter, sender=sender)
        finally:
            del url  # error trackers show the variables of every frame
        to = to if isinstance(to, str) else tuple(to)
        limits = Limits(capacity, flush_interval, max_per_hour)
        check_seconds("deadline", seconds=deadline)

        def make() -> Post:
            return Post(
                Mailer(settings, to=to, sender=sender, subject=subject), limits=limits, deadline=deadline
            )

        Mailer(settings, to=to, sender=sender, subject=subject).check()
        try:
            super().__init__(level)
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"level: {exc}") from None
        self.setFormatter(_WORDS)
        self._deadline = deadline
        self._make = make
        # A thread does not survive fork; what the parent keeps is the parent's, and left alone.
        self._posts: dict[int, Post] = {}

    def handle(self, record: logging.LogRecord) -> Any:
        """Take a record, unless it tells of mail being sent.

        The base class's lock is not taken: at exit `logging` holds it while the last mail goes.
        """
        try:
            passed = record.levelno >= self.level and not _is_ours(record) and self.filter(record)
        except Exception:  # noqa: BLE001  # as every handler does with its own
            self._complain(record)
            return False
        if passed:
            # From Python 3.12 on a filter may put another record in place of this one.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, or count it. Nothing is sent here."""
        try:
            post, key = self._post(), _key(record)
            if not post.stock.count(key, created=record.created):
                post.keep(key, self._kind(record))
        except Exception:  # noqa: BLE001  # as every handler
            self._complain(record)

    def flush(self) -> None:
        """Mail what is kept now, and wait for that `deadline` seconds at most. The limit of an hour holds."""
        if (post := self._posts.get(os.getpid())) is not None:
            post.flush(seconds=self._patience)

    def close(self) -> None:
        """Mail what is kept, and tell on stderr what could not be. It opens again with the next record."""
        if (post := self._posts.get(os.getpid())) is not None:
            post.close(seconds=self._patience)
        super().close()

    @property
    def _patience(self) -> float:
        """Seconds to wait for a mail: none in a thread that configures logging, whose lock the mail needs."""
        is_owned = getattr(getattr(logging, "_lock", None), "_is_owned", bool)
        return 0.0 if is_owned() else self._deadline

    def _post(self) -> Post:
        """This process's."""
        pid = os.getpid()
        if (post := self._posts.get(pid)) is None:
            post = self._posts.setdefault(pid, self._make())
        return post

    def _kind(self, record: logging.LogRecord) -> Kind:
        try:
            text, message = self.format(record), record.getMessage()
        except Exception as exc:  # noqa: BLE001  # arguments that do not fit, or whose own code fails
            self._complain(record)
            message = f"{record.msg!s:.500}" if isinstance(record.msg, str) else type(record.msg).__name__
            told = f"[it cannot be put into words: {type(exc).__name__}]"
            text = f"{record.levelname} {record.name}\n{message}\n{told}"
        at = record.created
        return Kind(
            shortened(text), one_line(message[:2_000]), record.levelno, record.levelname, first=at, last=at
        )

    def _complain(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # the arguments themselves may fail when they are shown
            self.handleError(record)


def _account(
    url: str | None, *, submitter: Submitter | AsyncSubmitter | None, sender: str | None
) -> Settings:
    if submitter is not None:
        settings = getattr(submitter, "settings", None)
        if url is not None or not isinstance(settings, Settings):
            del url
            raise ConfigurationError("submitter is a portmail.Submitter, and then there is no url")
        return settings
    try:
        return from_environment(ChainMap({"PORTMAIL_URL": url} if url else {}, os.environ), sender=sender)
    except BaseException as exc:  # noqa: BLE001  # raised again
        failed = without_frames(exc)
    del url  # error trackers show the variables of every frame
    raise failed


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it tells of mail being sent, or was logged by what sends ours, also before a queue."""
    # A record that was made of a mapping may have no name.
    name, thread = str(record.name).partition(".")[0], record.threadName
    loop = name == "asyncio" and thread == "portmail"
    return name in _OURS or thread == THREAD or loop or SENDING.get()


def _key(record: logging.LogRecord) -> Hashable:
    """What records have in common that are alike. No text: it may be long."""
    error, trace = (record.exc_info or (None, None, None))[1:]
    raised = None
    for frame, line in traceback.walk_tb(trace):
        raised = (frame.f_code.co_filename, line)
    return (
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        hash(_template(record)),
        type(error),
        raised,
    )


def _template(record: logging.LogRecord) -> str:
    if isinstance(record.msg, str):
        return record.msg
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # whatever it is
        return type(record.msg).__name__
