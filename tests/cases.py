"""Which cases of a long matrix are for every day? The others are marked long, and run by `pytest -m long`."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def cases(every: Iterable[Any], *, daily: Container[Any]) -> list[Any]:
    """Give parametrize every case, a tuple for several arguments; those that are not `daily` are long."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if case in daily else pytest.mark.long
        )
        for case in every
    ]
