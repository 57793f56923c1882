"""What is said next in a mail transaction? SMTP dialogues, played without a socket."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from portmail.cause import Cause
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply, ReplyReader
from portmail.submission import Submission
from portmail.transaction import FINAL_DOT, Transaction, unmet
from portmail.verdict import Verdict, judge

A, B = "a@example.org", "b@example.org"
FIELDS = b"From: me@example.org\r\nDate: 1\r\nMessage-ID: <1@example.org>\r\n"
ASCII = FIELDS + b"\r\nHello\r\n"
EIGHT_BIT = FIELDS + "\r\nGrüße\r\n".encode()


def submission(
    content: bytes = ASCII, *, sender: str = "me@example.org", recipients: Iterable[str] = (A, B)
) -> Submission:
    return Submission.of(content, sender=sender, recipients=recipients)


def offering(*keywords: str) -> Extensions:
    return Extensions.parse(Reply(250, None, "\n".join(("mail.example.com", *keywords))))


def play(
    dialogue: str,
    message: Submission | None = None,
    *,
    offered: Extensions | None = None,
    anonymous: bool = False,
) -> Transaction:
    """Play a dialogue: `C:` is what must be said next, `S:` what the server replies.

    `C: <content>` is where the content goes, `C: .` the final dot.
    """
    transaction = Transaction(message or submission(), extensions=offered or offering(), anonymous=anonymous)
    reader = ReplyReader()
    for line in filter(None, map(str.strip, dialogue.splitlines())):
        side, _, words = line.partition(": ")
        if side == "S":
            for reply in reader.feed(words.encode() + b"\r\n"):
                transaction.receive(reply)
        elif words == "<content>":
            assert (transaction.command, transaction.phase) == (None, Phase.CONTENT)
        elif words == ".":
            transaction.committed()
            assert transaction.command is None
        else:
            assert transaction.command == words.encode() + b"\r\n"
    return transaction


def failure_of(transaction: Transaction) -> Failure:
    assert transaction.failure is not None
    assert transaction.command is None
    return transaction.failure


ENVELOPE = """
    C: MAIL FROM:<me@example.org>
    S: 250 2.1.0 ok
    C: RCPT TO:<a@example.org>
    S: 250 2.1.5 ok
    C: RCPT TO:<b@example.org>
    S: 250 2.1.5 ok
"""
CONTENT = """
    C: DATA
    S: 354 go on
    C: <content>
"""


def test_a_message_is_accepted_for_all() -> None:
    transaction = play(ENVELOPE + CONTENT + "C: .\nS: 250 2.0.0 queued as 1")
    assert (transaction.failure, transaction.phase, transaction.command) == (None, Phase.DONE, None)
    assert (transaction.accepted, transaction.refused) == ([A, B], {})
    assert transaction.reply == Reply(250, "2.0.0", "queued as 1")


def test_the_final_dot_is_a_line_of_its_own() -> None:
    assert FINAL_DOT == b".\r\n"
    assert submission().content.data.endswith(b"\r\n")


def test_a_reply_of_several_lines_and_251_and_252_are_yes_as_well() -> None:
    transaction = play("""
        C: MAIL FROM:<me@example.org>
        S: 250-2.1.0 one
        S: 250 2.1.0 two
        C: RCPT TO:<a@example.org>
        S: 251 2.1.5 will forward
        C: RCPT TO:<b@example.org>
        S: 252 2.1.5 will try
        C: DATA
    """)
    assert transaction.accepted == [A, B]


def test_one_recipient_refused_does_not_stop_the_message() -> None:
    transaction = play("""
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<a@example.org>
        S: 550 5.1.1 no such user
        C: RCPT TO:<b@example.org>
        S: 250 ok
        C: DATA
        S: 354 go on
        C: <content>
        C: .
        S: 250 queued
    """)
    assert (transaction.failure, transaction.phase) == (None, Phase.DONE)
    assert (transaction.accepted, transaction.refused) == ([B], {A: Reply(550, "5.1.1", "no such user")})


def test_the_last_recipient_refused_does_not_stop_the_message_either() -> None:
    transaction = play("""
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<a@example.org>
        S: 250 ok
        C: RCPT TO:<b@example.org>
        S: 450 4.2.0 later
        C: DATA
    """)
    assert (transaction.accepted, list(transaction.refused)) == ([A], [B])


@pytest.mark.parametrize(
    ("first", "second", "decides"),
    [
        ("550 5.1.1 no such user", "551 5.1.6 moved", Reply(550, "5.1.1", "no such user")),
        ("550 5.1.1 no such user", "450 4.2.0 later", Reply(450, "4.2.0", "later")),
        ("450 4.2.0 later", "550 5.1.1 no such user", Reply(450, "4.2.0", "later")),
        ("450 4.2.0 later", "451 4.3.0 busy", Reply(450, "4.2.0", "later")),
    ],
    ids=["never", "never and later", "later and never", "later"],
)
def test_all_recipients_refused_stops_the_message_and_later_outweighs_never(
    first: str, second: str, decides: Reply
) -> None:
    transaction = play(f"""
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<a@example.org>
        S: {first}
        C: RCPT TO:<b@example.org>
        S: {second}
    """)
    assert failure_of(transaction) == Failure.of_reply(Phase.RCPT, decides)
    assert list(transaction.refused) == [A, B]


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("530 5.7.0 authentication required", Cause.LOGIN_WANTED),
        ("530 must issue a STARTTLS command first", Cause.LOGIN_WANTED),
        ("554 5.7.1 <unknown>: client host rejected: access denied", Cause.DENIED),
        ("550 5.7.1 relaying denied", Cause.DENIED),
        ("550 5.1.1 no such user", Cause.REFUSED_PERMANENT),
        ("554 no", Cause.REFUSED_PERMANENT),
        ("450 4.7.1 greylisted", Cause.REFUSED_TRANSIENT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT], ids=lambda phase: phase.value)
def test_a_stranger_who_is_turned_away_tries_the_next_route(phase: Phase, reply: str, cause: Cause) -> None:
    to_rcpt = "C: MAIL FROM:<me@example.org>\nS: 250 ok\n"
    dialogue = to_rcpt + f"S: {reply}\nS: {reply}" if phase is Phase.RCPT else f"S: {reply}"
    stranger = failure_of(play(dialogue, anonymous=True))
    assert (stranger.phase, stranger.cause) == (phase, cause)
    assert (judge(stranger) is Verdict.NEXT_ROUTE) is (cause in (Cause.LOGIN_WANTED, Cause.DENIED))
    known = failure_of(play(dialogue, anonymous=False))
    assert known == Failure.of_reply(phase, stranger.reply or Reply(250))


def test_a_stranger_with_one_recipient_accepted_goes_on() -> None:
    transaction = play(
        """
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<a@example.org>
        S: 250 ok
        C: RCPT TO:<b@example.org>
        S: 554 5.7.1 relay access denied
        C: DATA
        """,
        anonymous=True,
    )
    assert (transaction.failure, transaction.accepted) == (None, [A])


STEPS = {
    Phase.MAIL: "C: MAIL FROM:<me@example.org>",
    Phase.RCPT: "C: MAIL FROM:<me@example.org>\nS: 250 ok\nC: RCPT TO:<a@example.org>",
    Phase.DATA: ENVELOPE + "C: DATA",
    Phase.CONTENT: ENVELOPE + CONTENT,
    Phase.FINAL_DOT: ENVELOPE + CONTENT + "C: .",
}
EVERY_STEP = pytest.mark.parametrize("phase", STEPS, ids=lambda phase: phase.value)


@EVERY_STEP
def test_the_phase_is_known_at_each_step(phase: Phase) -> None:
    assert play(STEPS[phase]).phase is phase


@EVERY_STEP
def test_a_421_ends_the_transaction_at_any_step(phase: Phase) -> None:
    transaction = play(STEPS[phase] + "\nS: 421 4.3.2 shutting down")
    assert failure_of(transaction) == Failure.of_reply(phase, Reply(421, "4.3.2", "shutting down"))
    assert transaction.phase is phase


@EVERY_STEP
@pytest.mark.parametrize(("code", "verdict"), [(451, Verdict.RETRY_LATER), (554, Verdict.GIVE_UP)])
def test_a_no_ends_the_transaction_at_any_step(phase: Phase, code: int, verdict: Verdict) -> None:
    one = submission(recipients=[A])
    dialogue = STEPS[phase].replace("C: RCPT TO:<b@example.org>\n    S: 250 2.1.5 ok", "")
    transaction = play(f"{dialogue}\nS: {code} no", one)
    assert failure_of(transaction) == Failure.of_reply(phase, Reply(code, None, "no"))
    assert judge(failure_of(transaction)) is verdict


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.MAIL, 354),
        (Phase.RCPT, 354),
        (Phase.DATA, 250),
        (Phase.DATA, 334),
        (Phase.CONTENT, 250),
        (Phase.CONTENT, 354),
        (Phase.FINAL_DOT, 354),
    ],
    ids=str,
)
def test_a_yes_to_another_question_is_a_surprise(phase: Phase, code: int) -> None:
    failure = failure_of(play(f"{STEPS[phase]}\nS: {code} ok"))
    assert (failure.phase, failure.cause) == (phase, Cause.SURPRISE)
    assert (judge(failure) is Verdict.IN_DOUBT) is (phase is Phase.FINAL_DOT)


@pytest.mark.parametrize(
    ("phase", "verdict"),
    [(Phase.CONTENT, Verdict.RETRY_LATER), (Phase.FINAL_DOT, Verdict.IN_DOUBT)],
    ids=["content", "final dot"],
)
def test_a_loss_is_not_sent_before_the_final_dot_and_in_doubt_after_it(
    phase: Phase, verdict: Verdict
) -> None:
    transaction = play(STEPS[phase])
    transaction.lost(Failure(transaction.phase, Cause.LOST))
    assert judge(failure_of(transaction)) is verdict


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.FINAL_DOT], ids=str)
def test_only_a_message_whose_content_is_due_can_be_committed(phase: Phase) -> None:
    transaction = play(STEPS[phase])
    with pytest.raises(AssertionError):
        transaction.committed()


@pytest.mark.parametrize(
    ("offered", "content", "sender", "command"),
    [
        pytest.param((), ASCII, "me@example.org", "MAIL FROM:<me@example.org>", id="nothing offered"),
        pytest.param((), ASCII, "", "MAIL FROM:<>", id="the null reverse-path"),
        pytest.param(("SIZE",), ASCII, "", f"MAIL FROM:<> SIZE={len(ASCII)}", id="SIZE without a limit"),
        pytest.param(
            ("8BITMIME", "SMTPUTF8"), ASCII, "", "MAIL FROM:<>", id="nothing needed of what is offered"
        ),
        pytest.param(
            ("SIZE 1000", "8BITMIME"),
            EIGHT_BIT,
            "me@example.org",
            f"MAIL FROM:<me@example.org> SIZE={len(EIGHT_BIT)} BODY=8BITMIME",
            id="8BITMIME",
        ),
        pytest.param(
            ("SMTPUTF8", "8BITMIME"),
            ASCII,
            "jörg@münchen.example",
            "MAIL FROM:<jörg@münchen.example> SMTPUTF8",
            id="SMTPUTF8 for the sender",
        ),
        pytest.param(
            ("SMTPUTF8", "8BITMIME"),
            "Subject: Grüße\r\n".encode() + ASCII,
            "me@example.org",
            "MAIL FROM:<me@example.org> BODY=8BITMIME SMTPUTF8",
            id="SMTPUTF8 for the header",
        ),
        pytest.param((), ASCII, "me@münchen.example", "MAIL FROM:<me@xn--mnchen-3ya.example>", id="A-labels"),
    ],
)
def test_mail_names_what_the_message_needs_and_the_server_offers(
    offered: tuple[str, ...], content: bytes, sender: str, command: str
) -> None:
    play(f"C: {command}", submission(content, sender=sender), offered=offering(*offered))


def test_a_recipient_is_named_as_it_travels() -> None:
    play(
        """
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<"a b"@example.org>
        S: 250 ok
        C: RCPT TO:<a@xn--mnchen-3ya.example>
        S: 250 ok
        C: RCPT TO:<root@localhost>
        """,
        submission(recipients=['"a b"@example.org', "a@münchen.example", "root@localhost"]),
    )


@pytest.mark.parametrize(
    ("message", "offered", "cause", "detail"),
    [
        pytest.param(
            submission(),
            (f"SIZE {len(ASCII) - 1}",),
            Cause.TOO_LARGE,
            f"{len(ASCII)} octets, the server takes {len(ASCII) - 1}",
            id="one octet too many",
        ),
        pytest.param(submission(EIGHT_BIT), (), Cause.EXTENSION_MISSING, "8BITMIME", id="no 8BITMIME"),
        pytest.param(
            submission(sender="jörg@example.org"),
            ("8BITMIME",),
            Cause.EXTENSION_MISSING,
            "SMTPUTF8",
            id="no SMTPUTF8 for the sender",
        ),
        pytest.param(
            submission(recipients=[A, "jörg@example.org"]),
            ("8BITMIME",),
            Cause.EXTENSION_MISSING,
            "SMTPUTF8",
            id="no SMTPUTF8 for a recipient",
        ),
        pytest.param(
            submission("Subject: Grüße\r\n".encode() + ASCII),
            (),
            Cause.EXTENSION_MISSING,
            "SMTPUTF8 and 8BITMIME",
            id="neither",
        ),
    ],
)
def test_what_the_server_does_not_offer_is_found_before_anything_is_said(
    message: Submission, offered: tuple[str, ...], cause: Cause, detail: str
) -> None:
    transaction = Transaction(message, extensions=offering(*offered), anonymous=False)
    assert failure_of(transaction) == Failure(Phase.MAIL, cause, detail)
    assert judge(failure_of(transaction)) is Verdict.GIVE_UP


@pytest.mark.parametrize("limit", [f"SIZE {len(ASCII)}", "SIZE 0", "SIZE", "PIPELINING"])
def test_a_message_of_the_size_that_is_taken_is_sent(limit: str) -> None:
    assert unmet(submission(), extensions=offering(limit)) is None
