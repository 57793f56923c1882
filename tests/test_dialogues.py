"""What is said on the wire, as dialogues: each is what a server says, and what portmail must say."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

import portmail
from portmail import Cause, Phase, Route, Security, Timeouts, Verdict
from portmail.sandbox.certificates import Authority
from portmail.timeouts import Deadline
from tests.messages import SENDER, message
from tests.servers.dialogue import play

HOST = "127.0.0.1"


BIG = b"From: me@example.org\r\nTo: you@example.org\r\n\r\n" + (b"y" * 98 + b"\r\n") * 90_000
"""More than the buffers on the way hold."""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(HOST)


def relay(port: int, **keywords: object) -> portmail.Submitter:
    route = Route(HOST, port, Security.PLAINTEXT)
    return portmail.Submitter(routes=(route,), local_hostname="web1.example", retry=None, **keywords)  # type: ignore[arg-type]


def account(port: int, *, ca: Path, **keywords: object) -> portmail.Submitter:
    route = Route(HOST, port, Security.IMPLICIT_TLS)
    wishes = {"username": "me", "password": "secret"} | keywords
    return portmail.Submitter(routes=(route,), tls_ca=ca, local_hostname="web1.example", retry=None, **wishes)  # type: ignore[arg-type]


HELLO = """
    S: 220 mail.example.com ESMTP
    C: EHLO web1.example
    S: 250-mail.example.com
    S: 250-SIZE 10485760
    S: 250 8BITMIME
"""

ENVELOPE = f"""{HELLO}
    C: MAIL FROM:<me@example.org> SIZE=*
    S: 250 2.1.0 ok
    C: RCPT TO:<you@example.org>
    S: 250 2.1.5 ok
    C: DATA
    S: 354 go on
"""


def test_a_message_is_submitted() -> None:
    with play(f"{ENVELOPE}\nBODY\nS: 250 2.0.0 queued as 4711\nC: QUIT\nS: 221 bye") as player:
        with relay(player.port) as mail:
            receipt = mail.send(message(text="one\n.\n..two\n"))
        player.check()
    assert (receipt.reply.code, receipt.reply.enhanced, receipt.reply.text) == (
        250,
        "2.0.0",
        "queued as 4711",
    )
    assert receipt.accepted == ("you@example.org",)
    assert receipt.sender == SENDER
    assert receipt.tls is None
    assert [str(attempt.verdict.value) for attempt in receipt.attempts] == ["accepted"]
    assert player.bodies[0].endswith(b"\r\n\r\none\r\n..\r\n...two\r\n")


def test_a_quit_that_is_refused_or_not_answered_changes_nothing() -> None:
    for end in ("C: QUIT\nS: 554 5.3.0 no", "C: QUIT\nRESET", "RESET"):
        with play(f"{ENVELOPE}\nBODY\nS: 250 2.0.0 ok\n{end}") as player, relay(player.port) as mail:
            assert mail.send(message()).reply.code == 250


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (f"{HELLO}\nC: MAIL *\nRESET", Phase.MAIL),
        (f"{HELLO}\nC: MAIL *\nS: 250 ok\nC: RCPT *\nCLOSE", Phase.RCPT),
        (f"{HELLO}\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nRESET", Phase.DATA),
        (f"{ENVELOPE}\nBODY-WITHOUT-DOT 100000\nRESET", Phase.CONTENT),
    ],
    ids=lambda value: value.value if isinstance(value, Phase) else "",
)
def test_a_connection_cut_before_the_final_dot_means_not_sent(script: str, phase: Phase) -> None:
    with play(script) as player, relay(player.port) as mail:
        with pytest.raises(portmail.Unreachable) as caught:
            mail.send(BIG)
        assert player.connections == 1
    (attempt,) = caught.value.attempts
    assert (attempt.phase, attempt.verdict) == (phase, Verdict.RETRY_LATER)
    assert caught.value.temporary
    assert "Not sent" in str(caught.value)


def test_an_answer_counts_whatever_comes_behind_it() -> None:
    with play(ENVELOPE + 'BODY\nRAW "250 2.0.0 accepted\\r\\n\\r\\n"') as player, relay(player.port) as mail:
        assert mail.send(message()).reply.text == "accepted"
    with play(ENVELOPE + 'BODY\nRAW "550 5.7.1 no\\r\\nhm\\r\\n"') as player, relay(player.port) as mail:
        with pytest.raises(portmail.Rejected, match=r"5\.7\.1 no"):
            mail.send(message())


class NoTimeLeft(Deadline):
    """The time for the submission is over when DATA is answered."""

    over = False

    @property
    def remaining(self) -> float:
        return 0.0 if self.over else 5.0

    def seconds(self, phase: Phase) -> float:
        self.over = phase is Phase.DATA
        return 5.0


def test_the_final_dot_is_not_written_when_no_time_is_left_to_hear_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portmail.timeouts.Deadline", NoTimeLeft)
    with play(f"{ENVELOPE}\nBODY\nS: 250 ok") as player, relay(player.port) as mail:
        with pytest.raises(portmail.Unreachable) as caught:
            mail.send(message())
        assert player.bodies == []
    (attempt,) = caught.value.attempts
    assert attempt.error is not None
    assert (attempt.phase, attempt.error.cause) == (Phase.CONTENT, Cause.OUT_OF_TIME)


@pytest.mark.parametrize(
    "end",
    ["RESET", "CLOSE", 'RAW "garbage\\r\\n"', 'RAW "25"\nCLOSE', "S: 354 more, please", "SILENCE"],
)
def test_no_answer_after_the_final_dot_is_in_doubt_and_nothing_is_retried(end: str) -> None:
    route_two = play(f"{ENVELOPE}\nBODY\nS: 250 ok")
    with play(f"{ENVELOPE}\nBODY\n{end}") as player, route_two as other:
        routes = tuple(Route(HOST, port, Security.PLAINTEXT) for port in (player.port, other.port))
        with portmail.Submitter(
            routes=routes,
            local_hostname="web1.example",
            retry=portmail.Retry(attempts=5),
            timeouts=Timeouts(final=0.5),
        ) as mail:
            with pytest.raises(portmail.InDoubt) as caught:
                mail.send(message())
        assert (player.connections, other.connections) == (1, 0)
    (attempt,) = caught.value.attempts
    assert (attempt.phase, attempt.verdict) == (Phase.FINAL_DOT, Verdict.IN_DOUBT)
    assert not caught.value.temporary
    assert caught.value.message_id == "<1@example.org>"
    assert "may have been accepted" in str(caught.value)


def test_a_server_that_refuses_in_the_middle_of_the_content_is_heard() -> None:
    script = f"{ENVELOPE}\nBODY-WITHOUT-DOT 100000\nS: 552 5.3.4 too much\nPAUSE 30"
    with play(script) as player, relay(player.port) as mail, pytest.raises(portmail.Rejected) as caught:
        mail.send(BIG)
    assert caught.value.attempts[0].phase is Phase.CONTENT
    assert str(caught.value.reply) == "552 5.3.4 too much"


def test_replies_that_nobody_asked_for_end_the_connection() -> None:
    script = f'{HELLO}\nC: MAIL *\nRAW "250 ok\\r\\n250 stray\\r\\n"\nC: RCPT *\nS: 550 5.1.1 unknown'
    with play(script) as player, relay(player.port) as mail, pytest.raises(portmail.Unreachable) as caught:
        mail.send(message())
    failure = caught.value.attempts[0].error
    assert failure is not None
    assert failure.cause is Cause.SURPRISE
    assert "stray" in failure.detail


def test_421_may_come_at_any_time_and_means_later() -> None:
    script = f'{HELLO}\nC: MAIL *\nRAW "250 ok\\r\\n421 4.3.2 shutting down\\r\\n"\nCLOSE'
    with play(script) as player, relay(player.port) as mail, pytest.raises(portmail.Rejected) as caught:
        mail.send(message())
    assert caught.value.temporary
    assert caught.value.reply is not None
    assert caught.value.reply.code == 421


def test_one_refused_recipient_of_two_is_in_the_receipt() -> None:
    script = f"""{HELLO}
        C: MAIL *
        S: 250 ok
        C: RCPT TO:<no@example.org>
        S: 550 5.1.1 no such user
        C: RCPT TO:<yes@example.org>
        S: 250 ok
        C: DATA
        S: 354 go on
        BODY
        S: 250 ok
    """
    with play(script) as player, relay(player.port) as mail:
        receipt = mail.send(message(to="no@example.org, yes@example.org"))
        player.check()
    assert receipt.accepted == ("yes@example.org",)
    assert {who: str(reply) for who, reply in receipt.refused.items()} == {
        "no@example.org": "550 5.1.1 no such user"
    }


def test_a_message_larger_than_the_servers_limit_is_refused_before_it_is_mentioned() -> None:
    script = HELLO.replace("10485760", "1000")
    with play(script) as player, relay(player.port) as mail:
        with pytest.raises(portmail.MessageTooLarge) as caught:
            mail.send(message(text="z" * 2000))
        player.check()
        assert "MAIL" not in player.received.decode()
    assert "the server takes 1,000" in str(caught.value)
    assert not caught.value.temporary


@pytest.mark.parametrize(
    ("to", "text", "missing"),
    [("josé@example.org", "ascii", "SMTPUTF8 and 8BITMIME"), ("you@example.org", "grüße", "8BITMIME")],
)
def test_what_the_server_cannot_carry_is_refused_before_it_is_mentioned(
    to: str, text: str, missing: str
) -> None:
    script = "S: 220 hi\nC: EHLO *\nS: 250 mail.example.com"
    with play(script) as player, relay(player.port) as mail:
        with pytest.raises(portmail.ExtensionMissing, match=missing):
            mail.send(message(to=to, text=text))
        assert "MAIL" not in player.received.decode()


def test_an_internationalized_domain_travels_as_a_labels() -> None:
    script = f"""{HELLO}
        C: MAIL FROM:<me@example.org> SIZE=*
        S: 250 ok
        C: RCPT TO:<info@xn--bcher-kva.example>
        S: 250 ok
        C: DATA
        S: 354 go on
        BODY
        S: 250 ok
    """
    with play(script) as player, relay(player.port) as mail:
        receipt = mail.send(message(to="info@bücher.example"))
        player.check()
    assert receipt.accepted == ("info@bücher.example",)
    assert b"To: info@xn--bcher-kva.example" in player.bodies[0]


def test_a_utf8_local_part_travels_with_smtputf8() -> None:
    script = """
        S: 220 hi
        C: EHLO *
        S: 250-mail.example.com
        S: 250-8BITMIME
        S: 250 SMTPUTF8
        C: MAIL FROM:<me@example.org> BODY=8BITMIME SMTPUTF8
        S: 250 ok
        C: RCPT TO:<josé@example.org>
        S: 250 ok
        C: DATA
        S: 354 go on
        BODY
        S: 250 ok
    """
    with play(script) as player, relay(player.port) as mail:
        mail.send(message(to="josé@example.org", subject="Grüße"))
        player.check()
    assert "To: josé@example.org".encode() in player.bodies[0]
    assert "Subject: Grüße".encode() in player.bodies[0]


def test_the_null_reverse_path_is_sent_as_such() -> None:
    script = ENVELOPE.replace("<me@example.org>", "<>") + "BODY\nS: 250 ok"
    with play(script) as player, relay(player.port) as mail:
        assert mail.send(message(), sender="").sender == ""
        player.check()


def test_a_server_of_the_last_century_without_ehlo_is_a_relay_all_the_same() -> None:
    script = """
        S: 220 old.example.com
        C: EHLO web1.example
        S: 500 what?
        C: HELO web1.example
        S: 250 old.example.com
        C: MAIL FROM:<me@example.org>
        S: 250 ok
        C: RCPT TO:<you@example.org>
        S: 250 ok
        C: DATA
        S: 354 go on
        BODY
        S: 250 ok
    """
    with play(script) as player, relay(player.port) as mail:
        assert mail.send(message()).reply.code == 250
        player.check()


# AUTH. Under TLS from the first octet; what is offered, what is said.

PLAIN = "C: AUTH PLAIN " + encoded("\0me\0secret")

LOGINS = {
    "PLAIN": PLAIN,
    "LOGIN": f"""C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: {encoded("me")}
        S: 334 UGFzc3dvcmQ6
        C: {encoded("secret")}""",
    "CRAM-MD5": """C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
        C: bWUg*""",
}


def login(offered: str, exchange: str) -> str:
    return f"""TLS
        S: 220 mail.example.com ESMTP
        C: EHLO *
        S: 250-mail.example.com
        S: 250 AUTH {offered}
        {exchange}
    """


@pytest.mark.parametrize("mechanism", LOGINS)
def test_each_mechanism_says_what_its_rfc_says(
    mechanism: str, authority: Authority, tls: ssl.SSLContext
) -> None:
    script = (
        login(f"X-ELSE {mechanism}", LOGINS[mechanism]) + "S: 235 2.7.0 welcome\nC: MAIL *\nS: 451 4.0.0 no"
    )
    with play(script, tls=tls) as player, account(player.port, ca=authority.ca_path) as mail:
        with pytest.raises(portmail.Rejected):  # that far it got
            mail.send(message())
        player.check()
    assert player.plaintext == b""


def test_plain_is_preferred(authority: Authority, tls: ssl.SSLContext) -> None:
    script = login("CRAM-MD5 LOGIN PLAIN", PLAIN) + "S: 235 ok\nC: MAIL *\nS: 451 4.0.0 no"
    with play(script, tls=tls) as player, account(player.port, ca=authority.ca_path) as mail:
        with pytest.raises(portmail.Rejected):
            mail.send(message())
        player.check()


def test_a_token_travels_by_xoauth2_and_a_refused_one_is_answered_by_an_empty_line(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    said = encoded("user=me\x01auth=Bearer ya29.token\x01\x01")
    reason = encoded('{"status":"401"}')
    script = login("PLAIN XOAUTH2", f"C: AUTH XOAUTH2 {said}\nS: 334 {reason}\nC:\nS: 535 5.7.8 no")
    with play(script, tls=tls) as player:
        with account(player.port, ca=authority.ca_path, password=None, token="ya29.token") as mail:
            with pytest.raises(portmail.AuthenticationFailed) as caught:
                mail.send(message())
        player.check()
    assert not caught.value.temporary


def test_a_first_response_that_is_too_long_for_a_command_waits_to_be_asked_for(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    token = "t" * 2000
    said = encoded(f"user=me\x01auth=Bearer {token}\x01\x01")
    script = login("XOAUTH2", f"C: AUTH XOAUTH2\nS: 334\nC: {said}\nS: 235 ok\nC: MAIL *\nS: 451 4.0.0 no")
    with play(script, tls=tls) as player:
        with account(player.port, ca=authority.ca_path, password=None, token=token) as mail:
            with pytest.raises(portmail.Rejected):
                mail.send(message())
        player.check()


def test_a_mechanism_that_goes_on_asking_is_cancelled(authority: Authority, tls: ssl.SSLContext) -> None:
    script = login("PLAIN", f"{PLAIN}\nS: 334 bW9yZQ==\nC: *\nS: 501 5.7.0 cancelled")
    with play(script, tls=tls) as player, account(player.port, ca=authority.ca_path) as mail:
        with pytest.raises(portmail.AuthenticationFailed):
            mail.send(message())
        player.check()
        assert "C: *" in player.transcripts[0]


@pytest.mark.parametrize(("reply", "temporary"), [("535 5.7.8 no", False), ("454 4.7.0 later", True)])
def test_a_refused_password_is_tried_once_on_one_route(
    reply: str, temporary: bool, authority: Authority, tls: ssl.SSLContext
) -> None:
    script = login("PLAIN LOGIN CRAM-MD5", f"{PLAIN}\nS: {reply}")
    with play(script, tls=tls) as player, play(script, tls=tls) as other:
        routes = tuple(Route(HOST, port, Security.IMPLICIT_TLS) for port in (player.port, other.port))
        wishes = {"username": "me", "password": "secret", "tls_ca": authority.ca_path, "retry": None}
        with portmail.Submitter(routes=routes, **wishes) as mail:  # type: ignore[arg-type]
            with pytest.raises(portmail.AuthenticationFailed) as caught:
                mail.send(message())
        player.check()
        assert (player.received + other.received).count(b"AUTH") == 1
    assert caught.value.temporary is temporary
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        "S: 250 hm",
        "S: hm",
        'RAW "535 5.7.8 no\\r\\n\\r\\n"',
        "S: 535-a\nS: 550 b",
        "S: 421 4.7.0 bye",
        "S: 454 4.7.0 no",
    ],
)
def test_no_answer_to_a_login_makes_us_try_a_second_one(
    answer: str, authority: Authority, tls: ssl.SSLContext
) -> None:
    script = login("PLAIN", f"{PLAIN}\n{answer}")
    with play(script, tls=tls) as player, play(script, tls=tls) as other:
        routes = tuple(Route(HOST, port, Security.IMPLICIT_TLS) for port in (player.port, other.port))
        account = {"username": "me", "password": "secret", "tls_ca": authority.ca_path}
        with portmail.Submitter(routes=routes, **account) as mail:  # type: ignore[arg-type]
            with pytest.raises(portmail.AuthenticationFailed):
                mail.send(message())
        assert (player.received + other.received).count(b"AUTH") == 1


def test_a_server_that_quotes_the_login_is_not_quoted(authority: Authority, tls: ssl.SSLContext) -> None:
    said = encoded("\0me\0secret")
    script = login("PLAIN", f'{PLAIN}\nS: 500 5.5.1 unrecognized: "AUTH PLAIN {said}" (secret)')
    with play(script, tls=tls) as player, account(player.port, ca=authority.ca_path) as mail:
        with pytest.raises(portmail.AuthenticationFailed, match='unrecognized: "AUTH PLAIN') as caught:
            mail.send(message())
    assert said.rstrip("=") not in f"{caught.value} {caught.value.attempts}"
    assert "secret" not in f"{caught.value} {caught.value.attempts}"


def test_a_server_that_hangs_up_at_auth_is_not_shown_the_credentials_on_another_route(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    with (
        play(login("PLAIN", f"{PLAIN}\nRESET"), tls=tls) as player,
        play(login("PLAIN", f"{PLAIN}\nRESET"), tls=tls) as other,
    ):
        routes = tuple(Route(HOST, port, Security.IMPLICIT_TLS) for port in (player.port, other.port))
        wishes = {"username": "me", "password": "secret", "tls_ca": authority.ca_path}
        with portmail.Submitter(routes=routes, **wishes) as mail:  # type: ignore[arg-type]
            with pytest.raises(portmail.Unreachable) as caught:
                mail.send(message())
        assert (player.connections, other.connections) == (1, 0)
    assert [attempt.verdict for attempt in caught.value.attempts] == [Verdict.RETRY_LATER]
    assert caught.value.temporary


# Routes without credentials.

WANTS_LOGIN = {
    "530 5.7.0 authentication required": Cause.LOGIN_WANTED,
    "554 5.7.1 access denied": Cause.DENIED,
}


@pytest.mark.parametrize("reply", WANTS_LOGIN)
def test_a_submission_port_that_wants_a_login_does_not_hide_the_relay(reply: str) -> None:
    refusing = f"{HELLO}\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: {reply}"
    with play(refusing) as player, play(f"{ENVELOPE}\nBODY\nS: 250 ok") as other:
        routes = tuple(Route(HOST, port, Security.PLAINTEXT) for port in (player.port, other.port))
        with portmail.Submitter(routes=routes, local_hostname="web1.example") as mail:
            receipt = mail.send(message())
        player.check()
        other.check()
    first, second = receipt.attempts
    assert first.error is not None
    assert (first.error.cause, second.verdict) == (WANTS_LOGIN[reply], Verdict.ACCEPTED)


def test_where_every_route_wants_a_login_that_is_what_is_told() -> None:
    refusing = f"{HELLO}\nC: MAIL *\nS: 530 5.7.0 authentication required"
    with play(refusing) as player, relay(player.port) as mail, pytest.raises(portmail.Rejected) as caught:
        mail.send(message())
    assert "give username and password" in str(caught.value)
    assert not caught.value.temporary


# Greetings.


@pytest.mark.parametrize(
    ("script", "cause", "error"),
    [
        ("S: 554 5.7.1 go away", Cause.REFUSED_PERMANENT, portmail.Rejected),
        ("S: 421 4.3.2 too busy", Cause.REFUSED_TRANSIENT, portmail.Rejected),
        ("S: HTTP/1.1 302 Found\nCLOSE", Cause.PORTAL, portmail.Unreachable),
        ("CLOSE", Cause.DROPPED, portmail.Unreachable),
        ("RESET", Cause.DROPPED, portmail.Unreachable),
        ("SILENCE", Cause.SILENT, portmail.Unreachable),
        ("S: 220-hello\nSILENCE", Cause.SILENT, portmail.Unreachable),
    ],
)
def test_a_greeting_that_is_none_is_given_its_kind(
    script: str, cause: Cause, error: type[portmail.DeliveryError]
) -> None:
    with play(script) as player, relay(player.port, timeouts=Timeouts(greeting=0.3)) as mail:
        with pytest.raises(error) as caught:
            mail.send(message())
    failure = caught.value.attempts[0].error
    assert failure is not None
    assert failure.cause is cause
    # A reset may arrive before we know that we are connected.
    assert failure.phase in (Phase.CONNECT, Phase.GREETING)


def test_tls_on_a_plain_port_is_called_by_its_name(authority: Authority) -> None:
    with play("S: 220 mail.example.com ESMTP") as player:
        with (
            account(player.port, ca=authority.ca_path) as mail,
            pytest.raises(portmail.InsecureChannel) as caught,
        ):
            mail.send(message())
    failure = caught.value.attempts[0].error
    assert failure is not None
    assert failure.cause is Cause.TLS_ON_PLAIN_PORT
    assert "STARTTLS" in failure.advice


def test_silence_on_a_port_with_implicit_tls_is_called_by_its_name(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    with play("TLS\nS: 220 hi", tls=tls) as player:
        route = Route(HOST, player.port, Security.STARTTLS)
        with portmail.Submitter(routes=(route,), retry=None, timeouts=Timeouts(greeting=0.3)) as mail:
            with pytest.raises(portmail.Unreachable, match="implicit TLS"):
                mail.send(message())


def test_a_transient_refusal_is_retried_and_every_attempt_is_told() -> None:
    busy = f"{HELLO}\nC: MAIL *\nS: 451 4.3.0 try again in 0 seconds"
    with play([busy, f"{ENVELOPE}\nBODY\nS: 250 ok"]) as player:
        route = Route(HOST, player.port, Security.PLAINTEXT)
        with portmail.Submitter(routes=(route,), local_hostname="web1.example") as mail:
            receipt = mail.send(message())
        assert player.connections == 2
    assert [attempt.verdict for attempt in receipt.attempts] == [Verdict.RETRY_LATER, Verdict.ACCEPTED]


def test_a_permanent_refusal_is_not_retried() -> None:
    with play(f"{HELLO}\nC: MAIL *\nS: 550 5.1.8 no such sender") as player:
        route = Route(HOST, player.port, Security.PLAINTEXT)
        with portmail.Submitter(
            routes=(route,), local_hostname="web1.example", retry=portmail.Retry(attempts=5)
        ) as mail:
            with pytest.raises(portmail.Rejected):
                mail.send(message())
        assert player.connections == 1
