"""What becomes of Django's messages? Each becomes octets with an envelope, and hears how it went."""

from __future__ import annotations

import email.policy
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import django
from django.core.mail import EmailMessage

from portmail.addresses import one_address
from portmail.bulk import Result
from portmail.content import Enveloped
from portmail.envelope import Mailbox, local_mailbox, mailbox
from portmail.errors import AddressError, DeliveryError, DiscoveryError, PortmailError
from portmail.integrations.django.signals import post_send, pre_send, send_failed
from portmail.integrations.smtplib_errors import as_smtplib
from portmail.receipt import Receipt

if TYPE_CHECKING:
    from django.dispatch import Signal

    from portmail.integrations.django.backend import EmailBackend

_MODERN = django.VERSION >= (6, 0)
"""Whether a message becomes one of the standard library's, of any policy."""

_TELLING = ContextVar("portmail_telling", default=False)
"""Whether receivers are hearing of a message. What is sent meanwhile is not told of, or it might never
end: a receiver that fails is logged, and by Django's default an error that is logged is mailed to the admins.
"""


_SILENT = (DeliveryError, DiscoveryError)
"""What is silent on wish: what went wrong on the way, never what the program got wrong."""

_NAMED = re.compile(r"[^<>@]*<([^<>@\s]+)>")
"""A local name behind a display name, or behind none."""

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Outgoing(Enveloped):
    """A message of Django's, as it travels. `number` is its place among those sent together."""

    origin: EmailMessage | None = None
    number: int = 0


def receipt(message: EmailMessage) -> Receipt | None:
    """What the server took the message with; None if it did not, or another backend had it (as in tests)."""
    return getattr(message, "portmail_receipt", None)


class Round:
    """Messages that are sent together: those with recipients, in order, and what became of each."""

    def __init__(self, backend: EmailBackend, messages: Sequence[EmailMessage]) -> None:
        self._backend = backend
        self._about = {"sender": type(backend), "using": getattr(backend, "alias", None)}
        self.messages = [message for message in messages if message.recipients()]
        self._errors: dict[int, Exception] = {}
        self.sent = 0
        self.notes: list[str] = []

    def outgoing(self) -> Iterator[Outgoing]:
        """Those that can be sent. What is wrong with the others is kept."""
        for number, message in enumerate(self.messages):
            forget(message)
            try:
                self._ask(message)
                made = _made(message, number=number)
            except Exception as exc:  # noqa: BLE001  # raised when the others are on their way
                self._failed(message, exc, number=number)
            else:
                yield made

    def heard(self, result: Result[Outgoing]) -> None:
        """Keep what became of one."""
        outgoing, error = result.message, result.error
        assert outgoing.origin is not None
        if error is not None:
            self._failed(outgoing.origin, error, number=outgoing.number)
            return
        self.sent += 1
        outgoing.origin.portmail_receipt = result.receipt  # type: ignore[attr-defined]
        self._tell(post_send, message=outgoing.origin, receipt=result.receipt)

    def known(self, result: Result[Outgoing]) -> None:
        """Whoever waits is stopped while receivers hear of this one: note what became of it."""
        if result.receipt is not None:
            self.notes.append(f"portmail: the message was accepted ({result.receipt.message_id})")

    def _failed(self, message: EmailMessage, error: Exception, *, number: int) -> None:
        if isinstance(error, PortmailError):
            error = as_smtplib(error, sender=str(message.from_email))
        self._errors[number] = error
        message.portmail_error = error  # type: ignore[attr-defined]
        self._tell(send_failed, message=message, error=error)

    @property
    def unheard(self) -> bool:
        """Whether nobody listens: then no code of the site's runs, and none needs a thread."""
        signals = (pre_send, post_send, send_failed)
        return not any(signal.has_listeners(self._about["sender"]) for signal in signals)

    @staticmethod
    def here(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
        """The same for a coroutine, without a thread."""

        async def done(*args: P.args, **kwargs: P.kwargs) -> T:
            return work(*args, **kwargs)

        return done

    def _ask(self, message: EmailMessage) -> None:
        """Let receivers of `pre_send` raise."""
        with _telling() as first:
            if first:
                pre_send.send(message=message, **self._about)

    def _tell(self, signal: Signal, **what: Any) -> None:
        with _telling() as first:
            if first:
                signal.send_robust(**what, **self._about)

    def unsent(self, error: Exception | None) -> None:
        """No connection could be had for them: none was sent."""
        for number, message in enumerate(self.messages):
            forget(message)
            self._failed(message, error or RuntimeError("not opened"), number=number)

    def outcome(self, *, fail_silently: bool) -> int:
        """How many were sent.

        Raises:
            Exception: what went wrong with the first that was not, unless failures of the sending are silent.
        """
        told = [
            self._errors[number]
            for number in sorted(self._errors)
            if not (fail_silently and isinstance(self._errors[number], _SILENT))
        ]
        if not told:
            return self.sent
        if len(self.messages) > 1:
            told[0].add_note(
                f"portmail: {self.sent} of {len(self.messages)} messages were sent; "
                "what became of each is in its .portmail_receipt or .portmail_error"
            )
        raise told[0]


@contextmanager
def _telling() -> Iterator[bool]:
    """Whether nobody is hearing of a message already; in the block somebody is."""
    first = not _TELLING.get()
    token = _TELLING.set(True)
    try:
        yield first
    finally:
        _TELLING.reset(token)


def forget(message: EmailMessage) -> None:
    """What became of it when it was sent before."""
    for name in ("portmail_receipt", "portmail_error"):
        vars(message).pop(name, None)


def _made(message: EmailMessage, *, number: int) -> Outgoing:
    sender = _mailbox("From", message.from_email)
    recipients = [_mailbox("To", address) for address in message.recipients()]
    return Outgoing(
        _octets(message, (sender, *recipients)), sender, recipients, origin=message, number=number
    )


def _octets(message: EmailMessage, boxes: Sequence[Mailbox]) -> bytes:
    made: Any = message.message
    if not _MODERN:
        return bytes(made().as_bytes(linesep="\r\n"))
    international = any(box.needs_smtputf8 for box in boxes)
    policy = email.policy.SMTPUTF8 if international else email.policy.SMTP
    return bytes(made(policy=policy).as_bytes())


def _mailbox(name: str, address: object) -> Mailbox:
    """The address's mailbox. Django takes local names, too: `webmaster`, which its server knows."""
    text = str(address)  # it may be translated when it is used
    if "@" not in text:
        named = _NAMED.fullmatch(text)
        return local_mailbox(named[1] if named else text)
    found = one_address(name, text=text)
    if not found.domain:
        raise AddressError(f"{name}: {text!r} has no domain")
    return mailbox(found.addr_spec)
