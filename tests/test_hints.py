"""Is the table of hints well formed, is every line of it reached, and is the most special told first?"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter

import pytest

from portmail import hints
from portmail.cause import Cause
from portmail.discovery.providers import Provider, providers
from portmail.failure import Failure, Phase
from portmail.hints import ANY_LABEL, MOST, Hint, Line, hints_for, lines
from portmail.reply import Reply, ReplyReader
from portmail.route import PORTS, Route, is_name
from portmail.security import Security

AUTH, MAIL, RCPT, DOT, GREETING = Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.FINAL_DOT, Phase.GREETING
CONNECT, TLS = Phase.CONNECT, Phase.TLS

LOOPBACK = {"127.0.0.1", "localhost"}
NOT_CHECKED = [
    "so-net.ne.jp",
    "nifty.com",
    "sakura.ne.jp",
    "lolipop.jp",
    "conoha.ne.jp",
    "kagoya.net",
    "azurecomm.net",
    "au.com",
    "ezweb.ne.jp",
]
"""Providers of whom nobody has verified anything: no line may be about them."""

SOURCE = re.compile(
    r"https://\S+|ISPDB [a-z0-9.-]+\.xml|RFC \d+( section \d+(\.\d+)*)?|measured: \S.*"
    r"|nodemailer services\.json|FairEmail providers\.xml"
)
OFFICE, OUTLOOK, GMAIL = "smtp.office365.com", "smtp-mail.outlook.com", "smtp.gmail.com"
ANYWHERE = "mail.example.com"
SES = "email-smtp.eu-west-1.amazonaws.com"
REFUSED = "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"
"""What Postfix with Dovecot says, and so do many."""

SAID = """
outlook-no-passwords smtp-mail.outlook.com AUTH
    535 5.7.139 Authentication unsuccessful, basic authentication is disabled.
microsoft-basic-off smtp.office365.com AUTH
    535 5.7.139 Authentication unsuccessful, basic authentication is disabled.
microsoft-smtp-auth-off smtp.office365.com AUTH
    535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit
microsoft-security-defaults smtp.office365.com AUTH
    535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults
microsoft-criteria smtp.office365.com AUTH
    535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated
microsoft-end-of-passwords smtp.office365.com AUTH
    535 5.7.139 Authentication unsuccessful
microsoft-5-7-30 smtp.office365.com AUTH
    550 5.7.30 Basic authentication is not supported for Client Submission.
microsoft-5-7-30 smtp.office365.com MAIL
    550 5.7.30 Basic authentication is not supported for Client Submission.
microsoft-5-7-3 smtp.office365.com AUTH
    535 5.7.3 Authentication unsuccessful [DB6P18901CA0015.EURP189.PROD.OUTLOOK.COM]
microsoft-send-as smtp.office365.com final dot
    554 5.2.252 SendAsDenied; app@example.com not allowed to send as a@example.com
microsoft-send-as smtp.office365.com final dot
    554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to
microsoft-5-7-60 smtp.office365.com final dot
    550 5.7.60 SMTP; Client does not have permissions to send as this sender
microsoft-5-7-57 smtp.office365.com MAIL
    530 5.7.57 Client not authenticated to send mail.
microsoft-connections smtp.office365.com final dot
    432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more
gmail-app-password smtp.gmail.com AUTH
    534-5.7.9 Application-specific password required. For more information, go to
    534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf - gsmtp
gmail-web-login smtp.gmail.com AUTH
    534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please
    534-5.7.14 log in via your web browser and then try again.
    534 5.7.14 - gsmtp
gmail-bad-credentials smtp.gmail.com AUTH
    535-5.7.8 Username and Password not accepted. For more information, go to
    535 5.7.8  https://support.google.com/mail/?p=BadCredentials 2adb3069b0e04 - gsmtp
gmail-too-many-logins smtp.gmail.com AUTH
    454-4.7.0 Too many login attempts, please try again later. For more
    454 4.7.0 information, go to https://support.google.com/mail/answer/7126229 - gsmtp
gmail-login-wanted smtp.gmail.com MAIL
    530-5.7.0 Authentication Required. Learn more at
    530 5.7.0 https://support.google.com/mail/?p=WantAuthError - gsmtp
gmail-daily-limit smtp.gmail.com final dot
    550-5.4.5 Daily user sending limit exceeded. For more information on Gmail
    550 5.4.5 sending limits go to https://support.google.com/a/answer/166852 - gsmtp
gmail-slower smtp.gmail.com greeting
    421 4.7.0 Try again later, closing connection. (EHLO) - gsmtp
gworkspace-relay-refused smtp-relay.gmail.com RCPT
    550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've
    550 5.7.1 registered doesn't match the domain. - gsmtp
icloud-app-password smtp.mail.me.com AUTH
    535 5.7.8 Error: authentication failed: authentication failure
yahoo-app-password smtp.mail.yahoo.com AUTH
    535 5.7.0 Incorrect username or password.
yahoo-app-password smtp.aol.com AUTH
    535 5.7.0 Incorrect username or password.
yahoo-too-many smtp.mail.yahoo.com AUTH
    535 5.7.0 (#AUTH005) Too many bad auth attempts.
yahoo-japan-login smtp.mail.yahoo.co.jp AUTH
    535 authentication failed (#5.7.0)
xserver-abroad sv1234.xserver.jp AUTH
    535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6
docomo-login smtp.spmode.ne.jp AUTH
    535 5.7.8 authentication failed
au-account-id msa.ab.auone-net.jp AUTH
    535 5.7.8 Authentication failed
au-account-id msa.s2.dion.ne.jp AUTH
    535 5.7.8 Authentication failed
part-before-the-at smtp.laposte.net AUTH
    535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6
app-password smtp.mail.com AUTH
    535 Authentication credentials invalid
t-online-password securesmtp.t-online.de AUTH
    535 5.7.0 invalid login / Anmeldung fehlgeschlagen.
gmx-switched-off mail.gmx.net AUTH
    535 Authentication credentials invalid
naver-switched-on smtp.naver.com AUTH
    535 5.7.1 Username and Password not accepted
daum-switched-on smtp.daum.net AUTH
    535 5.7.8 authentication failed
yandex-no-access smtp.yandex.com AUTH
    535 5.7.8 Error: authentication failed: This user does not have access rights to this service
yandex-app-password smtp.yandex.com AUTH
    535 5.7.8 Error: authentication failed: Invalid user or password!
mail-ru-app-password smtp.mail.ru AUTH
    535 5.7.0 NEOBHODIM parol prilozheniya https://help.mail.ru/mail/security/protection/external /
fastmail-app-password smtp.fastmail.com AUTH
    535 5.7.0 Incorrect username or password, or no app password
qq-authorization-code smtp.qq.com AUTH
    535 Login Fail. Please enter your authorization code to login. More information in
netease-authorization-code smtp.163.com AUTH
    535 Error: authentication failed
netease-switched-off smtp.163.com AUTH
    550 User has no permission
zoho-login smtp.zoho.eu AUTH
    535 Authentication Failed
zoho-login smtppro.zoho.com AUTH
    535 Authentication Failed
zoho-sender smtp.zoho.eu final dot
    553 Relaying disallowed as no-reply@example.com
proton-token smtp.protonmail.ch AUTH
    535 5.7.8 Error: authentication failed: authentication failed
ses-credentials email-smtp.eu-west-1.amazonaws.com AUTH
    535 Authentication Credentials Invalid
ses-unverified email-smtp.eu-west-1.amazonaws.com final dot
    554 Message rejected: Email address is not verified. The following identities failed the check in
ses-throttled email-smtp.eu-west-1.amazonaws.com final dot
    454 Throttling failure: Maximum sending rate exceeded.
sendgrid-apikey smtp.sendgrid.net AUTH
    535 Authentication failed: Bad username / password
sendgrid-credits smtp.sendgrid.net AUTH
    451 Authentication failed: Maximum credits exceeded
sendgrid-sender smtp.sendgrid.net final dot
    550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is
sendgrid-login-wanted smtp.sendgrid.net MAIL
    550 Unauthenticated senders not allowed
resend-login smtp.resend.com AUTH
    535 Invalid username
resend-domain smtp.resend.com final dot
    550 The example.com domain is not verified. Please, add and verify your domain on
sparkpost-login smtp.sparkpostmail.com AUTH
    535 5.7.8 Sorry. No authentication type succeeded
mailtrap-login live.smtp.mailtrap.io AUTH
    535 5.7.0 Invalid credentials
postmark-token smtp.postmarkapp.com AUTH
    535 5.7.8 Error: authentication failed:
mailgun-login smtp.mailgun.org AUTH
    535 5.7.0 Mailgun is not loving your login or password
mailgun-relay smtp.mailgun.org RCPT
    550 5.7.1 Relaying denied
brevo-key smtp-relay.brevo.com AUTH
    535 5.7.8 Authentication failed
mailjet-keys in-v3.mailjet.com AUTH
    535 5.7.8 Error: authentication failed:
mandrill-key smtp.mandrillapp.com AUTH
    535 5.7.8 Error: authentication failed:
elastic-key smtp.elasticemail.com AUTH
    535 Authentication failed: Bad username or password
mailersend-token smtp.mailersend.net AUTH
    535 Authentication failed
smtp2go-user mail.smtp2go.com AUTH
    535 Incorrect authentication data
smtp2go-sender mail.smtp2go.com final dot
    550-From header sender domain not verified.
    550-On your Settings > Sender Domains page
    550 verify the sender domain to be allowed to send.
forwardemail-alias smtp.forwardemail.net AUTH
    535 Invalid password, please try again
oci-credentials smtp.email.eu-frankfurt-1.oci.oraclecloud.com AUTH
    535 Authentication credentials invalid
login-refused mail.example.com AUTH
    535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6
login-refused mail.example.com AUTH
    535 Incorrect authentication data
login-unavailable mail.example.com AUTH
    454 4.7.0 Temporary authentication failure: Connection lost to authentication server
password-transition mail.example.com AUTH
    432 4.7.12 A password transition is needed
mechanism-unknown mail.example.com AUTH
    504 5.5.4 Unrecognized authentication type
mechanism-weak mail.example.com AUTH
    534 5.7.9 Authentication mechanism is too weak
starttls-first mail.example.com MAIL
    530 5.7.0 Must issue a STARTTLS command first
relay-denied mail.example.com RCPT
    554 5.7.1 <b@example.org>: Relay access denied
relay-denied mail.example.com RCPT
    550 5.7.1 <b@example.org>... Relaying denied. IP name lookup failed
relay-denied mail.example.com RCPT
    550 relay not permitted
relay-denied mail.example.com RCPT
    550 5.7.1 Unable to relay
listed-spamhaus mail.example.com RCPT
    554 5.7.1 Service unavailable; Client host [203.0.113.45] blocked using zen.spamhaus.org;
listed mail.example.com greeting
    554 5.7.1 Service unavailable; Client host [203.0.113.45] blocked using b.barracudacentral.org
not-from-here mail.example.com final dot
    550-5.7.1 [203.0.113.45] The IP you're using to send mail is not authorized to
    550-5.7.1 send email directly to our servers. Please use the SMTP relay at your
    550 5.7.1 service provider instead. - gsmtp
too-many-connections mail.example.com greeting
    421 4.7.0 mail.example.com Error: too many connections from 203.0.113.45
too-many-connections mail.example.com greeting
    421 Too many concurrent SMTP connections
sender-not-owned mail.example.com RCPT
    553 5.7.1 <a@example.com>: Sender address rejected: not owned by user b
sender-domain mail.example.com RCPT
    450 4.1.8 <a@nowhere.example>: Sender address rejected: Domain not found
greylisted mail.example.com RCPT
    450 4.2.0 <b@example.org>: Recipient address rejected: Greylisted, see
mailbox-full mail.example.com RCPT
    552 5.2.2 <b@example.org>: Mailbox is full / Quota exceeded
server-full mail.example.com MAIL
    452 4.3.1 Insufficient system storage
spf-failed mail.example.com MAIL
    550 5.7.23 The message was rejected because of Sender Policy Framework violation
no-reverse-name mail.example.com MAIL
    550 5.7.25 The IP address sending this message does not have a PTR record
unauthenticated mail.example.com final dot
    550 5.7.26 This mail has been blocked because the sender is unauthenticated.
"""
"""For each: the hint that comes first, the server, when it spoke; and what it said, line by line."""

SEEN = (
    ("microsoft-no-465", OFFICE, 465, CONNECT, Cause.TIMED_OUT),
    ("microsoft-no-465", OUTLOOK, 465, CONNECT, Cause.REFUSED),
    ("icloud-no-465", "smtp.mail.me.com", 465, CONNECT, Cause.REFUSED),
    ("yahoo-japan-587", "smtp.mail.yahoo.co.jp", 587, TLS, Cause.STARTTLS_NOT_OFFERED),
    ("yahoo-japan-587", "smtp.mail.yahoo.co.jp", 587, TLS, Cause.CLEAR_AUTH),
    ("only-465", "mail.biglobe.ne.jp", 587, TLS, Cause.STARTTLS_NOT_OFFERED),
    ("only-465", "smtp.mail.eu-west-1.awsapps.com", 587, CONNECT, Cause.TIMED_OUT),
    ("starttls-only", "smtp.postmarkapp.com", 465, CONNECT, Cause.TIMED_OUT),
    ("charter-tls-on-587", "mobile.charter.net", 587, GREETING, Cause.SILENT),
    ("docomo-login", "smtp.spmode.ne.jp", 465, AUTH, Cause.LOGIN_UNCLEAR),
    ("proton-bridge-login", "127.0.0.1", 1025, AUTH, Cause.REFUSED_PERMANENT),
    ("proton-bridge-certificate", "localhost", 1025, TLS, Cause.CERTIFICATE_UNTRUSTED),
    ("web-host-name", "smtp.example.com", 587, TLS, Cause.CERTIFICATE_NAME),
    ("port-25-closed", ANYWHERE, 25, CONNECT, Cause.TIMED_OUT),
)
"""The hint that comes first, the server and its port, and how the attempt ended without a word."""


def spoken() -> list[tuple[str, str, Phase, str]]:
    """The cases in `SAID`."""
    cases: list[tuple[str, str, Phase, str]] = []
    for case in re.split(r"\n(?=\S)", SAID.strip()):
        head, *said = case.splitlines()
        name, host, phase = head.split(maxsplit=2)
        cases.append((name, host, Phase(phase), "\n".join(map(str.strip, said))))
    return cases


def told(host: str, said: str, *, phase: Phase = AUTH, port: int = 587) -> tuple[Hint, ...]:
    """What is told of these lines, as the server sends them."""
    [reply] = ReplyReader().feed(said.replace("\n", "\r\n").encode() + b"\r\n")
    return hints_for(Failure.of_reply(phase, reply), route=route(host, port))


def route(host: str, port: int) -> Route:
    return Route(host, port, Security.IMPLICIT_TLS if port == 465 else Security.STARTTLS)


def ids(hints: tuple[Hint, ...]) -> list[str]:
    return [hint.id for hint in hints]


def known(pattern: str) -> list[Provider]:
    """The providers whose server is meant."""
    return [it for it in providers() if same(pattern.split("."), it.host.split("."))]


def same(one: list[str], other: list[str]) -> bool:
    return len(one) == len(other) and all(
        a == b or ANY_LABEL in (a, b) for a, b in zip(one, other, strict=True)
    )


def hosts(one: Line) -> list[str]:
    return [".".join(labels) for labels in one.hosts]


def line(name: str) -> Line:
    [found] = [line for line in lines() if line.hint.id == name]
    return found


# The table


def test_every_line_has_an_id_of_its_own() -> None:
    names = Counter(line.hint.id for line in lines())
    assert {name for name, times in names.items() if times > 1} == set()
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_every_line_says_since_when_and_where_it_is_written() -> None:
    for one in lines():
        assert dt.date(1990, 1, 1) < dt.date.fromisoformat(one.hint.as_of) <= dt.date.today(), one.hint.id
        assert [part for part in one.hint.source.split(" ; ") if not SOURCE.fullmatch(part)] == [], (
            one.hint.id
        )


def test_every_text_is_a_sentence_or_two_that_can_be_looked_up() -> None:
    for text in (one.hint.text for one in lines()):
        assert text == text.strip()
        assert text.endswith("."), text
        assert len(text) < 220, text
        assert text.isascii(), text
        assert not set(text) & set("{}%\\"), text


def test_every_line_asks_for_something_and_its_expression_is_one() -> None:
    for one in lines():
        assert one.asked, one.hint.id
        assert re.compile(one.says)
        assert not re.search(one.says, "") or one.says in ("", line("login-refused").says), one.hint.id


def test_codes_and_enhanced_codes_are_such_and_agree() -> None:
    for one in lines():
        assert all(400 <= code < 600 for code in one.codes), one.hint.id
        assert all(re.fullmatch(r"[45]\.\d{1,3}\.\d{1,3}", it) for it in one.enhanced), one.hint.id
        if one.codes and one.enhanced:
            assert {str(code)[0] for code in one.codes} == {it[0] for it in one.enhanced}, one.hint.id


def test_every_host_is_one_that_the_table_of_providers_knows() -> None:
    for pattern in {pattern for one in lines() for pattern in hosts(one)} - LOOPBACK:
        assert is_name(pattern.replace(ANY_LABEL, "x")), pattern
        assert pattern == pattern.lower()
        assert known(pattern), pattern


@pytest.mark.parametrize("domain", NOT_CHECKED)
def test_nothing_is_said_of_providers_that_nobody_has_checked(domain: str) -> None:
    for one in lines():
        assert not any(f".{host}".endswith(f".{domain}") for host in hosts(one)), one.hint.id


def test_a_port_from_which_a_hint_leads_away_is_none_of_the_providers() -> None:
    named = [one for one in lines() if one.ports and set(hosts(one)) - LOOPBACK]
    assert len(named) >= 6
    for one in named:
        usual = {(port, security) for port, security in PORTS.items() if port in one.ports}
        for provider in (it for host in hosts(one) for it in known(host)):
            assert usual.isdisjoint(provider.ports), (one.hint.id, provider.id)


def test_where_the_part_before_the_at_logs_in_the_table_of_providers_says_so_too() -> None:
    for host in hosts(line("part-before-the-at")):
        assert [it.username for it in known(host)] == ["%EMAILLOCALPART%"], host


@pytest.mark.parametrize("name", ["sendgrid-apikey", "resend-login", "sparkpost-login", "mailtrap-login"])
def test_a_literal_user_name_is_that_of_the_table_of_providers(name: str) -> None:
    [host] = hosts(line(name))
    [provider] = known(host)
    assert f"the very word {provider.username}" in line(name).hint.text


# What is told


@pytest.mark.parametrize(("name", "host", "phase", "said"), spoken())
def test_what_a_server_says_is_explained(name: str, host: str, phase: Phase, said: str) -> None:
    assert ids(told(host, said, phase=phase))[:1] == [name]


@pytest.mark.parametrize(("name", "host", "port", "phase", "cause"), SEEN)
def test_what_is_seen_is_explained(name: str, host: str, port: int, phase: Phase, cause: Cause) -> None:
    assert ids(hints_for(Failure(phase, cause), route=route(host, port)))[:1] == [name]


def test_every_line_comes_first_somewhere() -> None:
    assert {one.hint.id for one in lines()} == {name for name, *_ in spoken()} | {name for name, *_ in SEEN}


def test_of_what_is_known_of_a_server_the_most_special_comes_first() -> None:
    said = "535 5.7.0 (#AUTH005) Too many bad auth attempts."
    assert ids(told("smtp.mail.yahoo.com", said)) == ["yahoo-too-many", "yahoo-app-password"]


def test_what_is_known_of_the_very_code_comes_before_the_general() -> None:
    said = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    assert ids(told(OFFICE, said)) == ["microsoft-smtp-auth-off", "microsoft-end-of-passwords"]


def test_where_something_is_known_of_the_server_nothing_general_is_told() -> None:
    assert ids(told(ANYWHERE, REFUSED)) == ["login-refused"]
    assert ids(told(GMAIL, REFUSED)) == ["gmail-bad-credentials"]


def test_a_server_is_known_label_by_label() -> None:
    assert ids(told("sv1.xserver.jp", REFUSED)) == ["xserver-abroad"]
    for other in ("xserver.jp", "a.sv1.xserver.jp", "sv1.xserver.jp.example.com", "sv1xxserver.jp"):
        assert ids(told(other, REFUSED)) == ["login-refused"], other


def test_no_text_is_told_twice() -> None:
    assert line("microsoft-send-as").hint.text == line("microsoft-5-7-60").hint.text
    said = "550 5.7.60 SendAsDenied; a@example.com not allowed to send as b@example.com"
    assert len(told(OFFICE, said, phase=DOT)) == 1


def test_at_most_two_are_told() -> None:
    said = "550 5.2.2 not owned by user, relaying denied, blocked using a black list"
    [reply] = ReplyReader().feed(said.encode() + b"\r\n")
    failure, there = Failure.of_reply(RCPT, reply), route(ANYWHERE, 587)
    assert len([one for one in lines() if one.fits(failure, route=there)]) > MOST
    assert len(hints_for(failure, route=there)) == MOST


def test_case_and_line_ends_in_a_reply_do_not_matter() -> None:
    assert ids(told(ANYWHERE, "554-5.7.1 RELAY ACCESS\n554 5.7.1 DENIED", phase=RCPT)) == ["relay-denied"]


@pytest.mark.parametrize(
    "said", ["250 2.0.0 Ok", "451 4.3.0 Temporary lookup failure", "550 5.1.1 <b@example.org>: unknown user"]
)
def test_where_nothing_useful_is_known_nothing_is_told(said: str) -> None:
    assert told(ANYWHERE, said, phase=RCPT) == ()


def test_silence_elsewhere_than_on_the_named_port_gets_no_hint() -> None:
    silence = Failure(CONNECT, Cause.TIMED_OUT)
    assert hints_for(silence, route=route(OFFICE, 587)) == ()
    assert hints_for(silence, route=route(ANYWHERE, 465)) == ()


def test_a_reply_of_the_same_words_in_another_phase_is_another_thing() -> None:
    assert told(GMAIL, "535 5.7.8 Username and Password not accepted", phase=RCPT) == ()


def test_without_a_reply_nothing_that_asks_for_words_is_told() -> None:
    assert hints_for(Failure(AUTH, Cause.LOST), route=route(GMAIL, 587)) == ()
    assert hints_for(Failure(AUTH, Cause.LOST), route=route(ANYWHERE, 587)) == ()


def test_the_hint_carries_its_text_date_and_source() -> None:
    [hint] = told("smtp.resend.com", "535 Invalid username")
    assert hint.text.startswith("Resend's user name is the very word resend")
    assert hint.as_of == "2026-05-27"
    assert "https://resend.com/docs/send-with-smtp" in hint.source


def test_without_the_table_there_are_no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "TABLE", "left-out.csv")
    caches = (lines, hints._of_host, hints._anywhere)
    for cache in caches:
        cache.cache_clear()
    assert told(GMAIL, REFUSED) == ()
    for cache in caches:
        cache.cache_clear()


def test_what_is_looked_up_again_is_not_looked_for_again() -> None:
    told(GMAIL, REFUSED)
    before = hints._of_host.cache_info().misses, hints._anywhere.cache_info().misses
    told(GMAIL, REFUSED)
    assert (hints._of_host.cache_info().misses, hints._anywhere.cache_info().misses) == before


def test_the_short_cut_leads_to_what_the_whole_table_says() -> None:
    for one in lines():
        for code in (None, *one.codes, 550):
            reply = Reply(code, min(one.enhanced) if one.enhanced else None, "x") if code else None
            failure = Failure(one.phase or RCPT, next(iter(one.causes), Cause.REFUSED_PERMANENT), reply=reply)
            for pattern in hosts(one) or [ANYWHERE]:
                way = route(pattern.replace(ANY_LABEL, "x"), 587)
                fitting = [it for it in lines() if it.fits(failure, route=way)]
                first = [it.hint for it in fitting if it.hosts] or [it.hint for it in fitting]
                assert hints_for(failure, route=way)[:1] == tuple(first[:1])


def test_an_address_in_place_of_a_name_is_no_trouble() -> None:
    assert ids(told("192.0.2.1", REFUSED)) == ["login-refused"]
    assert ids(told("2001:db8::1", REFUSED)) == ["login-refused"]
