"""An APNs certificate: shown in the TLS handshake instead of a token in every request.

Source: "Establishing a certificate-based connection to APNs" (developer.apple.com/documentation/usernotifications/
establishing-a-certificate-based-connection-to-apns).
"""

import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from delivery.senders.apns.key import prefix_of, topic_of
from delivery.senders.contract import Credential, CredentialError


class Certificate:
    """The certificate of one credential; raises `CredentialError` when it is not well-formed or has ended."""

    by_certificate = True

    def __init__(self, credential: Credential) -> None:
        certificate, private = str(credential.secret["certificate"]), credential.secret.get("private_key")
        try:
            found = x509.load_pem_x509_certificate(certificate.encode())
            load_pem_private_key(str(private).encode(), password=None)
        except (ValueError, TypeError) as error:
            raise CredentialError(
                "bad_certificate", f"The certificate or its private key cannot be read: {error}."
            ) from error
        if found.not_valid_after_utc <= datetime.now(UTC):
            raise CredentialError(
                "certificate_ended",
                f"The certificate ended on {found.not_valid_after_utc:%Y-%m-%d}; make a new one at Apple's site.",
            )
        self.topic = topic_of(credential)
        self.identity = hashlib.sha256(certificate.encode()).hexdigest()[:32]
        self.pem = f"{certificate}\n{private}"
        """The certificate and its key, as the engine shows them."""
        self.name = f"the certificate for {self.topic}"
        self._credential = credential

    def prefix(self, *, sandbox: bool) -> str:
        """Return the URL of a device without its token."""
        return prefix_of(self._credential, sandbox=sandbox)
