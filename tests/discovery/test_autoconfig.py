"""What do the three finders that read autoconfig's file ask, and what do they make of the answer?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import pytest

from portmail.candidate import FULL_ADDRESS, Answer, Finding, Source, Trust
from portmail.discovery import autoconfig, ispdb, well_known
from portmail.discovery.outside import Missed, Page
from tests.discovery.outside import Fake, Said, missed
from tests.discovery.test_client_config import config, server

OWN = "https://autoconfig.example.com/mail/config-v1.1.xml"
MADE_UP = f"{OWN}?emailaddress=portmail%40example.com"
BESIDE = "https://example.com/.well-known/autoconfig/mail/config-v1.1.xml"
DATABASE = "https://autoconfig.thunderbird.net/v1.1/example.com"

FINDERS = {
    Source.AUTOCONFIG: (autoconfig.find, OWN, Trust.OWNER),
    Source.WELL_KNOWN: (well_known.find, BESIDE, Trust.OWNER),
    Source.ISPDB: (ispdb.find, DATABASE, Trust.DIRECTORY),
}
EVERY_FINDER = pytest.mark.parametrize("source", FINDERS)
BAD_REQUEST = Missed(Answer.ABSENT, "400: bad request", status=400)


def find(source: Source, said: Said | None = None) -> tuple[Finding, Fake]:
    finder, url, _ = FINDERS[source]
    outside = Fake({} if said is None else {url: said})
    return asyncio.run(finder("example.com", outside=outside)), outside


def own(answers: Mapping[str, Said]) -> tuple[Finding, Fake]:
    outside = Fake(answers)
    return asyncio.run(autoconfig.find("example.com", outside=outside)), outside


@EVERY_FINDER
def test_each_asks_one_url_and_never_sends_the_address(source: Source) -> None:
    finding, outside = find(source, config(server()))
    _, url, trust = FINDERS[source]
    assert outside.asked == [url]
    [candidate] = finding.candidates
    assert str(candidate.route) == "smtp.example.com:465 implicit-tls"
    assert (candidate.source, candidate.trust) == (source, trust)
    [evidence] = finding.evidence
    assert (evidence.source, evidence.asked, evidence.trust) == (source, url, trust)
    assert (evidence.answer, evidence.said) == (Answer.FOUND, "names smtp.example.com")


@EVERY_FINDER
def test_what_is_not_there_is_evidence(source: Source) -> None:
    finding, _ = find(source)
    [evidence] = finding.evidence
    assert (finding.candidates, finding.rejected) == ((), ())
    said = "404: nothing there" if source is Source.ISPDB else "the name does not exist"
    assert (evidence.answer, evidence.said) == (Answer.ABSENT, said)
    assert evidence.trust is Trust.UNSIGNED


def test_a_database_that_has_no_address_has_not_said_that_it_knows_nothing() -> None:
    finding, _ = find(
        Source.ISPDB, missed(Answer.ABSENT, "the name autoconfig.thunderbird.net does not exist")
    )
    assert [it.answer for it in finding.evidence] == [Answer.UNANSWERED]


@EVERY_FINDER
@pytest.mark.parametrize("answer", [Answer.UNANSWERED, Answer.UNPROVEN, Answer.UNUSABLE, Answer.ABSENT])
def test_the_way_in_which_an_answer_was_missed_is_kept(source: Source, answer: Answer) -> None:
    finding, outside = find(source, missed(answer, "500: internal server error", 500))
    assert [(it.answer, it.said) for it in finding.evidence] == [(answer, "500: internal server error")]
    assert len(outside.asked) == 1


@EVERY_FINDER
@pytest.mark.parametrize(
    ("body", "answer", "said"),
    [
        (b"<!DOCTYPE html><html>", Answer.UNUSABLE, "a web page, not a configuration"),
        (b"<?xml version='1.0'?><!DOCTYPE x>", Answer.UNUSABLE, "it has a DOCTYPE, which is refused"),
        (b"<clientConfig>", Answer.UNUSABLE, "no well-formed XML: no element found: line 1, column 14"),
        (config(), Answer.ABSENT, "a configuration that names no outgoing server"),
    ],
)
def test_what_cannot_be_used_is_evidence(source: Source, body: bytes, answer: Answer, said: str) -> None:
    finding, _ = find(source, body)
    assert finding.candidates == ()
    assert [(it.answer, it.said) for it in finding.evidence] == [(answer, said)]


@EVERY_FINDER
def test_servers_that_cannot_be_used_are_told_with_the_reason(source: Source) -> None:
    finding, _ = find(source, config(server(hostname="localhost")))
    assert finding.candidates == ()
    assert [(it.what, it.source, it.reason) for it in finding.rejected] == [
        ("localhost:465 SSL", source, "its host is this machine")
    ]
    assert [(it.answer, it.said) for it in finding.evidence] == [
        (Answer.UNUSABLE, "names no server that can be used")
    ]


@EVERY_FINDER
def test_a_redirect_to_another_host_is_told(source: Source) -> None:
    url = FINDERS[source][1]
    finding, _ = find(source, Page(config(server()), (url, "https://www.example.net/mail.xml")))
    assert len(finding.candidates) == 1
    assert finding.evidence[0].said == "names smtp.example.com, redirected to www.example.net"


def test_a_database_that_answers_about_other_domains_is_not_believed() -> None:
    finding, _ = find(Source.ISPDB, config(server(), domain="example.org"))
    assert finding.candidates == ()
    assert [(it.answer, it.said) for it in finding.evidence] == [
        (Answer.UNUSABLE, "it is about other domains")
    ]


@pytest.mark.parametrize("source", [Source.AUTOCONFIG, Source.WELL_KNOWN])
def test_the_owner_may_serve_the_file_of_another_domain(source: Source) -> None:
    finding, _ = find(source, config(server(), domain="example.org"))
    assert len(finding.candidates) == 1


def test_a_copy_of_the_database_can_be_asked_instead() -> None:
    url = "https://mirror.example.net/ispdb/example.com"
    outside = Fake({url: config(server())})
    copy = partial(ispdb.find, base="https://mirror.example.net/ispdb/")
    finding = asyncio.run(copy("example.com", outside=outside))
    assert outside.asked == [url]
    assert len(finding.candidates) == 1


def test_a_server_that_wants_an_address_is_told_a_made_up_one() -> None:
    finding, outside = own({OWN: BAD_REQUEST, MADE_UP: config(server())})
    assert outside.asked == [OWN, MADE_UP]
    assert len(finding.candidates) == 1
    assert [(it.asked, it.answer) for it in finding.evidence] == [
        (OWN, Answer.ABSENT),
        (MADE_UP, Answer.FOUND),
    ]


@pytest.mark.parametrize("said", ["404: nothing there", "401: unauthorized", "500: internal server error"])
def test_it_is_told_so_only_where_it_asks_for_it(said: str) -> None:
    _, outside = own({OWN: missed(Answer.ABSENT, said, int(said[:3]))})
    assert outside.asked == [OWN]


def test_it_is_asked_once_more_and_not_again() -> None:
    finding, outside = own({OWN: BAD_REQUEST, MADE_UP: BAD_REQUEST})
    assert outside.asked == [OWN, MADE_UP]
    assert [it.said for it in finding.evidence] == ["400: bad request"] * 2


@pytest.mark.parametrize("source", [Source.WELL_KNOWN, Source.ISPDB])
def test_others_are_told_nothing_at_all(source: Source) -> None:
    _, outside = find(source, BAD_REQUEST)
    assert len(outside.asked) == 1


@pytest.mark.parametrize(
    ("username", "template"),
    [
        ("portmail@example.com", FULL_ADDRESS),
        ("Portmail@Example.com", FULL_ADDRESS),
        ("portmail", "%EMAILLOCALPART%"),
        ("portmail.example.com", "%EMAILLOCALPART%.example.com"),
        ("example/portmail@example.com", f"example/{FULL_ADDRESS}"),
        ("portmail-user", "portmail-user"),
        ("shared", "shared"),
        ("%EMAILADDRESS%", FULL_ADDRESS),
    ],
)
def test_a_user_name_of_the_made_up_address_stands_for_anybodys(username: str, template: str) -> None:
    finding, _ = own({OWN: BAD_REQUEST, MADE_UP: config(server(username=username))})
    assert [it.username for it in finding.candidates] == [template]
