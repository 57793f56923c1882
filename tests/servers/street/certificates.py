"""Which certificates are shown on the street? A good one, and four that nobody should accept."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.servers.street.plan import HOST, NAMES

SHIELD = "Avast Web/Mail Shield Root"
"""Who issues what a local antivirus shows."""
WRONG = "server7.hosting.example"
"""Whose certificate it is that has the wrong name."""
GOOD = "good"

_NOW = dt.datetime.now(dt.UTC)
_DAY = dt.timedelta(days=1)


def write(directory: Path, *, authority: trustme.CA) -> None:
    """Write `ca.pem`, and key and certificate as `good.pem`, `expired.pem` and so on."""
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    ours = {
        GOOD: authority.issue_cert(*NAMES),
        "expired": authority.issue_cert(*NAMES, not_before=_NOW - 90 * _DAY, not_after=_NOW - 3 * _DAY),
        "wrong-name": authority.issue_cert(WRONG),
    }
    texts = {name: it.private_key_and_cert_chain_pem.bytes() for name, it in ours.items()}
    for name, text in {**texts, **_foreign()}.items():
        path = directory / f"{name}.pem"
        path.write_bytes(text)
        path.chmod(0o600)


def _foreign() -> Mapping[str, bytes]:
    shield, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    return {
        "antivirus": _pem(own, issuer=SHIELD, signer=shield),
        "self-signed": _pem(own, issuer=HOST, signer=own),
    }


def _pem(key: ec.EllipticCurvePrivateKey, *, issuer: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return key and certificate for the mail server, from that issuer."""
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(HOST))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + 365 * _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(it) for it in NAMES]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
