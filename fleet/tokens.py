"""Provider tokens that carry their device's number, so that a million devices need no table."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import blake2b

_FCM_SHAPE = re.compile(r"[A-Za-z0-9_-]{8,40}:APA91b[A-Za-z0-9_-]{100,150}").fullmatch
_APNS_SHAPE = re.compile(r"[0-9a-fA-F]{64,200}").fullmatch


class TokenMint:
    """Makes and reads tokens of the providers' looks; a forged or foreign one is nobody's.

    FCM: 22 characters, `:APA91b`, 134 characters. APNs: 64 hexadecimal digits. Web Push: `gAAAAA` and 46 characters,
    the end of an endpoint.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _mark(self, number: bytes, purpose: bytes) -> bytes:
        return blake2b(number, digest_size=28, key=self._secret, person=purpose).digest()

    def apns(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        return number.hex() + self._mark(number, b"apns").hex()

    def fcm(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        mark = urlsafe_b64encode(self._mark(number, b"fcm") * 4)[:134].decode()
        return f"f{mark[:13]}{number.hex()}:APA91b{mark}"

    def webpush(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        return f"gAAAAA{number.hex()}{urlsafe_b64encode(self._mark(number, b'webpush'))[:38].decode().rstrip('=')}"

    def webpush_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        try:
            device = int(token[6:14], 16)
        except ValueError:
            return None
        return device if device >= 0 and self.webpush(device) == token else None

    def apns_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        if len(token) != 64 or not _APNS_SHAPE(token):
            return None
        device = int(token[:8], 16)
        return device if self.apns(device) == token.lower() else None

    def fcm_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        try:
            device = int(token[14:22], 16)
        except ValueError:
            return None
        return device if device >= 0 and self.fcm(device) == token else None


def looks_like_fcm(token: str) -> bool:
    """Whether FCM would take this for a registration token, dead or alive."""
    return _FCM_SHAPE(token) is not None


def looks_like_apns(token: str) -> bool:
    """Whether APNs would take this for a device token of any environment."""
    return _APNS_SHAPE(token) is not None
