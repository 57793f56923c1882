"""What stands in a table that comes with portmail? The rows of a CSV file beside the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rows(name: str, *, package: str = "portmail") -> Sequence[Mapping[str, str]]:
    """Its rows, by the names of the columns. None where whoever packed the program left the table out."""
    import csv
    import pkgutil  # a tenth of the time of importlib.resources, which brings tempfile and zipfile

    try:
        text = (pkgutil.get_data(package, name) or b"").decode("utf-8")
    except OSError:
        return ()
    return tuple(csv.DictReader(text.splitlines()))
