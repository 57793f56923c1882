"""What does a site learn of each message? Receipts, errors, notes, signals, and exceptions that travel."""

from __future__ import annotations

import copy
import logging
import pickle
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.dispatch import Signal
from django.test import override_settings
from django.utils.log import AdminEmailHandler

import portmail
import portmail.django as ours
from portmail.sandbox import Sandbox
from tests.django_site.site import GONE, MAILERS, OTHER, TO, backend, letter, mailers
from tests.leaks import PASSWORD, USER

pytestmark = pytest.mark.usefixtures("site")


NAMES = {ours.pre_send: "pre_send", ours.post_send: "post_send", ours.send_failed: "send_failed"}


@contextmanager
def heard(*signals: Signal) -> Iterator[list[dict[str, Any]]]:
    """What receivers of these signals are told, in order."""
    told: list[dict[str, Any]] = []
    with ExitStack() as stack:
        for signal in signals:
            name = next(
                name for name in ("pre_send", "post_send", "send_failed") if getattr(ours, name) is signal
            )

            def receive(name: str = name, **given: Any) -> None:
                told.append({"name": name, **given})

            stack.enter_context(received(signal, receive))
        yield told


@contextmanager
def received(signal: Signal, receiver: Callable[..., None]) -> Iterator[None]:
    """A receiver is connected."""
    signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def test_the_receipt_says_what_became_of_each_recipient(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    message = letter(TO, GONE, OTHER)
    assert message.send() == 1
    receipt = ours.receipt(message)
    assert receipt is not None
    assert receipt is vars(message)["portmail_receipt"]
    assert receipt.accepted == (TO, OTHER)
    assert {who: reply.code for who, reply in receipt.refused.items()} == {GONE: 550}
    assert receipt.tls is not None
    assert "portmail_error" not in vars(message)


def test_the_first_that_failed_is_raised_and_all_others_are_tried(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    sandbox.reject("also@example.org", code=450, text="4.2.1 later")
    once = {"retry": portmail.Retry(attempts=1), "url": sandbox.url, "tls_ca": str(sandbox.ca)}
    messages = [
        letter(TO),
        letter(GONE),
        letter(OTHER),
        letter("also@example.org"),
        letter(TO, subject="last"),
    ]
    with override_settings(**mailers(once)), pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        backend().send_messages(messages)
    assert list(caught.value.recipients) == [GONE]
    assert any("3 of 5 messages were sent" in note for note in caught.value.__notes__)
    assert [ours.receipt(message) is not None for message in messages] == [True, False, True, False, True]
    errors = [vars(message).get("portmail_error") for message in messages]
    assert [type(error).__name__ for error in errors if error] == ["RecipientsRefused", "RecipientsRefused"]
    assert errors[1] is caught.value
    assert len(sandbox.messages) == 3


def test_one_message_alone_needs_no_note(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        letter(GONE).send()
    assert not hasattr(caught.value, "__notes__")


def test_without_a_connection_each_message_hears_why(sandbox: Sandbox) -> None:
    once = {"retry": portmail.Retry(attempts=1), "url": sandbox.url, "tls_ca": str(sandbox.ca)}
    sandbox.close_port(587)
    messages = [letter(), letter(OTHER)]
    with override_settings(**mailers(once)), heard(ours.send_failed) as told:
        with pytest.raises(portmail.Unreachable) as caught:
            backend().send_messages(messages)
    assert [vars(message)["portmail_error"] for message in messages] == [caught.value, caught.value]
    assert [it["message"] for it in told] == messages


def test_a_message_may_be_sent_again_and_shows_what_happened_last(sandbox: Sandbox) -> None:
    message = letter()
    assert (message.send(), message.send()) == (1, 1)
    sandbox.reject(TO)
    with pytest.raises(portmail.Rejected):
        message.send()
    assert ours.receipt(message) is None
    sandbox.behave()
    assert message.send() == 1
    assert "portmail_error" not in vars(message)
    assert len(sandbox.messages) == 3


def test_a_message_may_be_there_twice(sandbox: Sandbox) -> None:
    message = letter()
    assert backend().send_messages([message, message]) == 2
    assert len(sandbox.messages) == 2


def test_a_message_with_its_receipt_can_be_pickled_and_copied(sandbox: Sandbox) -> None:
    message = letter()
    backend().send_messages([message])
    for again in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):  # noqa: S301  # our own
        made = ours.receipt(again)
        assert made is not None
        assert made.accepted == (TO,)


@pytest.mark.parametrize("what", ["refused", "no login", "in doubt", "no route", "insecure", "address"])
def test_exceptions_go_to_another_process_and_stay_what_they_are(what: str, sandbox: Sandbox) -> None:
    orders: dict[str, Callable[[], None]] = {
        "refused": lambda: sandbox.reject(TO),
        "in doubt": sandbox.drop_after_dot,
        "no route": lambda: sandbox.close_port(587),
        "insecure": sandbox.strip_starttls,
    }
    orders.get(what, lambda: None)()
    wrong = sandbox.url.replace("battery", "wrong") if what == "no login" else sandbox.url
    once = {"retry": portmail.Retry(attempts=1), "url": wrong, "tls_ca": str(sandbox.ca)}
    with override_settings(**mailers(once)), pytest.raises(portmail.PortmailError) as caught:
        letter("a@@b" if what == "address" else TO).send()
    error = caught.value
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert (type(again), str(again), again.temporary) == (type(error), str(error), error.temporary)
    assert isinstance(again, smtplib.SMTPException)
    assert PASSWORD not in repr(again)


def test_before_it_is_sent_a_receiver_may_change_it(sandbox: Sandbox) -> None:
    def receive(message: EmailMessage, **_given: Any) -> None:
        message.subject = f"[site] {message.subject}"
        message.bcc.append("archive@example.com")

    with received(ours.pre_send, receive):
        assert letter().send() == 1
    [got] = sandbox.messages
    assert (got.message["Subject"], got.recipients) == ("[site] hello", (TO, "archive@example.com"))


def test_what_it_raises_keeps_the_message_from_being_sent(sandbox: Sandbox) -> None:
    def receive(message: EmailMessage, **_given: Any) -> None:
        if message.to == [GONE]:
            raise PermissionError("not to them")

    gone, fine = letter(GONE), letter()
    with received(ours.pre_send, receive), heard(ours.post_send, ours.send_failed) as told:
        with pytest.raises(PermissionError, match="not to them"):
            backend().send_messages([gone, fine])
    assert [got.recipients for got in sandbox.messages] == [(TO,)]
    assert {(it["name"], it["message"].to[0]) for it in told} == {("send_failed", GONE), ("post_send", TO)}


def test_receivers_are_told_what_became_of_it(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    fine, gone = letter(), letter(GONE)
    with heard(ours.pre_send, ours.post_send, ours.send_failed) as told:
        fine.send()
        with pytest.raises(portmail.Rejected) as caught:
            gone.send()
    alias = "default" if MAILERS else None
    for it in told:
        assert (it.pop("sender"), it.pop("using")) == (ours.EmailBackend, alias)
        assert isinstance(it.pop("signal"), Signal)
    assert told == [
        {"name": "pre_send", "message": fine},
        {"name": "post_send", "message": fine, "receipt": ours.receipt(fine)},
        {"name": "pre_send", "message": gone},
        {"name": "send_failed", "message": gone, "error": caught.value},
    ]


def test_they_are_told_of_what_is_silent(sandbox: Sandbox) -> None:
    sandbox.reject(GONE)
    mine = backend()
    mine.fail_silently = True
    with heard(ours.send_failed) as told:
        assert mine.send_messages([letter(GONE)]) == 0
    assert [type(it["error"]).__name__ for it in told] == ["RecipientsRefused"]


def test_what_receivers_raise_afterwards_is_logged_and_mailed_to_the_admins_once(sandbox: Sandbox) -> None:
    def receive(**_given: Any) -> None:
        raise LookupError("a receiver")

    sandbox.reject(GONE)
    with received(ours.post_send, receive), received(ours.send_failed, receive):
        message = letter()
        assert message.send() == 1
        assert ours.receipt(message) is not None
        with pytest.raises(portmail.Rejected):
            letter(GONE).send()
    assert [got.recipients[0] for got in sandbox.messages] == [TO, "admin@example.com", "admin@example.com"]


def test_a_receiver_that_fails_while_nothing_can_be_sent_does_not_go_round_in_circles(
    sandbox: Sandbox,
) -> None:
    def receive(**_given: Any) -> None:
        raise LookupError("a receiver")

    once = {"retry": portmail.Retry(attempts=1), "url": sandbox.url, "tls_ca": str(sandbox.ca)}
    sandbox.close_port(587)
    with override_settings(**mailers(once)), received(ours.send_failed, receive):
        with pytest.raises(portmail.Unreachable):
            letter().send()


@pytest.mark.parametrize("name", ["pre_send", "post_send", "send_failed"])
def test_a_receiver_may_log_what_is_mailed_to_the_admins(name: str, sandbox: Sandbox) -> None:
    logger = logging.getLogger("site")
    handler = AdminEmailHandler(using="default") if MAILERS else AdminEmailHandler()
    times: list[str] = []

    def receive(**_given: Any) -> None:
        times.append(name)
        logger.error("trouble")

    sandbox.reject(GONE)
    logger.addHandler(handler)
    try:
        with received(getattr(ours, name), receive):
            if name == "send_failed":
                with pytest.raises(portmail.Rejected):
                    letter(GONE).send()
            else:
                assert letter().send() == 1
    finally:
        logger.removeHandler(handler)
    told = [got.recipients[0] for got in sandbox.messages]
    assert told.count("admin@example.com") == len(times) == 1
    assert told.count(TO) == (name != "send_failed")


def test_what_is_raised_before_while_another_is_told_of_keeps_nothing_else(sandbox: Sandbox) -> None:
    def refuse(**_given: Any) -> None:
        raise PermissionError("not now")

    def copy_to_archive(**_given: Any) -> None:
        assert letter("archive@example.com").send() == 1  # it is not asked for this one

    message = letter()
    with received(ours.pre_send, refuse), received(ours.send_failed, copy_to_archive):
        with pytest.raises(PermissionError, match="not now"):
            message.send()
    assert [got.recipients for got in sandbox.messages] == [("archive@example.com",)]
    assert isinstance(vars(message)["portmail_error"], PermissionError)


def test_a_receiver_may_send_mail_itself(sandbox: Sandbox) -> None:
    def receive(message: EmailMessage, **_given: Any) -> None:
        letter("archive@example.com", subject=f"copy of {message.subject}").send()

    with received(ours.post_send, receive):
        assert backend().send_messages([letter(), letter(OTHER)]) == 2
    assert sorted(got.message["Subject"] for got in sandbox.messages) == ["copy of hello"] * 2 + ["hello"] * 2


def test_the_login_that_was_refused_is_smtplibs_error(sandbox: Sandbox) -> None:
    wrong = {"url": sandbox.url.replace("battery", "wrong"), "tls_ca": str(sandbox.ca)}
    with override_settings(**mailers(wrong)), pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        backend().send_messages([letter(), letter()])
    assert caught.value.smtp_code == 535
    assert isinstance(caught.value, portmail.AuthenticationFailed)
    assert sum(session.authentications for session in sandbox.sessions) == 1
    assert USER not in repr(caught.value.smtp_error)


def test_what_is_in_doubt_is_no_lost_connection(sandbox: Sandbox) -> None:
    sandbox.drop_after_dot()
    with pytest.raises(portmail.InDoubt) as caught:
        letter().send()
    assert isinstance(caught.value, smtplib.SMTPException)
    others = {smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException}
    assert others.isdisjoint(type(caught.value).__mro__)
    assert len(sandbox.messages) == 1
