"""How do many messages of an application go out? Some at a time, and a `Result` for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from email.message import Message as AnyEmail
from typing import TYPE_CHECKING

from portmail.addresses import recipients_in, sender_in
from portmail.bulk import Result as AnyResult
from portmail.content import headers_of
from portmail.errors import PortmailError
from portmail.integrations.flask.connection import Connection
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.outgoing import Outgoing
from portmail.integrations.flask.refusals import as_flask_mail
from portmail.integrations.flask.state import State
from portmail.integrations.flask.telling import told

if TYPE_CHECKING:
    from portmail.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message of many: a receipt, an error, or neither if sending is suppressed."""

    message: Message
    receipt: Receipt | None
    error: PortmailError | None


def send_many(
    messages: Iterable[Message], *, state: State, context: Callable[[], AbstractContextManager[object]]
) -> Generator[Result]:
    """Send them; `context` is entered for whatever needs to know the application."""
    return _Many(state, context).results(messages)


class _Many:
    def __init__(self, state: State, context: Callable[[], AbstractContextManager[object]]) -> None:
        self._state, self._context = state, context
        self._under_way: dict[int, tuple[Message, Outgoing]] = {}  # by the content's id, which lives as long
        self._over: deque[Result] = deque()

    def results(self, messages: Iterable[Message]) -> Generator[Result]:
        """What became of each."""
        if self._state.suppress:
            yield from map(self._alone, messages)
            return
        with closing(self._state.submitter().send_many(self._contents(messages))) as results:
            for result in results:
                yield from self._taken()
                yield self._told(result)
        yield from self._taken()

    def _contents(self, messages: Iterable[Message]) -> Iterator[AnyEmail]:
        """What is sent together; the others are over when the next one is asked for."""
        for message in messages:
            with self._context():
                outgoing = self._with_envelope(message)
            if outgoing is None or isinstance(outgoing.content, bytes):
                self._over.append(self._alone(message))
            else:
                self._under_way[id(outgoing.content)] = message, outgoing
                yield outgoing.content

    def _with_envelope(self, message: Message) -> Outgoing | None:
        """The message with a header that says sender and recipients; None if there is no such."""
        try:
            outgoing = Outgoing.of(message, state=self._state)
            content = outgoing.content
            if isinstance(content, bytes):
                return None
            shown = set(recipients_in(headers_of(content)))
            hidden = [address for address in outgoing.recipients if address not in shown]
            if hidden:
                content["Bcc"] = ", ".join(hidden)
            headers = headers_of(content)
            same = set(recipients_in(headers)) == set(outgoing.recipients)
            return outgoing if same and sender_in(headers) == outgoing.sender else None
        except PortmailError:
            return None

    def _alone(self, message: Message) -> Result:
        try:
            with self._context():
                return Result(message, Connection(self._state).send(message), None)
        except PortmailError as error:
            return Result(message, None, error)

    def _told(self, result: AnyResult[AnyEmail]) -> Result:
        message, outgoing = self._under_way.pop(id(result.message))
        message.portmail_receipt = result.receipt
        try:
            with self._context(), told(message):
                if result.error is not None:
                    raise as_flask_mail(result.error, sender=outgoing.sender)
        except PortmailError as error:
            return Result(message, None, error)
        return Result(message, result.receipt, None)

    def _taken(self) -> Iterator[Result]:
        while self._over:
            yield self._over.popleft()
