"""What travels together? Round trips as servers count them, and dialogues with pipelined transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import uvloop

import portmail
from portmail import Cause, Phase, Result, Route, Security
from portmail.course import AT_ONCE
from portmail.sandbox import Sandbox
from portmail.submission import Submission
from tests.leaks import PASSWORD, USER
from tests.messages import RECIPIENT, SENDER, message
from tests.servers.dialogue import play

HOST = "127.0.0.1"

PIPELINING, BOTH = ("PIPELINING", "SIZE", "8BITMIME"), ("PIPELINING", "CHUNKING", "SIZE", "8BITMIME")
CHUNKING, NEITHER = ("CHUNKING", "SIZE", "8BITMIME"), ("SIZE", "8BITMIME")
OFFERS = {"PIPELINING": PIPELINING, "both": BOTH, "CHUNKING": CHUNKING, "neither": NEITHER}

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def serving(extensions: tuple[str, ...] = BOTH) -> Sandbox:
    return Sandbox(users={USER: PASSWORD}, extensions=extensions)


def client(sandbox: Sandbox, *, pool_size: int = 1) -> portmail.AsyncSubmitter:
    return portmail.AsyncSubmitter.from_url(
        sandbox.url, tls_ca=sandbox.ca, pool_size=pool_size, retry=None, timeouts=20
    )


def relay(port: int, **wishes: object) -> portmail.AsyncSubmitter:
    route = Route(HOST, port, Security.PLAINTEXT)
    told = {"local_hostname": "web1.example", "retry": None, "pool_size": 1, "timeouts": 10} | wishes
    return portmail.AsyncSubmitter(routes=(route,), **told)  # type: ignore[arg-type]


def octets(subject: str, *, to: str = RECIPIENT, sender: str = SENDER, size: int = 0) -> bytes:
    """A message that travels as it is; its size is given exactly, or it is small."""
    head = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject}@example.org>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n"
    ).encode()
    line = b".dot and " + b"y" * 67 + b"\r\n"
    left = max(size - len(head), 0)
    body = line * (left // len(line))
    rest = left - len(body)
    return head + body + (b"z" * (rest - 2) + b"\r\n" if rest >= 2 else b"")


def results_of(mail: portmail.AsyncSubmitter, messages: Iterable[bytes]) -> list[Result[bytes]]:
    """Send them and close."""

    async def scenario() -> list[Result[bytes]]:
        async with mail, asyncio.timeout(20):
            return [result async for result in mail.send_many(messages)]

    return asyncio.run(scenario())


def outcomes(results: Iterable[Result[bytes]]) -> dict[str, str]:
    """Subjects, and what became of each message."""
    told = {}
    for result in results:
        subject = result.message.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
        assert (result.receipt is None) is (result.error is not None)
        told[subject] = type(result.error).__name__ if result.error else "accepted"
    return told


# Round trips, as the server counts them.


@pytest.mark.parametrize(
    ("offer", "recipients", "loop"),
    [
        (PIPELINING, 1, LOOPS["asyncio"]),
        (PIPELINING, 100, LOOPS["uvloop"]),
        (BOTH, 1, LOOPS["uvloop"]),
        (BOTH, 100, LOOPS["asyncio"]),
    ],
)
def test_a_message_on_a_warm_connection_costs_two_round_trips(
    offer: tuple[str, ...], recipients: int, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    to = ", ".join(f"you{number}@example.org" for number in range(recipients))

    async def scenario() -> list[int]:
        async with client(sandbox) as mail:
            counts = []
            for _ in range(3):
                receipt = await mail.send(message(to=to))
                assert len(receipt.accepted) == recipients
                counts.append(sandbox.sessions[0].round_trips)
            return counts

    with serving(offer) as sandbox, asyncio.Runner(loop_factory=loop) as runner:
        first, second, third = runner.run(scenario())
    assert (second - first, third - second) == (2, 2)
    assert len(sandbox.sessions) == 1


@pytest.mark.parametrize(("offer", "trips"), [(NEITHER, 4), (CHUNKING, 3)], ids=["neither", "CHUNKING"])
def test_a_server_without_pipelining_gets_one_command_at_a_time(offer: tuple[str, ...], trips: int) -> None:
    async def scenario() -> int:
        async with client(sandbox) as mail:
            await mail.send(message())
            before = sandbox.sessions[0].round_trips
            async for result in mail.send_many([octets(str(number)) for number in range(10)]):
                assert result.error is None
            return sandbox.sessions[0].round_trips - before

    with serving(offer) as sandbox:
        assert asyncio.run(scenario()) == 10 * trips
    assert len(sandbox.messages) == 11


@pytest.mark.parametrize(
    ("offer", "loop"),
    [(PIPELINING, LOOPS["asyncio"]), (PIPELINING, LOOPS["uvloop"]), (BOTH, LOOPS["asyncio"])],
)
def test_many_messages_cost_one_round_trip_each(
    offer: tuple[str, ...], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    messages = [octets(str(number)) for number in range(200)]

    async def scenario() -> int:
        async with client(sandbox) as mail:
            await mail.send(message())
            before = sandbox.sessions[0].round_trips
            async for result in mail.send_many(messages):
                assert result.error is None
            return sandbox.sessions[0].round_trips - before

    with serving(offer) as sandbox, asyncio.Runner(loop_factory=loop) as runner:
        trips = runner.run(scenario())
    assert trips <= 1.1 * len(messages)
    assert len(sandbox.sessions) == 1
    assert [received.content for received in sandbox.messages[1:]] == messages


# What arrives is what was given, wherever the pieces end.

SIZES = (
    [300, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 16384, 65535, 65536, 65537, 200, 400_000, 250]
    + [65536 + 200 + step for step in range(3)]
    + [AT_ONCE + 77 * step for step in range(1, 4)]
)


@pytest.mark.parametrize(
    ("offer", "loop"), list(zip(OFFERS.values(), [*LOOPS.values()] * 2, strict=True)), ids=OFFERS
)
def test_contents_of_all_sizes_arrive_octet_for_octet(
    offer: tuple[str, ...], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    messages = [octets(str(number), size=size) for number, size in enumerate(SIZES)]
    assert any(len(made) == AT_ONCE for made in messages)

    async def scenario() -> None:
        async with client(sandbox) as mail:
            async for result in mail.send_many(messages):
                assert result.error is None

    with serving(offer) as sandbox, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
    assert [received.content for received in sandbox.messages] == messages


def test_what_is_sent_is_what_the_submission_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made = message(text="one\n.\n..two\n")
    size = Submission.of(made).content.size

    async def scenario() -> None:
        async with client(sandbox) as mail:
            for _ in range(2):
                await mail.send(made)

    with serving(BOTH) as sandbox:
        asyncio.run(scenario())
    assert f"BDAT {size} LAST" in sandbox.sessions[0].commands
    assert all(received.content.endswith(b"one\r\n.\r\n..two\r\n") for received in sandbox.messages)


# Dialogues.

HELLO = """
    S: 220 mail.example.com ESMTP
    C: EHLO web1.example
    S: 250-mail.example.com
    S: 250-PIPELINING
"""
PIPE, CHUNKS = f"{HELLO}S: 250 8BITMIME\n", f"{HELLO}S: 250 CHUNKING\n"


def test_content_final_dot_and_the_next_envelope_are_one_segment() -> None:
    script = f"""{PIPE}
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 one
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        S: 250 two
        C: QUIT
        S: 221 bye
    """
    with play(script) as player:
        results = results_of(relay(player.port), [octets("one"), octets("two")])
        player.check()
    assert [result.receipt and result.receipt.reply.text for result in results] == ["one", "two"]
    together = [arrived for arrived in player.arrivals if b"Subject: one" in arrived]
    assert len(together) == 1
    assert together[0].endswith(
        b"\r\n.\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<you@example.org>\r\nDATA\r\n"
    )
    assert b"RSET" not in player.received


def test_bdat_content_rset_and_the_next_envelope_are_one_segment() -> None:
    script = f"""{CHUNKS}
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        S: 250 ok
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        C: RSET
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        S: 250 one
        S: 250 forgotten
        S: 250 ok
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        S: 250 two
        C: QUIT
        S: 221 bye
    """
    with play(script) as player:
        results = results_of(relay(player.port), [octets("one"), octets("two")])
        player.check()
    assert [result.receipt and result.receipt.reply.text for result in results] == ["one", "two"]
    together = [arrived for arrived in player.arrivals if b"Subject: one" in arrived]
    assert len(together) == 1
    assert together[0].startswith(b"BDAT ")
    assert together[0].endswith(b"\r\nRSET\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<you@example.org>\r\n")


def test_refused_senders_and_recipients_between_messages_that_are_accepted() -> None:
    script = f"""{PIPE}
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        C: MAIL FROM:<bad@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 one
        S: 550 5.1.8 no such sender
        S: 503 5.5.1 say MAIL first
        S: 503 5.5.1 say MAIL first
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<no@example.org>
        C: DATA
        S: 250 ok
        S: 550 5.1.1 no such user
        S: 554 5.5.1 no valid recipients
        C: RSET
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<no@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 forgotten
        S: 250 ok
        S: 550 5.1.1 no such user
        S: 250 ok
        S: 354 go on
        BODY
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<no@example.org>
        C: DATA
        S: 554 5.6.0 not this one
        S: 250 ok
        S: 550 5.1.1 no such user
        S: 354 nobody, but go on
        C: .
        S: 554 5.5.1 no valid recipients
        C: RSET
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        C: DATA
        S: 250 forgotten
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        S: 250 six
        C: QUIT
        S: 221 bye
    """
    messages = [
        octets("one"),
        octets("two", sender="bad@example.org"),
        octets("three", to="no@example.org"),
        octets("four", to="no@example.org, you@example.org"),
        octets("five", to="no@example.org"),
        octets("six"),
    ]
    with play(script) as player:
        results = results_of(relay(player.port), messages)
        player.check()
        assert player.connections == 1
    assert outcomes(results) == dict.fromkeys(["two", "three", "four", "five"], "Rejected") | dict.fromkeys(
        ["one", "six"], "accepted"
    )
    four = next(result.error for result in results if b"Subject: four" in result.message)
    assert isinstance(four, portmail.Rejected)
    assert four.attempts[0].phase is Phase.FINAL_DOT
    assert str(four.reply) == "554 5.6.0 not this one"


def test_refused_senders_and_recipients_where_chunks_travel() -> None:
    script = f"""{CHUNKS}
        C: MAIL FROM:<bad@example.org>
        C: RCPT TO:<you@example.org>
        S: 550 5.1.8 no such sender
        S: 503 5.5.1 say MAIL first
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<no@example.org>
        S: 250 ok
        S: 450 4.2.1 not now
        C: RSET
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<you@example.org>
        S: 250 forgotten
        S: 250 ok
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        C: RSET
        C: MAIL FROM:<me@example.org>
        C: RCPT TO:<no@example.org>
        C: RCPT TO:<you@example.org>
        S: 552 5.3.4 too much
        S: 250 forgotten
        S: 250 ok
        S: 550 5.1.1 no such user
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        S: 250 four
        C: QUIT
        S: 221 bye
    """
    messages = [
        octets("one", sender="bad@example.org"),
        octets("two", to="no@example.org"),
        octets("three"),
        octets("four", to="no@example.org, you@example.org"),
    ]
    with play(script) as player:
        results = results_of(relay(player.port), messages)
        player.check()
        assert player.connections == 1
    assert outcomes(results) == dict.fromkeys(["one", "two", "three"], "Rejected") | {"four": "accepted"}
    receipt = results[-1].receipt
    assert receipt is not None
    assert (receipt.accepted, list(receipt.refused)) == (("you@example.org",), ["no@example.org"])


def test_after_a_chunk_that_was_refused_nothing_is_said_before_rset() -> None:
    # RFC 3030 section 2; here the next message comes when nothing is under way.
    script = f"""{CHUNKS}
        C: MAIL *
        C: RCPT *
        S: 250 ok
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        S: 554 5.6.0 not this one
        C: RSET
        C: MAIL *
        C: RCPT *
        S: 250 forgotten
        S: 250 ok
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        S: 250 two
    """

    async def scenario(port: int) -> None:
        async with relay(port) as mail:
            with pytest.raises(portmail.Rejected):
                await mail.send(octets("one"))
            await mail.send(octets("two"))

    with play(script) as player:
        asyncio.run(scenario(player.port))
        player.check()
        assert player.connections == 1


def test_a_big_content_and_the_envelope_behind_it() -> None:
    big = octets("big", size=300_000)
    script = f"""{PIPE}
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 one
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        S: 250 two
    """
    with play(script) as player:
        results = results_of(relay(player.port), [big, octets("two")])
        player.check()
    assert outcomes(results) == {"big": "accepted", "two": "accepted"}
    assert player.bodies[0].replace(b"\r\n..", b"\r\n.") == big


@pytest.mark.parametrize(
    ("answer", "phase"),
    [("S: 552 5.3.4 too much\nSILENCE", Phase.CONTENT), ("RESET", Phase.CONTENT)],
)
def test_a_chunk_that_is_refused_before_it_is_heard_to_its_end_is_not_sent(answer: str, phase: Phase) -> None:
    first = f"{CHUNKS}\nC: MAIL *\nC: RCPT *\nS: 250 ok\nS: 250 ok\nC: BDAT *\nBODY-WITHOUT-DOT 20\n{answer}"
    second = f"{CHUNKS}\nC: MAIL *\nC: RCPT *\nS: 250 ok\nS: 250 ok\nC: BDAT *\nCHUNK\nS: 250 two"
    big = octets("big", size=9_000_000)
    with play([first, second]) as player:
        results = results_of(relay(player.port), [big, octets("two")])
        player.check()
        assert player.connections == 2
    told = outcomes(results)
    assert told == {"big": "Rejected" if "552" in answer else "Unreachable", "two": "accepted"}
    error = next(result.error for result in results if result.error)
    assert isinstance(error, portmail.DeliveryError)
    assert error.attempts[0].phase is phase
    assert big[-1000:] not in player.received


def test_a_reply_too_many_ends_the_connection_and_what_waits_goes_on_elsewhere() -> None:
    first = f"""{PIPE}
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        S: 250 one
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        S: 250 hm
        SILENCE
    """
    second = f"{PIPE}\nC: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\nS: 250 two"
    with play([first, second]) as player:
        results = results_of(relay(player.port), [octets("one"), octets("two", size=9_000_000)])
        player.check()
    assert outcomes(results)["one"] == "accepted"
    (error,) = (result.error for result in results if result.error)
    assert isinstance(error, portmail.Unreachable)
    failure = error.attempts[-1].error
    assert failure is not None
    assert failure.cause is Cause.SURPRISE


def test_a_session_in_which_replies_stop_fitting_questions_is_not_used_again() -> None:
    first = f"""{PIPE}
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        RAW "250 one\\r\\n250 stray\\r\\n"
        SILENCE
    """
    second = f"{PIPE}\nC: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\nS: 250 two"

    async def scenario(port: int) -> list[str]:
        async with relay(port) as mail:
            receipts = [await mail.send(octets(subject)) for subject in ("one", "two")]
            return [receipt.reply.text for receipt in receipts]

    with play([first, second]) as player:
        assert asyncio.run(scenario(player.port)) == ["one", "two"]
        player.check()
        assert player.connections == 2


def test_nonsense_behind_a_reply_ends_the_connection_at_once() -> None:
    first = f"""{PIPE}
        C: MAIL *
        C: RCPT *
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        BODY
        C: MAIL *
        C: RCPT *
        C: DATA
        RAW "250 one\\r\\nwhat?\\r\\n"
        SILENCE
    """
    second = f"{PIPE}\nC: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nBODY\nS: 250 two"

    async def scenario(port: int) -> list[Result[bytes]]:
        async with relay(port) as mail, asyncio.timeout(0.5):
            return [result async for result in mail.send_many([octets("one"), octets("two")])]

    with pytest.MonkeyPatch.context() as patch, play([first, second]) as player:
        patch.setattr("portmail.pool._WIND_UP", 0.1)
        results = asyncio.run(scenario(player.port))
    assert outcomes(results) == {"one": "accepted", "two": "accepted"}


def test_an_attachment_that_changes_costs_its_own_message_only(tmp_path: Path) -> None:
    file = tmp_path / "report.bin"
    file.write_bytes(b"x" * 400_000)
    made = portmail.compose(sender=SENDER, to=RECIPIENT, subject="with file", text="x", attachments=[file])
    messages: list[portmail.AnyMessage] = [message(), made, message(), message()]

    async def scenario() -> list[Result[portmail.AnyMessage]]:
        async with client(sandbox) as mail, asyncio.timeout(10):
            results = []
            async for result in mail.send_many(messages):
                file.write_bytes(b"changed")
                results.append(result)
            return results

    # In lock-step, so that the first result is there before the file is read.
    with serving(NEITHER) as sandbox:
        results = asyncio.run(scenario())
    (held,) = (result for result in results if result.error)
    assert held.message is made
    assert isinstance(held.error, portmail.HeldBack)
    assert isinstance(held.error.__cause__, portmail.ContentError)
    assert len(sandbox.messages) == 3
