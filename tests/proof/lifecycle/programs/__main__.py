"""Which program is run?

    python -m tests.proof.lifecycle.programs PROGRAM[:MORE] CLIENT_PORT_CA

The last argument is JSON. A program prints a line of JSON for each message: its number, and what it was
told. What else is wrong in its own eyes it prints as a complaint. It judges nothing of the server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.proof.lifecycle.programs import closings, endings, forks, interrupts, scarcity, threads
from tests.proof.lifecycle.programs.clients import Server

_THEMES = (forks, threads, endings, closings, scarcity, interrupts)

PROGRAMS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {program.__name__: program for theme in _THEMES for program in theme.PROGRAMS}
)


def main() -> None:
    """Run the program that is named."""
    name, _, more = sys.argv[1].partition(":")
    server = Server(*json.loads(sys.argv[2]))
    PROGRAMS[name](server, **({"more": int(more)} if more else {}))


if __name__ == "__main__":
    main()
