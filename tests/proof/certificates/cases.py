"""Which certificates, and which ends of TLS, are clients put to? Each with what has to become of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.proof.certificates import odd
from tests.proof.certificates.ca import (
    AUTHORITY,
    CLIENT,
    FUTURE,
    PAST,
    Issued,
    Key,
    Wish,
    World,
    forged,
    issue,
    of_version_1,
    rsa_key,
    signed_with,
)

HOST, OTHER, IDN, ADDRESS = "mail.example.com", "other.example.org", "xn--bcher-kva.example", "127.0.0.1"

Making: TypeAlias = Callable[[World], bytes]
"""Makes key and chain of a server, in PEM."""


class Due(Enum):
    """What has to become of a connection."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    STRICT = "refuse as Python 3.13 does; not asked of others"
    FAIL = "fail, somehow"


@dataclass(frozen=True)
class Case:
    """A server's certificate and its manners. `told` is what the error must say, all of it."""

    name: str
    due: Due
    shown: Making
    told: tuple[str, ...] = ()
    host: str = HOST
    change: Callable[[World], odd.Change] | None = None
    own: Making | None = None
    """The client's own certificate."""
    drip: bool = False
    """Whether what the server says comes one octet at a time."""
    seconds: float = 20.0
    """What the client is given for all."""


GOOD = Wish()


def leaf(
    wish: Wish = GOOD, *, below: str = "", authority: Wish = AUTHORITY, key: Key | None = None
) -> Making:
    """A certificate as wished, of an issuer that is as wished; the chain is complete."""

    def make(world: World) -> bytes:
        by = world.below(below, authority) if below else world.issuer
        issued = issue(wish, by=by, key=key)
        return issued.chain(*issued.above)

    return make


def by(choose: Callable[[World], Issued], wish: Wish = GOOD, *, root: bool = False) -> Making:
    """A certificate of another issuer; `root` says whether the server sends that along."""

    def make(world: World) -> bytes:
        issuer = choose(world)
        issued = issue(wish, by=issuer)
        return issued.chain(*issued.above, *([issuer.der] if root else []))

    return make


def changed(change: Callable[[Issued, World], Issued], *, rsa: bool = False) -> Making:
    """A good certificate that is altered afterwards."""

    def make(world: World) -> bytes:
        issued = change(issue(GOOD, by=world.rsa if rsa else world.issuer), world)
        return issued.chain(*issued.above)

    return make


def _alone(world: World) -> bytes:
    return issue(GOOD, by=world.issuer).chain()


def _by_itself(world: World) -> bytes:
    return issue(GOOD).chain()


def _shuffled(world: World) -> bytes:
    upper = world.below("Upper")
    lower = issue(AUTHORITY.but(name="Lower"), by=upper)
    return issue(GOOD, by=lower).chain(world.root.der, upper.der, lower.der)


def _too_deep(world: World) -> bytes:
    upper = world.below("Short Issuer", AUTHORITY.but(depth=0))
    issued = issue(GOOD, by=issue(AUTHORITY.but(name="One Too Many"), by=upper))
    return issued.chain(*issued.above)


def _client(world: World) -> bytes:
    return issue(Wish(name="me", hosts=("me.example.org",), purposes=(CLIENT,)), by=world.root).chain()


def _of_nobody(world: World) -> bytes:
    return issue(Wish(name="me", hosts=("me.example.org",), purposes=(CLIENT,)), by=world.evil).chain()


def _by_name(world: World) -> odd.Change:
    return odd.named_by(HOST, pem=str(world.file(leaf()(world))))


def _asking(
    mode: ssl.VerifyMode, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Callable[[World], odd.Change]:
    return lambda world: odd.asking(mode, ca=str(world.ca), highest=highest)


def _hosts(*hosts: str) -> Wish:
    return GOOD.but(hosts=hosts)


def _many(count: int, *names: str, word: str = "h") -> Wish:
    return _hosts(*(f"{word}{number}" for number in range(count - len(names))), *names)


def _constrained(**names: tuple[str, ...]) -> Wish:
    return AUTHORITY.but(**names)


ACCEPT, REFUSE, STRICT, FAIL = Due
V10, V11, V12, V13 = (getattr(ssl.TLSVersion, f"TLSv1{minor}") for minor in ("", "_1", "_2", "_3"))
ISSUED = "issued by 'Proof Issuer'"
NOT_FOR = f", not for {HOST}"

GOOD_ONES = (
    Case("intermediate present", ACCEPT, leaf()),
    Case("straight from the root", ACCEPT, by(lambda world: world.root)),
    Case("root sent along", ACCEPT, by(lambda world: world.root, root=True)),
    Case("chain in the wrong order", ACCEPT, _shuffled),
    Case("wildcard on the left", ACCEPT, leaf(_hosts("*.example.com"))),
    Case("capital letters", ACCEPT, leaf(_hosts("MAIL.Example.COM"))),
    Case("one of three names", ACCEPT, leaf(_hosts(OTHER, HOST, "*.example.net"))),
    Case("address", ACCEPT, leaf(_hosts(ADDRESS)), host=ADDRESS),
    Case("internationalized name", ACCEPT, leaf(_hosts(IDN)), host=IDN),
    Case("no subject", ACCEPT, leaf(GOOD.but(name=None, san_critical=True))),
    Case("constraints kept", ACCEPT, leaf(below="Narrow", authority=_constrained(inside=("example.com",)))),
    Case("no extended key usage", ACCEPT, leaf(GOOD.but(purposes=()))),
    Case("no key usage in the leaf", ACCEPT, leaf(GOOD.but(usage=None))),
    Case("ECDSA P-384", ACCEPT, leaf(key=ec.generate_private_key(ec.SECP384R1()))),
    Case("Ed25519", ACCEPT, leaf(key=ed25519.Ed25519PrivateKey.generate())),
    Case("RSA 2048", ACCEPT, by(lambda world: world.rsa)),
    Case("RSA-PSS signature", ACCEPT, by(lambda world: world.rsa, GOOD.but(pss=True))),
    Case("10,000 names", ACCEPT, leaf(_many(10_000, HOST))),
    Case("TLS 1.2 only", ACCEPT, leaf(), change=lambda _: odd.speaking(V12, V12)),
    Case("TLS 1.3 only", ACCEPT, leaf(), change=lambda _: odd.speaking(V13, V13)),
    Case("client certificate asked for", ACCEPT, leaf(), change=_asking(ssl.CERT_OPTIONAL)),
    Case("client certificate given", ACCEPT, leaf(), change=_asking(ssl.CERT_REQUIRED), own=_client),
    Case("certificate chosen by SNI", ACCEPT, leaf(_hosts(OTHER)), change=_by_name),
    Case("one octet a segment", ACCEPT, leaf(), drip=True),
    Case("one octet a record", ACCEPT, leaf(), change=lambda _: odd.ending_as(odd.Crumbling)),
    Case("session tickets", ACCEPT, leaf(), change=lambda _: odd.with_tickets(20)),
)

NAMES = (
    Case("wrong host", REFUSE, leaf(_hosts(OTHER)), (f"it is for {OTHER}{NOT_FOR}",)),
    Case(
        "three and more names",
        REFUSE,
        leaf(_hosts("a", "b", "c", "d")),
        (f"for a, b, c and 1 more{NOT_FOR}",),
    ),
    Case("10,000 wrong names", REFUSE, leaf(_many(10_000)), (f"h0, h1, h2 and 9997 more{NOT_FOR}",)),
    Case(
        "wildcard for another level",
        REFUSE,
        leaf(_hosts("*.mail.example.com")),
        ("for *.mail.example.com, ",),
    ),
    Case("wildcard in the middle", REFUSE, leaf(_hosts("mail.*.com")), (f"for mail.*.com{NOT_FOR}",)),
    Case("wildcard over two levels", REFUSE, leaf(_hosts("*.com")), (f"for *.com{NOT_FOR}",)),
    Case("two wildcards", REFUSE, leaf(_hosts("*.*.com")), (f"for *.*.com{NOT_FOR}",)),
    Case("wildcard alone", REFUSE, leaf(_hosts("*")), (f"for *{NOT_FOR}",)),
    Case("part of a wildcard", REFUSE, leaf(_hosts("m*l.example.com")), (f"for m*l.example.com{NOT_FOR}",)),
    Case("name cut by NUL", REFUSE, leaf(_hosts(f"{HOST}\0.{OTHER}")), (f"for {HOST}?.{OTHER}{NOT_FOR}",)),
    Case("suffix of the name", REFUSE, leaf(_hosts("example.com")), (f"for example.com{NOT_FOR}",)),
    Case("dot in front", REFUSE, leaf(_hosts(".example.com")), (f"for .example.com{NOT_FOR}",)),
    Case(
        "another address", REFUSE, leaf(_hosts("127.0.0.2")), ("for 127.0.0.2, not for 127.0.0.1",), ADDRESS
    ),
    Case(
        "address as a name",
        REFUSE,
        leaf(_hosts(ADDRESS).but(addresses=False)),
        (f"it has {ADDRESS} as a host name, and not as an address",),
        ADDRESS,
    ),
    Case("name for an address", REFUSE, leaf(), (f"it is for {HOST}, not for {ADDRESS}",), ADDRESS),
    Case(
        "common name only",
        REFUSE,
        leaf(_hosts()),
        (f"no name that counts (its subject is '{HOST}')", NOT_FOR),
    ),
    Case("address as common name", REFUSE, leaf(_hosts().but(name=ADDRESS)), (f"for {ADDRESS}",), ADDRESS),
    Case("SNI that the server does not know", REFUSE, leaf(_hosts(OTHER)), (f"for {OTHER}{NOT_FOR}",)),
)

ISSUERS = (
    Case("signed by itself", REFUSE, _by_itself, (f"issued by itself, '{HOST}', which is not trusted",)),
    Case(
        "unknown root sent along",
        REFUSE,
        by(lambda world: world.evil, root=True),
        ("by 'Evil CA', which is not",),
    ),
    Case(
        "unknown root", REFUSE, by(lambda world: world.evil), ("by 'Evil CA', which is neither trusted nor",)
    ),
    Case(
        "root of the same name", REFUSE, by(lambda world: world.twin, root=True), ("issued by 'Proof Root'",)
    ),
    Case("intermediate missing", REFUSE, _alone, (f"{ISSUED}, which is neither trusted nor sent along",)),
    Case(
        "forged signature",
        REFUSE,
        changed(lambda one, _: forged(one), rsa=True),
        ("signature failure", "issued by 'RSA Issuer'"),
    ),
    Case(
        "issuer that is no authority",
        REFUSE,
        leaf(below="No Authority", authority=AUTHORITY.but(authority=False)),
        ("invalid CA", "issued by 'No Authority' under 'Proof Root'"),
    ),
    Case(
        "too many authorities",
        REFUSE,
        _too_deep,
        ("path length", "'One Too Many' under 'Short Issuer' under 'Proof Root'"),
    ),
    Case(
        "outside of what is permitted",
        REFUSE,
        leaf(below="Elsewhere", authority=_constrained(inside=("example.net",))),
        (f"it is for {HOST}, and an issuer above it may not issue for that",),
    ),
    Case(
        "inside of what is excluded",
        REFUSE,
        leaf(below="Not Here", authority=_constrained(outside=("example.com",))),
        (f"it is for {HOST}, and an issuer above it may not issue for that",),
    ),
    Case(
        "issuer that may not sign",
        REFUSE,
        leaf(below="No Signer", authority=AUTHORITY.but(usage=("digital_signature",))),
        ("issued by 'No Signer'",),
    ),
)

DATES = (
    Case(
        "expired",
        REFUSE,
        leaf(GOOD.but(since=PAST.replace(year=2019), until=PAST)),
        ("it expired on 2020-01-01",),
    ),
    Case(
        "not yet valid",
        REFUSE,
        leaf(GOOD.but(since=FUTURE, until=FUTURE.replace(year=2091))),
        ("it is not valid before 2090-01-01",),
    ),
    Case(
        "intermediate expired",
        REFUSE,
        leaf(below="Old Issuer", authority=AUTHORITY.but(since=PAST.replace(year=2019), until=PAST)),
        ("that of its issuer 'Old Issuer' expired on 2020-01-01",),
    ),
)

KINDS = (
    Case("for clients only", REFUSE, leaf(GOOD.but(purposes=(CLIENT,))), (ISSUED, "purpose")),
    Case("authority's own certificate", REFUSE, leaf(AUTHORITY.but(hosts=(HOST,))), (ISSUED, "purpose")),
    Case("unknown critical extension", REFUSE, leaf(GOOD.but(unknown=True)), (ISSUED, "critical extension")),
    Case("version 1", REFUSE, changed(lambda one, world: of_version_1(one, by=world.issuer)), (HOST,)),
    Case("RSA 1024", REFUSE, leaf(key=rsa_key(1024)), (ISSUED, "key too weak")),
    Case(
        "MD5 signature",
        REFUSE,
        changed(lambda one, world: signed_with(one, by=world.rsa, digest=hashes.MD5()), rsa=True),  # noqa: S303
        ("too weak",),
    ),
    Case(
        "SHA-1 signature",
        REFUSE,
        changed(lambda one, world: signed_with(one, by=world.rsa, digest=hashes.SHA1()), rsa=True),  # noqa: S303
        ("too weak",),
    ),
    Case(
        "text to deceive",
        REFUSE,
        by(lambda _: issue(AUTHORITY.but(name="\x1b[2J\u202e'OK\n" + "x" * 9000))),
        ("?[2J",),
    ),
    Case(
        "private root without key usage",
        STRICT,
        by(lambda world: world.lax),
        ("by 'Lax Root'", ", against RFC 5280"),
    ),
    Case("no key identifiers", STRICT, leaf(GOOD.but(identified=False)), (ISSUED, ", against RFC 5280")),
    Case("no subject, name not critical", STRICT, leaf(GOOD.but(name=None)), (ISSUED, ", against RFC 5280")),
)

MANNERS = (
    Case(
        "TLS 1.0 only",
        REFUSE,
        leaf(),
        ("no TLS that is new enough",),
        change=lambda _: odd.speaking(V10, V10),
    ),
    Case(
        "TLS 1.1 only",
        REFUSE,
        leaf(),
        ("no TLS that is new enough",),
        change=lambda _: odd.speaking(V11, V11),
    ),
    Case(
        "no certificate", REFUSE, leaf(), ("no cipher",), change=lambda _: odd.with_ciphers("ADH:@SECLEVEL=0")
    ),
    Case(
        "a certificate of 250 kB",
        REFUSE,
        leaf(_many(10_000, HOST, word="a-long-host-name.")),
        ("larger than can be read",),
    ),
    Case(
        "client certificate missing",
        REFUSE,
        leaf(),
        ("client certificate",),
        change=_asking(ssl.CERT_REQUIRED),
    ),
    Case(
        "client certificate missing, TLS 1.2",
        REFUSE,
        leaf(),
        ("client certificate",),
        change=_asking(ssl.CERT_REQUIRED, V12),
    ),
    Case(
        "client certificate of nobody",
        REFUSE,
        leaf(),
        ("unknown ca",),
        change=_asking(ssl.CERT_REQUIRED),
        own=_of_nobody,
    ),
    Case("handshake stalls", FAIL, leaf(), change=lambda _: odd.ending_as(odd.Silent), seconds=1.0),
    Case("handshake cut", FAIL, leaf(), change=lambda _: odd.ending_as(odd.Cut)),
    Case("alert", REFUSE, leaf(), ("handshake failed",), change=lambda _: odd.ending_as(odd.Alerting)),
    Case("alert in the middle", FAIL, leaf(), change=lambda _: odd.ending_as(odd.AlertingLate)),
)

CASES = (*GOOD_ONES, *NAMES, *ISSUERS, *DATES, *KINDS, *MANNERS)
