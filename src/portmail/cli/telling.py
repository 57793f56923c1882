"""How is it told what became of many messages? Failures in a line each, the rest in numbers, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from portmail.cli.counting import Tally, counts, duration
from portmail.cli.outcomes import Outcome, State
from portmail.cli.progress import progress_for
from portmail.cli.report import outcome_as_data, summary_as_data, tell, tell_aside
from portmail.language import Language, words
from portmail.reply import printable

_SHOWN = 20
"""Failures that are told one by one; the others are counted."""


class Teller:
    """Tells a person on standard error, and a program on standard output. `journal` is its path, if any.

    `language` is that of why messages were not accepted, for a person.
    """

    def __init__(self, tally: Tally, *, journal: str | None, as_json: bool, language: Language) -> None:
        self.progress = progress_for(tally, stdout_is_read=as_json)
        self._tally = tally
        self._journal = journal
        self._as_json = as_json
        self._into = words(language)
        self._shown = self._left_out = 0

    def tell(self, outcome: Outcome, *, aloud: bool = True) -> None:
        """What became of a message; to a person only if it is told `aloud` and there is something to tell."""
        if self._as_json:
            tell(json.dumps(outcome_as_data(outcome)))
        if aloud and not outcome.went_well:
            self._say(outcome)
        self.progress.moved(self._tally)

    def _say(self, outcome: Outcome) -> None:
        if self._shown == _SHOWN:
            self._left_out += 1
            return
        self._shown += 1
        self.progress.say(" ".join(f"{printable(outcome.key)}: {outcome.why(self._into)}".split()))

    def end(self, code: int, *, complete: bool, because: str) -> None:
        """What became of all; `because` is why not all were tried, where it was not a signal."""
        tell_aside("\n".join(self._summary(complete=complete, because=because)))
        if self._as_json:
            tell(json.dumps(summary_as_data(self._tally, code=code, complete=complete)))

    def cut_short(self) -> None:
        """Nobody knows what became of those that were begun."""
        tell_aside(f"{counts(self._tally)}. {self._how_to_go_on}")

    @property
    def _how_to_go_on(self) -> str:
        if self._journal:
            return "To go on run the same command again: nothing is sent twice."
        return "Without --resume FILE there is no list of what was sent, and no way to go on."

    def _summary(self, *, complete: bool, because: str) -> Iterator[str]:
        tally = self._tally
        yield f"{counts(tally)}, in {duration(tally.elapsed)}" if tally.total else "there is nothing to send"
        if tally.earlier:
            yield f"  {tally.earlier.total():,} of these were settled in earlier runs"
        if tally.partly:
            yield f"  {tally.partly:,} of those sent were refused for some of their recipients"
        if not complete and tally.counted:
            yield f"  {tally.total - tally.done:,} were not tried"
        if self._left_out:
            yield f"  {self._left_out:,} more did not go well: see {self._journal or '--json'}"
        if tally.count(State.IN_DOUBT):
            yield f"  look whether those in doubt arrived. {self._how_to_force}"
        if because:
            yield because if complete else f"ended early: {because}"
        if tally.now[State.NOT_SENT] or not complete:
            yield self._how_to_go_on

    @property
    def _how_to_force(self) -> str:
        if self._journal:
            return f"They are not sent again, unless their lines are taken out of {self._journal}"
        return "To send them again may be to send them twice"
