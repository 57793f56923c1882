"""What did a server show? Certificates read, fit to be printed, and who looks into others' connections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portmail.certificate import INTERCEPTORS, Certificate, most_telling, readable

Name = tuple[tuple[tuple[str, str], ...], ...]


def name(**parts: str) -> Name:
    """A name as `ssl` tells it."""
    return tuple(((kind, text),) for kind, text in parts.items())


SHOWN: dict[str, Any] = {
    "subject": name(countryName="JP", organizationName="Example", commonName="mail.example.com"),
    "issuer": name(countryName="US", organizationName="Let's Encrypt", commonName="R11"),
    "notBefore": "Nov  1 00:00:00 2026 GMT",
    "notAfter": "Jan 30 23:59:59 2027 GMT",
    "subjectAltName": (("DNS", "mail.example.com"), ("DNS", "*.example.com"), ("IP Address", "192.0.2.1")),
}
END = datetime(2027, 1, 30, 23, 59, 59, tzinfo=UTC)


def test_what_ssl_tells_is_read() -> None:
    assert Certificate.of(SHOWN) == Certificate(
        names=("mail.example.com", "*.example.com", "192.0.2.1"),
        subject="mail.example.com",
        issuer="R11",
        not_before=datetime(2026, 11, 1, tzinfo=UTC),
        not_after=END,
    )


@pytest.mark.parametrize("missing", ["issuer", "notBefore", "notAfter"])
def test_what_every_certificate_has_is_missed(missing: str) -> None:
    with pytest.raises(KeyError):
        Certificate.of({key: value for key, value in SHOWN.items() if key != missing})


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="time data"):
        Certificate.of({**SHOWN, "notAfter": "tomorrow"})


def test_it_may_have_no_names_and_no_subject() -> None:
    certificate = Certificate.of({key: SHOWN[key] for key in ("issuer", "notBefore", "notAfter")})
    assert (certificate.names, certificate.subject) == ((), "")


def test_names_are_hosts_and_addresses_and_twenty_at_most() -> None:
    many = (("email", "me@example.com"), ("URI", "x:y"), *(("DNS", f"{n}.example.com") for n in range(1000)))
    names = Certificate.of({**SHOWN, "subjectAltName": many}).names
    assert names == tuple(f"{n}.example.com" for n in range(20))


def test_addresses_lose_the_blanks_that_openssl_puts_behind_them() -> None:
    shown = {**SHOWN, "subjectAltName": (("IP Address", "2001:DB8:0:0:0:0:0:1\n"),)}
    assert Certificate.of(shown).names == ("2001:DB8:0:0:0:0:0:1",)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"organizationName": "Example", "commonName": "mail.example.com"}, "mail.example.com"),
        ({"organizationalUnitName": "Mail", "organizationName": "Example"}, "Example"),
        ({"countryName": "JP", "organizationalUnitName": "Mail"}, "Mail"),
        ({"countryName": "JP", "localityName": "Kyoto"}, "JP"),
        ({}, ""),
    ],
    ids=["the common name", "the organisation", "its unit", "whatever there is", "nothing"],
)
def test_of_a_name_the_part_is_told_that_says_most(parts: dict[str, str], told: str) -> None:
    assert most_telling(name(**parts)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mail.example.com", "mail.example.com"),
        ("Kyōto 京都 CA", "Kyōto 京都 CA"),
        ("a\x1b[31mred\r\nb", "a?[31mred??b"),
        ("it's", "it?s"),
        ("a\u202eb\u2028c", "a?b?c"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 80 + "..."),
    ],
    ids=["a name", "in any script", "controls", "a quote", "what turns the order", "80", "more than 80"],
)
def test_what_anybody_can_have_written_is_fit_to_be_printed(text: str, told: str) -> None:
    assert readable(text) == told


def test_what_is_read_is_fit_to_be_printed() -> None:
    hostile = {
        **SHOWN,
        "subject": name(commonName="a\x1b[2J"),
        "issuer": name(commonName="b\nc"),
        "subjectAltName": (("DNS", "d\re.example.com"),),
    }
    certificate = Certificate.of(hostile)
    assert (certificate.subject, certificate.issuer) == ("a?[2J", "b?c")
    assert certificate.names == ("d?e.example.com",)


@pytest.mark.parametrize(
    ("before_its_end", "days"),
    [
        (timedelta(days=10), 10),
        (timedelta(days=10, seconds=-1), 9),
        (timedelta(seconds=1), 0),
        (timedelta(0), 0),
        (timedelta(seconds=-1), -1),
        (timedelta(days=-3), -3),
    ],
    ids=["ten days", "a second less", "one second", "now", "a second ago", "three days ago"],
)
def test_days_are_whole_and_negative_once_it_has_expired(before_its_end: timedelta, days: int) -> None:
    assert Certificate.of(SHOWN).days_left(END - before_its_end) == days


CAUGHT = [
    ("avast! Web/Mail Shield Root", "Avast"),
    ("Avast Web/Mail Shield Root", "Avast"),
    ("AVG Web/Mail Shield Root", "AVG"),
    ("Bitdefender Personal CA.Net-Defender", "Bitdefender"),
    ("Bitdefender CA SSL", "Bitdefender"),
    ("Cisco Umbrella Root CA", "Cisco Umbrella"),
    ("Cisco Umbrella Secondary SubCA tyo-SG", "Cisco Umbrella"),
    ("ESET SSL Filter CA", "ESET"),
    ("ESET Protocol Filtering", "ESET"),
    ("Fortinet_CA_SSL", "Fortinet"),
    ("FortiGate CA", "Fortinet"),
    ("Fortinet Untrusted CA", "Fortinet"),
    ("FG100D3G16804432 Fortinet", "Fortinet"),
    ("Kaspersky Anti-Virus Personal Root Certificate", "Kaspersky"),
    ("Kaspersky Web Anti-Virus Certification Authority", "Kaspersky"),
    ("McAfee Web Gateway", "McAfee"),
    ("caadmin.netskope.com", "Netskope"),
    ("Netskope Certificate Authority", "Netskope"),
    ("Norton Web/Mail Shield Root", "Norton"),
    ("Sophos SSL CA_C01001ABCDEF", "Sophos"),
    ("Sophos_CA_C01001ABCDEF", "Sophos"),
    ("Zscaler Intermediate Root CA (zscalerthree.net)", "Zscaler"),
]


@pytest.mark.parametrize(("issuer", "interceptor"), CAUGHT)
def test_who_opens_the_connections_of_others_is_known_by_name(issuer: str, interceptor: str) -> None:
    assert Certificate.of({**SHOWN, "issuer": name(commonName=issuer)}).interceptor == interceptor


def test_each_of_them_has_an_issuer_here() -> None:
    assert {interceptor for _, interceptor in CAUGHT} == set(INTERCEPTORS)


HONEST = [
    "R11",
    "Let's Encrypt",
    "DigiCert Global G2 TLS RSA SHA256 2020 CA1",
    "Cisco Systems",
    "Cisco Root CA 2048",
    "Norton Rose Fulbright CA",
    "Reset Labs CA",
    "ESET, spol. s r.o.",
    "Avgerinos Hosting CA",
    "Fortis Bank CA",
    "Forti Networks Oy",
    "Favastar Root",
    "mail.example.com",
    "",
]


@pytest.mark.parametrize("issuer", HONEST)
def test_names_that_only_look_like_theirs_are_nobody_s(issuer: str) -> None:
    assert Certificate.of({**SHOWN, "issuer": name(commonName=issuer)}).interceptor is None
