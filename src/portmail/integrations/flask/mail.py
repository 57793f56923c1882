"""How does an application send? `Mail`: for one application or many, over connections that last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from flask import Flask, has_app_context

from portmail.integrations.flask.commands import commands
from portmail.integrations.flask.connection import Connection
from portmail.integrations.flask.many import Result, send_many
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.outgoing import Outgoing
from portmail.integrations.flask.signals import email_dispatched
from portmail.integrations.flask.state import EXTENSION, FLASK_MAIL, State, current_state, state_of
from portmail.integrations.flask.telling import app_at_work, told

if TYPE_CHECKING:
    from portmail.receipt import Receipt


class Mail:
    """Mail for an application, or for all that are given to `init_app`.

    `app` is the one that it serves also outside of a context, `state` what its config said; both are
    None where it serves whichever application is at work.

    Raises:
        ConfigurationError: a setting that cannot be met; the text names it.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: State | None = self.init_app(app) if app is not None else None

    def init_app(self, app: Flask) -> State:
        """Read the application's settings, and give it `flask portmail`.

        Raises:
            ConfigurationError: a setting that cannot be met; the text names it.
        """
        state = self.init_mail(app.config, debug=app.debug, testing=app.testing)
        app.extensions[EXTENSION] = state
        if isinstance(app.extensions.get(FLASK_MAIL), State | None):
            app.extensions[FLASK_MAIL] = state
        app.cli.add_command(commands)
        return state

    def init_mail(
        self,
        config: Mapping[str, Any],
        debug: bool | int = False,  # noqa: FBT001, FBT002  # as Flask-Mail has it
        testing: bool = False,  # noqa: FBT001, FBT002  # as Flask-Mail has it
    ) -> State:
        """What such a config says.

        Raises:
            ConfigurationError: a setting that cannot be met; the text names it.
        """
        return State(config, debug=debug, testing=testing)

    def __getattr__(self, name: str) -> Any:
        """An attribute of the state."""
        state = None if name.startswith("_") or name == "state" else self.state or current_state()
        if not hasattr(state, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(state, name)

    def connect(self) -> Connection:
        """Something to send several messages by; `with` has a connection ready, or tells why not."""
        return Connection(self._state())

    def send(self, message: Message) -> Receipt | None:
        """Send a message; the receipt is its `portmail_receipt`, too. See `Connection.send`."""
        with self._context():
            return message.send(self.connect())

    def send_message(self, *args: Any, **kwargs: Any) -> Receipt | None:
        """Make a `Message` of the arguments, and send it."""
        with self._context():
            return self.send(Message(*args, **kwargs))

    async def asend(self, message: Message) -> Receipt | None:
        """`send` for an async view: its loop goes on meanwhile, and the connections are the same.

        They cannot be of the view's own loop, which ends with the request. Who is cancelled while
        the message is on its way finds in the exception's notes what became of it.
        """
        with self._context():
            state = self._state()
            message.portmail_receipt = None
            with told(message):
                outgoing = Outgoing.of(message, state=state)
                if state.suppress:
                    outgoing.check()
                else:
                    message.portmail_receipt = await outgoing.awaited(state.submitter())
        return message.portmail_receipt

    def send_many(self, messages: Iterable[Message]) -> Generator[Result]:
        """Send many messages, some of them at a time; yields a `Result` for each, as it is known.

        A message that fails does not keep the others from being sent. Nothing is sent before the
        first result is asked for.

        Raises:
            ConfigurationError: a setting that cannot be met; the text names it.
        """
        return send_many(messages, state=self._state(), context=self._context)

    @contextmanager
    def record_messages(self) -> Iterator[list[Message]]:
        """A list of the messages that are sent meanwhile, by whichever application; suppressed ones, too."""
        outbox: list[Message] = []

        def record(app: Flask, message: Message) -> None:  # noqa: ARG001  # blinker gives it
            outbox.append(message)

        with email_dispatched.connected_to(record):
            yield outbox

    def _state(self) -> State:
        return state_of(self.app or app_at_work())

    def _context(self) -> AbstractContextManager[object]:
        return nullcontext() if self.app is None or has_app_context() else self.app.app_context()
