"""Many messages through a real Postfix: whatever it offers, each is delivered once, or refused and told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from email.message import EmailMessage
from itertools import count
from typing import Any

import pytest
import uvloop

import portmail
from portmail import Result, Route, Security
from tests.cases import cases
from tests.servers.postfix import LACKING, NOBODY_THERE, REFUSED_SENDER, Postfix

SECURITY = {587: Security.STARTTLS, 465: Security.IMPLICIT_TLS, 25: Security.OPPORTUNISTIC}
MESSAGES = 36
_SERIAL = count()


def submitter(postfix: Postfix, route: Route, *, pool_size: int = 1) -> portmail.Submitter:
    login = {} if route.security is Security.OPPORTUNISTIC else {"username": "me@example.org"}
    if login:
        login["password"] = "correct horse"
    return portmail.Submitter(
        routes=(route,),
        tls_ca=postfix.ca,
        pool_size=pool_size,
        retry=None,
        **login,  # type: ignore[arg-type]
    )


def letters(recipient: str) -> list[EmailMessage]:
    """Numbered messages: every fifth from a sender, every seventh partly and every eleventh wholly for
    recipients whom the server refuses; every ninth too large for one TLS record, with dots to stuff."""
    return [letter(number, recipient) for number in range(MESSAGES)]


def letter(number: int, recipient: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = REFUSED_SENDER if number % 5 == 4 else "me@example.org"
    refused = [NOBODY_THERE] if number % 7 == 6 or number % 11 == 10 else []
    message["To"] = ", ".join(refused if number % 11 == 10 else [*refused, recipient])
    message["Subject"] = str(number)
    message.set_content(f"Number {number}\n.\n..\n" * (2000 if number % 9 == 8 else 1))
    return message


def check(results: Sequence[Result[EmailMessage]], *, postfix: Postfix, recipient: str) -> None:
    """Every message has its result, and the server delivered what was accepted, once."""
    numbers = sorted(int(result.message["Subject"]) for result in results)
    assert numbers == list(range(MESSAGES))
    expected = []
    for result in results:
        number = int(result.message["Subject"])
        if number % 5 == 4 or number % 11 == 10:
            assert isinstance(result.error, portmail.Rejected), result
            assert result.error.reply is not None
            assert result.error.reply.code == 550
        else:
            assert result.receipt is not None, result.error
            assert result.receipt.accepted == (recipient,)
            assert list(result.receipt.refused) == ([NOBODY_THERE] if number % 7 == 6 else [])
            expected.append((number, 6000 if number % 9 == 8 else 3))
    delivered = postfix.wait_for(recipient, count=len(expected))
    assert sorted(map(number_and_lines, delivered)) == sorted(expected)


def number_and_lines(raw: bytes) -> tuple[int, int]:
    head, _, body = raw.partition(b"\n\n")
    number = int(head.partition(b"Subject: ")[2].partition(b"\n")[0])
    lines = body.splitlines()
    assert set(lines) == {f"Number {number}".encode(), b".", b".."}
    return number, len(lines)


@pytest.mark.parametrize(
    ("pool_size", "service"),
    cases(itertools.product((1, 3), (587, 465, 25)), daily={(1, 587), (3, 465), (3, 25)}),
)
def test_refused_ones_mixed_in_harm_nobody_on_any_service(
    service: int, pool_size: int, postfix: Postfix
) -> None:
    recipient = f"many-{next(_SERIAL)}@example.org"
    route = Route(postfix.host, postfix.ports[service], SECURITY[service])
    with submitter(postfix, route, pool_size=pool_size) as mail:
        check(list(mail.send_many(letters(recipient))), postfix=postfix, recipient=recipient)


@pytest.mark.parametrize("keywords", cases(LACKING, daily=("pipelining,chunking", LACKING[-1])))
def test_extensions_that_are_missing_change_nothing_but_the_speed(keywords: str, postfix: Postfix) -> None:
    recipient = f"many-{next(_SERIAL)}@example.org"
    route = Route(postfix.host, postfix.lacking[keywords], Security.STARTTLS)
    with submitter(postfix, route) as mail:
        check(list(mail.send_many(letters(recipient))), postfix=postfix, recipient=recipient)


def test_under_uvloop_as_well(postfix: Postfix) -> None:
    recipient = f"many-{next(_SERIAL)}@example.org"
    route = Route(postfix.host, postfix.ports[587], Security.STARTTLS)

    async def send() -> list[Result[EmailMessage]]:
        async with portmail.AsyncSubmitter(
            routes=(route,), tls_ca=postfix.ca, username="me@example.org", password="correct horse"
        ) as mail:
            return [result async for result in mail.send_many(letters(recipient))]

    work: Coroutine[Any, Any, list[Result[EmailMessage]]] = send()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        check(runner.run(work), postfix=postfix, recipient=recipient)
