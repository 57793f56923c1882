"""Does the sandbox speak SMTP as a strict server does? Commands, one by one, and in a pipeline."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Iterator

import pytest

from portmail.sandbox import Sandbox
from tests.servers.clients import connected, logged_in, secured

WILD = 'p\udcff"é\\%'
"""A password that is not UTF-8."""

TOO_LONG = "x" * 20_000
ENVELOPE = "MAIL FROM:<me@example.com>\r\nRCPT TO:<a@example.org>\r\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        users={"me": "secret", "wild": WILD}, tokens={"me": "t0k3n"}, size_limit=1_000_000
    ) as running:
        yield running


def codes(client: smtplib.SMTP, octets: str | bytes, *, replies: int) -> list[int]:
    """Send octets in one write and read so many replies."""
    client.send(octets)
    return [client.getreply()[0] for _ in range(replies)]


def b64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["AUTH PLAIN " + b64("\0me\0secret")], 235),
        (["AUTH PLAIN", b64("\0me\0secret")], 235),
        (["auth plain " + b64("me\0me\0secret")], 235),
        (["AUTH PLAIN " + b64("you\0me\0secret")], 535),
        (["AUTH PLAIN " + b64("\0me\0wrong")], 535),
        (["AUTH PLAIN " + b64("\0nobody\0secret")], 535),
        (["AUTH PLAIN " + b64("\0wild\0" + WILD)], 235),
        (["AUTH PLAIN ="], 535),
        (["AUTH PLAIN ?"], 501),
        (["AUTH PLAIN", "*"], 501),
        (["AUTH LOGIN", b64("me"), b64("secret")], 235),
        (["AUTH LOGIN " + b64("me"), b64("secret")], 235),
        (["AUTH LOGIN", b64("me"), b64("wrong")], 535),
        (["AUTH CRAM-MD5 " + b64("me")], 501),
        (["AUTH CRAM-MD5", b64("me 0123456789abcdef0123456789abcdef")], 535),
        (["AUTH CRAM-MD5", b64("nobody 0")], 535),
        (["AUTH XOAUTH2 " + b64("user=me\1auth=Bearer t0k3n\1\1")], 235),
        (["AUTH XOAUTH2 " + b64("user=me\1auth=Bearer old\1\1"), ""], 535),
        (["AUTH NTLM"], 504),
    ],
)
def test_authentication_ends_with_the_code_it_should(sandbox: Sandbox, lines: list[str], code: int) -> None:
    with secured(sandbox, 587) as client:
        *challenges, last = [client.docmd(line)[0] for line in lines]
    assert (set(challenges), last) == ({334} if challenges else set(), code)
    assert sandbox.sessions[-1].authentications == 1


def test_cram_md5_takes_the_right_digest(sandbox: Sandbox) -> None:
    with secured(sandbox, 465) as client:
        client.user, client.password = "me", "secret"
        assert client.auth("CRAM-MD5", client.auth_cram_md5)[0] == 235


def test_xoauth2_explains_a_refusal_in_json(sandbox: Sandbox) -> None:
    with secured(sandbox, 587) as client:
        code, challenge = client.docmd("AUTH", "XOAUTH2 " + b64("user=me\1auth=Bearer old\1\1"))
        assert (code, b'"status": "401"' in base64.b64decode(challenge)) == (334, True)
        assert client.docmd("")[0] == 535


def test_mechanisms_are_offered_as_far_as_somebody_could_use_them() -> None:
    for users, tokens, offer in (
        ({"me": "x"}, {}, " CRAM-MD5 PLAIN LOGIN"),
        ({}, {"me": "x"}, " XOAUTH2"),
    ):
        with Sandbox(users=users, tokens=tokens) as sandbox, secured(sandbox, 587) as client:
            assert client.esmtp_features["auth"] == offer
    with Sandbox(mechanisms=("PLAIN",)) as sandbox, secured(sandbox, 587) as client:
        assert client.esmtp_features["auth"] == " PLAIN"


def test_without_accounts_everybody_may_submit() -> None:
    with Sandbox(users={}) as sandbox, connected(sandbox, 587) as client:
        assert client.mail("me@example.com")[0] == 250
        assert sandbox.url == f"submission://127.0.0.1:{sandbox.port(587)}"


def test_credentials_and_mail_are_refused_in_clear(sandbox: Sandbox) -> None:
    with connected(sandbox, 587) as client:
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN " + b64("\0me\0secret"))[0] == 538
        assert client.docmd("MAIL", "FROM:<me@example.com>") == (
            530,
            b"5.7.0 Must issue a STARTTLS command first",
        )


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["MAIL FROM:<>"], "530 5.7.0 Authentication required"),
        (["RCPT TO:<a@example.org>"], "503 5.5.1"),
        (["DATA"], "503 5.5.1"),
        (["BDAT 0 LAST"], "503 5.5.1"),
        (["STARTTLS"], "503 5.5.1"),
        (["EHLO"], "501 5.5.4"),
        (["HELO x y"], "501 5.5.4"),
        (["HELO x", "STARTTLS"], "503 5.5.1"),
        (["VRFY me"], "252 2.1.5"),
        (["NOOP"], "250 2.0.0"),
        (["EXPN me"], "500 5.5.1"),
        (["NOOP " + TOO_LONG], "500 5.5.2"),
        (["NOOP a\nNOOP b"], "500 5.5.2"),
        (["AUTH PLAIN " + TOO_LONG], "500 5.5.2"),
    ],
)
def test_a_command_at_the_wrong_moment_is_refused(
    sandbox: Sandbox, commands: list[str], expected: str
) -> None:
    with secured(sandbox, 465) as client:
        assert _last(client, commands).startswith(expected)
        assert client.noop()[0] == 250


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["MAIL FROM:<>", "MAIL FROM:<>"], "503 5.5.1"),
        (["MAIL FROM:<>", "RSET", "RCPT TO:<a@example.org>"], "503 5.5.1"),
        (["MAIL FROM:<>", "EHLO x", "RCPT TO:<a@example.org>"], "503 5.5.1"),
        (["MAIL FROM:<>", "DATA"], "554 5.5.1"),
        (["MAIL FROM:<>", "RCPT TO:<>"], "501 5.1.3"),
        (['MAIL FROM:<"a > b"@example.com> SIZE=1 BODY=7bit AUTH=<>'], "250 2.1.0"),
        (["MAIL FROM: <me@example.com>"], "501 5.5.4"),
        (["MAIL FROM:<> SIZE=1000001"], "552 5.3.4"),
        (["MAIL FROM:<> SIZE=many"], "501 5.5.4"),
        (["MAIL FROM:<> SIZE=1 size=2"], "501 5.5.4"),
        (["MAIL FROM:<> BODY=BINARYMIME"], "501 5.5.4"),
        (["MAIL FROM:<> RET=HDRS"], "555 5.5.4"),
        (["MAIL FROM:<> SMTPUTF8", "RCPT TO:<a@example.org> NOTIFY=NEVER"], "555 5.5.4"),
        (["HELO x", "MAIL FROM:<> SIZE=1"], "555 5.5.4"),
        (["MAIL FROM:<é@example.com>"], "553 5.6.7"),
        (["MAIL FROM:<>", "RCPT TO:<é@example.com>"], "553 5.6.7"),
        (["MAIL FROM:<é@example.com> SMTPUTF8", "RCPT TO:<é@example.com>"], "250 2.1.5"),
        (["MAIL FROM:<\udcff@example.com> SMTPUTF8"], "500 5.5.2"),
        (["MAIL FROM:<>", "RCPT TO:<a@example.org>", "BDAT 0", "DATA"], "503 5.5.1"),
        (["MAIL FROM:<>", "RCPT TO:<a@example.org>", "BDAT many"], "501 5.5.4"),
        (["AUTH PLAIN"], "503 5.5.1"),
    ],
)
def test_an_envelope_is_checked_strictly(sandbox: Sandbox, commands: list[str], expected: str) -> None:
    with logged_in(sandbox) as client:
        assert _last(client, commands).startswith(expected)


def _last(client: smtplib.SMTP, commands: list[str]) -> str:
    """Send commands one by one; the last reply."""
    reply = (0, b"")
    for command in commands:
        client.send(command.encode("utf-8", "surrogateescape") + b"\r\n")
        reply = client.getreply()
    return f"{reply[0]} {reply[1].decode()}"


def test_nothing_may_follow_starttls_before_tls(sandbox: Sandbox) -> None:
    with connected(sandbox, 587) as client:
        assert codes(client, "STARTTLS\r\nRSET\r\n", replies=1) == [554]
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.getreply()
    assert sandbox.sessions[-1].plaintext.endswith(b"STARTTLS\r\nRSET\r\n")


def test_after_starttls_everything_begins_again(sandbox: Sandbox) -> None:
    with connected(sandbox, 25) as client:
        client.mail("")
        client.starttls()
        assert client.docmd("RCPT", "TO:<a@example.org>")[0] == 503
        assert client.docmd("MAIL", "FROM:<>")[0] == 503


def test_pipelined_commands_are_answered_in_one_round_trip(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        before = sandbox.sessions[-1].round_trips
        assert codes(client, f"{ENVELOPE}DATA\r\n", replies=3) == [250, 250, 354]
        assert codes(client, f"hello\r\n.\r\n{ENVELOPE}RSET\r\n", replies=4) == [250] * 4
        assert sandbox.sessions[-1].round_trips - before == 2
        client.sendmail("me@example.com", ["a@example.org"], "hello")
        assert sandbox.sessions[-1].round_trips - before == 6


def test_only_the_final_dot_between_crlfs_ends_a_content(sandbox: Sandbox) -> None:
    content = b"one\n.\ntwo\r.\rthree\r\n..\n.\r\n..\r\nfour\n.\r\n\r\n"
    with logged_in(sandbox) as client:
        codes(client, f"{ENVELOPE}DATA\r\n", replies=3)
        assert codes(client, content + b".\r\n", replies=1) == [250]
    assert sandbox.messages[-1].content == content.replace(b"\r\n.", b"\r\n")


def test_a_content_that_arrives_octet_by_octet_is_the_same(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        codes(client, f"{ENVELOPE}DATA\r\n", replies=3)
        for octet in "a\r\n..\r\n.\r\n":
            client.send(octet)
        assert client.getreply()[0] == 250
    assert sandbox.messages[-1].content == b"a\r\n.\r\n"


def test_chunks_make_one_content_and_dots_mean_nothing(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        chunks = "BDAT 5\r\na\r\n.\rBDAT 0\r\nBDAT 4 LAST\r\n\n..\n"
        assert codes(client, ENVELOPE + chunks, replies=5) == [250] * 5
    assert sandbox.messages[-1].content == b"a\r\n.\r\n..\n"


def test_chunks_that_are_refused_are_read_to_stay_in_step(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        assert codes(client, "BDAT 6 LAST\r\nRSET\r\nNOOP\r\n", replies=2) == [503, 250]
        big = b"x" * 1_000_001
        sequence = ENVELOPE.encode() + b"BDAT %d\r\n%sBDAT 1 LAST\r\nxNOOP\r\n" % (len(big), big)
        assert codes(client, sequence, replies=5) == [250, 250, 552, 503, 250]


def test_a_content_that_turns_out_too_big_is_refused(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        codes(client, f"{ENVELOPE}DATA\r\n", replies=3)
        assert codes(client, b"x" * 1_000_000 + b"\r\n.\r\n", replies=1) == [552]
        assert client.sendmail("me@example.com", ["a@example.org"], "small") == {}


def test_extensions_that_are_not_offered_are_not_understood() -> None:
    with Sandbox(extensions=("SIZE", "DSN", "X-ODD yes")) as sandbox, logged_in(sandbox) as client:
        assert client.esmtp_features["x-odd"] == "yes"
        assert not client.has_extn("pipelining")
        assert _last(client, ["BDAT 0 LAST"]).startswith("500 5.5.1")
        assert _last(client, ["MAIL FROM:<> SMTPUTF8"]).startswith("555 5.5.4")
        assert _last(client, ["MAIL FROM:<> BODY=8BITMIME"]).startswith("555 5.5.4")
        assert _last(client, ["MAIL FROM:<> RET=HDRS", "RCPT TO:<a@b.c> NOTIFY=NEVER"]).startswith("250")


def test_binary_content_needs_chunks() -> None:
    offer = ("8BITMIME", "CHUNKING", "BINARYMIME")
    with Sandbox(extensions=offer) as sandbox, logged_in(sandbox) as client:
        assert _last(client, ["MAIL FROM:<> BODY=BINARYMIME", "RCPT TO:<a@b.c>", "DATA"]).startswith("503")
        assert codes(client, b"BDAT 3 LAST\r\n\0\r\xff", replies=1) == [250]
        assert sandbox.messages[0].content == b"\0\r\xff"
