"""On which cloud or platform does this machine run, and which ports does it block? The table `hosting.csv`.

Its columns, with lists parted by spaces:

- `dmi`: how the firmware names the machine: `field=regular expression`, of which one has to fit all of the
  field (a file of `/sys/class/dmi/id`); several are parted by " ; ";
- `environ`: variables, of which one is set there;
- `blocks`: ports out of which the policy lets nothing;
- `words`: for a person, what it blocks, and how that is lifted or got round. It is looked up for
  translation, so it stays as it is;
- `as_of`: the date of the source, or the day on which it was read where it bears none; `source`: where it is
  written.

Nothing is asked of the network. A container sees the firmware of the machine below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from portmail.table import rows

TABLE = "hosting.csv"

FIRMWARE = Path("/sys/class/dmi/id")

_OR = " ; "


class Hosting(NamedTuple):
    """Who runs the machine.

    Attributes:
        blocks: the ports to which nothing gets out, by policy; an account may be an exception.
        words: one English sentence on it; a message id for translation.
        as_of: when that was so, an ISO date.
        source: where it is written.
    """

    id: str
    name: str
    blocks: frozenset[int]
    words: str
    as_of: str
    source: str


class Line(NamedTuple):
    """A line of the table: who it is, and the marks of which any is enough."""

    hosting: Hosting
    dmi: tuple[tuple[str, str], ...]
    environ: tuple[str, ...]


def hosted_at(*, environ: Mapping[str, str], dmi: Mapping[str, str] | None = None) -> Hosting | None:
    """Where a program with these variables runs, on this machine; None where nothing is known.

    A platform goes before the cloud on which it stands: its policy comes on top.

    Args:
        environ: the program's variables.
        dmi: what the firmware says, by field; None reads this machine's.
    """
    for line in lines():
        for name in line.environ:
            if environ.get(name):
                return line.hosting
    return _cloud(frozenset((firmware() if dmi is None else dmi).items()))


@lru_cache(maxsize=16)  # a cache: this machine's firmware, and what a program asks about besides
def _cloud(dmi: frozenset[tuple[str, str]]) -> Hosting | None:
    """Whose machine says this of itself, by field."""
    fields = dict(dmi)
    for line in lines():
        if any(re.fullmatch(wanted, fields.get(field, "")) for field, wanted in line.dmi):
            return line.hosting
    return None


@cache  # a cache: the firmware does not change while the program runs
def firmware() -> Mapping[str, str]:
    """What this machine's firmware says, in the fields of the table; nothing where there is none to ask."""
    return {field: _read(FIRMWARE / field) for field in {field for line in lines() for field, _ in line.dmi}}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


@cache  # a cache: the table is read once, and does not change while the program runs
def lines() -> tuple[Line, ...]:
    """All of the table; nothing where whoever packed the program left it out."""
    return tuple(map(_line, rows(TABLE)))


def _line(row: Mapping[str, str]) -> Line:
    hosting = Hosting(
        id=row["id"],
        name=row["name"],
        blocks=frozenset(map(int, row["blocks"].split())),
        words=row["words"],
        as_of=row["as_of"],
        source=row["source"],
    )
    return Line(
        hosting, tuple(map(_mark, filter(None, row["dmi"].split(_OR)))), tuple(row["environ"].split())
    )


def _mark(words: str) -> tuple[str, str]:
    field, _, wanted = words.partition("=")
    return field, wanted
