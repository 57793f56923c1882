"""Who does a server say that it is? Names in replies to EHLO, of one organisation or another."""

from __future__ import annotations

import pytest

from portmail.identity import NOBODY, foreign_name, is_masked, name_in, name_told
from portmail.reply import Reply


def hello(text: str) -> Reply:
    return Reply(250, None, text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mail.example.com", "mail.example.com"),
        ("mail.example.com Hello [192.0.2.1], pleased to meet you\nSTARTTLS\nSIZE 1000", "mail.example.com"),
        ("MAIL.Example.COM at your service", "mail.example.com"),
        ("mail.example.com. hello", "mail.example.com"),
        ("mx_1.example.com", "mx_1.example.com"),
        ("xn--r8jz45g.example", "xn--r8jz45g.example"),
        ("localhost", ""),
        ("mail", ""),
        ("[192.0.2.1] hello", ""),
        ("192.0.2.1 hello", ""),
        ("[IPv6:2001:db8::1]", ""),
        ("2001:db8::1", ""),
        ("Hello there.com", ""),
        ("mail.example.com, hello", ""),
        ("****.*******.***", ""),
        ("", ""),
        ("\nmail.example.com", ""),
        ("   ", ""),
    ],
)
def test_the_name_in_a_greeting_is_a_full_host_name_or_nothing(text: str, name: str) -> None:
    assert name_in(hello(text)) == name


@pytest.mark.parametrize(
    ("says", "host", "foreign"),
    [
        ("mail.example.com", "mail.example.com", ""),
        ("mx7.cluster.example.com", "smtp.example.com", ""),
        ("SMTP.EXAMPLE.COM", "smtp.Example.com", ""),
        ("example.com", "smtp.example.com", ""),
        ("relay.isp.example", "mail.example.com", "relay.isp.example"),
        ("mail.example.net", "mail.example.com", "mail.example.net"),
        ("mail.notexample.com", "mail.example.com", "mail.notexample.com"),
        ("mail.one.co.jp", "smtp.one.co.jp", ""),
        ("mail.other.co.jp", "smtp.one.co.jp", "mail.other.co.jp"),
        ("mail.other.ne.jp", "smtp.one.ne.jp", "mail.other.ne.jp"),
        ("mail.other.co.uk", "smtp.one.co.uk", "mail.other.co.uk"),
        ("mx.one.co.uk", "smtp.one.co.uk", ""),
        ("mail.other.com.au", "smtp.one.com.au", "mail.other.com.au"),
        ("a.b.one.com.au", "one.com.au", ""),
        ("mail.example.de", "smtp.example.de", ""),
        ("other.de", "one.de", "other.de"),
        ("mx.cluster.me.com", "smtp.mail.me.com", ""),
        ("mail.web.de", "smtp.web.de", ""),
        ("mx.t-online.de", "securesmtp.t-online.de", ""),
        ("relay.isp.example", "192.0.2.1", ""),
        ("relay.isp.example", "2001:db8::1", ""),
        ("relay.isp.example", "localhost", ""),
        ("localhost", "mail.example.com", ""),
        ("192.0.2.1", "mail.example.com", ""),
        ("[192.0.2.1]", "mail.example.com", ""),
        ("", "mail.example.com", ""),
    ],
)
def test_a_foreign_name_is_one_of_another_organisation(says: str, host: str, foreign: str) -> None:
    assert foreign_name(hello(f"{says} hello"), host=host) == foreign


@pytest.mark.parametrize(
    ("greeting", "masked"),
    [
        ("************************************************0*00", True),
        ("*******0**2******200*******************0*00", True),
        ("XXXXXXXXXXXXXXXXXXXXXXXXXXX", True),
        ("********", True),
        ("XXXXXXXX", True),
        ("*******", False),
        ("XXXXXXX", False),
        ("mail.example.com ESMTP Postfix", False),
        ("mail.example.com *** no spam ***", False),
        ("xxxxxxxx.example.com ESMTP", False),
        ("", False),
    ],
)
def test_a_greeting_that_was_blotted_out_is_known(greeting: str, masked: bool) -> None:
    assert is_masked(Reply(220, None, greeting)) is masked


@pytest.mark.parametrize(
    ("detail", "name"),
    [
        ("it calls itself relay.isp.example, not mail.example.com", "relay.isp.example"),
        ("it offered STARTTLS on 2026-11-01; it calls itself a.example, not b.example", "a.example"),
        ("it offered STARTTLS on 2026-11-01", NOBODY),
        ("", NOBODY),
    ],
)
def test_a_name_is_found_in_what_was_told_of_it(detail: str, name: str) -> None:
    assert name_told(detail) == name
