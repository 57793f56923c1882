"""`portmail demo`: the product without an account. A blocked port, a delivered message, an attack."""

from __future__ import annotations

import argparse
import base64
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portmail.cause import Cause
from portmail.cli.exits import OK, SOFTWARE
from portmail.cli.report import error_as_data, in_json, receipt_as_data, tell, tls_in_words
from portmail.composing import compose
from portmail.errors import ConfigurationError, DeliveryError, InsecureChannel
from portmail.receipt import Attempt, Receipt
from portmail.route import SUBMISSION, SUBMISSIONS
from portmail.submitter import Submitter

if TYPE_CHECKING:
    from portmail.sandbox import Sandbox

NAME = "demo"
HELP = "show the product: an embedded server, a blocked port, a delivered message, an attack"

_USER, _PASSWORD = "me@example.com", "correct horse battery staple"
_SUBJECT = "It gets out: 587 is blocked, 465 is open"
_SOON = 3.0
"""Seconds; several times what is usual, far below the ten that a blocked port would cost."""
_TEXT = "Dear reader,\n\nthe first port said nothing, so this came through the second.\n"


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, told by both sides: portmail's word, and what the server recorded."""

    receipt: Receipt
    arrived: tuple[bytes, ...]
    attack: DeliveryError | None
    in_clear: bytes
    claims: Mapping[str, bool]
    """What the demo says, and whether the server's record agrees."""


def arguments(_parser: argparse.ArgumentParser) -> None:
    """There is nothing to say."""


def run(options: argparse.Namespace) -> int:
    """Play it and tell it. Exit code 0 only if everything that is told really happened."""
    with _sandbox() as sandbox:
        story = play(sandbox)
        lines = list(_told(story, services=_services(sandbox)))
    if options.json:
        tell(in_json(_as_data(story)))
    else:
        tell("\n".join(lines))
    return OK if all(story.claims.values()) else SOFTWARE


def _sandbox() -> Sandbox:
    try:
        from portmail.sandbox import Sandbox
    except ImportError as missing:
        raise ConfigurationError(str(missing)) from None
    return Sandbox(users={_USER: _PASSWORD})


def play(sandbox: Sandbox) -> Story:
    """Send one message past a blocked port, and one into an attack, which must not be sent."""
    try:
        sandbox.block(SUBMISSION)
    except RuntimeError as unable:  # not every kernel can be made to drop what it is sent
        raise ConfigurationError(f"the demo cannot block a port here: {unable}") from None
    message = compose(
        to="you@example.org", bcc="archive@example.org", subject=_SUBJECT, text=_TEXT, sender=_USER
    )
    mail = Submitter(routes=sandbox.routes, username=_USER, password=_PASSWORD, tls_ca=sandbox.ca)
    with mail:
        receipt = mail.send(message)
    before = len(sandbox.sessions)
    sandbox.open_port(SUBMISSION)
    sandbox.strip_starttls()
    attack = None
    try:
        with mail:  # on a new connection: one that is open and secure already would serve
            mail.send(message)
    except DeliveryError as error:
        attack = error
    attacked = sandbox.sessions[before:]
    in_clear = b"".join(session.plaintext for session in attacked)
    arrived = tuple(received.content for received in sandbox.messages)
    return Story(receipt, arrived, attack, in_clear, _claims(sandbox, receipt, attack, in_clear))


def _claims(
    sandbox: Sandbox, receipt: Receipt, attack: DeliveryError | None, in_clear: bytes
) -> dict[str, bool]:
    received = sandbox.messages
    logins = sum(session.authentications for session in sandbox.sessions)
    silent = receipt.attempts[0].error
    content = received[0].content if received else b""
    return {
        "587 was silent": silent is not None and silent.cause in (Cause.OVERTAKEN, Cause.TIMED_OUT),
        "it went out through 465 without waiting for 587": len(received) >= 1
        and received[0].service == SUBMISSIONS
        and receipt.duration < _SOON,
        "the server saw TLS and the login": len(received) >= 1
        and received[0].tls is not None
        and received[0].username == _USER,
        "it arrived as it was written, without Bcc": _SUBJECT.encode() in content
        and b"archive@" not in content,
        "the attack was recognized": isinstance(attack, InsecureChannel) and len(attack.attempts) == 2,
        "nothing was sent into it": len(received) == 1 and logins == 1,
        "no credential travelled in clear": not any(form in in_clear for form in _forms()),
    }


def _forms() -> Iterator[bytes]:
    """The credentials in every form in which a mechanism could show them."""
    user, password = _USER.encode(), _PASSWORD.encode()
    yield password
    for secret in (user, password, b"\0" + user + b"\0" + password):
        yield base64.b64encode(secret).rstrip(b"=")[:-1]


def _services(sandbox: Sandbox) -> dict[int, str]:
    return {sandbox.port(service): str(service) for service in (SUBMISSION, SUBMISSIONS)}


def _told(story: Story, *, services: Mapping[int, str]) -> Iterator[str]:
    yield "A mail server on this machine; something on the way drops whatever is sent to port 587."
    yield "A message goes out, with a user name and a password:"
    yield ""
    yield from (
        _step(attempt, services=services, receipt=story.receipt) for attempt in story.receipt.attempts
    )
    yield ""
    yield f"It took {story.receipt.duration:.1f} s. This is what arrived:"
    yield ""
    yield from (
        textwrap.indent(content.decode(), "  | ", lambda _: True).rstrip() for content in story.arrived
    )
    yield ""
    yield "Now an attack: something on the way takes STARTTLS and TLS away, on every port. The same again:"
    yield ""
    if story.attack:
        yield from (_step(attempt, services=services, receipt=None) for attempt in story.attack.attempts)
        yield ""
        yield str(story.attack).split("\n", 1)[0]
    seen = ", ".join(
        line.decode("latin-1") for line in story.in_clear.split(b"\r\n") if line.isascii() and line
    )
    yield f"All that was said in clear: {seen[:60]}"
    yield ""
    yield from (f"  {'yes' if true else 'NO '}  {claim}" for claim, true in story.claims.items())


def _step(attempt: Attempt, *, services: Mapping[int, str], receipt: Receipt | None) -> str:
    where = f"  {services[attempt.route.port]} {attempt.route.security.value}"
    if attempt.error is None and receipt is not None:
        how = f"{tls_in_words(receipt.tls)}, accepted as {receipt.message_id}: {receipt.reply}"
    elif attempt.error and attempt.error.cause is Cause.OVERTAKEN:
        how = f"no answer after {attempt.seconds:.1f} s"
    else:
        how = str(attempt.error)
    return f"{where:<20}{how}"


def _as_data(story: Story) -> dict[str, Any]:
    return {
        "claims": dict(story.claims),
        "receipt": receipt_as_data(story.receipt),
        "attack": error_as_data(story.attack) if story.attack else None,
    }
