"""What did the program send in a test? An outbox that takes messages as a server does, and keeps them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TypeAlias

from portmail.addresses import one_address
from portmail.cause import Cause
from portmail.envelope import Mailbox, mailbox
from portmail.errors import ConfigurationError, DeliveryError, PortmailError
from portmail.failure import Failure, Phase, RouteFailed
from portmail.job import Job
from portmail.reply import Reply, printable
from portmail.transaction import Transaction

Addresses: TypeAlias = str | Iterable[str]

_OK = Reply(250, "2.0.0", "kept in the test's outbox")
_SHOWN = 200
"""Characters of a text that are shown where an assertion fails."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent. `recipients` are those of the envelope: Cc and Bcc are among them.

    `content` is, octet by octet, what would have travelled.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """The content as a message that can be asked for its headers, its bodies and its attachments."""
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def subject(self) -> str:
        """The Subject, decoded."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The body in plain text, with `\\n` at the end of each line; empty where there is none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The body in HTML, likewise."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""

    def __str__(self) -> str:
        shown = " ".join((self.text or self.html).split())
        lines = [
            f"from {self.sender or '<>'} to {', '.join(self.recipients)}",
            f"subject: {self.subject}",
            f"{'text' if self.text else 'html'}: {shown[:_SHOWN]}{'...' if len(shown) > _SHOWN else ''}",
        ]
        return printable("\n     ".join(lines))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a message is asserted to be. None, and no address, is no wish."""

    to: tuple[Mailbox, ...]
    subject: str | None
    sender: str | None
    text: str | None
    html: str | None

    def lacks(self, sent: Sent) -> list[str]:
        """The wishes that this message does not meet, by their names."""
        met = {
            "to": {box.text for box in self.to}.issubset(sent.recipients),
            "subject": self.subject in (None, sent.subject),
            "sender": self.sender is None or _is_from(self.sender, sent),
            "text": self.text is None or self.text in sent.text,
            "html": self.html is None or self.html in sent.html,
        }
        return [name for name, is_met in met.items() if not is_met]

    def __str__(self) -> str:
        words = {
            "to ": ", ".join(box.text for box in self.to) or None,
            "from ": self.sender,
            "with the subject ": self.subject and repr(self.subject),
            "with the text ": self.text and repr(self.text),
            "with the html ": self.html and repr(self.html),
        }
        return " ".join(["a message", *(said + value for said, value in words.items() if value)])


class Outbox:
    """All that was sent in a test, in place of a server.

    Messages are checked as for a real one, and then accepted, unless the test ordered otherwise.
    """

    def __init__(self) -> None:
        self._messages: list[Sent] = []
        self._failed: list[str] = []
        self._refusals: dict[str, Reply] = {}
        self._errors: list[PortmailError] = []
        self._error: PortmailError | None = None

    @property
    def messages(self) -> tuple[Sent, ...]:
        """The messages that were accepted so far, in order."""
        return tuple(self._messages)

    def __iter__(self) -> Iterator[Sent]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, number: int) -> Sent:
        return self._messages[number]

    def clear(self) -> None:
        """Forget the messages."""
        self._messages.clear()
        self._failed.clear()

    def assert_sent(
        self,
        *,
        to: Addresses = (),
        subject: str | None = None,
        sender: str | None = None,
        text: str | None = None,
        html: str | None = None,
        count: int | None = None,
    ) -> tuple[Sent, ...]:
        """Return the messages that fit all that is given; fail if there is none, or not `count` of them.

        All addresses of `to` are among the recipients, `sender` is that of the envelope or in From.
        `subject` is the whole subject; `text` and `html` occur in the body of that kind.
        """
        __tracebackhide__ = True
        boxes = tuple(map(_mailbox, [to] if isinstance(to, str) else to))
        wanted = _Wanted(boxes, subject, sender, text, html)
        found = tuple(sent for sent in self.messages if not wanted.lacks(sent))
        if len(found) == count or (count is None and found):
            return found
        how = "was not sent" if count is None else f"was sent {len(found)} times, not {count}"
        raise AssertionError(f"{wanted} {how}\n{self._told(wanted)}")

    def assert_nothing_sent(self) -> None:
        """Fail if there is any message."""
        __tracebackhide__ = True
        if self._messages:
            raise AssertionError(f"something was sent\n{self._told()}")

    def reject(self, address: str, *, code: int = 550, text: str = "5.1.1 no such user") -> None:
        """Refuse this recipient from now on. `text` begins with the enhanced status code (RFC 3463)."""
        self._refusals[_mailbox(address).text.casefold()] = Reply.from_lines(code, [text])

    def fail(self, error: PortmailError, *, times: int | None = None) -> None:
        """From now on let submissions end with this error, so many times; all of them if left out.

        Raises:
            ConfigurationError: portmail raises no such error.
        """
        if not isinstance(error, PortmailError):
            raise ConfigurationError(f"{error!r} is none of portmail's errors: give one that send raises")
        self._error = error if times is None else None
        self._errors = [error] * (times or 0)

    def behave(self) -> None:
        """Take back what `reject` and `fail` ordered."""
        self._refusals.clear()
        self._errors, self._error = [], None

    def carry(self, job: Job) -> None:
        """Be the server for a job that has begun."""
        error = self._next_error()
        job.error = _for(job, error) if error is not None else None
        if (transaction := job.transaction) is None:
            return
        if job.error is None:
            self._hear(transaction)
        everybody = ", ".join(box.text for box in transaction.recipients)
        why = job.error or transaction.failure
        refused = {everybody: why} if why else transaction.refused
        self._failed += [printable(f"  to {who}: {_headline(reply)}") for who, reply in refused.items()]

    def _next_error(self) -> PortmailError | None:
        try:
            return self._errors.pop()
        except IndexError:
            return self._error

    def _hear(self, transaction: Transaction) -> None:
        """Answer MAIL, RCPT and the final dot."""
        transaction.hear_sender(_OK)
        for box in transaction.recipients:
            transaction.hear_recipient(box, reply=self._refusals.get(box.text.casefold(), _OK))
        if transaction.failure is not None:
            return
        try:
            content = transaction.submission.content.data
            if transaction.before_commit is not None:
                transaction.before_commit()
        except RouteFailed as late:
            transaction.failure = late.failure
        except BaseException as exc:  # of the program's own: `before_commit`, an attachment
            transaction.because = exc
            transaction.failure = Failure(Phase.CONTENT, Cause.HELD_BACK, f"{type(exc).__name__}: {exc}")
            if isinstance(exc, KeyboardInterrupt):
                raise
        else:
            sender = transaction.submission.envelope.sender
            self._messages.append(Sent(sender.text if sender else "", tuple(transaction.accepted), content))
            transaction.hear_end(_OK)

    def _told(self, wanted: _Wanted | None = None) -> str:
        lines = [f"Sent: {len(self) or 'nothing'}"]
        for number, sent in enumerate(self, 1):
            lines.append(f"{number:3}. {sent}")
            if wanted and (lacks := wanted.lacks(sent)):
                lines.append(f"     differs in: {', '.join(lacks)}")
        return "\n".join(lines + (["Not accepted:", *self._failed] if self._failed else []))


def _mailbox(address: str) -> Mailbox:
    """The address as it stands in an envelope. Raises AddressError where it is none."""
    return mailbox(one_address("to", text=address).addr_spec)


def _headline(told: object) -> str:
    return str(told).partition("\n")[0]


def _is_from(sender: str, sent: Sent) -> bool:
    if not sender:  # the null reverse-path
        return not sent.sender
    box, header = _mailbox(sender), sent.message["From"]
    authors = {author.addr_spec for author in getattr(header, "addresses", ())}
    return not authors.isdisjoint(box) or sent.sender == box.text


def _for(job: Job, error: PortmailError) -> PortmailError:
    """An error of this message's own."""
    own = copy.copy(error)
    if isinstance(own, DeliveryError):
        own.message_id = own.message_id or job.message_id
    return own
