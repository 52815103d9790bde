"""APNs' other credential: a client certificate shown in the TLS handshake.

Source: "Establishing a certificate-based connection to APNs", developer.apple.com/documentation/usernotifications.
"""

from __future__ import annotations

import hashlib
import secrets
import ssl
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.devices import Environment

_LIFE = timedelta(days=397)


class ApnsCertificate(msgspec.Struct, frozen=True):
    """A certificate (PEM) and its key (PKCS 8 PEM) for some topics; with `environment` it serves that one only."""

    certificate: str
    private_key: str
    topics: tuple[str, ...]
    environment: Environment | None = None


def make_apns_certificate(topics: list[str], *, environment: Environment | None) -> ApnsCertificate:
    """Make a certificate; it is its own authority, as the fleet keeps no authority's key."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Apple's have the bundle id as UID. The number tells authorities of one topic apart: OpenSSL looks them up by name.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.USER_ID, topics[0]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Apple Push Services: {topics[0]}"[:64]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, secrets.token_hex(16)),
        ]
    )
    start = datetime.now(UTC) - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    shown = certificate.public_bytes(Encoding.PEM).decode()
    return ApnsCertificate(shown, pem, tuple(topics), environment)


class Certificates:
    """The certificates that may connect; `trust` is told of each, so that the handshake takes it."""

    def __init__(self) -> None:
        self._known: dict[str, ApnsCertificate] = {}
        self._contexts: list[ssl.SSLContext] = []

    def watch(self, context: ssl.SSLContext) -> None:
        """Let a server's handshakes ask for a certificate and take those enrolled, now and later."""
        context.verify_mode = ssl.CERT_OPTIONAL
        self._contexts.append(context)
        for certificate in self._known.values():
            context.load_verify_locations(cadata=certificate.certificate)

    def enrol(self, certificate: ApnsCertificate) -> None:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.certificate)).hexdigest()
        self._known[digest] = certificate
        for context in self._contexts:
            context.load_verify_locations(cadata=certificate.certificate)

    def of(self, digest: str) -> ApnsCertificate | None:
        """Return the certificate of a connection by its SHA-256 (hexadecimal), None where it showed none."""
        return self._known.get(digest)
