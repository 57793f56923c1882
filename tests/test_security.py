"""May a credential travel here? The five rules of `portmail.security`, each tried from outside."""

from __future__ import annotations

import ast
import asyncio
import copy
import pickle
import ssl
import threading
import traceback
import warnings
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
import trustme

from portmail import AsyncSubmitter, Submitter, security
from portmail.confidential import Confidential, Mask
from portmail.errors import CredentialsUnusable, InsecureChannel, InvalidRoute
from portmail.reply import Reply
from portmail.security import (
    Credentials,
    PlainChannel,
    Secret,
    SecretKind,
    SecretUnavailable,
    SecureChannel,
    TlsEvidence,
    credentials,
    evidence_of,
)
from portmail.transports.tls import unproven_context, verified_context
from tests.leaks import Scanner

HOST = "mail.example.com"
PASSWORD = "s3cr3t"


class FakeLine:
    """A connection that carries nothing; its transport has this TLS object, or none."""

    def __init__(self, tls: object) -> None:
        self.tls = tls
        self.transport = self

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.tls if name == "ssl_object" else default

    async def command(self, line: Confidential, *, seconds: float) -> Reply:
        pytest.fail(f"{line!r} was said, to be answered in {seconds} s")


def fake_tls(**changes: Any) -> SimpleNamespace:
    """A TLS object that proves everything, with these changes."""
    told: dict[str, Any] = {
        "version": "TLSv1.3",
        "cipher": ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256),
        "server_hostname": HOST,
        "certificate": {"subject": ()},
        "verify_mode": ssl.CERT_REQUIRED,
        "check_hostname": True,
        "hostname_checks_common_name": False,
    }
    told |= changes
    return SimpleNamespace(
        version=lambda: told["version"],
        cipher=lambda: told["cipher"],
        getpeercert=lambda: told["certificate"],
        server_hostname=told["server_hostname"],
        context=SimpleNamespace(**{name: told[name] for name in CONTEXT}),
    )


CONTEXT = ("verify_mode", "check_hostname", "hostname_checks_common_name")


def channel(**changes: Any) -> SecureChannel:
    return SecureChannel(FakeLine(fake_tls(**changes)), host=HOST)


def account(source: Any = PASSWORD) -> Credentials:
    return Credentials("me", Secret(source), SecretKind.PASSWORD)


# Rule 1: a SecureChannel is made of a live transport that proves itself.


def test_a_channel_with_every_proof_is_secure_and_tells_it() -> None:
    assert channel().evidence == TlsEvidence("TLSv1.3", "TLS_AES_256_GCM_SHA384", HOST)
    assert channel(version="TLSv1.2").evidence.version == "TLSv1.2"
    assert channel(server_hostname=HOST.upper()).evidence.peer_name == HOST.upper()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"version": None}, "not encrypted", id="no handshake yet"),
        pytest.param({"version": "TLSv1.1"}, "TLSv1.1 is too old", id="TLS 1.1"),
        pytest.param({"version": "TLSv1"}, "too old", id="TLS 1.0"),
        pytest.param({"version": "SSLv3"}, "too old", id="SSL 3"),
        pytest.param({"version": "DTLSv1.2"}, "too old", id="another protocol"),
        pytest.param({"verify_mode": ssl.CERT_NONE}, f"is {HOST}", id="no certificate required"),
        pytest.param({"verify_mode": ssl.CERT_OPTIONAL}, f"is {HOST}", id="a certificate optional"),
        pytest.param({"check_hostname": False}, f"is {HOST}", id="host name not checked"),
        pytest.param({"hostname_checks_common_name": True}, f"is {HOST}", id="common names believed"),
        pytest.param({"certificate": {}}, f"is {HOST}", id="nothing verified"),
        pytest.param({"certificate": None}, f"is {HOST}", id="no certificate"),
        pytest.param({"server_hostname": "other.example.com"}, f"is {HOST}", id="another host"),
        pytest.param({"server_hostname": None}, f"is {HOST}", id="no host"),
    ],
)
def test_a_channel_that_lacks_one_proof_is_not_made(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InsecureChannel, match=words):
        channel(**changes)
    assert PlainChannel(FakeLine(fake_tls(**changes)))


def test_a_connection_without_tls_is_a_plain_channel_only() -> None:
    line = FakeLine(None)
    assert PlainChannel(line).evidence is None
    assert evidence_of(line) is None
    with pytest.raises(InsecureChannel, match="not encrypted"):
        SecureChannel(line, host=HOST)


def test_unverified_tls_is_evidence_of_no_name() -> None:
    evidence = PlainChannel(FakeLine(fake_tls(verify_mode=ssl.CERT_NONE, cipher=None))).evidence
    assert evidence == TlsEvidence("TLSv1.3", "", None)


# Rule 1 with real TLS, in memory.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(authority: trustme.CA, name: str = HOST) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> FakeLine:
    """A client's line to HOST after a real handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    return FakeLine(ours)


def test_real_tls_with_a_good_certificate_is_secure(authority: trustme.CA, ca_file: Path) -> None:
    line = shaken(verified_context(tls_ca=ca_file), server_context(authority))
    evidence = SecureChannel(line, host=HOST).evidence
    assert (evidence.version, evidence.peer_name) == ("TLSv1.3", HOST)
    assert asyncio.run(account().reveal(SecureChannel(line, host=HOST))) == b"s3cr3t"
    with pytest.raises(InsecureChannel, match=r"is other\.example\.com"):
        SecureChannel(line, host="other.example.com")


def test_real_tls_that_believes_common_names_is_not_secure(authority: trustme.CA, ca_file: Path) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    context.hostname_checks_common_name = True
    with pytest.raises(InsecureChannel, match="nothing proves"):
        SecureChannel(shaken(context, server_context(authority)), host=HOST)


def test_real_tls_that_verifies_nothing_is_not_secure(authority: trustme.CA) -> None:
    line = shaken(unproven_context(), server_context(authority))
    evidence = PlainChannel(line).evidence
    assert evidence
    assert evidence.peer_name is None
    with pytest.raises(InsecureChannel, match="nothing proves"):
        SecureChannel(line, host=HOST)


@pytest.mark.parametrize(
    "name", ["other.example.com", "*.mail.example.com", "127.0.0.1"], ids=["name", "wildcard", "address"]
)
def test_real_tls_with_a_certificate_for_another_host_fails(
    authority: trustme.CA, ca_file: Path, name: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shaken(verified_context(tls_ca=ca_file), server_context(authority, name))


def test_real_tls_with_a_common_name_only_fails(authority: trustme.CA, ca_file: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example.com", common_name=HOST).configure_cert(server)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shaken(verified_context(tls_ca=ca_file), server)


def test_real_tls_of_an_authority_nobody_trusts_fails(authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shaken(verified_context(), server_context(authority))


def test_real_tls_1_1_is_not_possible(authority: trustme.CA, ca_file: Path) -> None:
    server, lenient = server_context(authority), ssl.create_default_context(cafile=str(ca_file))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.minimum_version = lenient.minimum_version = ssl.TLSVersion.TLSv1_1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (server, lenient):
        context.set_ciphers("ALL:@SECLEVEL=0")
    lenient.hostname_checks_common_name = False
    with pytest.raises(InsecureChannel, match=r"TLSv1\.1 is too old"):
        SecureChannel(shaken(lenient, server), host=HOST)
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        shaken(verified_context(tls_ca=ca_file), server)


# Rule 2: the secret is for a SecureChannel, which proves itself again.


def test_credentials_are_revealed_to_a_secure_channel() -> None:
    assert asyncio.run(account().reveal(channel())) == b"s3cr3t"


def never_asked() -> str:
    pytest.fail("the secret was fetched")


class Pretender(SecureChannel):
    """A subclass that asks for no proof."""

    def prove(self) -> TlsEvidence:
        return TlsEvidence("TLSv1.3", "", HOST)


@pytest.mark.parametrize(
    "pretender",
    [
        pytest.param(PlainChannel(FakeLine(fake_tls())), id="a plain channel with the best TLS"),
        pytest.param(Pretender(FakeLine(None), host=HOST), id="a subclass that overrides the proof"),
        pytest.param(SimpleNamespace(prove=lambda: None, host=HOST), id="something of the same shape"),
        pytest.param(None, id="nothing"),
    ],
)
def test_credentials_are_never_revealed_to_anything_else(pretender: Any) -> None:
    with pytest.raises(InsecureChannel, match="SecureChannel only"):
        asyncio.run(account(never_asked).reveal(pretender))


def test_a_channel_that_was_not_made_by_its_constructor_proves_nothing() -> None:
    forged = object.__new__(SecureChannel)
    forged.host, forged.line = HOST, FakeLine(None)
    with pytest.raises(InsecureChannel):
        asyncio.run(account().reveal(forged))


def test_for_a_channel_that_lost_its_tls_the_secret_is_not_even_fetched() -> None:
    line = FakeLine(fake_tls())
    once_secure = SecureChannel(line, host=HOST)
    line.tls = None
    with pytest.raises(InsecureChannel, match="not encrypted"):
        asyncio.run(account(never_asked).reveal(once_secure))


def test_a_channel_that_loses_its_tls_while_the_secret_is_fetched_is_shown_nothing() -> None:
    line = FakeLine(fake_tls())
    secure = SecureChannel(line, host=HOST)

    async def slow() -> str:
        line.tls = None
        return PASSWORD

    with pytest.raises(InsecureChannel, match="not encrypted"):
        asyncio.run(account(slow).reveal(secure))


async def fetched() -> str:
    await asyncio.sleep(0)
    return "pässword"


@pytest.mark.parametrize(
    ("source", "octets"),
    [
        pytest.param("s3cr3t", b"s3cr3t", id="str"),
        pytest.param("pässword", b"p\xc3\xa4ssword", id="UTF-8"),
        pytest.param("\udcff\udcfe", b"\xff\xfe", id="octets that are no UTF-8"),
        pytest.param(lambda: "s3cr3t", b"s3cr3t", id="callable"),
        pytest.param(fetched, b"p\xc3\xa4ssword", id="async callable"),
        pytest.param(partial(fetched), b"p\xc3\xa4ssword", id="callable that returns an awaitable"),
    ],
)
def test_a_secret_is_a_str_or_what_a_callable_returns(source: Any, octets: bytes) -> None:
    assert asyncio.run(account(source).reveal(channel())) == octets


def test_a_callable_is_called_each_time_and_not_before() -> None:
    tokens = iter(["first", "second"])
    rotating = account(lambda: next(tokens))
    assert asyncio.run(rotating.reveal(channel())) == b"first"
    assert asyncio.run(rotating.reveal(channel())) == b"second"


def failing() -> str:
    raise KeyError(PASSWORD)


async def failing_later() -> str:
    raise KeyError(PASSWORD)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param(lambda: b"s3cr3t", "must be a str, not bytes", id="octets"),
        pytest.param(lambda: None, "must be a str, not NoneType", id="None"),
        pytest.param(lambda: "", "must not be empty", id="empty"),
        pytest.param(lambda: "s3cr3t\0", "NUL", id="NUL"),
        pytest.param(lambda: "s3cr3t\ud800", "octets", id="a character of no octets"),
    ],
)
def test_a_callable_that_gives_no_secret_is_told_without_showing_it(source: Any, words: str) -> None:
    with pytest.raises(CredentialsUnusable, match=words) as caught:
        asyncio.run(account(source).reveal(channel()))
    assert PASSWORD not in f"{caught.value} {caught.value!r}"


def leaving() -> str:
    raise SystemExit(PASSWORD)


@pytest.mark.parametrize("source", [failing, failing_later, leaving])
def test_a_callable_that_fails_is_told_without_showing_its_words(source: Any) -> None:
    with pytest.raises(SecretUnavailable, match="the callable for the password: ") as caught:
        asyncio.run(account(source).reveal(channel()))
    assert PASSWORD not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is not None


def test_asyncios_debug_mode_does_not_log_what_a_callable_returns(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0
        assert await account(lambda: PASSWORD).reveal(channel()) == PASSWORD.encode()

    with caplog.at_level("DEBUG", logger="asyncio"):
        asyncio.run(scenario(), debug=True)
    assert "Executing" in caplog.text, "it does log"
    assert PASSWORD not in caplog.text


def test_a_callable_that_blocks_does_not_block_the_loop() -> None:
    def slow() -> str:
        asked.set()
        assert going_on.wait(10), "the loop went on meanwhile"
        return PASSWORD

    async def scenario() -> bytes:
        revealed = asyncio.create_task(account(slow).reveal(channel()))
        while not asked.is_set():  # noqa: ASYNC110  # another thread's
            await asyncio.sleep(0.001)
        going_on.set()
        return await revealed

    asked, going_on = threading.Event(), threading.Event()
    assert asyncio.run(scenario()) == PASSWORD.encode()


@pytest.mark.parametrize("source", [None, b"s3cr3t", 5, "", "s3cr3t\0", "s3cr3t\ud800"], ids=ascii)
def test_what_is_no_secret_is_refused_at_once_and_not_shown(source: Any) -> None:
    with pytest.raises(CredentialsUnusable) as caught:
        Secret(source)
    assert PASSWORD not in repr(caught.value)


@pytest.mark.parametrize("username", ["", "me\0", "me\r\n", "me\x7f", "me\ud800"], ids=ascii)
def test_a_user_name_that_would_break_a_mechanism_is_refused(username: str) -> None:
    with pytest.raises(CredentialsUnusable, match="user name"):
        Credentials(username, Secret(PASSWORD), SecretKind.PASSWORD)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"username": "me", "password": "x"}, SecretKind.PASSWORD, id="password"),
        pytest.param({"username": "me", "token": "x"}, SecretKind.TOKEN, id="token"),
    ],
)
def test_credentials_are_whole_or_none(given: dict[str, str], kind: SecretKind | None) -> None:
    made = credentials(**{"username": None, "password": None, "token": None, **given})
    assert (made.kind if made else None) is kind


# Rule 3: a secret does not print, compare, copy or pickle.


@pytest.mark.parametrize("source", [PASSWORD, lambda: PASSWORD], ids=["str", "callable"])
@pytest.mark.parametrize("shown", [str, repr, format, ascii, "{!r:>30}".format, "%s".__mod__])
def test_a_secret_does_not_print(shown: Callable[[object], str], source: Any) -> None:
    assert PASSWORD not in shown(Secret(source))
    assert PASSWORD not in shown(account(source))
    assert "me" in repr(account(source))


def test_a_secret_does_not_compare() -> None:
    assert Secret(PASSWORD) != Secret(PASSWORD)
    assert account() != account()
    with pytest.raises(TypeError):
        assert Secret("a") < Secret("b")  # type: ignore[operator]


@pytest.mark.parametrize(
    "copying",
    [copy.copy, copy.deepcopy, *(partial(pickle.dumps, protocol=version) for version in range(6))],
    ids=["copy", "deepcopy", *(f"pickle {version}" for version in range(6))],
)
def test_a_secret_does_not_copy_or_pickle(copying: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="a secret is neither copied nor pickled"):
        copying(Secret(PASSWORD))


def test_credentials_do_not_turn_into_data() -> None:
    with pytest.raises(TypeError, match="a secret is neither copied nor pickled"):
        asdict(account())
    with pytest.raises(TypeError, match="a secret is neither copied nor pickled"):
        pickle.dumps(account())
    with pytest.raises(TypeError):
        vars(account().secret)


def test_whoever_walks_over_attributes_does_not_come_to_a_secret() -> None:
    scanner = Scanner(PASSWORD_OF_LENGTH)
    secret = Secret(PASSWORD_OF_LENGTH)
    line = Confidential(PASSWORD_OF_LENGTH.encode(), shown="***", mask=mask())
    assert not any(map(scanner.walk, (secret, line, line.mask, [secret], {"it": line})))
    assert line.octets() == PASSWORD_OF_LENGTH.encode()


def test_a_callable_that_was_cancelled_by_others_is_a_failure_and_no_cancel() -> None:
    async def waits_for_what_was_cancelled() -> str:
        raise asyncio.CancelledError

    with pytest.raises(SecretUnavailable, match="was cancelled"):
        asyncio.run(account(waits_for_what_was_cancelled).reveal(channel()))


def test_a_cancel_while_the_callable_waits_is_a_cancel() -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        async def waits_for_ever() -> str:
            asked.set()
            await asyncio.Event().wait()
            return PASSWORD

        revealed = asyncio.ensure_future(account(waits_for_ever).reveal(channel()))
        await asked.wait()
        revealed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await revealed

    asyncio.run(scenario())


# Rule 5: what is confidential says itself what may be shown, and is blotted out of what is heard.

PASSWORD_OF_LENGTH = "correct horse & battery"
OCTETS = b"correct horse & battery"


def mask(*said: bytes) -> Mask:
    return Mask(PASSWORD_OF_LENGTH.encode(), said=said)


@pytest.mark.parametrize(
    "form",
    [
        OCTETS,
        OCTETS.hex().encode(),
        OCTETS.hex().upper().encode(),
        b"correct%20horse%20%26%20battery",
        b"correct+horse+%26+battery",
        *(b64encode(b"?" * before + OCTETS + b"?" * behind) for before in range(4) for behind in range(3)),
        *(urlsafe_b64encode(b"?" * before + OCTETS) for before in range(3)),
    ],
    ids=ascii,
)
def test_a_secret_is_blotted_out_in_every_form(form: bytes) -> None:
    masked = mask().reply(Reply(535, "5.7.8", f"no, {form.decode()} is wrong"))
    assert "***" in masked.text
    assert not Scanner(PASSWORD_OF_LENGTH).text(masked.text)


def test_what_was_said_is_blotted_out_although_it_is_cut_off() -> None:
    said = mask(b"AG1lAGNvcnJlY3Q=")
    assert said.text("you said AG1lAGNvcnJlY3Q=") == "you said ***="
    assert said.beginning("you said AG1lAGNv") == "you said ***"
    assert said.beginning("you said nothing") == "you said nothing"


def test_a_reply_that_repeats_nothing_is_the_same_reply() -> None:
    reply = Reply(250, "2.0.0", "queued")
    assert mask().reply(reply) is reply


def test_what_is_confidential_shows_what_it_says_itself() -> None:
    line = Confidential(b"AUTH PLAIN AG1l\r\n", shown="AUTH PLAIN ***", mask=mask())
    assert repr(line) == "Confidential('AUTH PLAIN ***')"
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        pickle.dumps(line)


def test_only_what_is_confidential_can_be_said_to_a_secure_channel() -> None:
    assert get_type_hints(security.Line.command)["line"] is Confidential


@pytest.mark.parametrize("door", [AsyncSubmitter, Submitter])
def test_wishes_that_cannot_be_met_leave_no_password_in_frames(
    door: type[AsyncSubmitter | Submitter],
) -> None:
    with pytest.raises(InvalidRoute) as caught:
        door(host="mail.example.com", port=0, username="me", password=PASSWORD_OF_LENGTH)
    scanner = Scanner(PASSWORD_OF_LENGTH, own=lambda name: name == __file__)
    assert scanner.error(caught.value) == []
    # Trackers print every variable: also a submitter that was never finished.
    assert traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack


# Rule 4: no function takes a PlainChannel and Credentials.


def annotations_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names of types that a function takes."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    trees = [argument.annotation for argument in arguments if argument.annotation]
    return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_no_function_takes_credentials_and_anything_less_than_a_secure_channel() -> None:
    taking = {
        node.name: annotations_of(node) & {"Channel", "PlainChannel", "SecureChannel", "Line", "Wire"}
        for path in Path(security.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and ("Credentials" in annotations_of(node) or node.name == "reveal")
    }
    assert taking["authenticate"] == taking["reveal"] == {"SecureChannel"}
    assert all(channels <= {"SecureChannel"} for channels in taking.values())
