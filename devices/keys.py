"""API keys: minted once in plain text, kept as a digest, verified on every request."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from devices.models import ApiKey, Application
from devices.models.application import LANES
from devices.short_memory import ShortMemory

MARK = "nh_"
"""What every key starts with, so that people and scanners of leaked secrets know it."""

SCOPES: dict[str, str] = {
    "events:write": gettext_noop("Send events"),
    "notifications:write": gettext_noop("Send notifications to named subscribers"),
    "campaigns:read": gettext_noop("See campaigns"),
    "campaigns:write": gettext_noop("Make and change campaigns"),
    "campaigns:launch": gettext_noop("Launch campaigns, pause, resume, cancel and recall them"),
    "campaigns:override": gettext_noop("Launch critical campaigns that override preferences and quiet hours"),
    "runs:read": gettext_noop("See runs and what they came to"),
    "runs:write": gettext_noop("Pause, resume, cancel and recall runs, and stop all"),
    "rules:read": gettext_noop("See rules, event types and schedules"),
    "rules:write": gettext_noop("Make and change rules, event types and schedules"),
    "subscribers:read": gettext_noop("See subscribers, their devices and preferences"),
    "subscribers:write": gettext_noop("Make and change subscribers, their devices and preferences"),
    "segments:read": gettext_noop("See segments and categories"),
    "segments:write": gettext_noop("Make and change segments and categories"),
    "tokens:mint": gettext_noop("Mint subscriber tokens"),
    "credentials:write": gettext_noop(
        "See, add, check and remove the credentials at providers; their secrets are never shown"
    ),
    "why:read": gettext_noop("Ask why a subscriber got a notification or not"),
}
"""What a key may be allowed, each with a sentence for people."""

USED_EVERY = timedelta(minutes=5)
"""How exactly `used_at` is kept: a key in steady use costs one write in this time."""

_known: ShortMemory[ApiKey] = ShortMemory()


class ApiKeyError(Exception):
    """An API key that is refused; says why."""


def mint(
    application: Application,
    *,
    name: str,
    scopes: Iterable[str],
    lanes: Iterable[str] = LANES,
    source_prefixes: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text `nh_<prefix>_<secret>`, which cannot be had again.

    Raises `ValueError` for an unknown scope or lane.
    """
    wanted, granted = list(dict.fromkeys(scopes)), list(dict.fromkeys(lanes))
    for kind, values, allowed in (("scope", wanted, tuple(SCOPES)), ("lane", granted, LANES)):
        if unknown := [value for value in values if value not in allowed]:
            raise ValueError(f"No such {kind}: {', '.join(unknown)}; there are {', '.join(allowed)}.")
    prefix = secrets.token_hex(6)
    text = f"{MARK}{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        application=application,
        name=name,
        prefix=prefix,
        digest=_digest(text),
        scopes=wanted,
        lanes=granted,
        source_prefixes=list(source_prefixes),
        expires_at=expires_at,
    )
    return key, text


def verify(text: str) -> ApiKey:
    """Return the key (with its application) that a text is, or raise `ApiKeyError`.

    What was verified is believed for a second: a revocation takes that long.
    """
    digest = _digest(text)
    key = _known.get(digest)
    if key is None:
        key = _found(text, digest)
        _known.put(digest, key)
    now = timezone.now()
    if key.revoked_at is not None:
        raise ApiKeyError("This API key was revoked; use another one.")
    if key.expires_at is not None and key.expires_at <= now:
        raise ApiKeyError(f"This API key expired on {key.expires_at:%Y-%m-%d}; use another one.")
    if key.used_at is None or key.used_at < now - USED_EVERY:
        unused = Q(used_at=None) | Q(used_at__lt=now - USED_EVERY)
        ApiKey.objects.filter(unused, pk=key.pk).update(used_at=now)
        key.used_at = now
    return key


def _found(text: str, digest: str) -> ApiKey:
    prefix = text.removeprefix(MARK).partition("_")[0]
    key = None
    # PostgreSQL takes no text with a NUL in it, not even to compare with
    if text.startswith(MARK) and len(text) < 200 and prefix.isalnum():
        key = ApiKey.objects.select_related("application").filter(prefix=prefix[:16]).first()
    if key is None or not hmac.compare_digest(key.digest, digest):
        raise ApiKeyError("This API key is not known; check that it was copied whole (nh_<prefix>_<secret>).")
    return key


def _digest(text: str) -> str:
    # The secret has 256 random bits: a plain digest cannot be reversed by guessing.
    return hashlib.sha256(text.encode()).hexdigest()
