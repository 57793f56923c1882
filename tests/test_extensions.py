"""What does a server offer? EHLO replies and what is read from them."""

from __future__ import annotations

import pytest

from portmail.extensions import Extensions
from portmail.reply import ReplyReader


def offered(*lines: str) -> Extensions:
    """The extensions of an EHLO reply with these lines after the greeting."""
    *first, last = ("mail.example.com greets you", *lines)
    octets = "".join(f"250-{line}\r\n" for line in first) + f"250 {last}\r\n"
    [reply] = ReplyReader().feed(octets.encode())
    return Extensions.parse(reply)


def test_keywords_are_read_in_any_case_with_their_parameters() -> None:
    extensions = offered("size 1000", "PIPELINING", "Auth Plain login", "8BitMime")
    assert extensions.keywords == {
        "SIZE": ("1000",),
        "PIPELINING": (),
        "AUTH": ("PLAIN", "LOGIN"),
        "8BITMIME": (),
    }
    assert "8BITMIME" in extensions
    assert "SMTPUTF8" not in extensions


def test_the_greeting_is_no_extension() -> None:
    [reply] = ReplyReader().feed(b"250-STARTTLS\r\n250 SIZE\r\n")
    assert set(Extensions.parse(reply).keywords) == {"SIZE"}
    assert not offered().keywords


def test_an_empty_greeting_hides_no_extension() -> None:
    [reply] = ReplyReader().feed(b"250-\r\n250-STARTTLS\r\n250 SIZE\r\n")
    assert set(Extensions.parse(reply).keywords) == {"STARTTLS", "SIZE"}


def test_nothing_offered_is_nothing_found() -> None:
    nothing = Extensions()
    assert (nothing.mechanisms, nothing.size_limit, nothing.masked) == ((), None, None)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("\N{LATIN SMALL LETTER LONG S}TARTTLS", id="a letter whose capital is S"),
        pytest.param("\N{LATIN SMALL LIGATURE ST}ARTTLS", id="a letter whose capitals are ST"),
        pytest.param("\u2028STARTTLS", id="a line separator in front"),
        pytest.param("\x1cSTARTTLS", id="a file separator in front"),
        pytest.param("STARTTLS\xa0x", id="a blank that is not ASCII behind"),
    ],
)
def test_what_is_not_the_keywords_octets_is_not_the_keyword(line: str) -> None:
    assert "STARTTLS" not in offered(line, "HELP")


def test_a_blank_around_a_keyword_does_no_harm() -> None:
    assert set(offered(" STARTTLS ", "\tSIZE 10").keywords) == {"STARTTLS", "SIZE"}


def test_many_lines_of_one_keyword_are_all_read() -> None:
    many = [f"AUTH M{number}" for number in range(2000)]
    assert offered(*many).mechanisms == tuple(f"M{number}" for number in range(2000))


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        pytest.param(["AUTH PLAIN LOGIN"], ("PLAIN", "LOGIN"), id="as it should be"),
        pytest.param(["AUTH=LOGIN"], ("LOGIN",), id="as it was once written"),
        pytest.param(["auth=login"], ("LOGIN",), id="as it was once written, in lower case"),
        pytest.param(["AUTH PLAIN", "AUTH=LOGIN"], ("PLAIN", "LOGIN"), id="both ways"),
        pytest.param(["AUTH"], (), id="no mechanism"),
        pytest.param(["SIZE"], (), id="no AUTH"),
    ],
)
def test_the_mechanisms_are_those_of_every_auth_line(lines: list[str], mechanisms: tuple[str, ...]) -> None:
    assert offered(*lines).mechanisms == mechanisms


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        pytest.param("SIZE 1000", 1000, id="a limit"),
        pytest.param("SIZE", None, id="no number"),
        pytest.param("SIZE 0", None, id="0 is no limit (RFC 1870 section 4)"),
        pytest.param("SIZE many", None, id="no number but a word"),
        pytest.param("SIZE -1", None, id="negative"),
        pytest.param("SIZE 1\N{ARABIC-INDIC DIGIT ONE}", None, id="digits that are not ASCII"),
        pytest.param("HELP", None, id="no SIZE"),
        pytest.param("SIZE 99999999999999999999", 99999999999999999999, id="20 digits, RFC 1870's most"),
        pytest.param("SIZE " + "9" * 5000, None, id="more digits than Python reads"),
    ],
)
def test_the_size_limit_is_a_number_above_zero_or_none(line: str, limit: int | None) -> None:
    assert offered(line).size_limit == limit


@pytest.mark.parametrize(
    ("line", "masked"),
    [("XXXXXXXA", "XXXXXXXA"), ("xxxxxxxx", "XXXXXXXX"), ("STARTTLS", None), ("XCLIENT NAME", None)],
    ids=["A left over", "in lower case", "STARTTLS itself", "an extension of Postfix"],
)
def test_a_keyword_that_was_blotted_out_on_the_way_is_noticed(line: str, masked: str | None) -> None:
    assert offered("SIZE", line).masked == masked
