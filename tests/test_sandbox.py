"""Is the sandbox what it says it is? Its services, its records, and every knob."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue

import pytest

from portmail.sandbox import Received, Sandbox, listeners
from portmail.sandbox.certificates import Authority
from tests.servers.clients import connected, logged_in, reply_of, secured, trusting

CONTENT = b"Subject: hello\r\n\r\n.one dot\r\nend\r\n"
STUFFED = CONTENT.replace(b"\r\n.", b"\r\n..")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_submission_takes_a_message_over_starttls_and_keeps_it_as_it_came(sandbox: Sandbox) -> None:
    with logged_in(sandbox) as client:
        client.sendmail("me@example.com", ["a@example.org", "b@example.org"], CONTENT, ["BODY=8BITMIME"])
    [message] = sandbox.messages
    assert (message.sender, message.recipients) == ("me@example.com", ("a@example.org", "b@example.org"))
    assert (message.content, message.message["Subject"]) == (CONTENT, "hello")
    assert (message.service, message.tls, message.username) == (587, "TLSv1.3", "me")
    assert message.parameters == (f"size={len(CONTENT)}", "BODY=8BITMIME")


def test_submissions_begins_with_tls(sandbox: Sandbox) -> None:
    with smtplib.SMTP_SSL("localhost", sandbox.port(465), context=trusting(sandbox), timeout=5) as client:
        client.login("me", "secret")
        client.sendmail("me@example.com", ["a@example.org"], CONTENT)
    assert [message.service for message in sandbox.messages] == [465]
    [session] = sandbox.sessions
    assert (session.plaintext, session.tls_server_name) == (b"", "localhost")


def test_the_relay_takes_mail_from_everybody_and_offers_no_authentication(sandbox: Sandbox) -> None:
    with connected(sandbox, 25) as client:
        client.sendmail("", ["a@example.org"], CONTENT)
        assert not client.has_extn("auth")
        assert client.has_extn("starttls")
        assert client.docmd("AUTH", "PLAIN")[0] == 502
    assert [(message.sender, message.tls) for message in sandbox.messages] == [("", None)]


def test_a_session_tells_what_was_sent_in_clear_and_what_was_said(sandbox: Sandbox) -> None:
    with secured(sandbox, 587) as client:
        client.docmd("AUTH", "PLAIN AG1lAHNlY3JldA==")
    [session] = sandbox.sessions
    assert session.plaintext == b"ehlo client.example\r\nSTARTTLS\r\n"
    assert session.commands[2:] == ("ehlo client.example", "AUTH PLAIN AG1lAHNlY3JldA==", "QUIT")
    assert (session.service, session.authentications, session.tls) == (587, 1, "TLSv1.3")
    assert session.round_trips == 5


def test_urls_carry_the_first_users_credentials_but_not_to_the_relay() -> None:
    with Sandbox(users={"me@home": "p/w#%é", "you": "x"}) as sandbox:
        submission, submissions, relay = map(sandbox.port, (587, 465, 25))
        login = "me%40home:p%2Fw%23%25%C3%A9"
        assert sandbox.url == f"submission://{login}@127.0.0.1:{submission}"
        assert sandbox.url_for(465) == f"submissions://{login}@127.0.0.1:{submissions}"
        assert sandbox.url_for(25) == f"relay://127.0.0.1:{relay}"


def test_nothing_is_left_behind() -> None:
    before = set(threading.enumerate())
    with Sandbox() as sandbox, closing(socket.create_connection((sandbox.host, sandbox.port(25)))):
        assert sandbox.ca.read_text().startswith("-----BEGIN CERTIFICATE-----")
        sandbox.block(465)
    assert set(threading.enumerate()) <= before
    assert not sandbox.ca.parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port(25)))


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse where Linux drops")
def test_a_blocked_port_is_silent_until_it_is_opened_again(sandbox: Sandbox) -> None:
    port = sandbox.port(587)
    with connected(sandbox, 587) as client:
        sandbox.block(587)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                socket.create_connection((sandbox.host, port), timeout=0.05)
        assert client.noop()[0] == 250
        sandbox.open_port(587)
    with connected(sandbox, 587):
        assert sandbox.port(587) == port


def test_a_port_that_cannot_be_blocked_is_an_error(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_MOST_FILLERS", 1)
    with pytest.raises(RuntimeError, match="cannot be blocked"):
        sandbox.block(587)
    sandbox.open_port(587)
    connected(sandbox, 587).close()


def test_a_closed_port_refuses_until_it_is_opened_again(sandbox: Sandbox) -> None:
    sandbox.close_port(465)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port(465)))
    sandbox.open_port(465)
    secured(sandbox, 465).close()


def test_a_stripped_server_hides_starttls_and_tempts_with_auth_in_clear(sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    for service in (587, 25):
        with connected(sandbox, service) as client:
            assert not client.has_extn("starttls")
            assert client.has_extn("auth")
            assert client.docmd("STARTTLS")[0] == 500
            assert client.docmd("AUTH", "PLAIN AG1lAHNlY3JldA==")[0] == 235
    assert all(b"AG1lAHNlY3JldA==" in session.plaintext for session in sandbox.sessions)


def test_a_stripped_server_greets_in_clear_where_tls_is_implicit(sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    with pytest.raises(ssl.SSLError):
        secured(sandbox, 465)
    with connected(sandbox, 465) as client:
        assert client.has_extn("auth")


def test_what_is_said_in_clear_to_an_implicit_tls_port_is_seen(sandbox: Sandbox) -> None:
    with socket.create_connection((sandbox.host, sandbox.port(465))) as client:
        client.sendall(b"AUTH PLAIN AG1lAHNlY3JldA==\r\n")
        assert client.recv(100) == b""
    assert sandbox.sessions[0].plaintext == b"AUTH PLAIN AG1lAHNlY3JldA==\r\n"


def test_a_rejected_recipient_is_refused_and_the_others_are_not(sandbox: Sandbox) -> None:
    sandbox.reject("who@example.org")
    sandbox.reject("busy@example.org", code=450, text="4.2.1 later")
    with connected(sandbox, 25) as client:
        refused = client.sendmail("", ["Who@example.org", "busy@example.org", "a@example.org"], CONTENT)
        assert refused == {
            "Who@example.org": (550, b"5.1.1 no such user"),
            "busy@example.org": (450, b"4.2.1 later"),
        }
        sandbox.behave()
        assert client.sendmail("", ["who@example.org"], CONTENT) == {}
    assert [message.recipients for message in sandbox.messages] == [("a@example.org",), ("who@example.org",)]


def test_greylisting_turns_away_each_sender_and_recipient_once(sandbox: Sandbox) -> None:
    later = (450, b"4.2.0 greylisted, try again later")
    sandbox.greylist()
    sandbox.reject("who@example.org")
    with connected(sandbox, 25) as client:
        assert _refused(client, "me@example.org") == later
        assert _refused(client, "ME@example.org") is None
        assert _refused(client, "me@example.org") is None
        assert _refused(client, "you@example.org") == later
        assert _refused(client, "you@example.org", recipient="b@example.org") == later
        assert _refused(client, "you@example.org", recipient="B@example.org") is None
        assert _refused(client, "", recipient="who@example.org") == (550, b"5.1.1 no such user")
        sandbox.greylist()
        assert _refused(client, "me@example.org") == later
        sandbox.behave()
        assert _refused(client, "new@example.org") is None
    assert len(sandbox.messages) == 4


def test_greylisting_lasts_as_long_as_it_was_told(sandbox: Sandbox) -> None:
    times = iter([1000.0, 1000.5, 1299.0, 1300.0])
    sandbox.greylist(seconds=300, clock=times.__next__)
    with connected(sandbox, 25) as client:
        for left in (300, 300, 1):
            text = f"4.2.0 greylisted, try again in {left} seconds".encode()
            assert _refused(client, "me@example.org") == (450, text)
        assert _refused(client, "me@example.org") is None
    assert len(sandbox.messages) == 1


def _refused(
    client: smtplib.SMTP, sender: str, *, recipient: str = "a@example.org"
) -> tuple[int, bytes] | None:
    """The reply by which the only recipient is refused."""
    try:
        client.sendmail(sender, [recipient], CONTENT)
    except smtplib.SMTPRecipientsRefused as refusal:
        return refusal.recipients[recipient]
    return None


def test_who_waits_for_a_message_is_told() -> None:
    arrived: Queue[Received] = Queue()
    with Sandbox(arrived=arrived.put) as telling, connected(telling, 25) as client:
        client.sendmail("", ["a@example.org"], CONTENT)
        assert arrived.get(timeout=5) is telling.messages[0]
    assert arrived.empty()


@pytest.mark.parametrize(
    "body", [[b"DATA\r\n", STUFFED + b".\r\n"], [b"BDAT %d LAST\r\n%s" % (len(CONTENT), CONTENT)]]
)
def test_a_connection_can_be_lost_on_either_side_of_the_final_dot(
    sandbox: Sandbox, body: list[bytes]
) -> None:
    sandbox.drop_before_dot(times=1)
    with pytest.raises(ConnectionResetError):
        _submit(sandbox, body)
    assert not sandbox.messages
    sandbox.drop_after_dot(times=1)
    with pytest.raises(ConnectionResetError):
        _submit(sandbox, body)
    assert sandbox.messages[0].content == CONTENT
    assert _submit(sandbox, body).startswith("250 2.0.0")


def test_a_fault_without_a_number_stays(sandbox: Sandbox) -> None:
    sandbox.drop_after_dot()
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            _submit(sandbox, [b"DATA\r\n", b".\r\n"])
    assert len(sandbox.messages) == 3


def _submit(sandbox: Sandbox, body: list[bytes]) -> str:
    """Submit to the relay by hand; the reply to the last command."""
    envelope = b"EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
    with socket.create_connection((sandbox.host, sandbox.port(25)), 5) as sock, sock.makefile("rb") as file:
        for command in [*envelope.splitlines(keepends=True), *body]:
            reply_of(file)
            sock.sendall(command)
        return reply_of(file)


def test_an_asynchronous_program_can_live_in_the_same_thread(sandbox: Sandbox) -> None:
    async def greeting() -> bytes:
        reader, writer = await asyncio.open_connection(sandbox.host, sandbox.port(25))
        try:
            return await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()

    assert asyncio.run(greeting()).startswith(b"220 ")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6_as_well() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with Sandbox(host="::1") as sandbox:
        assert sandbox.url.endswith(f"@[::1]:{sandbox.port(587)}")
        with secured(sandbox, 465) as client:
            assert client.noop()[0] == 250


def test_it_has_the_services_it_was_asked_for_and_no_others() -> None:
    with Sandbox(ports={25: 0}) as sandbox:
        assert sandbox.url.startswith("relay://")
        with pytest.raises(ValueError, match="no service 587; it has 25"):
            sandbox.port(587)
    with pytest.raises(ValueError, match="2525 is no service"):
        Sandbox(ports={2525: 0})
    with pytest.raises(ValueError, match="'NTLM' is no mechanism"):
        Sandbox(mechanisms=("NTLM",))


def test_a_port_that_is_taken_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Sandbox(ports={587: 0, 25: taken.getsockname()[1]}).__enter__()
    assert set(threading.enumerate()) <= before


def test_an_authority_makes_the_certificates_that_clients_must_refuse(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    trusting_it = ssl.create_default_context(cafile=authority.ca_path)
    assert _verdict(authority.server_context("localhost"), trusting_it) == "ok"
    assert "Hostname mismatch" in _verdict(authority.server_context("example.org"), trusting_it)
    expired = authority.server_context("localhost", not_after=yesterday)
    assert "expired" in _verdict(expired, trusting_it)
    assert "unable to get local issuer" in _verdict(
        authority.server_context("localhost"), ssl.create_default_context()
    )


def _verdict(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """What a client that wants localhost says of a server, without any socket."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return "ok"


def test_without_trustme_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['trustme'] = None; import portmail.sandbox"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "portmail[sandbox]"' in done.stderr
