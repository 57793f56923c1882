"""Which messages `portmail send-many` finds in a directory, a Maildir and an mbox."""

from __future__ import annotations

import mailbox
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.cli.exits import UsageError
from portmail.cli.mailboxes import FileLetter, Letter, OctetsLetter, message_id_of, open_source
from tests.messages import message

POSTMARK = b"From me@example.org Thu Jan  1 00:00:00 2026\n"


def mbox(tmp_path: Path, octets: bytes) -> list[OctetsLetter]:
    path = tmp_path / "box"
    path.write_bytes(octets)
    letters = list(open_source(str(path)))
    assert sum(letter.weight for letter in letters) == len(octets) == open_source(str(path)).total
    return [letter for letter in letters if isinstance(letter, OctetsLetter)]


def paths(letters: list[Letter]) -> list[Path]:
    return [Path(letter) for letter in letters if isinstance(letter, FileLetter)]


def names(letters: list[Letter]) -> list[str]:
    return [letter.key for letter in letters]


def test_a_directory_holds_its_eml_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.eml", "A.EML", "c.txt", ".d.eml", "10.eml", "räksmörgås.eml"):
        (tmp_path / name).write_bytes(b"Subject: x\n\n")
    (tmp_path / "deeper.eml").mkdir()
    (tmp_path / "deeper.eml" / "d.eml").touch()
    source = open_source(str(tmp_path))
    assert names(list(source)) == ["10.eml", "A.EML", "b.eml", "räksmörgås.eml"]
    assert source.total == 4
    assert paths([next(iter(source))]) == [tmp_path / "10.eml"]


def test_a_maildir_holds_its_messages_whatever_flags_they_have(tmp_path: Path) -> None:
    maildir = mailbox.Maildir(tmp_path / "mail")
    first, second = maildir.add(message()), maildir.add(message())
    (tmp_path / "mail" / "new" / ".hidden").touch()
    (tmp_path / "mail" / "tmp" / "unfinished").touch()
    before = names(list(open_source(str(tmp_path / "mail"))))
    read = maildir[first]
    read.set_subdir("cur")
    read.add_flag("S")
    maildir[first] = read
    after = list(open_source(str(tmp_path / "mail")))
    assert before == names(after) == sorted([first, second])
    assert any(path.name.endswith(":2,S") for path in paths(after))


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_an_mbox_is_cut_where_its_messages_begin(tmp_path: Path, end: str) -> None:
    text = (
        "From me@example.org Thu Jan  1 00:00:00 2026\n"
        "Subject: 1\n\nHello.\n>From here on\n>>From there\n> From\n\n"
        "From MAILER-DAEMON Fri Jul  8 12:08:34 2011\n"
        "Subject: 2\n\n\n\n"
        "From - Sat Jan  3 01:05:34 EST 1996 remote from x\n"
        "Subject: 3\n\n\n"
        "From x@y Sat, 3 Jan 1996 01:05:34 +0000\n"
        "Subject: 4\n\nwithout an end"
    )
    letters = mbox(tmp_path, text.replace("\n", end).encode())
    assert [letter.replace(end.encode(), b"\n") for letter in letters] == [
        b"Subject: 1\n\nHello.\nFrom here on\n>From there\n> From\n",
        b"Subject: 2\n\n\n",
        b"Subject: 3\n\n",
        b"Subject: 4\n\nwithout an end",
    ]
    assert not any(letter.doubt for letter in letters)
    assert len({letter.key for letter in letters}) == 4


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from([b"", b"From x", b">From x", b"From ", b"a", b"."])), min_size=1))
def test_what_was_written_as_mboxrd_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[list[bytes]]
) -> None:
    wanted = [b"".join(line + b"\n" for line in (b"Subject: x", b"", *body)) for body in bodies]

    def quoted(octets: bytes) -> bytes:
        lines = octets.splitlines(keepends=True)
        return b"".join(b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in lines)

    stored = b"".join(POSTMARK + quoted(octets) + b"\n" for octets in wanted)
    assert list(map(bytes, mbox(tmp_path_factory.mktemp("mbox"), stored))) == wanted


def test_the_mbox_of_the_standard_library_is_understood(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box")
    for number in range(3):
        box.add(message(text=f"{number}\n\nFrom now on\n"))
    box.close()
    letters = list(open_source(str(tmp_path / "box")))
    assert [message_id_of(letter) for letter in letters] == ["<1@example.org>"] * 3
    assert all(isinstance(letter, bytes) and letter.endswith(b"\nFrom now on\n") for letter in letters)


# Where a message ends must be beyond doubt: what follows may be for somebody else.
DOUBTFUL = {
    "no empty line before a postmark": (b"Subject: 1\n\nHello.\n", POSTMARK, "no empty line"),
    "a postmark without a date": (b"Subject: 1\n\nHello.\n\n", b"From you@example.org\n", "no date"),
}


@pytest.mark.parametrize("doubtful", DOUBTFUL)
def test_a_message_whose_end_is_doubtful_is_one_and_says_so(tmp_path: Path, doubtful: str) -> None:
    first, line, words = DOUBTFUL[doubtful]
    rest = b"Subject: 2\n\nHello.\n\n"
    one, sure = mbox(tmp_path, POSTMARK + first + line + rest + POSTMARK + b"Subject: 3\n\n")
    assert words in one.doubt
    assert line.decode().strip() in one.doubt
    assert not sure.doubt


def test_a_line_amid_a_paragraph_may_begin_with_from(tmp_path: Path) -> None:
    [letter] = mbox(tmp_path, POSTMARK + b"Subject: 1\n\nI come\nFrom here.\n\n")
    assert not letter.doubt
    assert letter.endswith(b"\nFrom here.\n")


def test_equal_messages_have_different_keys(tmp_path: Path) -> None:
    one, two = mbox(tmp_path, (POSTMARK + b"Subject: 1\n\n\n") * 2)
    assert bytes(one) == bytes(two)
    assert one.key != two.key


def test_a_key_stays_when_something_is_appended(tmp_path: Path) -> None:
    stored = (POSTMARK + b"Subject: 1\n\nHello.\n\n") * 2
    before = names([*mbox(tmp_path, stored)])
    assert names([*mbox(tmp_path, stored + POSTMARK + b"Subject: 2\n\n")])[:2] == before


def test_a_large_mbox_is_never_whole_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "box"
    with path.open("wb") as file:
        for _ in range(60):
            file.write(POSTMARK + b"Subject: 1\n\n" + (b"x" * 999 + b"\n") * 100 + b"\n")
    source = iter(open_source(str(path)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in source) == 60
        assert tracemalloc.get_traced_memory()[1] < 1_000_000 < path.stat().st_size / 5
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("stored", ["", "new"], ids=["mbox", "directory"])
def test_where_nothing_is_there_is_no_message(tmp_path: Path, stored: str) -> None:
    path = tmp_path / "nothing"
    path.mkdir() if stored else path.touch()
    source = open_source(str(path))
    assert (list(source), source.total) == ([], 0)


def test_what_is_no_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "single.eml").write_bytes(b"From: me@example.org\n\nHello.\n")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    os.mkfifo(tmp_path / "fifo")
    wrong = {
        "single.eml": "no mbox",
        "binary": "no mbox",
        "nowhere": "No such file",
        "fifo": "neither a directory nor a file",
        "nul\0": "null",
    }
    for name, words in wrong.items():
        with pytest.raises(UsageError, match=words):
            open_source(str(tmp_path / name))


def test_a_message_id_is_found_in_the_header_only(tmp_path: Path) -> None:
    path = tmp_path / "1.eml"
    path.write_bytes(b"Subject: 1\r\nmessage-ID:\r\n <1@x>\r\n\r\nMessage-ID: <2@x>\r\n")
    [letter] = open_source(str(tmp_path))
    assert message_id_of(letter) == "<1@x>"
    path.write_bytes(b"Subject: 1\n\nMessage-ID: <2@x>\n")
    assert message_id_of(letter) == ""
    path.unlink()
    assert message_id_of(letter) == ""
