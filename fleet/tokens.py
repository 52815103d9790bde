"""Provider tokens that carry their device's number, so that a million devices need no table."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import blake2b

_FCM_SHAPE = re.compile(r"[A-Za-z0-9_-]{8,40}:APA91b[A-Za-z0-9_-]{100,150}").fullmatch


class TokenMint:
    """Makes and reads tokens of the providers' looks; a forged or foreign one is nobody's.

    FCM: 22 characters, `:APA91b`, 134 characters. APNs: 64 hexadecimal digits. Web Push: `gAAAAA` and 46 characters,
    the end of an endpoint.
    """

    def __init__(self, secret: bytes) -> None:
        self._apns = _hash(secret, b"apns")
        self._fcm = _hash(secret, b"fcm")
        self._webpush = _hash(secret, b"webpush")

    def apns(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        return number.hex() + _mark(self._apns, number).hex()

    def fcm(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        mark = urlsafe_b64encode(_mark(self._fcm, number) * 4)[:134].decode()
        return f"f{mark[:13]}{number.hex()}:APA91b{mark}"

    def webpush(self, device: int) -> str:
        number = device.to_bytes(4, "big")
        mark = urlsafe_b64encode(_mark(self._webpush, number)).decode().rstrip("=")
        return f"gAAAAA{number.hex()}{mark}"

    def webpush_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        try:
            device = int(token[6:14], 16)
        except ValueError:
            return None
        return device if 0 <= device < 1 << 32 and self.webpush(device) == token else None

    def apns_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        try:
            device = int(token[:8], 16)
        except ValueError:
            return None
        if not 0 <= device < 1 << 32:
            return None
        wanted = self.apns(device)
        return device if wanted == token or wanted == token.lower() else None

    def fcm_device(self, token: str) -> int | None:
        """Return the number of the device, None where the token is not one of ours."""
        try:
            device = int(token[14:22], 16)
        except ValueError:
            return None
        return device if 0 <= device < 1 << 32 and self.fcm(device) == token else None


def _hash(secret: bytes, purpose: bytes) -> blake2b:
    return blake2b(digest_size=28, key=secret, person=purpose)


def _mark(keyed: blake2b, number: bytes) -> bytes:
    """Return what only this fleet puts behind a device's number; the keyed state is prepared once."""
    state = keyed.copy()
    state.update(number)
    return state.digest()


def looks_like_fcm(token: str) -> bool:
    """Whether FCM would take this for a registration token, dead or alive."""
    return _FCM_SHAPE(token) is not None
