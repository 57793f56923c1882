"""How does a table look on a terminal? In a process of its own, on a terminal of its own."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

import pytest

from portmail.cli.columns import Style
from portmail.cli.terminal import _STYLES, print_table
from portmail.reply import printable
from tests.terminals import shown, terminal

PROGRAM = """
import sys
from portmail.cli.columns import show_table
headings, rows = eval(sys.stdin.read())
show_table(headings, [[(text, style) for text, style in row] for row in rows], stream=sys.stdout)
assert ("rich" in sys.modules) is {drawn}, "rich draws on terminals, and there alone"
"""

LONG = "接続は成功しましたが、サーバーからのグリーティングが届きません" * 3
ROWS = [
    [("✓", "good"), ("mail.example.org:587 starttls", ""), ("192.0.2.1", "dim"), ("open", "good")],
    [("✗", "bad"), ("別の名前:465 tls", ""), ("2001:db8::1", "dim"), (LONG, "bad")],
    [("!", "warning"), ("x:25", ""), ("", ""), ("[red]no[/red] :smile: \x1b]0;title\x07 {x} \\[b]", "")],
]
HEADINGS = ["", "経路", "address", "what it means"]
SEQUENCE = re.compile("\x1b\\[[0-9;]*m")


def on_a_terminal(*, columns: int = 100, environ: Mapping[str, str] = MappingProxyType({})) -> str:
    """What is on a terminal on which the table is shown."""
    ours, theirs = terminal(columns=columns)
    drawn = environ.get("TERM") != "dumb"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(drawn=drawn)],
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", "TERM": "xterm-256color", **environ},
        input=repr((HEADINGS, ROWS)).encode(),
        stdout=theirs,
        check=True,
    )
    os.close(theirs)
    return shown(ours).replace("\r\n", "\n")


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(it) in "WF" else 1 for it in line)


def test_there_are_colours_and_the_words_are_there_without_them() -> None:
    shown = on_a_terminal(columns=300)
    assert "\x1b[32m✓" in shown
    assert "\x1b[1;31m✗" in shown
    assert "\x1b[33m!" in shown
    lines = SEQUENCE.sub("", shown).splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[2:4]] == [
        ["✓", "mail.example.org:587 starttls", "192.0.2.1", "open"],
        ["✗", "別の名前:465 tls", "2001:db8::1", LONG],
    ]
    assert lines[0].split() == ["経路", "address", "what", "it", "means"]


def test_columns_begin_where_their_headings_begin() -> None:
    lines = SEQUENCE.sub("", on_a_terminal(columns=300)).splitlines()
    for column, *texts in zip(HEADINGS, *([text for text, _ in row] for row in ROWS), strict=True):
        found = {
            width(line.partition(text)[0])
            for line, text in zip([lines[0], *lines[2:]], [column, *texts], strict=True)
            if text.isprintable() and text
        }
        assert len(found) == 1, column


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = SEQUENCE.sub("", on_a_terminal(columns=columns)).splitlines()
    assert len(lines) > len(ROWS) + 2
    assert max(map(width, lines)) <= columns


@pytest.mark.parametrize("columns", [7, 40, 60, 80])
def test_no_letter_is_lost_on_a_narrow_terminal(columns: int) -> None:
    """Where it is very narrow, the terminal itself breaks the lines."""
    cells = [*HEADINGS, *(printable(text) for row in ROWS for text, _ in row)]
    letters = Counter("".join(cells).replace(" ", ""))
    shown = Counter(SEQUENCE.sub("", on_a_terminal(columns=columns)))
    assert {letter: shown[letter] for letter in letters} == letters


@pytest.mark.parametrize("columns", [7, 80, 300])
def test_what_a_server_says_is_neither_markup_nor_a_command_to_the_terminal(columns: int) -> None:
    shown = on_a_terminal(columns=columns)
    assert re.sub(r"\n *|\s+", "", SEQUENCE.sub("", shown)).isprintable()
    if columns == 300:
        assert "[red]no[/red] :smile: ?]0;title? {x} \\[b]" in shown


@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
)
def test_there_are_no_colours_where_nobody_wants_them(environ: dict[str, str]) -> None:
    shown = on_a_terminal(environ=environ)
    assert "\x1b" not in shown
    assert "mail.example.org:587 starttls" in shown


def test_a_terminal_without_the_letters_still_gets_a_table() -> None:
    shown = on_a_terminal(environ={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:backslashreplace"})
    assert shown.isascii()
    assert "mail.example.org:587" in shown


def test_a_stream_that_is_no_terminal_gets_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    print_table(["a\x1b[1m"], [[("x\x1b[1m\x9b", "bad")]], stream=stream)
    assert "\x1b" not in stream.getvalue()
    assert "x?[1m?" in stream.getvalue()


def test_a_terminal_that_goes_away_ends_nothing() -> None:
    ours, theirs = pty.openpty()
    os.close(ours)
    with os.fdopen(theirs, "w") as stream:
        print_table(["a"], [[("x", "bad")]], stream=stream)


def test_every_style_is_one_that_is_drawn() -> None:
    assert set(get_args(Style)) <= set(_STYLES)
