"""Does the promise hold? Every part of the proof, for portmail and for its peers, in one table.

    python -m tests.proof [PART ...] [--client NAME ...] [--quick] [--markdown]

Two questions are asked of each part: which faults does each client show, and does the part see the
fault of a client that has it on purpose? The exit code is 0 only if portmail's rows are all zeros,
and every defect was caught.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter

from tests.proof.harness.table import markdown, plain
from tests.proof.harness.tally import CLIENTS, PORTMAIL, Mutant, Tally
from tests.proof.parts import PARTS


@dataclass(frozen=True, slots=True)
class Results:
    """What came of it all."""

    rows: Mapping[tuple[str, str], Tally]
    mutants: Sequence[tuple[str, Mutant, Tally]]
    broken: Sequence[str] = ()
    """Tasks that ended in an exception of their own: the proof's fault, and no proof."""

    @property
    def missed(self) -> list[str]:
        """Defects that a part did not see."""
        return [f"{part}: {it.name}" for part, it, tally in self.mutants if not tally.faults[it.fault]]

    @property
    def holds(self) -> bool:
        """Whether portmail shows no fault, and the proof would have seen one."""
        clean = all(
            tally.runs and not tally.faults.total()
            for (_, who), tally in self.rows.items()
            if who == PORTMAIL
        )
        return clean and not self.missed and not self.broken


def main() -> int:
    """Run what was asked for, and print it."""
    wishes = _parser().parse_args()
    began = perf_counter()
    with _pool(wishes.processes) as pool:
        parts, clients = wishes.parts or list(PARTS), wishes.client or CLIENTS
        results = run(pool, parts=parts, clients=clients, quick=wishes.quick)
    for line in (markdown if wishes.markdown else plain)(results.rows):
        print(line)
    for line in told(results):
        print(line)
    print(f"{perf_counter() - began:.0f} s with {wishes.processes} processes")
    return 0 if results.holds else 1


def _pool(processes: int) -> Executor:
    """Processes that do one task each: a defect on purpose is gone with its process."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.proof.parts"])
    return ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--client", action="append", choices=CLIENTS)
    parser.add_argument("--quick", action="store_true", help="a sample of each part")
    parser.add_argument("--markdown", action="store_true", help="the table as README has it")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    return parser


def run(pool: Executor, *, parts: Sequence[str], clients: Sequence[str], quick: bool) -> Results:
    """Every task of these parts and clients, and every mutant."""
    shares: dict[Future[Tally], tuple[str, str]] = {}
    defects: dict[Future[Tally], tuple[str, Mutant]] = {}
    for name in parts:
        for client in clients:
            tasks = PARTS[name].tasks(client, quick=quick)
            shares |= {pool.submit(task): (PARTS[name].TITLE, client) for task in tasks}
    for name in parts:
        defects |= {pool.submit(it.task): (PARTS[name].TITLE, it) for it in PARTS[name].mutants()}
    rows = dict.fromkeys(shares.values(), Tally())
    left = Counter(shares.values())
    broken = []
    for future in as_completed([*shares, *defects]):
        if error := future.exception():
            part, client = shares.get(future) or (defects[future][0], defects[future][1].name)
            broken.append(f"{part}, {client}: {error!r}")
        if future not in shares:
            continue
        part, client = shares[future]
        rows[part, client] += Tally() if error else future.result()
        left[part, client] -= 1
        if not left[part, client]:
            print(f"{part}, {client}: {rows[part, client].runs:,} runs", file=sys.stderr, flush=True)
    caught = [
        (part, it, Tally() if future.exception() else future.result())
        for future, (part, it) in defects.items()
    ]
    return Results(rows, caught, broken)


def told(results: Results) -> Iterator[str]:
    """What a person wants to know beside the table."""
    caught = len(results.mutants) - len(results.missed)
    yield f"\n{caught} of {len(results.mutants)} clients with a defect on purpose were caught."
    yield from (f"  not caught: {missed}" for missed in results.missed)
    yield from (f"  broken: {broken}" for broken in results.broken)
    for (part, client), tally in results.rows.items():
        if client == PORTMAIL and not tally.runs:
            yield f"  nothing ran: {part}"
        if client == PORTMAIL and tally.faults.total():
            yield from (f"  {part}: {example}" for example in tally.examples)


if __name__ == "__main__":
    sys.exit(main())
