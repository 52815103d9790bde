"""When a device last gave a sign of life, and since when its token counts as stale.

Source: "Best practices for FCM registration token management" (firebase.google.com/docs/cloud-messaging/manage-tokens):
a token unused for a month is stale, and after 270 days FCM itself refuses it on Android.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from devices.models import Device

FRESH, STALE, LAPSED = "fresh", "stale", "lapsed"
STALE_AFTER = timedelta(days=30)
LAPSED_AFTER = timedelta(days=270)
EVERY = timedelta(days=1)
"""How exactly `seen_at` is kept: a device that comes and goes all day costs one write."""


def freshness(seen_at: datetime, now: datetime) -> str:
    """Return what a device seen last at an instant is at another: fresh, stale or lapsed."""
    silent = now - seen_at
    if silent > LAPSED_AFTER:
        return LAPSED
    return STALE if silent > STALE_AFTER else FRESH


def condition(kind: str | None) -> Q:
    """Return the condition of the devices that are fresh, stale or lapsed; of all for anything else."""
    now = timezone.now()
    stale, lapsed = now - STALE_AFTER, now - LAPSED_AFTER
    found = {
        FRESH: Q(seen_at__gte=stale),
        STALE: Q(seen_at__lt=stale, seen_at__gte=lapsed),
        LAPSED: Q(seen_at__lt=lapsed),
    }
    return found.get(kind or "", Q())


def is_due(seen_at: datetime) -> bool:
    """Return whether a sign of life now is worth a write."""
    return timezone.now() - seen_at > EVERY


def see(devices: Collection[int]) -> None:
    """Note that devices (primary keys) gave a sign of life now."""
    if devices:
        now = timezone.now()
        Device.objects.filter(pk__in=devices, seen_at__lt=now - EVERY).update(seen_at=now)
