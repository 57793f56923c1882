"""What became of a message of many, and which exit code goes with it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from portmail import errors
from portmail.cause import Nature
from portmail.cli import exits
from portmail.failure import Phase
from portmail.language import Words, english
from portmail.receipt import Attempt, Receipt
from portmail.reply import Reply

ORDER = (
    exits.IN_DOUBT,
    exits.NOT_PERMITTED,
    exits.CONFIGURATION,
    exits.NO_HOST,
    exits.SOFTWARE,
    exits.UNAVAILABLE,
    exits.TEMPORARY,
    exits.DATA,
    exits.RECIPIENTS,
)
"""The exit code of a run is the first of these that a message of it has, else 0: what a person must
look into, then what is wrong with the account or the server, then what the same command will do
when it is run again, then what it never will."""


class State(StrEnum):
    """How far a message got. The value is what the journal and a program are told."""

    BEGUN = "begun"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """For good: the same would be refused again."""
    NOT_SENT = "not-sent"
    """Provably, for a reason that may pass, or one that is not the message's."""
    IN_DOUBT = "in-doubt"


class Known(NamedTuple):
    """What a journal knows of a message: its state, and the exit code that goes with it."""

    state: State
    code: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. `code` is the exit code that it has a part in, see `ORDER`."""

    key: str
    state: State
    code: int
    message_id: str = ""
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, Reply] = field(default_factory=dict)
    error: errors.PortmailError | None = None

    @classmethod
    def accepted_as(cls, receipt: Receipt, *, key: str) -> Outcome:
        """The server has it, for some of its recipients at least."""
        code = exits.RECIPIENTS if receipt.refused else exits.OK
        return cls(key, State.ACCEPTED, code, receipt.message_id, receipt.accepted, receipt.refused)

    @classmethod
    def failed_with(cls, error: errors.PortmailError, *, key: str) -> Outcome:
        """It was not accepted, or nobody knows."""
        state = _state(error)
        return cls(
            key,
            state,
            _code(error, state=state),
            getattr(error, "message_id", ""),
            getattr(error, "accepted", ()),
            refused=getattr(error, "refused", {}),
            error=error,
        )

    @property
    def went_well(self) -> bool:
        """Whether there is nothing to tell of it."""
        return self.error is None and not self.refused

    def why(self, into: Words = english) -> str:
        """What is to be told of it in one line, in the language of `into`; empty where all went well."""
        if self.error is None:
            return ", ".join(f"refused: {who}: {reply}" for who, reply in self.refused.items())
        first = _told(self.error, into).partition("\n")[0]
        attempts = _attempts(self.error)
        return " ".join(f"{first} {attempts[-1].said(into)}".split()) if attempts else first

    @property
    def ominous(self) -> bool:
        """Whether it says something about the server, and no message that follows will fare better soon."""
        if self.state is State.IN_DOUBT:
            return True
        delivery = self.state is State.NOT_SENT and isinstance(self.error, errors.DeliveryError)
        return delivery and not any(attempt.phase in _OF_THE_MESSAGE for attempt in _attempts(self.error))


_OF_THE_MESSAGE = {Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT, Phase.FINAL_DOT}


def _told(error: errors.PortmailError, into: Words) -> str:
    if not isinstance(error, errors.DeliveryError):
        return str(error)
    from portmail.conclusion import in_words  # other commands do not pay for it

    return in_words(error, into)


def _attempts(error: errors.PortmailError | None) -> tuple[Attempt, ...]:
    return error.attempts if isinstance(error, errors.DeliveryError) else ()


_NOT_SENT = (
    errors.AddressError,
    errors.AuthenticationFailed,
    errors.ConfigurationError,
    errors.CredentialsUnavailable,
    errors.DiscoveryError,
    errors.HeldBack,
    errors.InsecureChannel,
    errors.InternalError,
    errors.Rejected,
    errors.Unreachable,
)
"""Errors of messages that are provably not sent. After any other one, nobody knows."""


def _state(error: errors.PortmailError) -> State:
    if not isinstance(error, _NOT_SENT):
        return State.IN_DOUBT
    if isinstance(error, errors.AddressError):
        return State.NOT_SENT if isinstance(error.__cause__, OSError) else State.REFUSED
    if not isinstance(error, errors.Rejected) or error.temporary:
        return State.NOT_SENT
    # "No mail from you at all" is not about this message.
    about_it = any(
        attempt.phase in _OF_THE_MESSAGE and attempt.error and attempt.error.nature is Nature.PERMANENT
        for attempt in error.attempts
    )
    return State.REFUSED if about_it else State.NOT_SENT


def _code(error: errors.PortmailError, *, state: State) -> int:
    if state is State.IN_DOUBT:
        return exits.IN_DOUBT
    return exits.TEMPORARY if state is State.NOT_SENT and _may_pass(error) else exits.exit_code(error)


def _may_pass(error: errors.PortmailError) -> bool:
    """Whether the same may succeed later; a file that cannot be read now may be read then."""
    return getattr(error, "temporary", False) or isinstance(error.__cause__, OSError)
