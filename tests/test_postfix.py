"""Against a real Postfix: every strategy delivers through every door, and delivers what was meant."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

import portmail
from portmail import Route, Security, sasl
from tests.cases import cases
from tests.messages import message
from tests.servers.dialogue import play
from tests.servers.postfix import NOBODY_THERE, REFUSED_SENDER, WILD_PASSWORD, Postfix

SECURITY = {587: Security.STARTTLS, 465: Security.IMPLICIT_TLS, 25: Security.OPPORTUNISTIC}
SCHEME = {587: "submission", 465: "submissions", 25: "relay"}
USER, PASSWORD = "me@example.org", "correct horse"


def route(postfix: Postfix, service: int) -> Route:
    return Route(postfix.host, postfix.ports[service], SECURITY[service])


def wishes(postfix: Postfix, service: int, **keywords: object) -> dict[str, object]:
    account = {} if service == 25 else {"username": USER, "password": PASSWORD}
    return {"routes": (route(postfix, service),), "tls_ca": postfix.ca, **account, **keywords}


def url(postfix: Postfix, service: int) -> str:
    login = "" if service == 25 else "me%40example.org:correct%20horse@"
    return f"{SCHEME[service]}://{login}{postfix.host}:{postfix.ports[service]}"


Door = Callable[[Postfix, int, EmailMessage], None]


def blocking(postfix: Postfix, service: int, mail: EmailMessage) -> None:
    with portmail.Submitter(**wishes(postfix, service)) as submitter:  # type: ignore[arg-type]
        assert submitter.send(mail).route == route(postfix, service)


def awaited(postfix: Postfix, service: int, mail: EmailMessage) -> None:
    async def send() -> portmail.Receipt:
        async with portmail.AsyncSubmitter(**wishes(postfix, service)) as submitter:  # type: ignore[arg-type]
            return await submitter.send(mail)

    assert asyncio.run(send()).route == route(postfix, service)


def one_line(postfix: Postfix, service: int, mail: EmailMessage) -> None:
    receipt = portmail.send(
        to=str(mail["To"]),
        bcc=str(mail["Bcc"]),
        subject=str(mail["Subject"]),
        text=mail.get_content(),
        sender=USER,
        url=url(postfix, service),
        tls_ca=postfix.ca,
    )
    assert receipt.reply.code == 250


def shell(postfix: Postfix, service: int, mail: EmailMessage) -> None:
    command = [sys.executable, "-m", "portmail", "send", "--to", str(mail["To"]), "--from", USER]
    done = subprocess.run(
        [*command, "--bcc", str(mail["Bcc"]), "--subject", str(mail["Subject"])],
        input=mail.get_content().encode(),
        env={
            "PORTMAIL_URL": url(postfix, service),
            "PORTMAIL_CA": str(postfix.ca),
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("service", "door"),
    cases(
        itertools.product((587, 465, 25), (blocking, awaited, one_line, shell)),
        daily={(587, blocking), (465, awaited), (25, one_line), (465, shell)},
    ),
)
def test_every_strategy_delivers_through_every_door(service: int, door: Door, postfix: Postfix) -> None:
    who = f"{door.__name__}-{service}@example.org"
    hidden = f"hidden-{door.__name__}-{service}@example.org"
    mail = message(to=who, subject="Grüße aus der Ferne ☃", text="Hallo Jürgen,\n.\n..\n.dot\nEnde\n")
    mail["Bcc"] = hidden
    door(postfix, service, mail)

    (delivered,) = postfix.wait_for(who)
    parsed = message_from_bytes(delivered, policy=default)
    assert parsed["Subject"] == "Grüße aus der Ferne ☃"
    assert parsed["Return-Path"] == "<me@example.org>"
    body = parsed.get_body()
    assert body is not None
    assert body.get_content() == "Hallo Jürgen,\n.\n..\n.dot\nEnde\n"
    assert len(postfix.wait_for(hidden)) == 1, "Bcc receives it"
    assert b"hidden" not in delivered.replace(f"Delivered-To: {hidden}".encode(), b"")
    sasl = b"ESMTPSA" in delivered
    assert sasl == (service != 25), "logged in, over TLS"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_password_of_256_octets_of_anything_works(
    mechanism: str, postfix: Postfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(WILD_PASSWORD.encode("utf-8", "surrogateescape")) == 256
    known = tuple(candidate for candidate in sasl.MECHANISMS if candidate.name == mechanism)
    monkeypatch.setattr(sasl, "MECHANISMS", known)
    for service in (587, 465):
        account = wishes(postfix, service, username="wild", password=WILD_PASSWORD)
        with portmail.Submitter(**account) as mail:  # type: ignore[arg-type]
            assert mail.send(message(to="wild@example.org")).reply.code == 250


def test_a_token_logs_in(postfix: Postfix) -> None:
    account = wishes(postfix, 465, password=None, token=lambda: postfix.token(USER))
    with portmail.Submitter(**account) as mail:  # type: ignore[arg-type]
        assert mail.send(message(to="token@example.org")).reply.code == 250


def test_a_wild_password_comes_whole_out_of_a_url(postfix: Postfix) -> None:
    octets = WILD_PASSWORD.encode("utf-8", "surrogateescape")
    escaped = "".join(f"%{octet:02X}" for octet in octets)
    account = f"submissions://wild:{escaped}@{postfix.host}:{postfix.ports[465]}"
    with portmail.Submitter.from_url(account, tls_ca=postfix.ca) as mail:
        assert mail.send(message(to="wild@example.org")).reply.code == 250


@pytest.mark.parametrize("address", ["jürgen@example.org", "用户@example.org", "jürgen@bücher.example"])
def test_a_utf8_address_receives_it(address: str, postfix: Postfix) -> None:
    with portmail.Submitter(**wishes(postfix, 465)) as mail:  # type: ignore[arg-type]
        assert mail.send(message(to=address)).accepted == (address,)
    (delivered,) = postfix.wait_for(address)
    assert address in str(message_from_bytes(delivered, policy=default)["To"])


@pytest.mark.parametrize(
    "address",
    [
        "info@bücher.example",
        "root@localhost",
        "ops@intranet",
        "a@host.local",
        "x@beds.test",
        '"a b"@example.org',
    ],
)
def test_internationalized_private_and_quoted_addresses_receive_it(address: str, postfix: Postfix) -> None:
    with portmail.Submitter(**wishes(postfix, 587)) as mail:  # type: ignore[arg-type]
        assert mail.send(message(to=address)).accepted == (address,)
    assert len(postfix.wait_for(address)) == 1


def test_one_wrong_password_is_one_auth_command(postfix: Postfix) -> None:
    routes = (route(postfix, 587), route(postfix, 465))
    account = wishes(postfix, 587, password="wrong", routes=routes)
    before = postfix.log().count("authentication failed")
    with portmail.Submitter(**account) as mail:  # type: ignore[arg-type]
        with pytest.raises(portmail.AuthenticationFailed) as caught:
            mail.send(message())
    assert [attempt.route for attempt in caught.value.attempts] == [routes[0]]
    failures = postfix.log().count("authentication failed") - before
    assert failures == 1


def test_a_recipient_refused_among_others_and_alone(postfix: Postfix) -> None:
    with portmail.Submitter(**wishes(postfix, 587)) as mail:  # type: ignore[arg-type]
        receipt = mail.send(message(to=f"{NOBODY_THERE}, partly@example.org"))
        assert receipt.accepted == ("partly@example.org",)
        assert receipt.refused[NOBODY_THERE].enhanced == "5.1.1"
        with pytest.raises(portmail.Rejected) as caught:
            mail.send(message(to=NOBODY_THERE))
    assert caught.value.refused[NOBODY_THERE].code == 550
    assert not caught.value.temporary


def test_a_refused_sender_is_told(postfix: Postfix) -> None:
    with portmail.Submitter(**wishes(postfix, 465)) as mail:  # type: ignore[arg-type]
        with pytest.raises(portmail.Rejected) as caught:
            mail.send(message(), sender=REFUSED_SENDER)
    assert caught.value.attempts[0].phase is portmail.Phase.MAIL


def test_30_megabytes_are_refused_before_they_are_sent_where_the_server_takes_10(postfix: Postfix) -> None:
    octets = b"From: me@example.org\r\nTo: you@example.org\r\n\r\n" + (b"x" * 998 + b"\r\n") * 30_000
    with portmail.Submitter(**wishes(postfix, 465)) as mail:  # type: ignore[arg-type]
        with pytest.raises(portmail.MessageTooLarge, match="the server takes 10,485,760"):
            mail.send(octets)


def test_a_message_of_nine_megabytes_arrives_whole(postfix: Postfix) -> None:
    octets = b"From: me@example.org\r\nTo: big@example.org\r\n\r\n" + (b".x" * 400 + b"\r\n") * 11_000
    with portmail.Submitter(**wishes(postfix, 587)) as mail:  # type: ignore[arg-type]
        mail.send(octets)
    (delivered,) = postfix.wait_for("big@example.org")
    assert delivered.replace(b"\r\n", b"\n").endswith((b".x" * 400 + b"\n") * 11_000)


def test_a_stranger_is_passed_on_to_the_relay(postfix: Postfix) -> None:
    routes = tuple(route(postfix, service) for service in (587, 465, 25))
    with portmail.Submitter(routes=routes, tls_ca=postfix.ca) as mail:
        receipt = mail.send(message(to="stranger@example.org"))
    assert [attempt.route for attempt in receipt.attempts] == list(routes)
    assert len(postfix.wait_for("stranger@example.org")) == 1


def test_a_broken_587_does_not_hide_465(postfix: Postfix) -> None:
    stripped = "S: 220 mail.example.com\nC: EHLO *\nS: 250-mail.example.com\nS: 250 AUTH PLAIN"
    with play(stripped) as player:
        routes = (Route(postfix.host, player.port, Security.STARTTLS), route(postfix, 465))
        with portmail.Submitter(**wishes(postfix, 465, routes=routes)) as mail:  # type: ignore[arg-type]
            receipt = mail.send(message(to="behind@example.org"))
        assert b"AUTH" not in player.received
    assert receipt.route == routes[1]
    assert len(postfix.wait_for("behind@example.org")) == 1
