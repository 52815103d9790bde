"""What a member of the staff shows besides the password."""

import time
from binascii import unhexlify
from secrets import token_hex

from django.conf import settings
from django.db import models
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from devices.secrets import EncryptedJSONField

TOLERANCE = 1
"""Steps of 30 s by which the person's clock and ours may differ."""


def new_secret() -> str:
    """Return a new secret, 20 bytes in hexadecimal."""
    return token_hex(20)


class SecondFactor(ThrottlingMixin, Device):  # type: ignore[misc]  # django-otp has no types
    """A person's authenticator app (TOTP, RFC 6238) and what is left of their recovery codes, as hashes.

    django-otp's own model keeps the secret readable; this one encrypts it. One wrong code after another
    has to wait longer: 1, 2, 4 … seconds.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor"
    )
    secret = EncryptedJSONField(default=new_secret)
    last_step = models.BigIntegerField(default=-1, help_text="Of the last code; none counts twice.")
    recovery = models.JSONField(default=list)
    made_at = models.DateTimeField(auto_now_add=True)

    def verify_token(self, token: str) -> bool:
        """Return whether a code of the app is right now, and count it as used or as wrong."""
        if not self.verify_is_allowed()[0]:
            return False
        totp = TOTP(unhexlify(self.secret))
        totp.time = time.time()
        if token.isdecimal() and totp.verify(int(token), TOLERANCE, self.last_step + 1):
            self.last_step = totp.t()
            self.throttle_reset(commit=False)
            self.save()
            return True
        self.throttle_increment()
        return False

    def get_throttle_factor(self) -> float:
        return 1.0
