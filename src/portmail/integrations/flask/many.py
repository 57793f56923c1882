"""How do many messages of an application go out? Some at a time, and a `Result` for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portmail.bulk import Result as AnyResult
from portmail.errors import ContentError, PortmailError
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.outgoing import Outgoing
from portmail.integrations.flask.refusals import as_flask_mail
from portmail.integrations.flask.state import State
from portmail.integrations.flask.telling import app_at_work, tell

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
        self._unwritable: deque[Result] = deque()

    def results(self, messages: Iterable[Message]) -> Generator[Result]:
        """What became of each."""
        with closing(self._handed_over(self._outgoing(messages))) as results:
            try:
                for result in results:
                    outgoing, error = result.message, result.error
                    failed = error and as_flask_mail(error, sender=outgoing.sender)
                    yield from self._taken()
                    yield self._told(outgoing.origin, receipt=result.receipt, error=failed)
            except Exception:  # what `messages` raises comes behind the results of all before
                yield from self._taken()
                raise
        yield from self._taken()

    def _handed_over(self, outgoing: Iterable[Outgoing]) -> Generator[AnyResult[Outgoing]]:
        if not self._state.suppress:
            return self._state.submitter().send_many(outgoing)
        return (_checked(each) for each in outgoing)

    def _outgoing(self, messages: Iterable[Message]) -> Iterator[Outgoing]:
        """What is handed over; of the others the results are kept."""
        for message in messages:
            message.portmail_receipt = None
            made = self._made(message)
            if isinstance(made, Outgoing):
                yield made
            else:
                self._unwritable.append(self._told(message, error=made))

    def _made(self, message: Message) -> Outgoing | PortmailError:
        with self._context():
            app_at_work()  # complains before anything is sent
            try:
                return Outgoing.of(message, state=self._state)
            except Exception as exc:  # noqa: BLE001  # told in the result: the others are sent all the same
                return as_flask_mail(_refusal(exc))

    def _told(
        self, message: Message, *, receipt: Receipt | None = None, error: PortmailError | None = None
    ) -> Result:
        message.portmail_receipt = receipt
        with self._context():
            tell(app_at_work(), message, error=error)
        return Result(message, receipt, error)

    def _taken(self) -> Iterator[Result]:
        while self._unwritable:
            yield self._unwritable.popleft()


def _checked(outgoing: Outgoing) -> AnyResult[Outgoing]:
    try:
        outgoing.check()
    except PortmailError as error:
        return AnyResult(outgoing, None, error)
    return AnyResult(outgoing, None, None)


def _refusal(exc: Exception) -> PortmailError:
    """Why a message cannot be made; a class of the program's may raise anything."""
    if isinstance(exc, PortmailError):
        return exc
    error = ContentError(f"the message cannot be written: {type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error
