"""How is a certificate made, with any defect that one wishes? A small authority, for servers in proofs."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_TODAY = datetime.now(UTC).replace(microsecond=0)
PAST, FUTURE = datetime(2020, 1, 1, 12, tzinfo=UTC), datetime(2090, 1, 1, 12, tzinfo=UTC)

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH

_SIGN = ("key_cert_sign", "crl_sign")
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    *_SIGN,
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Wish:
    """What a certificate is to say. What is not said is as a good server's certificate has it.

    Attributes:
        name: its subject's common name, None for no subject at all.
        hosts: subjectAltName: host names, and addresses. `addresses` False: addresses are written as names.
        depth: for an authority: how many authorities may be below it, -1 for any number.
        usage: keyUsage, None for none. `purposes`: extendedKeyUsage, none if empty.
        inside, outside: permitted and excluded DNS names. `unknown`: a critical extension nobody knows.
        identified: whether it has key identifiers. `pss`: whether it is signed with RSASSA-PSS.
    """

    name: str | None = "mail.example.com"
    hosts: Sequence[str] = ("mail.example.com",)
    addresses: bool = True
    since: datetime = _TODAY - timedelta(days=2)
    until: datetime = _TODAY + timedelta(days=90)
    authority: bool = False
    depth: int = -1
    usage: Sequence[str] | None = ("digital_signature",)
    purposes: Sequence[x509.ObjectIdentifier] = (SERVER,)
    inside: Sequence[str] = ()
    outside: Sequence[str] = ()
    unknown: bool = False
    identified: bool = True
    san_critical: bool = False
    pss: bool = False

    def but(self, **changes: object) -> Wish:
        """The same with some changes."""
        return replace(self, **changes)  # type: ignore[arg-type]  # by their names


AUTHORITY = Wish(hosts=(), authority=True, usage=_SIGN, purposes=())


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, and those above it that a server should send with it."""

    der: bytes
    key: Key
    name: x509.Name
    above: tuple[bytes, ...] = ()
    root: bool = False

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return _pem(self.der)

    def chain(self, *above: bytes) -> bytes:
        """Key and certificates as a server loads them."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self.pem + b"".join(map(_pem, above))


def issue(wish: Wish, *, by: Issued | None = None, key: Key | None = None) -> Issued:
    """Make a certificate; it is signed by itself where no authority is given."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = _name(wish.name)
    issuer = by.name if by else subject
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wish.since)
        .not_valid_after(wish.until)
    )
    signing = by.key if by else own
    for extension, critical in _extensions(wish, own=own, signing=signing):
        builder = builder.add_extension(extension, critical=critical)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if wish.pss else None
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = builder.sign(signing, digest, rsa_padding=pss)
    above = () if by is None or by.root else (by.der, *by.above)
    return Issued(signed.public_bytes(Encoding.DER), own, subject, above, root=by is None)


def _extensions(wish: Wish, *, own: Key, signing: Key) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if wish.identified:
        found.append((x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False))
        found.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False))
    length = wish.depth if wish.depth >= 0 else None
    found.append((x509.BasicConstraints(wish.authority, length), True))
    if wish.hosts:
        names = [_alternative(host, addresses=wish.addresses) for host in wish.hosts]
        found.append((x509.SubjectAlternativeName(names), wish.san_critical))
    if wish.usage is not None:
        found.append((x509.KeyUsage(**{usage: usage in wish.usage for usage in _USAGES}), True))
    if wish.purposes:
        found.append((x509.ExtendedKeyUsage(wish.purposes), False))
    if wish.inside or wish.outside:
        inside, outside = (
            [x509.DNSName(name) for name in names] or None for names in (wish.inside, wish.outside)
        )
        found.append((x509.NameConstraints(inside, outside), True))
    if wish.unknown:
        found.append(
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\5\0"), True)
        )
    return found


def _name(text: str | None) -> x509.Name:
    if text is None:
        return x509.Name([])
    with warnings.catch_warnings(action="ignore"):  # the text may be longer than it should be
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])


def _alternative(host: str, *, addresses: bool) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host)) if addresses else x509.DNSName(host)
    except ValueError:
        return x509.DNSName(host)


def _pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def signed_with(issued: Issued, *, by: Issued, digest: hashes.MD5 | hashes.SHA1) -> Issued:
    """The same certificate, signed by an RSA key with a digest that nobody should use any more."""
    old = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01"  # pkcs-1
    number = b"\x04" if isinstance(digest, hashes.MD5) else b"\x05"
    tbs, algorithm, _ = _parts(_inside(issued.der))
    tbs, algorithm = (part.replace(old + b"\x0b", old + number) for part in (tbs, algorithm))
    assert isinstance(by.key, rsa.RSAPrivateKey)
    signature = by.key.sign(tbs, padding.PKCS1v15(), digest)
    return replace(issued, der=_tlv(0x30, tbs + algorithm + _tlv(3, b"\0" + signature)))


def of_version_1(issued: Issued, *, by: Issued) -> Issued:
    """The same certificate as X.509 version 1 has it: without extensions."""
    tbs, algorithm, _ = _parts(_inside(issued.der))
    fields = _parts(_inside(tbs))
    bare = _tlv(0x30, b"".join(part for part in fields if part[0] not in (0xA0, 0xA3)))
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    signature = by.key.sign(bare, ec.ECDSA(hashes.SHA256()))
    return replace(issued, der=_tlv(0x30, bare + algorithm + _tlv(3, b"\0" + signature)))


def forged(issued: Issued) -> Issued:
    """The same certificate with a signature that is wrong by one bit."""
    return replace(issued, der=issued.der[:-1] + bytes([issued.der[-1] ^ 1]))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(octets)]) + octets + content


def _header(der: bytes) -> tuple[int, int]:
    """Where the content of the first value begins, and where it ends."""
    if der[1] < 128:
        return 2, 2 + der[1]
    begin = 2 + der[1] - 128
    return begin, begin + int.from_bytes(der[2:begin], "big")


def _inside(der: bytes) -> bytes:
    begin, end = _header(der)
    return der[begin:end]


def _parts(der: bytes) -> list[bytes]:
    found = []
    while der:
        _, end = _header(der)
        found.append(der[:end])
        der = der[end:]
    return found


class World:
    """The authorities of a proof, in a folder. Clients trust `ca`, in which are `root` and `lax`.

    Attributes:
        lax: a private root without keyUsage, as many a home-made one is.
        evil: a root that nobody trusts. `twin`: the same with the name of `root`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._below: dict[tuple[str, Wish], Issued] = {}
        self.root = issue(AUTHORITY.but(name="Proof Root"))
        self.lax = issue(AUTHORITY.but(name="Lax Root", usage=None))
        self.evil = issue(AUTHORITY.but(name="Evil CA"))
        self.twin = issue(AUTHORITY.but(name="Proof Root"))
        self.ca = self.file(self.root.pem + self.lax.pem)

    @property
    def issuer(self) -> Issued:
        """A good authority, not trusted by itself."""
        return self.below("Proof Issuer")

    @property
    def rsa(self) -> Issued:
        """Likewise, with an RSA key."""
        return self.below("RSA Issuer", key=rsa_key(2048))

    def below(self, name: str, wish: Wish = AUTHORITY, *, key: Key | None = None) -> Issued:
        """An authority that `root` vouches for, always the same."""
        if (name, wish) not in self._below:
            self._below[name, wish] = issue(wish.but(name=name), by=self.root, key=key)
        return self._below[name, wish]

    def file(self, content: bytes) -> Path:
        """A file with this content; its name is of no interest."""
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".pem", delete=False) as file:
            file.write(content)
        return Path(file.name)


@lru_cache(maxsize=4)  # a cache: RSA keys are dear
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """An RSA key, always the same in one process."""
    return rsa.generate_private_key(65537, bits)
