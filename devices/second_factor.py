"""The second factor of the staff: set up by each for themselves, asked for before what reaches people.

Who has one is asked for it; with NOTIFYHUB_SECOND_FACTOR=required nobody approves or launches without. A code counts
for `FRESH` seconds of the session.
"""

import hmac
import secrets
import time
from base64 import b32encode
from binascii import unhexlify
from datetime import datetime
from urllib.parse import quote, urlencode

import django_otp
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from devices.models import SecondFactor

FRESH = 12 * 3_600
RECOVERY_CODES = 10
SESSION_KEY = "second_factor_at"
ISSUER = "notifyhub"
_SALT = "devices.second_factor"
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"


def of(request: HttpRequest) -> SecondFactor | None:
    """Return the signed-in person's second factor, once it was set up."""
    found: SecondFactor | None = SecondFactor.objects.filter(user_id=request.user.pk, confirmed=True).first()
    return found


def is_required() -> bool:
    """Return whether everybody needs one to approve and launch."""
    return bool(settings.SECOND_FACTOR == "required")


def missing(request: HttpRequest) -> str:
    """Return what the person has to do before they approve or launch: `set up`, `show`, or nothing."""
    factor = of(request)
    if factor is None:
        return "set up" if is_required() else ""
    return "" if is_fresh(request, factor) else "show"


def is_fresh(request: HttpRequest, factor: SecondFactor) -> bool:
    """Return whether this session showed it not long ago."""
    shown = bool(request.session.get(django_otp.DEVICE_ID_SESSION_KEY) == factor.persistent_id)
    return shown and 0.0 <= time.time() - request.session.get(SESSION_KEY, 0.0) < FRESH


def begun(request: HttpRequest) -> SecondFactor:
    """Return the factor that the person is setting up, made when there is none."""
    found: SecondFactor
    found, _ = SecondFactor.objects.get_or_create(
        user_id=request.user.pk, defaults={"name": "app", "confirmed": False}
    )
    return found


def address_of(factor: SecondFactor) -> str:
    """Return what an authenticator app reads from the picture (Key URI format)."""
    label = quote(f"{ISSUER}:{factor.user.get_username()}")
    asked = {"secret": secret_of(factor), "issuer": ISSUER, "algorithm": "SHA1", "digits": 6, "period": 30}
    return f"otpauth://totp/{label}?{urlencode(asked)}"


def secret_of(factor: SecondFactor) -> str:
    """Return the secret as apps take it when it is typed (Base32, RFC 4648)."""
    return b32encode(unhexlify(factor.secret)).decode()


def show(request: HttpRequest, factor: SecondFactor, code: str) -> bool:
    """Take a code of the app, or a recovery code, which is good once; return whether it was right."""
    typed = "".join(code.split()).replace("-", "").upper()
    if len(typed) == 6 and typed.isdecimal():
        right = django_otp.verify_token(request.user, factor.persistent_id, typed) is not None
    else:
        right = _recover(factor, typed)
    if right:
        django_otp.login(request, factor)
        request.session[SESSION_KEY] = time.time()
    return right


def locked_until(factor: SecondFactor) -> datetime | None:
    """Return until when no code is taken, after wrong ones."""
    factor.refresh_from_db()
    allowed, why = factor.verify_is_allowed()
    return None if allowed else why["locked_until"]


def confirm(factor: SecondFactor) -> list[str]:
    """Put a factor in force; return its recovery codes, which are told this once."""
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(10)) for _ in range(RECOVERY_CODES)]
    SecondFactor.objects.filter(pk=factor.pk).update(
        confirmed=True, recovery=[_hashed(factor, code) for code in codes]
    )
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def _recover(factor: SecondFactor, code: str) -> bool:
    with transaction.atomic():
        held = SecondFactor.objects.select_for_update().get(pk=factor.pk)
        if not held.verify_is_allowed()[0]:
            return False
        mine = _hashed(held, code)
        left = [one for one in held.recovery if not hmac.compare_digest(one, mine)]
        right = len(left) < len(held.recovery)
        if right:
            held.recovery = left
            held.throttle_reset()
        else:
            held.throttle_increment()
        return right


def _hashed(factor: SecondFactor, code: str) -> str:
    return salted_hmac(_SALT, f"{factor.user_id}:{code}", algorithm="sha256").hexdigest()
