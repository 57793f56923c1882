"""Errors for programs that were written for smtplib: what they catch and read, next to smtplib itself."""

from __future__ import annotations

import copy
import inspect
import pickle
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import EmailMessage
from typing import Any

import pytest

import portmail
from portmail import errors
from portmail.cause import Cause
from portmail.conclusion import Walk, conclude
from portmail.failure import Failure, Phase
from portmail.integrations import smtplib_errors
from portmail.integrations.smtplib_errors import NO_AUTH, NO_STARTTLS, as_smtplib
from portmail.receipt import Attempt
from portmail.reply import Reply
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.security import Security
from portmail.verdict import judge
from tests.leaks import PASSWORD, USER
from tests.messages import RECIPIENT, SENDER

OTHER = "other@example.org"


def kinds_below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_below(below)


EVERY = [kind for kind in kinds_below(errors.PortmailError) if kind.__module__ == errors.__name__]
TOLD = [
    kind
    for kind in EVERY
    if kind is not errors.PortmailError and not issubclass(kind, errors.ConfigurationError)
]
"""Those that a message meets. A wrong setting is a fault of the program, and no answer of a server."""

OURS = {
    name: kind
    for name, kind in inspect.getmembers(smtplib_errors, inspect.isclass)
    if issubclass(kind, errors.PortmailError) and kind.__module__ == smtplib_errors.__name__
}

ALSO: dict[str, tuple[type[Exception], ...]] = {
    "Unreachable": (smtplib.SMTPServerDisconnected, ConnectionError),
    "InsecureChannel": (smtplib.SMTPNotSupportedError, ssl.SSLError),
    "AuthenticationFailed": (smtplib.SMTPAuthenticationError,),
    "NoMechanism": (smtplib.SMTPNotSupportedError,),
    "MessageTooLarge": (smtplib.SMTPSenderRefused,),
    "ExtensionMissing": (smtplib.SMTPNotSupportedError,),
    "Rejected": (smtplib.SMTPResponseException,),
}

PRECISE = {
    smtplib.SMTPServerDisconnected,
    smtplib.SMTPNotSupportedError,
    smtplib.SMTPResponseException,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPHeloError,
    ssl.SSLError,
}


def made(kind: type[Exception]) -> Any:
    """An error of this kind, as a program may meet it: noted, caused, and with all that it tells."""
    error: Any = kind("what happened\nWhat to do: something else.")
    if isinstance(error, errors.DeliveryError):
        error.temporary, error.retry_after, error.message_id = True, 7.0, "<1@example.org>"
        error.attempts = (_attempt(Failure(Phase.CONNECT, Cause.REFUSED)),)
    error.add_note("portmail: a note")
    error.__cause__ = KeyError("why")
    return error


def _attempt(failure: Failure) -> Attempt:
    return Attempt(
        Route("mail.example.org", 587, Security.STARTTLS), failure.phase, failure, judge(failure), 0.1
    )


def concluded(failure: Failure, *, refused: dict[str, Reply] | None = None) -> errors.PortmailError:
    return conclude(Walk("<1@example.org>", (), (_attempt(failure),), refused or {}))


by_name = pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)


@by_name
def test_each_is_what_it_was_and_an_error_of_smtplib(kind: type[Exception]) -> None:
    told = as_smtplib(made(kind))
    assert isinstance(told, kind)
    assert isinstance(told, smtplib.SMTPException)
    assert isinstance(told, OSError)
    assert type(told).__name__ == kind.__name__
    also = ALSO.get(kind.__name__, ())
    assert all(isinstance(told, it) for it in also)
    assert [
        it for it in PRECISE if isinstance(told, it) and not any(issubclass(its, it) for its in also)
    ] == []


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in TOLD], ids=lambda kind: kind.__name__)
def test_a_wrong_setting_is_told_as_it_is(kind: type[Exception]) -> None:
    error = made(kind)
    assert as_smtplib(error) is error
    assert not isinstance(error, smtplib.SMTPException)


@by_name
def test_its_text_its_cause_its_notes_and_all_that_it_tells_are_kept(kind: type[Exception]) -> None:
    error = made(kind)
    try:
        raise error
    except errors.PortmailError as caught:
        told: Any = as_smtplib(caught)
    prefix = "Invalid address: " if kind is errors.AddressError else ""
    assert str(told) == f"{prefix}{error}"
    assert told.args == (str(told),)
    assert told.__cause__ is error.__cause__
    assert told.__traceback__ is error.__traceback__
    assert vars(error).items() <= vars(told).items()
    assert told.__notes__ == ["portmail: a note"]
    assert (told.temporary, told.errno) == (error.temporary, None)


def carriages(error: Any) -> list[Any]:
    pickled = [pickle.dumps(error, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [copy.copy(error), copy.deepcopy(error), *map(pickle.loads, pickled)]


@pytest.mark.parametrize("name", OURS)
def test_each_is_carried_elsewhere_as_it_is(name: str) -> None:
    told: Any = as_smtplib(made(OURS[name].__bases__[0]), sender=SENDER)
    if type(told) is not OURS[name]:  # which of those of a refusal it is, the phase says
        told = OURS[name](str(told))
        told.smtp_code, told.smtp_error, told.recipients = 550, b"5.1.1 no", {RECIPIENT: (550, b"no")}
    for carried in carriages(told):
        assert type(carried) is type(told)
        assert (str(carried), repr(carried)) == (str(told), repr(told))
        assert _comparable(carried) == _comparable(told)


def _comparable(error: BaseException) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name != "__cause__"}


def test_each_can_be_made_without_a_word() -> None:
    assert {str(kind()) for kind in OURS.values()} == {""}


@pytest.mark.parametrize("name", OURS)
def test_what_is_translated_already_stays_as_it_is(name: str) -> None:
    told = OURS[name]("text")
    assert as_smtplib(told) is told


def test_none_of_them_is_forgotten_in_the_table() -> None:
    described = smtplib_errors.__doc__ or ""
    for name in ALSO:
        assert name in described


# The phase says what a refusal is.


@pytest.mark.parametrize(
    ("phase", "name", "kind"),
    [
        (Phase.GREETING, "TurnedAway", smtplib.SMTPConnectError),
        (Phase.EHLO, "TurnedAway", smtplib.SMTPConnectError),
        (Phase.MAIL, "SenderRefused", smtplib.SMTPSenderRefused),
        (Phase.RCPT, "RecipientsRefused", smtplib.SMTPRecipientsRefused),
        (Phase.DATA, "DataRefused", smtplib.SMTPDataError),
        (Phase.CONTENT, "DataRefused", smtplib.SMTPDataError),
        (Phase.FINAL_DOT, "DataRefused", smtplib.SMTPDataError),
    ],
)
def test_a_refusal_is_that_of_its_phase(phase: Phase, name: str, kind: type[Exception]) -> None:
    reply = Reply(451, "4.3.0", "in 20 seconds")
    refused = {RECIPIENT: reply} if phase is Phase.RCPT else {}
    error = concluded(Failure.of_reply(phase, reply), refused=refused)
    told: Any = as_smtplib(error, sender=SENDER)
    assert (type(told),) == (OURS[name],)
    assert issubclass(OURS[name], kind)
    assert issubclass(OURS[name], portmail.Rejected)
    assert (told.reply, told.temporary, told.retry_after) == (reply, True, 20.0)
    assert told.decided in told.attempts
    if phase is Phase.RCPT:
        assert told.recipients == {RECIPIENT: (451, b"4.3.0 in 20 seconds")}
    else:
        assert (told.smtp_code, told.smtp_error) == (451, b"4.3.0 in 20 seconds")
    assert getattr(told, "sender", None) == (SENDER if phase is Phase.MAIL else None)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DONE])
def test_there_is_no_phase_for_which_it_fails(phase: Phase) -> None:
    told = as_smtplib(concluded(Failure.of_reply(phase, Reply(554, None, "no"))))
    assert isinstance(told, smtplib.SMTPException)


@pytest.mark.parametrize("cause", list(Cause))
def test_there_is_no_cause_for_which_it_fails(cause: Cause) -> None:
    for phase in (Phase.CONNECT, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.FINAL_DOT):
        assert isinstance(as_smtplib(concluded(Failure(phase, cause))), smtplib.SMTPException)


def test_what_the_server_said_is_octets_whatever_it_said() -> None:
    told: Any = as_smtplib(concluded(Failure.of_reply(Phase.MAIL, Reply(550, None, "né\udcff"))))
    assert told.smtp_error == "né?".encode()


# smtplib's own words.


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(Phase.TLS, Cause.STARTTLS_NOT_OFFERED), [NO_STARTTLS, NO_AUTH]),
        (Failure(Phase.TLS, Cause.CLEAR_AUTH), [NO_STARTTLS]),
        (Failure(Phase.EHLO, Cause.NO_MECHANISM), [NO_AUTH]),
        (Failure(Phase.TLS, Cause.CERTIFICATE_EXPIRED), []),
    ],
)
def test_the_words_of_smtplib_stand_first_where_they_are_true(failure: Failure, words: list[str]) -> None:
    error = concluded(failure)
    text = str(as_smtplib(error))
    assert text == "\n".join([*([" ".join(words)] if words else []), str(error)])
    assert [own for own in (NO_STARTTLS, NO_AUTH) if own in text] == words


# Side by side.


def _refusing(sandbox: Sandbox) -> None:
    sandbox.reject(RECIPIENT)
    sandbox.reject(OTHER, code=450, text="4.2.0 later")


SITUATIONS: dict[str, tuple[dict[str, Any], Callable[[Sandbox], object], dict[str, Any]]] = {
    "a wrong password": ({}, lambda _: None, {"password": "wrong"}),
    "all recipients refused": ({}, _refusing, {"to": [RECIPIENT, OTHER]}),
    "the only recipient refused": ({}, lambda sandbox: sandbox.reject(RECIPIENT), {}),
    "refused at the end": ({"size_limit": 200, "extensions": ()}, lambda _: None, {}),
    "no login offered": ({"mechanisms": ()}, lambda _: None, {}),
    "no STARTTLS": ({}, lambda sandbox: sandbox.strip_starttls(), {}),
    "lost before the final dot": ({}, lambda sandbox: sandbox.drop_before_dot(), {}),
    "letters that it does not know": ({"extensions": ()}, lambda _: None, {"to": ["jörg@example.org"]}),
}
ATTRIBUTES = ("smtp_code", "smtp_error", "recipients", "sender")


def both(
    server: dict[str, Any],
    order: Callable[[Sandbox], object],
    *,
    password: str = PASSWORD,
    to: list[str] | None = None,
) -> tuple[Any, Any]:
    """What smtplib raises, and what we do, with the same server, message and account."""
    to = to or [RECIPIENT]
    theirs: Any = None
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENDER, ", ".join(to), "Hello"
    mail.set_content("Hello, you.\n" * 30)
    with Sandbox(users={USER: PASSWORD}, ports={587: 0}, **server) as sandbox:
        order(sandbox)
        try:
            with smtplib.SMTP(sandbox.host, sandbox.port(587), timeout=5) as client:
                client.starttls(context=ssl.create_default_context(cafile=sandbox.ca))
                client.login(USER, password)
                client.send_message(mail)
        except smtplib.SMTPException as error:
            theirs = error
        with (
            pytest.raises(portmail.DeliveryError) as caught,
            portmail.Submitter(
                routes=sandbox.routes, username=USER, password=password, tls_ca=sandbox.ca, retry=None
            ) as submitter,
        ):
            submitter.send(mail)
    return theirs, as_smtplib(caught.value, sender=SENDER)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_handler_for_smtplib_finds_the_same(name: str) -> None:
    server, order, wishes = SITUATIONS[name]
    theirs, ours = both(server, order, **wishes)
    assert isinstance(ours, type(theirs))
    for attribute in ATTRIBUTES:
        assert getattr(ours, attribute, None) == getattr(theirs, attribute, None)
    if type(theirs) is smtplib.SMTPNotSupportedError and "SMTPUTF8" not in str(theirs):
        assert str(ours).startswith(str(theirs))


def test_a_message_that_is_too_large_for_its_size_limit_is_told_as_smtplib_does() -> None:
    theirs, ours = both({"size_limit": 200}, lambda _: None)
    assert isinstance(ours, type(theirs))
    assert ours.sender == theirs.sender
    # Nobody was asked: EHLO had said it.
    assert b"too large" in ours.smtp_error


def test_the_code_of_a_message_that_is_too_large_is_that_of_smtplib() -> None:
    theirs, ours = both({"size_limit": 200}, lambda _: None)
    assert ours.smtp_code == theirs.smtp_code


def test_a_message_in_doubt_is_nothing_after_which_smtplibs_users_send_again() -> None:
    with Sandbox(users={}, ports={25: 0}) as sandbox:
        sandbox.drop_after_dot()
        route = Route(sandbox.host, sandbox.port(25), Security.PLAINTEXT)
        mail = EmailMessage()
        mail["From"], mail["To"] = SENDER, RECIPIENT
        with portmail.Submitter(routes=(route,)) as submitter, pytest.raises(portmail.InDoubt) as caught:
            submitter.send(mail)
    told = as_smtplib(caught.value)
    assert isinstance(told, portmail.InDoubt)
    assert not isinstance(told, smtplib.SMTPServerDisconnected | smtplib.SMTPResponseException)
    assert not told.temporary


def test_an_insecure_channel_is_caught_as_an_error_of_ssl() -> None:
    with pytest.raises(ssl.SSLError) as caught:
        raise as_smtplib(concluded(Failure(Phase.TLS, Cause.CERTIFICATE_EXPIRED, "it expired")))
    assert str(caught.value).startswith("Not sent: no secure route.")
    assert "it expired" in str(caught.value)


def test_a_refused_connection_is_caught_as_every_oserror_is() -> None:
    error = as_smtplib(concluded(Failure(Phase.CONNECT, Cause.REFUSED)))
    for kind in (OSError, ConnectionError, smtplib.SMTPServerDisconnected, portmail.Unreachable):
        with suppress(kind):
            raise error


def test_a_callers_own_subclass_is_told_as_the_class_that_it_is_of() -> None:
    class Special(errors.Unreachable):
        """Somebody's own."""

    told = as_smtplib(Special("text", temporary=True))
    assert isinstance(told, smtplib.SMTPServerDisconnected)
    assert told.temporary
