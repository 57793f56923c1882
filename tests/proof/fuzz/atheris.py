"""What does a coverage-guided fuzzer find? The targets of `targets.py` under atheris.

    pip install atheris
    python -m tests.proof.fuzz.atheris replies -runs=1000000
    python -m tests.proof.fuzz.atheris replies corpus/ -max_total_time=3600

The first argument is the target; the others are libFuzzer's. An input for which a target raises is
written down by libFuzzer, and is run again by giving its file as an argument. Without atheris, which
is no dependency of portmail, it says so and ends with exit code 2; `python -m tests.proof` runs the
same targets with hypothesis.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_MISSING = """\
atheris is not installed, so nothing was fuzzed: pip install atheris
(python -m tests.proof runs the same targets with hypothesis)"""


def main() -> int:
    """Fuzz a target until libFuzzer has done what its arguments say."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print(_MISSING, file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["portmail"]):
        targets = importlib.import_module("tests.proof.fuzz.targets").TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        print(f"give a target: one of {', '.join(targets)}", file=sys.stderr)
        return 2
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets[sys.argv[1]])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
