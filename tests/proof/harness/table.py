"""How is the result shown? One table: for each part, the clients side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.proof.harness.tally import CLIENTS, Fault, Rows, Tally

_HEAD = ("part", "client", "cases", "runs", *(fault.value for fault in Fault))
_UNJUDGED = "\N{EN DASH}"

Row = Sequence[str]


def rows_of(results: Rows) -> list[Row]:
    """The table's rows, and one for each client's sum."""
    parts = list(dict.fromkeys(part for part, _ in results))
    rows = [
        _row(part, client, results[part, client])
        for part in parts
        for client in CLIENTS
        if (part, client) in results
    ]
    return rows + [_row("all", client, tally) for client, tally in totals(results).items()]


def totals(results: Rows) -> Mapping[str, Tally]:
    """The sum of all parts, for each client."""
    sums: dict[str, Tally] = {}
    for client in CLIENTS:
        if tallies := [tally for (_, whose), tally in results.items() if whose == client]:
            sums[client] = sum(tallies, Tally())
    return sums


def _row(part: str, client: str, tally: Tally) -> Row:
    counts = (
        _UNJUDGED if fault in tally.blank and not tally.faults[fault] else f"{tally.faults[fault]:,}"
        for fault in Fault
    )
    return (part, client, f"{tally.cases:,}", f"{tally.runs:,}", *counts)


def plain(results: Rows) -> Iterator[str]:
    """Lines for a terminal."""
    rows = [_HEAD, *rows_of(results)]
    # A column is as wide as the longest word of its head, or its widest number.
    heads = [head.split() for head in _HEAD]
    widths = [
        max(*(len(row[n]) for row in rows[1:]), *(len(word) for word in heads[n])) for n in range(len(_HEAD))
    ]
    height = max(map(len, heads))
    for line in range(height):
        words = [head[line - height + len(head)] if line >= height - len(head) else "" for head in heads]
        yield _line(words, widths=widths)
    yield "-" * (sum(widths) + 2 * len(widths) - 2)
    for row in rows[1:]:
        yield _line(row, widths=widths)


def _line(cells: Row, *, widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths, strict=False)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


def markdown(results: Rows) -> Iterator[str]:
    """Lines for README."""
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{'|'.join(['---', '---'] + ['---:'] * (len(_HEAD) - 2))}|"
    for row in rows_of(results):
        yield f"| {' | '.join(row)} |"
