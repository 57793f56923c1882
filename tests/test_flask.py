"""Mail of a Flask application: Flask-Mail's interface, over connections that last, and what is added."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import smtplib
import threading
from collections import Counter
from collections.abc import Iterator
from email.message import Message as AnyEmail
from typing import Any, cast

import pytest
from flask import Flask, current_app

import portmail
from portmail.integrations import smtplib_errors
from portmail.integrations.flask import (
    BadHeaderError,
    Mail,
    Message,
    NoRecipients,
    NoSender,
    email_dispatched,
    email_failed,
)
from portmail.sandbox import Sandbox
from tests.flask_application import SENDER, account, application, forget_accounts, message
from tests.leaks import USER


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account but the test's own."""
    forget_accounts(monkeypatch)


@pytest.fixture
def app(sandbox: Sandbox) -> Iterator[Flask]:
    """An application at work, with an account at the sandbox."""
    app, _ = application(**account(sandbox))
    with app.app_context():
        yield app


@pytest.fixture
def mail(app: Flask) -> Mail:
    return Mail(app)


class Heard:
    """What the signals told."""

    def __init__(self) -> None:
        self.dispatched: list[tuple[Flask, Message]] = []
        self.failed: list[tuple[Flask, Message, Exception]] = []

    def note(self, app: Flask, message: Message) -> None:
        self.dispatched.append((app, message))

    def note_error(self, app: Flask, message: Message, error: Exception) -> None:
        self.failed.append((app, message, error))


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    with email_dispatched.connected_to(heard.note), email_failed.connected_to(heard.note_error):
        yield heard


def test_a_message_is_sent_and_its_receipt_is_the_result(sandbox: Sandbox, mail: Mail) -> None:
    sent = message(cc=[("Bob", "bob@example.org")], bcc=["eve@example.org"])
    receipt = mail.send(sent)
    assert receipt is sent.portmail_receipt
    assert receipt is not None
    assert receipt.accepted == ("ann@example.org", "bob@example.org", "eve@example.org")
    assert receipt.tls is not None
    assert receipt.message_id == sent.msgId
    assert sent.date is not None
    [received] = sandbox.messages
    assert (received.sender, received.recipients, received.username) == (SENDER, receipt.accepted, USER)
    assert received.content == sent.as_bytes()


def test_all_ways_to_send_send(sandbox: Sandbox, mail: Mail) -> None:
    mail.send(message(subject="1"))
    mail.send_message("2", ["ann@example.org"], body="x")
    mail.send_message(subject="3", recipients=["ann@example.org"], sender=("Me", "me@example.com"))
    with mail.connect() as connection:
        connection.send(message(subject="4"))
        connection.send_message("5", recipients=["ann@example.org"])
        message(subject="6").send(connection)
        assert connection.num_emails == 3
    asyncio.run(mail.asend(message(subject="7")))
    assert [received.message["Subject"] for received in sandbox.messages] == list("1234567")
    assert sandbox.messages[2].sender == "me@example.com"
    assert len(sandbox.sessions) == 1


def test_a_hundred_mails_take_one_connection(sandbox: Sandbox, mail: Mail) -> None:
    for number in range(100):
        assert mail.send(message(subject=str(number)))
    assert (len(sandbox.messages), len(sandbox.sessions)) == (100, 1)


def test_applications_threads_and_loops_share_the_connections_of_an_account(sandbox: Sandbox) -> None:
    def serve() -> None:
        app, mail = application(**account(sandbox))
        with app.app_context():
            mail.send(message())
            asyncio.run(mail.asend(message()))

    for _ in range(3):
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    assert (len(sandbox.messages), len(sandbox.sessions)) == (6, 1)


def test_many_threads_at_once_take_no_more_than_the_pool(sandbox: Sandbox) -> None:
    app, mail = application(**account(sandbox), PORTMAIL_OPTIONS={"pool_size": 2})
    together = threading.Barrier(8)

    def serve() -> None:
        together.wait()
        with app.app_context():
            mail.send(message())

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sandbox.messages) == 8
    assert len(sandbox.sessions) <= 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(sandbox: Sandbox, mail: Mail) -> None:
    mail.send(message())
    child = multiprocessing.get_context("fork").Process(target=mail.send, args=(message(),))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    mail.send(message())
    assert (len(sandbox.messages), len(sandbox.sessions)) == (3, 2)


def test_bounces_may_go_elsewhere(sandbox: Sandbox, mail: Mail) -> None:
    for elsewhere in ("bounce+1@example.com", ("Bounces", "bounce+1@example.com")):
        mail.connect().send(message(), envelope_from=elsewhere)
    assert {received.sender for received in sandbox.messages} == {"bounce+1@example.com"}
    assert sandbox.messages[0].message["From"] == SENDER


def test_an_extra_header_does_not_change_who_gets_it(sandbox: Sandbox, mail: Mail) -> None:
    mail.send(message(extra_headers={"To": "list@example.org", "From": "other@example.com"}))
    [received] = sandbox.messages
    assert (received.sender, received.recipients) == (SENDER, ("ann@example.org",))
    assert (received.message["To"], received.message["From"]) == ("list@example.org", "other@example.com")


def test_who_knows_the_same_octets_may_write_them(sandbox: Sandbox, mail: Mail) -> None:
    class Signed(Message):
        def as_bytes(self) -> bytes:
            return b"X-Signature: abc\r\n" + super().as_bytes()

    class Marked(Message):
        def _message(self) -> AnyEmail:
            email = super()._message()
            email["X-Mark"] = "m"
            return email

    mail.send(Signed("Hello", ["ann@example.org"], "x"))
    mail.send(Marked("Hello", ["ann@example.org"], "x"))
    [result] = mail.send_many([Signed("Hello", ["ann@example.org"], "x")])
    assert result.error is None
    assert [received.message["X-Signature"] for received in sandbox.messages] == ["abc", None, "abc"]
    assert sandbox.messages[1].message["X-Mark"] == "m"


def test_a_mail_of_one_application_needs_no_context(sandbox: Sandbox, heard: Heard) -> None:
    app, mail = application(**account(sandbox), MAIL_ASCII_ATTACHMENTS=True)
    sent = Message("Hello", ["ann@example.org"])
    sent.attach("ü.txt", data="x")
    assert sent.sender is None
    mail.send(sent)
    mail.send_message("Hello", ["ann@example.org"])
    asyncio.run(mail.asend(Message("Hello", ["ann@example.org"])))
    results = list(mail.send_many([Message("Hello", ["ann@example.org"])]))
    assert [result.error for result in results] == [None]
    assert [received.sender for received in sandbox.messages] == [SENDER] * 4
    assert next(sandbox.messages[0].message.iter_attachments()).get_filename() == "u.txt"
    assert {app for app, _ in heard.dispatched} == {app}
    assert sent.sender == SENDER


def test_a_mail_without_an_application_serves_the_one_at_work(sandbox: Sandbox, heard: Heard) -> None:
    mail = Mail()
    apps = [Flask(name) for name in ("first", "second")]
    for number, app in enumerate(apps):
        app.config.update(account(sandbox), MAIL_DEFAULT_SENDER=f"app{number}@example.com")
        mail.init_app(app)
    assert mail.state is None
    for app in apps:
        with app.app_context():
            mail.send(message())
            assert mail.default_sender == message().sender
    assert [received.sender for received in sandbox.messages] == ["app0@example.com", "app1@example.com"]
    assert [app for app, _ in heard.dispatched] == apps
    with pytest.raises(RuntimeError, match="application context"):
        mail.send(message(sender=SENDER))


def test_an_application_that_was_not_given_its_mail_is_told(app: Flask) -> None:
    other = Flask("other")
    with other.app_context(), pytest.raises(RuntimeError, match=r"'other' has no mail: call Mail\(app\)"):
        Mail().connect()


def test_many_messages_each_have_a_result(sandbox: Sandbox, mail: Mail, heard: Heard) -> None:
    sandbox.reject("gone@example.org")
    messages = [message(recipients=[f"a{number}@example.org"], bcc=["b@example.org"]) for number in range(20)]
    odd = message(extra_headers={"To": "list@example.org"})
    bad, refused = message(subject="a\nb"), message(recipients=["gone@example.org"])
    results = list(mail.send_many([*messages, odd, bad, refused]))
    by_message = {result.message: result for result in results}
    assert len(by_message) == len(results) == 23
    for sent in (*messages, odd):
        result = by_message[sent]
        assert (result.error, result.receipt) == (None, sent.portmail_receipt)
        assert result.receipt is not None
        assert set(result.receipt.accepted) == {str(address) for address in sent.send_to}
    assert isinstance(by_message[bad].error, BadHeaderError)
    assert isinstance(by_message[refused].error, smtplib.SMTPRecipientsRefused)
    assert {sent for _, sent in heard.dispatched} == {*messages, odd}
    assert {sent: error for _, sent, error in heard.failed} == {
        sent: by_message[sent].error for sent in (bad, refused)
    }
    assert b"b@example.org" not in b"".join(received.content for received in sandbox.messages)
    assert len(sandbox.sessions) <= 5


def test_a_class_may_keep_its_content_and_nothing_is_written_into_it(sandbox: Sandbox, mail: Mail) -> None:
    class Kept(Message):
        kept: AnyEmail | None = None

        def _message(self) -> AnyEmail:
            self.kept = self.kept or super()._message()
            return self.kept

    sent = Kept("Hello", ["ann@example.org"], "x", bcc=["eve@example.org"])
    results = list(mail.send_many([sent, message(), sent, sent]))
    assert [result.error for result in results] == [None] * 4
    assert [result.message for result in results].count(sent) == 3
    assert sorted(len(received.recipients) for received in sandbox.messages) == [1, 2, 2, 2]
    assert sent.kept is not None
    assert "Bcc" not in sent.kept


def test_a_class_that_fails_is_told_and_the_others_are_sent(
    sandbox: Sandbox, mail: Mail, heard: Heard
) -> None:
    class Unsigned(Message):
        def as_bytes(self) -> bytes:
            raise RuntimeError("no key")

    messages = [message(), Unsigned("Hello", ["ann@example.org"], "x"), message()]
    by_message = {result.message: result.error for result in mail.send_many(messages)}
    error = by_message[messages[1]]
    assert list(by_message.values()).count(None) == len(sandbox.messages) == 2
    assert isinstance(error, portmail.ContentError)
    assert str(error) == "the message cannot be written: RuntimeError: no key"
    assert isinstance(error.__cause__, RuntimeError)
    assert [(sent, told) for _, sent, told in heard.failed] == [(messages[1], error)]


@pytest.mark.parametrize("suppressed", [False, True])
def test_what_raises_among_many_is_raised_behind_the_results_of_all_before(
    suppressed: bool, sandbox: Sandbox
) -> None:
    def messages() -> Iterator[Message]:
        yield message()
        yield message(recipients=[])
        raise OSError("no more")

    _, mail = application(**account(sandbox), MAIL_SUPPRESS_SEND=suppressed)
    results = mail.send_many(messages())
    assert {type(next(results).error) for _ in range(2)} == {type(None), NoRecipients}
    with pytest.raises(OSError, match="no more"):
        next(results)


def raising(_app: Flask, **_what: object) -> None:
    raise ZeroDivisionError


def raised(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """What the application's log tells of receivers: the signal, and what they raised."""
    return [
        (str(record.args and record.args[0]), record.exc_info and record.exc_info[0])  # type: ignore[index]  # it is a tuple
        for record in caplog.records
        if record.name == "shop"
    ]


@pytest.mark.parametrize("suppressed", [False, True])
def test_a_receiver_that_raises_does_not_end_many(
    suppressed: bool, sandbox: Sandbox, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    _, mail = application(**account(sandbox), MAIL_SUPPRESS_SEND=suppressed)
    with email_dispatched.connected_to(raising):
        results = list(mail.send_many(message() for _ in range(20)))
    assert [result.error for result in results] == [None] * 20
    assert sum(result.receipt is not None for result in results) == len(sandbox.messages)
    assert len(sandbox.messages) == (0 if suppressed else 20)
    assert raised(caplog) == [("email-dispatched", ZeroDivisionError)] * 20
    assert len(heard.dispatched) == 20


def test_a_receiver_of_what_was_sent_that_raises_is_raised_as_with_flask_mail(
    sandbox: Sandbox, mail: Mail
) -> None:
    sent = message()
    with email_dispatched.connected_to(raising), pytest.raises(ZeroDivisionError):
        mail.send(sent)
    assert sent.portmail_receipt is not None
    assert len(sandbox.messages) == 1


def test_a_receiver_of_failures_that_raises_is_logged_and_hides_no_error(
    sandbox: Sandbox, mail: Mail, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    async def too_late(_app: Flask, **_what: object) -> None: ...

    sandbox.reject("ann@example.org")
    with email_failed.connected_to(raising), email_failed.connected_to(too_late):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            mail.send(message())
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            asyncio.run(mail.asend(message()))
        [result] = mail.send_many([message()])
    assert isinstance(result.error, smtplib_errors.RecipientsRefused)
    assert Counter(raised(caplog)) == {
        ("email-failed", ZeroDivisionError): 3,
        ("email-failed", TypeError): 3,
    }
    assert len(heard.failed) == 3


class MailingHandler(logging.Handler):
    """Mails what is logged, and fails as the mail does: it was written in a hurry."""

    def __init__(self, mail: Mail) -> None:
        super().__init__()
        self.mail = mail

    def emit(self, record: logging.LogRecord) -> None:
        self.mail.send(message(subject=record.getMessage().splitlines()[0]))


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("fails", [raising, lambda app, **_: app.logger.error("not sent")])
def test_a_log_that_is_mailed_does_not_go_round_and_round(
    many: bool, fails: Any, sandbox: Sandbox, mail: Mail, heard: Heard
) -> None:
    app = cast("Flask", mail.app)
    sandbox.reject("ann@example.org")
    app.logger.addHandler(handler := MailingHandler(mail))
    sent = message()
    try:
        with email_failed.connected_to(fails):
            if many:
                assert isinstance(next(mail.send_many([sent])).error, portmail.Rejected)
            else:
                with pytest.raises(portmail.Rejected) as told:
                    mail.send(sent)
                assert told.value.refused.keys() == {"ann@example.org"}
    finally:
        app.logger.removeHandler(handler)
    assert [failed for _, failed, _ in heard.failed] == [sent]
    assert len(sandbox.sessions) <= 2


def test_what_a_receiver_sends_is_told_of_as_with_flask_mail(sandbox: Sandbox, mail: Mail) -> None:
    def alarm(_app: Flask, message: Message, error: Exception) -> None:
        mail.send_message(f"not sent: {message.subject}", ["postmaster@example.org"])

    with mail.record_messages() as outbox, email_failed.connected_to(alarm):
        [result] = mail.send_many([message(recipients=[])])
    assert isinstance(result.error, NoRecipients)
    assert [recorded.subject for recorded in outbox] == ["not sent: Hello"]
    assert len(sandbox.messages) == 1


def test_nothing_of_many_is_sent_where_no_application_is_at_work(sandbox: Sandbox) -> None:
    app, _ = application(**account(sandbox))
    with app.app_context():
        results = Mail().send_many([message(), message()])
    with pytest.raises(RuntimeError, match="application context"):
        next(results)
    assert sandbox.sessions == ()


def test_nothing_of_many_is_sent_before_a_result_is_asked_for(sandbox: Sandbox, mail: Mail) -> None:
    results = mail.send_many(message() for _ in range(3))
    assert sandbox.sessions == ()
    next(results)
    results.close()


@pytest.mark.parametrize(
    ("config", "suppressed"),
    [
        ({"TESTING": True}, True),
        ({"TESTING": False}, False),
        ({"TESTING": True, "MAIL_SUPPRESS_SEND": False}, False),
        ({"MAIL_SUPPRESS_SEND": True}, True),
        ({"MAIL_SUPPRESS_SEND": "true"}, True),
        ({"TESTING": True, "MAIL_SUPPRESS_SEND": None}, True),
    ],
)
def test_testing_suppresses_unless_the_config_says_more(
    config: dict[str, Any], suppressed: bool, sandbox: Sandbox, heard: Heard
) -> None:
    app, mail = application(**account(sandbox), **config)
    sent = message(sender=SENDER)
    assert mail.suppress is suppressed
    assert (mail.send(sent) is None) is suppressed
    assert (sent.portmail_receipt is None) is suppressed
    assert (sandbox.sessions == ()) is suppressed
    assert heard.dispatched == [(app, sent)]


def test_whether_it_is_suppressed_is_asked_when_it_is_sent(sandbox: Sandbox) -> None:
    app, mail = application(**account(sandbox))
    app.testing = True
    assert mail.send(message(sender=SENDER)) is None
    app.extensions["mail"].suppress = False
    assert mail.send(message(sender=SENDER))
    app.extensions["mail"].suppress = True
    assert mail.send(message(sender=SENDER)) is None
    assert len(sandbox.messages) == 1


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "nobody": ({"recipients": []}, NoRecipients),
    "no address": ({"recipients": ["ann"]}, portmail.AddressError),
    "None": ({"recipients": ["ann@example.org", None]}, portmail.AddressError),
    "a date that is none": ({"date": "today"}, portmail.ContentError),
    "two addresses in one": ({"recipients": ["a@example.org, b@example.org"]}, portmail.AddressError),
    "an address that cannot travel": ({"bcc": ["a b@example.org"]}, portmail.AddressError),
    "a line break": ({"subject": "a\r\nBcc: eve@example.org"}, BadHeaderError),
    "a line break that is coded": ({"extra_headers": {"X-A": "=?utf-8?q?a=0D=0ABcc:_e?="}}, BadHeaderError),
    "a reply to nowhere": ({"extra_headers": {"Reply-To": "a b c"}}, portmail.AddressError),
    "a line break in bcc": ({"bcc": ["a@example.org\r\n"]}, BadHeaderError),
    "no charset": ({"charset": "utf-9"}, portmail.ContentError),
    "a parameter": ({"rcpt_options": ["NOTIFY=NEVER"]}, portmail.ConfigurationError),
    "another parameter": ({"mail_options": ["SIZE=1", "requiretls"]}, portmail.ConfigurationError),
}


@pytest.mark.parametrize("suppressed", [False, True])
@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_travel_is_told_before_anything_is_connected(
    bad: str, suppressed: bool, sandbox: Sandbox, heard: Heard
) -> None:
    app, mail = application(**account(sandbox), MAIL_SUPPRESS_SEND=suppressed)
    arguments, kind = BAD[bad]
    with app.app_context():
        sent = message(**arguments)
        with pytest.raises(kind) as told:
            mail.send(sent)
        with pytest.raises(kind):
            asyncio.run(mail.asend(sent))
        [result] = mail.send_many([sent])
    assert isinstance(result.error, kind)
    assert heard.dispatched == []
    assert heard.failed[0] == (app, sent, told.value)
    assert len(heard.failed) == 3
    assert sandbox.sessions == ()
    if isinstance(told.value, portmail.AddressError):
        assert all(isinstance(error, smtplib.SMTPException) for error in (told.value, result.error))


def test_parameters_that_are_set_by_themselves_may_be_given(sandbox: Sandbox, mail: Mail) -> None:
    mail.send(message(mail_options=["SIZE=5000", "body=8BITMIME", "SMTPUTF8"]))
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize(
    ("arguments", "kind"), [({"sender": None}, NoSender), ({"recipients": []}, NoRecipients)]
)
def test_a_message_from_or_for_nobody_fails_as_with_flask_mail(arguments: Any, kind: type[Exception]) -> None:
    app, mail = application(TESTING=True, MAIL_DEFAULT_SENDER=None)
    with app.app_context(), pytest.raises(AssertionError) as told:
        mail.send(message(**{"sender": SENDER} | arguments))
    assert isinstance(told.value, kind)
    assert isinstance(told.value, portmail.AddressError)


def test_messages_are_recorded_whoever_sends_them(mail: Mail, app: Flask, sandbox: Sandbox) -> None:
    with mail.record_messages() as outbox:
        mail.send(message(subject="1"))
        app.testing = True
        mail.send(message(subject="2"))
        with mail.connect() as connection:
            connection.send(message(subject="3"))
        list(mail.send_many([message(subject="4")]))
        asyncio.run(mail.asend(message(subject="5")))
    mail.send(message(subject="6"))
    assert [recorded.subject for recorded in outbox] == list("12345")
    assert [recorded.portmail_receipt is None for recorded in outbox] == [False, True, True, True, True]
    assert len(sandbox.messages) == 1


def test_a_refusal_is_smtplibs_error_and_ours(sandbox: Sandbox, mail: Mail, app: Flask, heard: Heard) -> None:
    sandbox.reject("ann@example.org", code=550, text="5.1.1 no such user")
    sent = message()
    with pytest.raises(smtplib.SMTPRecipientsRefused) as told:
        mail.send(sent)
    assert isinstance(told.value, portmail.Rejected | smtplib_errors.RecipientsRefused)
    assert told.value.recipients["ann@example.org"][0] == 550
    assert not told.value.temporary
    assert heard.failed == [(app, sent, told.value)]
    assert (heard.dispatched, sent.portmail_receipt) == ([], None)
    with pytest.raises(smtplib.SMTPException):
        asyncio.run(mail.asend(sent))


def test_a_receipt_is_that_of_the_last_time(sandbox: Sandbox, mail: Mail) -> None:
    sent = message()
    mail.send(sent)
    sandbox.reject("ann@example.org")
    with pytest.raises(portmail.Rejected):
        mail.send(sent)
    assert sent.portmail_receipt is None


def test_the_receipt_tells_who_of_several_was_refused(sandbox: Sandbox, mail: Mail, heard: Heard) -> None:
    sandbox.reject("gone@example.org")
    receipt = mail.send(message(recipients=["ann@example.org", "gone@example.org"]))
    assert receipt is not None
    assert (receipt.accepted, list(receipt.refused)) == (("ann@example.org",), ["gone@example.org"])
    assert len(heard.dispatched) == 1


def test_a_wrong_password_is_told_by_whatever_comes_first(sandbox: Sandbox) -> None:
    app, mail = application(**account(sandbox) | {"PORTMAIL_URL": sandbox.url.replace("correct", "wrong")})
    with app.app_context():
        with pytest.raises(smtplib.SMTPAuthenticationError):
            mail.send(message())
        with pytest.raises(smtplib.SMTPAuthenticationError) as told, mail.connect():
            raise AssertionError("it has no connection")
    assert isinstance(told.value, portmail.AuthenticationFailed)
    assert sandbox.messages == ()


def test_the_context_that_there_is_is_the_one_that_counts(sandbox: Sandbox, heard: Heard) -> None:
    first, mail = application(**account(sandbox))
    second, _ = application(**account(sandbox), MAIL_DEFAULT_SENDER="second@example.com")
    with second.app_context():
        mail.send(message())
        assert current_app.name == "shop"
    assert heard.dispatched[0][0] is second
    assert sandbox.messages[0].sender == "second@example.com"
    assert first is mail.app
