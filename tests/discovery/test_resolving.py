"""What does DNS say, and who vouches for it? Real Knot and Unbound, and resolvers that are silent or lie."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from portmail.candidate import Answer
from portmail.discovery.outside import Missed, Mx, Srv
from portmail.discovery.resolving import MOST, Resolver, _on_loopback
from portmail.search import Discovery, Validation
from tests.servers import knot, unbound
from tests.servers.knot import Knot
from tests.servers.requirements import require
from tests.servers.unbound import Unbound

T = TypeVar("T")

BIG = [b"%d" % number + b"x" * 200 for number in range(20)]
PLAIN = """\
_submissions._tcp SRV 10 5 465 Mail
_submissions._tcp SRV 0 1 465 MAIL.Elsewhere.TEST.
_submission._tcp SRV 0 0 0 .
@ MX 20 mx2
@ MX 10 MX1.elsewhere.test.
null MX 0 .
policy TXT "v=UAAC1; " "a=sha256"
long 3600 MX 5 mail
short 30 CNAME long
now 0 MX 5 mail
gone CNAME nothing
strange MX 10 a\\.b\\255
circle CNAME circle2
circle2 CNAME circle
*.wild MX 10 mail
"""
ZONES = {
    "plain.test": PLAIN
    + "".join(f"big TXT {text.decode()}\n" for text in BIG)
    + "".join(f"many SRV {number} 0 465 mail{number}\n" for number in reversed(range(200))),
    "signed.test": "@ MX 10 mail\nalias CNAME mail\nmail A 127.0.0.1\nout CNAME plain.test.\n",
    "bogus.test": "@ MX 10 mail\n",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    require(knot.unavailable())
    root = tmp_path_factory.mktemp("knot")
    signed = ("signed.test", "bogus.test")
    with knot.running(root, zones=ZONES, signed=signed, failing=["broken.test"]) as server:
        yield server


def validating(root: Path, *, authority: Knot, address: str) -> Any:
    """A resolver that holds signed.test's key, and believes that it is the key of bogus.test as well."""
    require(unbound.unavailable())
    key = authority.anchors["signed.test"]
    stubs = dict.fromkeys((*ZONES, "broken.test"), f"{authority.address}@{authority.port}")
    anchors = (key, key.replace("signed.test", "bogus.test"))
    return unbound.running(root, stubs=stubs, anchors=anchors, address=address)


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory, authority: Knot) -> Iterator[Unbound]:
    root = tmp_path_factory.mktemp("unbound")
    with validating(root, authority=authority, address="127.0.0.1") as server:
        yield server


def at(server: Knot | Unbound, validation: Validation = Validation.LOOPBACK) -> Resolver:
    return Resolver(Discovery(resolver=server.resolver, validation=validation))


def heard(question: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(question)


def missed(question: Coroutine[Any, Any, object]) -> tuple[Answer, str]:
    with pytest.raises(Missed) as info:
        asyncio.run(question)
    return info.value.answer, info.value.said


def test_services_come_with_the_lowest_priority_first_and_names_in_lower_case(authority: Knot) -> None:
    found = heard(at(authority).srv("_submissions._tcp.plain.test"))
    assert found.records == (Srv(0, 1, 465, "mail.elsewhere.test"), Srv(10, 5, 465, "mail.plain.test"))
    assert (found.signed, found.lifetime) == (False, knot.TTL)


def test_mail_hosts_come_with_the_lowest_preference_first(authority: Knot) -> None:
    found = heard(at(authority).mx("plain.test"))
    assert found.records == (Mx(10, "mx1.elsewhere.test"), Mx(20, "mx2.plain.test"))


def test_a_dot_is_no_name(authority: Knot) -> None:
    assert heard(at(authority).srv("_submission._tcp.plain.test")).records == (Srv(0, 0, 0, ""),)
    assert heard(at(authority).mx("null.plain.test")).records == (Mx(0, ""),)


def test_a_name_that_no_host_has_stays_as_text(authority: Knot) -> None:
    assert heard(at(authority).mx("strange.plain.test")).records == (Mx(10, "a\\.b\\255.plain.test"),)


def test_the_strings_of_a_text_are_put_together(authority: Knot) -> None:
    assert heard(at(authority).txt("policy.plain.test")).records == (b"v=UAAC1; a=sha256",)


@pytest.mark.parametrize("server", ["authority", "validator"])
def test_what_is_too_long_for_a_datagram_comes_over_tcp(server: str, request: pytest.FixtureRequest) -> None:
    found = heard(at(request.getfixturevalue(server)).txt("big.plain.test"))
    assert found.records == tuple(sorted(BIG))


def test_of_very_many_records_those_of_the_lowest_numbers_are_looked_at(authority: Knot) -> None:
    found = heard(at(authority).srv("many.plain.test"))
    assert [it.priority for it in found.records] == list(range(MOST))


def test_a_name_with_a_last_dot_or_in_capitals_is_the_same(authority: Knot) -> None:
    assert heard(at(authority).mx("NULL.plain.test.")).records == (Mx(0, ""),)


def test_records_are_kept_no_longer_than_the_alias_that_leads_to_them(authority: Knot) -> None:
    resolver = at(authority)
    assert heard(resolver.mx("short.plain.test")) == ((Mx(5, "mail.plain.test"),), False, 30)
    assert heard(resolver.mx("long.plain.test")).lifetime == 3600
    assert heard(resolver.mx("now.plain.test")).lifetime == 0


def test_a_wildcard_answers_for_every_name(authority: Knot) -> None:
    resolver = at(authority)
    for name in ("a.wild.plain.test", "_submissions._tcp.wild.plain.test"):
        assert heard(resolver.mx(name)).records == (Mx(10, "mail.plain.test"),)
    assert missed(resolver.srv("_submissions._tcp.wild.plain.test")) == (
        Answer.ABSENT,
        "the name has no SRV record",
    )


MISSING = [
    ("no.plain.test", Answer.ABSENT, "the name does not exist"),
    ("gone.plain.test", Answer.ABSENT, "the name does not exist"),
    ("policy.plain.test", Answer.ABSENT, "the name has no MX record"),
    ("broken.test", Answer.UNANSWERED, "the DNS resolver said SERVFAIL"),
    ("x" * 64 + ".test", Answer.ABSENT, "DNS can have no name like that"),
    ("x." * 127 + "test", Answer.ABSENT, "DNS can have no name like that"),
    ("a..test", Answer.ABSENT, "DNS can have no name like that"),
]


@pytest.mark.parametrize("server", ["authority", "validator"])
@pytest.mark.parametrize(("name", "answer", "said"), MISSING)
def test_what_is_not_there_is_told_from_what_nobody_knows(
    name: str, answer: Answer, said: str, server: str, request: pytest.FixtureRequest
) -> None:
    assert missed(at(request.getfixturevalue(server)).mx(name)) == (answer, said)


def test_a_circle_of_aliases_is_no_answer(authority: Knot) -> None:
    answer, said = missed(at(authority).mx("circle.plain.test"))
    assert (answer, said) == (Answer.UNANSWERED, "the DNS resolver said what cannot be understood")


def test_a_resolver_that_refuses_is_no_answer(authority: Knot) -> None:
    told = Answer.UNANSWERED, "the DNS resolver said REFUSED"
    assert missed(at(authority).mx("elsewhere.example")) == told


def test_an_alias_is_told_from_a_host(authority: Knot) -> None:
    resolver = at(authority)
    assert heard(resolver.alias("short.plain.test")) == "long.plain.test"
    assert heard(resolver.alias("long.plain.test")) is None
    assert missed(resolver.alias("no.plain.test")) == (Answer.ABSENT, "the name does not exist")
    assert missed(resolver.alias("broken.test"))[0] is Answer.UNANSWERED


@pytest.mark.parametrize(
    ("validation", "believed"),
    [(Validation.LOOPBACK, True), (Validation.RESOLVER, True), (Validation.NOBODY, False)],
)
def test_a_validating_resolver_on_loopback_is_believed_as_is_wished(
    validation: Validation, believed: bool, validator: Unbound
) -> None:
    resolver = at(validator, validation)
    found = heard(resolver.mx("signed.test"))
    assert (found.records, found.signed) == ((Mx(10, "mail.signed.test"),), believed)
    assert 0 < found.lifetime <= knot.TTL, "what a resolver has kept for a while lives for the rest"
    assert heard(resolver.mx("plain.test")).signed is False


@pytest.mark.parametrize(
    ("validation", "believed"), [(Validation.LOOPBACK, False), (Validation.RESOLVER, True)]
)
def test_a_forwarder_of_docker_is_believed_only_on_wish(
    validation: Validation, believed: bool, authority: Knot, tmp_path: Path
) -> None:
    with validating(tmp_path, authority=authority, address="127.0.0.11") as server:
        assert heard(at(server, validation).mx("signed.test")).signed is believed


def test_a_signed_alias_to_an_unsigned_name_is_not_signed(validator: Unbound) -> None:
    assert heard(at(validator).mx("out.signed.test")).signed is False


@pytest.mark.parametrize("validation", list(Validation))
def test_signatures_that_nobody_has_validated_prove_nothing(validation: Validation, authority: Knot) -> None:
    assert heard(at(authority, validation).mx("signed.test")).signed is False


def test_signatures_that_are_wrong_are_no_answer(authority: Knot, validator: Unbound) -> None:
    assert heard(at(authority).mx("bogus.test")).records == (Mx(10, "mail.bogus.test"),)
    assert missed(at(validator).mx("bogus.test")) == (Answer.UNANSWERED, "the DNS resolver said SERVFAIL")


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.53", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.11", False),
        ("::ffff:127.0.0.11", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("https://127.0.0.1/dns-query", False),
        (None, False),
    ],
)
def test_a_resolver_is_on_this_machine_by_its_address(address: str | None, here: bool) -> None:
    assert _on_loopback(address) is here


@pytest.fixture
def silent() -> Iterator[str]:
    """A resolver that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_silent_resolver_is_not_waited_for_longer_than_was_said(silent: str) -> None:
    began = time.monotonic()
    told = missed(Resolver(Discovery(resolver=silent), seconds=0.2).mx("plain.test"))
    assert told == (Answer.UNANSWERED, "no answer from the DNS resolver within 0.2 s")
    assert 0.1 < time.monotonic() - began < 1


def test_a_clock_that_is_set_back_makes_nobody_wait(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert missed(Resolver(Discovery(resolver=silent), seconds=0.2).mx("plain.test"))[0] is Answer.UNANSWERED


def test_cancelling_works_at_once(silent: str) -> None:
    async def cancelled() -> None:
        question = asyncio.ensure_future(Resolver(Discovery(resolver=silent)).mx("plain.test"))
        await asyncio.wait([question], timeout=0.05)
        question.cancel()
        await asyncio.wait([question])
        assert question.cancelled()

    began = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - began < 1


def test_a_port_where_nothing_listens_is_no_answer() -> None:
    resolver = Resolver(Discovery(resolver=f"127.0.0.1:{knot.free_port()}"), seconds=0.2)
    assert missed(resolver.mx("plain.test"))[0] is Answer.UNANSWERED


# Of a query, what a liar answers.
Lie = Callable[[dns.message.QueryMessage], bytes]


def _replying(query: dns.message.QueryMessage, **fields: Any) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= fields.pop("flags", 0)
    reply.set_rcode(fields.pop("rcode", dns.rcode.NOERROR))
    return reply


def _wrong_id(query: dns.message.QueryMessage) -> bytes:
    reply = _replying(query)
    reply.id ^= 1
    return reply.to_wire()


def _broken_record(query: dns.message.QueryMessage) -> bytes:
    reply = _replying(query)
    reply.answer.append(dns.rrset.from_text("plain.test.", 300, "IN", "MX", "10 mail.plain.test."))
    return reply.to_wire()[:-3] + b"\xff\xff\xff"


def _another_question(query: dns.message.QueryMessage) -> bytes:
    reply = _replying(dns.message.make_query("other.test.", "MX"))
    reply.id = query.id
    return reply.to_wire()


def _elsewhere(query: dns.message.QueryMessage) -> bytes:
    reply = _replying(query)
    reply.authority.append(dns.rrset.from_text("test.", 300, "IN", "NS", "ns.test."))
    return reply.to_wire()


LIES: dict[str, Lie] = {
    "nothing": lambda _: b"",
    "noise": lambda _: bytes(range(7, 207)),
    "the query itself": lambda query: query.to_wire(),
    "a header that counts records and has none": lambda query: (
        query.to_wire()[:2] + b"\x81\x80" + b"\xff" * 8
    ),
    "another id": _wrong_id,
    "another question": _another_question,
    "a broken record": _broken_record,
    "a refusal": lambda query: _replying(query, rcode=dns.rcode.REFUSED).to_wire(),
    "a format error": lambda query: _replying(query, rcode=dns.rcode.FORMERR).to_wire(),
    "where else to ask": _elsewhere,
    "a name that is too long": lambda query: _replying(query, rcode=dns.rcode.YXDOMAIN).to_wire(),
    "what is cut off, also over TCP": lambda query: _replying(query, flags=dns.flags.TC).to_wire(),
}


@asynccontextmanager
async def lying(lie: Lie) -> AsyncIterator[str]:
    """A resolver that answers so, over UDP and TCP."""

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(told(data), addr)

    def told(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        assert isinstance(query, dns.message.QueryMessage)
        return lie(query)

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = told(await reader.readexactly(length))
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    port = knot.free_port()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", port)
    )
    async with await asyncio.start_server(over_tcp, "127.0.0.1", port):
        try:
            yield f"127.0.0.1:{port}"
        finally:
            transport.close()


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_answer_is_no_answer(lie: str) -> None:
    async def asked() -> None:
        async with lying(LIES[lie]) as resolver:
            await Resolver(Discovery(resolver=resolver), seconds=0.1).mx("plain.test")

    began = time.monotonic()
    assert missed(asked())[0] is Answer.UNANSWERED
    assert time.monotonic() - began < 1


def test_a_resolver_is_asked_for_its_validation_and_never_to_go_without() -> None:
    asked_with: list[tuple[int, int, int]] = []

    def refuse(query: dns.message.QueryMessage) -> bytes:
        asked_with.append((query.flags, query.edns, query.payload))
        return _replying(query, rcode=dns.rcode.REFUSED).to_wire()

    async def asked() -> None:
        async with lying(refuse) as resolver:
            await Resolver(Discovery(resolver=resolver), seconds=1).mx("plain.test")

    assert missed(asked())[0] is Answer.UNANSWERED
    assert asked_with == [(dns.flags.RD | dns.flags.AD, 0, 1232)]


def configured(monkeypatch: pytest.MonkeyPatch, file: Path, *, port: int = 53) -> None:
    """Make that file the system's configuration."""

    class System(dns.asyncresolver.Resolver):
        def __init__(self, configure: bool) -> None:
            assert configure
            super().__init__(str(file))
            self.port = port

    monkeypatch.setattr("dns.asyncresolver.Resolver", System)


def test_each_of_the_system_s_resolvers_gets_its_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Knot
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "search plain.test\noptions timeout:30 attempts:5\n"
        "nameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.1\n"
    )
    configured(monkeypatch, file, port=authority.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", authority.port))
        resolver = Resolver(Discovery(), seconds=0.3)
        assert heard(resolver.mx("null.plain.test")).records == (Mx(0, ""),)
        # The search list is never used.
        assert missed(resolver.mx("null"))[0] is Answer.UNANSWERED


def test_a_resolver_that_is_named_needs_no_configuration_of_the_system(
    monkeypatch: pytest.MonkeyPatch, authority: Knot
) -> None:
    def read(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", read)
    assert heard(at(authority).mx("null.plain.test")).records == (Mx(0, ""),)
    assert missed(Resolver(Discovery()).mx("null.plain.test"))[0] is Answer.UNANSWERED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "this system has no DNS resolver configured"),
        (b"", "this system has no DNS resolver configured"),
        (b"nameserver here\n", "the DNS resolver could not be asked"),
        (b"nameserver \xff\xfe\n", "the DNS resolver could not be asked"),
        (b"search " + b"x" * 64 + b"\nnameserver 127.0.0.1\n", "the DNS resolver could not be asked"),
    ],
)
def test_a_system_without_a_usable_configuration_is_no_answer(
    text: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_bytes(text)
    configured(monkeypatch, file)
    assert missed(Resolver(Discovery()).mx("plain.test")) == (Answer.UNANSWERED, said)
