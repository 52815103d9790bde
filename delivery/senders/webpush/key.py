"""An application's VAPID keys (RFC 8292): which of them a subscription belongs to, and tokens signed with it.

Two may be alive, because a browser's subscription is bound for life to the key that it was made with: new subscriptions
are made with the newest, old ones are sent to with theirs.
"""

import hashlib
import time
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from joserfc import jwt
from joserfc.jwk import ECKey

from delivery.credential_input import is_subject
from delivery.senders.contract import Credential, CredentialError
from devices.push_subscriptions import key_id
from devices.words import gettext as _

LIFE_SECONDS = 12 * 3600
"""A token may be good for 24 hours at most (section 2); half of it, for clocks that go wrong."""
RENEW_SECONDS = LIFE_SECONDS - 3600


class Signer:
    """One key pair: its public half as pages need it, and tokens for a push service."""

    def __init__(self, pem: str, subject: str) -> None:
        try:
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise CredentialError(
                "bad_private_key", _("The private key cannot be read: %(error)s.") % {"error": error}
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
            raise CredentialError("bad_private_key", _("The private key must be an EC key on P-256."))
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.id = key_id(point)
        self.public_key = _encoded(point)
        """65 bytes in base64url: what a page subscribes with, and the token's parameter `k`."""
        self.identity = hashlib.sha256(point + subject.encode()).hexdigest()[:32]
        """The same for every credential with this key and subject."""
        self._key = ECKey.import_key(pem)
        self._subject = subject

    def mint(self, origin: str) -> tuple[str, float]:
        """Sign a token for a push service; return it and when to make the next."""
        now = time.time()
        claims = {"aud": origin, "exp": int(now) + LIFE_SECONDS, "sub": self._subject}
        return jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key), now + RENEW_SECONDS


class Keys:
    """The keys of one credential; raises `CredentialError` when one is not well-formed."""

    def __init__(self, credential: Credential) -> None:
        subject = credential.settings.get("subject")
        if not is_subject(subject):
            raise CredentialError(
                "bad_subject",
                _(
                    "The settings need a subject that the push services can reach the operator by: %(example)s,"
                    " or an https:// address."
                )
                % {"example": '{"subject": "mailto:push@example.com"}'},
            )
        pems = credential.secret.get("keys")
        if not isinstance(pems, list) or not pems or not all(isinstance(pem, str) for pem in pems):
            raise CredentialError("bad_private_key", _("The secret holds no private key."))
        signers = [Signer(pem, str(subject)) for pem in pems]
        self.newest = signers[0]
        self._by_id = {signer.id: signer for signer in reversed(signers)}

    def of(self, subscription_key: str) -> Signer | None:
        """Return the key a subscription was made with: the newest when that is not known, None when it is gone."""
        return self._by_id.get(subscription_key) if subscription_key else self.newest


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
