"""The servers the other tests rely on do what those tests take for granted."""

import base64
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.postfix import (
    NOBODY_THERE,
    REFUSED_SENDER,
    WILD_PASSWORD,
    Postfix,
    running,
    unavailable,
)
from tests.servers.requirements import require

ME, PASSWORD = "me@example.org", "correct horse"
MAIL = b"Subject: hello\r\n\r\nworld\r\n"


def connect(server: Postfix, service: int) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=server.ca)
    if service == 465:
        port = server.ports[465]
        return smtplib.SMTP_SSL(server.host, port, "client.test", timeout=10, context=context)
    client = smtplib.SMTP(server.host, server.ports[service], "client.test", timeout=10)
    client.starttls(context=context)
    return client


@contextmanager
def session(server: Postfix, service: int) -> Iterator[smtplib.SMTP]:
    """Be greeted through TLS, and logged in where that is possible."""
    with connect(server, service) as client:
        client.ehlo()
        if client.has_extn("auth"):
            client.login(ME, PASSWORD)
        yield client


def plain(client: smtplib.SMTP, user: str, password: str) -> int:
    """Do what smtplib does not: AUTH PLAIN with any octets."""
    octets = f"\0{user}\0{password}".encode("utf-8", "surrogateescape")
    return client.docmd("AUTH", "PLAIN " + base64.b64encode(octets).decode())[0]


@pytest.mark.parametrize("service", [587, 465, 25])
def test_every_service_delivers_with_the_envelope_in_the_headers(postfix: Postfix, service: int) -> None:
    recipient = f"through-{service}@example.com"
    with session(postfix, service) as client:
        assert client.sendmail(ME, recipient, MAIL) == {}
    (raw,) = postfix.wait_for(recipient)
    head, _, body = raw.partition(b"\n\n")
    assert f"Return-Path: <{ME}>".encode() in head.splitlines()
    assert f"X-Original-To: {recipient}".encode() in head.splitlines()
    assert b"Subject: hello" in head.splitlines()
    assert body == b"world\n"


@pytest.mark.parametrize("service", [587, 465])
def test_submission_without_a_login_is_refused(postfix: Postfix, service: int) -> None:
    with connect(postfix, service) as client:
        client.ehlo()
        assert client.mail(ME)[0] == 250
        code, text = client.rcpt("without-login@example.org")
    assert (code, text[:5]) == (554, b"5.7.1")


def test_port_25_delivers_without_tls_as_well(postfix: Postfix) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports[25], "client.test", timeout=10) as client:
        client.sendmail(ME, "in-the-clear@intranet", MAIL)
    postfix.wait_for("in-the-clear@intranet")


@pytest.mark.parametrize("domain", ["beds.test", "localhost", "intranet", "host.local"])
def test_odd_domains_have_mailboxes(postfix: Postfix, domain: str) -> None:
    with session(postfix, 465) as client:
        client.sendmail(ME, [f"odd@{domain}", f'"o d%d"@{domain}'], MAIL)
    postfix.wait_for(f"odd@{domain}")
    postfix.wait_for(f'"o d%d"@{domain}')


@pytest.mark.parametrize("service", [587, 465, 25])
def test_a_refused_recipient_does_not_keep_the_mail_from_the_other(postfix: Postfix, service: int) -> None:
    other = f"beside-{service}@example.org"
    with session(postfix, service) as client:
        refused = client.sendmail(ME, [NOBODY_THERE, other], MAIL)
    code, text = refused[NOBODY_THERE]
    assert (code, text[:5]) == (550, b"5.1.1")
    assert len(postfix.wait_for(other)) == 1
    assert postfix.inbox(NOBODY_THERE) == []


@pytest.mark.parametrize("service", [587, 465, 25])
def test_a_refused_sender_is_refused_at_once(postfix: Postfix, service: int) -> None:
    with session(postfix, service) as client:
        code, text = client.mail(REFUSED_SENDER)
    assert (code, text[:5]) == (550, b"5.7.1")


def test_nothing_is_accepted_for_elsewhere(postfix: Postfix) -> None:
    with session(postfix, 587) as client:
        client.mail(ME)
        codes = [client.rcpt(f"x@{host}")[0] for host in ("example.net", "[127.0.0.1]")]
    assert codes == [550, 550]


def test_a_login_is_offered_after_tls_only(postfix: Postfix) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports[587], "client.test", timeout=10) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")
        assert plain(client, ME, PASSWORD) == 503
    with connect(postfix, 587) as client:
        client.ehlo()
        offered = client.esmtp_features["auth"].split()
        assert {"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"} <= set(offered)


def test_port_25_knows_no_login(postfix: Postfix) -> None:
    with connect(postfix, 25) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert plain(client, ME, PASSWORD) == 503


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_each_mechanism_accepts_the_password_and_no_other(postfix: Postfix, mechanism: str) -> None:
    for password in (PASSWORD, PASSWORD + "s"):
        with connect(postfix, 465) as client:
            client.ehlo()
            client.esmtp_features["auth"] = mechanism
            if password == PASSWORD:
                assert client.login(ME, password)[0] == 235
            else:
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.login(ME, password)


@pytest.mark.parametrize("service", [587, 465])
def test_a_wild_password_is_a_password(postfix: Postfix, service: int) -> None:
    octets = WILD_PASSWORD.encode("utf-8", "surrogateescape")
    assert len(octets) == 256
    with pytest.raises(UnicodeDecodeError):
        octets.decode()
    with connect(postfix, service) as client:
        client.ehlo()
        assert plain(client, "wild", WILD_PASSWORD[:-1]) == 535
        assert plain(client, "wild", WILD_PASSWORD) == 235


@pytest.mark.parametrize(("seconds", "expected"), [(3600, 235), (-3600, 334)])
def test_a_token_logs_in_until_it_is_stale(postfix: Postfix, seconds: int, expected: int) -> None:
    bearer = f"user={ME}\1auth=Bearer {postfix.token(ME, seconds=seconds)}\1\1"
    with connect(postfix, 465) as client:
        client.ehlo()
        code, _ = client.docmd("AUTH", "XOAUTH2 " + base64.b64encode(bearer.encode()).decode())
        assert code == expected
        if code == 334:
            assert client.docmd("")[0] == 535


@pytest.mark.parametrize("recipient", ["josé@example.org", "josé@bücher.example"])
def test_an_address_in_utf_8_is_delivered(postfix: Postfix, recipient: str) -> None:
    with session(postfix, 587) as client:
        client.sendmail("jörg@example.org", recipient, MAIL, mail_options=["SMTPUTF8"])
    (raw,) = postfix.wait_for(recipient)
    assert raw.startswith("Return-Path: <jörg@example.org>\n".encode())


def test_both_spellings_of_a_domain_are_one_mailbox(postfix: Postfix) -> None:
    with session(postfix, 587) as client:
        client.sendmail(ME, "both@xn--bcher-kva.example", MAIL)
        client.sendmail(ME, "Both@Bücher.example", MAIL, mail_options=["SMTPUTF8"])
    assert len(postfix.wait_for("both@bücher.example", count=2)) == 2


def test_waiting_in_vain_quotes_the_log(postfix: Postfix) -> None:
    with pytest.raises(AssertionError, match=r"(?s)0 of 1 messages for nothing@.*smtpd"):
        postfix.wait_for("nothing@example.org", seconds=0)


def test_a_server_takes_settings_and_leaves_nothing_behind(tmp_path: Path) -> None:
    require(unavailable())
    started = time.monotonic()
    settings = {"smtpd_discard_ehlo_keywords": "smtputf8, 8bitmime", "message_size_limit": "1234"}
    with running(tmp_path, users={ME: PASSWORD}, settings=settings) as server:
        assert time.monotonic() - started < 3
        assert mentioning(server.root)
        with session(server, 587) as client:
            assert not client.has_extn("smtputf8")
            assert client.esmtp_features["size"] == "1234"
    assert not server.root.exists()
    assert mentioning(server.root) == []


def test_a_server_ends_with_the_test_that_fails(tmp_path: Path) -> None:
    require(unavailable())
    with (
        pytest.raises(ZeroDivisionError),
        running(tmp_path, users={}) as server,
        smtplib.SMTP(server.host, server.ports[25], "client.test", timeout=10),
    ):
        raise ZeroDivisionError
    assert mentioning(server.root) == []


def mentioning(root: Path) -> list[str]:
    """List the processes that have the directory in their command line or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace")
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(root) in words or place.startswith(str(root)):
            found.append(words)
    return found


def test_a_missing_server_skips_unless_tests_are_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTMAIL_TEST_STRICT", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        require("no such thing")
    monkeypatch.setenv("PORTMAIL_TEST_STRICT", "1")
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        require("no such thing")
    require(None)
