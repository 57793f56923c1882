"""Does a Django site's mail arrive at a real Postfix?"""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives, send_mail, send_mass_mail
from django.test import override_settings

import portmail
import portmail.django as ours
from tests.django_site.site import backend, before_mailers, letter, mailers
from tests.servers.postfix import NOBODY_THERE, Postfix

FROM = "me@example.org"


@pytest.fixture
def account(postfix: Postfix) -> dict[str, Any]:
    """An account there, in the options of Django's own backend."""
    return {
        "host": postfix.host,
        "port": postfix.ports[587],
        "username": "me@example.org",
        "password": "correct horse",
        "use_tls": True,
        "tls_ca": str(postfix.ca),
    }


def test_a_message_with_parts_arrives_as_it_was_made(postfix: Postfix, account: dict[str, Any]) -> None:
    to = "django-parts@example.org"
    message = EmailMultiAlternatives("Grüße", "text\n.dot\n", FROM, [to], bcc=["django-bcc@example.org"])
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach("data.bin", bytes(range(256)), "application/octet-stream")
    with override_settings(**mailers(account)):
        assert message.send() == 1
    receipt = ours.receipt(message)
    assert receipt is not None
    assert receipt.tls is not None
    assert "queued as" in receipt.reply.text
    [raw] = postfix.wait_for(to)
    postfix.wait_for("django-bcc@example.org")
    assert b"django-bcc" not in raw
    got = message_from_bytes(raw, policy=policy.default)
    assert got["Subject"] == "Grüße"
    assert [part.get_content() for part in got.iter_attachments()] == [bytes(range(256))]


def test_many_arrive_over_few_connections(postfix: Postfix, account: dict[str, Any]) -> None:
    to = "django-many@example.org"
    before = postfix.log().count(": connect from")
    with override_settings(**mailers({**account, "pool_size": 3})):
        assert send_mass_mail([(f"number {it}", "text", FROM, [to]) for it in range(30)]) == 30
        assert [send_mail("one more", "text", FROM, [to]) for _ in range(20)] == [1] * 20
    assert len(postfix.wait_for(to, count=50)) == 50
    # Two more than there may be: the log is written a little later, also that of other tests.
    assert postfix.log().count(": connect from") - before <= 5


def test_some_of_the_recipients_are_refused(postfix: Postfix, account: dict[str, Any]) -> None:
    message = letter("django-there@example.org", NOBODY_THERE, from_email=FROM)
    with override_settings(**mailers(account)):
        assert message.send() == 1
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            letter(NOBODY_THERE, from_email=FROM).send()
    receipt = ours.receipt(message)
    assert receipt is not None
    assert (receipt.accepted, list(receipt.refused)) == (("django-there@example.org",), [NOBODY_THERE])


@pytest.mark.long  # Postfix takes its time to say so
def test_a_wrong_password_is_smtplibs_error(account: dict[str, Any]) -> None:
    with override_settings(**mailers({**account, "password": "wrong"})):
        with pytest.raises(smtplib.SMTPAuthenticationError):
            backend().open()


def test_an_async_view_sends(postfix: Postfix, account: dict[str, Any]) -> None:
    async def view() -> list[int]:
        to = ["django-async@example.org"]
        return await asyncio.gather(*(ours.asend_mail("hello", "text", FROM, to) for _ in range(10)))

    with override_settings(**mailers(account)):
        assert asyncio.run(view()) == [1] * 10
    assert len(postfix.wait_for("django-async@example.org", count=10)) == 10


def test_the_settings_before_mailers_do_it_too(postfix: Postfix) -> None:
    given = {
        "EMAIL_HOST": postfix.host,
        "EMAIL_PORT": postfix.ports[465],
        "EMAIL_USE_SSL": True,
        "EMAIL_HOST_USER": "me@example.org",
        "EMAIL_HOST_PASSWORD": "correct horse",
        "PORTMAIL": {"tls_ca": str(postfix.ca)},
    }
    with before_mailers(**given):
        assert send_mail("hello", "text", FROM, ["django-before@example.org"]) == 1
    postfix.wait_for("django-before@example.org")


def test_without_tls_flags_the_password_travels_encrypted_all_the_same(
    postfix: Postfix, account: dict[str, Any]
) -> None:
    del account["use_tls"]
    message = letter("django-tls@example.org", from_email=FROM)
    with override_settings(**mailers(account)):
        assert message.send() == 1
    receipt = ours.receipt(message)
    assert receipt is not None
    assert receipt.tls is not None
    with override_settings(**mailers({**account, "tls_ca": None})), pytest.raises(portmail.InsecureChannel):
        letter("django-tls@example.org", from_email=FROM).send()
