"""What did the server say? Replies read from octets that come in any pieces."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest

from portmail.reply import MAX_LINE, MAX_REPLY, MalformedReply, Reply, ReplyReader, printable

CONVERSATION = (
    b"220 mail.example.com ESMTP\r\n"
    b"250-mail.example.com\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
    b"250\r\n"
    b"550-5.1.1 No such user\r\n550 5.1.1 here\r\n"
    b"451 4.7.1 Gr\xc3\xbc\xc3\x9fe\r\n"
)
REPLIES = [
    Reply(220, None, "mail.example.com ESMTP"),
    Reply(250, None, "mail.example.com\nSIZE 1000\nSTARTTLS"),
    Reply(250, None, ""),
    Reply(550, "5.1.1", "No such user\nhere"),
    Reply(451, "4.7.1", "Grüße"),
]


def read(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    return [reply for piece in pieces for reply in reader.feed(piece)]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([CONVERSATION], id="all at once"),
        pytest.param([bytes([octet]) for octet in CONVERSATION], id="octet by octet"),
        pytest.param(CONVERSATION.splitlines(keepends=True), id="line by line"),
        pytest.param([CONVERSATION.replace(b"\r\n", b"\n")], id="with bare line feeds"),
    ],
)
def test_replies_are_the_same_however_the_octets_come(pieces: list[bytes]) -> None:
    assert read(*pieces) == REPLIES


def test_replies_are_the_same_wherever_the_octets_are_split() -> None:
    for cut in range(len(CONVERSATION)):
        assert read(CONVERSATION[:cut], CONVERSATION[cut:]) == REPLIES


@pytest.mark.parametrize(
    ("octets", "amid"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"250 ok\r\n", False, id="a whole reply"),
        pytest.param(b"2", True, id="one octet"),
        pytest.param(b"250 ok", True, id="a line without its end"),
        pytest.param(b"250-one\r\n", True, id="the first of several lines"),
        pytest.param(b"250 ok\r\n250 more", True, id="a reply and the beginning of the next"),
    ],
)
def test_an_unfinished_reply_is_noticed(octets: bytes, amid: bool) -> None:
    reader = ReplyReader()
    reader.feed(octets)
    assert reader.amid is amid


@pytest.mark.parametrize(
    ("line", "enhanced", "text"),
    [
        pytest.param("550 5.7.1 no", "5.7.1", "no", id="agrees"),
        pytest.param("550 5.7.1", "5.7.1", "", id="without text"),
        pytest.param("550 5.123.456 no", "5.123.456", "no", id="three digits each"),
        pytest.param("550 4.7.1 no", None, "no", id="of another class is not believed"),
        pytest.param("550 5.7 no", None, "5.7 no", id="two numbers are none"),
        pytest.param("550 5.7.1.1 no", None, "5.7.1.1 no", id="four numbers are none"),
        pytest.param("550 5.1234.1 no", None, "5.1234.1 no", id="four digits are none"),
        pytest.param("354 3.0.0 go on", None, "3.0.0 go on", id="there is no class 3"),
        pytest.param("550 see 5.7.1", None, "see 5.7.1", id="only in front"),
        pytest.param("550 5.7.\N{ARABIC-INDIC DIGIT ONE} no", None, "5.7.\u0661 no", id="ASCII digits only"),
    ],
)
def test_the_enhanced_code_is_the_one_that_agrees_with_the_reply_code(
    line: str, enhanced: str | None, text: str
) -> None:
    [reply] = read(line.encode() + b"\r\n")
    assert (reply.enhanced, reply.text) == (enhanced, text)


def test_of_enhanced_codes_that_disagree_the_first_of_the_right_class_counts() -> None:
    [reply] = read(b"550-4.1.1 one\r\n550-5.2.2 two\r\n550 5.3.3 three\r\n")
    assert reply == Reply(550, "5.2.2", "one\ntwo\nthree")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\r\n", id="empty line"),
        pytest.param(b"25 ok\r\n", id="two digits"),
        pytest.param(b"2500 ok\r\n", id="four digits"),
        pytest.param(b"150 ok\r\n", id="a first digit below 2"),
        pytest.param(b"650 ok\r\n", id="a first digit above 5"),
        pytest.param(b"250_ok\r\n", id="neither space nor hyphen"),
        pytest.param(b" 250 ok\r\n", id="space in front"),
        pytest.param(b"hello\r\n", id="no code"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="another protocol"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n", id="TLS"),
        pytest.param("25\N{ARABIC-INDIC DIGIT ONE} ok\r\n".encode(), id="digits that are not ASCII"),
        pytest.param(b"250-one\r\n251 two\r\n", id="a code that changes"),
        pytest.param(b"250-one\r\ntwo\r\n", id="a second line without code"),
    ],
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedReply):
        read(octets)


def test_a_reply_in_front_of_what_is_none_counts_and_the_complaint_comes_next() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250 ok\r\n\r\n") == [Reply(250, None, "ok")]
    assert reader.amid
    with pytest.raises(MalformedReply):
        reader.feed(b"250 more\r\n")


def test_a_line_may_be_long_but_not_longer_than_the_limit() -> None:
    line = b"250 ".ljust(MAX_LINE, b"x")
    assert len(read(line + b"\r\n")[0].text) == MAX_LINE - 4
    assert read(line + b"\r", b"\n") == read(line + b"\r\n")
    with pytest.raises(MalformedReply):
        read(line + b"x\r\n")


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"250-ab\r\n" * 2000, id="short lines"),
        pytest.param(b"2" * 16_000, id="a line without end"),
        pytest.param(b"x\r\n" * 5000, id="no replies"),
        pytest.param(b"250-\xff\xff\r\n" * 2000, id="no UTF-8"),
    ],
)
def test_little_is_kept_of_what_never_ends(piece: bytes) -> None:
    reader = ReplyReader()
    tracemalloc.start()
    try:
        for _ in range(8):
            with contextlib.suppress(MalformedReply):
                reader.feed(bytes(bytearray(piece)))
            kept, _ = tracemalloc.get_traced_memory()
            assert kept <= 64 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("piece", "limit"),
    [
        pytest.param(b"2".ljust(100, b"x"), MAX_LINE, id="a line"),
        pytest.param(b"250-".ljust(100, b"x") + b"\r\n", MAX_REPLY, id="a reply of many lines"),
    ],
)
def test_what_never_ends_is_refused_before_it_fills_the_memory(piece: bytes, limit: int) -> None:
    assert read(*[piece] * (limit // 102)) == []
    with pytest.raises(MalformedReply):
        read(*[piece] * (limit // 100 + 1))


def test_the_limit_is_for_one_reply_not_for_the_connection() -> None:
    reader = ReplyReader()
    line = b"250 ".ljust(1000, b"x") + b"\r\n"
    assert sum(len(reader.feed(line)) for _ in range(MAX_REPLY // 1000 + 2)) == MAX_REPLY // 1000 + 2


def test_control_characters_never_reach_a_terminal() -> None:
    [reply] = read(b"550 \x1b[2J\x07a\tb\rc\x00d\x7f\xc2\x9be\r\n")
    assert reply.text == "?[2J?a?b?c?d??e"
    assert str(MalformedReply(b"\x1b[2J" + b"x" * 1000)) == "?[2J" + "x" * 116
    assert printable("two\nlines") == "two\nlines"
    assert printable("a\u2028b\u2029c\u202ed\u2066e") == "a?b?c?d?e"


def test_octets_that_are_no_utf8_are_read_all_the_same() -> None:
    assert read(b"550 Gr\xfc\xdfe\r\n")[0].text == "Gr��e"


@pytest.mark.parametrize(
    ("code", "positive", "transient", "permanent"),
    [
        (220, True, False, False),
        (399, True, False, False),
        (400, False, True, False),
        (499, False, True, False),
        (500, False, False, True),
        (599, False, False, True),
    ],
    ids=str,
)
def test_the_first_digit_says_what_a_reply_means(
    code: int, positive: bool, transient: bool, permanent: bool
) -> None:
    reply = Reply(code)
    assert (reply.positive, reply.transient, reply.permanent) == (positive, transient, permanent)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(250), "250"),
        (Reply(250, None, "ok"), "250 ok"),
        (Reply(550, "5.1.1", "No such user\nhere"), "550 5.1.1 No such user here"),
    ],
    ids=["code alone", "with text", "of two lines"],
)
def test_a_reply_prints_as_one_line(reply: Reply, words: str) -> None:
    assert str(reply) == words
