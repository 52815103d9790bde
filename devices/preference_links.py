"""Signed links to a person's preference centre: for nothing else, with an end, and revocable.

A link is no subscriber token and opens nothing but the two pages. It is signed with the hub's secret key
(`django.core.signing`, HMAC-SHA256), and ends when its time is over, when the subscriber is gone, or when a
`revoked_before` later than the link was set for them.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core import signing
from django.urls import get_urlconf, reverse
from django.utils import timezone

from devices.models import Subscriber

SALT = "devices.preference_links"
DAYS = 60
LONGEST_DAYS = 365
MOST_CHARACTERS = 400


class LinkError(Exception):
    """A link that opens nothing; `expired` when it once did."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("expired" if expired else "unknown")
        self.expired = expired


class Link(msgspec.Struct, frozen=True):
    """What a link opens: a subscriber (with the application), and the key of the category to opt out of; "": all."""

    subscriber: Any
    category: str
    expires_at: datetime


def make(
    subscriber: Subscriber, *, category: str = "", days: int = DAYS, now: datetime | None = None
) -> tuple[str, datetime]:
    """Return a link's token and its end; raises `ValueError` beyond a year."""
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"A link is good for 1 to {LONGEST_DAYS} days.")
    issued = now or timezone.now()
    expires_at = issued + timedelta(days=days)
    return _signed(subscriber.uid, issued.timestamp(), expires_at.timestamp(), category), expires_at


def address(subscriber: UUID, now: float) -> str:
    """Return the address of a subscriber's preference centre from outside, good for `DAYS` from `now` (epoch seconds).

    Empty where nobody said where this hub is (`settings.PUBLIC_URL`). Some 16 microseconds: fit for every message.
    """
    if not settings.PUBLIC_URL:
        return ""
    before, after = _around(get_urlconf() or "")
    token = _signed(subscriber, now, now + DAYS * 86_400, "")
    return f"{settings.PUBLIC_URL}{before}{token}{after}"


@lru_cache(maxsize=4)
def _around(urlconf: str) -> tuple[str, str]:
    """Return the path of the preference centre before and behind its token."""
    before, _, after = reverse("preferences", urlconf or None, args=["token"]).rpartition("token")
    return before, after


def _signed(subscriber: UUID, issued: float, expires: float, category: str) -> str:
    # milliseconds: a link made right after the older ones were revoked must be good
    return signing.dumps([subscriber.hex, int(issued * 1000), int(expires), category], salt=SALT)


def read(token: str) -> Link:
    """Return what a token opens; raises `LinkError`."""
    try:
        if len(token) > MOST_CHARACTERS:
            raise LinkError
        uid, issued, expires, category = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise LinkError from None
    if timezone.now().timestamp() > expires:
        raise LinkError(expired=True)
    subscriber = Subscriber.objects.filter(uid=UUID(hex=uid)).select_related("application").first()
    if subscriber is None:
        raise LinkError
    if subscriber.revoked_before is not None and issued < subscriber.revoked_before.timestamp() * 1000:
        raise LinkError(expired=True)
    return Link(subscriber, category, datetime.fromtimestamp(expires, UTC))
