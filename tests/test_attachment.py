"""How does a file travel? As it would if it had been read, but read only while its message is sent."""

from __future__ import annotations

import base64
import copy
import io
import os
import pickle
import random
import tracemalloc
from collections.abc import Callable
from email import message_from_bytes
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.attachment import FileLines, FilePart, base64_lines
from portmail.canonical import BLOCK
from portmail.composing import compose
from portmail.content import Content
from portmail.errors import ContentError
from portmail.submission import Submission

ME, YOU = "me@example.org", "you@example.org"
BIG = 3 * BLOCK + 17


def octets(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311


def with_file(path: Path, **fields: Any) -> EmailMessage:
    return compose(sender=ME, to=YOU, subject="Hello", text="Hello.\n", attachments=path, **fields)


def with_octets(path: Path, *, maintype: str, subtype: str, **fields: Any) -> EmailMessage:
    message = compose(sender=ME, to=YOU, subject="Hello", text="Hello.\n", **fields)
    message.add_attachment(path.read_bytes(), maintype=maintype, subtype=subtype, filename=path.name)
    return message


def flattened(message: EmailMessage) -> bytes:
    random.seed(1)
    target = io.BytesIO()
    BytesGenerator(target, policy=SMTP).flatten(copy.deepcopy(message))
    return target.getvalue()


def content(message: EmailMessage) -> Content:
    message = copy.deepcopy(message)
    message["Date"], message["Message-ID"] = "Mon, 01 Jan 2024 00:00:00 +0000", "<1@example.org>"
    random.seed(1)
    return Submission.of(message).content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "report.pdf"
    file.write_bytes(octets(BIG))
    return file


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 114, 29184, 29185, BIG])
def test_a_file_travels_as_the_standard_library_would_send_its_octets(tmp_path: Path, size: int) -> None:
    file = tmp_path / "Übersicht für alle, mit einem langen Namen und noch mehr.txt"
    file.write_bytes(octets(size))
    sent = content(with_file(file))
    expected = content(with_octets(file, maintype="text", subtype="plain"))
    assert sent.data == expected.data
    assert sent.size == len(sent.data) == sum(map(len, sent.stuffed_blocks()))
    assert flattened(with_file(file)) == flattened(with_octets(file, maintype="text", subtype="plain"))


@given(st.binary(max_size=300))
def test_lines_of_base64(data: bytes) -> None:
    assert base64_lines(data) == base64.encodebytes(data).replace(b"\n", b"\r\n")


def test_a_message_may_have_files_beside_html(path: Path) -> None:
    html = {"html": "<p>Hello</p>"}
    sent = content(with_file(path, **html))
    assert sent.data == content(with_octets(path, maintype="application", subtype="pdf", **html)).data
    assert len(list(sent.blocks())) > 3


def test_the_part_is_like_any_attachment(path: Path) -> None:
    message = with_file(path)
    [part] = message.iter_attachments()
    [other] = with_octets(path, maintype="application", subtype="pdf").iter_attachments()
    assert part.items() == other.items()
    assert part.get_filename() == "report.pdf"
    assert part.is_attachment()
    assert not part.is_multipart()
    assert part.get_content() == path.read_bytes()
    assert part.get_payload() == other.get_payload()
    assert part.as_bytes() == other.as_bytes()
    assert [walked.get_content_type() for walked in message.walk()] == [
        "multipart/mixed",
        "text/plain",
        "application/pdf",
    ]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_is_read_from_the_file(path: Path, copied: Callable[[Any], Any]) -> None:
    [part] = with_file(path).iter_attachments()
    again = copied(part)
    path.write_bytes(b"new")
    assert again.get_content() == b"new"
    again["X"] = "1"
    again.set_content("something else")
    assert again.get_content() == "something else\n"


def test_a_pickle_holds_the_octets(path: Path) -> None:
    pickled = pickle.dumps(with_file(path))
    data = path.read_bytes()
    path.unlink()
    [part] = pickle.loads(pickled).iter_attachments()  # noqa: S301  # our own
    assert part.get_content() == data


def test_a_part_with_a_content_of_its_own_forgets_the_file(path: Path) -> None:
    message = with_file(path)
    [part] = message.iter_attachments()
    part.set_content("something else", filename="x.txt")
    assert b"something else" in content(message).data
    part.make_mixed()
    assert part.is_multipart()
    assert b"something else" in content(message).data


def test_a_file_that_became_a_multipart_travels(path: Path) -> None:
    part = FilePart.of(path, maintype="application", subtype="pdf")
    part.make_mixed()
    part["From"], part["To"] = ME, YOU
    assert content(part).data.count(b"multipart/mixed") == 1
    [inner] = part.iter_parts()
    assert inner.get_content() == path.read_bytes()


def test_a_message_that_the_generator_writes_has_the_file_too(path: Path) -> None:
    message, expected = (with_file(path), with_octets(path, maintype="application", subtype="pdf"))
    message.preamble = expected.preamble = "You have no MIME."
    assert content(message).data == content(expected).data


def test_nothing_is_read_before_it_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr("portmail.attachment._read", read)
    blocks = content(with_file(path)).blocks()
    assert b"report.pdf" in next(blocks)
    with pytest.raises(AssertionError):
        next(blocks)


def test_a_file_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(bytes(4 * 1024 * 1024))
    tracemalloc.start()
    try:
        sent = content(with_file(file))
        assert sum(map(len, sent.stuffed_blocks())) == sent.size
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def touched(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def other_octets(path: Path) -> None:
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [shorter, longer, touched, other_octets, gone])
def test_a_file_that_has_changed_is_not_sent(path: Path, change: Callable[[Path], None]) -> None:
    sent = content(with_file(path))
    change(path)
    with pytest.raises(ContentError, match=r"report\.pdf"):
        list(sent.blocks())


@pytest.mark.parametrize("change", [shorter, longer, touched])
def test_a_file_that_changes_while_it_is_read_is_not_sent(path: Path, change: Callable[[Path], None]) -> None:
    lines = FileLines.of(path)
    blocks = lines.blocks()
    taken = [next(blocks)]
    change(path)
    with pytest.raises(ContentError, match="changed"):
        taken.extend(blocks)
    assert sum(map(len, taken)) < lines.size


def test_a_file_can_be_read_again_from_the_start(path: Path) -> None:
    sent = content(with_file(path))
    blocks = sent.blocks()
    next(blocks)
    next(blocks)
    assert b"".join(sent.blocks()) == sent.data


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    path.symlink_to(path)


def missing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("make", [directory, pipe, unreadable, missing])
def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "odd"
    make(path)
    with pytest.raises(ContentError, match=r"the file .*odd cannot be read: \w+"):
        with_file(path)


def test_a_file_may_be_replaced_between_composing_and_sending(path: Path) -> None:
    message = with_file(path)
    path.write_bytes(b"new")
    assert base64.encodebytes(b"new").strip() in content(message).data


def test_a_message_may_be_the_path_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "message.eml"
    file.write_bytes(b"From: me@example.org\nTo: you@example.org\nMessage-ID: <1@x.org>\nDate: 1\n\nHello\n")
    submission = Submission.of(file)
    assert submission.content.data == file.read_bytes().replace(b"\n", b"\r\n")
    assert [box.path for box in submission.envelope.recipients] == [YOU]


@pytest.mark.parametrize("make", [directory, pipe, missing])
def test_a_path_without_a_message_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "message.eml"
    make(path)
    with pytest.raises(ContentError, match=r"message\.eml cannot be read"):
        Submission.of(path)


def test_a_str_is_neither_a_message_nor_a_path() -> None:
    with pytest.raises(ContentError, match=r"str is no message: .*pathlib\.Path"):
        Submission.of("message.eml")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mail.eml", "page.mht"])
def test_a_message_in_a_file_is_a_file_like_any_other(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"Subject: inner\r\n\r\n\xff\x00")
    [part] = message_from_bytes(content(with_file(file)).data, policy=SMTP).iter_attachments()
    # Base64 is forbidden in message/rfc822 (RFC 2046 section 5.2.1), and only base64 fits any octets.
    assert part.get_content_type() == "application/octet-stream"
    assert (part.get_filename(), part.get_content()) == (name, file.read_bytes())
