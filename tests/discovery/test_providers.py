"""Is the table well formed, does it say what is known of providers, and is what is looked up found?"""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from portmail.candidate import FULL_ADDRESS, Answer, Evidence, Finding, Login, Source, Trust
from portmail.discovery import bundled
from portmail.discovery.providers import ANY_LABEL, Provider, by_domain, by_host, by_mx, providers
from portmail.route import is_name
from portmail.security import Security
from tests.discovery.outside import Fake

TEMPLATES = (None, FULL_ADDRESS, "%EMAILLOCALPART%", "%EMAILLOCALPART%.%EMAILDOMAIN%")
IMPLICIT, STARTTLS = Security.IMPLICIT_TLS, Security.STARTTLS
PASSWORD, OAUTH2 = Login.PASSWORD, Login.OAUTH2


def names(line: Provider) -> tuple[str, ...]:
    return (*line.domains, *line.mx, line.host)


def of(name: str) -> Provider:
    [found] = [line for line in providers() if line.id == name]
    return found


# The table


def test_every_line_has_an_id_a_name_and_a_source() -> None:
    for line in providers():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", line.id)
        assert line.name == line.name.strip() != "", line.id
        assert line.source == line.source.strip() != "", line.id


def test_every_port_insists_on_tls_and_none_is_25() -> None:
    for line in providers():
        assert line.ports, line.id
        assert len({port for port, _ in line.ports}) == len(line.ports), line.id
        for port, security in line.ports:
            assert 0 < port < 65536, line.id
            assert port != 25, line.id
            assert security.encrypted, line.id


def test_all_names_are_names_in_lower_case() -> None:
    for name in (name for line in providers() for name in names(line)):
        assert is_name(name.replace(ANY_LABEL, "x")), name
        assert name == name.lower()
        assert "." in name


def test_a_star_is_a_whole_label_and_stands_at_most_once_and_first_in_a_domain() -> None:
    for line in providers():
        for name in names(line):
            assert name.count(ANY_LABEL) == name.split(".").count(ANY_LABEL) <= 1, name
        assert all(ANY_LABEL not in domain[1:] for domain in line.domains), line.id


def test_the_host_follows_from_every_address_of_the_table() -> None:
    for domain in (domain for line in providers() for domain in line.domains):
        provider = by_domain(domain.replace(ANY_LABEL, "x"))
        assert provider is not None
        assert provider.routes, domain


def test_every_user_name_is_a_known_template_or_literal() -> None:
    for line in providers():
        assert line.username in TEMPLATES or "%" not in (line.username or ""), line.id
        assert line.username is None or line.username == line.username.strip(), line.id


def test_every_line_says_what_proves_who_we_are() -> None:
    assert [line.id for line in providers() if not line.logins] == []


def test_every_line_whose_user_name_or_host_nobody_could_know_says_what_to_do() -> None:
    unclear = [line for line in providers() if line.username is None or ANY_LABEL in line.host]
    assert [line.id for line in unclear if not line.note] == []


def test_every_line_can_be_found() -> None:
    assert [line.id for line in providers() if not (line.domains or line.mx or line.host)] == []


def test_no_id_domain_or_host_is_in_two_lines() -> None:
    ids = Counter(line.id for line in providers())
    hosts = Counter(line.host for line in providers())
    domains = Counter(domain for line in providers() for domain in line.domains)
    assert [word for words in (ids, hosts, domains) for word, times in words.items() if times > 1] == []


def test_no_domain_fits_the_pattern_of_another_line() -> None:
    for line in providers():
        for domain in line.domains:
            provider = by_domain(domain.replace(ANY_LABEL, "x"))
            assert provider is not None
            assert provider.id == line.id


def test_no_host_fits_the_pattern_of_another_line() -> None:
    for line in providers():
        provider = by_host(line.host.replace(ANY_LABEL, "x"))
        assert provider is not None
        assert provider.id == line.id


def test_it_is_read_once() -> None:
    assert providers() is providers()
    assert len(providers()) > 100


# What is known


@pytest.mark.parametrize(
    ("address_domain", "routes"),
    [
        ("gmail.com", "smtp.gmail.com:465 implicit-tls, smtp.gmail.com:587 starttls"),
        ("hotmail.co.uk", "smtp-mail.outlook.com:587 starttls"),
        ("icloud.com", "smtp.mail.me.com:587 starttls"),
        ("charter.net", "mobile.charter.net:587 implicit-tls"),
        ("yahoo.co.jp", "smtp.mail.yahoo.co.jp:465 implicit-tls"),
        ("yahoo.co.uk", "smtp.mail.yahoo.com:465 implicit-tls"),
        ("docomo.ne.jp", "smtp.spmode.ne.jp:465 implicit-tls"),
        ("alice.it", "out.alice.it:587 starttls"),
        ("126.com", "smtp.126.com:465 implicit-tls"),
        ("contoso.onmicrosoft.com", "smtp.office365.com:587 starttls"),
        ("ab.auone-net.jp", "msa.ab.auone-net.jp:465 implicit-tls, msa.ab.auone-net.jp:587 starttls"),
        ("xy.dion.ne.jp", "msa.xy.dion.ne.jp:465 implicit-tls, msa.xy.dion.ne.jp:587 starttls"),
        ("abc.ocn.ne.jp", "smtp.ocn.ne.jp:465 implicit-tls"),
        ("posteo.ch", "posteo.de:465 implicit-tls, posteo.de:587 starttls"),
    ],
)
def test_these_domains_submit_there(address_domain: str, routes: str) -> None:
    provider = by_domain(address_domain)
    assert provider is not None
    assert ", ".join(str(route) for route in provider.routes) == routes


def test_charter_speaks_tls_from_the_first_octet_on_port_587() -> None:
    assert of("charter").ports == ((587, IMPLICIT),)


def test_yahoo_japan_has_no_587_and_none_is_to_be_derived() -> None:
    assert of("yahoo-japan").ports == ((465, IMPLICIT),)
    assert of("yahoo-japan").only


def test_outlook_and_microsoft_365_take_no_password_and_have_587_only() -> None:
    for name in ("outlook", "microsoft-365"):
        assert of(name).logins == {OAUTH2}
        assert of(name).ports == ((587, STARTTLS),)
        assert of(name).only


def test_microsoft_365_tells_when_passwords_end_and_what_to_do_where_they_are_still_allowed() -> None:
    assert "end of December 2026" in of("microsoft-365").note
    assert 'host="smtp.office365.com"' in of("microsoft-365").note


def test_gmail_takes_oauth2_and_app_passwords() -> None:
    assert of("gmail").logins == {OAUTH2, PASSWORD}
    assert "app password" in of("gmail").note


def test_icloud_has_587_only_and_takes_app_passwords() -> None:
    assert of("icloud").ports == ((587, STARTTLS),)
    assert of("icloud").only
    assert "app password" in of("icloud").note


def test_the_user_name_at_docomo_is_not_the_address() -> None:
    assert of("docomo").username is None
    assert "d account" in of("docomo").note


@pytest.mark.parametrize("name", ["au-one-net", "dion", "ses", "postmark", "mailjet"])
def test_these_user_names_have_nothing_to_do_with_the_address(name: str) -> None:
    assert of(name).username is None


@pytest.mark.parametrize(
    ("name", "username"),
    [("sendgrid", "apikey"), ("resend", "resend"), ("sparkpost", "SMTP_Injection"), ("mailtrap", "api")],
)
def test_these_user_names_are_the_same_for_everybody(name: str, username: str) -> None:
    assert of(name).username == username


@pytest.mark.parametrize("name", ["web-de", "free", "laposte", "wp", "uol", "yahoo-japan", "softbank"])
def test_these_want_the_part_before_the_at_sign(name: str) -> None:
    assert of(name).username == "%EMAILLOCALPART%"


def test_naver_is_tried_with_the_full_address() -> None:
    assert of("naver").username == FULL_ADDRESS


def test_iij_wants_the_address_with_a_dot_for_the_at_sign() -> None:
    assert of("iijmio").username == "%EMAILLOCALPART%.%EMAILDOMAIN%"


def test_providers_that_list_other_ports_have_them_with_their_modes() -> None:
    assert set(of("resend").ports) == {(465, IMPLICIT), (2465, IMPLICIT), (587, STARTTLS), (2587, STARTTLS)}
    assert (2525, STARTTLS) in of("sendgrid").ports
    assert (443, IMPLICIT) in of("smtp2go").ports


@pytest.mark.parametrize("domain", ["goo.jp", "nifty.com", "so-net.ne.jp", "au.com", "ezweb.ne.jp"])
def test_what_has_ended_or_was_never_verified_is_not_there(domain: str) -> None:
    assert by_domain(domain) is None


@pytest.mark.parametrize(
    "domain", ["nyu.edu", "cox.net", "google.com", "yahoodns.net", "messagingengine.com"]
)
def test_the_domains_of_customers_and_of_mx_hosts_are_nobodys_mail_domains(domain: str) -> None:
    assert by_domain(domain) is None


# Looking up


@pytest.mark.parametrize(
    "domain",
    ["example.com", "mail.gmail.com", "gmail.com.example", "notgmail.com", "com", "", "auone-net.jp"],
)
def test_a_domain_that_only_resembles_one_of_the_table_is_not_in_it(domain: str) -> None:
    assert by_domain(domain) is None


def test_a_star_stands_for_one_label_only() -> None:
    assert by_domain("a.b.auone-net.jp") is None
    assert by_host("email-smtp.eu.west.amazonaws.com") is None


@pytest.mark.parametrize(
    ("host", "owners"),
    [
        ("aspmx.l.google.com", ["gmail"]),
        ("google.com", ["gmail"]),
        ("evilgoogle.com", []),
        ("google.com.evil.test", []),
        ("com", []),
        ("", []),
        ("contoso-com.mail.protection.outlook.com", ["microsoft-365"]),
        ("contoso-com.o-v1.mx.microsoft", ["microsoft-365"]),
        ("outlook-com.olc.protection.outlook.com", ["outlook"]),
        ("mta5.am0.yahoodns.net", ["yahoo"]),
        ("mx-aol.mail.gm0.yahoodns.net", ["aol"]),
        ("some.yahoodns.net", ["yahoo", "aol"]),
        ("mx00.gmx.net", ["gmx-net", "gmx-com"]),
        ("mxbiz1.qq.com", ["qq-exmail"]),
        ("mx.zoho.com.au", ["zoho-workplace-au"]),
        ("mx.pec.aruba.it", ["aruba-pec"]),
        ("mx.aruba.it", ["aruba"]),
        ("inbound-smtp.eu-west-1.amazonaws.com", ["workmail", "ses"]),
        ("ec2.eu-west-1.amazonaws.com", []),
    ],
)
def test_the_longest_suffix_tells_who_takes_mail_at_a_host(host: str, owners: list[str]) -> None:
    assert [owner.id for owner in by_mx(host)] == owners


def test_a_submission_host_tells_its_provider_and_with_it_the_other_ports() -> None:
    provider = by_host("smtp.sendgrid.net")
    assert provider is not None
    assert [route.port for route in provider.routes] == [465, 587, 2525]


def test_a_submission_host_of_a_region_is_known_by_its_form() -> None:
    provider = by_host("email-smtp.eu-west-1.amazonaws.com")
    assert provider is not None
    assert provider.id == "ses"
    assert {route.host for route in provider.routes} == {"email-smtp.eu-west-1.amazonaws.com"}


@pytest.mark.parametrize(
    "host", ["smtp.example.com", "gmail.com", "x.smtp.gmail.com", "", "127.0.0.1", "::1"]
)
def test_a_host_that_is_nobodys_has_no_provider(host: str) -> None:
    assert by_host(host) is None


def test_a_host_that_the_address_does_not_tell_makes_no_route() -> None:
    assert of("xserver").routes == of("ses").routes == of("workmail").routes == ()


# What the table finds by the very domain


def found(domain: str) -> Finding:
    outside = Fake()
    finding = asyncio.run(bundled.find(domain, outside=outside))
    assert outside.asked == []
    assert finding == bundled.known(domain)
    return finding


def test_a_domain_of_the_table_has_all_its_routes_as_the_owners_word() -> None:
    candidates = found("gmail.com").candidates
    assert [str(it.route) for it in candidates] == [
        "smtp.gmail.com:465 implicit-tls",
        "smtp.gmail.com:587 starttls",
    ]
    assert {(it.source, it.trust, it.derived) for it in candidates} == {(Source.BUNDLED, Trust.OWNER, "")}
    assert {it.username for it in candidates} == {FULL_ADDRESS}
    assert {it.logins for it in candidates} == {frozenset({OAUTH2, PASSWORD})}
    assert {it.note for it in candidates} == {of("gmail").note}


def test_what_was_found_names_the_provider() -> None:
    assert found("posteo.de").evidence == (
        Evidence(Source.BUNDLED, "posteo.de", Answer.FOUND, "Posteo", Trust.OWNER),
    )


def test_a_domain_that_is_not_in_the_table_is_a_definite_no() -> None:
    assert found("example.com") == Finding(
        evidence=(
            Evidence(
                Source.BUNDLED,
                "example.com",
                Answer.ABSENT,
                "not in the table of this version",
                Trust.OWNER,
            ),
        )
    )


def test_the_user_name_of_docomo_does_not_follow_from_the_address() -> None:
    assert [it.username for it in found("docomo.ne.jp").candidates] == [None]
