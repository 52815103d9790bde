"""What a browser keeps behind a push subscription: its key pair and secret, and the decryption of what came.

Sources: RFC 8188 (aes128gcm content coding), RFC 8291 (Message Encryption for Web Push).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fleet.points import CURVE, SIZE, point_of, public_key

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SALT = 16
_TAG = 16
_KEYS_REMEMBERED = 20_000


class DecryptionError(ValueError):
    """A browser would drop this message; the text says why."""


class Subscription(msgspec.Struct, frozen=True):
    """A subscription as a page's `PushSubscription.toJSON()` hands it out, and the device's number."""

    device: int
    endpoint: str
    p256dh: str
    auth: str

    def document(self) -> dict[str, object]:
        """Return what a page sends to its server."""
        return {
            "endpoint": self.endpoint,
            "expirationTime": None,
            "keys": {"p256dh": self.p256dh, "auth": self.auth},
        }


class Browser:
    """The secrets of one subscription, computed from the fleet's own secret: a million need no table."""

    def __init__(self, secret: bytes, device: int) -> None:
        number = device.to_bytes(4, "big")
        seed = blake2b(number, digest_size=40, key=secret, person=b"webpush dh").digest()
        self._private = ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, CURVE)
        self.point = point_of(self._private.public_key())
        self.auth = blake2b(number, digest_size=16, key=secret, person=b"webpush auth").digest()

    def decrypt(self, body: bytes) -> bytes:
        """Return the plaintext of a request's body. Raises `DecryptionError` where a browser would drop it."""
        salt, size, sender, sealed = split(body)
        if size < _TAG + 2 or len(sealed) > size:
            # RFC 8291, section 4: one record only; RFC 8188, section 2: a record size below 18 is invalid.
            raise DecryptionError(f"rs: the record size {size} does not hold the one record allowed")
        try:
            public = public_key(sender)
        except ValueError as error:
            raise DecryptionError("keyid: is no point on P-256") from error
        shared = self._private.exchange(ec.ECDH(), public)
        # RFC 8291, section 3.4: the secrets are bound to both keys and to the authentication secret.
        material = _hkdf(self.auth, b"WebPush: info\0" + self.point + sender, 32, shared)
        key = _hkdf(salt, b"Content-Encoding: aes128gcm\0", 16, material)
        nonce = _hkdf(salt, b"Content-Encoding: nonce\0", 12, material)
        try:
            padded = AESGCM(key).decrypt(nonce, sealed, None)
        except InvalidTag as error:
            raise DecryptionError("the message was not encrypted for this subscription's keys") from error
        text, delimiter, padding = padded.rpartition(b"\x02")
        if not delimiter or padding.strip(b"\0"):
            # RFC 8188, section 2: the last record ends with 2 and zeros.
            raise DecryptionError("padding: the last record must end with the octet 2 and zeros only")
        return text


def split(body: bytes) -> tuple[bytes, int, bytes, bytes]:
    """Return salt, record size, the sender's public key and the sealed record of an aes128gcm body.

    Raises `DecryptionError`.
    """
    least = _SALT + 4 + 1 + SIZE + _TAG + 1
    if len(body) < least:
        raise DecryptionError(f"the body has {len(body)} bytes; an aes128gcm message has at least {least}")
    if body[_SALT + 4] != SIZE:
        # RFC 8291, section 4: the key identifier is the sender's public key, uncompressed.
        raise DecryptionError(f"keyid: has {body[_SALT + 4]} bytes; it must be the {SIZE} of a public key")
    start = _SALT + 5
    size = int.from_bytes(body[_SALT : _SALT + 4], "big")
    return body[:_SALT], size, body[start : start + SIZE], body[start + SIZE :]


@lru_cache(maxsize=_KEYS_REMEMBERED)
def browser(secret: bytes, device: int) -> Browser:
    """Return the browser of a device; making one takes about 0.1 ms, so lately used ones are remembered."""
    return Browser(secret, device)


def _hkdf(salt: bytes, info: bytes, length: int, material: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(material)
