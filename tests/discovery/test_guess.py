"""What is guessed, and what never is?"""

from __future__ import annotations

import asyncio

import pytest

from portmail.candidate import FULL_ADDRESS, Answer, Evidence, Finding, Source, Trust
from portmail.discovery import guess
from tests.discovery.outside import Fake, Said, missed

SMTP, MAIL = "smtp.example.com", "mail.example.com"


def find(domain: str = "example.com", **answers: Said) -> tuple[Finding, Fake]:
    """What comes of it where `smtp` and `mail` are answered so; a name that is not told of is there."""
    outside = Fake({("alias", f"{name}.{domain}"): said for name, said in answers.items()})
    return asyncio.run(guess.find(domain, outside=outside)), outside


def routes(finding: Finding) -> list[str]:
    return [str(it.route) for it in finding.candidates]


def test_two_names_in_the_domain_are_guessed_with_the_usual_ports_and_tls_from_the_first_octet_first() -> (
    None
):
    finding, _ = find()
    assert routes(finding) == [
        f"{SMTP}:465 implicit-tls",
        f"{SMTP}:587 starttls",
        f"{MAIL}:465 implicit-tls",
        f"{MAIL}:587 starttls",
    ]
    assert (finding.rejected, finding.lifetime) == ((), None)


def test_a_guess_is_trusted_the_least() -> None:
    finding, _ = find()
    assert {(it.source, it.trust, it.username) for it in finding.candidates} == {
        (Source.GUESS, Trust.UNSIGNED, FULL_ADDRESS)
    }
    assert {it.trust for it in finding.evidence} == {Trust.UNSIGNED}
    assert {(it.logins, it.derived) for it in finding.candidates} == {(frozenset(), "")}


@pytest.mark.parametrize("domain", ["example.com", "a.b.example.com", "xn--bcher-kva.example"])
def test_all_guesses_are_within_the_domain_and_never_the_domain_itself(domain: str) -> None:
    finding, outside = find(domain)
    assert all(it.within(domain) for it in finding.candidates)
    assert {it.route.host for it in finding.candidates} == {f"smtp.{domain}", f"mail.{domain}"}
    assert outside.asked == [("alias", f"smtp.{domain}"), ("alias", f"mail.{domain}")]


def test_a_name_that_does_not_exist_is_left_out() -> None:
    finding, _ = find(smtp=missed())
    assert routes(finding) == [f"{MAIL}:465 implicit-tls", f"{MAIL}:587 starttls"]
    assert finding.evidence == (
        Evidence(Source.GUESS, SMTP, Answer.ABSENT, "the name does not exist", Trust.UNSIGNED),
        Evidence(Source.GUESS, MAIL, Answer.FOUND, "there is such a name", Trust.UNSIGNED),
    )


@pytest.mark.parametrize("answer", [Answer.UNANSWERED, Answer.UNUSABLE, Answer.ABSENT])
def test_a_name_of_which_nobody_says_that_it_exists_is_left_out_and_told_as_it_was(answer: Answer) -> None:
    finding, _ = find(mail=missed(answer, "something happened"))
    assert routes(finding) == [f"{SMTP}:465 implicit-tls", f"{SMTP}:587 starttls"]
    assert [(it.asked, it.answer, it.said) for it in finding.evidence] == [
        (SMTP, Answer.FOUND, "there is such a name"),
        (MAIL, answer, "something happened"),
    ]


def test_nothing_is_found_where_neither_name_exists() -> None:
    finding, _ = find(smtp=missed(), mail=missed())
    assert finding.candidates == ()
    assert [it.answer for it in finding.evidence] == [Answer.ABSENT, Answer.ABSENT]


def test_a_name_that_is_an_alias_is_guessed_by_its_own_name_which_it_must_prove() -> None:
    finding, _ = find(smtp="host7.example.net", mail=missed())
    assert {it.route.host for it in finding.candidates} == {SMTP}
