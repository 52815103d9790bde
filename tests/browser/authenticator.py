"""An authenticator app, as members of the staff have on their phones (TOTP, RFC 6238)."""

import time
from base64 import b32decode

from django_otp.oath import TOTP

STEP = 30
"""Seconds for which a code stands."""


class Authenticator:
    """Shows codes of a secret that was typed; each is another, for the hub takes none twice.

    Within one step the next code is that of the coming one: the hub lets clocks differ by a step.
    """

    def __init__(self, secret: str) -> None:
        self._key = b32decode(secret)
        self._last = 0

    def code(self) -> str:
        """Return the six digits."""
        self._last = max(int(time.time()) // STEP, self._last + 1)
        totp = TOTP(self._key, step=STEP)
        totp.time = self._last * STEP
        return f"{totp.token():06d}"
