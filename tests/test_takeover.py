"""Is aiosmtplib what the take-over relies on? Its names, and what becomes of a connection that it opens.

`python -m tests.proof.contract_aiosmtplib` runs this, and more, with every version that is allowed.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtplib.protocol import SMTPProtocol

from portmail.cause import Cause
from portmail.failure import Failure, Phase, RouteFailed
from portmail.reply import Reply
from portmail.route import Route
from portmail.sandbox.certificates import Authority
from portmail.security import Security, evidence_of
from portmail.timeouts import Deadline, Timeouts
from portmail.transports.smtp import greeted
from portmail.transports.tls import cause_of
from tests.proof.contract_aiosmtplib import END, FIRST, allowed
from tests.servers.dialogue import play

HOST = "127.0.0.1"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def taken_over(
    port: int,
    *,
    security: Security = Security.PLAINTEXT,
    ca: Path | None = None,
    seconds: float = 10,
    then: tuple[bytes, ...] = (),
) -> list[Reply]:
    """Connect, have the connection greeted by aiosmtplib, and say the rest over the `Wire`."""
    sock = socket.create_connection((HOST, port))
    sock.setblocking(False)
    wire = await greeted(
        sock,
        route=Route(HOST, port, security),
        context=ssl.create_default_context(cafile=ca),
        local_hostname="web1.example",
        deadline=Deadline(Timeouts(connect=seconds, greeting=seconds, total=60)),
    )
    try:
        assert (evidence_of(wire.transport) is not None) is (security is Security.IMPLICIT_TLS)
        return [await wire.command(line, seconds=10) for line in then]
    finally:
        await wire.leave()


def refused(
    script: str, *, authority: Authority, security: Security = Security.PLAINTEXT, seconds: float = 10
) -> Failure:
    """How a connection fails whose server does what the script says."""
    with play(script, tls=authority.server_context(HOST)) as player, pytest.raises(RouteFailed) as caught:
        asyncio.run(taken_over(player.port, security=security, seconds=seconds))
    return caught.value.failure


def test_a_connection_is_told_all_that_the_take_over_tells_it() -> None:
    known = inspect.signature(aiosmtplib.SMTP).parameters
    wanted = {"hostname", "sock", "use_tls", "start_tls", "local_hostname", "timeout"}
    assert wanted - known.keys() == set()
    assert aiosmtplib.SMTP().transport is None


def test_what_it_has_read_and_not_used_can_be_seen() -> None:
    async def made() -> object:
        return vars(SMTPProtocol(loop=asyncio.get_running_loop()))["_buffer"]

    assert asyncio.run(made()) == b""


def test_its_exceptions_are_those_that_the_take_over_reads() -> None:
    unwelcome = aiosmtplib.SMTPConnectResponseError(554, "no")
    assert isinstance(unwelcome, aiosmtplib.SMTPException)
    assert (unwelcome.code, unwelcome.message) == (554, "no")
    assert issubclass(aiosmtplib.SMTPResponseException, aiosmtplib.SMTPException)
    answer = aiosmtplib.SMTPResponseException(421, "later")
    assert (answer.code, answer.message) == (421, "later")


def test_nothing_is_said_before_the_take_over_and_all_replies_are_heard_after_it() -> None:
    script = "S: 220-mail.example.com\nS: 220 ESMTP\nC: NOOP\nS: 250 one\nC: RSET\nS: 250 2.0.0 two"
    with play(script) as player:
        replies = asyncio.run(taken_over(player.port, then=(b"NOOP\r\n", b"RSET\r\n")))
        player.check()
        assert player.transcripts[0][2:4] == ["C: NOOP", "S: 250 one"]
    assert replies == [Reply(250, None, "one"), Reply(250, "2.0.0", "two")]


def test_implicit_tls_is_spoken_and_its_transport_taken_over(authority: Authority) -> None:
    script = "TLS\nS: 220 mail.example.com\nC: NOOP\nS: 250 ok"
    with play(script, tls=authority.server_context(HOST)) as player:
        work = taken_over(
            player.port, security=Security.IMPLICIT_TLS, ca=authority.ca_path, then=(b"NOOP\r\n",)
        )
        assert asyncio.run(work) == [Reply(250, None, "ok")]
        player.check()
        assert b"NOOP" not in player.plaintext


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        pytest.param("S: 554 5.3.2 no service here", Cause.REFUSED_PERMANENT, id="no"),
        pytest.param("S: 421 4.3.2 too busy", Cause.REFUSED_TRANSIENT, id="not now"),
        pytest.param("S: HTTP/1.1 400 Bad Request", Cause.PORTAL, id="another protocol"),
        pytest.param("S: 250 hello", Cause.NOT_SMTP, id="a reply that is no greeting"),
        pytest.param("CLOSE", Cause.DROPPED, id="closed"),
        pytest.param("RESET", Cause.DROPPED, id="reset"),
    ],
)
def test_an_unfriendly_greeting_is_told_for_what_it_is(
    script: str, cause: Cause, authority: Authority
) -> None:
    failure = refused(script, authority=authority)
    assert (failure.phase, failure.cause) == (Phase.GREETING, cause)


def test_a_refusal_keeps_its_code_and_its_words(authority: Authority) -> None:
    failure = refused("S: 554-5.3.2 no service\nS: 554 5.3.2 here", authority=authority)
    assert failure.reply == Reply(554, "5.3.2", "no service\nhere")


def test_silence_is_a_timeout(authority: Authority) -> None:
    assert refused("SILENCE", authority=authority, seconds=0.1) == Failure(Phase.GREETING, Cause.SILENT)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        pytest.param("TLS\nS: 220 hello", Cause.CERTIFICATE_UNTRUSTED, id="a certificate of nobody"),
        pytest.param("S: 220 hello", Cause.TLS_ON_PLAIN_PORT, id="no TLS"),
        pytest.param("CLOSE", Cause.DROPPED, id="closed"),
    ],
)
def test_a_handshake_that_fails_says_why(script: str, cause: Cause, authority: Authority) -> None:
    failure = refused(script, authority=authority, security=Security.IMPLICIT_TLS)
    assert (failure.phase, failure.cause) == (Phase.TLS, cause)


def test_the_contract_is_with_all_versions_that_an_installation_may_get() -> None:
    first, end = (".".join(map(str, version)) for version in (FIRST, END))
    assert f'"aiosmtplib>={first},<{end}"' in PYPROJECT.read_text("utf-8")
    listing = "aiosmtplib (6.0.0)\nAvailable versions: 6.0.0, 5.2.0, 5.1.10, 5.1.4rc1, 5.1.3, 5.1.2, 4.0.2\n"
    assert allowed(listing) == ["5.1.3", "5.1.10", "5.2.0"]
    assert allowed("aiosmtplib (5.1.2)\n") == []


@pytest.mark.parametrize("cut", [ssl.SSLEOFError, ssl.SSLWantReadError, ssl.SSLWantWriteError])
def test_a_handshake_that_was_cut_off_is_no_complaint_of_tls(cut: type[ssl.SSLError]) -> None:
    assert cause_of(cut("operation did not complete")) is None
