"""How is a table told where there is no rich, or no terminal?"""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from typing import get_args

import pytest

from portmail.cli import columns
from portmail.cli.columns import Cell, Row, Style, mark, show_table
from portmail.cli.lines import is_terminal, wrapped

CONTROLS = "\x1b[31m\x07\x9b\u202e\u2028\r"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Encoded(io.StringIO):
    """A stream in memory has no encoding; this one says that it has."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # it is no property there, but no variable either
        return self._encoding


def shown(headings: list[str], *rows: Row) -> list[str]:
    stream = io.StringIO()
    show_table(headings, rows, stream=stream)
    assert stream.getvalue().endswith("\n")
    return stream.getvalue().splitlines()


def row(*texts: str) -> Row:
    return [Cell(text) for text in texts]


def test_columns_are_aligned_and_no_line_ends_in_blanks() -> None:
    told = shown(["", "route", "what"], row("ok", "a:587", "open"), row("no", "mail.example.org:465", ""))
    assert told == [
        "    route                 what",
        "ok  a:587                 open",
        "no  mail.example.org:465",
    ]


def test_a_table_without_rows_is_its_headings() -> None:
    assert shown(["route", "what"]) == ["route  what"]


def test_the_last_column_is_as_long_as_it_is() -> None:
    long = "word " * 200 + "end"
    assert shown(["a", "b"], row("1", long)) == ["a  b", f"1  {long}"]


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("接続", 4),
        ("ｱｲｳ", 3),  # half-width katakana
        ("ＡＢ", 4),  # noqa: RUF001  # full-width Latin
        ("ガ", 2),
        (unicodedata.normalize("NFD", "ガ"), 2),
        (unicodedata.normalize("NFD", "é"), 1),
        ("✓✗", 2),
        ("α…", 2),  # noqa: RUF001  # ambiguous
        ("a\u200db", 2),
        ("한글", 4),
        ("", 0),
    ],
)
def test_east_asian_characters_take_up_two_columns(text: str, width: int) -> None:
    assert shown(["12345", "x"], row(text, "|"))[1] == f"{text}{' ' * (5 - width)}  |"


def test_what_a_server_says_stays_text() -> None:
    told = shown(["a", "b"], row(f"{CONTROLS}x", "one\ntwo"), row("[red]x[/red]", ":smile:"))
    assert told[1:] == ["?[31m?????x   one two", "[red]x[/red]  :smile:"]


def test_a_row_has_as_many_cells_as_there_are_headings() -> None:
    with pytest.raises(ValueError, match="shorter"):
        shown(["a", "b"], row("1"))


def test_styles_leave_no_trace_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(["a"], *([Cell("x", style)] for style in get_args(Style)))[1:] == ["x"] * 5


def test_a_reader_that_goes_away_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        show_table(["a"], [row("1")], stream=stream)
        show_table(["a"], [row("1")], stream=stream)


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [
        ("utf-8", ["✓", "!", "✗"]),
        ("ascii", ["ok", "!", "no"]),
        ("cp932", ["ok", "!", "no"]),
        ("euc_jp", ["ok", "!", "no"]),
        ("no-such-encoding", ["ok", "!", "no"]),
    ],
)
def test_marks_fit_the_encoding(encoding: str, marks: list[str]) -> None:
    stream = Encoded(encoding)
    told = [mark(style, stream=stream) for style in get_args(Style)[:3]]
    assert [it.text for it in told] == marks
    assert [it.style for it in told] == ["good", "warning", "bad"]


def test_a_stream_in_memory_takes_every_mark_and_what_says_nothing_has_none() -> None:
    assert mark("good", stream=io.StringIO()) == Cell("✓", "good")
    assert mark("", stream=io.StringIO()) == Cell("")
    assert mark("dim", stream=io.StringIO()) == Cell("", "dim")


@pytest.mark.parametrize(
    ("term", "expected"), [("xterm", True), ("dumb", False), ("unknown", False), (None, False)]
)
def test_a_dumb_terminal_is_told_as_a_file_is(
    term: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if term is None:
        monkeypatch.delenv("TERM", raising=False)
    else:
        monkeypatch.setenv("TERM", term)
    assert is_terminal(Terminal()) is expected
    assert not is_terminal(io.StringIO())
    assert not is_terminal(None)


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    drawn, plain = Terminal(), Terminal()
    show_table(["a", "b"], [row("1", "2")], stream=drawn)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "portmail.cli.terminal")
    show_table(["a", "b"], [row("1", "2")], stream=plain)
    assert plain.getvalue() == "a  b\n1  2\n"
    assert drawn.getvalue() != plain.getvalue()


@pytest.mark.parametrize("columns", [32, 50, 79])
def test_on_a_terminal_no_row_is_broken_in_its_middle(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "portmail.cli.terminal", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    texts = ("open; TLS 1.3, certificate valid", "ポートから応答がありません(タイムアウト)")
    show_table(["", "way", "what"], [row("ok", "a:587", it) for it in texts], stream=stream)
    told = stream.getvalue().splitlines()
    assert max(sum(1 + (ord(it) > 0x2000) for it in line) for line in told) <= columns
    firsts = [line for line in told[1:] if line.startswith("ok  a:587  ")]
    others = [line for line in told[1:] if line.startswith(" " * 11)]
    assert (len(firsts), len(firsts) + len(others)) == (2, len(told) - 1)
    everything = "".join(line[11:] for line in told[1:]).replace(" ", "")
    assert everything == "".join(texts).replace(" ", "")


def test_on_a_terminal_too_narrow_for_that_nothing_is_broken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "portmail.cli.terminal", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    show_table(["way", "what"], [row("a:587", "a word and others")], stream=stream)
    assert stream.getvalue().splitlines() == ["way    what", "a:587  a word and others"]


def test_every_mark_has_a_style_and_an_ascii_form() -> None:
    assert set(columns._MARKS) < set(get_args(Style))
    assert all(plain.isascii() for _, plain in columns._MARKS.values())


# ------------------------------------------------------------------------------------------ lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", [""], id="nothing"),
        pytest.param("one two", ["one two"], id="one line"),
        pytest.param("one two six", ["one two", "six"], id="words"),
        pytest.param("one twos-six", ["one", "twos-six"], id="no break at a hyphen"),
        pytest.param("one (six) a", ["one", "(six) a"], id="no break behind a bracket"),
        pytest.param("a-longer-word is", ["a-longer-word", "is"], id="a word longer than a line"),
        pytest.param("is a-longer-word", ["is", "a-longer-word"], id="and behind another"),
        pytest.param("送信できません", ["送信でき", "ません"], id="between any two characters"),
        pytest.param("送信でき。ます", ["送信で", "き。ます"], id="not before a full stop"),
        pytest.param("送信です「可」", ["送信です", "「可」"], id="not behind an opening bracket"),
        pytest.param("送信で(可)", ["送信で", "(可)"], id="nor behind one of ASCII"),
        pytest.param("送信はTLSで", ["送信は", "TLSで"], id="not within a Latin word"),
        pytest.param("送信は a.de で", ["送信は", "a.de で"], id="at a blank, which goes"),
        pytest.param("サーバーユーザー", ["サーバー", "ユーザー"], id="with the long sound"),
    ],
)
def test_a_text_is_broken_where_its_language_is(text: str, lines: list[str]) -> None:
    assert wrapped(text, columns=8).split("\n") == lines


def test_an_indent_counts_and_stands_before_each_line_but_the_first() -> None:
    assert wrapped("- one two six ten", columns=8, indent="  ") == "- one\n  two\n  six\n  ten"
    assert wrapped("- 送信できません", columns=8, indent="  ") == "- 送信で\n  きませ\n  ん"


@pytest.mark.parametrize("columns", range(20, 60))
def test_no_line_is_too_long_and_nothing_is_lost(columns: int) -> None:
    text = (
        "mail.example.com は動いていますが、587番ポートから応答がありません(タイムアウト)。TLS 1.3 を使う。"
    )
    lines = wrapped(text, columns=columns).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(columns_of, lines)) <= columns
    assert not any(line.startswith(("。", "、", ")", "ー")) or line.endswith("(") for line in lines)


def columns_of(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(it) in "WF" else 1 for it in line)
