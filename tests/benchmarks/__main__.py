"""Is portmail as fast as it says? All goals side by side with smtplib and aiosmtplib, in one run.

python -m tests.benchmarks [--quick] [--only NAME ...] [--markdown]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.benchmarks.measures import MEASURES
from tests.benchmarks.places import certified
from tests.benchmarks.rounds import FULL, QUICK, Bench
from tests.benchmarks.rows import Row, aligned, markdown


def main() -> int:
    """Measure, and print the table. Exit code 1 if something failed to run; a goal that is not met is 0."""
    options = _parser().parse_args()
    failures: list[str] = []
    with certified() as directory:
        bench = Bench(directory, QUICK if options.quick else FULL)
        rows = [row for name in options.only or MEASURES for row in _measured(name, bench, failures)]
    print((markdown if options.markdown else aligned)(rows))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute instead of eight")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--markdown", action="store_true", help="print the table for README")
    return parser


def _measured(name: str, bench: Bench, failures: list[str]) -> Iterable[Row]:
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        return list(MEASURES[name](bench))
    except (OSError, RuntimeError) as exc:
        failures.append(f"{name} failed: {exc}")
        return ()


if __name__ == "__main__":
    sys.exit(main())
