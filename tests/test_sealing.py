"""A message that waits in a queue: sealed to plain data, and sent from there as it would have been."""

from __future__ import annotations

import json
from email.message import EmailMessage
from pathlib import Path

import pytest

import portmail
from portmail.envelope import local_mailbox
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, USER


def composed(*, to: str = "ann@example.org", sender: str = "me@example.com") -> EmailMessage:
    return portmail.compose(to=to, bcc="archive@example.org", subject="Grüße", text="Hallo.\n", sender=sender)


def through_a_queue(sealed: portmail.Sealed) -> portmail.Enveloped:
    return portmail.unsealed(json.loads(json.dumps(sealed)))


def submitter(sandbox: Sandbox) -> portmail.Submitter:
    return portmail.Submitter(routes=sandbox.routes, username=USER, password=PASSWORD, tls_ca=sandbox.ca)


@pytest.mark.parametrize(
    ("to", "sender", "paths"),
    [
        ("ann@example.org", "me@example.com", ("me@example.com", "ann@example.org")),
        ("ann@exämple.org", "me@exämple.com", ("me@xn--exmple-cua.com", "ann@xn--exmple-cua.org")),
        ("grüße@example.org", "me@example.com", ("me@example.com", "grüße@example.org")),
        ("grüße@exämple.org", "mé@example.com", ("mé@example.com", "grüße@exämple.org")),
    ],
)
def test_what_was_sealed_arrives_as_what_was_not(
    to: str, sender: str, paths: tuple[str, str], sandbox: Sandbox
) -> None:
    message = composed(to=to, sender=sender)
    message["Message-ID"], message["Date"] = "<1@example.com>", "Sun, 22 Nov 2026 12:00:00 +0000"
    with submitter(sandbox) as mail:
        mail.send(message)
        mail.send(through_a_queue(portmail.sealed(message)))
        [result] = mail.send_many([through_a_queue(portmail.sealed(message))])
    plain, queued, many = sandbox.messages
    assert (queued, many) == (plain, plain)
    assert (queued.sender, *queued.recipients) == (*paths, "archive@example.org")
    assert b"archive" not in queued.content
    assert result.error is None


def test_it_has_its_message_id_before_it_is_sent_and_keeps_it(sandbox: Sandbox) -> None:
    sealed = portmail.sealed(composed())
    with submitter(sandbox) as mail:
        receipts = [mail.send(through_a_queue(sealed)) for _ in range(2)]
    assert {receipt.message_id for receipt in receipts} == {sealed["message_id"]}
    first, second = sandbox.messages
    assert first.content == second.content
    assert first.message["Message-ID"] == sealed["message_id"]
    assert first.message["Date"]


def test_an_envelope_of_its_own_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(bytes(composed()))
    sealed = portmail.sealed(file, sender="", recipients=["bob@example.org"])
    assert (sealed["sender"], sealed["recipients"]) == ("", ["bob@example.org"])
    again = portmail.sealed(portmail.unsealed(sealed))
    assert again == sealed


def test_local_mailboxes_come_out_as_they_went_in(sandbox: Sandbox) -> None:
    root, admin = (local_mailbox(name) for name in ("root", "admin"))
    sealed = portmail.sealed(composed(), sender=root, recipients=[admin, "ann@example.org"])
    assert (sealed["sender"], sealed["recipients"]) == ("root", ["admin", "ann@example.org"])
    assert portmail.sealed(through_a_queue(sealed)) == sealed
    with submitter(sandbox) as mail:
        mail.send(through_a_queue(sealed))
        [result] = mail.send_many([through_a_queue(sealed)])
    assert result.error is None
    assert {(it.sender, it.recipients) for it in sandbox.messages} == {("root", ("admin", "ann@example.org"))}


@pytest.mark.parametrize("recipient", ["", "two names", "root>", "a\r\nRCPT TO:<b@c.de>", 5, None, ["root"]])
def test_a_mailbox_that_is_none_is_told(recipient: object) -> None:
    data = {**portmail.sealed(composed()), "recipients": [recipient]}
    with pytest.raises((portmail.ContentError, portmail.AddressError)):
        portmail.sealed(portmail.unsealed(data))


def test_what_cannot_travel_is_told_where_it_is_sealed() -> None:
    with pytest.raises(portmail.AddressError, match="no recipients"):
        portmail.sealed(composed(), recipients=[])


@pytest.mark.parametrize(
    "data",
    [{}, {"content": "%"}, {"content": "", "sender": 1, "recipients": []}, {"content": "", "sender": ""}],
)
def test_other_data_is_told_as_such(data: dict[str, object]) -> None:
    with pytest.raises(portmail.ContentError, match="this is no sealed message"):
        portmail.unsealed(data)
