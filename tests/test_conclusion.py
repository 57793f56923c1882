"""What is raised when the walk is over? One error out of all attempts, in words for a person."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from portmail import errors
from portmail.cause import Cause
from portmail.conclusion import Walk, conclude
from portmail.errors import (
    AuthenticationFailed,
    DeliveryError,
    ExtensionMissing,
    InDoubt,
    InsecureChannel,
    MessageTooLarge,
    NoMechanism,
    PortmailError,
    Rejected,
    Unreachable,
)
from portmail.failure import Failure, Phase
from portmail.receipt import Attempt
from portmail.reply import Reply
from portmail.route import Route, anonymous_routes
from portmail.verdict import judge

ROUTES = anonymous_routes("mail.example.com")


def said(phase: Phase, code: int, enhanced: str | None = None, text: str = "no") -> Failure:
    return Failure.of_reply(phase, Reply(code, enhanced, text))


def attempt(failure: Failure, route: Route = ROUTES[0]) -> Attempt:
    return Attempt(route, failure.phase, failure, judge(failure), 0.3)


def concluded(*failures: Failure, refused: dict[str, Reply] | None = None) -> DeliveryError:
    attempts = tuple(attempt(failure, route) for failure, route in zip(failures, ROUTES, strict=False))
    return conclude(Walk("<1@example.org>", (), attempts, refused or {}))


SILENT = Failure(Phase.CONNECT, Cause.TIMED_OUT, "after 10.0 s")
REFUSED = Failure(Phase.CONNECT, Cause.REFUSED)
NO_NAME = Failure(Phase.CONNECT, Cause.NAME_NOT_FOUND)
LATE = Failure(Phase.CONNECT, Cause.OVERTAKEN)
STRIPPED = Failure(Phase.TLS, Cause.STARTTLS_NOT_OFFERED)
NOT_NOW = Failure(Phase.TLS, Cause.STARTTLS_REFUSED, reply=Reply(454, "4.7.0", "later"))
NEVER = Failure(Phase.TLS, Cause.STARTTLS_REFUSED, reply=Reply(554, None, "never"))
WEAKER = Failure(Phase.CONNECT, Cause.WEAKER)


@pytest.mark.parametrize(
    ("failures", "error", "temporary"),
    [
        pytest.param([SILENT], Unreachable, True, id="a silent port"),
        pytest.param([SILENT, REFUSED, REFUSED], Unreachable, True, id="all ports dead"),
        pytest.param([NO_NAME], Unreachable, False, id="a name that does not exist"),
        pytest.param([NO_NAME, REFUSED], Unreachable, True, id="one that may recover"),
        pytest.param([Failure(Phase.MAIL, Cause.LOST)], Unreachable, True, id="lost before the final dot"),
        pytest.param([STRIPPED], InsecureChannel, False, id="STARTTLS stripped"),
        pytest.param([SILENT, STRIPPED], InsecureChannel, False, id="security outranks a timeout"),
        pytest.param([STRIPPED, SILENT], InsecureChannel, False, id="security outranks a timeout after it"),
        pytest.param([STRIPPED, said(Phase.GREETING, 554)], InsecureChannel, False, id="and a reply"),
        pytest.param([STRIPPED, REFUSED, WEAKER], InsecureChannel, False, id="a weaker route not tried"),
        pytest.param([NOT_NOW, SILENT], InsecureChannel, True, id="STARTTLS refused for now"),
        pytest.param([NOT_NOW, NEVER], InsecureChannel, False, id="STARTTLS refused for now and for ever"),
        pytest.param([NEVER, SILENT], InsecureChannel, False, id="STARTTLS refused for ever"),
        pytest.param([Failure(Phase.AUTH, Cause.NO_PROOF)], InsecureChannel, False, id="proof lost at AUTH"),
        pytest.param([said(Phase.AUTH, 535)], AuthenticationFailed, False, id="a wrong password"),
        pytest.param([said(Phase.AUTH, 454)], AuthenticationFailed, True, id="no login just now"),
        pytest.param([LATE, said(Phase.AUTH, 535)], AuthenticationFailed, False, id="after a lost race"),
        pytest.param(
            [STRIPPED, said(Phase.AUTH, 535)], AuthenticationFailed, False, id="what ended it counts"
        ),
        pytest.param([Failure(Phase.EHLO, Cause.NO_MECHANISM)], NoMechanism, False, id="no mechanism"),
        pytest.param([said(Phase.GREETING, 554)], Rejected, False, id="an unwelcoming greeting"),
        pytest.param([said(Phase.GREETING, 421)], Rejected, True, id="a busy server"),
        pytest.param([SILENT, said(Phase.GREETING, 554)], Rejected, True, id="a reply outranks silence"),
        pytest.param([said(Phase.MAIL, 550)], Rejected, False, id="MAIL refused"),
        pytest.param([SILENT, said(Phase.MAIL, 550)], Rejected, False, id="MAIL refused where it arrived"),
        pytest.param([said(Phase.RCPT, 450)], Rejected, True, id="greylisted"),
        pytest.param([said(Phase.FINAL_DOT, 554)], Rejected, False, id="the content refused"),
        pytest.param([said(Phase.FINAL_DOT, 451)], Rejected, True, id="the content refused for now"),
        pytest.param([Failure(Phase.RCPT, Cause.LOGIN_WANTED)], Rejected, False, id="a login wanted"),
        pytest.param(
            [Failure(Phase.RCPT, Cause.DENIED), SILENT],
            Rejected,
            True,
            id="a login wanted, and a silent relay",
        ),
        pytest.param([Failure(Phase.MAIL, Cause.TOO_LARGE)], MessageTooLarge, False, id="too large"),
        pytest.param(
            [Failure(Phase.MAIL, Cause.EXTENSION_MISSING)], ExtensionMissing, False, id="no SMTPUTF8"
        ),
        pytest.param([Failure(Phase.FINAL_DOT, Cause.LOST)], InDoubt, False, id="lost after the final dot"),
        pytest.param([Failure(Phase.FINAL_DOT, Cause.NO_REPLY)], InDoubt, False, id="no answer to it"),
        pytest.param([Failure(Phase.FINAL_DOT, Cause.TLS_FAILED)], InDoubt, False, id="TLS broken after it"),
        pytest.param(
            [STRIPPED, Failure(Phase.FINAL_DOT, Cause.LOST)], InDoubt, False, id="doubt outranks all"
        ),
    ],
)
def test_a_walk_ends_in_this_error(
    failures: list[Failure], error: type[DeliveryError], temporary: bool
) -> None:
    raised = concluded(*failures)
    assert (type(raised), raised.temporary) == (error, temporary)
    assert [attempt.error for attempt in raised.attempts] == failures
    assert raised.message_id == "<1@example.org>"


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (said(Phase.RCPT, 450, "4.2.0", "Greylisted, try again in 300 seconds"), 300),
        (said(Phase.RCPT, 451, None, "please retry in 5 min"), 300),
        (said(Phase.RCPT, 451, None, "wait 2 minutes"), 120),
        (said(Phase.RCPT, 451, None, "delayed for 60s"), 60),
        (said(Phase.RCPT, 451, None, "come back in 90 sec."), 90),
        (said(Phase.RCPT, 450, None, "try again later"), None),
        (said(Phase.RCPT, 450, None, "4 spam points"), None),
        (said(Phase.RCPT, 450, None, "x" * 10 + "9" * 1000 + "s"), None),
        (said(Phase.RCPT, 550, None, "blocked, try again in 300 seconds"), None),
        (SILENT, None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_retry_after_is_what_a_transient_reply_names(failure: Failure, seconds: float | None) -> None:
    assert concluded(failure).retry_after == seconds


def test_a_rejection_holds_the_reply_and_who_was_refused() -> None:
    refused = {"a@example.org": Reply(550, "5.1.1", "no such user"), "b@example.org": Reply(450)}
    error = concluded(said(Phase.RCPT, 450, "4.2.0", "later"), refused=refused)
    assert isinstance(error, Rejected)
    assert (error.reply, error.refused) == (Reply(450, "4.2.0", "later"), refused)
    assert "\n  a@example.org: 550 5.1.1 no such user\n" in str(error)


def test_the_text_has_one_line_per_attempt_and_ends_with_what_to_do() -> None:
    lines = str(concluded(SILENT, STRIPPED, REFUSED)).split("\n")
    assert lines[0] == "Not sent: no secure route. No credential was shown and no message left."
    assert lines[1:4] == [
        "  mail.example.com:587 starttls: connect: no answer: the port is silent: after 10.0 s (0.3 s)",
        "  mail.example.com:465 implicit-tls: TLS: the server does not offer STARTTLS (0.3 s)",
        "  mail.example.com:25 opportunistic: connect: connection refused (0.3 s)",
    ]
    assert len(lines) == 5
    assert re.fullmatch(r"What to do: a firewall.*; do not send.*; nothing listens.*\.", lines[4])


def test_advice_is_given_once_and_for_what_ended_the_walk() -> None:
    assert str(concluded(SILENT, SILENT)).count("a firewall") == 1
    wrong_password = str(concluded(SILENT, said(Phase.AUTH, 535)))
    assert wrong_password.endswith("What to do: check the user name and the password or token.")


@pytest.mark.parametrize(
    ("failure", "summary", "advice"),
    [
        (Failure(Phase.FINAL_DOT, Cause.LOST), "In doubt: ", "look whether it arrived"),
        (Failure(Phase.MAIL, Cause.TOO_LARGE), "Not sent: the message is too large", "smaller"),
        (Failure(Phase.MAIL, Cause.EXTENSION_MISSING), "Not sent: the server cannot", "ASCII addresses"),
        (said(Phase.MAIL, 550), "Not sent: the server refused the message", "what it complains of"),
        (said(Phase.GREETING, 554), "Not sent: the server refused the connection", "takes nothing from"),
        (said(Phase.GREETING, 421), "Not sent: the server refused the connection", "try again later"),
        (Failure(Phase.RCPT, Cause.DENIED), "Not sent: the server refused the message", "its reply says why"),
        (Failure(Phase.EHLO, Cause.NO_MECHANISM), "Not sent: no way to log in", "a token needs XOAUTH2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_text_says_first_whether_it_was_sent(failure: Failure, summary: str, advice: str) -> None:
    first, *_, last = str(concluded(failure)).split("\n")
    assert first.startswith(summary)
    assert last.startswith("What to do: ")
    assert advice in last


def test_attempts_of_earlier_tries_are_told_first_and_decide_nothing() -> None:
    earlier, now = attempt(said(Phase.AUTH, 535), ROUTES[1]), attempt(SILENT)
    error = conclude(Walk("", (earlier,), (now,)))
    assert type(error) is Unreachable
    assert (error.attempts, error.decided) == ((earlier, now), now)
    assert str(error).index("535") < str(error).index("silent")


ALL_ERRORS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PortmailError)
]


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_pickles_and_copies_with_all_it_knows(kind: type[PortmailError]) -> None:
    error = kind("what to do")
    if isinstance(error, DeliveryError):
        error.attempts, error.message_id = (attempt(NOT_NOW),), "<1@example.org>"
        error.temporary, error.retry_after = True, 3.0
    if isinstance(error, Rejected):
        error.reply, error.refused = Reply(550), {"a@example.org": Reply(450, "4.2.0", "later")}
    error.add_note("and a note")
    assert_the_same(error)


def test_a_concluded_error_pickles_and_copies() -> None:
    assert_the_same(concluded(SILENT, said(Phase.RCPT, 450), refused={"a@example.org": Reply(450)}))


def assert_the_same(error: PortmailError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # our own
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


DRAWN = re.compile(r"^([│├└─ ]*)([A-Z]\w+)(?: \((\w+)\))?", re.MULTILINE)


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    above: list[str] = []
    drawn: dict[str, list[str]] = {}
    for indent, name, builtin in DRAWN.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        if not indent and name != "PortmailError":
            continue
        above[depth:] = [name]
        drawn[name] = [above[depth - 1] if depth else "Exception", *([builtin] if builtin else [])]
    assert drawn == {kind.__name__: [base.__name__ for base in kind.__bases__] for kind in ALL_ERRORS}


UNCONNECTED = [
    (SILENT, Unreachable, "no route is open."),
    (STRIPPED, InsecureChannel, "no secure route. No credential was shown."),
    (said(Phase.AUTH, 535), AuthenticationFailed, "the server refused the login."),
    (
        Failure(Phase.EHLO, Cause.NO_MECHANISM),
        NoMechanism,
        "no way to log in. The credentials were not shown.",
    ),
    (
        Failure(Phase.AUTH, Cause.NO_SECRET),
        errors.CredentialsUnavailable,
        "the password or token could not be fetched.",
    ),
    (said(Phase.GREETING, 554), Rejected, "the server refused the connection."),
    (said(Phase.EHLO, 554), Rejected, "the server refused the connection."),
    (Failure(Phase.WAITING, Cause.OUT_OF_TIME), Unreachable, "no route is open."),
]


@pytest.mark.parametrize(
    ("failure", "kind", "words"), UNCONNECTED, ids=lambda it: getattr(it, "__name__", None)
)
def test_where_there_was_no_message_none_is_spoken_of(
    failure: Failure, kind: type[DeliveryError], words: str
) -> None:
    error = conclude(Walk("", (), (attempt(failure),)))
    assert type(error) is kind
    assert str(error).splitlines()[0] == f"Not connected: {words}"
    with_message = conclude(Walk("<1@example.org>", (), (attempt(failure),)))
    assert str(with_message).startswith("Not sent: ")
    assert str(with_message).splitlines()[1:] == str(error).splitlines()[1:]
