"""What happens to many messages, from the first to the last? `Run`: taken, told, kept, stopped in time."""

from __future__ import annotations

from collections.abc import Iterator

from portmail.bulk import Result
from portmail.cli import exits
from portmail.cli.counting import Tally
from portmail.cli.journal import Journal, JournalFailed
from portmail.cli.mailboxes import Letter, Source, message_id_of
from portmail.cli.outcomes import Known, Outcome, State
from portmail.cli.report import error_in_words
from portmail.cli.stopping import Stop
from portmail.cli.telling import Teller
from portmail.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ContentError,
    CredentialsUnavailable,
    DeliveryError,
    DiscoveryError,
    InDoubt,
    InsecureChannel,
)
from portmail.language import Language, words
from portmail.submitter import Submitter

_ENOUGH = 20
"""So many ominous ends in a row, and no more messages are taken."""

_OF_THE_ACCOUNT = (
    AuthenticationFailed,
    ConfigurationError,
    CredentialsUnavailable,
    DiscoveryError,
    InsecureChannel,
)
"""What would end every other message in the same way."""


class Run:
    """One run through a source."""

    def __init__(
        self,
        source: Source,
        submitter: Submitter,
        *,
        journal: Journal | None,
        as_json: bool,
        language: Language,
    ) -> None:
        self._source = source
        self._submitter = submitter
        self._journal = journal
        self._tally = Tally(source.total, source.counted)
        path = journal.path if journal else None
        self._teller = Teller(self._tally, journal=path, as_json=as_json, language=language)
        self._into = words(language)
        self._stop = Stop(self._teller.progress.stopping)
        self._because = ""
        self._complete = False
        self._ominous = 0

    def through(self) -> int:
        """Send what is left to be sent, and tell; return the exit code."""
        try:
            with self._teller.progress, self._stop:
                begun = self._begun if self._journal else None
                for result in self._submitter.send_many(self._letters(), before_commit=begun):
                    self._settle(result.message, _outcome(result))
        except KeyboardInterrupt:
            self._teller.cut_short()
            raise KeyboardInterrupt from None  # what the library notes is about one message
        code = exits.INTERRUPTED if self._stop.asked and not self._complete else self._tally.code
        self._teller.end(code, complete=self._complete, because=self._because)
        return code

    def _letters(self) -> Iterator[Letter]:
        """What is to be sent, for as long as nothing speaks against going on."""
        past = self._journal.past if self._journal else {}
        try:
            for letter in self._source:
                if self._stop.asked or self._because:
                    return
                if letter.key in past:
                    self._settled_earlier(letter, known=past[letter.key])
                elif letter.doubt:
                    self._settle(letter, Outcome.failed_with(ContentError(letter.doubt), key=letter.key))
                else:
                    yield letter
            self._complete = True
        except OSError as exc:
            self._end_early(f"{self._source.name} cannot be read: {exc.strerror}")
            self._tally.codes.add(exits.CONFIGURATION)

    def _begun(self, letter: Letter) -> None:
        """In the submitter's thread. What is raised here holds the message back."""
        if self._journal:
            self._journal.begun(letter.key)

    def _settle(self, letter: Letter, outcome: Outcome) -> None:
        self._tally.settled(outcome, weight=letter.weight)
        self._keep(outcome)
        # What is not sent for the reason that ended the run says nothing new.
        self._teller.tell(outcome, aloud=not (self._because and outcome.state is State.NOT_SENT))
        self._judge(outcome)

    def _settled_earlier(self, letter: Letter, *, known: Known) -> None:
        self._tally.settled_earlier(known, weight=letter.weight)
        if known.state is State.IN_DOUBT:
            again = InDoubt("in doubt since an earlier run, not sent again: look whether it arrived")
            again.message_id = message_id_of(letter)
            self._teller.tell(Outcome.failed_with(again, key=letter.key))
        else:
            self._teller.progress.moved(self._tally)

    def _keep(self, outcome: Outcome) -> None:
        try:
            if self._journal:
                self._journal.ended(outcome)
        except JournalFailed as failed:
            self._tally.codes.add(exits.CONFIGURATION)
            self._end_early(str(failed))

    def _judge(self, outcome: Outcome) -> None:
        """Whether the others need be tried."""
        self._ominous = self._ominous + 1 if outcome.ominous else 0
        if isinstance(outcome.error, _OF_THE_ACCOUNT):
            told = error_in_words(outcome.error, self._into)
            self._end_early(f"every other message would meet the same.\n{told}")
        elif self._ominous >= _ENOUGH and outcome.error:
            told = error_in_words(outcome.error, self._into)
            self._end_early(f"so it went {self._ominous} times in a row.\n{told}")

    def _end_early(self, because: str) -> None:
        self._because = self._because or because


def _outcome(result: Result[Letter]) -> Outcome:
    if result.error is None and result.receipt is not None:
        return Outcome.accepted_as(result.receipt, key=result.message.key)
    return Outcome.failed_with(result.error or DeliveryError("no result"), key=result.message.key)
