"""Is PACC's file believed only if DNS has its digest, and read in bounded time?"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail import Security
from portmail.candidate import FULL_ADDRESS, Answer, Finding, Login, Source, Trust
from portmail.discovery import pacc
from portmail.discovery.outside import Missed
from tests.discovery.outside import Fake, missed, records

URL = "https://ua-auto-config.example.com/.well-known/user-agent-configuration.json"
NAME = "_ua-auto-config.example.com"


def body(**members: Any) -> bytes:
    whole = {
        "protocols": {
            "imap": {"host": "imap.example.com"},
            "smtp": {"host": "smtp.example.com"},
            "jmap": {"url": "https://jmap.example.com/session"},
        },
        "authentication": {"password": True, "oauth-public": {"issuer": "https://auth.example.com/"}},
        "info": {"provider": {"name": "Example", "logo": [{"width": 512, "height": 51.2}]}},
    }
    return json.dumps({**whole, **members}).encode()


def record(body: bytes) -> bytes:
    return b"v=UAAC1; a=sha256; d=" + b64encode(hashlib.sha256(body).digest())


def find(body: bytes, *txt: bytes) -> Finding:
    outside = Fake({URL: body, ("txt", NAME): records(*(txt or (record(body),)))})
    return asyncio.run(pacc.find("example.com", outside=outside))


def hosts(finding: Finding) -> list[str]:
    return [candidate.route.host for candidate in finding.candidates]


def said(finding: Finding) -> tuple[str, Answer, str]:
    [evidence] = finding.evidence
    assert (finding.candidates, finding.rejected) == ((), ())
    return evidence.asked, evidence.answer, evidence.said


def test_a_file_that_dns_has_the_digest_of_is_the_owners_word() -> None:
    finding = find(body())
    [candidate] = finding.candidates
    assert str(candidate.route) == "smtp.example.com:465 implicit-tls"
    assert (candidate.source, candidate.trust) == (Source.PACC, Trust.OWNER)
    assert candidate.username == FULL_ADDRESS
    assert candidate.logins == {Login.PASSWORD, Login.OAUTH2}
    assert [(it.asked, it.answer, it.said) for it in finding.evidence] == [
        (URL, Answer.FOUND, "names smtp.example.com"),
        (f"TXT {NAME}", Answer.FOUND, "the digest of the configuration"),
    ]


@pytest.mark.parametrize(
    "form",
    [
        "v=UAAC1; a=sha256; d={}",
        "v=UAAC1;a=sha256;d={};",
        " d = {} ; a = SHA256 ; v = uaac1 ; x=y",
        "v=UAAC1; a=sha256; d={}; b=c; nonsense",
    ],
)
def test_the_record_may_be_written_in_several_ways(form: str) -> None:
    digest = b64encode(hashlib.sha256(body()).digest()).decode()
    assert hosts(find(body(), form.format(digest).encode())) == ["smtp.example.com"]


def test_one_matching_record_among_others_is_enough() -> None:
    others = (b"v=spf1 -all", b"\xff", b"", b"v=UAAC1; a=sha256; d=!", record(b"older"))
    assert hosts(find(body(), *others, record(body()))) == ["smtp.example.com"]


@pytest.mark.parametrize(
    "txt",
    [
        record(body() + b" "),
        record(body())[:-1],
        record(body()).replace(b"d=", b"d=*"),
        record(body()).replace(b"UAAC1", b"UAAC2"),
        record(body()).replace(b"sha256", b"sha1"),
        record(body()).replace(b"v=UAAC1; ", b""),
        b"v=UAAC1; a=sha256; d=" + b64encode(hashlib.sha256(body()).hexdigest().encode()),
        b"v=UAAC1; a=sha256",
        b"v=spf1 -all",
    ],
)
def test_without_its_digest_the_file_is_not_believed(txt: bytes) -> None:
    assert said(find(body(), txt)) == (
        f"TXT {NAME}",
        Answer.UNUSABLE,
        "no record with the digest of the configuration",
    )


@pytest.mark.parametrize("answer", [Answer.ABSENT, Answer.UNANSWERED])
def test_a_digest_that_nobody_has_told_is_missed_in_the_same_way(answer: Answer) -> None:
    outside = Fake({URL: body(), ("txt", NAME): missed(answer, "so it is")})
    finding = asyncio.run(pacc.find("example.com", outside=outside))
    assert said(finding) == (f"TXT {NAME}", answer, "so it is")


def test_without_a_file_dns_is_not_asked() -> None:
    outside = Fake({("txt", NAME): records(record(body()))})
    finding = asyncio.run(pacc.find("example.com", outside=outside))
    assert said(finding) == (URL, Answer.ABSENT, "the name does not exist")
    assert outside.asked == [URL]


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        ({"smtp": {"host": "smtp.example.com"}}, ["smtp.example.com"]),
        ({"submit": {"host": "Submit.Example.com."}}, ["submit.example.com"]),
        ({"smtp": {"host": "b.example"}, "submit": {"host": "a.example"}}, ["a.example", "b.example"]),
        ({"smtp": {"host": "a.example.com"}, "submit": {"host": "a.example.com"}}, ["a.example.com"]),
        ({"smtp": {"host": "smtp.bücher.example"}}, ["smtp.xn--bcher-kva.example"]),
        ({"smtp": {"host": "a.example.com", "port": 25, "security": "plain"}}, ["a.example.com"]),
    ],
)
def test_sending_has_two_names_and_one_mode(protocols: Any, expected: list[str]) -> None:
    finding = find(body(protocols=protocols))
    assert hosts(finding) == expected
    assert {(it.route.port, it.route.security) for it in finding.candidates} == {(465, Security.IMPLICIT_TLS)}


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({"host": "localhost"}, "its host is this machine"),
        ({"host": "192.0.2.1"}, "its host is an IP address, not a name"),
        ({"host": "mail"}, "its host is one label, not a full name"),
        ({"host": "smtp.example.com:25"}, "its host is no host name"),
        ({"host": "\ud800.example.com"}, "its host is no host name"),
        ({"host": "x" * 99_999}, "its host is no host name"),
        ({"host": ""}, "its host is no host name"),
        ({"host": 5}, "its host is no text"),
        ({"host": ["smtp.example.com"]}, "its host is no text"),
        ({}, "its host is no text"),
        ("smtp.example.com", "its host is no text"),
        (None, "its host is no text"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_with_the_reason(server: Any, why: str) -> None:
    finding = find(body(protocols={"smtp": server}))
    assert finding.candidates == ()
    [rejection] = finding.rejected
    assert rejection.reason == why
    assert len(rejection.what) <= 80
    assert finding.evidence[0].answer is Answer.UNUSABLE


@pytest.mark.parametrize(
    ("authentication", "logins"),
    [
        ({"password": True}, {Login.PASSWORD}),
        ({"password": False, "oauth-public": {"issuer": "https://auth.example.com/"}}, {Login.OAUTH2}),
        ({"password": "yes"}, set()),
        ({"password": 1}, set()),
        ({"oauth-public": "https://auth.example.com/"}, set()),
        ({}, set()),
        ([], set()),
        (None, set()),
    ],
)
def test_what_it_takes_is_told(authentication: Any, logins: set[Login]) -> None:
    [candidate] = find(body(authentication=authentication)).candidates
    assert candidate.logins == logins


def test_numbers_are_not_read_whatever_their_length() -> None:
    whole = body().replace(b"512", b"1" * 9_999).replace(b"51.2", b"-1.5e" + b"9" * 99)
    assert hosts(find(whole)) == ["smtp.example.com"]


def test_a_provider_that_takes_nothing_we_have_is_rejected() -> None:
    finding = find(body(authentication={"password": False}))
    assert [it.reason for it in finding.rejected] == ["it takes neither a password nor OAuth 2"]


@pytest.mark.parametrize(
    ("whole", "answer", "words"),
    [
        (b"", Answer.UNUSABLE, "no well-formed JSON"),
        (b"<!doctype html>", Answer.UNUSABLE, "no well-formed JSON"),
        (b"\xff\xfe{\x00}\x00", Answer.UNUSABLE, "no well-formed JSON"),
        (b"\xef\xbb\xbf" + body(), Answer.UNUSABLE, "no well-formed JSON"),
        (body()[:-1], Answer.UNUSABLE, "no well-formed JSON"),
        (b'{"protocols": {}, "protocols": {}}', Answer.UNUSABLE, "a name is in it twice"),
        (
            b'{"protocols": {"smtp": {"host": "a.b", "host": "c.d"}}}',
            Answer.UNUSABLE,
            "a name is in it twice",
        ),
        (b"[]", Answer.UNUSABLE, "not a configuration: it has no protocols"),
        (b"NaN", Answer.UNUSABLE, "not a configuration: it has no protocols"),
        (b'{"protocols": [1e999999]}', Answer.UNUSABLE, "not a configuration: it has no protocols"),
        (body(protocols=None), Answer.UNUSABLE, "not a configuration: it has no protocols"),
        (body(protocols={}), Answer.ABSENT, "a configuration that names no outgoing server"),
    ],
    ids=range(12),
)
def test_what_is_no_configuration_is_refused(whole: bytes, answer: Answer, words: str) -> None:
    assert said(find(whole)) == (URL, answer, words)


SIZE = 256 * 1024


@pytest.mark.parametrize(
    "whole",
    [
        b"[" * SIZE,
        b'{"a":' * (SIZE // 5),
        b"1" * SIZE,
        b'{"protocols":' + b"1" * SIZE + b"}",
        b"-1." + b"1" * SIZE + b"e" + b"9" * 50,
        b"[" + b",".join([b"{}"] * (SIZE // 3)) + b"]",
        b"{" + b",".join(b'"%d":0' % n for n in range(SIZE // 10)) + b"}",
        b'"' + b"\\u0041" * (SIZE // 6) + b'"',
    ],
    ids=range(8),
)
def test_the_largest_body_takes_little_time(whole: bytes) -> None:
    started = time.process_time()
    said(find(whole))
    assert time.process_time() - started < 1.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["protocols", "smtp", "host", "authentication"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(whole=JSON, protocols=JSON, authentication=JSON, garbage=st.binary(max_size=40))
def test_any_body_is_read_or_refused(whole: Any, protocols: Any, authentication: Any, garbage: bytes) -> None:
    with suppress(Missed):
        pacc.read(garbage)
    for text in (json.dumps(whole).encode(), body(protocols=protocols, authentication=authentication)):
        finding = find(text)
        assert finding.evidence
        assert all(it.route.security is Security.IMPLICIT_TLS for it in finding.candidates)
