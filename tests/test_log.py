"""What does portmail tell a log, and what does it never tell?"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import pytest

import portmail
from portmail import Cause, Route, Security, Submitter, log
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER, Scanner
from tests.proof.harness.recorder import After, Behaviour, Say
from tests.proof.secrets import by_portmail, on_the_clock, overheard
from tests.proof.secrets.failing import Path, derived

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

SUBJECT, BODY = "for your eyes", "the body that nobody may read"


def letter(*recipients: str) -> EmailMessage:
    return portmail.compose(
        to=list(recipients or ("you@example.org",)), subject=SUBJECT, text=BODY, sender=USER
    )


def submitter(sandbox: Sandbox, **wishes: Any) -> Submitter:
    given = {"username": USER, "password": PASSWORD, "retry": None, "routes": sandbox.routes} | wishes
    return Submitter(tls_ca=sandbox.ca, **given)


@contextmanager
def recorded(level: int) -> Iterator[list[logging.LogRecord]]:
    """The records of portmail from this level on."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger("portmail"), Handler()
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What it has besides a record's own attributes."""
    return {name: value for name, value in vars(record).items() if name not in STANDARD}


def events(records: list[logging.LogRecord], kind: str) -> list[dict[str, Any]]:
    told = map(fields, records)
    return [event for event in told if event.get("portmail_event") == kind]


def dialogue(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if record.name == "portmail.dialogue"]


def test_a_message_that_is_accepted_is_two_events(sandbox: Sandbox) -> None:
    with recorded(logging.INFO) as records, submitter(sandbox) as mail:
        receipt = mail.send(letter())
    assert [record.levelno for record in records] == [logging.INFO, logging.INFO]
    [attempt], [message] = events(records, "attempt"), events(records, "message")
    assert tuple(attempt) == log.ATTEMPT_FIELDS
    assert tuple(message) == log.MESSAGE_FIELDS
    assert attempt["portmail_route"] == message["portmail_route"] == str(receipt.route)
    assert attempt["portmail_message_id"] == message["portmail_message_id"] == receipt.message_id
    assert (attempt["portmail_phase"], attempt["portmail_verdict"]) == ("done", "accepted")
    assert (message["portmail_outcome"], message["portmail_accepted"]) == (log.ACCEPTED, 1)
    assert json.loads(json.dumps([attempt, message])) == [attempt, message]


def test_a_recipient_refused_is_a_warning_with_numbers_and_no_address(sandbox: Sandbox) -> None:
    sandbox.reject("no@example.org", text="5.1.1 no@example.org is unknown")
    with recorded(logging.WARNING) as records, submitter(sandbox) as mail:
        mail.send(letter("you@example.org", "no@example.org"))
    [message] = events(records, "message")
    assert (message["portmail_accepted"], message["portmail_refused"]) == (1, 1)
    assert "no@example.org" not in "".join(map(str, map(vars, records)))


def test_a_login_refused_is_told_without_what_the_server_said(sandbox: Sandbox) -> None:
    with recorded(logging.INFO) as records, submitter(sandbox, password="wrong") as mail:
        with pytest.raises(portmail.AuthenticationFailed):
            mail.send(letter())
    assert [record.levelno for record in records] == [logging.WARNING, logging.WARNING]
    [attempt], [message] = events(records, "attempt"), events(records, "message")
    assert (attempt["portmail_phase"], attempt["portmail_code"]) == ("AUTH", 535)
    assert attempt["portmail_cause"] == Cause.REFUSED_PERMANENT.value
    assert (message["portmail_outcome"], message["portmail_error"]) == (log.NOT_SENT, "AuthenticationFailed")
    assert "invalid" not in records[0].getMessage()


@pytest.mark.parametrize(
    ("setting", "outcome"),
    [("reject", log.REFUSED), ("drop_before_dot", log.NOT_SENT), ("drop_after_dot", log.IN_DOUBT)],
)
def test_each_outcome_is_told(sandbox: Sandbox, setting: str, outcome: str) -> None:
    getattr(sandbox, setting)(*(["you@example.org"] if setting == "reject" else []))
    with recorded(logging.INFO) as records, submitter(sandbox) as mail:
        with pytest.raises(portmail.DeliveryError):
            mail.send(letter())
    [message] = events(records, "message")
    assert message["portmail_outcome"] == outcome
    assert records[-1].levelno == logging.WARNING


def test_a_route_that_another_makes_up_for_is_no_warning(sandbox: Sandbox) -> None:
    silent = Route("127.0.0.1", 1, Security.IMPLICIT_TLS)
    with recorded(logging.INFO) as records, submitter(sandbox, routes=[silent, *sandbox.routes]) as mail:
        mail.send(letter())
    assert [event["portmail_cause"] for event in events(records, "attempt")] == [Cause.REFUSED.value, None]
    assert {record.levelno for record in records} == {logging.INFO}


def test_a_route_that_is_not_secure_is_a_warning_although_another_makes_up_for_it(sandbox: Sandbox) -> None:
    starttls, implicit, *_ = sandbox.routes
    stripped = Path("", "PLAIN", Behaviour(starttls=()))
    with recorded(logging.INFO) as records, pytest.raises(portmail.InsecureChannel):
        on_the_clock(stripped, by_portmail, [])
    assert [record.levelno for record in records] == [logging.WARNING, logging.WARNING]
    assert "does not offer STARTTLS" in records[0].getMessage()
    assert starttls != implicit


def test_a_message_that_failed_says_why_in_its_own_warning() -> None:
    refused, silent = (Route("127.0.0.1", port, Security.PLAINTEXT) for port in (1, 2))
    with recorded(logging.WARNING) as records, Submitter(routes=[refused, silent], retry=None) as mail:
        with pytest.raises(portmail.Unreachable):
            mail.send(letter())
    [record], [message] = records, events(records, "message")
    assert record.getMessage().endswith(f": {refused}: connect: connection refused: 127.0.0.1")
    assert (message["portmail_route"], message["portmail_phase"]) == (str(refused), "connect")
    assert (message["portmail_cause"], message["portmail_code"]) == (Cause.REFUSED.value, None)


@pytest.mark.parametrize(
    ("verb", "phase"), [("", "greeting"), ("EHLO", "EHLO"), ("AUTH", "AUTH"), ("MAIL", "MAIL")]
)
def test_what_is_given_up_says_where_it_was(verb: str, phase: str) -> None:
    behaviour = Behaviour().saying(**{verb or "greeting": Say(b"", After.SILENCE)})
    with recorded(logging.WARNING) as records, pytest.raises(asyncio.CancelledError):
        on_the_clock(Path("", "PLAIN", behaviour, cancelled=True), by_portmail, [])
    [message] = events(records, "message")
    assert (message["portmail_phase"], message["portmail_outcome"]) == (phase, log.NOT_SENT)
    assert records[-1].getMessage().endswith(f": given up at {message['portmail_route']}: {phase}")


def test_what_is_cancelled_is_told_once() -> None:
    path = Path("", "PLAIN", Behaviour().saying(MAIL=Say(b"", After.SILENCE)), cancelled=True)
    with recorded(logging.INFO) as records, pytest.raises(asyncio.CancelledError):
        on_the_clock(path, by_portmail, [])
    [message] = events(records, "message")
    assert message["portmail_outcome"] == log.NOT_SENT


def test_many_messages_have_one_event_each(sandbox: Sandbox) -> None:
    with recorded(logging.INFO) as records, submitter(sandbox) as mail:
        assert len(list(mail.send_many(letter() for _ in range(20)))) == 20
    told = [event["portmail_message_id"] for event in events(records, "message")]
    assert len(told) == len(set(told)) == 20


def test_the_dialogue_has_every_line_but_content_and_login(sandbox: Sandbox) -> None:
    with recorded(logging.DEBUG) as records, submitter(sandbox) as mail:
        mail.send(letter())
    lines = dialogue(records)
    assert {"C: STARTTLS", "C: AUTH PLAIN ***", "C: QUIT", "S: 250-PIPELINING"} <= set(lines)
    assert "C: RCPT TO:<you@example.org>" in lines
    [content] = [line for line in lines if "octets" in line]
    assert content.startswith("C: [")
    said = "\n".join(map(str, map(vars, records)))
    assert SUBJECT not in said
    assert BODY not in said
    assert not Scanner(PASSWORD, derived=derived("PLAIN")).text(said)
    connections = {record.portmail_connection for record in records if record.name == "portmail.dialogue"}  # type: ignore[attr-defined]  # by `extra=`
    host, port = sandbox.routes[0].host, sandbox.routes[0].port
    (begun,), (used,) = ([it for it in connections if it.startswith("?") is new] for new in (True, False))
    assert (begun, used.partition(" > ")[2]) == (f"? > {host}:{port}", f"{host}:{port}")
    assert lines[0] == f"connecting to {host}:{port}"
    assert lines[1].startswith("S: 220 ")
    assert lines[lines.index("C: STARTTLS") + 2] == f"TLS 1.3, certificate of {host}"


@pytest.mark.parametrize("extensions", [("SIZE", "PIPELINING"), ("SIZE",)], ids=["PIPELINING", "lock-step"])
def test_commands_and_content_are_told_apart_however_they_travel(extensions: tuple[str, ...]) -> None:
    path = Path("", "LOGIN", Behaviour(extensions=extensions, auth_in_tls=("LOGIN",)))
    with recorded(logging.DEBUG) as records:
        on_the_clock(path, by_portmail, [], debug=False)
    said = [line for line in dialogue(records) if line.startswith("C: ")]
    login, mail = said.index("C: AUTH LOGIN"), said.index("C: DATA")
    assert said[login + 1 : login + 3] == ["C: ***", "C: ***"]
    assert said[mail + 1].endswith("octets of content; that was all]")
    assert said[mail + 2] == "C: ."


def test_a_reply_that_repeats_the_login_is_shown_without_it() -> None:
    path = Path("", "PLAIN", Behaviour().saying(AUTH=b"535 5.7.8 %s\r\n" % derived("PLAIN")[0]))
    with recorded(logging.DEBUG) as records, pytest.raises(portmail.AuthenticationFailed) as caught:
        on_the_clock(path, by_portmail, [])
    assert "S: 535 5.7.8 ***" in dialogue(records)
    assert "535 5.7.8 ***" in str(caught.value)


def test_nothing_is_written_down_where_nobody_listens() -> None:
    assert log.dialogue(_no_transport()) is None


def _no_transport() -> Any:
    return pytest.fail


def test_a_program_without_logging_sees_nothing(sandbox: Sandbox) -> None:
    program = """
import logging, portmail
try:
    portmail.send(to="you@example.org", sender="me@example.org", subject="x", port=1, retry=None,
                  host="127.0.0.1", username="me", password="secret")
except portmail.Unreachable:
    pass
assert not logging.getLogger().handlers
assert [type(it).__name__ for it in logging.getLogger("portmail").handlers] == ["NullHandler"]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_logging_is_overheard_in_the_proof() -> None:
    with overheard() as (texts, _):
        log.EVENTS.warning("a warning with %s", "an argument")
    assert "a warning with an argument" in texts
