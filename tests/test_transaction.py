"""How far did a message get, and what was said of it? One transaction, told the replies to its commands."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from portmail.cause import Cause
from portmail.extensions import Extensions
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.submission import Submission
from portmail.timeouts import Deadline, Timeouts
from portmail.transaction import Transaction, unmet
from portmail.verdict import Verdict, judge

A, B, C = "a@example.org", "b@example.org", "c@example.org"
FIELDS = b"From: me@example.org\r\nDate: 1\r\nMessage-ID: <1@example.org>\r\n"
ASCII = FIELDS + b"\r\nHello\r\n"
EIGHT_BIT = FIELDS + "\r\nGrüße\r\n".encode()
OK = Reply(250, "2.1.0", "ok")
LATER, NEVER = Reply(450, "4.2.0", "later"), Reply(550, "5.1.1", "no such user")
GO_ON = Reply(354, None, "go on")


def submission(
    content: bytes = ASCII, *, sender: str = "me@example.org", recipients: Iterable[str] = (A, B)
) -> Submission:
    return Submission.of(content, sender=sender, recipients=recipients)


def begun(*recipients: str, anonymous: bool = False) -> Transaction:
    message = submission(recipients=recipients or (A, B))
    return Transaction(message, deadline=Deadline(Timeouts()), anonymous=anonymous)


def offering(*keywords: str) -> Extensions:
    return Extensions.parse(Reply(250, None, "\n".join(("mail.example.com", *keywords))))


def hear_recipients(transaction: Transaction, *replies: Reply) -> list[bool]:
    """Tell it the replies to its RCPTs, one after the other."""
    told = zip(transaction.recipients, replies, strict=False)
    return [transaction.hear_recipient(box, reply=reply) for box, reply in told]


def failure_of(transaction: Transaction) -> Failure:
    assert transaction.failure is not None
    return transaction.failure


def test_a_message_that_is_accepted_goes_through_all_phases() -> None:
    transaction = begun()
    transaction.hear_sender(OK)
    assert transaction.phase is Phase.RCPT
    assert hear_recipients(transaction, Reply(251, None, "will forward"), Reply(252, None, "will try")) == [
        False,
        True,
    ]
    assert (transaction.phase, transaction.accepted, transaction.refused) == (Phase.DATA, [A, B], {})
    transaction.hear_end(OK)
    assert (transaction.phase, transaction.reply, transaction.failure) == (Phase.DONE, OK, None)


def test_nothing_is_known_of_a_message_that_was_not_begun() -> None:
    transaction = begun()
    assert (transaction.phase, transaction.failure, transaction.reply) == (Phase.WAITING, None, None)
    assert (transaction.accepted, transaction.refused, transaction.left) == ([], {}, [])


@pytest.mark.parametrize("recipients", [(A, B), (B, A)], ids=["the last one", "the first one"])
def test_one_recipient_refused_does_not_stop_the_message(recipients: tuple[str, str]) -> None:
    transaction = begun(A, B)
    transaction.hear_sender(OK)
    hear_recipients(transaction, *[OK if it == recipients[0] else NEVER for it in (A, B)])
    assert (transaction.failure, transaction.phase) == (None, Phase.DATA)
    assert (transaction.accepted, transaction.refused) == ([recipients[0]], {recipients[1]: NEVER})


@pytest.mark.parametrize(
    ("first", "second", "decides"),
    [(NEVER, Reply(551), NEVER), (NEVER, LATER, LATER), (LATER, NEVER, LATER), (LATER, Reply(451), LATER)],
    ids=["never", "never and later", "later and never", "later"],
)
def test_all_recipients_refused_stops_the_message_and_later_outweighs_never(
    first: Reply, second: Reply, decides: Reply
) -> None:
    transaction = begun()
    transaction.hear_sender(OK)
    assert hear_recipients(transaction, first, second) == [False, True]
    assert failure_of(transaction) == Failure.of_reply(Phase.RCPT, decides)
    assert transaction.phase is Phase.RCPT
    assert list(transaction.refused) == [A, B]


@pytest.mark.parametrize(
    ("reply", "another"),
    [
        (Reply(452, "4.5.3", "too many recipients"), True),
        (Reply(452, None, "too many recipients"), True),
        (Reply(452, "4.2.2", "mailbox full"), False),
        (Reply(452, "4.3.1", "disk full"), False),
        (Reply(552, "5.5.3", "too many recipients"), True),
        (Reply(552, None, "mailbox full"), False),
        (Reply(552, "5.2.2", "mailbox full"), False),
        (Reply(450, "4.5.3", "too many recipients"), False),
    ],
    ids=str,
)
def test_who_is_one_too_many_is_left_for_another_transaction(reply: Reply, another: bool) -> None:
    transaction = begun(A, B, C)
    transaction.hear_sender(OK)
    hear_recipients(transaction, OK, reply, reply)
    assert [box.text for box in transaction.left] == ([B, C] if another else [])
    assert transaction.refused == {B: reply, C: reply}
    nobody = begun(A, B)
    nobody.hear_sender(OK)
    hear_recipients(nobody, reply, reply)
    assert nobody.left == []
    assert failure_of(nobody).reply is reply


def test_the_recipients_may_be_those_that_were_left() -> None:
    message = submission(recipients=(A, B, C))
    left = message.envelope.recipients[1:]
    transaction = Transaction(message, deadline=Deadline(Timeouts()), anonymous=False, recipients=left)
    lines = [line for line, _ in transaction.commands(extensions=offering())]
    assert lines[1:] == [b"RCPT TO:<b@example.org>\r\n", b"RCPT TO:<c@example.org>\r\n"]
    transaction.hear_sender(OK)
    assert hear_recipients(transaction, OK, OK) == [False, True]
    assert transaction.accepted == [B, C]


def test_behind_a_refused_mail_nothing_is_said_of_the_recipients() -> None:
    transaction = begun()
    transaction.hear_sender(LATER)
    bad_sequence = Reply(503, "5.5.1", "need MAIL command")
    assert hear_recipients(transaction, bad_sequence, bad_sequence) == [False, True]
    assert transaction.refused == {}
    transaction.fail(Phase.DATA, reply=Reply(554, "5.5.1", "no valid recipients"))
    assert failure_of(transaction) == Failure.of_reply(Phase.MAIL, LATER)
    assert transaction.phase not in (Phase.RCPT, Phase.DATA)


@pytest.mark.parametrize(
    ("code", "verdict"), [(421, Verdict.RETRY_LATER), (451, Verdict.RETRY_LATER), (554, Verdict.GIVE_UP)]
)
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.DATA, Phase.CONTENT, Phase.FINAL_DOT], ids=str)
def test_a_no_ends_it_at_any_step(phase: Phase, code: int, verdict: Verdict) -> None:
    transaction = begun()
    no = Reply(code, None, "no")
    if phase is Phase.MAIL:
        transaction.hear_sender(no)
    elif phase is Phase.FINAL_DOT:
        transaction.hear_end(no)
    else:
        transaction.fail(phase, reply=no)
    assert failure_of(transaction) == Failure.of_reply(phase, no)
    assert judge(failure_of(transaction)) is verdict
    assert transaction.reply is None


@pytest.mark.parametrize("reply", [Reply(421, "4.3.2", "closing"), GO_ON], ids=str)
def test_what_ends_the_connection_is_no_word_about_a_recipient(reply: Reply) -> None:
    transaction = begun()
    transaction.hear_sender(OK)
    hear_recipients(transaction, OK, reply)
    assert failure_of(transaction) == Failure.of_reply(Phase.RCPT, reply)
    assert transaction.refused == {}
    assert transaction.phase is Phase.RCPT


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.FINAL_DOT], ids=str)
def test_a_yes_to_another_question_is_a_surprise(phase: Phase) -> None:
    transaction = begun(A)
    if phase is Phase.MAIL:
        transaction.hear_sender(GO_ON)
    elif phase is Phase.RCPT:
        hear_recipients(transaction, GO_ON)
    else:
        transaction.hear_end(GO_ON)
    failure = failure_of(transaction)
    assert (failure.phase, failure.cause) == (phase, Cause.SURPRISE)
    assert (judge(failure) is Verdict.IN_DOUBT) is (phase is Phase.FINAL_DOT)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(530, "5.7.0", "authentication required"), Cause.LOGIN_WANTED),
        (Reply(530, None, "must issue a STARTTLS command first"), Cause.LOGIN_WANTED),
        (Reply(554, "5.7.1", "client host rejected: access denied"), Cause.DENIED),
        (Reply(550, "5.7.1", "relaying denied"), Cause.DENIED),
        (Reply(550, "5.1.1", "no such user"), Cause.REFUSED_PERMANENT),
        (Reply(554, None, "no"), Cause.REFUSED_PERMANENT),
        (Reply(450, "4.7.1", "greylisted"), Cause.REFUSED_TRANSIENT),
    ],
    ids=str,
)
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.FINAL_DOT], ids=str)
def test_a_stranger_who_is_turned_away_tries_the_next_route(phase: Phase, reply: Reply, cause: Cause) -> None:
    stranger, known = begun(A, anonymous=True), begun(A)
    for transaction in (stranger, known):
        if phase is Phase.RCPT:
            hear_recipients(transaction, reply)
        else:
            transaction.fail(phase, reply=reply)
    assert failure_of(known) == Failure.of_reply(phase, reply)
    if phase in (Phase.MAIL, Phase.RCPT):
        assert (failure_of(stranger).phase, failure_of(stranger).cause) == (phase, cause)
        goes_on = cause in (Cause.LOGIN_WANTED, Cause.DENIED)
        assert (judge(failure_of(stranger)) is Verdict.NEXT_ROUTE) is goes_on
    else:  # the server has taken the envelope: it is no stranger's
        assert failure_of(stranger) == failure_of(known)


def test_a_stranger_with_one_recipient_accepted_goes_on() -> None:
    transaction = begun(anonymous=True)
    transaction.hear_sender(OK)
    hear_recipients(transaction, OK, Reply(554, "5.7.1", "relay access denied"))
    assert (transaction.failure, transaction.accepted) == (None, [A])


@pytest.mark.parametrize(
    ("offered", "content", "sender", "command"),
    [
        pytest.param((), ASCII, "me@example.org", "MAIL FROM:<me@example.org>", id="nothing offered"),
        pytest.param((), ASCII, "", "MAIL FROM:<>", id="the null reverse-path"),
        pytest.param(("SIZE",), ASCII, "", f"MAIL FROM:<> SIZE={len(ASCII)}", id="SIZE without a limit"),
        pytest.param(
            ("8BITMIME", "SMTPUTF8", "CHUNKING", "PIPELINING"),
            ASCII,
            "",
            "MAIL FROM:<>",
            id="nothing needed of what is offered",
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
    message = submission(content, sender=sender)
    assert unmet(message, extensions=offering(*offered)) is None
    transaction = Transaction(message, deadline=Deadline(Timeouts()), anonymous=False)
    line, box = next(transaction.commands(extensions=offering(*offered)))
    assert (line, box) == (f"{command}\r\n".encode(), None)


def test_a_recipient_is_named_as_it_travels() -> None:
    transaction = begun('"a b"@example.org', "a@münchen.example", "root@localhost")
    _, *others = transaction.commands(extensions=offering())
    assert others == list(
        zip(
            [
                b'RCPT TO:<"a b"@example.org>\r\n',
                b"RCPT TO:<a@xn--mnchen-3ya.example>\r\n",
                b"RCPT TO:<root@localhost>\r\n",
            ],
            transaction.recipients,
            strict=True,
        )
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
    failure = Failure(Phase.MAIL, cause, detail)
    assert unmet(message, extensions=offering(*offered)) == failure
    assert judge(failure) is Verdict.GIVE_UP


@pytest.mark.parametrize("limit", [f"SIZE {len(ASCII)}", "SIZE 0", "SIZE", "PIPELINING"])
def test_a_message_of_the_size_that_is_taken_is_sent(limit: str) -> None:
    assert unmet(submission(), extensions=offering(limit)) is None
