"""What is a certificate refused for, and is that what the server showed? Handshakes in memory."""

from __future__ import annotations

import ssl
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from portmail import InsecureChannel, Route, Security, Submitter
from portmail.cause import FACTS, Cause, Nature
from portmail.errors import CertificateFileError
from portmail.transports import shown
from portmail.transports.tls import CertificateRefused, cause_of, unproven_context, verified_context
from tests.cases import cases
from tests.proof.certificates.ca import AUTHORITY, PAST, Wish, World, issue
from tests.proof.certificates.cases import CASES, HOST, OTHER, Case, Due
from tests.proof.certificates.odd import server_context
from tests.servers.dialogue import play

IN_MEMORY = [case for case in CASES if not (case.change or case.own or case.drip)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def shaken(client: ssl.SSLContext, server: ssl.SSLContext, *, host: str = HOST) -> ssl.SSLObject:
    """The client's end after the handshake, or whatever that raised there."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ours


def refused(pem: bytes, *, world: World, host: str = HOST, ca: Path | None = None) -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as caught:
        shaken(verified_context(tls_ca=ca or world.ca), server_context(str(world.file(pem))), host=host)
    return caught.value


def told(error: ssl.SSLError) -> str:
    found = cause_of(error)
    assert found
    assert FACTS[found[0]].nature is Nature.INSECURE
    return found[1]


# Each takes as long as ten others.
LARGE = ("10,000 names", "10,000 wrong names", "a certificate of 250 kB")


@pytest.mark.parametrize(
    "case",
    cases(IN_MEMORY, daily=[case for case in IN_MEMORY if case.name not in LARGE[1:]]),
    ids=lambda case: case.name,
)
def test_every_certificate_is_believed_or_refused_for_what_is_wrong_with_it(case: Case, world: World) -> None:
    pem = case.shown(world)
    if case.due is Due.ACCEPT:
        server = server_context(str(world.file(pem)))
        assert shaken(verified_context(tls_ca=world.ca), server, host=case.host).version()
        return
    text = told(refused(pem, world=world, host=case.host))
    assert [words for words in case.told if words not in text] == []
    assert len(text) < 400
    assert text.isprintable()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_what_was_shown_is_told_with_every_version_of_tls(version: ssl.TLSVersion, world: World) -> None:
    server = server_context(str(world.file(issue(Wish(hosts=(OTHER,)), by=world.root).chain())))
    server.minimum_version = server.maximum_version = version
    with pytest.raises(CertificateRefused) as caught:
        shaken(verified_context(tls_ca=world.ca), server)
    assert cause_of(caught.value) == (Cause.CERTIFICATE_NAME, f"it is for {OTHER}, not for {HOST}")


@pytest.fixture(params=["no such method", "no such attribute", "no such field", "nothing shown"])
def _withheld(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does not let anybody see what was shown, in one way or another."""

    def chain(of: ssl.SSLObject) -> list[dict[str, Any]]:
        if request.param == "no such field":
            return [{}]
        if request.param == "nothing shown":
            return []
        raise {"no such method": AttributeError, "no such attribute": KeyError}[request.param]

    monkeypatch.setattr(shown, "_chain", chain)


@pytest.mark.usefixtures("_withheld")
def test_where_python_withholds_what_was_shown_the_words_of_openssl_are_told(world: World) -> None:
    error = refused(issue(Wish(hosts=(OTHER,)), by=world.root).chain(), world=world)
    assert cause_of(error) == (
        Cause.CERTIFICATE_NAME,
        f"Hostname mismatch, certificate is not valid for '{HOST}'.",
    )
    assert told(refused(issue(Wish()).chain(), world=world)) == "self-signed certificate"


def test_a_trusted_root_that_has_expired_is_told_though_the_server_did_not_show_it(world: World) -> None:
    old = issue(AUTHORITY.but(name="Old Root", since=PAST - timedelta(9), until=PAST))
    error = refused(issue(Wish(), by=old).chain(), world=world, ca=world.file(old.pem))
    assert cause_of(error) == (Cause.CERTIFICATE_EXPIRED, "certificate has expired")


def test_what_is_not_in_the_chain_is_not_blamed(world: World) -> None:
    stray = issue(AUTHORITY.but(name="Stray", since=PAST - timedelta(9), until=PAST))
    leaf = issue(Wish(since=PAST - timedelta(9), until=PAST.replace(year=2021)), by=world.root)
    assert told(refused(leaf.chain(stray.der), world=world)) == "it expired on 2021-01-01"


def test_authorities_that_vouch_for_each_other_are_not_followed_for_ever(world: World) -> None:
    here, there = (issue(AUTHORITY.but(name=name)) for name in ("Here", "There"))
    leaf, one, other = (
        issue(Wish(), by=here),
        issue(AUTHORITY.but(name="Here"), by=there),
        issue(AUTHORITY.but(name="There"), by=here),
    )
    text = told(refused(leaf.chain(one.der, other.der), world=world))
    assert text == "issued by 'Here', which is neither trusted nor sent along by the server"


def test_a_private_authority_made_without_care_is_refused_alike_on_every_python(world: World) -> None:
    flags = verified_context(tls_ca=world.ca).verify_flags
    assert flags & ssl.VERIFY_X509_STRICT
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    error = refused(issue(Wish(), by=world.lax).chain(), world=world)
    assert cause_of(error) == (
        Cause.CERTIFICATE_INVALID,
        "CA cert does not include key usage extension, against RFC 5280, issued by 'Lax Root'",
    )
    assert "private CA" in FACTS[Cause.CERTIFICATE_INVALID].advice


def test_an_intermediate_authority_can_be_trusted_by_itself(world: World) -> None:
    server = server_context(str(world.file(issue(Wish(), by=world.issuer).chain())))
    assert shaken(verified_context(tls_ca=world.file(world.issuer.pem)), server).version()


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("reason", "cause", "words"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", Cause.TLS_FAILED, "no TLS that is new enough"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", Cause.CLIENT_CERTIFICATE, "certificate required"),
        ("TLSV1_ALERT_UNKNOWN_CA", Cause.CLIENT_CERTIFICATE, "unknown ca"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", Cause.TLS_FAILED, "no cipher in common"),
        ("TLSV1_ALERT_INTERNAL_ERROR", Cause.TLS_FAILED, "tlsv1 alert internal error"),
        ("WRONG_VERSION_NUMBER", Cause.TLS_ON_PLAIN_PORT, "wrong version number"),
    ],
)
def test_an_alert_is_told_for_what_it_means(reason: str, cause: Cause, words: str) -> None:
    found = cause_of(alert(reason))
    assert found
    assert found[0] is cause
    assert words in found[1]


def test_an_old_server_is_told_to_be_old(world: World) -> None:
    server = server_context(str(world.file(issue(Wish(), by=world.root).chain())))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.minimum_version, server.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        shaken(verified_context(tls_ca=world.ca), server)


def test_a_server_cannot_renegotiate() -> None:
    for context in (verified_context(), unproven_context()):
        assert context.options & ssl.OP_NO_RENEGOTIATION


# Our own, with its key in a file of its own.


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


class Papers:
    """A certificate of ours with its key, each in a file; and a server that wants to see one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = trustme.CA()
        self.ca = self.file("ca.pem", self._authority.cert_pem)
        first, second = (self._authority.issue_cert("me@example.org") for _ in range(2))
        self.cert, self.key = self.pair("me", first)
        self.both = self.file("both.pem", *first.cert_chain_pems, first.private_key_pem)
        self.other_cert, self.other_key = self.pair("other", second)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A refusal that comes after the client's end is done would not be seen in memory.
        self.server.maximum_version = ssl.TLSVersion.TLSv1_2
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.load_verify_locations(cafile=self.ca)
        self._authority.issue_cert(HOST, "localhost").configure_cert(self.server)

    def pair(self, name: str, leaf: trustme.LeafCert) -> tuple[Path, Path]:
        return (
            self.file(f"{name}.pem", *leaf.cert_chain_pems),
            self.file(f"{name}.key", leaf.private_key_pem),
        )

    def file(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self.folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path


def test_certificate_and_key_in_two_files_are_shown_as_those_in_one(papers: Papers) -> None:
    for files in ({"client_cert": papers.both}, {"client_cert": papers.cert, "client_key": papers.key}):
        assert shaken(verified_context(tls_ca=papers.ca, **files), papers.server).version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shaken(verified_context(tls_ca=papers.ca), papers.server)


@pytest.mark.parametrize("files", [{"client_key": "me.key"}, {}], ids=["two files", "one file"])
def test_they_reach_a_server_that_wants_them_through_a_submitter(
    papers: Papers, files: dict[str, str]
) -> None:
    own: dict[str, Any] = {name: papers.folder / file for name, file in files.items()}
    cert = papers.cert if files else papers.both
    hello = "TLS\nS: 220 hi\nC: EHLO *\nS: 250 m\n"
    with play(hello, tls=papers.server, host="localhost") as player:
        route = Route("localhost", player.port, Security.IMPLICIT_TLS)
        wishes: dict[str, Any] = {"routes": (route,), "tls_ca": papers.ca, "retry": None}
        with Submitter(client_cert=cert, **own, **wishes) as mail:
            assert mail.connect().tls
        with Submitter(**wishes) as mail, pytest.raises(InsecureChannel):
            mail.connect()


@pytest.mark.parametrize(
    ("cert", "key", "named"),
    [
        ("me.pem", "other.key", "me.pem with"),
        ("me.pem", "me.pem", "me.pem with"),
        ("me.key", "me.pem", "me.key with"),
        ("me.pem", "nowhere.key", "client_key: "),
        ("nowhere.pem", "me.key", "client_cert: "),
    ],
)
def test_files_that_do_not_go_together_are_told(papers: Papers, cert: str, key: str, named: str) -> None:
    with pytest.raises(CertificateFileError) as caught:
        verified_context(client_cert=papers.folder / cert, client_key=papers.folder / key)
    assert named in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_key_of_another_certificate_is_told_for_that(papers: Papers) -> None:
    with pytest.raises(CertificateFileError) as caught:
        verified_context(client_cert=papers.cert, client_key=papers.other_key)
    assert "no certificate could be read" not in str(caught.value)


def test_a_key_that_was_replaced_is_read_again(papers: Papers, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(papers.cert.read_bytes())
    key.write_bytes(papers.key.read_bytes())
    first = verified_context(client_cert=cert, client_key=key)
    assert verified_context(client_cert=cert, client_key=key) is first
    replacement = tmp_path / "new"
    replacement.write_bytes(papers.other_key.read_bytes())
    replacement.replace(key)
    with pytest.raises(CertificateFileError):  # it is of another certificate now
        verified_context(client_cert=cert, client_key=key)
    replacement.write_bytes(papers.other_cert.read_bytes())
    replacement.replace(cert)
    assert verified_context(client_cert=cert, client_key=key) is not first
