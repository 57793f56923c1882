"""Something on the way is hostile or broken: no credential and no message is ever shown to it."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import portmail
from portmail import Cause, Route, Security
from portmail.failure import Phase
from portmail.sandbox import Sandbox
from portmail.sandbox.certificates import Authority
from tests.leaks import PASSWORD, USER, traces
from tests.messages import RECIPIENT, message
from tests.servers.dialogue import Player, play

HOST = "127.0.0.1"
TOKEN = "ya29.a-token-of-some-length"
TEXT = "the body that nobody may read\n"


@dataclass(frozen=True)
class Certificates:
    """Server contexts: one good, the others each wrong in one way. `ca` is the file that the user trusts."""

    ca: Path
    contexts: dict[str, ssl.SSLContext]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    trusted = Authority(tmp_path_factory.mktemp("trusted"))
    other = Authority(tmp_path_factory.mktemp("other"))
    past = datetime(2020, 1, 1, tzinfo=UTC)
    return Certificates(
        trusted.ca_path,
        {
            "good": trusted.server_context(HOST),
            "wrong host": trusted.server_context("elsewhere.example"),
            "expired": trusted.server_context(HOST, not_after=past),
            "not yet valid": trusted.server_context(HOST, not_before=datetime(2100, 1, 1, tzinfo=UTC)),
            "untrusted": other.server_context(HOST),
        },
    )


GREETING = """
    S: 220 mail.example.com ESMTP
    C: EHLO *
"""

OFFERED = f"""{GREETING}
    S: 250-mail.example.com
    S: 250-AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2
    S: 250 STARTTLS
    C: STARTTLS
"""

GLUED_TO_THE_GREETING = r"""
    RAW "220 hi\r\n250-mail.example.com\r\n250 AUTH PLAIN\r\n"
    C: EHLO *
    S: 250 mail.example.com
"""

# What stands between us and the server on 587, and what portmail must call it.
STARTTLS_ATTACKS = {
    "stripped": (
        f"{GREETING}S: 250-mail.example.com\nS: 250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2",
        Cause.CLEAR_AUTH,
    ),
    "masked": (
        f"{GREETING}S: 250-mail.example.com\nS: 250-XXXXXXXA\nS: 250 AUTH PLAIN LOGIN",
        Cause.STARTTLS_STRIPPED,
    ),
    "offered only as a part of another word": (
        f"{GREETING}S: 250-mail.example.com\nS: 250-XSTARTTLS\nS: 250 AUTH PLAIN",
        Cause.CLEAR_AUTH,
    ),
    "offered only in the greeting": (
        "S: 220 mail.example.com ESMTP STARTTLS\nC: EHLO *\nS: 250 mail.example.com",
        Cause.STARTTLS_NOT_OFFERED,
    ),
    "refused for now": (f"{OFFERED}S: 454 4.7.0 TLS not available", Cause.STARTTLS_REFUSED),
    "refused for ever": (f"{OFFERED}S: 502 5.5.1 not implemented", Cause.STARTTLS_REFUSED),
    "answered with another code": (f"{OFFERED}S: 250 2.0.0 fine", Cause.STARTTLS_REFUSED),
    "answered, then plain text": (f"{OFFERED}S: 220 go\nPLAINTEXT\nS: 250 ok", Cause.TLS_ON_PLAIN_PORT),
    "answered, then closed": (f"{OFFERED}S: 220 go\nPLAINTEXT\nCLOSE", Cause.TLS_FAILED),
    "answered, then reset": (f"{OFFERED}S: 220 go\nPLAINTEXT\nRESET", Cause.TLS_FAILED),
    "answered, with replies glued behind": (
        f'{OFFERED}RAW "220 go\\r\\n250-mail.example.com\\r\\n250 AUTH PLAIN\\r\\n"',
        Cause.STARTTLS_INJECTION,
    ),
    "answered, with half a reply glued behind": (
        f'{OFFERED}RAW "220 go\\r\\n250-mail"',
        Cause.STARTTLS_INJECTION,
    ),
    "EHLO refused": (f"{GREETING}S: 502 5.5.1 no EHLO here", Cause.REFUSED_PERMANENT),
    "a yes glued to the EHLO reply": (
        f'{GREETING}RAW "250-mail.example.com\\r\\n250 STARTTLS\\r\\n220 go\\r\\n"',
        Cause.SURPRISE,
    ),
    "an EHLO reply glued to the greeting": (
        GLUED_TO_THE_GREETING,
        Cause.SURPRISE,
    ),
}

OTHER_ERRORS = {Cause.REFUSED_PERMANENT: portmail.Rejected, Cause.SURPRISE: portmail.Unreachable}

# Attacks of which portmail may say one thing or another, since chance decides what comes first.
UNSURE = {"answered, then closed", "answered, then reset"}


def submitter(*routes: Route, ca: Path, token: str | None = None) -> portmail.Submitter:
    secret = {"token": token} if token else {"password": PASSWORD}
    return portmail.Submitter(
        routes=routes,
        username=USER,
        tls_ca=ca,
        retry=None,
        timeouts=10,
        **secret,  # type: ignore[arg-type]
    )


def assert_nothing_shown(player: Player) -> None:
    player.check()
    assert traces(player.plaintext) == []
    assert b"AUTH" not in player.plaintext
    assert b"MAIL" not in player.received
    assert TEXT.encode().strip() not in player.received


@pytest.mark.parametrize("attack", STARTTLS_ATTACKS)
def test_on_the_only_route_the_attack_is_named_and_nothing_is_shown(
    attack: str, certificates: Certificates
) -> None:
    script, cause = STARTTLS_ATTACKS[attack]
    with play(script, tls=certificates.contexts["good"]) as player:
        route = Route(HOST, player.port, Security.STARTTLS)
        with submitter(route, ca=certificates.ca) as mail, pytest.raises(portmail.DeliveryError) as caught:
            mail.send(message(text=TEXT))
        assert_nothing_shown(player)
    (attempt,) = caught.value.attempts
    assert attempt.error is not None
    assert attempt.error.cause is cause or attack in UNSURE
    assert isinstance(caught.value, OTHER_ERRORS.get(cause, portmail.InsecureChannel))


@pytest.mark.parametrize("attack", STARTTLS_ATTACKS)
def test_a_good_route_behind_an_attacked_one_is_still_used(
    attack: str, certificates: Certificates, sandbox: Sandbox
) -> None:
    script, _ = STARTTLS_ATTACKS[attack]
    with play(script, tls=certificates.contexts["good"]) as player, ExitStack() as stack:
        bundle = certificates.ca.parent / "both.pem"
        bundle.write_bytes(certificates.ca.read_bytes() + sandbox.ca.read_bytes())
        attacked = Route(HOST, player.port, Security.STARTTLS)
        good = Route(HOST, sandbox.port(465), Security.IMPLICIT_TLS)
        receipt = stack.enter_context(submitter(attacked, good, ca=bundle)).send(message(text=TEXT))
        assert_nothing_shown(player)
    assert receipt.route == good
    assert [attempt.route for attempt in receipt.attempts] == [attacked, good]
    assert receipt.attempts[0].error is not None
    assert sandbox.messages[-1].username == USER


CERTIFICATE_CAUSES = {
    "wrong host": Cause.CERTIFICATE_NAME,
    "expired": Cause.CERTIFICATE_EXPIRED,
    "not yet valid": Cause.CERTIFICATE_EXPIRED,
    "untrusted": Cause.CERTIFICATE_UNTRUSTED,
}


@pytest.mark.parametrize("wrong", CERTIFICATE_CAUSES)
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.IMPLICIT_TLS])
def test_a_wrong_certificate_is_refused_before_anything_is_shown(
    wrong: str, security: Security, certificates: Certificates
) -> None:
    script = "TLS" if security is Security.IMPLICIT_TLS else f"{OFFERED}S: 220 go\nTLS"
    with play(script, tls=certificates.contexts[wrong]) as player:
        route = Route(HOST, player.port, security)
        with submitter(route, ca=certificates.ca) as mail, pytest.raises(portmail.InsecureChannel) as caught:
            mail.send(message(text=TEXT))
        assert traces(player.received) == []
        assert b"AUTH" not in player.received
    (attempt,) = caught.value.attempts
    assert attempt.error is not None
    assert attempt.error.cause is CERTIFICATE_CAUSES[wrong]
    assert "No credential was shown" in str(caught.value)


@pytest.mark.parametrize("wrong", CERTIFICATE_CAUSES)
def test_a_good_route_behind_a_wrong_certificate_is_still_used(
    wrong: str, certificates: Certificates, sandbox: Sandbox
) -> None:
    bundle = certificates.ca.parent / "both.pem"
    bundle.write_bytes(certificates.ca.read_bytes() + sandbox.ca.read_bytes())
    with play(f"{OFFERED}S: 220 go\nTLS", tls=certificates.contexts[wrong]) as player:
        bad, good = Route(HOST, player.port, Security.STARTTLS), sandbox.routes[1]
        with submitter(bad, good, ca=bundle) as mail:
            receipt = mail.send(message(text=TEXT))
        assert traces(player.received) == []
    assert receipt.route == good
    assert receipt.attempts[0].error is not None
    assert receipt.attempts[0].error.cause is CERTIFICATE_CAUSES[wrong]


@pytest.mark.parametrize("wrong", CERTIFICATE_CAUSES)
def test_with_a_wrong_certificate_on_every_route_nothing_is_shown_on_any(
    wrong: str, certificates: Certificates
) -> None:
    context = certificates.contexts[wrong]
    with play(f"{OFFERED}S: 220 go\nTLS", tls=context) as first, play("TLS", tls=context) as second:
        routes = (
            Route(HOST, first.port, Security.STARTTLS),
            Route(HOST, second.port, Security.IMPLICIT_TLS),
        )
        with (
            submitter(*routes, ca=certificates.ca) as mail,
            pytest.raises(portmail.InsecureChannel) as caught,
        ):
            mail.send(message(text=TEXT))
        assert traces(first.received + second.received) == []
        assert b"AUTH" not in first.received + second.received
    assert [a.error.cause for a in caught.value.attempts if a.error] == [CERTIFICATE_CAUSES[wrong]] * 2


@pytest.mark.parametrize("kind", ["password", "token"])
def test_with_every_port_stripped_nothing_is_shown_on_any_of_them(kind: str, sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    routes = (
        Route(HOST, sandbox.port(587), Security.STARTTLS),
        Route(HOST, sandbox.port(465), Security.IMPLICIT_TLS),
        Route(HOST, sandbox.port(25), Security.STARTTLS),
    )
    token = TOKEN if kind == "token" else None
    with (
        submitter(*routes, ca=sandbox.ca, token=token) as mail,
        pytest.raises(portmail.InsecureChannel) as caught,
    ):
        mail.send(message(text=TEXT))
    plaintext = b"".join(session.plaintext for session in sandbox.sessions)
    assert traces(plaintext, secrets=(USER, PASSWORD, TOKEN)) == []
    assert sum(session.authentications for session in sandbox.sessions) == 0
    assert sandbox.messages == ()
    assert len(caught.value.attempts) == 3
    assert not caught.value.temporary


def test_capabilities_from_before_tls_are_forgotten(certificates: Certificates) -> None:
    script = f"""{OFFERED}
        S: 220 go ahead
        TLS
        C: EHLO *
        S: 250-mail.example.com
        S: 250 SIZE 1000
    """
    with play(script, tls=certificates.contexts["good"]) as player:
        route = Route(HOST, player.port, Security.STARTTLS)
        with submitter(route, ca=certificates.ca) as mail, pytest.raises(portmail.NoMechanism) as caught:
            mail.send(message())
        assert_nothing_shown(player)
    assert "offers no AUTH at all" in str(caught.value)


@pytest.mark.parametrize("glued", ["235 2.7.0 welcome\\r\\n", "334 \\r\\n", "250 ok\\r\\n", "23"])
def test_what_comes_before_the_login_is_no_answer_to_it(
    glued: str, certificates: Certificates, sandbox: Sandbox
) -> None:
    script = f"""{OFFERED}
        S: 220 go ahead
        TLS
        C: EHLO *
        RAW "250-mail.example.com\\r\\n250 AUTH PLAIN\\r\\n{glued}"
    """
    bundle = certificates.ca.parent / "both.pem"
    bundle.write_bytes(certificates.ca.read_bytes() + sandbox.ca.read_bytes())
    with play(script, tls=certificates.contexts["good"]) as player:
        routes = (Route(HOST, player.port, Security.STARTTLS), sandbox.routes[1])
        with submitter(*routes, ca=bundle) as mail:
            receipt = mail.send(message(text=TEXT))
        assert_nothing_shown(player)
    error = receipt.attempts[0].error
    assert error is not None
    assert (error.phase, error.cause) == (Phase.EHLO, Cause.SURPRISE)
    assert receipt.route == routes[1]


def test_the_user_name_alone_is_not_shown_either(certificates: Certificates) -> None:
    with play(STARTTLS_ATTACKS["stripped"][0]) as player:
        route = Route(HOST, player.port, Security.STARTTLS)
        with submitter(route, ca=certificates.ca) as mail, pytest.raises(portmail.InsecureChannel):
            mail.send(message())
        assert USER.encode() not in player.plaintext
        assert base64.b64encode(USER.encode()) not in player.plaintext
        assert RECIPIENT.encode() not in player.plaintext


def relay_behind(player: Player, sandbox: Sandbox) -> Iterator[Route]:
    yield Route(HOST, player.port, Security.STARTTLS)
    yield Route(HOST, sandbox.port(25), Security.OPPORTUNISTIC)


def test_without_credentials_an_attack_does_not_push_the_message_onto_a_weaker_route(
    sandbox: Sandbox,
) -> None:
    with play(STARTTLS_ATTACKS["stripped"][0]) as player:
        routes = tuple(relay_behind(player, sandbox))
        with portmail.Submitter(routes=routes, retry=None) as mail:
            with pytest.raises(portmail.InsecureChannel) as caught:
                mail.send(message())
    causes = [attempt.error.cause for attempt in caught.value.attempts if attempt.error]
    assert causes == [Cause.CLEAR_AUTH, Cause.WEAKER]
    assert sandbox.messages == ()
    assert sandbox.sessions == ()


IN_ITS_PLACE = {
    "AUTH": ("S: 250-m\nS: 250 AUTH PLAIN LOGIN", Cause.CLEAR_AUTH, ""),
    "AUTH as some old servers write it": ("S: 250-m\nS: 250 AUTH=LOGIN", Cause.CLEAR_AUTH, ""),
    "nothing": ("S: 250-m\nS: 250 PIPELINING", Cause.STARTTLS_NOT_OFFERED, ""),
    "AUTH without a mechanism": ("S: 250-m\nS: 250 AUTH", Cause.STARTTLS_NOT_OFFERED, ""),
    "a mask and AUTH": (
        "S: 250-m\nS: 250-XXXXXXXA\nS: 250 AUTH PLAIN",
        Cause.STARTTLS_STRIPPED,
        "XXXXXXXA stands in its place",
    ),
}


@pytest.mark.parametrize("offer", IN_ITS_PLACE)
def test_what_is_offered_in_place_of_starttls_is_told(offer: str, certificates: Certificates) -> None:
    lines, cause, detail = IN_ITS_PLACE[offer]
    with play(f"{GREETING}{lines}") as player:
        route = Route(HOST, player.port, Security.STARTTLS)
        with submitter(route, ca=certificates.ca) as mail, pytest.raises(portmail.InsecureChannel) as caught:
            mail.send(message())
        assert_nothing_shown(player)
    [attempt] = caught.value.attempts
    assert attempt.error
    assert (attempt.error.cause, attempt.error.detail) == (cause, detail)
    assert ("passwords in clear" in str(caught.value)) is (cause is Cause.CLEAR_AUTH)


def test_a_server_with_starttls_and_auth_in_clear_is_none_of_that(sandbox: Sandbox) -> None:
    sandbox.strip_starttls()
    with (
        submitter(sandbox.routes[0], ca=sandbox.ca) as mail,
        pytest.raises(portmail.InsecureChannel) as caught,
    ):
        mail.send(message())
    assert "passwords in clear" in str(caught.value)
    sandbox.behave()
    with submitter(sandbox.routes[0], ca=sandbox.ca) as mail:
        assert mail.send(message()).route == sandbox.routes[0]
