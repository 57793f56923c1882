"""Can this application mail? `flask portmail check` looks whether mail can go out, `... test` sends one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from flask import current_app
from flask.cli import AppGroup

from portmail.errors import PortmailError
from portmail.integrations.flask.connection import Connection
from portmail.integrations.flask.message import Message
from portmail.integrations.flask.state import State, state_of
from portmail.integrations.flask.texts import written

commands = AppGroup("portmail", help="Look after this application's mail.")


@commands.command("check")
@click.option("--login", is_flag=True, help="Log in, once, where the way is secure.")
def check(*, login: bool) -> None:
    """Say whether this application's mail can go out, and if not: why, and what to do. Nothing is sent."""
    from portmail.integrations import checking  # an application that serves does not pay for it

    with _exit_code():
        state = _introduced()
        _end(checking.check(state.submitter(), login=login, stream=sys.stdout))


@commands.command("test")
@click.argument("address")
def test(address: str) -> None:
    """Send a test message to ADDRESS."""
    from portmail.cli.exits import CONFIGURATION
    from portmail.integrations.checking import plan

    with _exit_code():
        state = _introduced()
        click.echo(plan(state.settings(), stream=sys.stdout))
        message = Message(f"Test of {current_app.name}", recipients=[address], body="Mail goes out.\n")
        receipt = Connection(state).send(message)
        if receipt is None:
            click.echo("nothing was sent: sending is suppressed", err=True)
            _end(CONFIGURATION)
        click.echo(f"accepted by {receipt.route}: {receipt.reply}")


def _introduced() -> State:
    state = state_of(current_app)
    sender = written(state.default_sender) if state.default_sender else "none: set MAIL_DEFAULT_SENDER"
    click.echo(f"default sender: {sender}")
    if state.suppress:
        click.echo("sending is suppressed: MAIL_SUPPRESS_SEND, or TESTING")
    return state


@contextmanager
def _exit_code() -> Iterator[None]:
    """End the program with the code of the error, if there is one."""
    from portmail.cli.exits import exit_code
    from portmail.integrations.checking import told

    try:
        yield
    except PortmailError as error:
        click.echo(f"portmail: {told(error, stream=sys.stderr)}", err=True)
        code = exit_code(error)
    else:
        return
    _end(code)


def _end(code: int) -> NoReturn:
    click.get_current_context().exit(code)
