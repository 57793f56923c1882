"""Does the box in the middle play its tricks well? What bare sockets see of each, and what the box heard."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509

from tests.servers.street import Family, Heard, Street, Trick
from tests.servers.street.between import stripped
from tests.servers.street.certificates import SHIELD, WRONG
from tests.servers.street.client import Client
from tests.servers.street.plan import HOST, MAIL, ONLY
from tests.servers.street.seeing import END, NO_TLS, SILENCE, TLS

PLAIN = base64.b64encode(b"\0me@example.test\0correct horse").decode()
GREETING = f"220 {HOST} ESMTP Postfix"
GO = "220 2.0.0 go ahead"
NAME = f"250-{HOST}"
CLEAR = [GREETING, NAME, "250-SIZE 10485760", "250-8BITMIME", "250 STARTTLS", GO]
SECURE = [NAME, "250-SIZE 10485760", "250-8BITMIME", "250 AUTH PLAIN LOGIN"]
BUSY = f"421 4.7.0 {HOST} too many connections from your address"
REFUSAL = f"554 5.7.1 {HOST} no service for your address"

SHOWN: dict[Trick, tuple[list[str], list[str]]] = {
    Trick.FOREIGN: (["220 relay.hotel.example ESMTP", "250 relay.hotel.example"], [NO_TLS]),
    Trick.PORTAL: (["HTTP/1.1 302 Found"], [NO_TLS]),
    Trick.RESET: (["ECONNRESET"], ["ECONNRESET"]),
    Trick.CLOSE: ([END], [END]),
    Trick.SILENT: ([SILENCE], [SILENCE]),
    Trick.ANTIVIRUS: ([*CLEAR, "CERTIFICATE 20"], ["CERTIFICATE 20"]),
    Trick.EXPIRED: ([*CLEAR, "CERTIFICATE 10"], ["CERTIFICATE 10"]),
    Trick.WRONG_NAME: ([*CLEAR, "CERTIFICATE 62"], ["CERTIFICATE 62"]),
    Trick.SELF_SIGNED: ([*CLEAR, "CERTIFICATE 18"], ["CERTIFICATE 18"]),
    Trick.BUSY: ([BUSY], [TLS, BUSY]),
    Trick.REFUSES: ([REFUSAL], [TLS, REFUSAL]),
    Trick.CLEAR_AUTH: (
        [GREETING, NAME, "250-SIZE 10485760", "250 AUTH PLAIN LOGIN"],
        [TLS, GREETING, *SECURE],
    ),
    Trick.NO_AUTH: (
        [*CLEAR, TLS, NAME, "250-SIZE 10485760", "250 8BITMIME"],
        [TLS, GREETING, NAME, "250-SIZE 10485760", "250 8BITMIME"],
    ),
    Trick.TLS_FIRST: ([SILENCE], [TLS, GREETING, *SECURE]),
    Trick.PLAIN_FIRST: ([*CLEAR, TLS, *SECURE], [NO_TLS]),
}
"""What is seen on 587 and on 465, of those that do not let the real server speak."""


@pytest.mark.parametrize("trick", SHOWN)
@pytest.mark.parametrize("port", [587, 465])
def test_a_trick_looks_as_it_should(road: Street, client: Client, trick: Trick, port: int) -> None:
    expected = SHOWN[trick][port == 465]
    with road.redirected(port, to=trick):
        assert client.talk(port, seconds=0.2 if expected == [SILENCE] else 10) == expected


def test_every_trick_is_proven() -> None:
    assert set(Trick) == set(SHOWN) | {Trick.STRIP, Trick.MASK}


@pytest.mark.parametrize("family", [4, 6])
def test_a_stripped_server_is_the_real_one_without_starttls(
    road: Street, client: Client, family: Family
) -> None:
    real = client.talk(587, host=ONLY[family])
    with road.redirected(587, to=Trick.STRIP):
        seen = client.talk(587, host=ONLY[family], after=["STARTTLS", "MAIL FROM:<>"])
    assert seen[:-2] == [line for line in real[: len(seen) - 1] if "STARTTLS" not in line]
    assert [line[:3] for line in seen[-2:]] == ["500", "250"]
    assert {(it.address, it.port, it.tls) for it in road.heard()} == {(MAIL[family], 587, False)}


def test_starttls_may_be_the_last_line_that_is_stripped() -> None:
    assert stripped([b"250-mail\r\n", b"250 STARTTLS\r\n"]) == [b"250 mail\r\n"]
    assert stripped([b"250 STARTTLS\r\n"]) == [b"250 STARTTLS\r\n"]


def test_a_masked_server_has_asterisks_and_xs(road: Street, client: Client) -> None:
    with road.redirected(587, to=Trick.MASK):
        seen = client.talk(587)
    assert seen[0] == "220 ***************** ***** *******"
    assert "250-XXXXXXXA" in seen
    assert "250-PIPELINING" in seen
    assert not any("STARTTLS" in line for line in seen)


@pytest.mark.parametrize("trick", [Trick.STRIP, Trick.MASK])
def test_of_tls_nothing_can_be_altered(road: Street, client: Client, trick: Trick) -> None:
    real = client.talk(465)
    with road.redirected(465, to=trick):
        assert client.talk(465) == real
    assert real[0] == TLS


def certificate(road: Street, client: Client, trick: Trick) -> x509.Certificate:
    """What is shown on 465, to one who takes anything."""
    with road.redirected(465, to=trick):
        shown, *_ = client.talk(465, trusting=True)
    return x509.load_der_x509_certificate(base64.b64decode(shown.removeprefix(f"{TLS} ")))


def test_an_antivirus_issues_for_the_name_that_was_asked_for(road: Street, client: Client) -> None:
    shown = certificate(road, client, Trick.ANTIVIRUS)
    assert shown.issuer.rfc4514_string() == f"CN={SHIELD}"
    assert HOST in names(shown)


def test_certificates_are_bad_in_one_way_each(road: Street, client: Client) -> None:
    now = dt.datetime.now(dt.UTC)
    expired, wrong = (certificate(road, client, it) for it in (Trick.EXPIRED, Trick.WRONG_NAME))
    authority = x509.load_pem_x509_certificate(road.ca.read_bytes())
    assert expired.issuer == wrong.issuer == authority.subject
    assert expired.not_valid_after_utc < now < wrong.not_valid_after_utc
    assert (HOST in names(expired), names(wrong)) == (True, [WRONG])


def names(shown: x509.Certificate) -> list[str]:
    """The hosts in a certificate."""
    extension = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def test_who_is_refused_gets_nothing_more(road: Street, client: Client) -> None:
    with road.redirected(587, to=Trick.REFUSES):
        seen = client.talk(587, after=["EHLO home", "QUIT"])
    assert seen == [REFUSAL, "503 5.5.1 no service", "221 2.0.0 bye"]


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        ([f"AUTH PLAIN {PLAIN}"], ["235"]),
        (["AUTH PLAIN", PLAIN], ["334", "235"]),
        (["AUTH LOGIN", "dXNlcg==", "cGFzcw=="], ["334", "334", "235"]),
        (["AUTH LOGIN dXNlcg==", "cGFzcw=="], ["334", "235"]),
    ],
)
def test_a_password_in_clear_is_heard(
    road: Street, client: Client, said: list[str], codes: list[str]
) -> None:
    with road.redirected(587, to=Trick.CLEAR_AUTH):
        seen = client.talk(587, after=said)
        assert [line[:3] for line in seen[-len(codes) :]] == codes
        lines = [Heard("clear-auth", MAIL[6], 587, False, line) for line in ("EHLO home", *said)]
        assert road.heard() == lines


def test_a_message_to_a_foreign_relay_is_heard(road: Street, client: Client) -> None:
    with road.redirected(25, to=Trick.FOREIGN):
        said = ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA", "Hello.\r\n.", "QUIT"]
        seen = client.talk(25, after=said)
        assert [line[:3] for line in seen[2:]] == ["250", "250", "354", "250", "221"]
        assert [it.line for it in road.heard()] == ["EHLO home", *said[:3], "Hello.", ".", "QUIT"]


def test_what_is_heard_says_whether_it_was_in_tls(road: Street, client: Client) -> None:
    with road.redirected(587, to=Trick.NO_AUTH):
        client.talk(587, after=["NOOP"])
    heard = [(it.line, it.tls) for it in road.heard()]
    assert heard == [("EHLO home", False), ("STARTTLS", False), ("EHLO home", True), ("NOOP", True)]


def test_what_was_heard_before_is_forgotten(road: Street, client: Client) -> None:
    with road.redirected(587, to=Trick.FOREIGN):
        client.talk(587)
    assert road.heard()
    with road.redirected(587, to=Trick.FOREIGN):
        assert road.heard() == []


def test_a_box_may_have_one_family_alone(road: Street, client: Client) -> None:
    with road.redirected(465, to=Trick.RESET, family=4), road.redirected(587, to=Trick.PORTAL, family=6):
        seen = {
            (port, family): client.talk(port, host=ONLY[family])[0]
            for port in (465, 587)
            for family in (4, 6)
        }
    assert seen == {
        (465, 4): "ECONNRESET",
        (465, 6): TLS,
        (587, 4): GREETING,
        (587, 6): "HTTP/1.1 302 Found",
    }
