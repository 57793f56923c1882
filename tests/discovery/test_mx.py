"""Is the provider that takes a domain's mail told, and what follows from a host that is nobody's?"""

from __future__ import annotations

import asyncio

import pytest

from portmail.candidate import FULL_ADDRESS, Answer, Evidence, Finding, Login, Source, Trust
from portmail.discovery import mx
from portmail.discovery.outside import Missed, Mx, Records
from tests.discovery.outside import Fake, missed, records

GOOGLE = (Mx(1, "aspmx.l.google.com"), Mx(5, "alt1.aspmx.l.google.com"))


def found(answer: Records[Mx] | Missed) -> Finding:
    """What comes of this answer. Nothing but the MX records of the domain was asked for."""
    outside = Fake({("mx", "example.com"): answer})
    finding = asyncio.run(mx.find("example.com", outside=outside))
    assert outside.asked == [("mx", "example.com")]
    return finding


def said(finding: Finding) -> str:
    [evidence] = finding.evidence
    assert (evidence.source, evidence.asked, evidence.trust) == (
        Source.MX,
        "MX example.com",
        Trust.DIRECTORY,
    )
    return f"{evidence.answer.value}: {evidence.said}"


def refused(finding: Finding) -> str:
    """Why it was rejected, once."""
    [rejection] = finding.rejected
    assert finding.candidates == ()
    assert rejection.source is Source.MX
    assert said(finding) == f"unusable: {rejection.what}: {rejection.reason}"
    return rejection.reason


@pytest.mark.parametrize("signed", [True, False])
def test_the_provider_that_takes_the_mail_is_the_answer_as_a_directorys_word_also_unsigned(
    signed: bool,
) -> None:
    finding = found(records(*GOOGLE, signed=signed))
    assert [str(it.route) for it in finding.candidates] == [
        "smtp.gmail.com:465 implicit-tls",
        "smtp.gmail.com:587 starttls",
    ]
    assert {(it.source, it.trust, it.derived) for it in finding.candidates} == {
        (Source.MX, Trust.DIRECTORY, "")
    }
    assert {it.username for it in finding.candidates} == {FULL_ADDRESS}
    assert finding.rejected == ()
    assert said(finding) == "found: aspmx.l.google.com: Gmail / Google Workspace"


def test_a_domain_at_microsoft_365_takes_no_password() -> None:
    finding = found(records(Mx(0, "example-com.mail.protection.outlook.com")))
    assert [str(it.route) for it in finding.candidates] == ["smtp.office365.com:587 starttls"]
    assert finding.candidates[0].logins == {Login.OAUTH2}


def test_a_domain_of_ones_own_at_a_provider_logs_in_as_that_provider_wants_it() -> None:
    finding = found(records(Mx(10, "mx.laposte.net")))
    assert [it.username for it in finding.candidates] == ["%EMAILLOCALPART%"]


def test_a_domain_of_ones_own_at_zoho_submits_at_another_host_than_zohos_own_addresses() -> None:
    finding = found(records(Mx(10, "mx.zoho.eu"), Mx(20, "mx2.zoho.eu")))
    assert {it.route.host for it in finding.candidates} == {"smtppro.zoho.eu"}


def test_only_the_most_preferred_hosts_count() -> None:
    finding = found(records(Mx(20, "mx.backup.example.net"), Mx(10, "mx1.migadu.com")))
    assert {it.route.host for it in finding.candidates} == {"smtp.migadu.com"}


def test_several_hosts_of_the_same_preference_may_all_be_one_providers() -> None:
    finding = found(records(Mx(10, "in2-smtp.messagingengine.com"), Mx(10, "in1-smtp.messagingengine.com")))
    assert {it.route.host for it in finding.candidates} == {"smtp.fastmail.com"}
    assert said(finding) == "found: in1-smtp.messagingengine.com and 1 more: Fastmail"


@pytest.mark.parametrize("other", ["mx1.migadu.com", "mx.example.net", "mx00.gmx.net"])
def test_hosts_of_the_same_preference_that_are_not_all_one_providers_are_rejected(other: str) -> None:
    finding = found(records(Mx(10, "aspmx.l.google.com"), Mx(10, other)))
    assert refused(finding) == "the most preferred hosts are not all one provider's"


def test_a_host_at_which_several_providers_take_mail_is_rejected() -> None:
    finding = found(records(Mx(10, "mx00.gmx.net")))
    assert refused(finding) == "several providers take mail there: GMX, GMX.com"


def test_a_provider_whose_host_differs_by_customer_is_rejected_with_what_to_do() -> None:
    reason = refused(found(records(Mx(0, "sv1234.xserver.jp"))))
    assert reason.startswith("this is Xserver, whose host differs by customer: give host= (")
    assert "control panel" in reason


def test_the_null_mx_says_that_the_domain_takes_no_mail() -> None:
    finding = found(records(Mx(0, "")))
    assert said(finding) == "absent: the domain takes no mail"
    assert not finding.candidates
    assert not finding.rejected


def test_a_null_mx_beside_others_does_not_count() -> None:
    assert found(records(Mx(0, ""), *GOOGLE)).candidates


@pytest.mark.parametrize(
    "host", ["mx1.example.net", "evilgoogle.com", "google.com.evil.test", "com", "xn--ggle-0nda.com"]
)
def test_a_host_that_is_no_providers_never_becomes_a_candidate(host: str) -> None:
    finding = found(records(Mx(10, host)))
    assert said(finding) == f"absent: {host}: no provider in the table"
    assert not finding.candidates
    assert not finding.rejected


def test_several_hosts_that_are_no_providers_are_told_by_the_first() -> None:
    finding = found(records(Mx(10, "mx2.example.net"), Mx(10, "mx1.example.net")))
    assert said(finding) == "absent: mx1.example.net and 1 more: no provider in the table"


def test_no_more_than_80_characters_of_a_foreign_name_are_shown() -> None:
    finding = found(records(Mx(10, "\x1b[2J" + "a" * 200)))
    assert said(finding) == f"absent: ?[2J{'a' * 73}...: no provider in the table"


@pytest.mark.parametrize("answer", [Answer.ABSENT, Answer.UNANSWERED, Answer.UNUSABLE])
def test_an_answer_that_was_missed_is_told_as_it_was(answer: Answer) -> None:
    finding = found(missed(answer, "something happened"))
    assert finding == Finding(
        evidence=(Evidence(Source.MX, "MX example.com", answer, "something happened", Trust.DIRECTORY),)
    )
