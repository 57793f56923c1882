"""Messages with an envelope of their own: through both doors, one or many, and told by the very object."""

from __future__ import annotations

import asyncio
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import portmail
from portmail import Enveloped
from portmail.envelope import local_mailbox, mailbox
from portmail.sandbox import Sandbox
from portmail.submission import Submission, prepared
from tests.messages import RECIPIENT, SENDER, message
from tests.test_send_many import each_door, relay, run, send_all, wishes_for

assert relay  # a fixture

BOUNCES, OTHER, HIDDEN = "bounces@example.org", "other@example.org", "hidden@example.org"


def with_bcc() -> EmailMessage:
    made = message()
    made["Bcc"] = HIDDEN
    return made


def envelopes(sandbox: Sandbox) -> list[tuple[str, tuple[str, ...]]]:
    return [(it.sender, tuple(it.recipients)) for it in sandbox.messages]


def send_one(door: str, sandbox: Sandbox, content: Any) -> portmail.Receipt:
    if door == "sync":
        with portmail.Submitter(**wishes_for(sandbox)) as mail:
            return mail.send(content)

    async def scenario() -> portmail.Receipt:
        async with portmail.AsyncSubmitter(**wishes_for(sandbox)) as mail:
            return await mail.send(content)

    receipt: portmail.Receipt = run(scenario())
    return receipt


@pytest.fixture
def forms(tmp_path: Path) -> dict[str, Any]:
    """One message in each form in which it can be sent."""
    octets = message().as_bytes()
    path = tmp_path / "one.eml"
    path.write_bytes(octets)
    return {"EmailMessage": message(), "octets": octets, "path": path}


FORMS = ("EmailMessage", "octets", "path")
ENVELOPES: dict[str, tuple[dict[str, Any], tuple[str, tuple[str, ...]]]] = {
    "none of its own": ({}, (SENDER, (RECIPIENT,))),
    "a sender": ({"sender": BOUNCES}, (BOUNCES, (RECIPIENT,))),
    "the null reverse-path": ({"sender": ""}, ("", (RECIPIENT,))),
    "recipients": ({"recipients": [OTHER, HIDDEN]}, (SENDER, (OTHER, HIDDEN))),
    "one recipient as a text": ({"recipients": OTHER}, (SENDER, (OTHER,))),
    "both, checked before": (
        {"sender": mailbox(BOUNCES), "recipients": (mailbox(OTHER), RECIPIENT)},
        (BOUNCES, (OTHER, RECIPIENT)),
    ),
}


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_given_is_the_envelope_and_the_rest_is_of_the_header(
    form: str, name: str, forms: dict[str, Any]
) -> None:
    given, (sender, recipients) = ENVELOPES[name]
    envelope = Submission.of(Enveloped(forms[form], **given)).envelope
    assert (envelope.sender.text if envelope.sender else "") == sender
    assert tuple(box.text for box in envelope.recipients) == recipients


@each_door
def test_many_go_each_by_its_own_envelope(door: str, relay: Sandbox, forms: dict[str, Any]) -> None:
    contents = list(forms.values())
    given = [
        Enveloped(contents[number % len(contents)], **it) for number, (it, _) in enumerate(ENVELOPES.values())
    ]
    mixed: list[Any] = [*given, message()]
    results = send_all(door, relay, mixed, pool_size=1)
    assert [result.error for result in results] == [None] * len(mixed)
    assert {id(result.message) for result in results} == set(map(id, mixed))
    assert sorted(envelopes(relay)) == sorted(
        [*(expected for _, expected in ENVELOPES.values()), (SENDER, (RECIPIENT,))]
    )
    by_object = {id(result.message): result.receipt for result in results}
    for enveloped, (_, (sender, recipients)) in zip(given, ENVELOPES.values(), strict=True):
        receipt = by_object[id(enveloped)]
        assert receipt
        assert (receipt.sender, receipt.accepted) == (sender, recipients)


@each_door
def test_recipients_may_come_one_by_one(door: str, relay: Sandbox) -> None:
    [result] = send_all(door, relay, [Enveloped(message(), recipients=iter((OTHER, HIDDEN)))])
    assert result.receipt
    assert envelopes(relay) == [(SENDER, (OTHER, HIDDEN))]


@each_door
def test_one_goes_by_its_own_envelope_too(door: str, relay: Sandbox) -> None:
    receipt = send_one(door, relay, Enveloped(message(), sender="", recipients=[OTHER]))
    assert (receipt.sender, receipt.accepted) == ("", (OTHER,))
    assert envelopes(relay) == [("", (OTHER,))]


@each_door
@pytest.mark.parametrize(
    ("recipients", "expected"), [(None, (RECIPIENT, HIDDEN)), ([OTHER], (OTHER,))], ids=["header", "given"]
)
def test_bcc_counts_only_where_no_recipients_are_given_and_never_travels(
    door: str, relay: Sandbox, recipients: list[str] | None, expected: tuple[str, ...]
) -> None:
    [result] = send_all(door, relay, [Enveloped(with_bcc(), recipients=recipients)])
    assert result.receipt
    assert envelopes(relay) == [(SENDER, expected)]
    assert HIDDEN.encode() not in relay.messages[0].content


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "nobody": (Enveloped(message(), recipients=[]), portmail.AddressError, "no recipients"),
    "no address": (Enveloped(message(), recipients=["nobody"]), portmail.AddressError, "'nobody' has no @"),
    "no text": (Enveloped(message(), recipients=[5]), portmail.AddressError, "5 is no address"),  # type: ignore[list-item]  # wrong on purpose
    "a wrong sender": (Enveloped(message(), sender="me"), portmail.AddressError, "'me' has no @"),
    "no message": (Enveloped("text"), portmail.ContentError, "str is no message"),  # type: ignore[arg-type]  # wrong on purpose
    "no file": (Enveloped(Path("/nowhere/1.eml")), portmail.ContentError, "nowhere"),
    "one in another": (Enveloped(Enveloped(message())), portmail.ContentError, "Enveloped is no message"),  # type: ignore[arg-type]  # wrong on purpose
}


@each_door
def test_what_is_wrong_with_one_is_told_in_its_result(door: str, relay: Sandbox) -> None:
    good = Enveloped(message(), sender=BOUNCES)
    results = send_all(door, relay, [*(wrong for wrong, _, _ in WRONG.values()), good])
    told = {id(result.message): result for result in results}
    for wrong, kind, words in WRONG.values():
        result = told[id(wrong)]
        assert result.receipt is None
        assert isinstance(result.error, kind)
        assert words in str(result.error)
    assert told[id(good)].receipt
    assert envelopes(relay) == [(BOUNCES, (RECIPIENT,))]


@each_door
def test_before_commit_is_called_with_the_very_object(door: str, relay: Sandbox) -> None:
    seen: list[object] = []
    given = [Enveloped(message(), recipients=[OTHER]), Enveloped(message().as_bytes())]
    send_all(door, relay, given, before_commit=seen.append)
    assert {id(it) for it in seen} == {id(it) for it in given}


@each_door
def test_one_refused_for_its_sender_is_told_and_the_others_go_on(door: str, relay: Sandbox) -> None:
    relay.reject(OTHER)
    refused, good = Enveloped(message(), recipients=[OTHER]), Enveloped(message(), recipients=[HIDDEN])
    results = {id(result.message): result for result in send_all(door, relay, [refused, good])}
    assert isinstance(results[id(refused)].error, portmail.Rejected)
    assert results[id(good)].receipt


def test_one_alone_is_not_many(relay: Sandbox) -> None:
    with portmail.Submitter(**wishes_for(relay)) as mail, pytest.raises(portmail.ConfigurationError):
        list(mail.send_many(Enveloped(message())))  # type: ignore[arg-type]  # wrong on purpose


def test_without_from_its_sender_is_the_author() -> None:
    made = EmailMessage()
    made["To"] = RECIPIENT
    made.set_content("Hello.\n")
    submission = Submission.of(Enveloped(made, sender=mailbox(SENDER)))
    assert submission.envelope.sender == mailbox(SENDER)


LOCAL_DATE = "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"


@pytest.mark.parametrize(
    "date",
    [
        LOCAL_DATE,
        pytest.param(
            "",
        ),
    ],
    ids=["whole", "without Date"],
)
def test_a_local_sender_and_recipient_travel_as_they_are(date: str) -> None:
    content = f"{date}From: {SENDER}\r\nTo: {RECIPIENT}\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"
    submission = Submission.of(
        Enveloped(content.encode(), sender=local_mailbox("root"), recipients=[local_mailbox("ops")])
    )
    assert submission.envelope.sender
    assert submission.envelope.sender.path == "root"
    assert [box.path for box in submission.envelope.recipients] == ["ops"]


@pytest.mark.parametrize("wish", [{"recipients": [OTHER]}, {"sender": BOUNCES}], ids=["recipients", "sender"])
def test_what_is_given_beside_it_is_not_forgotten(wish: dict[str, Any]) -> None:
    """Either of the two counts, or the contradiction is told; here it goes to whom the header names."""
    try:
        envelope = Submission.of(Enveloped(message()), **wish).envelope
    except portmail.PortmailError:
        return
    assert OTHER in [box.text for box in envelope.recipients] or envelope.sender == mailbox(BOUNCES)


# A thread for what takes long.


@pytest.mark.parametrize("enveloped", [False, True])
@pytest.mark.parametrize(
    ("content", "threaded"),
    [
        ("small octets", False),
        ("large octets", True),
        ("small message", False),
        ("large message", True),
        ("path", True),
    ],
)
def test_a_large_one_is_prepared_in_a_thread(
    content: str, threaded: bool, enveloped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = message(text="Hello, you.\n" * 100_000)
    path = tmp_path / "one.eml"
    path.write_bytes(message().as_bytes())
    made: dict[str, Any] = {
        "small octets": message().as_bytes(),
        "large octets": large.as_bytes(),
        "small message": message(),
        "large message": large,
        "path": path,
    }
    where: list[int] = []
    of = Submission.of

    def seen(*args: Any, **named: Any) -> Submission:
        where.append(threading.get_ident())
        return of(*args, **named)

    monkeypatch.setattr(Submission, "of", seen)
    given = Enveloped(made[content], recipients=[OTHER]) if enveloped else made[content]
    submission = asyncio.run(prepared(given))
    assert (where != [threading.get_ident()]) is threaded
    assert [box.text for box in submission.envelope.recipients] == [OTHER if enveloped else RECIPIENT]
