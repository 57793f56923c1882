"""Was a goal met? A row of the table: the work, the goal, what was measured, and everybody's figures."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

_HOLDS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<=": operator.le, ">=": operator.ge}
)
_TITLES = ("work", "goal", "measured", "", "median of each (max-min in % of it)")


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, with words where the number alone does not say it: `Goal("<=", 0.85, "of its time")`."""

    relation: str
    limit: float
    unit: str = ""

    def met(self, value: float) -> bool:
        """Whether that value reaches it."""
        return _HOLDS[self.relation](value, self.limit)

    def __str__(self) -> str:
        return f"{self.relation} {_short(self.limit)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    work: str
    goal: Goal
    value: float
    figures: Mapping[str, str]

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in its columns."""
        met = "met" if self.goal.met(self.value) else "not met"
        told = "; ".join(f"{name} {figure}" for name, figure in self.figures.items())
        return (self.work, str(self.goal), _short(self.value), met, told)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured several times."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Samples:
        """Samples of these values."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The largest less the smallest, in percent of the median."""
        return 100 * (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    def told(self, unit: str, *, factor: float = 1.0) -> str:
        """The median in that unit, and the spread where there is one."""
        spread = f" ({self.spread:.0f} %)" if len(self.values) > 1 else ""
        return f"{_short(self.median * factor)} {unit}{spread}"


def aligned(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [_TITLES, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TITLES))]
    padded = (map(str.ljust, line, widths) for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def markdown(rows: Sequence[Row]) -> str:
    """The table for README."""
    lines = [_TITLES, tuple("---" for _ in _TITLES), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value: float) -> str:
    """Three digits that count, and thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) >= 1 else 3}f}".rstrip("0").rstrip(".")
