"""What is raised when the walk is over? One error out of all attempts, in words for a person."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime

import pytest

from portmail import conclusion, errors, surroundings
from portmail.cause import FACTS, Cause
from portmail.certificate import Certificate
from portmail.conclusion import Walk, conclude, in_words
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
from portmail.hosting import Hosting
from portmail.language import Language, english, words
from portmail.receipt import Attempt
from portmail.reply import Reply
from portmail.route import Route, anonymous_routes, submission_routes
from portmail.security import Security
from portmail.verdict import judge

ROUTES = anonymous_routes("mail.example.com")
DROPLET = Hosting("droplets", "Droplets", frozenset({25, 465, 587}), "Droplets block it.", "2026-01-01", "x")


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of no provider, with a network: what is told does not depend on this one."""
    monkeypatch.setattr(surroundings, "hosted_at", lambda **_: None)
    monkeypatch.setattr(surroundings, "is_online", lambda: True)


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
    assert lines[1] == (
        "mail.example.com offers no encryption (STARTTLS) on port 465, or something on the way removes it."
    )
    assert lines[2:5] == [
        "  mail.example.com:587 starttls: connect: no answer: the port is silent: after 10.0 s (0.3 s)",
        "  mail.example.com:465 implicit-tls: TLS: the server does not offer STARTTLS (0.3 s)",
        "  mail.example.com:25 opportunistic: connect: connection refused (0.3 s)",
    ]
    assert len(lines) == 6
    assert re.fullmatch(r"What to do: Use another network.*\.", lines[5])


def test_advice_is_given_once_and_for_what_ended_the_walk() -> None:
    assert str(concluded(SILENT, SILENT)).count("firewall") == 1
    wrong_password = str(concluded(SILENT, said(Phase.AUTH, 535)))
    assert "\nWhat to do: check the user name and the password or token. " in wrong_password
    assert "firewall" not in wrong_password


@pytest.mark.parametrize(
    ("failure", "summary", "advice"),
    [
        (Failure(Phase.FINAL_DOT, Cause.LOST), "In doubt: ", "look whether it arrived"),
        (Failure(Phase.MAIL, Cause.TOO_LARGE), "Not sent: the message is too large", "smaller"),
        (Failure(Phase.MAIL, Cause.EXTENSION_MISSING), "Not sent: the server cannot", "ASCII addresses"),
        (said(Phase.MAIL, 550), "Not sent: the server refused the message", "what it complains of"),
        (said(Phase.GREETING, 554), "Not sent: the server refused the connection", "block list"),
        (said(Phase.GREETING, 421), "Not sent: the server refused the connection", "again in some minutes"),
        (Failure(Phase.RCPT, Cause.DENIED), "Not sent: the server refused the message", "its reply says why"),
        (Failure(Phase.EHLO, Cause.NO_MECHANISM), "Not sent: no way to log in", "A password needs PLAIN"),
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


OUTLOOK, GMAIL = submission_routes("smtp.office365.com")[0], submission_routes("smtp.gmail.com")[0]
STARTTLS_465 = Route("mail.example.com", 465, Security.STARTTLS)
TLS_587 = Route("mail.example.com", 587, Security.IMPLICIT_TLS)
OLD = Certificate(
    ("mail.example.com",),
    "mail.example.com",
    "R11",
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2020, 3, 31, tzinfo=UTC),
)
WRONG_VERSION = Failure(Phase.TLS, Cause.TLS_ON_PLAIN_PORT, "wrong version number")
MUTE = Failure(Phase.GREETING, Cause.SILENT)
EXPIRED = Failure(Phase.TLS, Cause.CERTIFICATE_EXPIRED, "it expired on 2020-03-31", certificate=OLD)
TAKEN_AWAY = Failure(Phase.TLS, Cause.STARTTLS_STRIPPED, "XXXXXXXA in its place")
AUTH_OFF = said(
    Phase.AUTH, 535, "5.7.139", "Authentication unsuccessful, SmtpClientAuthentication is disabled"
)
APP_PASSWORD = said(Phase.AUTH, 534, "5.7.9", "Application-specific password required.")


def ended(*attempts: Attempt, message_id: str = "<1@example.org>") -> DeliveryError:
    return conclude(Walk(message_id, (), attempts))


def parts(error: DeliveryError) -> tuple[str, str, list[str], str]:
    """Summary, diagnosis, attempts, and what to do."""
    summary, why, *attempts, to_do = str(error).split("\n")
    assert all(attempt.startswith("  ") for attempt in attempts)
    assert len(attempts) == len(error.attempts)
    return summary, why, attempts, to_do


@pytest.mark.parametrize(
    ("attempts", "kind", "why", "to_do"),
    [
        pytest.param(
            [attempt(SILENT, ROUTES[0]), attempt(SILENT, ROUTES[1])],
            Unreachable,
            "mail.example.com does not answer on ports 587 and 465: ",
            "another network|from another network",
            id="587 and 465 are silent",
        ),
        pytest.param(
            [attempt(SILENT, ROUTES[0]), attempt(REFUSED, ROUTES[1])],
            Unreachable,
            "mail.example.com is there, but does not answer on port 587: ",
            "open port 587 or 465",
            id="587 is silent, and the host is there",
        ),
        pytest.param(
            [attempt(REFUSED, ROUTES[0]), attempt(REFUSED, ROUTES[1])],
            Unreachable,
            "mail.example.com is there, but nothing listens on ports 587 and 465.",
            "Check host and port",
            id="both are refused",
        ),
        pytest.param(
            [attempt(NO_NAME, ROUTES[0]), attempt(NO_NAME, ROUTES[1])],
            Unreachable,
            "There is no host of the name mail.example.com.",
            "Check the spelling",
            id="a name that does not exist",
        ),
        pytest.param(
            [attempt(WRONG_VERSION, TLS_587)],
            InsecureChannel,
            'port 587 of mail.example.com.* \\("wrong version number"\\)',
            "security=Security.STARTTLS",
            id="a classic: TLS is spoken to a port for STARTTLS",
        ),
        pytest.param(
            [attempt(MUTE, STARTTLS_465)],
            Unreachable,
            "mail.example.com is silent on port 465 because it waits for TLS",
            "security=Security.IMPLICIT_TLS",
            id="a classic: silence on 465",
        ),
        pytest.param(
            [attempt(EXPIRED, ROUTES[0]), attempt(EXPIRED, ROUTES[1])],
            InsecureChannel,
            "of mail.example.com is not valid today: it is valid from 2020-01-01 to 2020-03-31.",
            "this machine's clock",
            id="a certificate has expired",
        ),
        pytest.param(
            [attempt(TAKEN_AWAY, ROUTES[0]), attempt(SILENT, ROUTES[1])],
            InsecureChannel,
            "Something between here and mail.example.com removes the encryption \\(STARTTLS\\) on port 587",
            "Do not send over this network",
            id="STARTTLS was taken away",
        ),
        pytest.param(
            [attempt(said(Phase.GREETING, 554, "5.7.1", "Go away."), ROUTES[0])],
            Rejected,
            "takes nothing from this machine: 554 5.7.1 Go away\\.$",
            "block list",
            id="turned away",
        ),
    ],
)
def test_the_second_line_is_the_diagnosis_and_the_last_what_to_do(
    attempts: list[Attempt], kind: type[DeliveryError], why: str, to_do: str
) -> None:
    for message_id in ("<1@example.org>", ""):
        error = ended(*attempts, message_id=message_id)
        summary, diagnosis, _, advice = parts(error)
        assert type(error) is kind
        assert summary.startswith("Not sent: " if message_id else "Not connected: ")
        assert re.search(why, diagnosis)
        assert advice.startswith("What to do: ")
        assert re.search(to_do, advice)
        assert advice.endswith(".")
        assert "{" not in str(error)


def test_what_this_machine_is_comes_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = [attempt(SILENT, ROUTES[0]), attempt(SILENT, ROUTES[1])]
    monkeypatch.setattr(surroundings, "hosted_at", lambda **_: DROPLET)
    _, why, _, to_do = parts(ended(*silent))
    assert "this machine runs at Droplets" in why
    assert to_do == "What to do: Droplets block it."
    no_way = Failure(Phase.CONNECT, Cause.UNREACHABLE)
    monkeypatch.setattr(surroundings, "is_online", lambda: False)
    _, why, _, _ = parts(ended(attempt(no_way)))
    assert why == "This machine has no network connection at all."


@pytest.mark.parametrize(
    ("failure", "route", "hint"),
    [
        (AUTH_OFF, OUTLOOK, "SMTP AUTH is switched off for this Microsoft 365 organization or mailbox."),
        (APP_PASSWORD, GMAIL, "Google wants an app password here"),
    ],
    ids=["Microsoft's 535 5.7.139", "Gmail's 534"],
)
def test_a_refused_login_is_told_with_what_is_known_of_the_provider(
    failure: Failure, route: Route, hint: str
) -> None:
    error = ended(attempt(failure, route))
    summary, line, to_do = str(error).split("\n")
    assert isinstance(error, AuthenticationFailed)
    assert summary == "Not sent: the server refused the login."
    assert str(failure.reply) in line
    assert to_do.startswith("What to do: ")
    assert "check the user name" not in to_do
    assert hint in to_do


def test_advice_of_another_provider_is_not_given() -> None:
    assert "Google" not in str(ended(attempt(APP_PASSWORD)))


@pytest.mark.parametrize(
    "last",
    [
        [attempt(Failure(Phase.EHLO, Cause.LOST))],
        [attempt(SILENT), attempt(said(Phase.AUTH, 535), ROUTES[1])],
        [attempt(SILENT), attempt(said(Phase.RCPT, 450), ROUTES[1])],
        [attempt(SILENT), attempt(Failure(Phase.RCPT, Cause.DENIED), ROUTES[1])],
        [attempt(Failure(Phase.FINAL_DOT, Cause.LOST))],
        [attempt(Failure(Phase.CONNECT, Cause.FAULT))],
    ],
    ids=["nothing is known", "a refused login", "greylisted", "denied", "in doubt", "a fault of ours"],
)
def test_no_diagnosis_where_the_way_is_not_the_matter(last: list[Attempt]) -> None:
    lines = str(ended(*last)).split("\n")
    assert lines[1 : 1 + len(last)] == [f"  {it}" for it in last]


@pytest.mark.parametrize(
    ("failure", "told"), [(SILENT, True), (REFUSED, True), (STRIPPED, False), (said(Phase.AUTH, 535), False)]
)
def test_where_a_check_would_know_more_it_is_named(failure: Failure, told: bool) -> None:
    last = "`portmail check` also tries the server's other ports."
    assert str(ended(attempt(failure))).endswith(last) is told


def test_a_fault_in_the_diagnosis_costs_only_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = str(ended(attempt(SILENT)))
    monkeypatch.setattr(conclusion, "diagnose", lambda *_, **__: 1 / 0)
    summary, *rest = str(ended(attempt(SILENT))).split("\n")
    assert [summary, rest[0]] == [line for n, line in enumerate(whole.split("\n")) if n in (0, 2)]


def test_earlier_tries_have_no_part_in_the_diagnosis() -> None:
    error = conclude(Walk("", (attempt(TAKEN_AWAY),), (attempt(REFUSED),)))
    assert str(error).split("\n")[1].startswith("mail.example.com is there, but nothing listens on port 587")


def fake(text: str) -> str:
    """Another language: every letter of a text of ours is another one; places stay."""
    return "".join(
        part if part.startswith("{") else re.sub("[A-Za-z]", "字", part)
        for part in re.split(r"({.*?})", text)
    )


ERRORS = {
    "silent": lambda: ended(attempt(SILENT, ROUTES[0]), attempt(SILENT, ROUTES[1])),
    "refused": lambda: ended(attempt(REFUSED, ROUTES[0]), attempt(REFUSED, ROUTES[1])),
    "wrong version": lambda: ended(attempt(WRONG_VERSION, TLS_587)),
    "silence on 465": lambda: ended(attempt(MUTE, STARTTLS_465)),
    "expired": lambda: ended(attempt(EXPIRED)),
    "stripped": lambda: ended(attempt(TAKEN_AWAY)),
    "turned away": lambda: ended(attempt(said(Phase.GREETING, 554, "5.7.1", "Go away."))),
    "Microsoft": lambda: ended(attempt(AUTH_OFF, OUTLOOK)),
    "Gmail": lambda: ended(attempt(APP_PASSWORD, GMAIL)),
    "too large": lambda: ended(attempt(Failure(Phase.MAIL, Cause.TOO_LARGE))),
    "again": lambda: conclude(Walk("", (attempt(SILENT),), (attempt(REFUSED, ROUTES[1]),))),
    "recipients": lambda: concluded(
        said(Phase.RCPT, 450), refused={"a@example.org": Reply(450, None, "Wait")}
    ),
    "in doubt": lambda: conclude(
        Walk("<1@e>", (), (attempt(Failure(Phase.FINAL_DOT, Cause.LOST)),), accepted=("a@example.org",))
    ),
}
THEIRS = re.compile(
    r"(?:mail\.example\.com|smtp\.office365\.com|smtp\.gmail\.com|a@example\.org)(?::\d+ [a-z-]+)?"
    r"|after 10\.0 s|wrong version number|it expired on 2020-03-31|XXXXXXXA in its place"
    r"|554 5\.7\.1 Go away\.?|450 Wait|450 no|\(0\.3 s\)"
    r"|535 5\.7\.139 Authentication unsuccessful, SmtpClientAuthentication is disabled"
    r"|534 5\.7\.9 Application-specific password required\.?"
)
"""What is of servers, of routes, or a detail: it stays in every language."""


@pytest.mark.parametrize("name", ERRORS)
def test_in_another_language_it_has_the_same_lines(name: str) -> None:
    error = ERRORS[name]()
    assert in_words(error) == in_words(error, english) == str(error)
    ours, others = str(error).split("\n"), in_words(error, fake).split("\n")
    assert [line[:2] == "  " for line in others] == [line[:2] == "  " for line in ours]
    theirs = [[THEIRS.findall(line) for line in lines if line[:2] == "  "] for lines in (ours, others)]
    assert theirs[0] == theirs[1]


@pytest.mark.parametrize("name", ERRORS)
def test_nothing_that_we_say_escapes_translation(name: str) -> None:
    left = THEIRS.sub("", in_words(ERRORS[name](), fake))
    assert re.findall("[A-Za-z]+", left) == []
    assert "{" not in left


@pytest.mark.parametrize("name", ERRORS)
def test_in_japanese_it_has_the_same_lines(name: str) -> None:
    error = ERRORS[name]()
    japanese = in_words(error, words(Language.JAPANESE))
    assert len(japanese.split("\n")) == len(str(error).split("\n"))
    assert THEIRS.findall(japanese.replace("。", ".")) != []


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_with_a_diagnosis_pickles_and_can_still_be_translated(name: str) -> None:
    error = ERRORS[name]()
    assert_the_same(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert in_words(again, fake) == in_words(error, fake)


def test_an_error_that_was_not_concluded_says_what_it_says() -> None:
    error = Unreachable("no such thing")
    assert in_words(error, fake) == "no such thing"


def test_every_cause_that_ends_an_opening_can_be_told() -> None:
    for cause in FACTS:
        for phase in (Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS):
            text = str(ended(attempt(Failure(phase, cause))))
            assert text.startswith(("Not sent: ", "In doubt: "))
            assert "{" not in text


def test_the_best_hint_stands_before_the_advice_and_the_next_behind_it() -> None:
    blocked = "Service unavailable; Client host [203.0.113.45] blocked using zen.spamhaus.org"
    told = str(concluded(said(Phase.GREETING, 554, "5.7.1", blocked))).splitlines()[-1]
    assert told.startswith("What to do: Spamhaus lists this machine's address; ")
    assert 0 < told.index("The server's operator can tell why; ") < told.index("A block list names this")
