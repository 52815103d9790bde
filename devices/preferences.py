"""What a person chose to hear of, read and changed as they see it: on or off, whatever the category's default is."""

from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from devices.models import Category, Preference, Subscriber


class Choice(msgspec.Struct, frozen=True):
    """One category as the person sees it; `chosen` is False when it stands as the category has it."""

    key: str
    name: str
    on: bool
    chosen: bool


def choices(subscriber: Subscriber) -> list[Choice]:
    """Return every category of the subscriber's application, in order of name, in two queries."""
    chosen = dict(Preference.objects.filter(subscriber=subscriber).values_list("category_id", "allowed"))
    rows = Category.objects.filter(application=subscriber.application_id).order_by("name", "pk")
    return [Choice(one.key, one.name, chosen.get(one.pk, not one.opt_in), one.pk in chosen) for one in rows]


def choose(subscriber: Subscriber, *, consent: bool, on: set[str]) -> None:
    """Set consent, and the categories that are on; what stays as it was is not written down as chosen."""
    now = timezone.now()
    with transaction.atomic():
        for one in choices(subscriber):
            if one.on != (one.key in on):
                _set(subscriber, one.key, one.key in on, now)
        if consent != subscriber.consent:
            subscriber.consent, subscriber.consent_at = consent, now
            subscriber.save(update_fields=["consent", "consent_at", "updated_at"])


def opt_out(subscriber: Subscriber, category: str = "") -> str:
    """Switch off a category by key, or all when there is none of that key; return the name of what was switched off."""
    now = timezone.now()
    found = Category.objects.filter(application=subscriber.application_id, key=category).first()
    if found is not None:
        _set(subscriber, found.key, False, now)
        return found.name
    Subscriber.objects.filter(pk=subscriber.pk, consent=True).update(
        consent=False, consent_at=now, updated_at=now
    )
    return ""


def _set(subscriber: Subscriber, key: str, allowed: bool, now: Any) -> None:
    category = Category.objects.get(application=subscriber.application_id, key=key)
    Preference.objects.update_or_create(
        subscriber=subscriber, category=category, defaults={"allowed": allowed, "changed_at": now}
    )
