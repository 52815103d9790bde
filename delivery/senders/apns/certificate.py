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
from devices.words import gettext as _
from devices.words import written


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
                "bad_certificate",
                _("The certificate or its private key cannot be read: %(error)s.") % {"error": error},
            ) from error
        if found.not_valid_after_utc <= datetime.now(UTC):
            raise CredentialError(
                "certificate_ended",
                _("The certificate ended on %(day)s; make a new one at Apple's site.")
                % {"day": written(found.not_valid_after_utc.date())},
            )
        self.topic = topic_of(credential)
        self.identity = hashlib.sha256(certificate.encode()).hexdigest()[:32]
        self.pem = f"{certificate}\n{private}"
        """The certificate and its key, as the engine shows them."""
        self._credential = credential

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return _("the certificate for %(topic)s") % {"topic": self.topic}

    def prefix(self, *, sandbox: bool) -> str:
        """Return the URL of a device without its token."""
        return prefix_of(self._credential, sandbox=sandbox)
