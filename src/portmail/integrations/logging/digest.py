"""Which log records go into the next mail, and when does it go? Decided without clock, thread or socket.

What is kept is bounded: `capacity` kinds of records, a text for each. Records that are alike are counted,
and so is what finds no room.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from portmail.errors import ConfigurationError
from portmail.reply import printable

HOUR = 3600.0

TOGETHER = 1.0
"""Seconds that the first record of a quiet time waits for those that come with it."""

PAUSE = 30.0
"""Seconds at least until a failed mail's records are tried again."""

LONGEST_BODY = 100_000
"""Characters of a mail, beyond which records are left out."""

_HEAD, _TAIL = 7_000, 3_000
"""Characters that are kept of a record: a traceback begins with what happened and ends with why."""

_LONGEST_LINE = 120

SUPPRESSED, UNSENT, DOUBTFUL = "suppressed", "unsent", "doubtful"

_FOOTNOTES = {
    SUPPRESSED: "{count:,} more suppressed: there was no room for them.",
    UNSENT: "{count:,} records before these are lost: their mail was refused for good.",
    DOUBTFUL: "{count:,} records before these may have arrived, or not: the connection was lost.",
}
"""What a mail says of records that it does not show."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, and how often.

    `capacity` is how many kinds of records are kept for a mail, `flush_interval` seconds between two
    mails, `max_per_hour` how many mails there may be within an hour.

    Raises:
        ConfigurationError: a number that is none, or too small.
    """

    capacity: int = 50
    flush_interval: float = 60.0
    max_per_hour: int = 20

    def __post_init__(self) -> None:
        for name, least in (("capacity", 1), ("max_per_hour", 1)):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigurationError(f"{name}={number!r} must be a whole number from {least}")
        check_seconds("flush_interval", seconds=self.flush_interval)


def check_seconds(name: str, *, seconds: float) -> None:
    """It must be a finite number from 0.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ConfigurationError(f"{name}={seconds!r} must be a finite number of seconds from 0")


@dataclass(slots=True)
class Kind:
    """Records that are alike: the first of them in words, how many, and when (seconds since 1970)."""

    text: str
    first_line: str
    level: int
    levelname: str
    first: float
    last: float
    count: int = 1

    def joined(self, later: Kind) -> Kind:
        """Both together."""
        return replace(self, last=max(self.last, later.last), count=self.count + later.count)

    def __str__(self) -> str:
        more = f"\n[{self.count - 1:,} more like this until {_clock(self.last)}]" if self.count > 1 else ""
        return f"{self.text}{more}"


@dataclass(frozen=True, slots=True)
class Digest:
    """What goes into one mail: kinds of records in the order in which they began, and mere counts."""

    kinds: Mapping[Hashable, Kind]
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many there were of the kinds."""
        return sum(kind.count for kind in self.kinds.values())

    def subject(self, template: str, *, host: str) -> str:
        """The template with the fields levelname, first_line, count and host filled in.

        Of several records, levelname says how many, and that the worst was of this level; the first
        line is the worst one's. Whatever a record says, it is one line.
        """
        worst = max(self.kinds.values(), key=lambda kind: kind.level)
        several = self.records > 1
        name = f"{self.records:,} records, worst {worst.levelname}" if several else worst.levelname
        first_line = one_line(worst.first_line)
        return one_line(template.format(levelname=name, first_line=first_line, count=self.records, host=host))

    def body(self, *, origin: str) -> str:
        """The kinds one after the other, as many as there is room for, what is not shown, and who says it."""
        parts = list(self._shown())
        left = len(self.kinds) - len(parts)
        notes = [f"{left:,} more kinds of records are left out: the mail is long enough."] if left else []
        notes += [_FOOTNOTES[name].format(count=count) for name, count in self.counted.items() if count]
        origin = f"{self.records:,} records of {origin}" if self.records > 1 else origin
        parts.append("\n".join([*notes, origin]))
        return _clean("\n\n".join(parts)) + "\n"

    def _shown(self) -> Iterator[str]:
        room = LONGEST_BODY
        for kind in self.kinds.values():
            text = str(kind)
            room -= len(text)
            if room < 0:
                return
            yield text


class Gathering:
    """Takes records in, and says when a mail may go. `now` is any clock's seconds, always the same one's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kinds: dict[Hashable, Kind] = {}
        self._counted: Counter[str] = Counter()
        self._since = self._last = self._pause = -math.inf
        self._mailed: deque[float] = deque(maxlen=limits.max_per_hour)

    @property
    def records(self) -> int:
        """How many are waiting, with those that found no room."""
        return sum(kind.count for kind in self._kinds.values()) + self._counted[SUPPRESSED]

    @property
    def unmailed(self) -> Counter[str]:
        """How many records no mail has told of, by what became of them: UNSENT (or waiting) and DOUBTFUL."""
        return Counter({UNSENT: self.records + self._counted[UNSENT], DOUBTFUL: self._counted[DOUBTFUL]})

    def count(self, key: Hashable, *, created: float) -> bool:
        """Count a record that needs no words: one like it is kept, or it has no room. Returns whether so."""
        if (kind := self._kinds.get(key)) is not None:
            kind.count += 1
            kind.last = max(kind.last, created)
            return True
        if len(self._kinds) >= self._limits.capacity:
            self._counted[SUPPRESSED] += 1
            return True
        return False

    def keep(self, key: Hashable, *, kind: Kind, now: float) -> None:
        """Keep a record, the first of its kind."""
        if self.count(key, created=kind.last):  # another thread was faster
            return
        if not self._kinds:
            self._since = now
        self._kinds[key] = kind

    def due(self, *, now: float) -> float | None:
        """In how many seconds a mail may go; None where there is nothing to tell."""
        if not self._kinds:
            return None
        soonest = max(self._since + TOGETHER, self._last + self._limits.flush_interval, self._pause)
        return max(0.0, soonest - now, self._until_free(now))

    def _until_free(self, now: float) -> float:
        """Seconds until the hour has room for one more mail."""
        full = len(self._mailed) == self._mailed.maxlen
        return max(0.0, self._mailed[0] + HOUR - now) if full else 0.0

    def take(self, *, now: float, wanted: bool = False, last: bool = False) -> Digest | None:
        """What is to be mailed now; None if it is not time.

        `wanted`: somebody asked for it, so only the hour's limit counts; `last`: not even that.
        """
        waits = self.due(now=now)
        if waits is None or not (last or waits == 0 or (wanted and self._until_free(now) == 0)):
            return None
        digest = Digest(self._kinds, self._counted)
        self._kinds, self._counted = {}, Counter()
        return digest

    def went(self, *, now: float) -> None:
        """The mail that was taken was accepted."""
        self._last = now
        self._mailed.append(now)

    def lost(self, digest: Digest, *, now: float, how: str) -> None:
        """The mail is not sent again; the next one tells of it. `how` is UNSENT or DOUBTFUL."""
        self.went(now=now)
        self._counted.update(digest.counted)
        self._counted[how] += digest.records + self._counted.pop(SUPPRESSED, 0)

    def again(self, digest: Digest, *, now: float, after: float | None = None) -> None:
        """The mail was not sent: its records go with the next one, not before `after` seconds."""
        later, self._kinds = self._kinds, dict(digest.kinds)
        self._counted.update(digest.counted)
        self._pause = now + max(self._limits.flush_interval, after or 0.0, PAUSE)
        for key, kind in later.items():
            if key in self._kinds:
                self._kinds[key] = self._kinds[key].joined(kind)
            elif len(self._kinds) < self._limits.capacity:
                self._kinds[key] = kind
            else:
                self._counted[SUPPRESSED] += kind.count


def one_line(text: str) -> str:
    """The first line of a text that holds something, short, and harmless as a header."""
    line = next((line for line in _clean(text).splitlines() if line.strip()), "").strip()
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE - 1]}…"
    # What looks like an encoded word (RFC 2047) would be read as one.
    return " ".join(line.replace("=?", "= ?").split())


def shortened(text: str) -> str:
    """The text without its middle, if it is very long."""
    text = text.strip("\n")
    left_out = len(text) - _HEAD - _TAIL
    return f"{text[:_HEAD]}\n[{left_out:,} characters left out]\n{text[-_TAIL:]}" if left_out > 0 else text


def _clean(text: str) -> str:
    """The text as mail can carry it: no control characters, no half characters."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return printable(text.encode("utf-8", "backslashreplace").decode())


def _clock(created: float) -> str:
    return datetime.fromtimestamp(created).astimezone().strftime("%H:%M:%S")
